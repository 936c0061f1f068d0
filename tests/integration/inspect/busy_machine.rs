//! Promises about `--status` on a busy machine: it is never in the way of a run, and misses no lock
//! while others come and go.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, has_tool, is_root, left_out, nonoverlap,
};
use crate::support::status_answer::{Asker, FREE, HELD, nobody};

/// These tests keep the machine busy, and would only measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// A tenth of this number, which takes seconds; all of it, which takes minutes, where
/// `NONOVERLAP_FULL_LOAD` is set.
fn many(number: usize) -> usize {
    match std::env::var_os("NONOVERLAP_FULL_LOAD") {
        Some(_) => number,
        None => number / 10,
    }
}

#[test]
fn it_makes_no_call_that_locks_or_writes() {
    if !has_tool("strace", "the calls of --status") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let calls = scene.path("calls");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o"])
        .arg(&calls)
        .args([NONOVERLAP, "--status"]);
    let asked = command
        .args([scene.lock(), scene.file("free", ""), scene.path("absent")])
        .run();
    assert_eq!(asked.code(), Some(HELD), "{asked:?}");
    let calls = fs::read_to_string(&calls).unwrap();
    assert!(calls.contains("\"/proc/locks\""), "{calls}");
    let forbidden = [
        "flock(", "SETLK", "SETLEASE", "O_WRONLY", "O_RDWR", "O_CREAT", "unlink", "rename",
    ];
    for word in forbidden {
        let lines: Vec<_> = calls.lines().filter(|line| line.contains(word)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[test]
fn no_run_is_refused_beside_it_while_a_probe_that_locks_does_make_runs_skip() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    let asked = AtomicUsize::new(0);
    let seen_held = AtomicUsize::new(0);
    let ask = || {
        match code(nonoverlap(["--status", "-q"]).arg(scene.lock())) {
            HELD => seen_held.fetch_add(1, Ordering::Relaxed),
            FREE => 0,
            other => panic!("--status ended with {other}"),
        };
        // Never at an end because of a refusal.
        asked.fetch_add(1, Ordering::Relaxed) + 1 < many(2000)
    };
    let (runs, refused) = refusals_beside(&scene.lock(), &["true"], ask);
    let seen = (asked.into_inner(), seen_held.into_inner());
    say(&format!(
        "{runs} runs, {refused} refused; {} statuses, {} of them saw a run",
        seen.0, seen.1
    ));
    assert!(
        seen.0 >= many(2000) && seen.1 >= many(20) && runs >= many(200),
        "{seen:?}, {runs} runs"
    );
    assert_eq!(refused, 0, "of {runs} runs");

    let left = AtomicUsize::new(many(2000));
    let probe = || {
        code(
            Command::new("flock")
                .args(["-s", "-n"])
                .arg(scene.lock())
                .arg("true"),
        );
        left.fetch_sub(1, Ordering::Relaxed) > 1
    };
    let (runs, refused) = refusals_beside(&scene.lock(), &["true"], probe);
    assert!(refused > 0, "the harness sees no refusal in {runs} runs");
}

/// Runs this job under the lock, one after the other, while two others do this as long as it says so: how many
/// runs there were, and how many of them were refused.
fn refusals_beside(lock: &Path, job: &[&str], other: impl Fn() -> bool + Sync) -> (usize, usize) {
    let goes_on = AtomicBool::new(true);
    let others = || {
        let _end = OnDrop(|| goes_on.store(false, Ordering::Relaxed));
        while goes_on.load(Ordering::Relaxed) {
            if !other() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(others);
        scope.spawn(others);
        let (mut runs, mut refused) = (0, 0);
        while goes_on.load(Ordering::Relaxed) {
            runs += 1;
            match code(nonoverlap([lock]).args(job)) {
                0 => {}
                1 => refused += 1,
                other => panic!("a run ended with {other}"),
            }
        }
        (runs, refused)
    })
}

#[test]
fn no_held_lock_is_called_free_while_others_come_and_go() {
    let scene = Scene::new();
    assert_never_free(&scene, &Asker::here(), 900);
}

#[test]
fn no_held_lock_is_called_free_while_others_come_and_go_to_a_user_who_may_look_into_none() {
    if !is_root() {
        return left_out(
            "another user's locks that come and go",
            "needs root to take them",
        );
    }
    // With a few, the table is short, and the next to come goes away as often as it can.
    for number in [900, 8] {
        let scene = Scene::new();
        assert_never_free(&scene, &nobody(&scene), number);
    }
}

/// Takes and drops so many locks, again and again, until its input ends: flocks on as many files, or
/// record locks on as many bytes of one.
const CHURN: &str = r#"
import fcntl, os, select, sys
kind, folder, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.mkdir(folder)
files = [os.open(f"{folder}/{number}", os.O_RDWR | os.O_CREAT) for number in range(many if kind == "flock" else 1)]
print("held", flush=True)
while not select.select([0], [], [], 0)[0]:
    for call in fcntl.LOCK_EX, fcntl.LOCK_UN:
        for number in range(many):
            if kind == "flock": fcntl.flock(files[number], call)
            else: fcntl.lockf(files[0], call, 1, 2 * number)"#;

/// A command on the first processor: each has a list of its own in the table.
fn here<const N: usize>(words: [&str; N]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).args(words);
    command
}

#[track_caller]
fn assert_never_free(scene: &Scene, asker: &Asker, number: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = AtomicUsize::new(0);
    // In rounds, because no process lives for longer than the harness has patience.
    while asked.load(Ordering::Relaxed) < many(5000) {
        let _holder = Holder::start(here([NONOVERLAP]).arg(scene.lock()).args(HOLD));
        let churn = |kind| {
            let folder = scene.path(format!("{kind}{}", asked.load(Ordering::Relaxed)));
            let mut churner = here(["python3", "-c", CHURN, kind]);
            Holder::start(churner.arg(folder).arg(number.to_string()))
        };
        let _churners = [churn("flock"), churn("records")];
        let start = Instant::now();
        let ask = || {
            while start.elapsed() < Duration::from_secs(20)
                && asked.load(Ordering::Relaxed) < many(5000)
            {
                let told = code(asker.command().args(["--status", "-q"]).arg(scene.lock()));
                assert_eq!(
                    told,
                    HELD,
                    "after {} statuses",
                    asked.load(Ordering::Relaxed)
                );
                asked.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(ask);
            }
        });
    }
}

#[test]
fn of_runs_that_follow_each_other_none_is_said_to_have_let_go_or_to_hold_with_another() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    let left = AtomicUsize::new(many(2000));
    let ask = || {
        let told = nonoverlap(["--status"]).arg(scene.lock()).run();
        let is_true = !told.stdout().contains("let go") && !told.stdout().contains("processes");
        assert!(is_true, "{told:?}");
        left.fetch_sub(1, Ordering::Relaxed) > 1
    };
    refusals_beside(&scene.lock(), &["sleep", "0.003"], ask);
}

#[test]
fn no_waiter_is_warned_that_the_run_before_it_let_go_of_the_lock() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    // A process that ends closes its descriptors first, and for a moment still looks alive.
    for _ in 0..5 {
        let holder = Holder::of([scene.lock()]);
        let wait = |_| {
            let mut waiter = nonoverlap(["-b"]);
            waiter
                .arg(scene.lock())
                .arg("true")
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let waiters: Vec<_> = (0..100).map(wait).collect();
        drop(holder);
        for waiter in waiters {
            let ended = waiter.wait_with_output().unwrap();
            assert!(ended.status.success());
            assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
        }
    }
}

#[test]
fn of_two_thousand_lock_files_beside_ten_thousand_locks_each_is_told_of() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    let mut hoard = Command::new("python3");
    let _hoard = Holder::start(hoard.args(["-c", HOARD]).arg(scene.path("others")));
    let free = (0..2000).map(|number| scene.file(&format!("lock{number}"), ""));
    let held = (0..2000).map(|number| scene.path(format!("others/{number}")));
    for (files, code) in [
        (free.collect::<Vec<_>>(), FREE),
        (held.collect::<Vec<_>>(), HELD),
    ] {
        for count in [1000, 2000] {
            let start = Instant::now();
            let told = nonoverlap(["--status"]).args(&files[..count]).run();
            say(&format!("{count} lock files took {:?}", start.elapsed()));
            let seen = (told.code(), told.stdout().lines().count());
            assert_eq!(seen, (Some(code), count));
        }
    }
}

/// Holds ten thousand locks.
const HOARD: &str = r#"
import fcntl, os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 10100), max(hard, 10100)))
os.mkdir(sys.argv[1])
for number in range(10000):
    fcntl.flock(os.open(f"{sys.argv[1]}/{number}", os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()"#;

/// A figure that is worth seeing with --nocapture.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The exit status of a run that says nothing.
#[track_caller]
fn code(command: &mut Command) -> i32 {
    let null = [Stdio::null(), Stdio::null()];
    let [stdin, stdout] = null;
    let status = command.stdin(stdin).stdout(stdout).status().unwrap();
    status
        .code()
        .unwrap_or_else(|| panic!("{command:?}: {status}"))
}

/// Does something at the end, also when that is a failed assertion.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
