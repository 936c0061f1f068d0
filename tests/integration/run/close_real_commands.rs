//! `--close` around the commands themselves that close what they inherit, or that leave a daemon behind.
//! Linux only: what is locked is read from `/proc`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::inspect::let_go::is_silent;
use crate::run::guardian::guardian_of;
use crate::support::harness::{
    Holder, NONOVERLAP, Orphan, Run, Scene, becomes_free, eventually, has_tool, holds_lock,
    locks_on, nonoverlap, record_of,
};
use crate::support::real_commands::{
    HOLD, ssh_to_here, sudo_runs_without_a_password, sudo_that_becomes_its_command,
};

#[test]
fn sudo_that_becomes_its_command_keeps_the_lock_to_its_end() {
    let scene = Scene::new();
    if let Some(mut command) = sudo_that_becomes_its_command(&scene, &["--close"]) {
        keeps_the_lock_to_its_end(&scene, &mut command);
    }
}

#[test]
fn sudo_keeps_the_lock_to_its_end() {
    if sudo_runs_without_a_password() {
        let words = ["sudo", "-n", "sh", "-c", HOLD];
        closed_it_keeps_the_lock_to_its_end(&words);
    }
}

#[test]
fn ssh_keeps_the_lock_to_its_end() {
    let scene = Scene::new();
    if let Some(words) = ssh_to_here(&scene) {
        closed_it_keeps_the_lock_to_its_end(&words);
    }
}

#[test]
fn tcsh_keeps_the_lock_to_its_end() {
    if has_tool("tcsh", "tcsh as the holder") {
        closed_it_keeps_the_lock_to_its_end(&["tcsh", "-f", "-c", HOLD]);
    }
}

/// Sudo relays SIGTERM to its command, and waits for it.
#[test]
fn sudo_that_is_ended_by_sigterm_keeps_the_lock_until_it_has_ended() {
    if !sudo_runs_without_a_password() {
        return;
    }
    let scene = Scene::new();
    let mut command = nonoverlap(["-o"]);
    let script =
        "trap 'sleep 0.2; exit 7' TERM; echo held; while kill -0 $PPID; do sleep 0.01; done";
    command.arg(scene.lock());
    let holder = Holder::start(command.args(["sudo", "-n", "sh", "-c", script]));
    assert!(guardian_of(holder.pid()).is_some());
    let status = holder.kill(libc::SIGTERM);
    assert_eq!(status.code(), Some(7));
    becomes_free(&scene.lock());
}

/// As the manual says: the guardian follows one process.
#[test]
fn the_command_of_a_sudo_that_is_killed_runs_on_without_the_lock() {
    if !sudo_runs_without_a_password() {
        return;
    }
    let scene = Scene::new();
    let pid = scene.path("pid");
    let mut command = nonoverlap(["-o"]);
    let script = "echo $$ >\"$0\"; echo held; exec sleep 60 </dev/null >/dev/null";
    command.arg(scene.lock());
    command.args(["sudo", "-n", "sh", "-c", script]);
    let holder = Holder::start(command.arg(&pid));
    let child = orphan(&pid);
    assert!(guardian_of(holder.pid()).is_some());
    holder.kill(libc::SIGKILL);
    becomes_free(&scene.lock());
    assert!(child.runs());
}

/// It closes nothing as long as it does not go into the background.
#[test]
fn start_stop_daemon_keeps_the_lock_to_its_end_with_and_without_close() {
    if !has_tool(START_STOP_DAEMON, "start-stop-daemon as the holder") {
        return;
    }
    let scene = Scene::new();
    let words = start_stop_daemon(&scene, &[], &["/bin/sh", "-c", HOLD]);
    closed_it_keeps_the_lock_to_its_end(&words);

    let holder = Holder::start(nonoverlap([scene.lock()]).args(&words));
    assert!(holds_lock(holder.pid(), &scene.lock()));
    assert!(holder.end().success());
    assert_eq!(locks_on(&scene.lock()), [""; 0]);
    is_silent(&mut nonoverlap([scene.lock()]));
}

/// With -b start-stop-daemon ends at once, and what it started has closed its descriptors. So the lock
/// is free, and there is nobody to be told on: the process on record is gone.
#[test]
fn start_stop_daemon_in_the_background_takes_the_lock_with_it_with_and_without_close() {
    if !has_tool(START_STOP_DAEMON, "start-stop-daemon as the holder") {
        return;
    }
    for options in [&[][..], &["-o"]] {
        let scene = Scene::new();
        let words = start_stop_daemon(&scene, &["-b"], &["/bin/sleep", "60"]);
        let mut command = nonoverlap(options);
        let ended = command.arg(scene.lock()).args(&words).run();
        ended.expect(0, "", "");
        let daemon = orphan(&scene.path("pid"));
        eventually("it has closed the lock", || {
            locks_on(&scene.lock()).is_empty()
        });
        assert!(daemon.runs());
        is_silent(&mut nonoverlap([scene.lock()]));
    }
}

/// What to do instead: the lock inside, and start-stop-daemon around it.
#[test]
fn a_lock_that_start_stop_daemon_starts_in_the_background_is_held_by_the_daemon() {
    if !has_tool(START_STOP_DAEMON, "start-stop-daemon as the holder") {
        return;
    }
    for option in ["-n", "-o"] {
        let scene = Scene::new();
        let lock = scene.lock();
        let inside = [NONOVERLAP, option, lock.to_str().unwrap(), "sleep", "60"];
        let words = start_stop_daemon(&scene, &["-b"], &inside);
        let ended = Command::new(&words[0]).args(&words[1..]).run();
        ended.expect(0, "", "");
        let daemon = orphan(&scene.path("pid"));
        eventually("the daemon has the lock", || match option {
            "-o" => guardian_of(daemon.0).is_some_and(|pid| holds_lock(pid, &lock)),
            _ => lock.exists() && holds_lock(daemon.0, &lock),
        });
        nonoverlap([&lock]).arg("true").run().expect(1, "", "");
        drop(daemon);
        becomes_free(&lock);
    }
}

#[track_caller]
fn closed_it_keeps_the_lock_to_its_end<Word: AsRef<std::ffi::OsStr>>(words: &[Word]) {
    let scene = Scene::new();
    let mut command = nonoverlap(["--close"]);
    keeps_the_lock_to_its_end(&scene, command.arg(scene.lock()).args(words));
}

#[track_caller]
fn keeps_the_lock_to_its_end(scene: &Scene, command: &mut Command) {
    let lock = scene.lock();
    let holder = Holder::start(command);
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    assert!(!holds_lock(holder.pid(), &lock));
    assert!(holds_lock(guardian, &lock));
    assert_eq!(fs::read_to_string(&lock).unwrap(), record_of(holder.pid()));
    nonoverlap([&lock]).arg("true").run().expect(1, "", "");
    assert!(holder.end().success());
    becomes_free(&lock);
    is_silent(&mut nonoverlap([&lock]));
}

/// Where Debian has it, which is not in everybody's PATH.
const START_STOP_DAEMON: &str = "/sbin/start-stop-daemon";

/// It starts this command, whose PID is in the file `pid` then.
fn start_stop_daemon(scene: &Scene, options: &[&str], command: &[&str]) -> Vec<String> {
    let file = scene.path("pid").display().to_string();
    let mut words = vec![START_STOP_DAEMON, "--start", "--make-pidfile"];
    words.extend(["--pidfile", &file]);
    words.extend(options);
    words.extend(["--startas", command[0], "--"]);
    words.extend(&command[1..]);
    words.into_iter().map(str::to_owned).collect()
}

/// The process that has put its PID into this file, or will.
#[track_caller]
fn orphan(file: &Path) -> Orphan {
    let read = || fs::read_to_string(file).ok()?.trim().parse().ok();
    eventually("its PID is in the file", || read().is_some());
    Orphan(read().unwrap())
}
