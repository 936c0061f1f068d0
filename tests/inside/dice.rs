//! Chance that is the same each time.

/// Numbers as if by chance (George Marsaglia's xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// A number from 0 up to this one, which is not among them.
    pub fn below(&mut self, limit: usize) -> usize {
        for (left, shift) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left {
                self.0 << shift
            } else {
                self.0 >> shift
            };
        }
        (self.0 % limit as u64) as usize
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
