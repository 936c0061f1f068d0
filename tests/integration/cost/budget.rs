//! What a run costs, in what does not depend on the machine's mood: system calls, memory, and the size
//! of the program. The list of system calls is told, with its reasons, at the top of `main.rs`. What
//! a run costs in time is told by `cargo bench`, and fails no test.
//!
//! Linux only: strace writes the list.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use crate::support::harness::{HOLD, Holder, NONOVERLAP, Run, Scene, has_tool};

/// From the first look at the lock file to the command: a lock file that is settled, by the record of a
/// run that ended, and a command with a slash.
const STRAIGHT_PATH: [&str; 20] = [
    "open",
    "fcntl",
    "close",
    "flock",
    "statx",
    "stat",
    "memfd_create",
    "fcntl",
    "close",
    "fcntl",
    "open",
    "statx",
    "pread",
    "kill",
    "getrlimit",
    "getpid",
    "pread",
    "pwrite",
    "close",
    "execve",
];

/// What musl does before `main`: its thread pointer, and its thread's number. glibc makes some more,
/// which differ from version to version.
#[cfg(target_env = "musl")]
const START: [&str; 2] = ["arch_prctl", "set_tid_address"];

/// A lock that is taken: is it our own? That is told in any case. The file, by its numbers; our
/// descriptors, of which 0, 1 and 2 are asked for theirs; and whether the PID of the record is our parent's
/// or of our session, as ours is. The last one asks whether a person looks at stderr.
const REFUSAL: [&str; 18] = [
    "open",
    "fcntl",
    "close",
    "flock",
    "statx",
    "open",
    "getdents64",
    "statx",
    "statx",
    "statx",
    "getdents64",
    "close",
    "pread",
    "getppid",
    "getsid",
    "getsid",
    "close",
    "ioctl",
];

#[test]
fn a_run_makes_just_the_system_calls_that_have_a_reason() {
    let scene = Scene::new();
    scene.settled_lock();
    let Some(calls) = calls(&scene, &["/bin/true"]) else {
        return;
    };
    let start = calls.iter().position(|call| call == "open").unwrap();
    assert_eq!(calls[start..], STRAIGHT_PATH);
    #[cfg(target_env = "musl")]
    assert_eq!(calls[..start], START);
}

/// What `--log` adds in front: the log, which file it is, the same for reading, and the lock file's own
/// number; and behind the record: how the log ends, the line, and the log in the place of both streams.
const LOG_BEFORE: [&str; 4] = ["open", "statx", "open", "statx"];
const LOG_BEHIND: [&str; 12] = [
    "lseek",
    "read",
    "getpid",
    "rt_sigprocmask",
    "rt_sigpending",
    "rt_sigpending",
    "write",
    "rt_sigprocmask",
    "fcntl",
    "dup2",
    "dup2",
    "fcntl",
];

/// And no process beside the command.
#[test]
fn a_log_costs_just_the_system_calls_that_have_a_reason() {
    let scene = Scene::new();
    scene.settled_lock();
    let log = scene.file("log", "a line\n");
    let options = ["--log", log.to_str().unwrap()];
    let Some(calls) = calls_with(&scene, &options, &["/bin/true"]) else {
        return;
    };
    let start = calls.iter().position(|call| call == "open").unwrap();
    let [before @ .., number] = LOG_BEFORE;
    let (open, rest) = STRAIGHT_PATH.split_at(3);
    let (rest, exec) = rest.split_at(rest.len() - 1);
    let expected = [&before, open, &[number], rest, &LOG_BEHIND, exec].concat();
    let calls: Vec<_> = calls[start..]
        .iter()
        .map(|call| match &**call {
            // By way of the C library, or of a processor without it.
            "dup3" => "dup2",
            "_llseek" => "lseek",
            other => other,
        })
        .collect();
    assert_eq!(calls, expected);
}

#[test]
fn a_refusal_that_nobody_hears_looks_for_nobody() {
    if !has_tool("setsid", "a holder that is no relative") {
        return;
    }
    let scene = Scene::new();
    // As cron starts it: in a session of its own.
    let mut job = Command::new("setsid");
    job.arg(NONOVERLAP).arg(scene.lock()).args(HOLD);
    let holder = Holder::start(&mut job);
    let Some(calls) = calls(&scene, &HOLD) else {
        return;
    };
    holder.end();
    let start = calls.iter().position(|call| call == "open").unwrap();
    assert_eq!(calls[start..], REFUSAL);
    #[cfg(target_env = "musl")]
    assert_eq!(calls[..start], START);
}

#[test]
fn a_run_writes_the_record_and_nothing_else() {
    let scene = Scene::new();
    scene.settled_lock();
    let Some(trace) = trace(&scene, &["/bin/true"]) else {
        return;
    };
    let writes: Vec<_> = trace.iter().filter(|line| may_write(line)).collect();
    assert!(
        matches!(writes[..], [record] if record.starts_with("pwrite64(") && record.contains("\\n\", 11, 0)")),
        "{writes:#?}"
    );
}

#[test]
fn a_refusal_writes_nothing() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let Some(trace) = trace(&scene, &HOLD) else {
        return;
    };
    holder.end();
    let writes: Vec<_> = trace.iter().filter(|line| may_write(line)).collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

/// Parts of the names of the calls that change a file system.
#[rustfmt::skip]
const CHANGING: [&str; 14] = [
    "write", "trunc", "fallocate", "copy_file", "mkdir", "mknod", "rmdir", "rename", "unlink", "symlink",
    "chmod", "chown", "utime", "xattr",
];

/// Whether a call changes anything in a file system, be it a time stamp.
fn may_write(line: &str) -> bool {
    let name = line.split('(').next().unwrap();
    let flags = ["O_CREAT", "O_TRUNC", "O_TMPFILE", "MAP_SHARED"];
    matches!(name, "link" | "linkat")
        || CHANGING.iter().any(|part| name.contains(part))
        || flags.iter().any(|flag| line.contains(flag))
}

#[test]
fn a_hundred_thousand_arguments_take_no_more_memory_than_ten() {
    let scene = Scene::new();
    scene.settled_lock();
    let of = |count: usize| {
        let mut command = vec!["/bin/true"];
        command.resize(1 + count, "x");
        let trace = trace(&scene, &command)?;
        // Names, sizes and flags; addresses, and the room that they take, differ from run to run.
        let is_memory = |line: &&String| line.starts_with("brk(") || line.starts_with("mmap(");
        let without_addresses = |line: &String| {
            let words = line.split([' ', ',', '(', ')', '=']);
            let words = words.filter(|word| !word.is_empty() && !word.starts_with("0x"));
            words.collect::<Vec<_>>().join(" ")
        };
        let memory = trace.iter().filter(is_memory).map(without_addresses);
        Some((trace.len(), memory.collect::<Vec<_>>()))
    };
    let Some(few) = of(10) else {
        return;
    };
    assert_eq!(of(100_000), Some(few));
}

/// More than a release has, by some room for what is to come.
#[cfg(all(target_env = "musl", not(debug_assertions)))]
const LARGEST: u64 = 481_000;

/// Of a stripped release build, as people install it.
#[cfg(all(target_env = "musl", not(debug_assertions)))]
#[test]
fn the_program_is_small() {
    let size = fs::metadata(NONOVERLAP).unwrap().len();
    assert!(size <= LARGEST, "{size} bytes");
}

/// The names of the calls after the execve of nonoverlap, up to the execve of the command or the
/// exit, in one spelling for all processors.
pub fn calls(scene: &Scene, command: &[&str]) -> Option<Vec<String>> {
    calls_with(scene, &[], command)
}

/// The same with options.
fn calls_with(scene: &Scene, options: &[&str], command: &[&str]) -> Option<Vec<String>> {
    let name = |line: &String| {
        let name = match line.split('(').next().unwrap() {
            // glibc looks for a file of the zone's name.
            "openat" if line.contains("/zoneinfo/") => return None,
            "openat" => "open",
            "newfstatat" if line.contains("AT_SYMLINK_NOFOLLOW") => "lstat",
            "newfstatat" if line.contains("AT_EMPTY_PATH") => "fstat",
            "newfstatat" => "stat",
            "pread64" => "pread",
            "pwrite64" => "pwrite",
            "prlimit64" if line.contains("RLIMIT_FSIZE") => "getrlimit",
            // Rust's own check of a descriptor before it is closed, in debug builds only.
            "fcntl" if cfg!(debug_assertions) && line.contains("F_GETFD") => return None,
            other => other,
        };
        Some(name.to_owned())
    };
    let trace = trace_with(scene, options, command)?;
    Some(trace.iter().filter_map(name).collect())
}

/// The same calls as strace writes them.
fn trace(scene: &Scene, command: &[&str]) -> Option<Vec<String>> {
    trace_with(scene, &[], command)
}

/// The same with options. The zone is said, so that no file tells of it.
fn trace_with(scene: &Scene, options: &[&str], command: &[&str]) -> Option<Vec<String>> {
    if !has_tool("strace", "the list of system calls") {
        return None;
    }
    let trace = scene.path("trace");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&trace).arg(NONOVERLAP).args(options);
    strace
        .env("TZ", "UTC0")
        .arg(scene.lock())
        .args(command)
        .run();
    let trace = fs::read_to_string(trace).unwrap();
    let mut calls = Vec::new();
    for line in trace.lines().skip(1) {
        if line.starts_with("exit_group(") {
            break;
        }
        calls.push(line.to_owned());
        if line.starts_with("execve(") {
            break;
        }
    }
    Some(calls)
}
