//! What keeps a run from looking for others is no reason to run beside them.

use std::fs;
use std::process::Command;

use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, has_tool, nonoverlap, reason,
};
use crate::support::seccomp::{Answer, Call, run_gated};
use crate::support::status_answer::{CANNOT_TELL, HELD};

/// Holders whose files are displaced, each in a scene of its own: a run, whose mark is seen, and
/// another program, which has none.
fn displaced() -> Vec<(Scene, Holder)> {
    let make = |tool: &str, fate: &str| {
        let scene = Scene::new();
        let job = Holder::start(Command::new(tool).arg(scene.lock()).args(HOLD));
        super::in_folder(&scene.path(""), Command::new("env"), fate);
        (scene, job)
    };
    let mut all = vec![make(NONOVERLAP, "rm lock"), make(NONOVERLAP, "mv lock old")];
    if has_tool("flock", "another program's lock") {
        all.push(make("flock", "rm lock"));
    }
    all
}

#[track_caller]
fn did_not_run(ended: &Ended, what: &str) {
    assert_eq!(ended.stdout(), "", "{what}: {ended:?}");
    assert!(
        matches!(ended.code(), Some(code) if code != 0),
        "{what}: {ended:?}"
    );
}

#[test]
fn however_few_descriptors_there_are_nobody_runs_beside_a_holder() {
    for (scene, _job) in displaced() {
        for limit in 3..=20 {
            let under = |words: &[&str]| {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={limit}")).arg(NONOVERLAP);
                // Whoever looks is to see nothing that was left by a run before.
                let _ = fs::remove_file(scene.lock());
                command.args(words).arg(scene.lock());
                command
            };
            for options in [&[][..], &["-s"], &["-w", "0.01"]] {
                let ended = under(options).args(["echo", "ran"]).run();
                did_not_run(&ended, &limit.to_string());
                assert!(matches!(ended.code(), Some(1 | 71)), "{limit}: {ended:?}");
            }
            let ended = under(&["--status"]).run();
            let code = ended.code();
            assert!(
                matches!(code, Some(HELD | CANNOT_TELL)),
                "{limit}: {ended:?}"
            );
        }
    }
}

/// Calls of a look.
const CALLS: [libc::c_long; 6] = [
    OPEN,
    libc::SYS_read,
    libc::SYS_getdents64,
    READLINK,
    libc::SYS_statx,
    libc::SYS_fcntl,
];

/// By way of the C library, and on other processors, these are other calls.
#[cfg(target_arch = "x86_64")]
const OPEN: libc::c_long = libc::SYS_open;
#[cfg(not(target_arch = "x86_64"))]
const OPEN: libc::c_long = libc::SYS_openat;
#[cfg(target_arch = "x86_64")]
const READLINK: libc::c_long = libc::SYS_readlink;
#[cfg(not(target_arch = "x86_64"))]
const READLINK: libc::c_long = libc::SYS_readlinkat;

/// Whether it is nonoverlap that makes a call: on its way there, the test's own process makes some.
fn is_ours(call: &Call) -> bool {
    let program = fs::read_link(format!("/proc/{}/exe", call.pid));
    program.is_ok_and(|program| program.as_os_str() == NONOVERLAP)
}

/// Errors that say nothing of whether there is something.
const ERRORS: [i32; 5] = [
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOMEM,
    libc::EIO,
    libc::EINTR,
];

#[test]
fn whatever_call_of_the_look_fails_the_command_does_not_run_and_status_does_not_call_it_free() {
    let mut wrong = Vec::new();
    for (scene, _job) in displaced() {
        for (kind, call) in CALLS.into_iter().enumerate() {
            let mut number = 0;
            loop {
                number += 1;
                let errno = ERRORS[(number + kind) % ERRORS.len()];
                let failing = |command: &mut Command| {
                    let _ = fs::remove_file(scene.lock());
                    let mut count = 0;
                    let (ended, _) = run_gated(command, call, |call| {
                        count += usize::from(is_ours(call));
                        match is_ours(call) && count == number {
                            true => Answer::Fail(errno),
                            false => Answer::Pass,
                        }
                    });
                    (ended, count)
                };
                let mut run = nonoverlap([scene.lock()]);
                let (ran, calls) = failing(run.args(["echo", "ran"]));
                let mut status = nonoverlap(["--status"]);
                let (told, others) = failing(status.arg(scene.lock()));
                let is_right = ran.stdout.is_empty()
                    && ran.code() != Some(0)
                    && matches!(told.code(), Some(HELD | CANNOT_TELL));
                if !is_right {
                    let what = format!("number {number} of call {call}: {}", reason(errno));
                    wrong.push((what, ran, told));
                }
                if (calls < number && others < number) || number == MOST {
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// So many calls of a kind are failed, one in each run.
const MOST: usize = 24;

#[test]
fn where_the_table_of_locks_cannot_be_read_it_is_71_and_the_reason_is_said() {
    for errno in ERRORS {
        let scene = Scene::new();
        let _job = Holder::of([scene.lock()]);
        fs::remove_file(scene.lock()).unwrap();
        // The first thing that is read is the table.
        let fail = |call: &Call| match is_ours(call) {
            true => Answer::Fail(errno),
            false => Answer::Pass,
        };
        let mut run = nonoverlap([scene.lock()]);
        if errno == libc::EINTR {
            continue;
        }
        let (ended, _) = run_gated(run.args(["echo", "ran"]), libc::SYS_read, fail);
        let line = format!(
            "nonoverlap: cannot look for other holders of {}: {}\n",
            scene.lock().display(),
            reason(errno)
        );
        ended.expect(71, "", &line);
        let mut status = nonoverlap(["--status"]);
        let (ended, _) = run_gated(status.arg(scene.lock()), libc::SYS_read, fail);
        assert_eq!(ended.code(), Some(CANNOT_TELL), "{ended:?}");
    }
}

/// A look beside a process with a thousand locked ranges on one file, of which each has a line in what
/// the kernel tells of the descriptor. Sixteen megabytes are not enough for all these lines a thousand times.
#[test]
fn a_look_beside_thousands_of_locked_ranges_takes_little_memory() {
    if !has_tool("python3", "a process with many ranges") {
        return;
    }
    let scene = Scene::new();
    let script = "import fcntl, sys\n\
        file = open(sys.argv[1], 'wb')\n\
        for at in range(1000): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * at)\n\
        print('held', flush=True)\n\
        sys.stdin.read()";
    let mut ranges = Command::new("python3");
    ranges.args(["-c", script]).arg(scene.path("data"));
    let _ranges = Holder::start(&mut ranges);
    let mut run = Command::new("prlimit");
    run.arg("--data=16777216").arg(NONOVERLAP).arg(scene.lock());
    let ended = run.args(["echo", "ran"]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout(), "ran\n", "{ended:?}");
}
