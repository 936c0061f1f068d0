//! How a run is drawn, what is to come of it by the manual, and its command line.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::looked::{Looked, Tried};
use super::options::{Options, Wait};
use super::{Draw, File, Form, Outcome, RAN, Stream, What};
use crate::support::dice::Dice;
use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Scene, Snapshot, eventually, locks_on, nonoverlap, record_of,
};

impl Draw {
    pub(super) fn new(dice: &mut Dice) -> Draw {
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
    pub(super) fn outcome(&self) -> Outcome {
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
    pub(super) fn failure_to_execute(&self) -> Option<i32> {
        let is_missing = matches!(self.command, What::Missing | What::Dash);
        is_missing.then_some(if self.as_flock { 69 } else { 127 })
    }

    /// The lock file's name in its folder.
    pub(super) fn real_name(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap()
    }

    /// Whether a log has the name of the lock file, or of a slot.
    pub(super) fn names_a_lock_file(&self, log: &str) -> bool {
        let log = log.trim_start_matches("./");
        let is_there = self.file != File::NoFolder;
        let is_slot = log == "lock.2" && self.options.slots.unwrap_or(1) >= 2;
        is_there && (log == self.real_name() || is_slot && self.real_name() == "lock")
    }

    /// Whether a log is the lock file, by whatever name.
    pub(super) fn is_lock_file(&self, log: &str) -> bool {
        let is_real = log == "real" && matches!(self.file, File::Link | File::Twin);
        is_real || log.trim_start_matches("./") == self.real_name()
    }

    /// Makes the lock file, and gives the path of what is locked.
    pub(super) fn make(&self, scene: &Scene) -> PathBuf {
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
    pub(super) fn script(&self) -> (&'static str, String, String) {
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
    pub(super) fn command_line(&self, scene: &Scene) -> Command {
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
    pub(super) fn lock(&self) -> String {
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
    pub(super) fn number(&self) -> Option<(u32, bool)> {
        match self.form {
            Form::File => None,
            Form::Descriptor(number, is_open) | Form::Lone(number, is_open) => {
                Some((number, is_open))
            }
        }
    }

    /// Whether this standard stream is the descriptor that is to be locked.
    pub(super) fn is_numbered(&self, stream: usize) -> bool {
        self.number()
            .is_some_and(|(number, _)| number as usize == stream)
    }

    /// Whether a standard stream leads to the lock file.
    pub(super) fn leads_to_lock(&self, stream: usize) -> bool {
        match self.number() {
            Some((_, is_open)) if self.is_numbered(stream) => is_open,
            _ => matches!(self.streams[stream], Stream::Lock | Stream::Same),
        }
    }

    /// Whether a standard stream is closed, or leads to the lock file and is open for reading only.
    pub(super) fn is_unwritable(&self, stream: usize) -> bool {
        match (self.number(), self.streams[stream]) {
            (Some((_, is_open)), _) if self.is_numbered(stream) => !is_open || self.opened == "<",
            (_, Stream::Closed) => true,
            (_, Stream::Same) => self.opened == "<",
            (_, Stream::Lock) => self.file == File::Folder,
            (_, Stream::Null | Stream::File) => false,
        }
    }

    /// Whether a standard stream leads to a file of its own.
    pub(super) fn leads_to_file(&self, stream: usize) -> bool {
        !self.is_numbered(stream) && self.streams[stream] == Stream::File
    }

    /// Runs it, and looks whether that comes of it which is to come.
    pub(super) fn try_out(&self, outcome: Outcome, dice: &mut Dice) {
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
