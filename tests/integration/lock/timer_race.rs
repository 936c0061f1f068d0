//! The promise that the bell cannot lose the race against the call that it is to interrupt: a wait that
//! it does not end is a run that takes longer than the harness has patience.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use std::fs;
use std::fs::File;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::support::harness::eventually;
#[cfg(target_os = "linux")]
use crate::support::harness::{Holder, has_tool};
use crate::support::harness::{Run, Scene, nonoverlap};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::support::ptrace::Traced;

/// Between the last look at the clock and the call there are some nanoseconds, into which no ring can
/// be aimed. So the process is under the test's hand: from the first step into the call it is sent
/// back to before it, and set free when the bell has rung. A bell that rings once is then heard by
/// nobody, and the wait has no end.
// It writes to registers, which are another processor's elsewhere.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_ring_between_the_look_at_the_clock_and_the_call_is_not_lost() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let mut run = nonoverlap(["-w", "0.5"]);
    let traced = Traced::start(run.arg(scene.lock()).args(["echo", "ran"]));
    traced.go_on_to_call(libc::SYS_flock, libc::LOCK_EX);
    traced.go_back_to_before_call(|pid| {
        eventually("the bell has rung", || has_pending_signal(pid));
    });
    traced.let_go().expect(1, "", "");
}

// strace(1) is Linux's.
#[cfg(target_os = "linux")]
#[test]
fn a_ring_is_heard_wherever_the_process_is_held_up() {
    if !has_tool("strace", "a wait that is held up") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    // Each is held up for five times as long as the wait is to last.
    for (calls, moment) in [
        ("flock", "delay_enter"),
        ("flock", "delay_exit"),
        ("timer_create,setitimer", "delay_exit"),
        ("timer_settime,setitimer", "delay_enter"),
        ("timer_settime,setitimer", "delay_exit"),
        ("rt_sigaction,rt_sigprocmask", "delay_enter"),
    ] {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null"]);
        strace.arg(format!("--trace={calls}"));
        strace.arg(format!("--inject={calls}:{moment}=50000"));
        strace.args([crate::support::harness::NONOVERLAP, "-w", "0.01"]);
        strace.arg(scene.lock()).args(["echo", "ran"]);
        strace.run().expect(1, "", "");
    }
}

#[test]
fn a_lock_that_is_freed_as_the_time_runs_out_is_taken_or_not() {
    let scene = Scene::new();
    // The test itself holds the lock, to free it to the microsecond.
    let file = File::create(scene.lock()).unwrap();
    let mut seed = 1;
    let (mut ran, mut timed_out) = (0, 0);
    for _ in 0..400 {
        flock(&file, FlockOperation::LockExclusive).unwrap();
        let time = between(&mut seed, 100, 20_000);
        let (mut run, start) = (
            nonoverlap(["-w", &time.as_secs_f64().to_string()]),
            Instant::now(),
        );
        run.arg(scene.lock()).args(["echo", "ran"]);
        let ended = thread::scope(|scope| {
            let running = scope.spawn(|| run.run());
            // It takes a millisecond or two to start.
            let freed_at = start + time + between(&mut seed, 0, 3_000);
            thread::sleep(freed_at.saturating_duration_since(Instant::now()));
            flock(&file, FlockOperation::Unlock).unwrap();
            running.join().unwrap()
        });
        match ended.code() {
            Some(0) => ran += 1,
            _ => timed_out += 1,
        }
        match ended.code() {
            Some(0) => ended.expect(0, "ran\n", ""),
            _ => ended.expect(1, "", ""),
        }
    }
    assert!(ran > 0 && timed_out > 0, "{ran} ran, {timed_out} did not");
}

/// So many microseconds, chosen by a linear congruential generator (Knuth's MMIX).
fn between(seed: &mut u64, least: u64, most: u64) -> Duration {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    Duration::from_micros(least + (*seed >> 33) % (most - least))
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn has_pending_signal(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().any(|line| {
        (line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"))
            && line.contains(['1', '2', '4', '8'])
    })
}
