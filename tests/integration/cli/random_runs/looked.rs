//! What came of a run.

use std::fmt::{self, Debug};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::{Draw, File, Form, Outcome, RAN, Stream};
use crate::run::guardian::guardian_of;
use crate::support::dice::Dice;
use crate::support::harness::{
    Ended, Holder, Run, Scene, Snapshot, Waiter, Watchdog, becomes_free, eventually, locks_on,
    nonoverlap, record_of, state,
};

/// A run that was tried out.
pub(super) struct Looked<'a> {
    pub(super) draw: &'a Draw,
    pub(super) scene: Scene,
    /// The lock file, or the slot, as it is named.
    pub(super) name: String,
    /// The file that is locked.
    pub(super) lock: PathBuf,
    /// That file before the run, if it was there.
    pub(super) before: Option<Snapshot>,
    pub(super) pid: u32,
    pub(super) line: String,
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
    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.scene.path(name)).unwrap_or_default()
    }

    /// The locks on the file that a process has by its descriptors.
    pub(super) fn locks_of(&self, pid: u32) -> Vec<String> {
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
    pub(super) fn writes_record(&self) -> bool {
        let draw = self.draw;
        let is_ordinary = matches!(draw.file, File::Empty | File::Record | File::Missing);
        let is_exclusive = !(draw.options.shared || draw.options.fcntl);
        let is_slot = self.name != draw.name;
        !draw.as_flock && draw.form == Form::File && is_exclusive && (is_ordinary || is_slot)
    }

    /// nonoverlap with these options, this lock file and a command that does nothing.
    pub(super) fn another(&self, options: &[&str]) -> Command {
        let mut another = nonoverlap(options);
        another.args(["--", &self.name, "true"]);
        another.current_dir(self.scene.path(""));
        another
    }

    /// The command runs: it has the lock, nobody else gets it, and its end is the run's.
    pub(super) fn runs(
        &self,
        outcome: Outcome,
        mut tried: Tried,
        holder: Option<Holder>,
        dice: &mut Dice,
    ) {
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
    pub(super) fn nobody_else_gets_it(&self, is_shared_with: bool) {
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
    pub(super) fn did_not_run(&self, outcome: Outcome, status: ExitStatus) {
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
    pub(super) fn file_is_as_it_was(&self, may_write: bool, may_leave: bool, talks: bool) {
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
    pub(super) fn said(&self, messages: RangeInclusive<usize>) {
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
    pub(super) fn logged(&self, words: &str) {
        let log = self.text(self.draw.options.log.unwrap());
        let count = log.lines().filter(|line| line.contains(words)).count();
        assert_eq!(count, 1, "{words:?}: {self:?}");
    }

    /// The folder has the files that there are to be, and no other.
    pub(super) fn nothing_else_is_there(&self) {
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
    pub(super) fn before_names(&self) -> Vec<String> {
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
pub(super) struct Tried {
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: BufReader<ChildStdout>,
    pub(super) watchdog: Watchdog,
}

impl Tried {
    pub(super) fn start(command: &mut Command) -> Tried {
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

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the command runs, or cannot any more.
    pub(super) fn runs(&mut self) -> bool {
        let mut said = String::new();
        self.stdout.read_line(&mut said).unwrap();
        said == "held\n"
    }

    /// Lets it end.
    pub(super) fn end(&mut self) -> ExitStatus {
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
