//! Promises about signals and waits: what ends a wait and what does not, and that the command finds
//! every signal as nonoverlap's caller left it. Linux only, for `/proc/PID/status`.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use libc::c_int;

use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, Stopped, Waiter, eventually, kill, nonoverlap,
    state, waits_for_lock,
};

/// What shows its signals as it found them.
const SHOW: [&str; 2] = ["cat", "/proc/self/status"];

#[test]
fn a_signal_that_ends_a_process_ends_a_wait_and_nothing_runs() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for options in [&["-w", "1000"][..], &["-b"]] {
        for signal in [
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGUSR1,
            libc::SIGPIPE,
            libc::SIGALRM,
            libc::SIGKILL,
        ] {
            let mut run = nonoverlap(options);
            run.arg(scene.lock()).args(["echo", "ran"]);
            // Whoever runs the tests in the background may have SIGINT ignored, or SIGHUP.
            NOTHING_SPECIAL.precede(&mut run);
            let waiter = Waiter::start(&mut run, &scene.lock());
            kill(waiter.pid(), signal);
            let ended = waiter.ended();
            let seen = (ended.signal(), ended.stdout(), ended.stderr());
            assert_eq!(
                seen,
                (Some(signal), String::new(), String::new()),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn a_signal_that_does_nothing_does_not_end_a_wait() {
    let scene = Scene::new();
    for options in [&["-w", "1000"][..], &["-b"]] {
        let holder = Holder::of([scene.lock()]);
        let waiter = waiter(&scene, options);
        for _ in 0..50 {
            for signal in [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD, libc::SIGCONT] {
                kill(waiter.pid(), signal);
            }
            eventually("waits", || waits_for_lock(waiter.pid(), &scene.lock()));
        }
        assert!(holder.end().success());
        waiter.ended().expect(0, "ran\n", "");
    }
}

#[test]
fn signals_that_do_nothing_make_a_wait_neither_shorter_nor_longer() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let time = Duration::from_secs(1);
    let start = Instant::now();
    let waiter = waiter(&scene, &["-w", "1"]);
    let pid = waiter.pid();
    let ended = thread::scope(|scope| {
        let running = scope.spawn(|| waiter.ended());
        while !running.is_finished() {
            kill(pid, libc::SIGURG);
            kill(pid, libc::SIGWINCH);
            thread::sleep(Duration::from_millis(1));
        }
        running.join().unwrap()
    });
    ended.expect(1, "", "");
    // One that counted anew each time would not have ended.
    assert!(start.elapsed() >= time);
}

#[test]
fn a_waiter_that_is_stopped_and_continued_waits_on() {
    let scene = Scene::new();
    for options in [&["-w", "1000"][..], &["-b"]] {
        let holder = Holder::of([scene.lock()]);
        let waiter = waiter(&scene, options);
        drop(Stopped::new(waiter.pid()));
        eventually("waits", || {
            state(waiter.pid()) == Some('S') && waits_for_lock(waiter.pid(), &scene.lock())
        });
        assert!(holder.end().success());
        waiter.ended().expect(0, "ran\n", "");
    }
}

#[test]
fn the_deadline_stays_while_a_waiter_is_stopped() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let time = Duration::from_secs(4);
    // Continued before the deadline, and after it.
    for stopped_for in [time * 3 / 4, time * 3 / 2] {
        let start = Instant::now();
        let waiter = waiter(&scene, &["-w", "4"]);
        let stopped = Stopped::new(waiter.pid());
        thread::sleep(stopped_for);
        // One that counted anew, or that did not count while it was stopped, would end when about the
        // whole time has gone once more: later than this one.
        let mut later = self::waiter(&scene, &["-w", "3"]);
        drop(stopped);
        waiter.ended().expect(1, "", "");
        assert!(start.elapsed() >= time && !later.has_ended());
    }
}

#[test]
fn what_the_caller_ignores_does_not_end_a_wait_and_stays_ignored() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut run = Command::new("sh");
    run.args([
        "-c",
        r#"trap "" HUP INT QUIT TERM ALRM URG PIPE USR1; exec "$@""#,
        "sh",
        NONOVERLAP,
        "-w",
        "1000",
    ]);
    let waiter = Waiter::start(run.arg(scene.lock()).args(SHOW), &scene.lock());
    let ignored = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGALRM,
        libc::SIGURG,
        libc::SIGPIPE,
        libc::SIGUSR1,
    ];
    for signal in ignored {
        kill(waiter.pid(), signal);
        eventually("waits", || waits_for_lock(waiter.pid(), &scene.lock()));
    }
    assert!(holder.end().success());
    let signals = Signals::shown_by(&waiter.ended());
    // The C library that started the shell may have some of its own ignored besides.
    assert_eq!(
        signals.ignored & set_of(&ignored),
        set_of(&ignored),
        "{signals:x?}"
    );
    assert_eq!(signals.pending, 0, "{signals:x?}");
}

#[test]
fn the_command_finds_every_signal_as_it_was_before_the_wait() {
    let scene = Scene::new();
    for before in [
        NOTHING_SPECIAL,
        Before {
            ignored: &[libc::SIGURG, libc::SIGALRM, libc::SIGPIPE],
            ..NOTHING_SPECIAL
        },
        ALL_BLOCKED,
        Before {
            pending: &[libc::SIGURG],
            ..ALL_BLOCKED
        },
        Before {
            pending: &[libc::SIGURG, libc::SIGALRM],
            ignored: &[libc::SIGURG, libc::SIGALRM],
            ..ALL_BLOCKED
        },
        Before {
            pending: &[
                libc::SIGURG,
                libc::SIGALRM,
                libc::SIGPIPE,
                libc::SIGTERM,
                35,
                64,
            ],
            ..ALL_BLOCKED
        },
    ] {
        before.is_found_after_waits(&scene);
    }
}

#[test]
fn a_blocked_signal_that_comes_during_a_wait_is_pending_after_it() {
    let scene = Scene::new();
    let signals = [
        libc::SIGURG,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGPIPE,
        40,
    ];
    for options in [&["-w", "1000"][..], &["-b"]] {
        let holder = Holder::of([scene.lock()]);
        let mut run = nonoverlap(options);
        run.arg(scene.lock()).args(SHOW);
        ALL_BLOCKED.precede(&mut run);
        let waiter = Waiter::start(&mut run, &scene.lock());
        for signal in signals {
            kill(waiter.pid(), signal);
        }
        eventually("waits", || waits_for_lock(waiter.pid(), &scene.lock()));
        assert!(holder.end().success());
        let found = Signals::shown_by(&waiter.ended());
        assert_eq!(found.pending, set_of(&signals), "{options:?} {found:x?}");
    }
}

/// How a process's signals are before nonoverlap.
struct Before {
    blocked: u64,
    /// Sent to the process when it has blocked them.
    pending: &'static [c_int],
    ignored: &'static [c_int],
}

const NOTHING_SPECIAL: Before = Before {
    blocked: 0,
    pending: &[],
    ignored: &[],
};

/// Every signal is, those that the C library hides among them.
const ALL_BLOCKED: Before = Before {
    blocked: u64::MAX,
    ..NOTHING_SPECIAL
};

impl Before {
    /// The bare command and one that nonoverlap runs after a wait find the same.
    #[track_caller]
    fn is_found_after_waits(&self, scene: &Scene) {
        let mut bare = Command::new(SHOW[0]);
        self.precede(bare.args(&SHOW[1..]));
        let expected = Signals::shown_by(&bare.run());
        for options in [&["-w", "1000"][..], &["-b"], &["--fcntl", "-w", "1000"]] {
            let api = options.iter().filter(|option| **option == "--fcntl");
            let holder = Holder::start(nonoverlap(api).arg(scene.lock()).args(HOLD));
            let mut run = nonoverlap(options);
            self.precede(run.arg(scene.lock()).args(SHOW));
            let waiter = Waiter::start(&mut run, &scene.lock());
            assert!(holder.end().success());
            let found = Signals::shown_by(&waiter.ended());
            assert_eq!(
                found, expected,
                "{options:?}\nfound    {found:x?}\nexpected {expected:x?}"
            );
        }
    }

    /// Has a command begin like this.
    fn precede(&self, command: &mut Command) {
        let Before {
            blocked,
            pending,
            ignored,
        } = *self;
        let set_up = move || {
            for signal in 1..=libc::SIGSYS {
                let disposition = match ignored.contains(&signal) {
                    true => libc::SIG_IGN,
                    false => libc::SIG_DFL,
                };
                // SAFETY: neither is a function of ours.
                unsafe { libc::signal(signal, disposition) };
            }
            let none: *mut u64 = ptr::null_mut();
            // SAFETY: the set is eight bytes long, as it says; a null pointer asks for no old one. By the
            // system call itself, since the C library's function leaves its own signals out.
            unsafe {
                libc::syscall(
                    libc::SYS_rt_sigprocmask,
                    libc::SIG_SETMASK,
                    &blocked,
                    none,
                    size_of::<u64>(),
                )
            };
            for &signal in pending {
                kill(std::process::id(), signal);
            }
            Ok::<(), io::Error>(())
        };
        // SAFETY: the closure makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(set_up) };
    }
}

/// A process's signals, by `/proc/PID/status`: a bit each.
#[derive(Debug, PartialEq, Eq)]
struct Signals {
    blocked: u64,
    ignored: u64,
    caught: u64,
    /// For the process or its one thread: which of them cannot be told by those who find it.
    pending: u64,
}

impl Signals {
    /// What [`SHOW`] said.
    #[track_caller]
    fn shown_by(ended: &Ended) -> Signals {
        assert!(ended.status.success(), "{ended:?}");
        let status = ended.stdout();
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        Signals {
            blocked: set("SigBlk:"),
            ignored: set("SigIgn:"),
            caught: set("SigCgt:"),
            pending: set("SigPnd:") | set("ShdPnd:"),
        }
    }
}

fn set_of(signals: &[c_int]) -> u64 {
    signals
        .iter()
        .fold(0, |set, signal| set | 1 << (signal - 1))
}

/// A run of `echo` that waits for the scene's lock.
#[track_caller]
fn waiter(scene: &Scene, options: &[&str]) -> Waiter {
    let mut run = nonoverlap(options);
    Waiter::start(run.arg(scene.lock()).args(["echo", "ran"]), &scene.lock())
}
