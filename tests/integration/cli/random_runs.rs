//! Runs of chance: options, lock files, descriptors and streams that nobody would bring together. Whatever
//! they are, a command that runs has the lock, and what did not run says why.
//!
//! What is expected is worked out here from the manual's words and not from the program's.
//!
//! Linux only: who has a lock is read in `/proc`.
#![cfg(target_os = "linux")]

use std::env;
use std::fmt::{self, Debug};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::run::guardian::guardian_of;
use crate::support::dice::Dice;
use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, Snapshot, Waiter, Watchdog, becomes_free,
    eventually, has_tool, locks_on, nonoverlap, record_of, state,
};

/// What the command ends with.
const RAN: i32 = 41;

/// How many command lines there are, unless `NONOVERLAP_COMMAND_LINES` says another number.
const COMMAND_LINES: usize = 500;

#[test]
fn whatever_the_options_are_a_command_that_runs_has_the_lock_and_what_does_not_run_says_why() {
    if !has_tool("bash", "descriptors from 10 up") {
        return;
    }
    let rounds = env::var("NONOVERLAP_COMMAND_LINES");
    let rounds = rounds.map_or(COMMAND_LINES, |number| number.parse().unwrap());
    let mut dice = Dice(0x7261_6e64_6f6d_2121);
    let mut seen = [0; 5];
    for _ in 0..rounds {
        let draw = Draw::new(&mut dice);
        let outcome = draw.outcome();
        seen[match outcome {
            Outcome::Runs | Outcome::GoesOn => 0,
            Outcome::Waits => 1,
            Outcome::Conflict => 2,
            Outcome::Fails(64) => 3,
            Outcome::Fails(_) => 4,
        }] += 1;
        draw.try_out(outcome, &mut dice);
    }
    // Or the dice have come to throw one thing only.
    let enough = rounds / 100;
    assert!(
        seen.iter().all(|&times| times >= enough),
        "runs, waits, conflicts, refusals, failures: {seen:?}"
    );
}

/// A run as it was drawn.
#[derive(Debug)]
struct Draw {
    as_flock: bool,
    options: Options,
    form: Form,
    ends_options: bool,
    command: What,
    name: &'static str,
    file: File,
    /// How the shell opens descriptors on the lock file.
    opened: &'static str,
    streams: [Stream; 3],
    /// Who has a lock on the file, by the options of that run.
    holder: Option<&'static [&'static str]>,
}

/// Where the lock is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// LOCKFILE COMMAND.
    File,
    /// `--fd FD COMMAND`, and whether it is open.
    Descriptor(u32, bool),
    /// FD, and the shell then becomes the command.
    Lone(u32, bool),
}

/// The command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Words,
    Line,
    /// It is not there.
    Missing,
    /// A word that begins with a dash and is not there.
    Dash,
}

/// What the lock file is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum File {
    Empty,
    Record,
    Data,
    Folder,
    Link,
    Twin,
    Missing,
    Dangling,
    NoFolder,
}

/// Where a standard stream leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stream {
    Null,
    Closed,
    File,
    /// To the lock file, by a descriptor of its own.
    Lock,
    /// To the lock file, by the descriptor that is to be locked.
    Same,
}

/// The options: as words, and what they come to.
#[derive(Debug, Default)]
struct Options {
    words: Vec<Vec<String>>,
    nonblock: bool,
    wait: Option<Wait>,
    block: bool,
    shared: bool,
    unlock: bool,
    status: Option<i32>,
    close: bool,
    no_fork: bool,
    slots: Option<u16>,
    log: Option<&'static str>,
    /// Whether an alarm may go off at once.
    is_alarmed: bool,
    verbose: Option<bool>,
    fcntl: bool,
    start: u64,
    length: u64,
    is_bounded: bool,
    kills_after: bool,
    is_wrong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    /// Not at all, or for a moment.
    No,
    Long,
}

/// What comes of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Runs,
    /// It runs when the holder has ended.
    Waits,
    /// The shell goes on without the lock, as it asked for.
    GoesOn,
    Conflict,
    Fails(i32),
}

/// An option: its names, its value if it takes one, and what it does.
type Row = (&'static [&'static str], &'static str, fn(&mut Options));

#[rustfmt::skip] // A row a line is how a table is read.
const OPTIONS: &[Row] = &[
    (&["-n", "--nb", "--nonblock", "--nonblocking"], "", |it| it.nonblock = true),
    (&["-s", "--shared"], "", |it| (it.shared, it.unlock) = (true, false)),
    (&["-x", "-e", "--exclusive"], "", |it| (it.shared, it.unlock) = (false, false)),
    (&["-u", "--unlock"], "", |it| (it.shared, it.unlock) = (false, true)),
    (&["-o", "--close"], "", |it| it.close = true),
    (&["-o", "--close"], "", |it| it.close = true),
    (&["-F", "--no-fork"], "", |it| it.no_fork = true),
    (&["--verbose"], "", |it| it.verbose = Some(true)),
    (&["--fcntl"], "", |it| it.fcntl = true),
    (&["--start"], "0", |it| (it.start, it.fcntl) = (0, true)),
    (&["--start"], "0x10", |it| (it.start, it.fcntl) = (16, true)),
    (&["--start"], "1K", |it| (it.start, it.fcntl) = (1024, true)),
    (&["--length"], "0", |it| (it.length, it.fcntl) = (0, true)),
    (&["--length"], "010", |it| (it.length, it.fcntl) = (8, true)),
    (&["--length"], "1KB", |it| (it.length, it.fcntl) = (1000, true)),
    (&["-w", "--timeout", "--wait"], "0", |it| it.wait = Some(Wait::No)),
    (&["-w", "--timeout", "--wait"], "0.02", |it| it.wait = Some(Wait::No)),
    (&["-w", "--timeout", "--wait"], "3600", |it| it.wait = Some(Wait::Long)),
    (&["-w", "--timeout", "--wait"], "inf", |it| it.wait = Some(Wait::Long)),
    (&["-E", "--conflict-exit-code"], "0", |it| it.status = Some(0)),
    (&["-E", "--conflict-exit-code"], "75", |it| it.status = Some(75)),
    (&["-E", "--conflict-exit-code"], "255", |it| it.status = Some(255)),
];

/// What flock does not have.
#[rustfmt::skip] // A row a line is how a table is read.
const NOT_FLOCKS: &[Row] = &[
    (&["-b", "--block"], "", |it| it.block = true),
    (&["-b", "--block"], "", |it| it.block = true),
    (&["-q", "--quiet"], "", |it| it.verbose = Some(false)),
    (&["-v"], "", |it| it.verbose = Some(true)),
    (&["-j", "--slots"], "1", |it| it.slots = Some(1)),
    (&["-j", "--slots"], "2", |it| it.slots = Some(2)),
    (&["-j", "--slots"], "3", |it| it.slots = Some(3)),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "lock", |it| it.log = Some("lock")),
    (&["-l", "--log"], "./lock", |it| it.log = Some("./lock")),
    (&["-l", "--log"], "lock.2", |it| it.log = Some("lock.2")),
    (&["-l", "--log"], "real", |it| it.log = Some("real")),
    (&["-l", "--log"], "folder", |it| it.log = Some("folder")),
    (&["-l", "--log"], "no/log", |it| it.log = Some("no/log")),
    (&["-l", "--log"], "/dev/null", |it| it.log = Some("/dev/null")),
    (&["-a", "--alarm"], "0", |it| it.is_alarmed = true),
    (&["-a", "--alarm"], "1h", |it| it.is_alarmed = false),
    (&["--max-runtime"], "1h", |it| it.is_bounded = true),
    (&["--max-runtime"], "1h", |it| it.is_bounded = true),
    (&["--kill-after"], "2", |it| it.kills_after = true),
];

/// What is wrong, whatever stands beside it.
#[rustfmt::skip] // A row a line is how a table is read.
const WRONG: &[&[&str]] = &[
    &["-1"], &["-Z"], &["--bogus"], &["--no-forks"], &["--nonblock=1"], &["-c", "exit 41"],
    &["-E", "256"], &["-E", ""], &["-w", "-1"], &["-w", "soon"], &["--start", "-1"], &["--length", "x"],
    &["--fd", "x"], &["--fd="], &["-j", "0"], &["-a", "soon"], &["--max-runtime", "x"],
    &["--hold-at-least", "1s"], &["--on-lost", "ignore"], &["--json"], &["--dry-run"],
];

impl Options {
    fn draw(dice: &mut Dice, as_flock: bool) -> Options {
        let mut options = Options::default();
        // Often none, and never so many that all of them are refused.
        let most = dice.below(6);
        for _ in 0..dice.below(most + 1) {
            let words = match dice.below(20) {
                0 => {
                    options.is_wrong = true;
                    let words = dice.one_of::<&[&str]>(WRONG).iter();
                    words.map(|&word| word.to_owned()).collect()
                }
                1 if as_flock => {
                    options.is_wrong = true;
                    options.draw_from(NOT_FLOCKS, dice)
                }
                2..=10 if !as_flock => options.draw_from(NOT_FLOCKS, dice),
                _ => options.draw_from(OPTIONS, dice),
            };
            options.words.push(words);
        }
        options
    }

    /// Takes one of these, and gives its words.
    fn draw_from(&mut self, table: &[Row], dice: &mut Dice) -> Vec<String> {
        let (names, value, effect) = dice.one_of(table);
        effect(self);
        let name = *dice.one_of(names);
        match (value.is_empty(), dice.below(2), name.starts_with("--")) {
            (true, ..) => vec![name.to_owned()],
            (_, 0, _) => vec![name.to_owned(), (*value).to_owned()],
            (_, _, true) => vec![format!("{name}={value}")],
            (_, _, false) => vec![format!("{name}{value}")],
        }
    }
}

impl Draw {
    fn new(dice: &mut Dice) -> Draw {
        use File::{Data, Empty, Folder, Link, Record, Twin};
        let as_flock = dice.below(6) == 0;
        let mut options = Options::draw(dice, as_flock);
        let number = *dice.one_of(&[
            0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 59, 60, 61, 62, 99,
        ]);
        let is_open = dice.below(12) > 0;
        let form = match dice.below(9) {
            0..=4 => Form::File,
            5..=7 => Form::Descriptor(number, is_open),
            _ => Form::Lone(number, is_open),
        };
        let there = [Empty, Record, Data, Folder, Link, Twin];
        let not_there = [File::Missing, File::Missing, File::Dangling, File::NoFolder];
        let file = match form {
            Form::File if dice.below(3) == 0 => *dice.one_of(&not_there),
            _ => *dice.one_of(&there),
        };
        let command = match dice.below(7) {
            0..=2 => What::Words,
            3 | 4 => What::Line,
            5 => What::Missing,
            _ => What::Dash,
        };
        let command = match (form, command) {
            (Form::Lone(..), _) | (Form::Descriptor(..), What::Dash) => What::Words,
            (_, command) => command,
        };
        if let Form::Descriptor(number, _) = form {
            let at = dice.below(options.words.len() + 1);
            let named = match dice.below(2) {
                0 => vec!["--fd".to_owned(), number.to_string()],
                _ => vec![format!("--fd={number}")],
            };
            options.words.insert(at, named);
            if dice.below(6) == 0 {
                // The last one counts.
                options.words.insert(0, vec!["--fd=77".to_owned()]);
            }
        }
        let ends_options = dice.below(5) == 0;
        let name = match (form, file) {
            (_, File::NoFolder) => "no/lock",
            (Form::File, _) if ends_options => dice.one_of(&["lock", "-lock"]),
            (Form::File, _) => dice.one_of(&["lock", "lock", "./lock", "4", "folder/../lock"]),
            _ => "lock",
        };
        let opened = match file {
            File::Folder => "<",
            _ => dice.one_of(&["<", "<>", "<>", ">>"]),
        };
        let has_number = matches!(form, Form::Descriptor(3.., true) | Form::Lone(3.., true));
        let stream = |dice: &mut Dice, index| match dice.below(8) {
            0..=1 => Stream::Null,
            2 => Stream::Closed,
            3 if there.contains(&file) => Stream::Lock,
            4 if has_number => Stream::Same,
            _ if index == 0 => Stream::Null,
            _ => Stream::File,
        };
        let streams = [0, 1, 2].map(|index| stream(dice, index));
        let holders: &[&[&str]] = &[&[], &[], &[], &["-s"], &["-s"], &["-s", "--fcntl"]];
        let holder = (there.contains(&file) && dice.below(3) == 0).then(|| *dice.one_of(holders));
        Draw {
            as_flock,
            options,
            form,
            ends_options,
            command,
            name,
            file,
            opened,
            streams,
            holder,
        }
    }

    /// What is to come of it, by the manual.
    fn outcome(&self) -> Outcome {
        let it = &self.options;
        let is_lone = matches!(self.form, Form::Lone(..));
        let has_file = self.form == Form::File;
        let waits = it.block || it.wait.is_some();
        let is_exclusive = !it.shared && !it.unlock;
        let usage = [
            it.is_wrong,
            it.unlock && !is_lone,
            it.block && (it.nonblock || it.wait.is_some()),
            it.no_fork && (it.close || it.is_bounded),
            it.slots.is_some() && (waits || !is_exclusive || !has_file || it.fcntl),
            it.is_bounded && is_lone,
            it.kills_after && !it.is_bounded,
            it.log.is_some() && is_lone,
            it.log.is_some() && matches!(self.form, Form::Descriptor(1 | 2, _)),
            self.command == What::Dash && !self.ends_options && !self.as_flock,
            it.log
                .is_some_and(|log| has_file && self.names_a_lock_file(log)),
        ];
        if usage.contains(&true) {
            return Outcome::Fails(64);
        }
        let is_no_log = |log: &str| match log {
            "no/log" | "folder" => true,
            "lock" | "./lock" => self.real_name() == "lock" && self.file == File::Folder,
            _ => false,
        };
        if it.log.is_some_and(is_no_log) {
            return Outcome::Fails(73);
        }
        if let Form::Descriptor(_, false) | Form::Lone(_, false) = self.form {
            return Outcome::Fails(65);
        }
        match (self.form, self.file) {
            (Form::File, File::NoFolder) => return Outcome::Fails(66),
            (Form::File, File::Dangling) => return Outcome::Fails(73),
            _ => {}
        }
        if it.log.is_some_and(|log| self.is_lock_file(log)) {
            return Outcome::Fails(64);
        }
        if it.unlock {
            return Outcome::GoesOn;
        }
        let wants = if it.shared { "<" } else { ">" };
        // A folder can be opened for reading only, by whomever.
        let is_opened_so = !has_file || self.file == File::Folder;
        if is_opened_so && it.fcntl && !self.opened.contains(wants) {
            return Outcome::Fails(65);
        }
        let is_taken = self.holder.is_some_and(|holder| {
            let is_range = holder.contains(&"--fcntl");
            is_range == it.fcntl && !(it.shared && holder.contains(&"-s"))
        });
        if !is_taken || it.slots.is_some_and(|slots| slots > 1) {
            return Outcome::Runs;
        }
        let does_not_wait = it.wait == Some(Wait::No);
        let may_wait = it.wait == Some(Wait::Long) || it.block || self.as_flock;
        match it.nonblock || does_not_wait || !may_wait {
            // The shell takes that for success.
            true if is_lone && it.status == Some(0) => Outcome::GoesOn,
            true => Outcome::Conflict,
            false => Outcome::Waits,
        }
    }

    /// What ends the run in place of a command that is not there.
    fn failure_to_execute(&self) -> Option<i32> {
        let is_missing = matches!(self.command, What::Missing | What::Dash);
        is_missing.then_some(if self.as_flock { 69 } else { 127 })
    }

    /// The lock file's name in its folder.
    fn real_name(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap()
    }

    /// Whether a log has the name of the lock file, or of a slot.
    fn names_a_lock_file(&self, log: &str) -> bool {
        let log = log.trim_start_matches("./");
        let is_there = self.file != File::NoFolder;
        let is_slot = log == "lock.2" && self.options.slots.unwrap_or(1) >= 2;
        is_there && (log == self.real_name() || is_slot && self.real_name() == "lock")
    }

    /// Whether a log is the lock file, by whatever name.
    fn is_lock_file(&self, log: &str) -> bool {
        let is_real = log == "real" && matches!(self.file, File::Link | File::Twin);
        is_real || log.trim_start_matches("./") == self.real_name()
    }

    /// Makes the lock file, and gives the path of what is locked.
    fn make(&self, scene: &Scene) -> PathBuf {
        fs::create_dir(scene.path("folder")).unwrap();
        let name = self.real_name();
        let lock = scene.path(name);
        match self.file {
            File::Empty => drop(scene.file(name, "")),
            File::Record => drop(scene.file(name, record_of(i32::MAX as u32))),
            File::Data => drop(scene.file(name, "4242\n")),
            File::Folder => fs::create_dir(&lock).unwrap(),
            File::Link => {
                symlink("real", &lock).unwrap();
                return scene.file("real", "");
            }
            File::Twin => fs::hard_link(scene.file("real", ""), &lock).unwrap(),
            File::Dangling => symlink("nothing", &lock).unwrap(),
            File::Missing => {}
            File::NoFolder => return scene.path(self.name),
        }
        lock
    }

    /// The script that opens the descriptors, tells on the first of two others that the command runs, and
    /// waits on the second; and what runs it.
    fn script(&self) -> (&'static str, String, String) {
        let number = self.number();
        let number = number.and_then(|(number, is_open)| is_open.then_some(number));
        let (said, go) = match self.form {
            Form::Descriptor(3 | 4, _) | Form::Lone(3 | 4, _) => (5, 6),
            _ => (3, 4),
        };
        let lock = if self.name.starts_with('-') {
            "./-lock"
        } else {
            self.name
        };
        let mut opening = format!("exec {said}>&1 {go}<&0");
        if let Some(number) = number {
            opening += &format!(" {number}{}{lock}", self.opened);
        }
        for (index, stream) in self.streams.into_iter().enumerate() {
            if self.is_numbered(index) {
                if number.is_none() {
                    opening += &format!(" {index}<&-");
                }
                continue;
            }
            opening += &match stream {
                Stream::Null => format!(" {index}<>/dev/null"),
                Stream::Closed => format!(" {index}<&-"),
                Stream::File => format!(" {index}>{}", ["in", "out", "err"][index]),
                Stream::Lock if self.file == File::Folder => format!(" {index}<{lock}"),
                Stream::Lock => format!(" {index}<>{lock}"),
                Stream::Same => format!(" {index}<&{}", number.unwrap()),
            };
        }
        // In parentheses: for a redirection the shell would move its own descriptors while they are looked at.
        let line = format!("(echo held >&{said}); (cat <&{go} >&{said}); exit {RAN}");
        let script = match self.form {
            Form::Lone(..) => format!("{opening}; \"$@\" || exit; exec sh -c '{line}'"),
            _ => format!("{opening}; exec \"$@\""),
        };
        let shell = if number.is_some_and(|number| number > 9) {
            "bash"
        } else {
            "sh"
        };
        (shell, script, line)
    }

    /// The whole run, to be started in its folder.
    fn command_line(&self, scene: &Scene) -> Command {
        let (shell, script, line) = self.script();
        let mut command = Command::new(shell);
        command
            .args(["-c", &script, "sh"])
            .current_dir(scene.path(""));
        command.env_remove("SHELL");
        match self.as_flock {
            true => command.arg(scene.flock()),
            false => command.arg(NONOVERLAP),
        };
        command.args(self.options.words.iter().flatten());
        if self.ends_options {
            command.arg("--");
        }
        match self.form {
            Form::File => drop(command.arg(self.name)),
            Form::Lone(number, _) => drop(command.arg(number.to_string())),
            Form::Descriptor(..) => {}
        }
        match (self.form, self.command) {
            (Form::Lone(..), _) => &mut command,
            (_, What::Words) => command.args(["sh", "-c", &line]),
            (_, What::Line) => command.args(["-c", &line]),
            (_, What::Missing) => command.arg("./no-such"),
            (_, What::Dash) => command.arg("-n"),
        };
        command
    }

    /// The lock that it takes, as the kernel shows it.
    fn lock(&self) -> String {
        let it = &self.options;
        let kind = if it.fcntl { "OFDLCK" } else { "FLOCK" };
        let mode = if it.shared { "READ" } else { "WRITE" };
        let (start, length) = if it.fcntl {
            (it.start, it.length)
        } else {
            (0, 0)
        };
        let end = match length {
            0 => "EOF".to_owned(),
            length => (start + length - 1).to_string(),
        };
        format!("{kind} ADVISORY {mode} {start} {end}")
    }

    /// The descriptor that is to be locked, and whether it is open.
    fn number(&self) -> Option<(u32, bool)> {
        match self.form {
            Form::File => None,
            Form::Descriptor(number, is_open) | Form::Lone(number, is_open) => {
                Some((number, is_open))
            }
        }
    }

    /// Whether this standard stream is the descriptor that is to be locked.
    fn is_numbered(&self, stream: usize) -> bool {
        self.number()
            .is_some_and(|(number, _)| number as usize == stream)
    }

    /// Whether a standard stream leads to the lock file.
    fn leads_to_lock(&self, stream: usize) -> bool {
        match self.number() {
            Some((_, is_open)) if self.is_numbered(stream) => is_open,
            _ => matches!(self.streams[stream], Stream::Lock | Stream::Same),
        }
    }

    /// Whether a standard stream is closed, or leads to the lock file and is open for reading only.
    fn is_unwritable(&self, stream: usize) -> bool {
        match (self.number(), self.streams[stream]) {
            (Some((_, is_open)), _) if self.is_numbered(stream) => !is_open || self.opened == "<",
            (_, Stream::Closed) => true,
            (_, Stream::Same) => self.opened == "<",
            (_, Stream::Lock) => self.file == File::Folder,
            (_, Stream::Null | Stream::File) => false,
        }
    }

    /// Whether a standard stream leads to a file of its own.
    fn leads_to_file(&self, stream: usize) -> bool {
        !self.is_numbered(stream) && self.streams[stream] == Stream::File
    }

    /// Runs it, and looks whether that comes of it which is to come.
    fn try_out(&self, outcome: Outcome, dice: &mut Dice) {
        let scene = Scene::new();
        let mut lock = self.make(&scene);
        let mut command = self.command_line(&scene);
        let mut holder = self.holder.map(|options| {
            let mut holder = nonoverlap(options);
            holder.args(["--", self.name]).args(HOLD);
            Holder::start(holder.current_dir(scene.path("")))
        });
        let line = format!("{command:?}\n{self:?}\nto come: {outcome:?}");
        let mut name = self.name.to_owned();
        let is_second = holder.is_some() && outcome == Outcome::Runs;
        if is_second && self.options.slots.is_some() && self.holder != Some(&["-s", "--fcntl"]) {
            // The first slot is taken.
            name += ".2";
            lock = scene.path(&name);
        }
        let before = lock.exists().then(|| Snapshot::of(&lock));
        let mut tried = Tried::start(&mut command);
        if outcome == Outcome::Waits {
            let waiting = || locks_on(&lock).iter().any(|lock| lock.contains("->"));
            eventually(&line, || waiting() || tried.has_ended());
            assert!(!tried.has_ended(), "did not wait: {line}");
            holder = None;
        }
        let runs = tried.runs();
        let run = Looked {
            draw: self,
            scene,
            name,
            lock,
            before,
            pid: tried.child.id(),
            line,
        };
        let fails = match outcome {
            Outcome::Runs | Outcome::Waits => self.failure_to_execute().map(Outcome::Fails),
            Outcome::GoesOn => None,
            Outcome::Conflict | Outcome::Fails(_) => Some(outcome),
        };
        if let Some(fails) = fails {
            assert!(!runs, "it runs, with {:?}: {run:?}", run.locks_of(run.pid));
            drop(holder);
            run.did_not_run(fails, tried.end());
        } else {
            assert!(runs, "it does not run, but {:?}: {run:?}", tried.end());
            run.runs(outcome, tried, holder, dice);
        }
    }
}

/// A run that was tried out.
struct Looked<'a> {
    draw: &'a Draw,
    scene: Scene,
    /// The lock file, or the slot, as it is named.
    name: String,
    /// The file that is locked.
    lock: PathBuf,
    /// That file before the run, if it was there.
    before: Option<Snapshot>,
    pid: u32,
    line: String,
}

impl Debug for Looked<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n$ {}", self.line)?;
        for name in ["out", "err", "log"] {
            writeln!(out, "{name}: {:?}", self.text(name))?;
        }
        writeln!(
            out,
            "locks: {:?}",
            self.lock.exists().then(|| locks_on(&self.lock))
        )
    }
}

impl Looked<'_> {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.scene.path(name)).unwrap_or_default()
    }

    /// The locks on the file that a process has by its descriptors.
    fn locks_of(&self, pid: u32) -> Vec<String> {
        let Ok(file) = fs::metadata(&self.lock) else {
            return Vec::new();
        };
        let inode = format!(":{}", file.ino());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo"))
            .unwrap()
            .flatten();
        let mut locks = Vec::new();
        for info in descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok()) {
            for lock in info.lines().filter_map(|line| line.strip_prefix("lock:")) {
                // 1: FLOCK ADVISORY WRITE PID DEVICE:INODE START END
                let mut words: Vec<_> = lock.split_whitespace().collect();
                if words[5].ends_with(&inode) {
                    words.drain(4..6);
                    locks.push(words[1..].join(" "));
                }
            }
        }
        locks
    }

    /// Whether the PID is written: into an ordinary lock file, or into that of a slot, which is new.
    fn writes_record(&self) -> bool {
        let draw = self.draw;
        let is_ordinary = matches!(draw.file, File::Empty | File::Record | File::Missing);
        let is_exclusive = !(draw.options.shared || draw.options.fcntl);
        let is_slot = self.name != draw.name;
        !draw.as_flock && draw.form == Form::File && is_exclusive && (is_ordinary || is_slot)
    }

    /// nonoverlap with these options, this lock file and a command that does nothing.
    fn another(&self, options: &[&str]) -> Command {
        let mut another = nonoverlap(options);
        another.args(["--", &self.name, "true"]);
        another.current_dir(self.scene.path(""));
        another
    }

    /// The command runs: it has the lock, nobody else gets it, and its end is the run's.
    fn runs(&self, outcome: Outcome, mut tried: Tried, holder: Option<Holder>, dice: &mut Dice) {
        let (draw, it, pid) = (self.draw, &self.draw.options, self.pid);
        let is_lone = matches!(draw.form, Form::Lone(..));
        let has_guardian = !is_lone && (it.close || it.is_bounded);
        let guardian = has_guardian.then(|| guardian_of(pid).expect("a guardian"));
        let goes_on = outcome == Outcome::GoesOn;
        let closes = it.close && !is_lone;
        let has_lock = match guardian {
            Some(guardian) if closes => guardian,
            _ => pid,
        };
        let locks = self.locks_of(has_lock);
        match goes_on {
            true => assert!(locks.is_empty(), "{locks:?}: {self:?}"),
            false => assert_eq!(locks, vec![draw.lock(); locks.len().max(1)], "{self:?}"),
        }
        if closes && !draw.streams.contains(&Stream::Same) {
            assert_eq!(self.locks_of(pid), [""; 0], "{self:?}");
        }
        let mut waiter = None;
        if !goes_on {
            self.nobody_else_gets_it(holder.is_some());
            if !it.fcntl && dice.below(6) == 0 {
                waiter = Some(Waiter::start(&mut self.another(&["-b"]), &self.lock));
            }
        }
        let talks = it.verbose == Some(true) || goes_on;
        self.file_is_as_it_was(self.writes_record(), false, talks);
        assert!(
            waiter.as_mut().is_none_or(|waiter| !waiter.has_ended()),
            "{self:?}"
        );
        drop(holder);
        let ended = tried.end();
        assert_eq!(ended.code(), Some(RAN), "{self:?}");
        if let Some(waiter) = waiter {
            assert_eq!(waiter.ended().code(), Some(0), "{self:?}");
        }
        if let Some(guardian) = guardian {
            eventually("the guardian ends", || {
                state(guardian).is_none_or(|state| state == 'Z')
            });
        }
        becomes_free(&self.lock);
        self.said(if talks { 0..=9 } else { 0..=0 });
        if it.log.is_some_and(|log| log != "/dev/null") {
            self.logged("; starting ");
        }
        self.nothing_else_is_there();
    }

    /// Other runs are refused, under both names, by the path and by a descriptor.
    fn nobody_else_gets_it(&self, is_shared_with: bool) {
        let it = &self.draw.options;
        let start = format!("--start={}", it.start);
        let length = format!("--length={}", it.length);
        let ranges = [start.as_str(), length.as_str()];
        let options = if it.fcntl { &ranges[..] } else { &[] };
        let another = |more: &[&str]| self.another(&[options, more].concat()).run();
        // A folder cannot be opened for an exclusive record lock.
        let can_be_exclusive = !(it.fcntl && self.draw.file == File::Folder);
        if can_be_exclusive {
            let refused = another(&["-n"]);
            refused_by(&refused, self);
        }
        let shared = another(&["-s", "-n"]);
        assert_eq!(
            shared.code(),
            Some(i32::from(!it.shared)),
            "{shared:?}{self:?}"
        );
        if let (Some(slots), false) = (it.slots, is_shared_with) {
            let mut all = nonoverlap(["-j", &slots.to_string(), "--", self.draw.name, "true"]);
            let all = all.current_dir(self.scene.path("")).run();
            assert_eq!(all.code(), Some(i32::from(slots == 1)), "{all:?}{self:?}");
        }
        if !it.fcntl {
            let mut by_descriptor = Command::new("sh");
            by_descriptor.args(["-c", "exec \"$0\" -n --fd 9 true 9<\"$1\""]);
            by_descriptor.arg(self.scene.flock()).arg(&self.lock);
            refused_by(&by_descriptor.run(), self);
        }
    }

    /// The command did not run: the status and one message say why, and nothing was changed.
    fn did_not_run(&self, outcome: Outcome, status: ExitStatus) {
        let it = &self.draw.options;
        let is_conflict = outcome == Outcome::Conflict;
        let is_verbose = it.verbose == Some(true);
        let is_silent = is_conflict && !is_verbose;
        let expected = match outcome {
            // As with flock, whose child has no such word when it cannot execute the command.
            Outcome::Fails(69) => 69,
            // flock tells by its status that it could not say so.
            _ if !is_silent && self.draw.as_flock && self.draw.is_unwritable(2) => 1,
            Outcome::Fails(status) => status,
            _ => it.status.unwrap_or(1),
        };
        assert_eq!(status.code(), Some(expected), "{self:?}");
        self.said(match (outcome, is_verbose) {
            (Outcome::Conflict, false) => 0..=usize::from(it.is_alarmed),
            (Outcome::Fails(status), true) if status != 64 => 1..=9,
            _ => 1..=1,
        });
        let gets_lock = [Outcome::Fails(69), Outcome::Fails(127)].contains(&outcome);
        let may_write = self.writes_record() && gets_lock;
        let talks = is_verbose || !is_conflict || it.is_alarmed;
        self.file_is_as_it_was(may_write, may_write, talks);
        match (it.log, outcome) {
            (Some("/dev/null"), _) | (Some(_), Outcome::Fails(73)) | (None, _) => {}
            (Some("log"), Outcome::Fails(64)) => {
                assert!(!self.scene.path("log").exists(), "{self:?}");
            }
            (Some(_), Outcome::Fails(64)) => {}
            (Some(_), Outcome::Fails(_)) => self.logged(": cannot "),
            (Some(_), _) => self.logged("; not started"),
        }
        if self.lock.exists() {
            becomes_free(&self.lock);
        }
        self.nothing_else_is_there();
    }

    /// Nothing but the record was changed in the lock file, unless messages were to go there.
    fn file_is_as_it_was(&self, may_write: bool, may_leave: bool, talks: bool) {
        let draw = self.draw;
        let messages = draw.leads_to_lock(2) || draw.as_flock && draw.leads_to_lock(1);
        // Of a descriptor that is not open nobody knows that the log is its file.
        let logs = draw.options.log.is_some_and(|log| draw.is_lock_file(log))
            && draw.number().is_some_and(|(_, is_open)| !is_open);
        if talks && (messages || logs) {
            return;
        }
        let is_made = self.before.is_none() && self.lock.exists();
        let is_record = fs::read_to_string(&self.lock).is_ok_and(|it| it == record_of(self.pid));
        let is_as_it_was = match &self.before {
            Some(before) => Snapshot::of(&self.lock) == *before,
            None => !is_made || fs::read(&self.lock).unwrap().is_empty(),
        };
        let is_right = match may_write {
            true => is_record || may_leave && is_as_it_was,
            false => is_as_it_was,
        };
        assert!(is_right, "{:?}: {self:?}", fs::read_to_string(&self.lock));
    }

    /// So many messages, and nothing on standard output.
    fn said(&self, messages: RangeInclusive<usize>) {
        let (draw, out, err) = (self.draw, self.text("out"), self.text("err"));
        let name = if draw.as_flock {
            "flock: "
        } else {
            "nonoverlap: "
        };
        // flock has its words about what goes well there.
        let may_talk = draw.as_flock && draw.options.verbose == Some(true);
        assert!(out.is_empty() || may_talk, "{self:?}");
        assert!(err.lines().all(|line| line.starts_with(name)), "{self:?}");
        if draw.leads_to_file(2) {
            assert!(
                messages.contains(&err.lines().count()),
                "{messages:?}: {self:?}"
            );
        }
    }

    /// The log has one line of this.
    fn logged(&self, words: &str) {
        let log = self.text(self.draw.options.log.unwrap());
        let count = log.lines().filter(|line| line.contains(words)).count();
        assert_eq!(count, 1, "{words:?}: {self:?}");
    }

    /// The folder has the files that there are to be, and no other.
    fn nothing_else_is_there(&self) {
        let draw = self.draw;
        let slots = draw.options.slots.unwrap_or(1);
        let slots = (2..=slots).map(|slot| format!("{}.{slot}", draw.real_name()));
        let log = draw
            .options
            .log
            .map(|log| log.trim_start_matches("./").to_owned());
        let mut known: Vec<_> = slots.chain(log).collect();
        known.extend(["out", "err", "bin", "folder"].map(String::from));
        known.extend(self.before_names());
        for entry in fs::read_dir(self.scene.path("")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert!(known.contains(&name), "{name}: {self:?}");
        }
    }

    /// The names of the lock file, and of what it leads to.
    fn before_names(&self) -> Vec<String> {
        let real = matches!(self.draw.file, File::Link | File::Twin).then_some("real");
        let lock = (self.draw.file != File::NoFolder).then_some(self.draw.real_name());
        real.into_iter().chain(lock).map(String::from).collect()
    }
}

/// A run is refused for a conflict.
#[track_caller]
fn refused_by(refused: &Ended, run: &Looked) {
    assert_eq!(refused.code(), Some(1), "{refused:?}{run:?}");
}

/// A run whose command says "held" when it runs, and ends when its stdin does.
struct Tried {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    watchdog: Watchdog,
}

impl Tried {
    fn start(command: &mut Command) -> Tried {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Tried {
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout),
            watchdog: Watchdog::over(&child),
            child,
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the command runs, or cannot any more.
    fn runs(&mut self) -> bool {
        let mut said = String::new();
        self.stdout.read_line(&mut said).unwrap();
        said == "held\n"
    }

    /// Lets it end.
    fn end(&mut self) -> ExitStatus {
        self.stdin.take();
        let status = self.child.wait().unwrap();
        assert!(!self.watchdog.has_bitten(), "it took too long");
        status
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.child.wait();
    }
}
