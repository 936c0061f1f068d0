//! Every error in every system call of every mode, one after another: the command never runs without the
//! lock, nothing hangs, nothing panics, the exit status is the one of the table in `table.rs`, and a
//! crontab is the old one or the new one. Linux only: strace makes the calls fail, and lets go at execve.
//! (What would hang would be killed, and end the test.)
//!
//! The errors are those of [`ERRORS`], or the names that `NONOVERLAP_ERRORS` lists.

mod attempt;
mod table;
mod trace;

use std::collections::BTreeSet;
use std::env;
use std::fs;

use crate::support::harness::{HOLD, Holder, Scene, has_tool, is_root, left_out, nonoverlap};
use crate::support::remote_server::Server;
use attempt::{Attempt, prepare};
use table::{
    CHANGE, CONNECTION, CRONTAB, DESCRIPTOR, FCNTL, FILE, GUARDIAN, HELPER, HISTORY, LOG,
    LOG_OF_GUARDIAN, LOOK, MARK, MAX_RUNTIME, NAMED, Row, SAID, SAYS, STARTED, STATUS, UNRECORDED,
    UNTOLD, WAIT,
};

/// A device that fails, and no memory. What a sandbox says and what comes of a signal are for who has
/// more time: EPERM, ENOSYS, EINTR, EAGAIN. Of those any status of our own is taken.
const ERRORS: &str = "EIO,ENOMEM";

/// What is known of the lock while it is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Lock {
    /// Nobody has it; the lock file has a record.
    Free,
    /// Nobody has it, and there is no lock file.
    New,
    /// Somebody has it all the time.
    Held,
    /// Somebody outside of the PID namespace has it all the time, and the lock file was deleted: nothing but
    /// a mark tells of it.
    Marked,
    /// The caller has it on its descriptor.
    Callers,
}

/// What is run, and what may come of it.
struct Mode {
    words: &'static [&'static str],
    lock: Lock,
    /// It runs a command, unless the lock is held.
    runs: bool,
    /// Its exit status where no call fails.
    own: i32,
    /// The user has a crontab, and an entry of ours is in it or not.
    crontab: Option<bool>,
    /// The calls whose errors it does not survive as if nothing had happened.
    table: &'static [&'static [Row]],
}

const fn run(words: &'static [&'static str], lock: Lock, table: &'static [&'static [Row]]) -> Mode {
    let own = match lock {
        Lock::Held | Lock::Marked => 1,
        _ => 0,
    };
    Mode {
        runs: true,
        ..answer(words, lock, own, table)
    }
}

const fn answer(
    words: &'static [&'static str],
    lock: Lock,
    own: i32,
    table: &'static [&'static [Row]],
) -> Mode {
    Mode {
        words,
        lock,
        runs: false,
        own,
        crontab: None,
        table,
    }
}

#[test]
fn a_run_survives_every_error() {
    survives(&run(&["lock"], Lock::Free, &[FILE, NAMED, MARK]));
    survives(&run(&["lock"], Lock::New, &[FILE, NAMED, MARK, LOOK]));
    survives(&run(
        &["-v", "lock"],
        Lock::Free,
        &[FILE, NAMED, MARK, SAYS],
    ));
    survives(&run(
        &["-s", "lock"],
        Lock::Free,
        &[FILE, NAMED, UNRECORDED, MARK, LOOK],
    ));
    survives(&run(&["-j", "2", "lock"], Lock::Free, &[FILE, NAMED, MARK]));
    survives(&run(
        &["--fcntl", "lock"],
        Lock::Free,
        &[FILE, FCNTL, NAMED, UNRECORDED],
    ));
}

#[test]
fn a_run_with_a_log_survives_every_error() {
    let table: &[_] = &[LOG, SAYS, FILE, NAMED, MARK];
    survives(&run(&["--log", "log", "lock"], Lock::Free, table));
    survives(&run(
        &["--log", "log", "lock"],
        Lock::Held,
        &[LOG, SAYS, FILE],
    ));
}

#[test]
fn a_run_with_a_guardian_survives_every_error() {
    let table = &[GUARDIAN, FILE, NAMED, MARK];
    survives(&run(&["-o", "lock"], Lock::Free, table));
    let table = &[MAX_RUNTIME, GUARDIAN, FILE, NAMED, MARK];
    survives(&run(&["--max-runtime", "1h", "lock"], Lock::Free, table));
}

#[test]
fn a_run_with_a_guardian_and_a_log_survives_every_error() {
    let words = &["-o", "--max-runtime", "1h", "--log", "log", "lock"];
    let table = &[
        LOG,
        LOG_OF_GUARDIAN,
        MAX_RUNTIME,
        SAYS,
        GUARDIAN,
        FILE,
        NAMED,
        MARK,
    ];
    survives(&run(words, Lock::Free, table));
}

#[test]
fn a_refusal_and_a_wait_survive_every_error() {
    survives(&run(&["-v", "lock"], Lock::Held, &[FILE, SAYS]));
    survives(&run(&["-w", "0.02", "lock"], Lock::Held, &[FILE, WAIT]));
    let words = &["-a", "0", "-j", "1", "lock"];
    survives(&run(words, Lock::Held, &[FILE, SAYS]));
}

#[test]
fn a_descriptor_of_the_callers_survives_every_error() {
    survives(&run(&["--fd", "200"], Lock::Free, &[DESCRIPTOR]));
    survives(&answer(&["200"], Lock::Free, 0, &[DESCRIPTOR]));
    survives(&answer(&["-u", "200"], Lock::Callers, 0, &[DESCRIPTOR]));
}

#[test]
fn an_answer_survives_every_error() {
    survives(&answer(&["--status", "lock"], Lock::Held, 0, &[SAID]));
    let words = &["--status", "--json", "lock"];
    survives(&answer(words, Lock::Free, 3, &[STATUS, SAID]));
    survives(&answer(
        &["--history", "log"],
        Lock::Free,
        0,
        &[HISTORY, SAID],
    ));
    survives(&answer(&["--help"], Lock::Free, 0, &[SAID]));
}

/// The first two have a crontab(1) that has no crontab.
#[test]
fn a_crontab_that_is_shown_survives_every_error() {
    let install = &["--install", "@daily", "--dry-run", "lock", "true"];
    survives(&answer(
        install,
        Lock::Free,
        0,
        &[CRONTAB, STARTED, SAYS, SAID],
    ));
    survives(&answer(&["--status"], Lock::Free, 3, &[UNTOLD, SAYS, SAID]));
}

#[test]
fn a_crontab_that_is_changed_survives_every_error() {
    for (words, is_there) in [
        (&["--install", "@daily", "lock", "/bin/true"][..], false),
        (&["--uninstall", "lock"], true),
    ] {
        survives(&Mode {
            crontab: Some(is_there),
            ..answer(words, Lock::Free, 0, &[CRONTAB, CHANGE, STARTED, SAYS])
        });
    }
}

#[test]
fn the_name_flock_survives_every_error() {
    survives(&run(
        &["flock", "-n", "lock"],
        Lock::Free,
        &[FILE, NAMED, UNRECORDED],
    ));
    let words = &["flock", "-w", "0.02", "lock"];
    survives(&run(words, Lock::Held, &[FILE, WAIT]));
}

/// By an error of a sandbox. (EPERM of the table is an answer: nobody may look, and then it runs.)
#[test]
fn a_mark_that_is_seen_survives_every_refusal() {
    if !is_root() {
        return left_out("a PID namespace", "needs root to make one");
    }
    for words in [&["lock"][..], &["-w", "0.02", "lock"]] {
        survives_errors(&Scene::new(), &run(words, Lock::Marked, &[]), "ENOSYS");
    }
    let mode = answer(&["--status", "lock"], Lock::Marked, 0, &[]);
    survives_errors(&Scene::new(), &mode, "ENOSYS");
}

/// The helper says that the lock is held.
#[test]
fn a_lock_on_a_server_that_is_held_survives_every_error() {
    survives(&answer(
        &["t://x", "true"],
        Lock::Free,
        1,
        &[HELPER, STARTED, SAYS],
    ));
    let table: &[_] = &[SAID, SAYS, UNTOLD];
    survives(&answer(&["--status", "t://x"], Lock::Free, 4, table));
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
        let table = &[CONNECTION, HELPER, GUARDIAN, STARTED, SAYS, FILE];
        survives_in(&server.scene, &run(&["test://x"], Lock::Free, table));
    }
}

/// With so little memory that one page after the other is missing, from where on the kernel can start it
/// at all. (glibc itself does not start then.)
#[cfg(target_env = "musl")]
#[test]
fn a_run_that_has_no_memory_says_so() {
    use crate::support::harness::{NONOVERLAP, Run};
    use std::process::Command;

    for words in [
        &["--log", "log", "lock", "/bin/true"][..],
        &["-w", "1", "lock", "/bin/true"],
        &["-o", "--max-runtime", "1h", "lock", "/bin/true"],
        &["--status", "lock"],
        &["--history", "log"],
    ] {
        let scene = Scene::new();
        scene.file("log", "");
        let mut said = BTreeSet::new();
        for kilobytes in 8..64 {
            // Nothing is known of the name, so the table of locks is read.
            let _ = fs::remove_file(scene.lock());
            let mut prlimit = Command::new("prlimit");
            prlimit
                .arg(format!("--data={}", kilobytes * 1024))
                .arg(NONOVERLAP);
            let ended = prlimit.args(words).current_dir(scene.path("")).run();
            match ended.code() {
                // 3 is the answer of --status.
                Some(0 | 3) => {}
                Some(71) => assert!(ended.stderr().contains("emory"), "{ended:?}"),
                // The command has no more.
                Some(127) => {}
                _ => panic!("{kilobytes}: {ended:?}"),
            }
            said.insert(ended.code());
        }
        assert!(said.contains(&Some(71)), "{words:?}: {said:?}");
    }
}

/// Has every call of a mode fail in every way.
#[track_caller]
fn survives(mode: &Mode) {
    survives_in(&Scene::new(), mode);
}

/// The same in a folder.
#[track_caller]
fn survives_in(scene: &Scene, mode: &Mode) {
    let errors = env::var("NONOVERLAP_ERRORS").unwrap_or_else(|_| ERRORS.to_owned());
    survives_errors(scene, mode, &errors);
}

/// The same by these errors.
#[track_caller]
fn survives_errors(scene: &Scene, mode: &Mode, errors: &str) {
    if !has_tool("strace", "errors of every call") {
        return;
    }
    prepare(scene, mode);
    let holder = matches!(mode.lock, Lock::Held | Lock::Marked)
        .then(|| Holder::start(nonoverlap(["lock"]).args(HOLD).current_dir(scene.path(""))));
    let first = Attempt::of(scene, mode, &[]);
    assert_eq!(first.ended.code(), Some(mode.own), "{:?}", first.ended);
    let changed = fs::read(scene.path("table")).ok();
    let (mut count, mut ran, mut unlocked, mut wrong) = (0, 0, 0, Vec::new());
    let mut injected = BTreeSet::new();
    for (call, number) in &first.calls {
        for error in errors.split(',') {
            let inject = format!("--inject={call}:error={error}:when={number}");
            let attempt = Attempt::of(scene, mode, &["-b", "execve", &inject]);
            let verdict = attempt.judge(scene, mode, error, changed.as_deref());
            if !attempt.failed.is_empty() {
                count += 1;
                injected.insert(call);
            }
            ran += usize::from(verdict.ran);
            unlocked += usize::from(verdict.is_unlocked);
            wrong.extend(verdict.wrong.map(|why| format!("{inject}: {why}")));
        }
    }
    println!(
        "{:?}: {} calls, {count} injections, {ran} ran, {unlocked} of them unlocked, {} wrong",
        mode.words,
        first.calls.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{:?}\n{}", mode.words, wrong.join("\n"));
    // A mode whose calls are others the next time tests nothing of them. (Their number is another one: the
    // table of locks is read again where it changes meanwhile.)
    let names: BTreeSet<_> = first.calls.iter().map(|(call, _)| call).collect();
    assert!(injected.len() > names.len() / 2, "{:?}", mode.words);
    // A descriptor leaves nothing that could fail and be gone on without.
    let goes_on = mode.runs && holder.is_none() && !mode.words.contains(&"--fd");
    assert_eq!(ran > 0, goes_on, "{:?}", mode.words);
}
