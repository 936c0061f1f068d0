//! The command finds signals and timers as nonoverlap's caller left them, whatever nonoverlap had to say in between.

use std::process::Command;

use crate::support::harness::{NONOVERLAP, Run, Scene, has_perl_timers};

#[test]
fn a_timer_of_the_callers_rings_in_the_command() {
    if !has_perl_timers("timers of the caller's") {
        return;
    }
    let scene = Scene::new();
    let ended = under_timers("alarm 1", &scene).args(["sleep", "90"]).run();
    assert_eq!(ended.signal(), Some(libc::SIGALRM), "{ended:?}");
}

#[test]
fn every_timer_of_the_callers_goes_on_where_it_was_and_none_of_ours_is_left() {
    if !has_perl_timers("timers of the caller's") {
        return;
    }
    let scene = Scene::new();
    let set = "setitimer($_, 1000, 7) for ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF";
    for (timers, rest, interval) in [(set, 900.0..1001.0, 7.0), ("", 0.0..0.1, 0.0)] {
        let show = "print join ' ', map { getitimer($_) } ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF";
        let ended = under_timers(timers, &scene)
            .args(["perl", TIMERS, "-e", show])
            .run();
        let shown = ended.stdout();
        let numbers: Vec<f64> = shown.split(' ').flat_map(str::parse).collect();
        assert_eq!(numbers.len(), 6, "{ended:?}");
        for timer in numbers.chunks(2) {
            assert!(rest.contains(&timer[0]), "{ended:?}");
            assert_eq!(timer[1], interval, "{ended:?}");
        }
    }
}

const TIMERS: &str = "-MTime::HiRes=setitimer,getitimer,ITIMER_REAL,ITIMER_VIRTUAL,ITIMER_PROF";

/// nonoverlap, started by a process that does this first.
fn under_timers(first: &str, scene: &Scene) -> Command {
    let mut perl = Command::new("perl");
    perl.args([TIMERS, "-e", &format!("{first}; exec @ARGV"), NONOVERLAP]);
    perl.arg(scene.lock());
    perl
}

/// Other systems do not show a process's mask and its pending signals.
#[cfg(target_os = "linux")]
pub mod seen_in_proc {
    use std::fs::File;
    use std::io::{self, Write};
    use std::process::Stdio;
    use std::ptr;

    use rustix::process::{Resource, Rlimit, getpid, setrlimit};

    use crate::support::harness::{Holder, Scene, broken_pipe, nonoverlap, run_on};
    use crate::support::probe::{both, in_child};

    pub type Step = fn() -> io::Result<()>;
    type Sink = fn() -> Stdio;

    /// What a caller may have done to the signals, and what `/proc/self/status` then shows at least.
    pub const STATES: &[(Step, &str, u64)] = &[
        (|| Ok(()), "SigBlk", 0),
        (|| ignore(PIPE), "SigIgn", PIPE),
        (|| ignore(XFSZ), "SigIgn", XFSZ),
        (|| ignore(ALL), "SigIgn", ALL & !UNSTOPPABLE & !OF_THREADS),
        (|| block(PIPE), "SigBlk", PIPE),
        (|| block(XFSZ), "SigBlk", XFSZ),
        (|| block(ALL), "SigBlk", ALL & !UNSTOPPABLE),
        (|| ignore(ALL).and_then(|()| block(ALL)), "SigIgn", PIPE),
    ];

    /// Signals that a caller has left pending, for the thread that executes the command or for its process: two that
    /// nonoverlap has nothing to do with, and the two that a failing write(2) sends.
    pub const PENDING: &[(Step, &str, u64)] = &[
        (|| pend(USR1 | TERM, THREAD), "SigPnd", USR1 | TERM),
        (|| pend(USR1 | TERM, PROCESS), "ShdPnd", USR1 | TERM),
        (|| pend(PIPE | XFSZ, THREAD), "SigPnd", PIPE | XFSZ),
        (|| pend(PIPE | XFSZ, PROCESS), "ShdPnd", PIPE | XFSZ),
    ];

    /// Sets of signals as the kernel writes them: bit 0 is signal 1.
    const ALL: u64 = u64::MAX;
    const PIPE: u64 = 1 << (libc::SIGPIPE - 1);
    const XFSZ: u64 = 1 << (libc::SIGXFSZ - 1);
    const USR1: u64 = 1 << (libc::SIGUSR1 - 1);
    const TERM: u64 = 1 << (libc::SIGTERM - 1);
    const UNSTOPPABLE: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
    /// Those that the C libraries use between threads: 32 to 34.
    const OF_THREADS: u64 = 0b111 << 31;

    /// Where nonoverlap's messages go: to a pipe, a broken pipe, a file at its size limit or just under it, a full
    /// device, and nowhere.
    const SINKS: &[(&str, Sink, Step)] = &[
        ("null", Stdio::null, || Ok(())),
        ("broken pipe", broken_pipe, || Ok(())),
        ("file at its limit", || file_of(LIMIT), limit_files),
        ("file under it", || file_of(LIMIT - 4), limit_files),
        ("full device", full_device, || Ok(())),
        ("closed", Stdio::null, close_stderr),
    ];

    #[test]
    fn the_command_finds_every_disposition_the_mask_and_pending_signals_as_the_caller_left_them() {
        for &(state, field, bits) in STATES.iter().chain(PENDING) {
            let [alone, under] = both(&[], &[], |command| in_child(command, state), Stdio::null);
            assert_eq!(set_in(&alone, field) & bits, bits, "{field}: {alone:#?}");
            assert_eq!(alone, under, "{field} {bits:x}");
        }
    }

    #[test]
    fn a_message_wherever_it_goes_changes_no_disposition_and_no_mask() {
        assert_messages_unseen(STATES);
    }

    #[test]
    fn a_message_wherever_it_goes_leaves_and_takes_no_pending_signal() {
        assert_messages_unseen(PENDING);
    }

    #[test]
    fn a_message_that_nobody_can_read_changes_no_exit_status() {
        let scene = Scene::new();
        let held = scene.path("held");
        let _holder = Holder::of([&held]);
        let (lock, held) = (scene.lock(), held.to_str().unwrap().to_owned());
        let lock = lock.to_str().unwrap();
        let runs: [(&[&str], i32); 6] = [
            (&["--bogus"], 64),
            (&["/no/such/lock", "true"], 66),
            (&["-v", &held, "true"], 1),
            (&[lock, "/no/such/command"], 127),
            (&["-v", lock, "sh", "-c", "exit 42"], 42),
            (&["-v", lock, "true"], 0),
        ];
        for (words, status) in runs {
            for (name, stderr, prepare) in SINKS {
                let mut command = nonoverlap(words);
                in_child(&mut command, *prepare);
                let ended = run_on(&mut command, stderr()).status;
                assert_eq!(ended.code(), Some(status), "{name}: {words:?}: {ended:?}");
            }
        }
    }

    /// With `-v`, whose message goes to each of [`SINKS`], the command is to see what it sees without nonoverlap.
    #[track_caller]
    fn assert_messages_unseen(states: &[(Step, &str, u64)]) {
        let mut faults = Vec::new();
        for (state, field, bits) in states {
            for (name, stderr, prepare) in SINKS {
                let prepare = |command: &mut _| {
                    in_child(command, *prepare);
                    in_child(command, *state);
                };
                let [alone, under] = both(&[], &["-v"], prepare, stderr);
                if alone != under {
                    let differs = alone.iter().zip(&under).filter(|(one, other)| one != other);
                    faults.push(format!(
                        "{field} {bits:x}, {name}: {:?}",
                        differs.collect::<Vec<_>>()
                    ));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    pub fn set_in(sight: &[String], field: &str) -> u64 {
        let set = sight
            .iter()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        u64::from_str_radix(set.unwrap(), 16).unwrap()
    }

    /// By the system call itself: the C library's function leaves out those that it uses between threads (32 to 34).
    pub fn block(mask: u64) -> io::Result<()> {
        // SAFETY: the kernel's sets are the 8 bytes that the last argument says; the old set is not asked for.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const mask,
                ptr::null_mut::<u64>(),
                8,
            )
        };
        succeeded(answer)
    }

    /// All of these that can be ignored; the C library lets nobody ignore those that it uses between threads.
    pub fn ignore(mask: u64) -> io::Result<()> {
        for signal in (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1) {
            // SAFETY: SIG_IGN is no function, so none runs in a signal.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    }

    pub const PROCESS: libc::c_long = libc::SYS_kill;
    pub const THREAD: libc::c_long = libc::SYS_tkill;

    /// Blocks these signals and sends them to itself. A child of fork(2) has one thread, whose number is its PID.
    pub fn pend(signals: u64, call: libc::c_long) -> io::Result<()> {
        block(signals)?;
        for signal in (1..=64).filter(|signal| signals >> (signal - 1) & 1 == 1) {
            // SAFETY: neither call touches memory.
            succeeded(unsafe { libc::syscall(call, getpid().as_raw_nonzero().get(), signal) })?;
        }
        Ok(())
    }

    fn succeeded(answer: libc::c_long) -> io::Result<()> {
        match answer {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// More than the record in the lock file needs.
    const LIMIT: u64 = 64;

    fn file_of(length: u64) -> Stdio {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; length as usize]).unwrap();
        file.into()
    }

    fn limit_files() -> io::Result<()> {
        let limit = Rlimit {
            current: Some(LIMIT),
            maximum: Some(LIMIT),
        };
        Ok(setrlimit(Resource::Fsize, limit)?)
    }

    fn full_device() -> Stdio {
        File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
            .into()
    }

    fn close_stderr() -> io::Result<()> {
        // SAFETY: in a child that executes another program next, nothing uses this descriptor any more.
        succeeded(unsafe { libc::close(2) }.into())
    }
}
