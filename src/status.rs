//! `--status`: who holds each lock and since when, said to a person or to a program. Never takes a
//! lock, and changes nothing.

use std::ffi::{CStr, OsStr};
use std::fmt::{self, Display, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::escape::{Escaped, Json};
use crate::holders::{self, Fate, Holder, Holding, Verdict};
use crate::log;
use crate::outcome::Reason;
use crate::record::{self, Record};
use crate::request::Form;
use crate::sys::{self, Survey};
use crate::time::{Elapsed, Moment, Zone, since};

/// Exit statuses of `--status` (LSB's for init scripts: 3 is "not running", 4 "unknown").
const HELD: u8 = 0;
const FREE: u8 = 3;
const CANNOT_TELL: u8 = 4;

/// What is known of one lock file.
struct Finding<'a> {
    path: &'a CStr,
    exists: bool,
    /// The lock is on a file that had this path and was deleted.
    deleted: bool,
    verdict: Result<Verdict, Errno>,
    record: Option<(Record, Fate)>,
}

/// The text about these lock files, and the exit status: 4 if any cannot be told, else 0 if any is
/// held, else 3.
pub fn report(
    paths: impl Iterator<Item = &'static CStr>,
    form: Form,
    log: Option<&OsStr>,
) -> (String, u8) {
    let survey = Survey::take();
    let mut text = String::new();
    let mut status = FREE;
    for path in paths {
        let finding = find(survey.as_ref().ok(), path);
        status = match (status, finding.status()) {
            (CANNOT_TELL, _) | (_, CANNOT_TELL) => CANNOT_TELL,
            (HELD, _) | (_, HELD) => HELD,
            _ => FREE,
        };
        // Writing to a String cannot fail.
        let _ = match form {
            Form::Quiet => Ok(()),
            Form::Text => writeln!(text, "{finding}"),
            Form::Json => finding.json(&mut text),
        };
    }
    if let Some(path) = log {
        let _ = tell_log(&mut text, form, path);
    }
    (text, status)
}

fn find<'a>(survey: Option<&Survey>, path: &'a CStr) -> Finding<'a> {
    let mut finding = Finding {
        path,
        exists: true,
        deleted: false,
        verdict: Ok(Verdict::Unknown),
        record: None,
    };
    let opened = match fs::open(path, sys::LOOK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => {
            finding.exists = false;
            finding.verdict = Ok(Verdict::Free);
            look_for_deleted(survey, absolute(path).as_deref(), &mut finding);
            return finding;
        }
        Err(reason) => {
            finding.verdict = Err(reason);
            return finding;
        }
    };
    let Some(seen) = survey else { return finding };
    let record = recorded(path);
    let verdict = holders::verdict(seen, opened.as_fd(), record.as_ref());
    if matches!(verdict, Verdict::Free) {
        look_for_deleted(
            survey,
            sys::path_of(opened.as_fd()).as_deref(),
            &mut finding,
        );
    }
    if !finding.deleted {
        finding.verdict = Ok(verdict);
    }
    finding.record = record.map(|record| {
        let holders = match &finding.verdict {
            Ok(Verdict::Held(holding)) => &holding.holders[..],
            _ => &[],
        };
        let fate = holders::fate(&record, holders);
        (record, fate)
    });
    finding
}

/// The record, looked at without opening anything that is not a regular file of its length.
fn recorded(path: &CStr) -> Option<Record> {
    let state = fs::lstat(path).ok()?;
    let is_file = FileType::from_raw_mode(state.st_mode) == FileType::RegularFile;
    if !is_file || usize::try_from(state.st_size) != Ok(record::LENGTH) {
        return None;
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    record::read(&fs::open(path, flags, Mode::empty()).ok()?)
}

/// A file that is not there has the path that it would have.
fn absolute(path: &CStr) -> Option<std::path::PathBuf> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let folder = match path.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}

fn look_for_deleted(survey: Option<&Survey>, path: Option<&Path>, finding: &mut Finding<'_>) {
    let Some(survey) = survey else { return };
    let place = path.and_then(|path| survey.deleted(path));
    let opened: Option<OwnedFd> =
        place.and_then(|place| fs::open(place, sys::LOOK | OFlags::CLOEXEC, Mode::empty()).ok());
    let Some(opened) = opened else { return };
    // What it held when it was deleted, it still holds.
    let record = place.and_then(|place| {
        record::read(
            &fs::open(
                place,
                OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .ok()?,
        )
    });
    let verdict = holders::verdict(survey, opened.as_fd(), record.as_ref());
    finding.deleted = matches!(verdict, Verdict::Held(_));
    if finding.deleted {
        finding.verdict = Ok(verdict);
    }
}

impl Finding<'_> {
    fn status(&self) -> u8 {
        match &self.verdict {
            Ok(Verdict::Held(_)) => HELD,
            Ok(Verdict::Free) => FREE,
            Ok(Verdict::Unknown) | Err(_) => CANNOT_TELL,
        }
    }
}

impl Display for Finding<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", Escaped(self.path.to_bytes()))?;
        match &self.verdict {
            Ok(Verdict::Held(holding)) => {
                write!(out, "{}", Sentence(holding))?;
                match holding.waiters.unwrap_or(0) {
                    0 => {}
                    1 => out.write_str("; 1 waits")?,
                    count => write!(out, "; {count} wait")?,
                }
                if self.deleted {
                    out.write_str("; its lock file was deleted")?;
                }
                match &self.record {
                    Some((record, fate)) if *fate != Fate::Holds => {
                        write!(
                            out,
                            "; the record names PID {}, {}",
                            record.pid,
                            as_words(*fate)
                        )
                    }
                    _ => Ok(()),
                }
            }
            Ok(Verdict::Free) => match &self.record {
                _ if !self.exists => out.write_str("free; there is no such file"),
                None => out.write_str("free; no run is recorded"),
                Some((record, fate)) => {
                    write!(
                        out,
                        "free; last run began {} as PID {}",
                        Moment(record.time),
                        record.pid
                    )?;
                    match fate {
                        Fate::Gone => Ok(()),
                        fate => write!(out, ", {}", as_words(*fate)),
                    }
                }
            },
            Ok(Verdict::Unknown) => {
                out.write_str("cannot tell: there may be holders that cannot be seen from here")
            }
            Err(reason) => write!(out, "cannot tell: {}", Reason(*reason)),
        }
    }
}

fn as_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Holds => "a holder",
        Fate::Runs => "which runs and has perhaps let go of the lock",
        Fate::Alive => "which is alive, perhaps as another process",
        Fate::Reused => "which is another process now",
        Fate::Gone => "which is gone",
    }
}

/// `held by PID 21488 for 12m03s: python3 parser.py`
struct Sentence<'a>(&'a Holding);

impl Display for Sentence<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holding = self.0;
        match &holding.holders[..] {
            [] => write!(out, "held {}", By(holding)),
            [one] => {
                write!(
                    out,
                    "held by PID {}{}{}",
                    one.pid,
                    stopped(one),
                    For(holding.since)
                )?;
                match &one.command[..] {
                    b"" => Ok(()),
                    command => write!(out, ": {}", Escaped(command)),
                }
            }
            many => write!(
                out,
                "held by {} processes{}: {}",
                many.len(),
                For(holding.since),
                List(many)
            ),
        }
    }
}

/// Who holds it, for a sentence about the conflict: `by PID 21488 (python3 parser.py) for 12m03s`
pub struct By<'a>(pub &'a Holding);

impl Display for By<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holding = self.0;
        match (&holding.holders[..], &holding.takers[..]) {
            ([], []) => out.write_str("by a process that cannot be seen"),
            ([], takers) => write!(
                out,
                "by a process that cannot be looked into, perhaps {}",
                List(takers)
            ),
            (holders, _) => write!(out, "by {}{}", List(holders), For(holding.since)),
        }
    }
}

/// `PID 1 (one), PID 2 (two)`
struct List<'a>(&'a [Holder]);

impl Display for List<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, holder) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}PID {}{}", holder.pid, stopped(holder))?;
            if !holder.command.is_empty() {
                write!(out, " ({})", Escaped(&holder.command))?;
            }
        }
        Ok(())
    }
}

fn stopped(holder: &Holder) -> &'static str {
    if holder.is_stopped { " (stopped)" } else { "" }
}

/// ` for 12m03s`, or nothing where that is not known.
struct For(Option<SystemTime>);

impl Display for For {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |start| {
            write!(out, " for {}", Elapsed(since(start)))
        })
    }
}

impl Finding<'_> {
    /// One JSON object, in a line. The man page documents the fields.
    fn json(&self, out: &mut String) -> fmt::Result {
        let state = match self.status() {
            HELD => "held",
            FREE => "free",
            _ => "unknown",
        };
        write!(
            out,
            "{{\"path\":{},\"state\":\"{state}\"",
            Json(self.path.to_bytes())
        )?;
        write!(
            out,
            ",\"exists\":{},\"deleted\":{}",
            self.exists, self.deleted
        )?;
        let nothing = Holding {
            holders: Vec::new(),
            takers: Vec::new(),
            since: None,
            waiters: None,
        };
        let holding = match &self.verdict {
            Ok(Verdict::Held(holding)) => holding,
            _ => &nothing,
        };
        out.push_str(",\"holders\":");
        json_list(out, &holding.holders)?;
        out.push_str(",\"takers\":");
        json_list(out, &holding.takers)?;
        match holding.since {
            Some(start) => write!(
                out,
                ",\"since\":{},\"held_for\":{}",
                JsonTime(start),
                since(start).as_secs()
            )?,
            None => out.push_str(",\"since\":null,\"held_for\":null"),
        }
        match holding.waiters {
            Some(count) => write!(out, ",\"waiters\":{count}")?,
            None => out.push_str(",\"waiters\":null"),
        }
        match &self.record {
            Some((record, fate)) => {
                let fate = match fate {
                    Fate::Holds => "holds",
                    Fate::Runs => "runs",
                    Fate::Alive => "alive",
                    Fate::Reused => "reused",
                    Fate::Gone => "gone",
                };
                let time = JsonTime(record.time);
                write!(
                    out,
                    ",\"record\":{{\"pid\":{},\"time\":{time},\"process\":\"{fate}\"}}",
                    record.pid
                )?;
            }
            None => out.push_str(",\"record\":null"),
        }
        match &self.verdict {
            Err(reason) => write!(
                out,
                ",\"error\":{}",
                Json(Reason(*reason).to_string().as_bytes())
            )?,
            Ok(_) => out.push_str(",\"error\":null"),
        }
        out.push_str("}\n");
        Ok(())
    }
}

fn json_list(out: &mut String, holders: &[Holder]) -> fmt::Result {
    out.push('[');
    for (index, holder) in holders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(
            out,
            "{comma}{{\"pid\":{},\"command\":{}",
            holder.pid,
            Json(&holder.command)
        )?;
        write!(out, ",\"stopped\":{}}}", holder.is_stopped)?;
    }
    out.push(']');
    Ok(())
}

/// A moment in the form of RFC 3339, in quotes.
struct JsonTime(SystemTime);

impl Display for JsonTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = if self.0 < UNIX_EPOCH {
            UNIX_EPOCH
        } else {
            self.0
        };
        let text = Moment(moment).to_string().replace(' ', "T");
        write!(out, "\"{text}{}\"", Zone(moment, ":"))
    }
}

/// The last lines of a log, after the lock files.
fn tell_log(out: &mut String, form: Form, path: &OsStr) -> fmt::Result {
    let lines = log::last_lines(path);
    match (form, lines) {
        (Form::Quiet, _) => Ok(()),
        (Form::Text, Ok(lines)) => lines
            .iter()
            .try_for_each(|line| writeln!(out, "{}", Escaped(line))),
        (Form::Text, Err(reason)) => {
            writeln!(
                out,
                "{}: cannot read the log: {}",
                Escaped(path.as_bytes()),
                Reason(reason)
            )
        }
        (Form::Json, lines) => {
            write!(out, "{{\"log\":{},\"lines\":[", Json(path.as_bytes()))?;
            for (index, line) in lines.iter().flatten().enumerate() {
                write!(out, "{}{}", if index == 0 { "" } else { "," }, Json(line))?;
            }
            match lines {
                Ok(_) => out.push_str("],\"error\":null}\n"),
                Err(reason) => writeln!(
                    out,
                    "],\"error\":{}}}",
                    Json(Reason(reason).to_string().as_bytes())
                )?,
            }
            Ok(())
        }
    }
}
