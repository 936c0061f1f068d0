//! `--status`: who holds each lock and since when, said to a person. Never takes a lock, and changes
//! nothing.

use std::cell::LazyCell;
use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;

use super::holders::Sentence;
use super::log_tail;
use super::outcome::Answer;
use super::status_json;
use crate::inspect;
use crate::inspect::state::{Fate, Finding, Verdict};
use crate::model::error::Reason;
use crate::model::request::{Form, Status};
use crate::model::target::{self, Place};
use crate::sys::Survey;
use crate::text::escape::Escaped;
use crate::text::time::Moment;

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
        .flat_map(|word| target::slots(Place::of(word), Some(asked.slots)));
    for (_, place) in slots {
        let answer = About(place, inspect::find(&survey, place));
        status = match (status, answer.status()) {
            (CANNOT_TELL, _) | (_, CANNOT_TELL) => CANNOT_TELL,
            (HELD, _) | (_, HELD) => HELD,
            _ => FREE,
        };
        // Writing to a String cannot fail.
        let _ = match asked.form {
            Form::Quiet => Ok(()),
            Form::Text => writeln!(text, "{answer}"),
            Form::Json => status_json::lock(&mut text, answer.0, &answer.1),
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

/// The last lines of a log, after the lock files.
fn tell_log(out: &mut String, form: Form, path: &OsStr) -> fmt::Result {
    match (form, log_tail::last_lines(path)) {
        (Form::Quiet, _) => Ok(()),
        (Form::Json, lines) => status_json::log(out, path, lines),
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
    }
}
