//! The runs that are in the crontab, for `--status`.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use super::entry::{MARK, is_run_of, quoted};
use crate::model::target::{LockTarget, SLOTS};
use crate::report::installed::InstalledRun;
use crate::text::escape::position;

/// The runs that `--install` has put into this crontab, in their order.
pub fn runs(crontab: &[u8]) -> Vec<InstalledRun> {
    let mut lines = crontab.split(|&byte| byte == b'\n').peekable();
    let mut runs = Vec::new();
    while let Some(line) = lines.next() {
        let Some(lock) = line.strip_prefix(MARK) else {
            continue;
        };
        let word = quoted(&OsString::from_vec(lock.to_vec()));
        let is_run = |line: &&[u8]| !is_comment(line) && is_run_of(&word, line);
        if let Some(line) = lines.next_if(is_run) {
            runs.extend(run(lock, line));
        }
    }
    runs
}

/// Whether cron takes no notice of a line.
fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

/// The run of this line, whose lock file is this. Its log and slots are known only where the line is
/// written as `--install` writes it.
fn run(lock: &[u8], line: &[u8]) -> Option<InstalledRun> {
    let change = position(line, b" cd ")?;
    let (schedule, command) = line.split_at_checked(change)?;
    let words = words(command.get(1..)?).unwrap_or_default();
    // cd, the folder, && and the program come first.
    let options = words.get(4..).unwrap_or_default();
    let options = options.split(|word| word == lock).next()?;
    let value = |names: [&[u8]; 2]| {
        // The last one wins.
        let at = options
            .iter()
            .rposition(|word| names.contains(&&word[..]))?;
        options.get(at + 1)
    };
    let slots = value([b"-j", b"--slots"]);
    let slots = slots.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
    // Of what was edited to be no number of slots, the state of the lock file is told.
    let slots = slots.filter(|slots| SLOTS.contains(slots));
    // The process lives for no longer than the answer.
    let target = LockTarget::of(Box::leak(CString::new(lock).ok()?.into_boxed_c_str()));
    Some(InstalledRun {
        target,
        slots: slots.unwrap_or(1),
        schedule: schedule.to_vec(),
        log: value([b"-l", b"--log"]).map(|log| OsString::from_vec(log.clone())),
    })
}

/// The words of a command as [`quoted`] writes them. Nothing where it is not written so.
fn words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = vec![Vec::new()];
    let mut is_quoted = false;
    let mut bytes = command.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let word = words.last_mut()?;
        match (byte, is_quoted) {
            (b'\'', _) => is_quoted = !is_quoted,
            (b' ', false) => words.push(Vec::new()),
            (b'\\', false) => word.push(bytes.next()?),
            // Cron takes this backslash away.
            (b'\\', true) => word.push(bytes.next_if_eq(&b'%').unwrap_or(byte)),
            _ => word.push(byte),
        }
    }
    let written = words.iter().map(|word| match &word[..] {
        b"&&" => word.clone(),
        word => quoted(&OsString::from_vec(word.to_vec())),
    });
    let is_so = written.collect::<Vec<_>>().join(&b' ') == command;
    is_so.then_some(words)
}
