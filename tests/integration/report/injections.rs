//! Every error in every system call of every mode, one after another: the command never runs without the
//! lock, nothing hangs, nothing panics, and the exit status is one of those that mean that nothing was
//! run. Linux only: strace makes the calls fail, and lets go at execve.
//!
//! The errors are those of [`ERRORS`], or the names that `NONOVERLAP_ERRORS` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::Command;

use crate::support::crontab::path_with;
use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, becomes_free, has_tool, nonoverlap, record_of,
};

use crate::support::remote_server::Server;

/// A device that fails, and no memory. What a sandbox says and what comes of a signal are for who has
/// more time: EPERM, ENOSYS, EINTR, EAGAIN.
const ERRORS: &str = "EIO,ENOMEM";

/// Calls that end the process, or that no error comes of; and brk(2), which the C library's own start-up
/// makes once more or once less. Memory that runs out is a test of its own.
const WITHOUT_ERRORS: [&str; 5] = ["execve", "exit", "exit_group", "rt_sigreturn", "brk"];

/// The last call of the C library's own start-up, which ends as it likes where a call fails.
const LAST_OF_START: &str = if cfg!(target_env = "musl") {
    "set_tid_address"
} else {
    "mprotect"
};

/// What is known of the lock while it is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Lock {
    /// Nobody has it; the lock file has a record.
    Free,
    /// Nobody has it, and there is no lock file.
    New,
    /// Somebody has it all the time.
    Held,
}

/// What is run, and what may come of it.
struct Mode {
    words: &'static [&'static str],
    lock: Lock,
    /// It runs a command, unless the lock is held.
    runs: bool,
    /// The exit statuses that say that nothing was run, or that nothing can be told.
    statuses: &'static [i32],
}

const fn run(words: &'static [&'static str], lock: Lock) -> Mode {
    Mode {
        words,
        lock,
        runs: true,
        // A conflict, when flock(2) says so; the lock; the file; the machine; the log; execve.
        statuses: &[1, 65, 66, 71, 73, 126],
    }
}

const fn answer(words: &'static [&'static str], lock: Lock, statuses: &'static [i32]) -> Mode {
    Mode {
        words,
        lock,
        runs: false,
        statuses,
    }
}

#[test]
fn a_run_survives_every_error() {
    for mode in [
        run(&["lock"], Lock::Free),
        run(&["lock"], Lock::New),
        run(&["-v", "lock"], Lock::Free),
        run(&["-s", "lock"], Lock::Free),
        run(&["-j", "2", "lock"], Lock::Free),
        run(&["--fcntl", "lock"], Lock::Free),
    ] {
        survives(&mode);
    }
}

#[test]
fn a_run_with_a_log_survives_every_error() {
    survives(&run(&["--log", "log", "lock"], Lock::Free));
    survives(&run(&["--log", "log", "lock"], Lock::Held));
}

#[test]
fn a_run_with_a_guardian_survives_every_error() {
    survives(&run(&["-o", "lock"], Lock::Free));
    survives(&run(&["--max-runtime", "1h", "lock"], Lock::Free));
}

#[test]
fn a_run_with_a_guardian_and_a_log_survives_every_error() {
    let words = &["-o", "--max-runtime", "1h", "--log", "log", "lock"];
    survives(&run(words, Lock::Free));
}

#[test]
fn a_refusal_and_a_wait_survive_every_error() {
    survives(&run(&["-v", "lock"], Lock::Held));
    survives(&run(&["-w", "0.02", "lock"], Lock::Held));
    survives(&run(&["-a", "0", "-j", "1", "lock"], Lock::Held));
}

#[test]
fn an_answer_survives_every_error() {
    survives(&answer(&["--status", "lock"], Lock::Held, &[0, 4, 71]));
    survives(&answer(
        &["--status", "--json", "lock"],
        Lock::Free,
        &[3, 4, 71],
    ));
    survives(&answer(&["--history", "log"], Lock::Free, &[0, 66, 71]));
    survives(&answer(&["--help"], Lock::Free, &[0, 71]));
}

/// A crontab(1) that has no crontab.
#[test]
fn the_crontab_survives_every_error() {
    let statuses = &[0, 3, 4, 66, 69, 71, 73, 126, 127];
    let install = &["--install", "@daily", "--dry-run", "lock", "true"];
    survives(&answer(install, Lock::Free, statuses));
    survives(&answer(&["--status"], Lock::Free, statuses));
}

#[test]
fn the_name_flock_survives_every_error() {
    // 1 also where a message cannot be written, and 69 in place of 126.
    let statuses = &[1, 65, 66, 69, 71, 73];
    for (words, lock) in [
        (&["flock", "-n", "lock"][..], Lock::Free),
        (&["flock", "-w", "0.02", "lock"], Lock::Held),
    ] {
        survives(&Mode {
            statuses,
            ..run(words, lock)
        });
    }
}

/// The helper says that the lock is held.
#[test]
fn a_lock_on_a_server_that_is_held_survives_every_error() {
    survives(&answer(&["t://x", "true"], Lock::Free, &[1, 69, 71]));
    survives(&answer(&["--status", "t://x"], Lock::Free, &[4, 71]));
}

/// The server is a process that the helper leaves, and that ends with the connection.
#[test]
fn a_lock_on_a_server_survives_every_error() {
    let lines = r#"
ours, theirs = socket.socketpair()
give(ours)
if os.fork() == 0:
    ours.close()
    for stream in range(3):
        os.close(stream)
    theirs.recv(1)
    os._exit(0)"#;
    if let Some(server) = Server::with(lines) {
        let statuses = &[0, 69, 71, 73, 126];
        survives_in(
            &server.scene,
            &answer(&["test://x", "true"], Lock::Free, statuses),
        );
    }
}

/// With so little memory that one page after the other is missing, from where on the kernel can start it
/// at all. (glibc itself does not start then.)
#[cfg(target_env = "musl")]
#[test]
fn a_run_that_has_no_memory_says_so() {
    let scene = Scene::new();
    let mut said = BTreeSet::new();
    for kilobytes in 8..64 {
        // Nothing is known of the name, so the table of locks is read.
        let _ = fs::remove_file(scene.lock());
        let mut prlimit = Command::new("prlimit");
        prlimit
            .arg(format!("--data={}", kilobytes * 1024))
            .arg(NONOVERLAP);
        prlimit.args(["--log", "log", "lock", "/bin/true"]);
        let ended = prlimit.current_dir(scene.path("")).run();
        match ended.code() {
            Some(0) => {}
            Some(71) => assert_eq!(ended.stderr(), "nonoverlap: out of memory\n"),
            // The command has no more.
            Some(127) => {}
            _ => panic!("{kilobytes}: {ended:?}"),
        }
        said.insert(ended.code());
    }
    assert!(said.contains(&Some(71)), "{said:?}");
}

/// Has every call of a mode fail in every way.
#[track_caller]
fn survives(mode: &Mode) {
    survives_in(&Scene::new(), mode);
}

/// The same in a folder.
#[track_caller]
fn survives_in(scene: &Scene, mode: &Mode) {
    if !has_tool("strace", "errors of every call") {
        return;
    }
    let errors = env::var("NONOVERLAP_ERRORS").unwrap_or_else(|_| ERRORS.to_owned());
    let holder = (mode.lock == Lock::Held)
        .then(|| Holder::start(nonoverlap(["lock"]).args(HOLD).current_dir(scene.path(""))));
    let (calls, _) = attempt(scene, mode, &[]);
    let (mut count, mut ran) = (0, 0);
    // strace leaves out the call that fails. Where one closes our end of a pipe to a program that is
    // started, that is no error but an end that stays open, and close(2) always closes.
    let is_on_a_server = mode.words.iter().any(|word| word.contains("://"));
    let has_pipes = is_on_a_server || !mode.runs && mode.statuses.contains(&126);
    let calls: Vec<_> = calls
        .into_iter()
        .filter(|(call, _)| !(has_pipes && call == "close"))
        .collect();
    for (call, number) in &calls {
        for error in errors.split(',') {
            let inject = format!("--inject={call}:error={error}:when={number}");
            let (_, ended) = attempt(scene, mode, &["-b", "execve", &inject]);
            count += 1;
            ran += usize::from(judge(scene, mode, &inject, &ended));
        }
    }
    println!(
        "{:?}: {} calls, {count} injections, {ran} of them ran",
        mode.words,
        calls.len()
    );
    assert!(!calls.is_empty());
    assert_eq!(ran > 0, mode.runs && holder.is_none(), "{:?}", mode.words);
}

/// The calls of a run, each by its name and how often it was made before by the same process, and how it
/// ended.
#[track_caller]
fn attempt(scene: &Scene, mode: &Mode, options: &[&str]) -> (BTreeSet<(String, usize)>, Ended) {
    let lock = scene.lock();
    match mode.lock {
        Lock::New => drop(fs::remove_file(&lock)),
        Lock::Free => drop(scene.file("lock", record_of(i32::MAX as u32))),
        Lock::Held => {}
    }
    for file in ["said", "log"] {
        let _ = fs::remove_file(scene.path(file));
    }
    scene.file(
        "log",
        "2026-11-28 01:14:09 +0000 nonoverlap: l locked by PID 7; starting true\nx",
    );
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-b", "execve", "-o", "trace"])
        .args(options);
    match mode.words {
        ["flock", words @ ..] => strace.arg(scene.flock()).args(words),
        words => strace.arg(NONOVERLAP).args(words),
    };
    strace.current_dir(scene.path(""));
    if !scene.path("nonoverlap-t").exists() {
        scene.script("nonoverlap-t", "#!/bin/sh\nexit 1\n");
        let none = "#!/bin/sh\necho no crontab for me >&2\nexit 1\n";
        scene.script("crontab", none);
    }
    // A helper of Server's is in a folder of its own.
    let mut path = scene.path("bin:").into_os_string();
    path.push(path_with(&scene.path("")));
    strace.env("PATH", path);
    if mode.runs {
        // The file may be another one's than it was, so its name is asked for.
        let script = "grep -q \":$(stat -c %i \"${NONOVERLAP_SLOT:+lock.$NONOVERLAP_SLOT}\" 2>/dev/null || stat -c %i lock) \" /proc/locks && echo locked >said || echo unlocked >said";
        strace.args(["sh", "-c", script]);
    }
    let ended = strace.run();
    let trace = fs::read_to_string(scene.path("trace")).unwrap();
    let (mut made, mut calls) = (BTreeMap::new(), BTreeSet::new());
    let mut has_started = false;
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.chars().all(is_name) || WITHOUT_ERRORS.contains(&name) {
            continue;
        }
        let number = made.entry((pid.to_owned(), name.to_owned())).or_insert(0);
        *number += 1;
        if has_started {
            calls.insert((name.to_owned(), *number));
        }
        has_started |= name == LAST_OF_START;
    }
    (calls, ended)
}

/// Whether the command ran, if that was as it should be.
#[track_caller]
fn judge(scene: &Scene, mode: &Mode, inject: &str, ended: &Ended) -> bool {
    let said = fs::read_to_string(scene.path("said")).unwrap_or_default();
    let what = || format!("{:?} {inject}: said {said:?}: {ended:?}", mode.words);
    let stderr = ended.stderr();
    assert!(
        !stderr.contains("panicked") && !stderr.contains("memory allocation"),
        "{}",
        what()
    );
    assert_ne!(said, "unlocked\n", "{}", what());
    let ran = said == "locked\n";
    let status = ended.code();
    if ran {
        assert!(mode.lock != Lock::Held && status == Some(0), "{}", what());
    } else {
        let is_known = status.is_some_and(|status| mode.statuses.contains(&status));
        assert!(is_known, "{}", what());
        // Whatever keeps a command from being run is said, but for a conflict, if it can be.
        let is_failure = mode.runs && status != Some(1) && !inject.starts_with("--inject=write:");
        // Shortly before execve(2), standard error is the log.
        let log = fs::read_to_string(scene.path("log")).unwrap_or_default();
        let is_said = ["nonoverlap: ", "flock: "]
            .iter()
            .any(|name| stderr.contains(name))
            || log.contains("\nnonoverlap: ");
        assert!(!is_failure || is_said, "{}", what());
    }
    let claims_free = ended.stdout().contains("lock: free");
    assert!(mode.lock != Lock::Held || !claims_free, "{}", what());
    if mode.lock != Lock::Held && scene.lock().exists() {
        becomes_free(&scene.lock());
    }
    ran
}
