//! What a run says on its way: who is told, by verbosity, and flock's wording.

use std::ffi::CStr;
use std::fmt::{self, Display};
use std::time::Instant;

use rustix::io::Errno;

use super::log::Log;
use super::outcome::{Answer, Outcome};
use super::stdio;
use crate::model::command::CommandLine;
use crate::model::dialect::Dialect;
use crate::model::error::Reason;
use crate::model::reporting::{Reporting, Verbosity};
use crate::model::target::LockTarget;
use crate::sys;
use crate::text::escape::Escaped;

/// Something that happens on the way to the command.
pub enum Notice<'a> {
    /// The name of the lock file cannot be marked.
    NoMark(LockTarget, Errno),
    /// The PID cannot be written into the lock file.
    NoRecord(LockTarget, Errno),
    /// The process that the record names still runs, although the lock was free.
    LetGo(LockTarget, u32),
    /// The lock is held and the command comes next, which is this program.
    Starting(LockTarget, CommandLine, &'a CStr, Option<Instant>),
    /// The lock is held and there is no command.
    Locked(LockTarget, Option<Instant>),
    /// The helper of a server took the lock, and said this.
    Helper(LockTarget, &'a [u8]),
    /// The lock was dropped.
    Unlocked(LockTarget, Option<Instant>),
}

impl Reporting {
    /// Starts a stopwatch if `flock --verbose` will print how long the lock took.
    pub fn stopwatch(self) -> Option<Instant> {
        let tells = self.dialect == Dialect::Flock && self.verbosity == Verbosity::Verbose;
        tells.then(Instant::now)
    }

    /// Says it, if that much was asked for. A log is told of every start, and of a process that let go.
    pub fn tell(self, log: Option<&Log>, notice: &Notice<'_>) {
        if let (Some(log), Notice::Starting(..) | Notice::LetGo(..)) = (log, notice) {
            log.line(notice);
        }
        match (self.verbosity, self.dialect, notice) {
            // Nobody may be there to read them; that is no reason not to run.
            (Verbosity::Verbose, Dialect::Flock, _) => {
                let lines = lines_of_flock(notice);
                let _ = sys::without_write_signals(|| Ok(stdio::print(lines.as_bytes())?));
            }
            (Verbosity::Verbose, Dialect::Nonoverlap, _)
            | (Verbosity::Normal, _, Notice::LetGo(..) | Notice::Helper(..)) => {
                stdio::say(self.dialect, notice);
            }
            _ => {}
        }
    }

    /// Says that it is done, where there is no command.
    pub fn finished(self, notice: &Notice<'_>) -> Outcome {
        if (self.verbosity, self.dialect) == (Verbosity::Verbose, Dialect::Flock) {
            let text = lines_of_flock(notice).into_bytes();
            return Outcome::Output(Answer { text, status: 0 });
        }
        self.tell(None, notice);
        Outcome::Done
    }
}

/// The lines that `flock --verbose` prints on stdout.
fn lines_of_flock(notice: &Notice<'_>) -> String {
    let name = Dialect::Flock.name();
    let took = |start: &Option<Instant>| {
        let time = start.map(|start| start.elapsed()).unwrap_or_default();
        format!(
            "{name}: getting lock took {}.{:06} seconds\n",
            time.as_secs(),
            time.subsec_micros()
        )
    };
    match notice {
        Notice::NoMark(..) | Notice::NoRecord(..) | Notice::LetGo(..) | Notice::Helper(..) => {
            String::new()
        }
        Notice::Locked(_, start) | Notice::Unlocked(_, start) => took(start),
        Notice::Starting(_, _, program, start) => {
            format!(
                "{}{name}: executing {}\n",
                took(start),
                program.to_string_lossy()
            )
        }
    }
}

impl Display for Notice<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::NoMark(target, reason) => {
                write!(
                    out,
                    "cannot mark the name of {target}: {}; a deleted lock file will not be noticed",
                    Reason(*reason)
                )
            }
            Notice::NoRecord(target, reason) => {
                write!(
                    out,
                    "cannot write the PID into {target}: {}; running all the same",
                    Reason(*reason)
                )
            }
            Notice::LetGo(target, pid) => {
                write!(
                    out,
                    "{target} was free, but PID {pid} of its record still runs; perhaps that command closed \
                     the lock's descriptor, as ssh and tcsh do: see --close"
                )
            }
            Notice::Starting(target, command, _, _) => {
                write!(
                    out,
                    "{target} locked by PID {}; starting {command}",
                    std::process::id()
                )
            }
            Notice::Helper(target, said) => write!(out, "{target}: {}", Escaped(said)),
            Notice::Locked(target, _) => write!(out, "{target} locked"),
            Notice::Unlocked(target, _) => write!(out, "{target} unlocked"),
        }
    }
}
