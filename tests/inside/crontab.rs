use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::dice::Dice;
use super::{bytes, many_times};
use crate::cron::{edit, quoted};

const LOCK: &str = "/tmp/l";
const LINE: &[u8] = b"@daily cd / && /bin/nonoverlap /tmp/l /bin/true";

/// What lines are made of here; `/tmp/l` and the mark in front of it often.
const PIECES: [&[u8]; 14] = [
    b"# nonoverlap --install: /tmp/l",
    b"# nonoverlap --install: ",
    b"@daily cd / && /bin/nonoverlap /tmp/l true",
    b"/tmp/l",
    b" /tmp/l ",
    b" cd ",
    b" && ",
    b"\n",
    b"\n",
    b"\n",
    b"\r",
    b"#",
    b" ",
    b"\xff",
];

#[test]
fn no_line_is_lost_but_in_pairs_of_a_mark_and_a_run() {
    many_times(|dice| {
        let text = text(dice);
        let shown = text.escape_ascii().to_string();
        let lock = Path::new(LOCK);
        let entry = [b"# nonoverlap --install: /tmp/l\n", LINE, b"\n"].concat();

        let installed = edit(&text, lock, Some(LINE)).unwrap();
        let again = edit(&installed, lock, Some(LINE)).unwrap();
        assert!(again == installed, "{shown}");
        let left = edit(&installed, lock, None).unwrap();
        assert!(left == others(&text), "{shown}");
        let uninstalled = edit(&text, lock, None);
        assert!(uninstalled.is_none_or(|text| text == left), "{shown}");
        let at = (0..=left.len()).find(|&at| {
            let (above, below) = left.split_at(at);
            [above, &entry, below].concat() == installed
        });
        assert!(at.is_some(), "{shown}");
    });
}

/// What is to be left of a text: all lines but a mark and, right below it, a run with this lock file.
fn others(text: &[u8]) -> Vec<u8> {
    let is_run = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let behind = |line: Option<&str>, part| Some(line?.split_once(part)?.1.to_owned());
        let rest = behind(Some(&line), " cd ").map(|rest| format!(" {rest}"));
        let rest = behind(rest.as_deref(), " && ").map(|rest| format!(" {rest}"));
        behind(rest.as_deref(), " /tmp/l ").is_some()
    };
    let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let (mut left, mut at) = (Vec::new(), 0);
    while let Some(line) = lines.get(at) {
        let below = lines.get(at + 1);
        if *line == b"# nonoverlap --install: /tmp/l\n" && below.is_some_and(|line| is_run(line)) {
            at += 2;
        } else {
            left.extend(*line);
            at += 1;
        }
    }
    match left.last() {
        None | Some(b'\n') => left,
        Some(_) => [&left[..], b"\n"].concat(),
    }
}

fn text(dice: &mut Dice) -> Vec<u8> {
    let piece = |dice: &mut Dice| match dice.below(8) {
        0 => bytes(dice, b"\n #\\", 3),
        _ => dice.one_of(&PIECES).to_vec(),
    };
    let count = dice.below(24);
    (0..count).flat_map(|_| piece(dice)).collect()
}

#[test]
fn any_word_comes_through_cron_and_sh() {
    many_times(|dice| {
        let mut word = bytes(dice, b"\\\\%%''\"$ a/", 12);
        word.retain(|&byte| byte != 0 && byte != b'\n');
        let text = quoted(OsStr::from_bytes(&word));
        for pairs_become_one in [false, true] {
            let given = through_cron(&text, pairs_become_one);
            let read = given.as_deref().and_then(by_sh);
            assert_eq!(read.as_deref(), Some(&word[..]), "{}", text.escape_ascii());
        }
    });
}

/// What cron gives sh, or nothing where it would make a newline. See `tests/integration/cron/quoting.rs`.
fn through_cron(text: &[u8], pairs_become_one: bool) -> Option<Vec<u8>> {
    let mut given = Vec::new();
    let mut escaped = false;
    for &byte in text {
        if escaped && (byte == b'%' || byte == b'\\' && pairs_become_one) {
            given.pop();
        } else if byte == b'%' {
            return None;
        }
        escaped = !escaped && byte == b'\\';
        given.push(byte);
    }
    Some(given)
}

/// The one word that sh reads, or nothing where it would read something else.
fn by_sh(text: &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    let (mut quoted, mut rest) = (false, text.iter());
    while let Some(&byte) = rest.next() {
        match byte {
            b'\'' => quoted = !quoted,
            _ if quoted => word.push(byte),
            b'\\' => word.push(*rest.next()?),
            _ if byte.is_ascii_alphanumeric() || b"_-+./:,@=".contains(&byte) => word.push(byte),
            _ => return None,
        }
    }
    (!quoted && !text.is_empty()).then_some(word)
}
