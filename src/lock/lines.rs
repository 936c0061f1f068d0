//! The lines that a helper writes on its standard output. They are not trusted: what they may be is in
//! nonoverlap-helper(7).

use std::ffi::{CStr, CString};
use std::time::{Duration, SystemTime};

use crate::sys;
use crate::text::escape::in_a_line;
use crate::text::password::without_secrets_of;

/// How much of what a helper says is kept, in bytes, and of what it is told. The rest is dropped.
pub const MOST_BYTES: usize = 4096;

/// By this it says that it is connected, and waits.
pub const WAITING: &[u8] = b"waiting\n";

/// What the variable of a fence begins with, in a helper's line and in the command's environment.
pub const FENCE: &CStr = c"NONOVERLAP_FENCE=";

/// The most digits of a fence.
const MOST_DIGITS: usize = 64;

/// The fence that came with a lock, as a variable for the command; nothing where it has none. A line
/// without its end may be a part of one, and what is no fence may be meant as one.
///
/// # Errors
///
/// Why it is neither.
pub fn fence(text: &[u8]) -> Result<Option<CString>, &'static str> {
    let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let line = match lines[..] {
        [line] | [WAITING, line] => line.strip_suffix(b"\n"),
        _ => None,
    };
    let value = line.and_then(|line| line.strip_prefix(FENCE.to_bytes()));
    let is_number = |value: &[u8]| {
        (1..=MOST_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
    };
    match (line, value) {
        (Some(b""), _) => Ok(None),
        (Some(line), Some(value)) if is_number(value) => {
            CString::new(line).map(Some).map_err(|_| NO_FENCE)
        }
        _ => Err(NO_FENCE),
    }
}

/// What is said where a line is neither a fence nor empty.
const NO_FENCE: &str =
    "its helper passed neither NONOVERLAP_FENCE=DIGITS nor an empty line with the connection";

/// Since when a lock is held, if there is a line that tells how long.
pub fn since(text: &[u8]) -> Option<SystemTime> {
    let mut values = fields(text).filter_map(|line| line.strip_prefix(SINCE));
    SystemTime::now().checked_sub(values.find_map(seconds)?)
}

/// What tells for how many seconds a lock has been held.
const SINCE: &[u8] = b"since=";

/// What tells of a holder.
const HOLDER: &[u8] = b"holder=";

/// The lines that are whole, without their ends.
fn fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

/// A number of seconds, with or without a fraction.
fn seconds(text: &[u8]) -> Option<Duration> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let is_number = text.first()?.is_ascii_digit() && text.iter().all(is_part);
    let text = CString::new(text).ok().filter(|_| is_number)?;
    Duration::try_from_secs_f64(sys::strtod(&text)?).ok()
}

/// What a helper answers to `--status`. There is no password of the lock in it.
#[derive(Default)]
pub struct StatusAnswer {
    /// For a person.
    pub text: Vec<u8>,
    /// Who has it.
    pub holders: Vec<Vec<u8>>,
    /// Since when, if that is known.
    pub since: Option<SystemTime>,
}

impl StatusAnswer {
    /// Reads the answer for the lock that this word names.
    pub fn read(text: &[u8], word: &CStr) -> StatusAnswer {
        let is_cut = text.len() == MOST_BYTES;
        let hide = |text: &[u8]| without_secrets_of(word.to_bytes(), text, is_cut);
        let is_field = |line: &[u8]| {
            let is_whole = line.ends_with(b"\n");
            is_whole && (line.starts_with(SINCE) || line.starts_with(HOLDER))
        };
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let for_people: Vec<_> = lines.filter(|line| !is_field(line)).collect();
        let holders = fields(text).filter_map(|line| line.strip_prefix(HOLDER));
        StatusAnswer {
            text: in_a_line(&hide(&for_people.concat())),
            holders: holders.map(|holder| hide(holder.trim_ascii())).collect(),
            since: since(text),
        }
    }

    /// Only words.
    pub fn of(text: impl Into<Vec<u8>>) -> StatusAnswer {
        StatusAnswer {
            text: text.into(),
            ..StatusAnswer::default()
        }
    }

    /// The same, with these words where it has none.
    pub fn or(self, default: &str) -> StatusAnswer {
        match self.text.is_empty() {
            false => self,
            true => StatusAnswer {
                text: default.into(),
                ..self
            },
        }
    }
}
