//! The ends of a run of ours in which no command was run and nothing failed.

use super::log::Log;
use crate::lock::held::Busy;
use crate::model::error::Error;
use crate::model::reporting::Reporting;

/// An end without an error in which no command was run.
pub enum Outcome {
    /// What was asked for.
    Output(Answer),
    /// What was asked for is done, and there was no command to run.
    Done,
    /// This failed, and only the log was told.
    Unsaid(Error),
    /// What was asked cannot be told, for this reason.
    Untold(Error),
    /// Somebody else holds the lock, or the lock of each slot.
    Busy(Vec<Busy>, Reporting, Option<Log>),
}

/// An answer on stdout, and the exit status that says the same.
pub struct Answer {
    /// The text, to the last newline.
    pub text: Vec<u8>,
    /// The exit status.
    pub status: u8,
}
