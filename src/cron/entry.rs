//! The crontab entry of a run: text in, text out.
//!
//! An entry is two lines, a comment that marks it and the run itself:
//!
//! ```text
//! # nonoverlap --install: /tmp/parser.lock
//! */2 * * * * cd /home/me && /usr/local/bin/nonoverlap /tmp/parser.lock /usr/bin/python3 parser.py
//! ```
//!
//! All other lines stay as they are, byte for byte.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::here::Here;
use crate::model::command::CommandLine;
use crate::model::error::{Error, usage};
use crate::model::request::{Install, Value};
use crate::text::escape::position;

/// What the marking comment has before the lock file.
pub const MARK: &[u8] = b"# nonoverlap --install: ";

/// The longest command that every cron takes, in bytes: some cut a longer one off without a word
/// (MAX_COMMAND in Vixie cron's source), and half a command is another command.
const LONGEST: usize = 998;

/// The line that cron is to run, without its newline.
pub fn line(asked: &Install, here: &Here, lock: &Path) -> Result<Vec<u8>, Error> {
    let mut words = vec![
        here.program(asked.program, asked.run.target)?
            .into_os_string(),
    ];
    for given in &asked.options {
        words.push(given.name.clone().into());
        match &given.value {
            Some(Value::Path(log)) => words.push(here.log(log)?.into_os_string()),
            Some(Value::Word(word)) => words.push(word.clone()),
            None => {}
        }
    }
    words.push(lock.as_os_str().to_owned());
    match asked.run.command {
        CommandLine::Line(line) => {
            words.extend(["-c".into(), OsStr::from_bytes(line.to_bytes()).to_owned()]);
        }
        CommandLine::Words(name, arguments) => {
            words.push(here.program(name, asked.run.target)?.into_os_string());
            let arguments = arguments.from(1).iter().map(CStr::to_bytes);
            words.extend(arguments.map(|word| OsStr::from_bytes(word).to_owned()));
        }
    }
    let mut command = b"cd ".to_vec();
    command.extend(quoted(here.path().as_os_str()));
    command.extend(b" &&");
    for word in &words {
        command.push(b' ');
        command.extend(quoted(word));
    }
    if command.contains(&b'\n') {
        return Err(usage("a crontab line cannot hold a newline"));
    }
    if command.len() > LONGEST {
        return Err(usage(format_args!(
            "the command would be {} bytes long in the crontab; some crons cut off more than {LONGEST}, \
             so use a script",
            command.len()
        )));
    }
    Ok([&asked.schedule[..], &command].join(&b' '))
}

/// A word as sh reads it, in a line that cron reads before.
///
/// Cron takes the backslash before a `%` away, whatever the quotes, and makes a newline of a `%`
/// that has none; some crons make one backslash of two. So a backslash of the word's own is kept
/// apart from what comes behind it by quotes that end and begin again.
pub fn quoted(word: &OsStr) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./:,@=".contains(byte);
    let word = word.as_bytes();
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.to_vec();
    }
    let mut text = b"'".to_vec();
    for &byte in word {
        match byte {
            b'\'' => text.extend(br"'\''"),
            b'\\' => text.extend(br"\''"),
            b'%' => text.extend(br"\%"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    text
}

/// A crontab in which the entry of this lock file is this line, or is no more. Nothing where there is
/// neither an entry nor a line.
pub fn edit(crontab: &[u8], lock: &Path, line: Option<&[u8]>) -> Option<Vec<u8>> {
    let mark = mark(lock);
    let mut entry = line.map(|line| [&mark, line, b"\n"].concat());
    let mut changed = entry.is_some();

    let word = quoted(lock.as_os_str());
    let mut edited = Vec::new();
    let mut lines = crontab.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        // A mark whose line is gone does not make an entry of the line below.
        if line == mark && lines.next_if(|line| is_run_of(&word, line)).is_some() {
            changed = true;
            edited.extend(entry.take().unwrap_or_default());
        } else {
            edited.extend(line);
        }
    }
    // crontab(1) refuses a last line without a newline.
    if edited.last().is_some_and(|&byte| byte != b'\n') {
        edited.push(b'\n');
    }
    edited.extend(entry.unwrap_or_default());
    changed.then_some(edited)
}

/// The lines of the entries of this lock file in a crontab, without their newlines.
pub fn lines_of<'a>(crontab: &'a [u8], lock: &Path) -> Vec<&'a [u8]> {
    let (mark, word) = (mark(lock), quoted(lock.as_os_str()));
    let mut lines = crontab.split_inclusive(|&byte| byte == b'\n').peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == mark {
            found.extend(lines.next_if(|line| is_run_of(&word, line)));
        }
    }
    let bare = |line: &'a [u8]| line.strip_suffix(b"\n").unwrap_or(line);
    found.into_iter().map(bare).collect()
}

/// The marking comment of a lock file, with its newline.
fn mark(lock: &Path) -> Vec<u8> {
    [MARK, lock.as_os_str().as_bytes(), b"\n"].concat()
}

/// Whether a line is a run with this lock file, be its schedule, options or command changed by hand.
pub fn is_run_of(lock: &[u8], line: &[u8]) -> bool {
    let behind = |line, word: &[u8]| {
        let word = [b" ", word, b" "].concat();
        position(line, &word).and_then(|at| line.get(at + word.len() - 1..))
    };
    [b"cd", b"&&", lock]
        .into_iter()
        .try_fold(line, behind)
        .is_some()
}
