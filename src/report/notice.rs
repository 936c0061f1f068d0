//! What a run says of what happens on its way.

use std::ffi::CStr;
use std::fmt::{self, Display};
use std::time::Instant;

use rustix::io::Errno;

use super::log::Log;
use super::outcome::{Answer, Outcome};
use super::stdio;
use crate::model::command::Command;
use crate::model::dialect::Dialect;
use crate::model::error::Reason;
use crate::model::manner::{Manner, Voice};
use crate::model::target::Place;
use crate::sys;
use crate::text::escape::Escaped;

/// Something that happens on the way to the command.
pub enum Notice<'a> {
    /// The PID cannot be written into the lock file.
    NoRecord(Place, Errno),
    /// The process that the record names still runs, although the lock was free.
    LetGo(Place, u32),
    /// The lock is held and the command comes next, which is this program.
    Starting(Place, Command, &'a CStr, Option<Instant>),
    /// The lock is held and there is no command.
    Locked(Place, Option<Instant>),
    /// The helper of a server took the lock, and said this.
    Helper(Place, &'a [u8]),
    /// The lock was dropped.
    Unlocked(Place, Option<Instant>),
}

impl Manner {
    /// The time, if it will be told how long the lock took.
    pub fn watch(self) -> Option<Instant> {
        let tells = self.dialect == Dialect::Flock && self.voice == Voice::Verbose;
        tells.then(Instant::now)
    }

    /// Says it, if that much was asked for. A log is told of every start, and of a process that let go.
    pub fn tell(self, log: Option<&Log>, notice: &Notice<'_>) {
        if let (Some(log), Notice::Starting(..) | Notice::LetGo(..)) = (log, notice) {
            log.line(notice);
        }
        match (self.voice, self.dialect, notice) {
            // Nobody may be there to read them; that is no reason not to run.
            (Voice::Verbose, Dialect::Flock, _) => {
                let lines = lines_of_flock(notice);
                let _ = sys::unsignalled(|| Ok(stdio::print(lines.as_bytes())?));
            }
            (Voice::Verbose, Dialect::Nonoverlap, _)
            | (Voice::Normal, _, Notice::LetGo(..) | Notice::Helper(..)) => {
                stdio::say(self.dialect, notice);
            }
            _ => {}
        }
    }

    /// Says that it is done, where there is no command.
    pub fn done(self, notice: &Notice<'_>) -> Outcome {
        if (self.voice, self.dialect) == (Voice::Verbose, Dialect::Flock) {
            let text = lines_of_flock(notice).into_bytes();
            return Outcome::Told(Answer { text, status: 0 });
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
        Notice::NoRecord(..) | Notice::LetGo(..) | Notice::Helper(..) => String::new(),
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
            Notice::NoRecord(place, reason) => {
                write!(
                    out,
                    "cannot write the PID into {place}: {}; running all the same",
                    Reason(*reason)
                )
            }
            Notice::LetGo(place, pid) => {
                write!(
                    out,
                    "{place} was free, but PID {pid} of its record still runs; perhaps that command closed \
                     the lock's descriptor, as ssh and tcsh do: see --close"
                )
            }
            Notice::Starting(place, command, _, _) => {
                write!(
                    out,
                    "{place} locked by PID {}; starting {command}",
                    std::process::id()
                )
            }
            Notice::Helper(place, said) => write!(out, "{place}: {}", Escaped(said)),
            Notice::Locked(place, _) => write!(out, "{place} locked"),
            Notice::Unlocked(place, _) => write!(out, "{place} unlocked"),
        }
    }
}
