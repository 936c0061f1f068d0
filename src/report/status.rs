//! `--status`: who holds each lock and since when, said to a person or to a program. Never takes a
//! lock, and changes nothing.

use std::cell::LazyCell;
use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::geteuid;

use crate::inspect::local::{self as holders, Fate, Finding, Holder, Holding, Verdict};
use crate::lock::file as lockfile;
use crate::model::error::{Answer, Reason};
use crate::model::request::{Form, Place, Status};
use crate::report::log;
use crate::sys::Survey;
use crate::text::escape::{Escaped, Json, without_passwords};
use crate::text::time::{Elapsed, Moment, Zone, since};

/// Exit statuses of `--status` (LSB's for init scripts: 3 is "not running", 4 "unknown").
const HELD: u8 = 0;
const FREE: u8 = 3;
const CANNOT_TELL: u8 = 4;

/// The answer about these lock files: 4 if any cannot be told, else 0 if any is held, else 3.
#[cold]
pub fn report(asked: &Status) -> Answer {
    let survey: LazyCell<Survey> = LazyCell::new(Survey::take);
    let mut text = String::new();
    let mut status = FREE;
    let slots = asked
        .paths
        .iter()
        .flat_map(|word| lockfile::slots(Place::of(word), Some(asked.slots)));
    for (_, place) in slots {
        let answer = About(place, holders::find(&survey, place));
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
    Answer {
        text: text.into_bytes(),
        status,
    }
}

/// A lock file, and what is known of it.
struct About(Place, Finding);

impl About {
    fn path(&self) -> Vec<u8> {
        match self.0 {
            Place::File(path) => path.to_bytes().to_vec(),
            Place::Remote(word) => without_passwords(word.to_bytes()),
            Place::Descriptor(_) => Vec::new(),
        }
    }

    fn status(&self) -> u8 {
        match &self.1.verdict {
            Ok(Verdict::Held(_) | Verdict::Told(Some(true), _)) => HELD,
            Ok(Verdict::Free | Verdict::Told(Some(false), _)) => FREE,
            Ok(Verdict::Unknown(_) | Verdict::Told(None, _)) | Err(_) => CANNOT_TELL,
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
                    Some((_, Fate::Holds)) | None => Ok(()),
                    // It may well be the holder that is not seen.
                    Some((record, Fate::Runs)) if holding.holders.is_empty() => {
                        write!(out, "; the record names PID {}, which runs", record.pid)
                    }
                    Some((record, fate)) => {
                        let fate = as_words(*fate);
                        write!(out, "; the record names PID {}, {fate}", record.pid)
                    }
                }
            }
            Ok(Verdict::Free) => match &self.1.record {
                _ if self.1.exists == Some(false) => out.write_str("free; there is no such file"),
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
            Ok(Verdict::Unknown(why)) => write!(out, "cannot tell: {why}"),
            Ok(Verdict::Told(None, why)) => write!(out, "cannot tell: {}", Escaped(why)),
            Ok(Verdict::Told(Some(_), said)) => write!(out, "{}", Escaped(said)),
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
        Fate::Unseen => "which cannot be seen from here",
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
                write!(out, "held by {}{}", Named(one), For(holding.since))?;
                if !one.command.is_empty() {
                    write!(out, ": {}", Escaped(&one.command))?;
                }
                also(out, &holding.takers)
            }
            many => {
                let time = For(holding.since);
                write!(
                    out,
                    "held by {} processes{time}: {}",
                    many.len(),
                    List(many)
                )?;
                also(out, &holding.takers)
            }
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
            (holders, takers) => {
                write!(out, "by {}{}", List(holders), For(holding.since))?;
                also(out, takers)
            }
        }
    }
}

/// Those of whom it is not certain.
fn also(out: &mut fmt::Formatter<'_>, takers: &[Holder]) -> fmt::Result {
    match takers {
        [] => Ok(()),
        takers => write!(out, "; perhaps also by {}", List(takers)),
    }
}

/// `PID 1 (one), PID 2 (two)`
struct List<'a>(&'a [Holder]);

impl Display for List<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, holder) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{}", Named(holder))?;
            if !holder.command.is_empty() {
                write!(out, " ({})", Escaped(&holder.command))?;
            }
        }
        Ok(())
    }
}

/// A process, and what is not as one would expect: `PID 21488 of user 33 (stopped)`
struct Named<'a>(&'a Holder);

impl Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.0;
        write!(out, "PID {}", holder.pid)?;
        if let Some(pid) = holder.inner_pid {
            write!(out, ", which is PID {pid} in a PID namespace of its own,")?;
        }
        let ours = geteuid().as_raw();
        if let Some(user) = holder.user.filter(|&user| user != ours) {
            write!(out, " of user {user}")?;
        }
        if holder.is_stopped {
            out.write_str(" (stopped)")?;
        }
        Ok(())
    }
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
            Json(&self.path())
        )?;
        write!(
            out,
            ",\"exists\":{},\"deleted\":{}",
            JsonOption(self.1.exists),
            self.1.deleted
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
        write!(out, ",\"waiters\":{}", JsonOption(holding.waiters))?;
        match &self.1.record {
            Some((record, fate)) => {
                let fate = match fate {
                    Fate::Holds => "holds",
                    Fate::Runs => "runs",
                    Fate::Alive => "alive",
                    Fate::Reused => "reused",
                    Fate::Gone => "gone",
                    Fate::Unseen => "unseen",
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
        let (told, error) = match &self.1.verdict {
            Err(reason) => (None, Some(Reason(*reason).to_string().into_bytes())),
            Ok(Verdict::Unknown(why)) => (None, Some(why.as_bytes().to_vec())),
            Ok(Verdict::Told(None, why)) => (None, Some(why.clone())),
            Ok(Verdict::Told(Some(_), said)) => (Some(said.clone()), None),
            Ok(_) => (None, None),
        };
        write!(out, ",\"told\":{}", JsonOption(told.as_deref().map(Json)))?;
        write!(out, ",\"error\":{}", JsonOption(error.as_deref().map(Json)))?;
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
        write!(
            out,
            ",\"user\":{},\"inner_pid\":{},\"stopped\":{}}}",
            JsonOption(holder.user),
            JsonOption(holder.inner_pid),
            holder.is_stopped
        )?;
    }
    out.push(']');
    Ok(())
}

/// A number or a truth value, or null where it is not known.
struct JsonOption<T>(Option<T>);

impl<T: Display> Display for JsonOption<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("null"),
        }
    }
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
