//! How a run speaks: as which tool, how much, and with which exit status of a conflict.

use std::time::Duration;

use super::dialect::Dialect;
use super::error::Error;

/// How this run speaks.
#[derive(Clone, Copy)]
pub struct Reporting {
    /// As which tool.
    pub dialect: Dialect,
    /// How much.
    pub verbosity: Verbosity,
    /// The exit status if the lock is taken.
    pub conflict_status: u8,
    /// For how long the lock may be held before a conflict is told in any case.
    pub alarm: Option<Duration>,
}

impl Reporting {
    /// Whether cron is to mail nothing of this error: a server that is away is so for every host and at
    /// every tick.
    pub fn leaves_to_log(&self, error: &Error) -> bool {
        self.verbosity == Verbosity::Quiet && matches!(error, Error::NoServer(..))
    }
}

/// How much to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors and alarms only.
    Quiet,
    /// Errors, and a conflict where a person looks.
    Normal,
    /// All that happens.
    Verbose,
}
