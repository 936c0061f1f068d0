//! `--status --log FILE`: what it shows of the lock, and behind it the last lines of the log.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Ended, NONOVERLAP, Run, Scene, nonoverlap, reason};

#[test]
fn status_ends_with_the_last_ten_lines_of_the_log() {
    let numbers = |range: std::ops::Range<u32>| {
        let lines = range.map(|number| format!("line {number}\n"));
        lines.collect::<String>()
    };
    for (content, end) in [
        (String::new(), String::new()),
        ("one\n".into(), "one\n".into()),
        ("no newline".into(), "no newline\n".into()),
        ("one\nno newline".into(), "one\nno newline\n".into()),
        (numbers(0..9), numbers(0..9)),
        (numbers(0..10), numbers(0..10)),
        (numbers(0..11), numbers(1..11)),
        (numbers(0..100_000), numbers(99_990..100_000)),
        ("a\n\n\nb\n\n".into(), "a\n\n\nb\n\n".into()),
        ("\n".repeat(12), "\n".repeat(10)),
        ("\x1b[2J\ttab\r\n".into(), "\\x1b[2J\\ttab\\r\n".into()),
    ] {
        let scene = Scene::new();
        scene.file("log", &content);
        let expected = format!("lock: free; there is no such file\n{end}");
        status(&scene, &[]).expect(3, &expected, "");
        status(&scene, &["-q"]).expect(3, "", "");
    }
}

#[test]
fn a_log_of_a_gigabyte_is_read_from_its_end() {
    let scene = Scene::new();
    let mut log = File::create(scene.path("log")).unwrap();
    log.seek(SeekFrom::Start(1 << 30)).unwrap();
    let lines: String = (0..11).map(|number| format!("\nline {number}")).collect();
    log.write_all(lines.as_bytes()).unwrap();
    // With memory for no more than a part of it.
    let mut shell = Command::new("sh");
    let script = "ulimit -v 262144; exec \"$0\" --status --log log lock";
    shell
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    let ended = shell.run();
    let said = ended.stdout();
    let (_, end) = said.split_once('\n').unwrap();
    assert_eq!(
        end,
        format!("{}\n", &lines["\nline 0\n".len()..]),
        "{ended:?}"
    );
    assert_eq!(ended.code(), Some(3));
}

#[test]
fn an_enormous_line_is_shown_only_as_far_as_the_reach_goes() {
    let enormous = "x".repeat(3 << 20);
    for (content, end) in [
        (format!("a\nb\n{enormous}"), ""),
        (format!("a\nb\n{enormous}\n"), ""),
        (format!("a\n{enormous}\nlast\n"), "last\n"),
    ] {
        let scene = Scene::new();
        scene.file("log", content);
        let ended = status(&scene, &[]);
        let said = ended.stdout();
        let (_, log) = said.split_once('\n').unwrap();
        let piece = log.strip_suffix(end).unwrap();
        let piece = piece.strip_suffix('\n').unwrap();
        assert!(piece.chars().all(|letter| letter == 'x'), "{end}");
        assert!(piece.len() < 1 << 20, "{end}");
        assert_eq!(ended.code(), Some(3));
    }
}

#[test]
fn a_log_that_cannot_be_read_is_told_and_changes_no_status() {
    let scene = Scene::new();
    Command::new("mkfifo")
        .arg(scene.path("fifo"))
        .run()
        .expect(0, "", "");
    scene.file("file", "");
    for (log, error) in [
        ("no-log", Some(libc::ENOENT)),
        ("file/log", Some(libc::ENOTDIR)),
        (".", None),
        ("fifo", None),
        ("/dev/null", None),
        ("", Some(libc::ENOENT)),
    ] {
        let mut command = nonoverlap(["--status", "--log", log, "lock"]);
        let ended = command.current_dir(scene.path("")).run();
        let said = ended.stdout();
        let (_, last) = said.split_once('\n').unwrap();
        assert!(
            last.starts_with(&format!("{log}: cannot read the log: ")),
            "{ended:?}"
        );
        let why = error.map_or("it is not a regular file".to_owned(), reason);
        assert!(last.ends_with(&format!(": {why}\n")), "{ended:?}");
        assert_eq!((ended.code(), &ended.stderr[..]), (Some(3), &b""[..]));
        assert_eq!(last.lines().count(), 1, "{ended:?}");
    }
    assert!(!Path::new(&scene.path("no-log")).exists());
}

#[test]
fn json_has_the_lines_in_an_object_of_their_own() {
    let scene = Scene::new();
    for (content, lines) in [
        ("", "[]"),
        ("one\ntwo \"2\"\x1b", r#"["one","two \"2\"\u001b"]"#),
    ] {
        scene.file("log", content);
        let said = status(&scene, &["--json"]).stdout();
        let last = said.lines().next_back().unwrap();
        assert_eq!(
            last,
            format!(r#"{{"log":"log","lines":{lines},"error":null}}"#)
        );
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

/// Of a lock file that is not there, with a log of the Scene's.
fn status(scene: &Scene, options: &[&str]) -> Ended {
    let mut command = nonoverlap(["--status", "--log", "log"]);
    command.args(options).arg("lock");
    command.current_dir(scene.path("")).run()
}
