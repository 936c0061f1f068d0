//! Timing by turns: in each round every case of every table has its turn, so that a machine that gets
//! slower slows all alike.

use std::time::Duration;

/// Something that is timed again and again.
pub struct Case {
    pub name: String,
    /// How often it runs in its turn. The turn's time is the shortest, which no interruption hit.
    runs: usize,
    /// Taken when all turns are done: whoever holds a lock for it ends with it.
    run: Option<Box<dyn FnMut() -> Duration>>,
    /// In microseconds, a time for each round.
    times: Vec<f64>,
}

/// Cases that are compared with each other.
pub struct Table {
    /// What is measured; tables of one name are points of a curve.
    pub name: &'static str,
    /// Where on the curve, if it is one: how many, or how much.
    pub size: Option<usize>,
    pub cases: Vec<Case>,
}

/// The case that is subtracted in its table, if it is there: what is left is the cost of the tool.
pub const BARE: &str = "the bare command";

/// The cases that others are set against.
pub const FLOOR: &str = "the floor";
pub const FLOCK: &str = "flock -n";

/// The medians of a case over all rounds, in microseconds.
pub struct Summary {
    /// From start to end.
    pub whole: f64,
    /// Without the bare command of the same round, and its quartiles.
    pub overhead: f64,
    pub low: f64,
    pub high: f64,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        runs: usize,
        run: impl FnMut() -> Duration + 'static,
    ) -> Case {
        Case {
            name: name.into(),
            runs,
            run: Some(Box::new(run)),
            times: Vec::new(),
        }
    }

    fn turn(&mut self) -> f64 {
        let run = self.run.as_mut().unwrap();
        let times = (0..self.runs).map(|_| run());
        times.min().unwrap().as_secs_f64() * 1e6
    }
}

pub fn measure(tables: &mut [Table], rounds: usize) {
    let mut cases: Vec<_> = tables
        .iter_mut()
        .flat_map(|table| &mut table.cases)
        .collect();
    for case in &mut cases {
        // From here on its lock file has a record, and its program is in memory.
        case.turn();
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let time = case.turn();
            case.times.push(time);
        }
    }
    for case in &mut cases {
        case.run.take();
    }
}

impl Table {
    pub fn case(&self, name: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.name == name)
    }

    pub fn summary(&self, case: &Case) -> Summary {
        let bare = self.case(BARE);
        let less_bare =
            |(round, time): (usize, &f64)| time - bare.map_or(0.0, |bare| bare.times[round]);
        let overheads = sorted(case.times.iter().enumerate().map(less_bare));
        Summary {
            whole: quantile(&sorted(case.times.iter().copied()), 0.5),
            overhead: quantile(&overheads, 0.5),
            low: quantile(&overheads, 0.25),
            high: quantile(&overheads, 0.75),
        }
    }

    /// A case's overhead over that of another of its table.
    pub fn ratio(&self, case: &Case, to: &str) -> Option<f64> {
        let to = self.summary(self.case(to)?).overhead;
        Some(self.summary(case).overhead / to)
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
