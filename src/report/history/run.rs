//! A run, as far as a log tells of it.

use super::line::{Blamed, How};
use super::marks::Marks;
use crate::text::stamp::{Rounded, Stamp};

/// How far two times may be apart, in seconds, that are to be the same: a line is written soon after
/// what it tells of, and a clock may be set a little.
pub const NEAR: i64 = 60;

/// How much is kept of why a guardian ended a run, in bytes.
const MOST_OF_REASON: usize = 100;

/// A run.
pub struct Run {
    /// The number of its lock.
    pub lock: usize,
    /// Its PID.
    pub pid: i64,
    /// When it began.
    pub began: Stamp,
    /// The command that it became.
    pub command: Vec<u8>,
    /// What the log says of its end.
    pub end: End,
    /// How long it ran at least, in seconds, by a refusal that names it.
    pub seen: Option<i64>,
    /// How many were refused meanwhile.
    pub refused: u64,
    /// When they were.
    pub marks: Marks,
}

/// What the log says of the end of a run.
#[derive(PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Unknown,
    /// Several things that contradict each other.
    Contradicted,
    /// It ended so long after its start, in this way.
    Ended {
        /// How long it ran, in seconds.
        lasted: i64,
        /// It is known no closer than that it was so long at least: the clock was set meanwhile.
        is_least: bool,
        /// Up to when it can have been seen, in seconds after its start: its guardian may have had to wait
        /// for the rest of the job.
        gone: i64,
        /// How, if that is known.
        how: Option<Ending>,
    },
    /// Its command could not be executed, for this reason.
    NotExecuted(Vec<u8>),
}

/// How a run ended.
#[derive(PartialEq, Eq)]
pub enum Ending {
    /// With an exit status.
    Status(i64),
    /// By a signal.
    Signal(i64),
    /// By its guardian, for this reason.
    By(String),
}

impl Run {
    /// How long it ran, in seconds, if that is known.
    pub fn lasted(&self) -> Option<i64> {
        match self.end {
            End::Ended {
                lasted,
                is_least: false,
                ..
            } => Some(lasted),
            _ => None,
        }
    }

    /// How long it ran at least, in seconds, if that is all that is known.
    pub fn at_least(&self) -> Option<i64> {
        match self.end {
            End::Ended {
                lasted, is_least, ..
            } => is_least.then(|| lasted.max(self.seen.unwrap_or(0))),
            End::Unknown | End::Contradicted => self.seen,
            End::NotExecuted(_) => None,
        }
    }

    /// It ended so, unless something else was said before.
    pub fn ended(&mut self, end: End) {
        let is_believed = match &end {
            // It was seen when it should have ended already.
            End::Ended {
                gone,
                is_least: false,
                ..
            } => self.seen.is_none_or(|seen| seen <= gone + NEAR),
            _ => true,
        };
        self.end = match self.end {
            End::Unknown if is_believed => end,
            ref known if *known == end => return,
            _ => End::Contradicted,
        };
    }

    /// A refusal names it as the holder, so long after its start.
    pub fn was_seen(&mut self, took: i64) {
        self.seen = self.seen.max(Some(took.max(0)));
        if let End::Ended {
            gone,
            is_least: false,
            ..
        } = self.end
        {
            if took > gone + NEAR {
                self.end = End::Contradicted;
            }
        }
    }

    /// Whether nothing says that it had ended by then.
    pub fn goes_on(&self, now: i64) -> bool {
        match self.end {
            End::Unknown | End::Contradicted => true,
            End::Ended { gone, .. } => now <= self.began.seconds + gone,
            End::NotExecuted(_) => false,
        }
    }

    /// Whether a refusal names its PID, and a time for which the lock was held that fits its start.
    pub fn is_named_by(&self, blamed: Blamed<'_>, held: &[Rounded], now: i64) -> bool {
        let took = now - self.began.seconds;
        let is_near = |held: &Rounded| (took - held.seconds).abs() < held.unit + NEAR;
        held.iter().any(is_near) && blamed.names(self.pid)
    }
}

impl Ending {
    /// The same, to keep.
    pub fn of(how: How<'_>) -> Ending {
        match how {
            How::Status(status) => Ending::Status(status),
            How::Signal(signal) => Ending::Signal(signal),
            How::By(reason) => {
                let reason = reason.get(..MOST_OF_REASON).unwrap_or(reason);
                Ending::By(String::from_utf8_lossy(reason).into_owned())
            }
        }
    }
}
