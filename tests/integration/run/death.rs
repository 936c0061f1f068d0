//! However a job dies, the lock is free at once; with the lock on the command's own descriptor, and
//! with a guardian.
//!
//! Linux only: what is locked is read from `/proc`.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::run::guardian::guardian_of;
use crate::support::harness::{
    NONOVERLAP, Scene, Stopped, Watchdog, becomes_free, eventually, is_root, kill, left_out,
    locks_on, nonoverlap,
};
use crate::support::terminal::Terminal;

const MODES: [&[&str]; 2] = [&[], &["-o"]];

/// A job, which is killed at the latest when this goes out of scope.
struct Job {
    child: Child,
    _watchdog: Watchdog,
}

impl Job {
    /// Starts it, and returns when it has said this.
    #[track_caller]
    fn said(command: &mut Command, word: &str) -> Job {
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        let mut job = Job {
            child,
            _watchdog: watchdog,
        };
        let mut line = String::new();
        let mut output = BufReader::new(job.child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, word);
        job
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job in a process group of its own that has said that it runs.
fn job(scene: &Scene, mode: &[&str]) -> Job {
    let mut command = nonoverlap(mode);
    // One process, so that its death is the whole job's.
    command
        .arg(scene.lock())
        .args(["sh", "-c", "echo runs; exec sleep 1000"])
        .process_group(0);
    let job = Job::said(command.stdin(Stdio::null()), "runs\n");
    is_held(scene);
    job
}

/// The table of locks leaves entries out while other locks come and go, so one look is not enough.
#[track_caller]
fn is_held(scene: &Scene) {
    eventually("the lock is held", || !locks_on(&scene.lock()).is_empty());
}

/// Waits for the end of a job that was done away with, and for its lock.
#[track_caller]
fn is_gone(scene: &Scene, mode: &[&str], mut job: Job, signal: i32) {
    assert_eq!(job.wait().signal(), Some(signal), "{mode:?}");
    // What has no guardian has let go of its descriptors before anybody hears that it has ended.
    if mode.is_empty() {
        assert_eq!(locks_on(&scene.lock()), [""; 0]);
    }
    becomes_free(&scene.lock());
}

#[test]
fn a_signal_ends_the_job_and_frees_the_lock() {
    for mode in MODES {
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGHUP] {
            let scene = Scene::new();
            let job = job(&scene, mode);
            kill(job.pid(), signal);
            is_gone(&scene, mode, job, signal);
        }
    }
}

#[test]
fn a_job_that_is_stopped_keeps_the_lock_until_it_ends() {
    for mode in MODES {
        let scene = Scene::new();
        let job = job(&scene, mode);
        kill(job.pid(), libc::SIGSTOP);
        let stat = PathBuf::from(format!("/proc/{}/stat", job.pid()));
        eventually("it is stopped", || {
            std::fs::read_to_string(&stat).unwrap().contains(") T ")
        });
        is_held(&scene);
        kill(job.pid(), libc::SIGTERM);
        kill(job.pid(), libc::SIGCONT);
        is_gone(&scene, mode, job, libc::SIGTERM);
    }
}

#[test]
fn sigkill_of_the_whole_group_frees_the_lock() {
    for mode in MODES {
        let scene = Scene::new();
        let job = job(&scene, mode);
        let group = Pid::from_child(&job.child);
        kill_process_group(group, Signal::KILL).unwrap();
        is_gone(&scene, mode, job, libc::SIGKILL);
    }
}

/// As systemd stops a service: every process of its cgroup, one by one.
#[test]
fn sigterm_to_each_process_frees_the_lock_when_the_command_ends() {
    for mode in MODES {
        let scene = Scene::new();
        let job = job(&scene, mode);
        if let Some(guardian) = guardian_of(job.pid()) {
            // The command may take its time to end.
            every_signal_that_can_be_blocked(guardian);
            is_held(&scene);
        }
        kill(job.pid(), libc::SIGTERM);
        is_gone(&scene, mode, job, libc::SIGTERM);
    }
}

#[track_caller]
fn every_signal_that_can_be_blocked(guardian: u32) {
    for signal in 1..=64 {
        if ![libc::SIGKILL, libc::SIGSTOP].contains(&signal) {
            kill(guardian, signal);
        }
    }
    // By the time that it has been stopped and gone on, it would have taken them.
    let stat = format!("/proc/{guardian}/stat");
    let is = |state| {
        std::fs::read_to_string(&stat)
            .unwrap_or_default()
            .contains(state)
    };
    let stopped = Stopped::new(guardian);
    eventually("it is stopped", || is(") T "));
    drop(stopped);
    eventually("it goes on", || is(") S "));
}

#[test]
fn a_guardian_that_is_stopped_frees_the_lock_when_it_goes_on() {
    let scene = Scene::new();
    let mut job = job(&scene, &["-o"]);
    let guardian = Stopped::new(guardian_of(job.pid()).unwrap());
    kill(job.pid(), libc::SIGKILL);
    job.wait();
    is_held(&scene);
    drop(guardian);
    becomes_free(&scene.lock());
}

/// As it is told in the manual: the command goes on, without the lock.
#[test]
fn a_guardian_that_is_killed_leaves_the_command_running() {
    let scene = Scene::new();
    let mut job = job(&scene, &["-o"]);
    kill(guardian_of(job.pid()).unwrap(), libc::SIGKILL);
    becomes_free(&scene.lock());
    assert!(job.child.try_wait().unwrap().is_none());
}

#[test]
fn closing_the_terminal_frees_the_lock() {
    for mode in MODES {
        let scene = Scene::new();
        let terminal = Terminal::new();
        // setsid of util-linux makes the terminal that is stdin the controlling one.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", NONOVERLAP])
            .args(mode)
            .arg(scene.lock());
        command.args(["sh", "-c", "echo runs; exec sleep 1000"]);
        command.stdin(terminal.open()).stderr(terminal.open());
        let job = Job::said(&mut command, "runs\n");
        drop(command);
        drop(terminal);
        is_gone(&scene, mode, job, libc::SIGHUP);
    }
}

#[test]
fn the_end_of_process_1_of_a_namespace_frees_the_lock() {
    if !is_root() {
        return left_out("a PID namespace", "it takes root");
    }
    for mode in MODES {
        let scene = Scene::new();
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child", NONOVERLAP])
            .args(mode)
            .arg(scene.lock());
        command.args(["sh", "-c", "echo $$; exec sleep 1000"]);
        let mut job = Job::said(&mut command, "1\n");
        is_held(&scene);
        job.child.kill().unwrap();
        job.wait();
        becomes_free(&scene.lock());
    }
}
