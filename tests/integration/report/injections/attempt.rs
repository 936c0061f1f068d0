//! One run under strace, in which a call fails, and what is to be said of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use super::table::{OWN, statuses};
use super::trace::{self, Failed};
use super::{Lock, Mode};
use crate::support::crontab::path_with;
use crate::support::harness::{Ended, NONOVERLAP, Run, Scene, becomes_free, locks_on, record_of};
use crate::support::probe::in_child;

/// What a run's command is: it shows what is locked, and that it runs. A lock that stands all the time is
/// missing from one plain reading in some hundreds while others come and go, and so it is read again.
#[rustfmt::skip]
const COMMAND: [&str; 6] = ["/bin/cat", "/proc/locks", "/proc/locks", "/proc/locks", "/proc/locks", "/proc/version"];

/// Where a descriptor of the caller's is, far from those that strace and the tests use.
const CALLERS: i32 = 200;

/// Makes what stays from one attempt to the next.
#[track_caller]
pub fn prepare(scene: &Scene, mode: &Mode) {
    if mode.lock == Lock::Free && mode.runs {
        // Whether it is settled is not to change from one attempt to the next.
        scene.settled_lock();
    }
    scene.script("nonoverlap-t", "#!/bin/sh\nexit 75\n");
    let crontab = "#!/bin/sh\ncase $1 in\n\
        -l) [ -e table ] || { echo no crontab for me >&2; exit 1; }; exec cat table ;;\n\
        -) cat >new && mv new table ;;\nesac\n";
    // The table that it keeps has another name: behind a file that cannot be executed, the real crontab(1)
    // would be found.
    scene.script("crontab", crontab);
    if let Some(is_there) = mode.crontab {
        let other = "5 4 * * * others\n";
        scene.file("table.before", other);
        if is_there {
            scene.file("table", other);
            let mut install = in_scene(scene, NONOVERLAP);
            let install = install.args(["--install", "@daily", "lock", "/bin/true"]);
            assert_eq!(install.run().code(), Some(0));
            fs::rename(scene.path("table"), scene.path("table.before")).unwrap();
        }
    }
}

/// A program in the folder that finds its crontab(1) and its helpers, and leaves nothing elsewhere.
fn in_scene(scene: &Scene, program: &str) -> Command {
    let mut command = Command::new(program);
    // A helper of Server's is in a folder of its own.
    let mut path = scene.path("bin:").into_os_string();
    path.push(path_with(&scene.path("")));
    command.current_dir(scene.path("")).env("PATH", path);
    command
        .env("HOME", scene.path(""))
        .env("TMPDIR", scene.path(""));
    command
}

/// One run under strace.
pub struct Attempt {
    /// The calls, each by its name and how often it was made before by the same process.
    pub calls: BTreeSet<(String, usize)>,
    /// The calls that failed, each with those before it: one of each process.
    pub failed: Vec<Failed>,
    pub ended: Ended,
    /// Whether somebody has a lock on the lock file at the end, before the caller closes its descriptor.
    is_locked: bool,
}

/// What an attempt comes to.
pub struct Verdict {
    pub ran: bool,
    pub is_unlocked: bool,
    pub wrong: Option<String>,
}

impl Attempt {
    #[track_caller]
    pub fn of(scene: &Scene, mode: &Mode, options: &[&str]) -> Attempt {
        let lock = scene.lock();
        match mode.lock {
            Lock::New | Lock::Marked => drop(fs::remove_file(&lock)),
            Lock::Free | Lock::Callers => drop(scene.file("lock", record_of(i32::MAX as u32))),
            Lock::Held => {}
        }
        let line = "2026-11-28 01:14:09 +0000 nonoverlap: l locked by PID 7; starting true\nx";
        let _ = fs::remove_file(scene.path("log"));
        scene.file("log", line);
        let _ = fs::remove_file(scene.path("table"));
        if mode.crontab.is_some() {
            fs::copy(scene.path("table.before"), scene.path("table")).unwrap();
        }
        let mut strace = match mode.lock {
            // The holder is outside, where nothing but its mark is seen of it.
            Lock::Marked => {
                let mut unshare = in_scene(scene, "unshare");
                unshare.args(["--pid", "--fork", "--mount-proc", "strace"]);
                unshare
            }
            _ => in_scene(scene, "strace"),
        };
        strace.args(["-f", "-b", "execve", "-o", "trace"]);
        strace.args(options);
        match mode.words {
            ["flock", words @ ..] => strace.arg(scene.flock()).args(words),
            words => strace.arg(NONOVERLAP).args(words),
        };
        if mode.words.contains(&"200") {
            let file = File::open(&lock).unwrap();
            if mode.lock == Lock::Callers {
                flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            }
            in_child(&mut strace, move || {
                // SAFETY: dup2(2) touches no memory.
                let number = unsafe { libc::dup2(file.as_raw_fd(), CALLERS) };
                match number {
                    CALLERS => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        if mode.runs {
            strace.args(COMMAND);
        }
        let ended = strace.run();
        // One look at the table may miss a lock while others come and go.
        let is_locked = lock.exists() && (0..8).any(|_| !locks_on(&lock).is_empty());
        let trace = fs::read_to_string(scene.path("trace")).unwrap();
        let (calls, failed) = trace::read(&trace);
        Attempt {
            calls,
            failed,
            ended,
            is_locked,
        }
    }

    /// What is to be said of it. `changed` is the crontab as it is to be.
    #[track_caller]
    pub fn judge(
        &self,
        scene: &Scene,
        mode: &Mode,
        error: &str,
        changed: Option<&[u8]>,
    ) -> Verdict {
        let log = fs::read_to_string(scene.path("log")).unwrap_or_default();
        let (stdout, stderr) = (self.ended.stdout(), self.ended.stderr());
        // The command's stdout may be the log.
        let shown = [&*stdout, &*log].concat();
        let ran = mode.runs && shown.contains("Linux version ");
        let is_ours = |slot: &str| {
            let inode = fs::metadata(scene.path(slot)).map(|state| state.ino());
            inode.is_ok_and(|inode| shown.contains(&format!(":{inode} ")))
        };
        let is_on_a_server = mode.words.iter().any(|word| word.contains("://"));
        let is_unlocked = ran && !is_on_a_server && !is_ours("lock") && !is_ours("lock.2");
        let status = self.ended.code();
        let is_held = matches!(mode.lock, Lock::Held | Lock::Marked);
        let expected = statuses(mode.table, &self.failed, error);
        let is_own = status == Some(mode.own) && ran == (mode.runs && !is_held);
        let is_expected = match &expected {
            Some(statuses) => statuses.iter().any(|&expected| match expected {
                OWN => is_own,
                expected => status == Some(expected) && !ran,
            }),
            None => is_own || !ran && matches!(status, Some(1 | 4 | 64..=127)),
        };
        let crontab = fs::read(scene.path("table")).ok();
        let before = fs::read(scene.path("table.before")).ok();
        let is_new = crontab.as_deref() == changed;
        let is_failure = mode.runs && !ran && status != Some(1);
        // Shortly before execve(2), standard error is the log.
        let is_said = stderr.contains("nonoverlap: ")
            || stderr.contains("flock: ")
            || log.contains("\nnonoverlap: ");
        let may_be_silent = self.failed.iter().any(|(call, _)| call.name == "write");
        let faults = [
            (
                stderr.contains("panicked") || stderr.contains("memory allocation"),
                "a panic",
            ),
            (is_unlocked || ran && is_held, "it ran without the lock"),
            (!is_expected, "the exit status"),
            (!is_new && crontab != before, "half a crontab"),
            (status == Some(0) && !is_new, "0 without the new crontab"),
            // Whatever keeps a command from being run is said, but for a conflict, if it can be.
            (is_failure && !is_said && !may_be_silent, "nothing is said"),
            (is_held && stdout.contains("lock: free"), "it says free"),
            (
                mode.words == ["200"] && status == Some(0) && !self.is_locked,
                "0 without the lock",
            ),
            (
                mode.lock == Lock::Callers && status == Some(0) && self.is_locked,
                "0 with the lock",
            ),
        ];
        let wrong: Vec<_> = faults
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, what)| *what)
            .collect();
        if mode.lock != Lock::Held && scene.lock().exists() {
            becomes_free(&scene.lock());
        }
        let text: Vec<_> = self.failed.iter().map(|(call, _)| &call.text).collect();
        let what = || {
            format!(
                "{}: expected {expected:?}: {text:?}{:?}",
                wrong.join(", "),
                self.ended
            )
        };
        Verdict {
            ran,
            is_unlocked,
            wrong: (!wrong.is_empty()).then(what),
        }
    }
}
