//! What a refused run says, and to whom.

use std::cell::LazyCell;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::time::Duration;

use super::holders::{By, For};
use super::log::Log;
use super::stdio::say;
use crate::inspect;
use crate::inspect::state::Holders;
use crate::lock::held::Busy;
use crate::lock::kin::Kin;
use crate::model::dialect::Dialect;
use crate::model::reporting::{Reporting, Verbosity};
use crate::model::target::LockTarget;
use crate::sys::Snapshot;
use crate::text::escape::Escaped;
use crate::text::time::{self, Elapsed};

impl Reporting {
    /// Says that nothing was started, and who is in the way. Returns false only if
    /// something had to be said and could not be written.
    pub fn refuse(self, busy: &[Busy], log: Option<&Log>) -> bool {
        match self.dialect {
            Dialect::Nonoverlap => self.tell_conflict(busy, log),
            Dialect::Flock => self.tell_conflict_as_flock(busy),
        }
    }

    /// Cron mails what a job prints, so a conflict is silent unless a person looks, or the lock has
    /// been held for too long; or unless it is our own, or an ancestor's: then it is no news but a
    /// mistake, by which the command never runs. Of several slots each must be so, since another may
    /// become free. Who holds it is only looked for if it will be told.
    fn tell_conflict(self, busy: &[Busy], log: Option<&Log>) -> bool {
        let speaks = match self.verbosity {
            Verbosity::Quiet => false,
            Verbosity::Normal => io::stderr().is_terminal(),
            Verbosity::Verbose => true,
        };
        // A wait for kin was told before it began.
        let is_kins = |busy: &Busy| busy.kin.is_some() && !busy.waited;
        let is_double = busy.iter().all(is_kins);
        if !speaks && log.is_none() && self.alarm.is_none() && !is_double {
            return true;
        }
        let conflict = Conflict::over(busy, self.alarm);
        if let Some(log) = log {
            log.line(&conflict);
        }
        !(speaks || conflict.is_alarm || is_double) || say(self.dialect, &conflict)
    }

    /// Says what flock says of a conflict, which is nothing without `--verbose`.
    fn tell_conflict_as_flock(self, busy: &[Busy]) -> bool {
        match (self.verbosity, busy.iter().any(|busy| busy.waited)) {
            (Verbosity::Verbose, true) => say(self.dialect, &"timeout while waiting to get lock"),
            (Verbosity::Verbose, false) => say(self.dialect, &"failed to get lock"),
            _ => true,
        }
    }
}

/// A refusal, with what is known of who is in the way: of one lock, or of that of each slot.
struct Conflict<'a> {
    /// What was tried, with its holders where they can be told.
    locks: Vec<(&'a Busy, Option<Holders>)>,
    /// DURATION of `--alarm`.
    alarm: Option<Duration>,
    /// All locks are known to have been held for longer than the alarm allows.
    is_alarm: bool,
}

impl Conflict<'_> {
    /// Looks at who has these locks.
    fn over(busy: &[Busy], alarm: Option<Duration>) -> Conflict<'_> {
        let snapshot: LazyCell<Snapshot> = LazyCell::new(Snapshot::take);
        let locks: Vec<_> = busy
            .iter()
            .map(|busy| match busy.target {
                // Its helper has told already, or does not know.
                LockTarget::Remote(_) => (busy, None),
                _ if matches!(busy.kin, Some(Kin::Ourselves(_) | Kin::Guardian)) => (busy, None),
                target => (busy, inspect::inspect(&snapshot, target).holders()),
            })
            .collect();
        let is_too_old = |limit: Duration, busy: &Busy, holders: &Option<Holders>| {
            let start = holders.as_ref().and_then(|holders| holders.since);
            let start = start.or(busy.since);
            start.is_some_and(|start| time::since(start) > limit)
        };
        let all_too_old = |limit| {
            locks
                .iter()
                .all(|(busy, holders)| is_too_old(limit, busy, holders))
        };
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
        for (
            index,
            (
                Busy {
                    target,
                    kin,
                    helper_text,
                    since,
                    ..
                },
                holders,
            ),
        ) in self.locks.iter().enumerate()
        {
            let comma = if index == 0 { "" } else { ", " };
            match &helper_text[..] {
                [] => write!(out, "{comma}{target} is held")?,
                helper_text => write!(out, "{comma}{target}: {}", Escaped(helper_text))?,
            }
            match holders {
                Some(holders) => write!(out, " {}", By(holders))?,
                None => write!(out, "{}", For(*since))?,
            }
            if let Some(kin) = kin {
                write!(out, "{}", Double(*kin))?;
            }
        }
        if let (Some(alarm), true) = (self.alarm, self.is_alarm) {
            match alarm.as_secs() {
                // No time would be no limit.
                0 => write!(out, ", longer than {}s", time::seconds(alarm))?,
                _ => write!(out, ", longer than {}", Elapsed(alarm))?,
            }
        }
        out.write_str("; not started")
    }
}

/// Why a lock is taken twice, behind the word that it is held; and what to do.
pub struct Double(pub Kin);

impl Display for Double {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kin::Ourselves(descriptor) => write!(
                out,
                " by this very job: it was started under the same lock and inherited it on descriptor \
                 {descriptor}; remove one of the two nonoverlap calls"
            ),
            Kin::Guardian => out.write_str(
                " by the guardian of this very job: it was started under the same lock, with --close; remove \
                 one of the two nonoverlap calls",
            ),
            Kin::Ancestor(pid) => write!(
                out,
                "; this job was started by PID {pid}, which the lock file names, perhaps under the same lock: \
                 then remove one of the two nonoverlap calls"
            ),
        }
    }
}
