//! Side by side with the installed flock of util-linux: the same command lines to both, and from both
//! the same exit status, the same stdout, the same locks and the same files.
//!
//! Linux only: util-linux is for Linux, and `/proc` says what is locked.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::support::flock_differences::{DIFFERENCES, Theirs};
use crate::support::flock_lines::{
    COMMANDS, DESCRIPTORS, FILES, NUMBERS, OPTIONS, SHELLS, VERBOSE,
};
use crate::support::harness::{Ended, NONOVERLAP, Run, Scene, left_out};
use crate::support::terminal::Terminal;

/// The flock to compare with.
const FLOCK: &str = "/usr/bin/flock";

/// A table that has shrunk proves less.
const _: () = assert!(
    OPTIONS.len() + NUMBERS.len() + DESCRIPTORS.len() + FILES.len() + SHELLS.len() >= 280
        && COMMANDS.len() + VERBOSE.len() >= 50
);

#[test]
fn as_flock_its_options_are_those_of_flock() {
    all_alike(OPTIONS);
}

#[test]
fn as_flock_it_reads_numbers_as_flock_does() {
    all_alike(NUMBERS);
}

#[test]
fn as_flock_it_locks_and_unlocks_descriptors_as_flock_does() {
    all_alike(DESCRIPTORS);
}

#[test]
fn as_flock_it_opens_and_makes_lock_files_as_flock_does() {
    all_alike(FILES);
}

#[test]
fn as_flock_it_runs_command_lines_by_the_shell_as_flock_does() {
    all_alike(SHELLS);
}

#[test]
fn as_flock_it_finds_and_runs_commands_as_flock_does() {
    all_alike(COMMANDS);
}

#[test]
fn as_flock_it_prints_the_lines_of_verbose_as_flock_does() {
    all_alike(VERBOSE);
}

#[test]
fn it_differs_from_flock_where_that_is_listed_and_just_so() {
    let Some(sides) = Sides::new() else { return };
    let mut faults = String::new();
    for difference in DIFFERENCES {
        let ours = sides.run(Side::Ours, difference.line);
        if ours.said() != difference.ours {
            faults += &format!("{}; ours: {ours:?}", difference.why);
        }
        let Theirs::Is(status, stdout) = difference.theirs else {
            continue;
        };
        let theirs = sides.run(Side::Theirs, difference.line);
        if theirs.said() != (status, stdout) {
            faults += &format!("{}; flock: {theirs:?}", difference.why);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Runs every line on both sides, and fails with all that come out differently.
#[track_caller]
fn all_alike(lines: &[&str]) {
    let Some(sides) = Sides::new() else { return };
    let mut faults = String::new();
    for line in lines {
        let ours = sides.run(Side::Ours, line);
        let theirs = sides.run(Side::Theirs, line);
        if ours.seen != theirs.seen {
            faults += &format!("ours: {ours:?}flock: {theirs:?}");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Whose flock it is that a line finds in its PATH.
#[derive(Clone, Copy)]
enum Side {
    Ours,
    Theirs,
}

/// Two folders for the PATH, each with another `flock`, and a terminal to lock.
struct Sides(Scene, Terminal);

/// What a line comes to, and for the report of a failure, how it ended.
struct Outcome {
    seen: Seen,
    ended: Ended,
}

/// All of a line's doings that are compared. What goes to stderr is worded otherwise.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The exit status, or a signal's number with a minus.
    status: i32,
    stdout: String,
    /// The locks on the descriptors that the shell has open afterwards, by number.
    locked: Vec<String>,
    /// What there is in the folder afterwards, with its size if it is a file.
    files: Vec<String>,
}

impl Sides {
    fn new() -> Option<Sides> {
        if !Path::new(FLOCK).exists() {
            left_out("flock side by side", "there is no /usr/bin/flock");
            return None;
        }
        let scene = Scene::new();
        for (name, flock) in [("ours", NONOVERLAP), ("theirs", FLOCK)] {
            fs::create_dir(scene.path(name)).unwrap();
            symlink(flock, scene.path(name).join("flock")).unwrap();
            scene.script(&format!("{name}/kinds"), KINDS);
        }
        Some(Sides(scene, Terminal::new()))
    }

    fn run(&self, side: Side, line: &str) -> Outcome {
        let stage = Scene::new();
        let folder = stage.path("folder");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(folder.join("dir")).unwrap();
        stage.file("folder/free", "");
        let taken = File::create(folder.join("taken")).unwrap();
        flock(&taken, FlockOperation::LockExclusive).unwrap();
        let shared = File::create(folder.join("shared")).unwrap();
        flock(&shared, FlockOperation::LockShared).unwrap();

        let tools = self.0.path(match side {
            Side::Ours => "ours",
            Side::Theirs => "theirs",
        });
        let path = std::env::var("PATH").unwrap();
        let ended = Command::new("sh")
            .args(["-c", &format!("{line}{AFTERWARDS}")])
            .current_dir(&folder)
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("SHELL", "/bin/sh")
            .env("TERMINAL", &self.1.path)
            .env("LC_ALL", "C")
            // A group of its own, so that what hangs in it is killed with it.
            .process_group(0)
            .run();
        let seen = Seen {
            status: ended.code().unwrap_or(-ended.signal().unwrap_or(0)),
            stdout: alike(&ended.stdout()),
            locked: locked(&fs::read_to_string(stage.path("locks")).unwrap_or_default()),
            files: files(&folder),
        };
        Outcome { seen, ended }
    }
}

/// Prints what kinds of lock it finds on its own descriptors.
const KINDS: &str = "#!/bin/sh
sed -n 's/^lock:.*: \\([A-Z]*\\) *ADVISORY *\\([A-Z]*\\).*/\\1 \\2/p' /proc/$$/fdinfo/* 2>/dev/null
exit 0
";

/// What the shell does behind a line that has not replaced it.
const AFTERWARDS: &str = "
status=$?
grep -H ^lock: /proc/$$/fdinfo/* >../locks 2>/dev/null
exit $status";

impl Outcome {
    fn said(&self) -> (i32, &str) {
        (self.seen.status, &self.seen.stdout)
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "{:?}{:?}", self.ended, self.seen)
    }
}

/// The same text with every digit of how long the lock took made a `#`.
fn alike(stdout: &str) -> String {
    let digits_gone = |line: &str| match line.contains(" getting lock took ") {
        true => line.replace(|letter: char| letter.is_ascii_digit(), "#"),
        false => line.to_owned(),
    };
    stdout.split_inclusive('\n').map(digits_gone).collect()
}

/// `/proc/1/fdinfo/9:lock: 1: FLOCK ADVISORY WRITE 1 fe:00:5 0 EOF` is "9: FLOCK WRITE 0 EOF".
fn locked(found: &str) -> Vec<String> {
    let shortened = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let descriptor = words[0].split(['/', ':']).nth(4).unwrap();
        let [.., start, end] = words[..] else {
            panic!("not a lock: {line}")
        };
        format!("{descriptor}: {} {} {start} {end}", words[2], words[4])
    };
    found.lines().map(shortened).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let shown = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        match metadata.is_file() {
            true => format!("{name}: {} bytes", metadata.len()),
            false if metadata.is_dir() => format!("{name}/"),
            false => format!("{name}: no file"),
        }
    };
    let mut files: Vec<String> = fs::read_dir(folder).unwrap().map(shown).collect();
    files.sort();
    files
}
