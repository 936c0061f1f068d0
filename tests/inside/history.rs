use std::time::Duration;

use super::dice::Dice;
use super::{bytes, many_times};
use crate::report::history::line::{Blamed, Event, How, event, ours};
use crate::report::history::run::End;
use crate::report::history::runs::History;
use crate::text::stamp::{Rounded, Stamp, number};
use crate::text::time::Elapsed;

/// What the text of a line tells, in short.
fn told(text: &str) -> String {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event(text.as_bytes(), text.ends_with("; not started")) {
        Event::Start { lock, pid, command } => {
            format!("start {pid} of {} as {}", shown(lock), shown(command))
        }
        Event::End {
            lock,
            pid,
            after,
            how,
        } => {
            let how = match how {
                None => "?".to_owned(),
                Some(How::Status(number)) => format!("status {number}"),
                Some(How::Signal(number)) => format!("signal {number}"),
                Some(How::By(option)) => format!("by {}", shown(option)),
            };
            let (seconds, unit) = (after.seconds, after.unit);
            format!("end {pid} of {} after {seconds}+{unit}, {how}", shown(lock))
        }
        Event::Failure { lock, pid, reason } => {
            format!("failure {pid} of {}: {}", shown(lock), shown(reason))
        }
        Event::Refusal(_) => "refusal".to_owned(),
        Event::Other => "other".to_owned(),
    }
}

#[test]
fn each_form_of_a_line_is_read_whatever_names_hold() {
    #[rustfmt::skip] // A row a line is how a table is read.
    let table = [
        ("/l locked by PID 7; starting true", "start 7 of /l as true"),
        ("/l locked by PID 7; starting ", "start 7 of /l as "),
        ("/l locked by PID 7; starting a locked by PID 8; starting b", "start 7 of /l as a locked by PID 8; starting b"),
        ("a locked by PID x locked by PID 7; starting b", "start 7 of a locked by PID x as b"),
        ("/l locked by PID 07; starting true", "other"),
        ("/l locked by PID 7 ; starting true", "other"),
        ("/l locked by PID 1234567890123; starting true", "other"),
        ("descriptor 9 locked", "other"),
        ("/l: PID 7 ended after 3s", "end 7 of /l after 3+1, ?"),
        ("/l: PID 7 ended after 12m03s, status 0", "end 7 of /l after 723+1, status 0"),
        ("/l: PID 7 ended after 2h05m, signal 15", "end 7 of /l after 7500+60, signal 15"),
        ("/l: PID 7 ended after 3d04h, by --max-runtime 2h", "end 7 of /l after 273600+3600, by --max-runtime 2h"),
        ("a: PID 3 ended after 5s: PID 7 ended after 3s, status 1", "end 7 of a: PID 3 ended after 5s after 3+1, status 1"),
        ("a://h/d#n: PID 7 ended after 3s, status 1", "end 7 of a://h/d#n after 3+1, status 1"),
        ("/l: PID 7 ended after 3s, status 256", "other"),
        ("/l: PID 7 ended after 3s, status 0 ", "other"),
        ("/l: PID 7 ended after 3s, by the loss of its lock", "end 7 of /l after 3+1, by the loss of its lock"),
        ("/l: PID 7 ended after 3s, by the loss of its locks", "other"),
        ("/l: PID 7 ended after 3s, by --rm -rf", "other"),
        ("/l: PID 7 ended after 3s, by --max-runtime 2h; rm", "other"),
        ("/l: PID 7 ended after 3s, by --max-runtime ", "other"),
        ("/l: PID 7 ended after 3s, by --max-runtime 0000000000000000000000000000.05m", "end 7 of /l after 3+1, by --max-runtime 0000000000000000000000000000.05m"),
        ("/l: PID 7 ended after 3s,", "other"),
        ("/l: PID 7 ended after 3", "other"),
        ("/l: PID 7 ended after 3m60s", "other"),
        ("/l: PID 7 ended after 3h1m", "other"),
        ("/l: PID 7: cannot execute /no: No such file or directory", "failure 7 of /l: cannot execute /no: No such file or directory"),
        ("/l: PID 7: is gone", "other"),
        ("cannot open lock file /l: Permission denied", "other"),
        ("/l is held by PID 7 (true) for 1s; not started", "refusal"),
        ("/l locked by PID 7; starting true; not started", "start 7 of /l as true; not started"),
        ("/l is held by PID 7 (a locked by PID 8; starting b) for 1s; not started", "refusal"),
        ("a://h: held by PID 7 (a locked by PID 8; starting b); not started", "refusal"),
        ("/l is held by PID 7 locked by PID 8; starting b", "start 8 of /l is held by PID 7 as b"),
        ("", "other"),
    ];
    for (text, expected) in table {
        assert_eq!(told(text), expected, "{text}");
    }
    let long = format!("{} locked by PID 7; starting true", "n".repeat(17_000));
    assert_eq!(told(&long), "other");
}

#[test]
fn a_refusal_is_of_the_locks_that_it_names() {
    // The lock, the text, whether it is of that lock, whether PID 7 is named, and the times.
    #[rustfmt::skip]
    let table: [(&str, &str, bool, bool, &[i64]); 13] = [
        ("/l", "/l is held by PID 7 (true) for 1m51s; not started", true, true, &[111]),
        ("/l", "/l is held by PID 7 (true) for 1m51s, longer than 1m00s; not started", true, true, &[111]),
        ("/l", "/l is held by PID 6 (a), PID 7 (b) for 3s; not started", true, true, &[3]),
        ("/l", "/l is held by PID 7 of user 3 (stopped) (a); not started", true, true, &[]),
        ("/l", "/l is held by PID 8 (PID 7 in its own PID namespace) (b) for 3s; not started", true, false, &[3]),
        ("/l", "/l is held by PID 77 (true) for 3s; perhaps also by PID 8 (x); not started", true, false, &[3]),
        ("/l", "/l is held by a process that cannot be seen; not started", true, false, &[]),
        ("/l", "/l is held; not started", true, false, &[]),
        ("/l", "/l.2 is held by PID 7 (true) for 3s; not started", false, false, &[]),
        ("/l.2", "/l is held by PID 6 (a) for 9s, /l.2 is held by PID 7 (true) for 3s; not started", true, true, &[3]),
        ("/l", "/k is held by PID 7 (true) for 3s; not started", false, false, &[]),
        ("a://h", "a://h: held by somebody; not started", true, false, &[]),
        ("/l", "/l: held by somebody; not started", false, false, &[]),
    ];
    for (lock, text, is_of_it, names, times) in table {
        let blamed = Blamed::of(text.as_bytes(), lock.as_bytes());
        assert_eq!(blamed.is_some(), is_of_it, "{text}");
        if let Some(blamed) = blamed {
            assert_eq!(blamed.names(7), names, "{text}");
            let told: Vec<_> = blamed.held_for().map(|time| time.seconds).collect();
            assert_eq!(told, times, "{text}");
        }
    }
}

#[test]
fn a_stamp_is_read_as_seconds_since_1970() {
    let seconds = |text: &str| Stamp::read(text.as_bytes()).map(|(stamp, _)| stamp.seconds);
    for (text, expected) in [
        ("1970-01-01 00:00:00 +0000", Some(0)),
        ("1970-01-01 01:00:00 +0100 x", Some(0)),
        ("1969-12-31 23:59:59 +0000", Some(-1)),
        ("2000-02-29 12:00:00 +0000", Some(951_825_600)),
        ("2000-03-01 12:00:00 +0000", Some(951_912_000)),
        ("2100-03-01 00:00:00 +0000", Some(4_107_542_400)),
        ("2026-11-28 01:14:09 -0330", Some(1_795_841_049)),
        ("2026-11-28 01:14:60 +0000", Some(1_795_828_500)),
        ("0000-01-01 00:00:00 +0000", Some(-62_167_219_200)),
        ("9999-12-31 23:59:59 -2359", Some(253_402_387_139)),
        ("2026-13-01 00:00:00 +0000", None),
        ("2026-00-01 00:00:00 +0000", None),
        ("2026-01-32 00:00:00 +0000", None),
        ("2026-01-01 24:00:00 +0000", None),
        ("2026-01-01 00:00:00 0000", None),
        ("2026-01-01 00:00:00 +000", None),
        ("2026-01-01T00:00:00 +0000", None),
        (" 026-01-01 00:00:00 +0000", None),
        ("", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
    let line = b"2026-11-28 01:14:09 +0000 nonoverlap: x";
    assert_eq!(ours(line).unwrap().1, b"x");
    assert!(ours(b"2026-11-28 01:14:09 +0000 nonoverlap x").is_none());
    assert!(ours(b"x2026-11-28 01:14:09 +0000 nonoverlap: x").is_none());
}

#[test]
fn a_duration_that_was_written_is_read_to_within_its_last_unit() {
    many_times(|dice| {
        let seconds = dice.below(1 << 40) >> dice.below(40);
        let text = Elapsed(Duration::from_secs(seconds as u64)).to_string();
        let (read, rest) = Rounded::read(text.as_bytes()).unwrap();
        let seconds = seconds as i64;
        assert!(
            rest.is_empty() && [1, 60, 3600].contains(&read.unit),
            "{text}"
        );
        assert!(
            (read.seconds..read.seconds + read.unit).contains(&seconds),
            "{text}"
        );
        // Of anything else no more is read than would be written.
        let text = bytes(dice, b"0123456789smhd", 9);
        if let Some((read, rest)) = Rounded::read(&text) {
            let written = Elapsed(Duration::from_secs(read.seconds as u64)).to_string();
            let (again, _) = Rounded::read(written.as_bytes()).unwrap();
            assert!(
                again.seconds <= read.seconds && rest.len() < text.len(),
                "{text:?}"
            );
        }
        let _ = number(&text);
    });
}

/// What the lines of a log are made of here.
const PIECES: [&str; 26] = [
    "2026-11-28 01:14:09 +0000 nonoverlap: ",
    "2026-11-28 01:14:09 +0000 nonoverlap: ",
    "2026-11-28 01:16:09 +0000 nonoverlap: ",
    "2026-11-28 01:14:09 -2359 nonoverlap: ",
    "0000-01-01 00:00:00 +2359 nonoverlap: ",
    "9999-12-31 23:59:60 -2359 nonoverlap: ",
    "/l",
    "/l",
    "/l",
    "/l.2",
    "a://b",
    " locked by PID 7; starting true",
    " locked by PID 7; starting true",
    " locked by PID 999999999999; starting true",
    ": PID 7 ended after 2m00s, status 0",
    ": PID 7 ended after 0s",
    ": PID 7 ended after 999999999999d23h, signal 9",
    ": PID 7 ended after 9999h59m, by --max-runtime 2h",
    ": PID 7: cannot execute x: y",
    " is held by PID 7 (true) for 2m00s",
    " is held by PID 7 (true) for 999999999999d23h",
    " is held",
    ", ",
    ": words",
    "; not started",
    "; not started",
];

#[test]
fn whatever_a_log_holds_no_more_is_told_than_can_be() {
    many_times(|dice| {
        let mut history = History::default();
        let count = dice.below(12);
        for _ in 0..count {
            let line = line(dice);
            history.take(&line, line.ends_with(b"; not started"));
        }
        assert!(history.runs.len() <= count && history.refused <= count as u64);
        assert!(history.refused_otherwise <= history.refused);
        assert!(history.span().is_none_or(|span| span > 0));
        for run in &history.runs {
            let (lasted, least) = (run.lasted(), run.at_least());
            assert!(lasted.is_none() || least.is_none());
            assert!(lasted.or(least).is_none_or(|seconds| seconds >= 0));
            assert!(run.refused <= history.refused);
            assert!(run.marks.iter().count() as u64 <= run.refused);
            let is_known = matches!(
                run.end,
                End::Ended {
                    is_least: false,
                    ..
                }
            );
            assert_eq!(lasted.is_some(), is_known);
        }
    });
}

/// A line of ours, or nearly one.
fn line(dice: &mut Dice) -> Vec<u8> {
    let mut line = dice.one_of(&PIECES[..6]).as_bytes().to_vec();
    for _ in 0..=dice.below(5) {
        line.extend(dice.one_of(&PIECES[6..]).as_bytes());
    }
    if dice.below(8) == 0 {
        let place = dice.below(line.len());
        line[place] = dice.below(256) as u8;
    }
    line
}
