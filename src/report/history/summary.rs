//! What the runs of a log come to.

use std::fmt::{self, Display};

use super::run::End;
use super::runs::History;

/// Seconds in an hour.
const HOUR: u64 = 3600;

/// What the runs of a log come to.
pub struct Summary {
    /// There are no runs in the log but these.
    pub is_all: bool,
    /// How many runs an hour, by the time from the first start to the last line of a run.
    pub runs_per_hour: Option<Hundredths>,
    /// How many refusals a run.
    pub refused_per_run: Option<Hundredths>,
    /// How long the runs were of which that is known, in seconds; the shortest one first.
    lengths: Vec<i64>,
    /// Of how many it is not known.
    pub unknown: usize,
    /// How long the longest of those was at least, in seconds.
    pub longest_at_least: Option<i64>,
    /// How many commands could not be executed.
    pub not_executed: usize,
}

impl Summary {
    /// Adds them up.
    pub fn of(history: &History, is_all: bool) -> Summary {
        let runs = &history.runs;
        let mut lengths = Vec::new();
        for lasted in runs.iter().filter_map(|run| run.lasted()) {
            // They are a hundred at the most: a sort of the library's is larger than all of this file.
            let place = lengths.iter().take_while(|other| **other < lasted).count();
            lengths.insert(place, lasted);
        }
        let not_executed = |end: &End| matches!(end, End::NotExecuted(_));
        let not_executed = runs.iter().filter(|run| not_executed(&run.end)).count();
        let count = runs.len() as u64;
        let span = history.span().and_then(|span| u64::try_from(span).ok());
        Summary {
            is_all,
            runs_per_hour: span.and_then(|span| Hundredths::of(count * HOUR, span)),
            refused_per_run: Hundredths::of(history.refused, count),
            unknown: runs.len() - lengths.len() - not_executed,
            lengths,
            longest_at_least: runs.iter().filter_map(|run| run.at_least()).max(),
            not_executed,
        }
    }

    /// Of how many runs the length is known.
    pub fn known(&self) -> usize {
        self.lengths.len()
    }

    /// The length of the shortest run.
    pub fn shortest(&self) -> Option<i64> {
        self.lengths.first().copied()
    }

    /// The length in the middle, or between the two that are in the middle.
    pub fn median(&self) -> Option<i64> {
        let upper = self.lengths.get(self.lengths.len() / 2)?;
        let lower = self.lengths.get((self.lengths.len() - 1) / 2)?;
        Some((lower + upper) / 2)
    }

    /// The length of the longest run.
    pub fn longest(&self) -> Option<i64> {
        self.lengths.last().copied()
    }
}

/// A ratio to two places: `0.50`.
pub struct Hundredths(u64);

impl Hundredths {
    /// So many for each of so many, rounded; nothing where there are none.
    fn of(number: u64, of: u64) -> Option<Hundredths> {
        let doubled = number.saturating_mul(200).saturating_add(of);
        doubled.checked_div(of.saturating_mul(2)).map(Hundredths)
    }
}

impl Display for Hundredths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
