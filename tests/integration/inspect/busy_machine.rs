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
    HOLD, Holder, NONOVERLAP, PATIENCE, Run, Scene, has_tool, is_root, left_out, nonoverlap,
};
use crate::support::status_answer::{Asker, CANNOT_TELL, FREE, HELD, nobody};

/// These tests keep the machine busy, and would only measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// How often a test asks: a tenth of the number that it names, which takes seconds, or all of it, which
/// takes minutes, where `NONOVERLAP_FULL_LOAD` is set. A machine that has much else to do would take
/// minutes for the tenth, too, so it is asked for no longer than [`TIME`], unless that was too seldom to
/// show anything.
struct Quota {
    wanted: usize,
    least: usize,
    times: [Duration; 2],
    asked: AtomicUsize,
    start: Instant,
}

const TIME: Duration = Duration::from_secs(10);

impl Quota {
    fn of(number: usize) -> Quota {
        let is_full = std::env::var_os("NONOVERLAP_FULL_LOAD").is_some();
        Quota {
            wanted: if is_full { number } else { number / 10 },
            least: if is_full { number } else { number / 100 },
            times: if is_full {
                [Duration::MAX; 2]
            } else {
                [TIME, PATIENCE]
            },
            asked: AtomicUsize::new(0),
            start: Instant::now(),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether to ask once more.
    fn is_open(&self) -> bool {
        let (asked, time) = (self.asked(), self.start.elapsed());
        asked < self.wanted && time < self.times[usize::from(asked < self.least)]
    }

    /// Counts one, and says the same.
    fn count(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.is_open()
    }

    /// Says how often it was, and fails if that shows nothing.
    #[track_caller]
    fn end(self) {
        let said = format!("{} statuses in {:?}", self.asked(), self.start.elapsed());
        say(&said);
        assert!(self.asked() >= self.least, "{said}");
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
    let quota = Quota::of(2000);
    let seen_held = AtomicUsize::new(0);
    let ask = |_: &Runs| {
        match code(nonoverlap(["--status", "-q"]).arg(scene.lock())) {
            HELD => seen_held.fetch_add(1, Ordering::Relaxed),
            FREE => 0,
            other => panic!("--status ended with {other}"),
        };
        // Never at an end because of a refusal.
        quota.count()
    };
    let beside = Runs::beside(&scene.lock(), &["true"], ask);
    let (asked, seen_held) = (quota.asked(), seen_held.into_inner());
    quota.end();
    say(&format!("{seen_held} of them saw a run of {beside:?}"));
    assert!(
        seen_held * 100 >= asked && beside.all() * 10 >= asked,
        "{asked} statuses, {seen_held} of them saw a run of {beside:?}"
    );
    assert_eq!(beside.refused(), 0, "{beside:?}");

    let start = Instant::now();
    let probe = |beside: &Runs| {
        code(
            Command::new("flock")
                .args(["-s", "-n"])
                .arg(scene.lock())
                .arg("true"),
        );
        beside.refused() == 0 && start.elapsed() < PATIENCE
    };
    let beside = Runs::beside(&scene.lock(), &["true"], probe);
    assert!(beside.refused() > 0, "no refusal is seen: {beside:?}");
}

/// How many runs there were, and how many of them were refused.
#[derive(Debug, Default)]
struct Runs {
    all: AtomicUsize,
    refused: AtomicUsize,
}

impl Runs {
    /// Runs this job under the lock, one after the other, while two others do this as long as it says
    /// so.
    fn beside(lock: &Path, job: &[&str], other: impl Fn(&Runs) -> bool + Sync) -> Runs {
        let runs = Runs::default();
        let goes_on = AtomicBool::new(true);
        let others = || {
            let _end = OnDrop(|| goes_on.store(false, Ordering::Relaxed));
            while goes_on.load(Ordering::Relaxed) {
                if !other(&runs) {
                    break;
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(others);
            scope.spawn(others);
            while goes_on.load(Ordering::Relaxed) {
                runs.all.fetch_add(1, Ordering::Relaxed);
                match code(nonoverlap([lock]).args(job)) {
                    0 => {}
                    1 => drop(runs.refused.fetch_add(1, Ordering::Relaxed)),
                    other => panic!("a run ended with {other}"),
                }
            }
        });
        runs
    }

    fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

#[test]
fn no_held_lock_is_called_free_while_others_come_and_go() {
    if !has_tool("python3", "many locks of others") {
        return;
    }
    let scene = Scene::new();
    assert_never_free(&scene, &Asker::here(), 900);
}

#[test]
fn no_held_lock_is_called_free_while_others_come_and_go_to_a_user_who_may_look_into_none() {
    if !has_tool("python3", "many locks of others") {
        return;
    }
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
    let quota = Quota::of(5000);
    let unknown = AtomicUsize::new(0);
    // In rounds, because no process lives for longer than the harness has patience.
    while quota.is_open() {
        let _holder = Holder::start(here([NONOVERLAP]).arg(scene.lock()).args(HOLD));
        let churn = |kind| {
            let folder = scene.path(format!("{kind}{}", quota.asked()));
            let mut churner = here(["python3", "-c", CHURN, kind]);
            Holder::start(churner.arg(folder).arg(number.to_string()))
        };
        let _churners = [churn("flock"), churn("records")];
        let start = Instant::now();
        let ask = || {
            while start.elapsed() < TIME && quota.is_open() {
                let told = code(asker.command().args(["--status", "-q"]).arg(scene.lock()));
                // Very seldom the table changes too fast for a whole second, and that is what it says.
                if told == CANNOT_TELL {
                    unknown.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert_eq!(told, HELD, "after {} statuses", quota.asked());
                }
                quota.count();
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(ask);
            }
        });
    }
    let (asked, unknown) = (quota.asked(), unknown.into_inner());
    assert!(unknown * 10 < asked, "{unknown} of {asked} cannot be told");
    quota.end();
}

#[test]
fn of_runs_that_follow_each_other_none_is_said_to_have_let_go_or_to_hold_with_another() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    let quota = Quota::of(2000);
    let ask = |_: &Runs| {
        let told = nonoverlap(["--status"]).arg(scene.lock()).run();
        let is_true = !told.stdout().contains("let go") && !told.stdout().contains("processes");
        assert!(is_true, "{told:?}");
        quota.count()
    };
    Runs::beside(&scene.lock(), &["sleep", "0.003"], ask);
    quota.end();
}

#[test]
fn of_a_lock_that_is_gone_it_is_never_said_that_its_holder_cannot_be_seen() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new();
    let quota = Quota::of(5000);
    let seen_held = AtomicUsize::new(0);
    let ask = |_: &Runs| {
        let told = nonoverlap(["--status"]).arg(scene.lock()).run();
        let said = told.stdout();
        assert!(!said.contains("cannot be seen"), "{told:?}");
        match told.code() {
            Some(HELD) => {
                assert!(said.contains(": held by PID "), "{told:?}");
                seen_held.fetch_add(1, Ordering::Relaxed);
            }
            Some(FREE) => {}
            _ => panic!("{told:?}"),
        }
        quota.count()
    };
    Runs::beside(&scene.lock(), &["sleep", "0.03"], ask);
    let (asked, seen_held) = (quota.asked(), seen_held.into_inner());
    quota.end();
    assert!(seen_held * 2 > asked, "{seen_held} of {asked} saw a run");
}

#[test]
#[cfg(target_arch = "x86_64")] // As ptrace.rs.
fn what_was_let_go_while_it_looked_is_looked_at_again() {
    use crate::support::ptrace::Traced;

    let scene = Scene::new();
    let path = scene.lock();
    for is_deleted in [false, true] {
        for (is_followed, told) in [(true, "held by PID "), (false, "free; ")] {
            let holder = Holder::of([&path]);
            if is_deleted {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "").unwrap();
            }
            let traced = Traced::start(nonoverlap(["--status"]).arg(&path));
            // Which file system it is is asked for when the table was read, with the lock in it.
            traced.go_on_to_any_call(libc::SYS_fstatfs);
            assert!(holder.end().success());
            let next = is_followed.then(|| Holder::of([&path]));
            let answer = traced.let_go();
            let sentence = answer.stdout();
            let (_, sentence) = sentence.split_once(": ").unwrap();
            let code = if is_followed { HELD } else { FREE };
            assert_eq!(answer.code(), Some(code), "{answer:?}");
            assert!(sentence.starts_with(told), "{answer:?}");
            if let Some(next) = next {
                assert!(
                    sentence.contains(&format!("PID {} ", next.pid())),
                    "{answer:?}"
                );
            }
        }
    }
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
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
        }
    }
}

#[test]
fn of_two_thousand_lock_files_beside_ten_thousand_locks_each_is_told_of() {
    if !has_tool("python3", "many locks of others") {
        return;
    }
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
