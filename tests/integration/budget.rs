//! What a run costs in system calls. The list is told, with its reasons, at the top of `main.rs`.
//!
//! Linux only: strace writes the list.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use crate::harness::{HOLD, Holder, NONOVERLAP, Run, Scene, left_out, record_of};

/// From the first look at the lock file to the command: a lock file that has a record of a run that
/// ended, and a command with a slash.
const STRAIGHT_PATH: [&str; 15] = [
    "open",
    "fcntl",
    "close",
    "flock",
    "fstat",
    "lstat",
    "pread",
    "getrlimit",
    "open",
    "fstat",
    "getpid",
    "pwrite",
    "close",
    "kill",
    "execve",
];

/// What musl does before `main`: its thread pointer, and its thread's number.
#[cfg(target_env = "musl")]
const START: [&str; 2] = ["arch_prctl", "set_tid_address"];

const REFUSAL: [&str; 5] = ["open", "fcntl", "close", "flock", "close"];

#[test]
fn a_run_makes_just_the_system_calls_that_have_a_reason() {
    let scene = Scene::new();
    // A PID beyond the largest that Linux gives.
    scene.file("lock", record_of(2_000_000_000));
    let Some(calls) = calls(&scene, &["/bin/true"]) else {
        return;
    };
    let start = calls.iter().position(|call| call == "open").unwrap();
    assert_eq!(calls[start..], STRAIGHT_PATH);
    #[cfg(target_env = "musl")]
    assert_eq!(calls[..start], START);
}

#[test]
fn a_refusal_that_nobody_hears_looks_for_nobody() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let Some(calls) = calls(&scene, &HOLD) else {
        return;
    };
    holder.end();
    let start = calls.iter().position(|call| call == "open").unwrap();
    // Before the exit, stderr is asked whether it is a terminal.
    let calls: Vec<_> = calls[start..]
        .iter()
        .filter(|call| *call != "ioctl")
        .collect();
    assert_eq!(calls, REFUSAL);
}

/// The names of the calls after the execve of nonoverlap, up to the execve of the command or the
/// exit, in one spelling for all processors.
pub fn calls(scene: &Scene, command: &[&str]) -> Option<Vec<String>> {
    let trace = scene.path("trace");
    let mut strace = Command::new("strace");
    strace
        .arg("-o")
        .arg(&trace)
        .arg(NONOVERLAP)
        .arg(scene.lock())
        .args(command);
    if Command::new("strace").arg("-V").output().is_err() {
        left_out("the list of system calls", "strace is not installed");
        return None;
    }
    strace.run();
    let trace = fs::read_to_string(trace).unwrap();
    let mut names = Vec::new();
    for line in trace.lines().skip(1) {
        let name = match line.split('(').next().unwrap() {
            "openat" => "open",
            "newfstatat" if line.contains("AT_SYMLINK_NOFOLLOW") => "lstat",
            "newfstatat" => "fstat",
            "pread64" => "pread",
            "pwrite64" => "pwrite",
            "prlimit64" if line.contains("RLIMIT_FSIZE") => "getrlimit",
            // Rust's own check of a descriptor before it is closed, in debug builds only.
            "fcntl" if cfg!(debug_assertions) && line.contains("F_GETFD") => continue,
            "exit_group" => break,
            other => other,
        };
        names.push(name.to_owned());
        if name == "execve" {
            break;
        }
    }
    Some(names)
}
