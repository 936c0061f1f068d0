//! When something happened during a run, in little memory.

/// How many cells there are.
const CELLS: i64 = 128;

/// When something happened again and again, in the same memory however often: cells of so many seconds
/// that all of it fits.
pub struct Marks {
    /// A bit for each cell.
    cells: u128,
    /// How long a cell is, in seconds.
    length: i64,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks {
            cells: 0,
            length: 1,
        }
    }
}

impl Marks {
    /// It happened so many seconds after the start.
    pub fn set(&mut self, seconds: i64) {
        let seconds = seconds.max(0);
        while seconds / self.length >= CELLS {
            self.cells = (0..CELLS).fold(0, |cells, cell| {
                cells | ((self.cells >> cell) & 1) << (cell / 2)
            });
            self.length = self.length.saturating_mul(2);
        }
        self.cells |= 1 << (seconds / self.length);
    }

    /// The seconds after the start at which it happened, to within the length of a cell.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        let cells = (0..CELLS).filter(|cell| (self.cells >> cell) & 1 == 1);
        cells.map(|cell| cell * self.length + self.length / 2)
    }
}
