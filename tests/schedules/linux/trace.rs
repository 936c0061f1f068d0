//! What happened in one order, line by line, and the shortest order of each kind of fault.

use std::collections::BTreeMap;

/// The steps of one order, and what was found out between them.
#[derive(Default)]
pub struct Trace {
    lines: Vec<(Option<usize>, String)>,
    faults: BTreeMap<String, Gravity>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Gravity {
    /// It may come about where somebody touches the lock file meanwhile, and does no harm.
    Remark,
    /// It may never come about.
    Fault,
    /// Too many are inside.
    Overlap,
}

impl Trace {
    /// A step of this program. Its line is known only when it has been made.
    pub fn step(&mut self, program: usize) -> usize {
        self.lines.push((Some(program), String::new()));
        self.lines.len() - 1
    }

    pub fn say(&mut self, line: usize, text: String) {
        self.lines[line].1 = text;
    }

    pub fn note(&mut self, text: &str) {
        self.lines.push((None, format!("      ** {text}")));
    }

    pub fn fault(&mut self, gravity: Gravity, text: &str) {
        if self.faults.insert(text.to_owned(), gravity).is_none() {
            self.lines.push((None, format!("      !! {text}")));
        }
    }

    /// How often another program's turn comes, and how many lines it takes: the fewer, the easier it is
    /// to read.
    fn length(&self) -> (usize, usize) {
        let mut steps: Vec<_> = self.lines.iter().filter_map(|line| line.0).collect();
        steps.dedup();
        (steps.len(), self.lines.len())
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().filter(|line| !line.1.is_empty());
        lines.map(|line| format!("{}\n", line.1)).collect()
    }
}

/// All faults of a kind.
pub struct Kind {
    pub gravity: Gravity,
    /// In how many orders it came about.
    pub count: usize,
    length: (usize, usize),
    /// The shortest of these.
    pub shortest: String,
}

/// The faults of all orders.
#[derive(Default)]
pub struct Faults(pub BTreeMap<String, Kind>);

impl Faults {
    pub fn add(&mut self, trace: &Trace) {
        for (text, gravity) in &trace.faults {
            let kind = self.0.entry(text.clone()).or_insert(Kind {
                gravity: *gravity,
                count: 0,
                length: (usize::MAX, 0),
                shortest: String::new(),
            });
            kind.count += 1;
            if trace.length() < kind.length {
                kind.length = trace.length();
                kind.shortest = trace.text();
            }
        }
    }

    /// Those that were found in another way: the shorter ones, and none is counted twice.
    pub fn add_kinds(&mut self, others: Faults) {
        for (text, other) in others.0 {
            let kind = self.0.entry(text).or_insert(Kind {
                count: 0,
                shortest: String::new(),
                length: (usize::MAX, 0),
                ..other
            });
            if other.length < kind.length {
                kind.length = other.length;
                kind.shortest = other.shortest;
            }
        }
    }

    /// In how many orders too many were inside.
    pub fn overlaps(&self) -> usize {
        self.of(Gravity::Overlap).map(|(_, kind)| kind.count).sum()
    }

    pub fn of(&self, gravity: Gravity) -> impl Iterator<Item = (&String, &Kind)> {
        self.0
            .iter()
            .filter(move |(_, kind)| kind.gravity == gravity)
    }
}
