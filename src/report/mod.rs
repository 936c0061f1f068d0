//! What is said, where, and the exit status that says the same. All writing to stdout and stderr is
//! here.

mod conflict;
mod hint;
pub mod history;
mod holders;
pub mod installed;
pub mod installing;
pub mod log;
mod log_tail;
pub mod notice;
pub mod outcome;
pub mod status;
mod status_json;
mod stdio;

use rustix::io::Errno;

use crate::model::dialect::Dialect;
use crate::model::error::{Error, Reason};
use crate::model::exit_status::UNWRITTEN_AS_FLOCK;
use crate::model::target::LockTarget;
use hint::Advised;
use outcome::Outcome;
use stdio::{print, say};

/// Says what came of it, and gives the exit status.
pub fn report(dialect: Dialect, result: Result<Outcome, Error>) -> u8 {
    match result.and_then(|outcome| finish(dialect, outcome)) {
        Ok(status) => status,
        Err(error) => {
            let heard = match (dialect, &error) {
                // flock's own words, which its tests know.
                (Dialect::Flock, Error::Lock(LockTarget::Descriptor(number), reason)) => {
                    say(dialect, &format_args!("{number}: {}", Reason(*reason)))
                }
                (Dialect::Flock, _) => say(dialect, &error),
                (Dialect::Nonoverlap, _) => say(dialect, &Advised(&error)),
            };
            // util-linux's child calls _exit and never checks its streams, so a failed write changes
            // nothing here.
            let heard = heard || matches!(error, Error::Execute { .. });
            if_heard(heard, dialect, error.status(dialect))
        }
    }
}

/// Says what came of a run that did not fail, and gives the exit status.
fn finish(dialect: Dialect, outcome: Outcome) -> Result<u8, Error> {
    match outcome {
        Outcome::Output(answer) => match (print(&answer.text), dialect) {
            // Nobody wants to know.
            (Err(Errno::BADF | Errno::PIPE), Dialect::Flock) | (Ok(()), _) => Ok(answer.status),
            (Err(reason), _) => Err(Error::Print(reason)),
        },
        Outcome::Done => Ok(0),
        Outcome::Unsaid(error) => Ok(error.status(dialect)),
        Outcome::Untold(reason) => {
            say(dialect, &reason);
            Ok(status::CANNOT_TELL)
        }
        Outcome::Busy(busy, reporting, log) => {
            let heard = reporting.refuse(&busy, log.as_ref());
            Ok(if_heard(heard, dialect, reporting.conflict_status))
        }
    }
}

/// `status`; or, under the name flock, 1 if the message could not be written.
fn if_heard(heard: bool, dialect: Dialect, status: u8) -> u8 {
    match dialect {
        Dialect::Flock if !heard => UNWRITTEN_AS_FLOCK,
        _ => status,
    }
}
