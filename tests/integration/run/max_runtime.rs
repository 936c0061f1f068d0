//! `--max-runtime`: SIGALRM for the command's process, with nobody waiting.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, has_tool, nonoverlap};

/// perl runs its arguments with an alarm set.
fn with_alarm(seconds: u32) -> Command {
    let mut perl = Command::new("perl");
    perl.args([
        "-e",
        "alarm shift; exec @ARGV",
        &seconds.to_string(),
        NONOVERLAP,
    ]);
    perl
}

#[test]
fn the_command_is_ended_by_sigalrm() {
    let scene = Scene::new();
    let start = Instant::now();
    let ended = nonoverlap(["--max-runtime", "1"])
        .arg(scene.lock())
        .args(["sleep", "1000"])
        .run();
    assert_eq!(ended.signal(), Some(libc::SIGALRM), "{ended:?}");
    assert!(start.elapsed() >= Duration::from_millis(990));
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(0, "", "");
}

#[test]
fn a_command_that_is_quicker_hears_nothing() {
    let scene = Scene::new();
    nonoverlap(["--max-runtime", "1h"])
        .arg(scene.lock())
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

#[cfg(target_os = "linux")] // Elsewhere no file tells of children.
#[test]
fn nobody_waits_beside_the_command() {
    if !has_tool("perl", "what the caller set and the command finds") {
        return;
    }
    let scene = Scene::new();
    let mut command = nonoverlap(["--max-runtime", "1h"]);
    let children = "open F, \"/proc/$$/task/$$/children\"; print \"children: \", <F>";
    command.arg(scene.lock()).args(["perl", "-e", children]);
    command.run().expect(0, "children: ", "");
}

#[test]
fn the_time_counts_from_the_command_and_not_from_the_wait() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    // It waits for longer than it may run, and then runs for its whole time.
    let mut waiter = nonoverlap(["-w", "60", "--max-runtime", "1"]);
    let script = "trap 'echo rung; exit 3' ALRM; echo $(date +%s%N); while :; do sleep 0.01; done";
    let waiter = std::thread::spawn({
        waiter.arg(scene.lock()).args(["bash", "-c", script]);
        move || waiter.run()
    });
    #[cfg(target_os = "linux")]
    crate::support::harness::eventually("it waits", || {
        crate::support::harness::locks_on(&scene.lock())
            .iter()
            .any(|line| line.contains("->"))
    });
    std::thread::sleep(Duration::from_millis(1200)); // Longer than the command's time: that is the point.
    holder.end();
    let ended = waiter.join().unwrap();
    assert_eq!(ended.code(), Some(3), "{ended:?}");
    assert!(ended.stdout().ends_with("rung\n"), "{ended:?}");
}

#[test]
fn an_earlier_alarm_of_the_callers_is_left() {
    if !has_tool("perl", "what the caller set and the command finds") {
        return;
    }
    let scene = Scene::new();
    let left = ["perl", "-e", "print alarm 0"];
    let ended = with_alarm(100)
        .args(["--max-runtime", "2h"])
        .arg(scene.lock())
        .args(left)
        .run();
    let seconds: u32 = ended.stdout().parse().unwrap();
    assert!((90..=100).contains(&seconds), "{ended:?}");
}

#[test]
fn a_later_alarm_of_the_callers_gives_way() {
    if !has_tool("perl", "what the caller set and the command finds") {
        return;
    }
    let scene = Scene::new();
    let left = ["perl", "-e", "print alarm 0"];
    let ended = with_alarm(7200)
        .args(["--max-runtime", "100s"])
        .arg(scene.lock())
        .args(left)
        .run();
    let seconds: u32 = ended.stdout().parse().unwrap();
    assert!((90..=100).contains(&seconds), "{ended:?}");
}

#[test]
fn the_timer_rings_once_and_one_of_the_callers_that_is_left_as_often_as_it_would() {
    if !has_tool("python3", "timers of the caller's") {
        return;
    }
    let scene = Scene::new();
    let left = [
        "python3",
        "-c",
        "import signal; print(*signal.getitimer(0))",
    ];
    let mut command = nonoverlap(["--max-runtime", "100"]);
    let ours = command.arg(scene.lock()).args(left).run();
    let set =
        "import os, signal, sys; signal.setitimer(0, 50, 7); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", set, NONOVERLAP, "--max-runtime", "100"]);
    let callers = command.arg(scene.lock()).args(left).run();
    for (ended, longest, interval) in [(ours, 100.0, "0.0"), (callers, 50.0, "7.0")] {
        let said = ended.stdout();
        let (seconds, again) = said.trim().split_once(' ').expect(&said);
        let seconds: f64 = seconds.parse().unwrap();
        assert!((longest - 20.0..=longest).contains(&seconds), "{ended:?}");
        assert_eq!(again, interval, "{ended:?}");
    }
}

#[test]
fn where_sigalrm_cannot_ring_nothing_runs() {
    if !has_tool("perl", "what the caller set and the command finds") {
        return;
    }
    let scene = Scene::new();
    let ignored = "$SIG{ALRM} = 'IGNORE'; exec @ARGV";
    let blocked = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGALRM)); exec @ARGV";
    for (how, message) in [
        (
            ignored,
            "nonoverlap: cannot set --max-runtime: SIGALRM is ignored here\n",
        ),
        (
            blocked,
            "nonoverlap: cannot set --max-runtime: SIGALRM is blocked here\n",
        ),
    ] {
        let mut perl = Command::new("perl");
        perl.args(["-e", how, NONOVERLAP, "--max-runtime", "1m"])
            .arg(scene.lock())
            .args(["echo", "ran"]);
        perl.run().expect(71, "", message);
        assert!(!scene.lock().exists());
    }
}

#[test]
fn children_of_a_shell_run_on_and_keep_the_lock() {
    let scene = Scene::new();
    let mut command = nonoverlap(["--max-runtime", "1"]);
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!; wait";
    let ended = command.arg(scene.lock()).args(["sh", "-c", script]).run();
    assert_eq!(ended.signal(), Some(libc::SIGALRM), "{ended:?}");
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(1, "", "");
    crate::support::harness::kill(ended.stdout().trim().parse().unwrap(), libc::SIGKILL);
}

#[test]
fn what_it_does_not_go_together_with_is_refused() {
    let scene = Scene::new();
    for (arguments, message) in [
        (
            &["-o", "--max-runtime", "1", "l", "true"][..],
            "--max-runtime does not go together with -o",
        ),
        (
            &["--max-runtime", "1", "9"],
            "--max-runtime takes a command",
        ),
        (
            &["--max-runtime", "1", "-u", "9"],
            "--max-runtime takes a command",
        ),
        (
            &["--max-runtime", "0", "l", "true"],
            "--max-runtime takes at least a second",
        ),
        (
            &["--max-runtime", "1w", "l", "true"],
            "not a duration, such as 90, 90s, 1.5m, 2h or 1d: '1w'",
        ),
    ] {
        let ended = nonoverlap(arguments).current_dir(scene.path("")).run();
        ended.expect(64, "", &format!("nonoverlap: {message}\n"));
        assert!(fs::read_dir(scene.path("")).unwrap().next().is_none());
    }
}
