//! How a run speaks of what happens on its way: how much, as which tool, and to whom. The words of an
//! end are in `outcome.rs`, and so is the writing itself.

use std::cell::LazyCell;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::inspect::local::{self as holders, Holding};
use crate::lock::acquire::Busy;
use crate::model::dialect::Dialect;
use crate::model::error::{self as outcome, Answer, Outcome, Reason};
use crate::model::request::{Command, Place};
use crate::report::log::Log;
use crate::report::status::By;
use crate::run::exec;
use crate::sys::{self, Survey};
use crate::text::escape::Escaped;
use crate::text::time::{self, Elapsed};

/// How this run speaks.
#[derive(Clone, Copy)]
pub struct Manner {
    /// As which tool.
    pub dialect: Dialect,
    /// How much.
    pub voice: Voice,
    /// The exit status if the lock is taken.
    pub conflict: u8,
    /// For how long the lock may be held before a conflict is told in any case.
    pub alarm: Option<Duration>,
}

/// How much to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Errors and alarms only.
    Quiet,
    /// Errors, and a conflict where a person looks.
    Normal,
    /// All that happens.
    Verbose,
}

/// Something that happens on the way to the command.
pub enum Notice {
    /// The PID cannot be written into the lock file.
    NoRecord(Place, Errno),
    /// The process that the record names still runs, although the lock was free.
    LetGo(Place, u32),
    /// The lock is held and the command comes next.
    Starting(Place, Command, Option<Instant>),
    /// The lock is held and there is no command.
    Locked(Place, Option<Instant>),
    /// The helper of a server took the lock, and said this.
    Helper(Place, Vec<u8>),
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
    pub fn tell(self, log: Option<&Log>, notice: &Notice) {
        if let (Some(log), Notice::Starting(..) | Notice::LetGo(..)) = (log, notice) {
            log.line(notice);
        }
        match (self.voice, self.dialect, notice) {
            // Nobody may be there to read them; that is no reason not to run.
            (Voice::Verbose, Dialect::Flock, _) => {
                let lines = lines_of_flock(notice);
                let _ = sys::unsignalled(|| Ok(outcome::print(lines.as_bytes())?));
            }
            (Voice::Verbose, Dialect::Nonoverlap, _)
            | (Voice::Normal, _, Notice::LetGo(..) | Notice::Helper(..)) => {
                outcome::say(self.dialect, notice);
            }
            _ => {}
        }
    }

    /// Says that it is done, where there is no command.
    pub fn done(self, notice: &Notice) -> Outcome {
        if (self.voice, self.dialect) == (Voice::Verbose, Dialect::Flock) {
            let text = lines_of_flock(notice).into_bytes();
            return Outcome::Told(Answer { text, status: 0 });
        }
        self.tell(None, notice);
        Outcome::Done
    }

    /// Says that nothing was started, and who is in the way. Tells whether what had to be said was
    /// written.
    pub fn refuse(self, busy: &[Busy], log: Option<&Log>) -> bool {
        match self.dialect {
            Dialect::Nonoverlap => self.tell_conflict(busy, log),
            Dialect::Flock => self.tell_conflict_as_flock(busy),
        }
    }

    /// Cron mails what a job prints, so a conflict is silent unless a person looks, or the lock has
    /// been held for too long. Who holds it is only looked for if it will be told.
    fn tell_conflict(self, busy: &[Busy], log: Option<&Log>) -> bool {
        let speaks = match self.voice {
            Voice::Quiet => false,
            Voice::Normal => io::stderr().is_terminal(),
            Voice::Verbose => true,
        };
        if !speaks && log.is_none() && self.alarm.is_none() {
            return true;
        }
        let conflict = Conflict::over(busy, self.alarm);
        if let Some(log) = log {
            log.line(&conflict);
        }
        !(speaks || conflict.is_alarm) || outcome::say(self.dialect, &conflict)
    }

    fn tell_conflict_as_flock(self, busy: &[Busy]) -> bool {
        match (self.voice, busy.iter().any(|busy| busy.waited)) {
            (Voice::Verbose, true) => {
                outcome::say(self.dialect, &"timeout while waiting to get lock")
            }
            (Voice::Verbose, false) => outcome::say(self.dialect, &"failed to get lock"),
            _ => true,
        }
    }
}

/// A refusal, with what is known of who is in the way: of one lock, or of that of each slot.
struct Conflict<'a> {
    locks: Vec<(&'a Busy, Option<Holding>)>,
    alarm: Option<Duration>,
    /// All locks are known to have been held for longer than the alarm allows.
    is_alarm: bool,
}

impl Conflict<'_> {
    fn over(busy: &[Busy], alarm: Option<Duration>) -> Conflict<'_> {
        let survey: LazyCell<Survey> = LazyCell::new(Survey::take);
        let locks: Vec<_> = busy
            .iter()
            .map(|busy| match busy.place {
                // Its helper has told already, or does not know.
                Place::Remote(_) => (busy, None),
                place => (busy, holders::find(&survey, place).holding()),
            })
            .collect();
        let is_too_old = |limit: Duration, holding: &Option<Holding>| {
            let start = holding.as_ref().and_then(|holding| holding.since);
            start.is_some_and(|start| time::since(start) > limit)
        };
        let all_too_old = |limit| locks.iter().all(|(_, holding)| is_too_old(limit, holding));
        let is_alarm = alarm.is_some_and(all_too_old);
        Conflict {
            locks,
            alarm,
            is_alarm,
        }
    }
}

impl Display for Conflict<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (Busy { place, told, .. }, holding)) in self.locks.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match &told[..] {
                [] => write!(out, "{comma}{place} is held")?,
                told => write!(out, "{comma}{place}: {}", Escaped(told))?,
            }
            if let Some(holding) = holding {
                write!(out, " {}", By(holding))?;
            }
        }
        if let (Some(alarm), true) = (self.alarm, self.is_alarm) {
            write!(out, ", longer than {}", Elapsed(alarm))?;
        }
        out.write_str("; not started")
    }
}

/// The lines that `flock --verbose` prints on stdout.
fn lines_of_flock(notice: &Notice) -> String {
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
        Notice::Starting(_, command, start) => {
            let program = exec::program(*command);
            format!(
                "{}{name}: executing {}\n",
                took(start),
                program.to_string_lossy()
            )
        }
    }
}

impl Display for Notice {
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
            Notice::Starting(place, command, _) => {
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
