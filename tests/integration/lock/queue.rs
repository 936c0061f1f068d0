//! Promises about what it costs to wait, and about many waiters on one lock: each gets it, one at a
//! time, within milliseconds. Linux only: the system's tables tell who waits and what it has cost.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harness::{
    Holder, NONOVERLAP, PATIENCE, Scene, Watchdog, eventually, has_tool, holds_lock, kill,
    locks_on, nonoverlap, waits_for_lock,
};

#[test]
fn a_waiter_asks_the_kernel_twice_however_long_it_waits() {
    if !has_tool("strace", "what a waiter asks the kernel") {
        return;
    }
    let scene = Scene::new();
    for options in [&["-w", "1000"][..], &["-b"]] {
        let holder = Holder::of([scene.lock()]);
        let mut strace = Command::new("strace");
        strace
            .args(["-qq", "-e", "trace=flock", "-e", "signal=all", "-o"])
            .arg(scene.path("trace"));
        strace
            .arg(NONOVERLAP)
            .args(options)
            .arg(scene.lock())
            .args(["echo", "ran"]);
        // Its PID is not strace's.
        let waits = || {
            locks_on(&scene.lock())
                .iter()
                .any(|line| line.contains("->"))
        };
        let mut child = strace.stdout(Stdio::null()).spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        eventually("waits", waits);
        // The time in which it might do something.
        thread::sleep(Duration::from_millis(300));
        assert!(holder.end().success());
        assert!(child.wait().unwrap().success() && !watchdog.has_bitten());
        let trace = fs::read_to_string(scene.path("trace")).unwrap();
        let calls: Vec<&str> = trace.lines().collect();
        assert!(
            calls.len() == 2
                && calls[0].contains("LOCK_EX|LOCK_NB")
                && calls[1].contains("LOCK_EX) "),
            "{trace}"
        );
    }
}

#[test]
fn a_hundred_waiters_cost_nothing_and_get_the_lock_one_by_one_within_milliseconds() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut crowd = Crowd::new(&scene);
    let has_flock = has_tool("flock", "waiters to be compared with");
    let mut flocks = Vec::new();
    for number in 0..100 {
        crowd.join(if number % 2 == 0 {
            &["-w", "1000"]
        } else {
            &["-b"]
        });
        if has_flock && number % 5 == 0 {
            let mut flock = Command::new("flock");
            flock.args(["-w", "1000"]);
            flocks.push(crowd.join_by(flock));
        }
    }
    crowd.comes_to_rest();
    let before = crowd.costs();
    // The time in which they might do something.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(before, crowd.costs());
    let start = Instant::now();
    assert!(holder.end().success());
    let took = crowd.each_gets_it_in_turn(start);
    assert_eq!(took.len(), 100 + flocks.len());
    let (flocks, ours): (Vec<_>, Vec<_>) = took
        .into_iter()
        .partition(|(number, _)| flocks.contains(number));
    // In between, so that the machine is as busy for the ones as for the others.
    let ours = median("nonoverlap", ours);
    if has_flock {
        let flocks = median("flock", flocks);
        assert!(ours < flocks * 10, "{ours:?} {flocks:?}");
    }
}

#[test]
fn those_who_leave_the_queue_cost_the_others_nothing() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut crowd = Crowd::new(&scene);
    // Before and behind everybody who stays there are some who leave, by their time-out or by a signal.
    let (mut timed_out, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        timed_out.push(crowd.join(&["-w", "0.5"]));
        crowd.join(&["-w", "1000"]);
        killed.push(crowd.join(&["-w", "1000"]));
        crowd.join(&["-b"]);
    }
    for number in killed {
        assert_eq!(
            crowd.leaves(number, Some(libc::SIGKILL)),
            (None, Some(libc::SIGKILL))
        );
    }
    for number in timed_out {
        assert_eq!(crowd.leaves(number, None), (Some(1), None));
    }
    for member in crowd.members.values() {
        eventually("waits", || waits_for_lock(member.child.id(), &scene.lock()));
    }
    let start = Instant::now();
    assert!(holder.end().success());
    assert_eq!(crowd.each_gets_it_in_turn(start).len(), 20);
}

/// Processes that wait for one lock, and when it is theirs say so and hold it until their stdin is
/// closed.
struct Crowd {
    lock: PathBuf,
    /// By the number that each says.
    members: HashMap<usize, Member>,
    joined: usize,
    /// Where all of them say it,
    voice: UnixStream,
    /// and when it was heard.
    heard: Receiver<(usize, Instant)>,
}

struct Member {
    child: Child,
    _watchdog: Watchdog,
}

impl Crowd {
    fn new(scene: &Scene) -> Crowd {
        let (voice, ear) = UnixStream::pair().unwrap();
        let (says, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(ear).lines() {
                // Nobody listens when the test is over.
                let _ = says.send((line.unwrap().parse().unwrap(), Instant::now()));
            }
        });
        Crowd {
            lock: scene.lock(),
            members: HashMap::new(),
            joined: 0,
            voice,
            heard,
        }
    }

    /// One more, who is in the queue when this returns, or has left it already.
    fn join(&mut self, options: &[&str]) -> usize {
        self.join_by(nonoverlap(options))
    }

    /// The same, by a command to which lock file and command are to be added.
    fn join_by(&mut self, mut run: Command) -> usize {
        let number = self.joined;
        self.joined += 1;
        run.arg(&self.lock).args([
            "sh",
            "-c",
            r#"echo "$0"; exec cat >/dev/null"#,
            &number.to_string(),
        ]);
        run.stdin(Stdio::piped())
            .stdout(OwnedFd::from(self.voice.try_clone().unwrap()));
        let mut child = run.spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        eventually("waits", || {
            waits_for_lock(child.id(), &self.lock) || child.try_wait().unwrap().is_some()
        });
        self.members.insert(
            number,
            Member {
                child,
                _watchdog: watchdog,
            },
        );
        number
    }

    /// How this one ends, by this signal or by itself: its exit status, or the signal.
    fn leaves(&mut self, number: usize, signal: Option<i32>) -> (Option<i32>, Option<i32>) {
        let mut member = self.members.remove(&number).unwrap();
        if let Some(signal) = signal {
            kill(member.child.id(), signal);
        }
        let status = member.child.wait().unwrap();
        (status.code(), status.signal())
    }

    /// Who is in the kernel's table may still be on the way to sleep.
    fn comes_to_rest(&self) {
        let mut last = self.costs();
        eventually("all are at rest", || {
            thread::sleep(Duration::from_millis(100));
            let before = std::mem::replace(&mut last, self.costs());
            before == last
        });
    }

    /// What each has cost so far.
    fn costs(&self) -> Vec<Cost> {
        (0..self.joined)
            .filter_map(|number| self.members.get(&number))
            .map(|member| Cost::of(member.child.id()))
            .collect()
    }

    /// Lets everybody have the lock until all had it. Gives for each its number and the time from the
    /// moment when the one before was told to end.
    fn each_gets_it_in_turn(&mut self, mut freed: Instant) -> Vec<(usize, Duration)> {
        let mut took = Vec::new();
        while !self.members.is_empty() {
            let (number, when) = self.heard.recv_timeout(PATIENCE).unwrap();
            took.push((number, when - freed));
            let mut member = self.members.remove(&number).unwrap();
            assert!(holds_lock(member.child.id(), &self.lock));
            assert!(self.heard.try_recv().is_err(), "two at once");
            freed = Instant::now();
            drop(member.child.stdin.take());
            assert!(member.child.wait().unwrap().success());
        }
        took
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// What a process has cost, by proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// utime and stime of `/proc/PID/stat`, in ticks of the clock.
    user_and_system: [u64; 2],
    /// How often it was switched to, after it gave way and after it had to.
    switches: Vec<String>,
}

impl Cost {
    fn of(pid: u32) -> Cost {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let stat = read("stat");
        // Behind the name, which may hold anything, the state is the third field.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let field = |number: usize| fields[number - 3].parse().unwrap();
        let switches = read("status")
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .map(str::to_owned)
            .collect();
        Cost {
            user_and_system: [field(14), field(15)],
            switches,
        }
    }
}

/// The median of the times from one holder's end to the next one's command. Of somebody who polls it
/// would be a part of a second. The numbers are shown under `--nocapture`.
fn median(whose: &str, took: Vec<(usize, Duration)>) -> Duration {
    let mut took: Vec<_> = took.into_iter().map(|(_, time)| time).collect();
    took.sort();
    let [median, last] = [took.len() / 2, took.len() - 1].map(|place| took[place]);
    println!("{whose}: median {median:?}, at most {last:?}");
    median
}
