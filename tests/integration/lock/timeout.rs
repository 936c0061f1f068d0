//! Promises about `-w`: how long a wait is, how it ends when the time is up, and that it ends: one that
//! does not is a run that takes longer than the harness has patience.

#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::harness::{Ended, Holder, Run, Scene, Waiter, nonoverlap};

/// The signal that the caller's user may not have pending: none at all.
#[cfg(target_os = "linux")]
const NONE_PENDING: [&str; 3] = [
    "prlimit",
    "--sigpending=0",
    crate::support::harness::NONOVERLAP,
];

#[test]
fn a_wait_in_vain_is_a_conflict_under_every_name_and_spelling() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for options in [
        &["-w", "0.1"][..],
        &["-w0.1"],
        &["-w", ".1"],
        &["-w", "+0.1"],
        &["-w", " 0.1"],
        &["-w", "1e-1"],
        &["--wait", "0.1"],
        &["--wait=0.1"],
        &["--timeout", "0.1"],
        &["--timeout=0.1"],
        &["-w0.1s"],
        &["-w", ".1s"],
        &["--wait=0.002m"],
        &["--wait", "0.00003h"],
        &["--timeout", "0.000002d"],
    ] {
        let start = Instant::now();
        let ended = try_to_run(&scene, options);
        let took = start.elapsed();
        ended.expect(1, "", "");
        assert!(took >= Duration::from_millis(100), "{took:?} {ended:?}");
    }
}

#[test]
fn a_wait_in_vain_has_the_exit_status_of_e() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for status in [0, 7, 255] {
        let options = ["-w", "0.01", "-E", &status.to_string()];
        try_to_run(&scene, &options).expect(status, "", "");
    }
}

#[test]
fn a_wait_in_vain_is_told_under_v_and_not_under_q() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let ended = try_to_run(&scene, &["-v", "-w", "0.01"]);
    assert_eq!((ended.code(), ended.stdout().as_str()), (Some(1), ""));
    let said = ended.stderr();
    let path = scene.lock();
    assert!(
        said.starts_with(&format!("nonoverlap: {} is held", path.display()))
            && said.ends_with("; not started\n")
            && said.lines().count() == 1,
        "{ended:?}"
    );
    try_to_run(&scene, &["-q", "-w", "0.01"]).expect(1, "", "");
}

#[test]
fn a_time_that_is_none_is_a_usage_error_and_touches_nothing() {
    let scene = Scene::new();
    for time in [
        "-1", "-0.5", "-1e300", "-inf", "nan", "-nan", "NaN", "", " ", "x", "1x", "s", "-5s",
        "5ms", "5 s", "1e1s", "5S", "infs", "1..5s", ".s", "1,5", "1 2", "1.2.3", "1e", "٣",
    ] {
        for option in ["-w", "--wait", "--timeout"] {
            let ended = try_to_run(&scene, &[option, time]);
            let said = ended.stderr();
            assert_eq!((ended.code(), ended.stdout().as_str()), (Some(64), ""));
            assert!(
                said.starts_with("nonoverlap: -w takes a number of seconds, or a duration such as"),
                "{ended:?}"
            );
            assert!(!scene.lock().exists(), "{ended:?}");
        }
    }
}

#[test]
fn a_huge_time_does_not_overflow() {
    let scene = Scene::new();
    // Beyond what a time_t of 32 bits, a clock of 64 bits, a Duration and a double can hold.
    for time in [
        "1e9",
        "2147483648",
        "9223372036854775807",
        "18446744073709551616",
        "1e300",
        "1e999",
        "inf",
    ] {
        let holder = Holder::of([scene.lock()]);
        let mut run = nonoverlap(["-w", time]);
        let waiter = Waiter::start(run.arg(scene.lock()).args(["echo", "ran"]), &scene.lock());
        assert!(holder.end().success());
        waiter.ended().expect(0, "ran\n", "");
    }
}

#[test]
fn no_time_at_all_is_a_refusal_at_once() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    // -n wins over -w, in either order.
    for options in [
        &["-w", "0"][..],
        &["-w", "0.0"],
        &["-w", "-0"],
        &["-w", "1e-30"],
        &["-n", "-w", "1000"],
        &["-w", "1000", "-n"],
    ] {
        try_to_run(&scene, options).expect(1, "", "");
    }
}

// Only a timer of timer_create(2) needs room in the user's queue of signals; an interval timer always
// exists.
#[cfg(target_os = "linux")]
#[test]
fn a_timer_that_cannot_be_made_is_71_and_nothing_runs() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let ended = without_a_timer(&scene, &["-w", "1000"]);
    let path = scene.lock();
    let why = "Resource temporarily unavailable";
    ended.expect(
        71,
        "",
        &format!(
            "nonoverlap: cannot set a timer to wait for {}: {why}\n",
            path.display()
        ),
    );
}

// As above.
#[cfg(target_os = "linux")]
#[test]
fn a_timer_is_made_only_where_there_is_a_time_to_wait() {
    let scene = Scene::new();
    // A lock that is free.
    without_a_timer(&scene, &["-w", "1000"]).expect(0, "ran\n", "");
    // No time to wait.
    let holder = Holder::of([scene.lock()]);
    without_a_timer(&scene, &["-w", "0"]).expect(1, "", "");
    // No end to the wait.
    let mut run = Command::new(NONE_PENDING[0]);
    run.args(&NONE_PENDING[1..]).arg("-b").arg(scene.lock());
    let waiter = Waiter::start(run.args(["echo", "ran"]), &scene.lock());
    assert!(holder.end().success());
    waiter.ended().expect(0, "ran\n", "");
}

/// A run of `echo` against whoever holds the scene's lock.
fn try_to_run(scene: &Scene, options: &[&str]) -> Ended {
    nonoverlap(options)
        .arg(scene.lock())
        .args(["echo", "ran"])
        .run()
}

#[cfg(target_os = "linux")]
fn without_a_timer(scene: &Scene, options: &[&str]) -> Ended {
    let mut run = Command::new(NONE_PENDING[0]);
    run.args(&NONE_PENDING[1..]).args(options).arg(scene.lock());
    run.args(["echo", "ran"]).run()
}
