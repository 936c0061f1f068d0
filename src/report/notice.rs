//! What a run and its guardian say: who is told, by verbosity, and flock's wording.

use std::ffi::CStr;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use libc::c_int;
use rustix::io::Errno;

use super::conflict::Double;
use super::log::Log;
use super::outcome::{Answer, Outcome};
use super::stdio;
use crate::lock::kin::Kin;
use crate::lock::record::Unrecorded;
use crate::model::command::CommandLine;
use crate::model::dialect::Dialect;
use crate::model::error::{LEASED, Reason};
use crate::model::reporting::{Reporting, Verbosity};
use crate::model::target::LockTarget;
use crate::sys::{self, End, Reach};
use crate::text::escape::Escaped;
use crate::text::time::Elapsed;

/// Something that happens on the way to the command, or beside it.
pub enum Notice<'a> {
    /// The name of the lock file cannot be marked.
    NoMark(LockTarget, Errno),
    /// The PID is not written into the lock file.
    NoRecord(LockTarget, Unrecorded),
    /// The job is to be ended, and only its first process can be.
    OneProcess(LockTarget),
    /// A lock that seems to be an ancestor's is waited for.
    WaitsForKin(LockTarget, Kin),
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
    /// The connection has ended that the lock of this process was bound to, and its job is sent this
    /// signal, if it has not been sent one already.
    Lost(LockTarget, u32, Option<(&'static str, Reach)>),
    /// The job of this process could not be sent this signal.
    Unreached(LockTarget, u32, c_int, Errno),
    /// The command's process, which had this PID, has ended after this time, and how, where that is known.
    Ended(LockTarget, u32, Duration, Option<HowEnded<'a>>),
}

/// How a command's process ended.
#[derive(Clone, Copy)]
pub enum HowEnded<'a> {
    /// By itself, or by a signal of somebody else's.
    Itself(End),
    /// Because its time was over, which was given so.
    ByMaxRuntime(&'a str),
    /// Because its lock was lost.
    ByLoss,
}

impl Display for HowEnded<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HowEnded::Itself(End::Status(status)) => write!(out, "status {status}"),
            HowEnded::Itself(End::Signal(signal)) => write!(out, "signal {signal}"),
            HowEnded::ByMaxRuntime(given) => write!(out, "by --max-runtime {given}"),
            HowEnded::ByLoss => out.write_str("by the loss of its lock"),
        }
    }
}

impl Reporting {
    /// Starts a stopwatch if `flock --verbose` will print how long the lock took.
    pub fn stopwatch(self) -> Option<Instant> {
        let tells = self.dialect == Dialect::Flock && self.verbosity == Verbosity::Verbose;
        tells.then(Instant::now)
    }

    /// Says it, if that much was asked for. A log is told of everything.
    pub fn tell(self, log: Option<&Log>, notice: &Notice<'_>) {
        match (log, notice) {
            (None, _) => {}
            (Some(log), Notice::Starting(..) | Notice::LetGo(..)) => log.line(notice),
            // Whose line it is, is to be seen.
            (Some(log), _) => log.line(&format_args!("{notice} (PID {})", std::process::id())),
        }
        match (self.verbosity, self.dialect, notice) {
            // Nobody may be there to read them; that is no reason not to run.
            (Verbosity::Verbose, Dialect::Flock, _) => {
                let lines = lines_of_flock(notice);
                let _ = sys::without_write_signals(|| Ok(stdio::print(lines.as_bytes())?));
            }
            (_, Dialect::Nonoverlap, Notice::WaitsForKin(..))
            | (Verbosity::Verbose, Dialect::Nonoverlap, _)
            | (Verbosity::Normal, _, Notice::Helper(..)) => {
                stdio::say(self.dialect, notice);
            }
            // Two containers that share a folder have a process of the same number each.
            (Verbosity::Normal, _, Notice::LetGo(..)) if sys::knows_every_pid() => {
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
        Notice::Locked(_, start) | Notice::Unlocked(_, start) => took(start),
        Notice::Starting(_, _, program, start) => {
            format!(
                "{}{name}: executing {}\n",
                took(start),
                program.to_string_lossy()
            )
        }
        _ => String::new(),
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
            Notice::NoRecord(target, why) => without_record(out, target, *why),
            Notice::WaitsForKin(target, kin) => {
                let kin = Double(*kin);
                write!(out, "{target} is held{kin}; waiting all the same")
            }
            Notice::LetGo(target, pid) => {
                write!(
                    out,
                    "{target} was free, but PID {pid}, which its record names, still runs; perhaps that command \
                     closed the lock's descriptor, as ssh and tcsh do: see --close"
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
            Notice::OneProcess(target) => write!(
                out,
                "{target}: the command may have a terminal, so it gets no process group of its own: a signal \
                 to end it will reach its first process only"
            ),
            Notice::Lost(target, pid, sent) => {
                let what = "has lost the lock: its connection to the server has ended";
                let what_next = sent.map_or_else(String::new, |(signal, reach)| match reach {
                    Reach::Group => format!("; sending {signal} to its process group"),
                    Reach::Process => format!("; sending {signal} to it"),
                });
                write!(out, "{target}: PID {pid} {what}{what_next}")
            }
            Notice::Unreached(target, pid, signal, reason) => {
                let why = match *reason == sys::NUMBER_IS_OLD {
                    true => OLD_NUMBER.to_owned(),
                    false => Reason(*reason).to_string(),
                };
                write!(
                    out,
                    "{target}: cannot send signal {signal} to PID {pid}: {why}"
                )
            }
            Notice::Ended(target, pid, lasted, how) => {
                write!(out, "{target}: PID {pid} ended after {}", Elapsed(*lasted))?;
                how.map_or(Ok(()), |how| write!(out, ", {how}"))
            }
        }
    }
}

/// Why a group is sent nothing that was not looked at for a while.
const OLD_NUMBER: &str = "it has ended, and the number of its group may be another's";

/// Why the PID is not in the lock file.
fn without_record(
    out: &mut fmt::Formatter<'_>,
    target: &LockTarget,
    why: Unrecorded,
) -> fmt::Result {
    let why = match why {
        Unrecorded::Failed(reason) => {
            let reason = match sys::means_lease(reason) {
                true => LEASED.to_owned(),
                false => Reason(reason).to_string(),
            };
            let what = "cannot write the PID into";
            return write!(out, "{what} {target}: {reason}; running all the same");
        }
        Unrecorded::Occupied => "holds something other than a PID record",
        Unrecorded::Linked => "is a symbolic link",
        Unrecorded::Named => "has several hard links",
    };
    write!(out, "{target} {why}, so the PID is not written into it")
}
