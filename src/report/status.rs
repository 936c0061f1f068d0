//! `--status`: who holds each lock and since when, said to a person. Never takes a lock, and changes
//! nothing.

use std::cell::LazyCell;
use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use super::hint::tilde;
use super::holders::{Sentence, but_no_nonoverlap, why_unknown};
use super::installed::InstalledRun;
use super::log_tail::{self, WhyUnread};
use super::outcome::Answer;
use super::status_json;
use crate::inspect;
use crate::inspect::missing::Missing;
use crate::inspect::state::{Displaced, LockReport, LockState, RecordedProcess};
use crate::model::error::Reason;
use crate::model::request::{Format, Status};
use crate::model::target::{self, LockTarget};
use crate::sys::Snapshot;
use crate::text::escape::Escaped;
use crate::text::time::Moment;

/// Exit statuses of `--status` (LSB's for init scripts: 3 is "not running", 4 "unknown").
const HELD: u8 = 0;

/// Nobody holds any of them.
const FREE: u8 = 3;

/// Of one of them at least that cannot be told.
pub const CANNOT_TELL: u8 = 4;

/// How many lines of a log are shown.
const LAST_LINES: usize = 10;

/// The answer about these lock files: 4 if any cannot be told, else 0 if any is held, else 3.
pub fn report(asked: &Status) -> Answer {
    let targets = asked.paths.iter().map(LockTarget::of);
    let slots = targets.flat_map(|target| target::slots(target, Some(asked.slots)));
    let mut answer = of_all(slots.map(|(_, target)| (target, None)), asked.format);
    if let Some(path) = &asked.log {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = tell_log(&mut text, asked.format, path);
        answer.text.extend(text.into_bytes());
    }
    answer
}

/// The answer about these runs, the same way.
pub fn of_installed(runs: &[InstalledRun], format: Format) -> Answer {
    if runs.is_empty() && format == Format::Text {
        return Answer {
            text: b"no run is installed in the crontab\n".to_vec(),
            status: FREE,
        };
    }
    let slots = runs.iter().flat_map(|run| {
        let slots = target::slots(run.target, Some(run.slots));
        slots.map(move |(_, target)| (target, Some(run)))
    });
    of_all(slots, format)
}

/// The answer about these locks, each with the run of the crontab that it is of.
fn of_all<'a>(
    locks: impl Iterator<Item = (LockTarget, Option<&'a InstalledRun>)>,
    format: Format,
) -> Answer {
    let snapshot: LazyCell<Snapshot> = LazyCell::new(Snapshot::take);
    let mut text = String::new();
    let mut status = FREE;
    for (target, run) in locks {
        let line = Line(target, inspect::inspect(&snapshot, target));
        status = match (status, line.status()) {
            (CANNOT_TELL, _) | (_, CANNOT_TELL) => CANNOT_TELL,
            (HELD, _) | (_, HELD) => HELD,
            _ => FREE,
        };
        // Writing to a String cannot fail.
        let _ = match (format, run) {
            (Format::Quiet, _) => Ok(()),
            (Format::Text, None) => writeln!(text, "{line}"),
            (Format::Text, Some(run)) => writeln!(text, "{line}; {run}"),
            (Format::Json, run) => status_json::lock(&mut text, target, &line.1, run),
        };
    }
    Answer {
        text: text.into_bytes(),
        status,
    }
}

/// A lock file, and what is known of it.
struct Line(LockTarget, LockReport);

impl Line {
    /// The exit status for this lock alone.
    fn status(&self) -> u8 {
        match &self.1.state {
            Ok(LockState::Held(_) | LockState::Remote(Some(true), _)) => HELD,
            Ok(LockState::Free | LockState::Remote(Some(false), _)) => FREE,
            Ok(LockState::Unknown(_) | LockState::Remote(None, _)) | Err(_) => CANNOT_TELL,
        }
    }
}

impl Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.0)?;
        match &self.1.state {
            Ok(LockState::Held(holders)) => {
                write!(out, "{}", Sentence(holders))?;
                match holders.waiters.unwrap_or(0) {
                    0 => {}
                    1 => out.write_str("; 1 process waits")?,
                    count => write!(out, "; {count} processes wait")?,
                }
                if let Some(displaced) = self.1.displaced {
                    write!(out, "; its lock file was {}", became(displaced))?;
                }
                match &self.1.record {
                    None if self.1.is_occupied => write!(out, "; {OCCUPIED}"),
                    Some((_, RecordedProcess::Holds)) | None => Ok(()),
                    // It may well be the holder that is not seen.
                    Some((record, RecordedProcess::Runs)) if holders.confirmed.is_empty() => {
                        write!(out, "; the record names PID {}, which runs", record.pid)
                    }
                    Some((record, process)) => {
                        let process = as_words(*process);
                        write!(out, "; the record names PID {}, {process}", record.pid)
                    }
                }
            }
            Ok(LockState::Free) => match &self.1.record {
                _ if self.1.exists == Some(false) => match &self.1.missing {
                    Some(part) => write!(out, "free; {}", NoPart(part)),
                    None => out.write_str("free; there is no such file"),
                },
                None if self.1.is_occupied => write!(out, "free; {OCCUPIED}"),
                None => out.write_str("free; no run is recorded"),
                Some((record, process)) => {
                    match record.time <= SystemTime::now() {
                        true => write!(out, "free; last run began {} as ", Moment(record.time))?,
                        // The file's time was set, or the clock.
                        false => out.write_str("free; last run was ")?,
                    }
                    write!(out, "PID {}", record.pid)?;
                    match process {
                        RecordedProcess::Gone => Ok(()),
                        process => write!(out, ", {}", as_words(*process)),
                    }
                }
            },
            Ok(LockState::Unknown(why)) => {
                let but = but_no_nonoverlap(*why, self.1.marked);
                write!(out, "cannot tell: {}{but}", why_unknown(*why))
            }
            Ok(LockState::Remote(None, why)) => {
                write!(out, "cannot tell: {}", Escaped(&why.text))
            }
            Ok(LockState::Remote(Some(_), said)) => write!(out, "{}", Escaped(&said.text)),
            Err(reason) => match &self.1.missing {
                Some(part) => write!(out, "cannot tell: {}", NoPart(part)),
                None => write!(out, "cannot tell: {}", Reason(*reason)),
            },
        }
    }
}

/// What is said of a lock file that has no room for a record.
const OCCUPIED: &str = "its lock file holds something other than a PID record";

/// What became of a lock file that is not where it was.
fn became(displaced: Displaced) -> &'static str {
    match displaced {
        Displaced::Deleted => "deleted",
        Displaced::Renamed => "renamed or replaced",
        Displaced::Unknown => "deleted, renamed or replaced",
    }
}

/// Where a path breaks off.
struct NoPart<'a>(&'a Missing);

impl Display for NoPart<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| Escaped(path.as_os_str().as_bytes()).to_string();
        match self.0 {
            Missing::Folder(folder) => {
                write!(out, "there is no folder {}", shown(folder))?;
                tilde(out, folder)
            }
            Missing::NoFolder(file) => write!(out, "{} is not a folder", shown(file)),
        }
    }
}

/// What became of a recorded process, behind its PID.
fn as_words(process: RecordedProcess) -> &'static str {
    match process {
        RecordedProcess::Holds => "a holder",
        RecordedProcess::Runs => "which runs and has perhaps released the lock",
        RecordedProcess::Alive => "which is alive, perhaps as another process",
        RecordedProcess::Reused => "which is another process now",
        RecordedProcess::Gone => "which is gone",
        RecordedProcess::Unseen => "which cannot be seen from here",
    }
}

/// The last lines of a log, after the lock files.
fn tell_log(out: &mut String, format: Format, path: &OsStr) -> fmt::Result {
    match (format, log_tail::last_lines(path, LAST_LINES)) {
        (Format::Quiet, _) => Ok(()),
        (Format::Json, lines) => status_json::log(out, path, lines),
        (Format::Text, Ok(lines)) => lines
            .iter()
            .try_for_each(|line| writeln!(out, "{}", Escaped(line))),
        (Format::Text, Err(reason)) => {
            let path = Escaped(path.as_bytes());
            writeln!(out, "{path}: cannot read the log: {}", WhyUnread(reason))
        }
    }
}
