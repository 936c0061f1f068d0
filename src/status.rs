//! `--status`: who holds each lock and since when, said to a person or to a program. Never takes a
//! lock, and changes nothing.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::escape::{Escaped, Json};
use crate::holders::{self, Fate, Finding, Holder, Holding, Verdict};
use crate::lockfile;
use crate::log;
use crate::outcome::{Answer, Reason};
use crate::request::{Form, Place, Status};
use crate::sys::Survey;
use crate::time::{Elapsed, Moment, Zone, since};

/// Exit statuses of `--status` (LSB's for init scripts: 3 is "not running", 4 "unknown").
const HELD: u8 = 0;
const FREE: u8 = 3;
const CANNOT_TELL: u8 = 4;

/// The answer about these lock files: 4 if any cannot be told, else 0 if any is held, else 3.
pub fn report(asked: &Status) -> Answer {
    let survey = Survey::take().ok();
    let mut text = String::new();
    let mut status = FREE;
    let slots = asked
        .paths
        .iter()
        .flat_map(|path| lockfile::slots(Place::File(path), Some(asked.slots)));
    for (_, place) in slots {
        let answer = About(place, holders::find(survey.as_ref(), place));
        status = match (status, answer.status()) {
            (CANNOT_TELL, _) | (_, CANNOT_TELL) => CANNOT_TELL,
            (HELD, _) | (_, HELD) => HELD,
            _ => FREE,
        };
        // Writing to a String cannot fail.
        let _ = match asked.form {
            Form::Quiet => Ok(()),
            Form::Text => writeln!(text, "{answer}"),
            Form::Json => answer.json(&mut text),
        };
    }
    if let Some(path) = &asked.log {
        let _ = tell_log(&mut text, asked.form, path);
    }
    Answer { text, status }
}

/// A lock file, and what is known of it.
struct About(Place, Finding);

impl About {
    fn path(&self) -> &[u8] {
        match self.0 {
            Place::File(path) => path.to_bytes(),
            Place::Descriptor(_) => b"",
        }
    }

    fn status(&self) -> u8 {
        match &self.1.verdict {
            Ok(Verdict::Held(_)) => HELD,
            Ok(Verdict::Free) => FREE,
            Ok(Verdict::Unknown) | Err(_) => CANNOT_TELL,
        }
    }
}

impl Display for About {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.0)?;
        match &self.1.verdict {
            Ok(Verdict::Held(holding)) => {
                write!(out, "{}", Sentence(holding))?;
                match holding.waiters.unwrap_or(0) {
                    0 => {}
                    1 => out.write_str("; 1 waits")?,
                    count => write!(out, "; {count} wait")?,
                }
                if self.1.deleted {
                    out.write_str("; its lock file was deleted")?;
                }
                match &self.1.record {
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
            Ok(Verdict::Free) => match &self.1.record {
                _ if !self.1.exists => out.write_str("free; there is no such file"),
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

impl About {
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
            Json(self.path())
        )?;
        write!(
            out,
            ",\"exists\":{},\"deleted\":{}",
            self.1.exists, self.1.deleted
        )?;
        let nothing = Holding {
            holders: Vec::new(),
            takers: Vec::new(),
            since: None,
            waiters: None,
        };
        let holding = match &self.1.verdict {
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
        match &self.1.record {
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
        match &self.1.verdict {
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
