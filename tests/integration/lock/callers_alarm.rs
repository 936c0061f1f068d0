//! Promises about the caller's own alarm: `perl -e 'alarm 60; exec @ARGV'` is macOS's timeout, and a
//! wait neither swallows nor shifts it.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harness::{
    Ended, Holder, NONOVERLAP, Run, Scene, Waiter, eventually, has_perl_timers, kill, nonoverlap,
    waits_for_lock,
};

/// Shows what is left of the alarm, its interval, and whether SIGALRM is pending or ignored.
const SHOW: [&str; 5] = [
    "perl",
    "-MPOSIX",
    "-MTime::HiRes",
    "-e",
    r#"my ($left, $interval) = Time::HiRes::getitimer(Time::HiRes::ITIMER_REAL());
    my $pending = POSIX::SigSet->new;
    POSIX::sigpending($pending);
    my $disposition = POSIX::SigAction->new;
    POSIX::sigaction(SIGALRM, undef, $disposition);
    printf "%.6f %.6f %s %s", $left || 0, $interval || 0,
        $pending->ismember(SIGALRM) ? "pending" : "none", $disposition->handler;"#,
];

const WAITS: [&[&str]; 2] = [&["-w", "1000"], &["-b"]];

/// Blocks SIGALRM.
const BLOCK: &str = "POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(POSIX::SIGALRM()));";

#[test]
fn an_alarm_shorter_than_the_wait_ends_it() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for options in WAITS {
        let start = Instant::now();
        let ended = after("Time::HiRes::alarm(0.3);", options, &scene)
            .args(["echo", "ran"])
            .run();
        expect_alarm(&ended);
        assert!(start.elapsed() >= Duration::from_millis(300));
    }
}

#[test]
fn an_alarm_that_rings_again_and_again_ends_a_wait_the_first_time() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for options in WAITS {
        let ended = after("Time::HiRes::alarm(0.3, 0.3);", options, &scene)
            .args(["echo", "ran"])
            .run();
        expect_alarm(&ended);
    }
}

#[test]
fn an_alarm_longer_than_the_wait_does_not_prolong_it() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let start = Instant::now();
    // No run takes as long as the alarm.
    after("alarm 1000;", &["-w", "0.3"], &scene)
        .args(["echo", "ran"])
        .run()
        .expect(1, "", "");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn the_command_finds_the_alarm_less_the_time_gone() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in WAITS {
        for (set_up, interval) in [
            ("Time::HiRes::alarm(1000);", Duration::ZERO),
            (
                "Time::HiRes::alarm(1000, 7.5);",
                Duration::from_millis(7500),
            ),
        ] {
            let holder = Holder::of([scene.lock()]);
            let start = Instant::now();
            let waiter = Waiter::start(after(set_up, options, &scene).args(SHOW), &scene.lock());
            let waiting = Instant::now();
            // Some time that the alarm goes on during the wait.
            thread::sleep(Duration::from_millis(300));
            let least = waiting.elapsed();
            assert!(holder.end().success());
            let found = Found::shown_by(&waiter.ended());
            let gone = Duration::from_secs(1000) - found.left;
            assert!(
                least <= gone && gone <= start.elapsed(),
                "{options:?} {set_up} {least:?} {found:?}"
            );
            assert_eq!(found.interval, interval, "{options:?} {set_up} {found:?}");
        }
    }
}

#[test]
fn an_alarm_rings_in_the_command_when_it_would_have_rung() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in WAITS {
        let holder = Holder::of([scene.lock()]);
        let start = Instant::now();
        let mut run = after("Time::HiRes::alarm(3);", options, &scene);
        let waiter = Waiter::start(
            run.args(["sh", "-c", "echo ran; exec sleep 1000"]),
            &scene.lock(),
        );
        // Less than the alarm, and enough to be seen if it began anew.
        thread::sleep(Duration::from_secs(1));
        let anew = "alarm 3; exec qw(sh -c), 'echo held; exec sleep 1000'";
        let mut later = Holder::start(Command::new("perl").args(["-e", anew]));
        assert!(holder.end().success());
        let ended = waiter.ended();
        let took = start.elapsed();
        let is_later = !later.has_ended();
        assert_eq!(later.end().signal(), Some(libc::SIGALRM));
        assert_eq!(
            (ended.signal(), ended.stdout().as_str()),
            (Some(libc::SIGALRM), "ran\n"),
            "{took:?} {ended:?}"
        );
        assert!(took >= Duration::from_secs(3) && is_later, "{took:?}");
    }
}

#[test]
fn the_command_finds_no_alarm_where_there_was_none() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in [&["-w", "1000"][..], &["-w", "1e300"], &["-b"]] {
        let holder = Holder::of([scene.lock()]);
        let waiter = Waiter::start(after("", options, &scene).args(SHOW), &scene.lock());
        assert!(holder.end().success());
        waiter
            .ended()
            .expect(0, "0.000000 0.000000 none DEFAULT", "");
    }
}

#[test]
fn an_alarm_that_is_ignored_or_blocked_does_not_end_a_wait() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let block_and_ignore = format!("{BLOCK} $SIG{{ALRM}} = 'IGNORE';");
    for options in WAITS {
        for (set_up, found) in [
            ("$SIG{ALRM} = 'IGNORE';", "none IGNORE"),
            (BLOCK, "pending DEFAULT"),
            (&block_and_ignore, "pending IGNORE"),
        ] {
            let holder = Holder::of([scene.lock()]);
            let start = Instant::now();
            let mut run = after(
                &format!("{set_up} Time::HiRes::alarm(0.2);"),
                options,
                &scene,
            );
            let waiter = Waiter::start(run.args(SHOW), &scene.lock());
            eventually("it has rung", || {
                start.elapsed() > Duration::from_millis(500)
            });
            eventually("waits", || waits_for_lock(waiter.pid(), &scene.lock()));
            assert!(holder.end().success());
            waiter
                .ended()
                .expect(0, &format!("0.000000 0.000000 {found}"), "");
        }
    }
}

#[test]
fn an_alarm_that_rings_again_and_again_unheard_makes_a_wait_neither_shorter_nor_longer() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for set_up in ["$SIG{ALRM} = 'IGNORE';", BLOCK] {
        let set_up = format!("{set_up} Time::HiRes::alarm(0.01, 0.01);");
        let start = Instant::now();
        // One that began again each time would not end.
        after(&set_up, &["-w", "0.5"], &scene)
            .args(["echo", "ran"])
            .run()
            .expect(1, "", "");
        assert!(start.elapsed() >= Duration::from_millis(500));
    }
}

#[test]
fn an_alarm_that_rings_again_and_again_goes_on_doing_so_in_the_command() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in WAITS {
        let holder = Holder::of([scene.lock()]);
        let set_up = format!("{BLOCK} Time::HiRes::alarm(0.1, 0.25);");
        let waiter = Waiter::start(after(&set_up, options, &scene).args(SHOW), &scene.lock());
        thread::sleep(Duration::from_millis(500));
        assert!(holder.end().success());
        let found = Found::shown_by(&waiter.ended());
        assert_eq!(
            (found.interval, found.pending),
            (Duration::from_millis(250), true),
            "{found:?}"
        );
        // Linux starts its next turn only when the signal is taken.
        assert!(found.left <= found.interval, "{found:?}");
    }
}

#[test]
fn an_alarm_that_is_pending_at_the_start_is_pending_at_the_end() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let set_up = format!("{BLOCK} kill ALRM => $$;");
    for options in WAITS {
        let holder = Holder::of([scene.lock()]);
        let waiter = Waiter::start(after(&set_up, options, &scene).args(SHOW), &scene.lock());
        assert!(holder.end().success());
        waiter
            .ended()
            .expect(0, "0.000000 0.000000 pending DEFAULT", "");
    }
    // Nor does it end a wait before its time.
    let _holder = Holder::of([scene.lock()]);
    let start = Instant::now();
    after(&set_up, &["-w", "0.5"], &scene)
        .args(["echo", "ran"])
        .run()
        .expect(1, "", "");
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn sigalrm_from_somebody_else_does_what_it_does_to_anybody() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in WAITS {
        for (set_up, found) in [
            ("", None),
            ("alarm 1000;", None),
            ("$SIG{ALRM} = 'IGNORE';", Some("none IGNORE")),
            (BLOCK, Some("pending DEFAULT")),
        ] {
            let holder = Holder::of([scene.lock()]);
            let waiter = Waiter::start(after(set_up, options, &scene).args(SHOW), &scene.lock());
            kill(waiter.pid(), libc::SIGALRM);
            match found {
                None => expect_alarm(&waiter.ended()),
                Some(found) => {
                    eventually("waits", || waits_for_lock(waiter.pid(), &scene.lock()));
                    assert!(holder.end().success());
                    waiter
                        .ended()
                        .expect(0, &format!("0.000000 0.000000 {found}"), "");
                }
            }
        }
    }
}

#[test]
fn an_alarm_is_not_lost_when_it_rings_as_the_lock_is_freed() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    for options in WAITS {
        for thousandths in 0..20 {
            let mut hold = nonoverlap([scene.lock()]);
            let _holder = Holder::start(hold.args(["sh", "-c", "echo held; exec sleep 0.03"]));
            // Perl takes some time to start, and the alarm counts from then on.
            let set_up = format!("Time::HiRes::alarm(0.0{:02});", 12 + thousandths);
            let ended = after(&set_up, options, &scene)
                .args(["sleep", "1000"])
                .run();
            expect_alarm(&ended);
        }
    }
}

#[test]
fn an_alarm_at_the_deadline_ends_the_process_or_the_wait_has_ended() {
    if !has_perl_timers("the caller's alarm") {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for thousandths in 0..40 {
        // nonoverlap starts after the alarm was set, so its deadline would be later.
        let set_up = format!("Time::HiRes::alarm(0.0{:02});", 10 + thousandths / 4);
        let ended = after(&set_up, &["-w", "0.01"], &scene)
            .args(["echo", "ran"])
            .run();
        match ended.code() {
            Some(_) => ended.expect(1, "", ""),
            None => expect_alarm(&ended),
        }
    }
}

/// nonoverlap on the scene's lock, after some perl; the command is to be added.
fn after(perl: &str, options: &[&str], scene: &Scene) -> Command {
    let mut run = Command::new("perl");
    run.args([
        "-MPOSIX",
        "-MTime::HiRes",
        "-e",
        &format!("{perl} exec @ARGV or die"),
        NONOVERLAP,
    ]);
    run.args(options).arg(scene.lock());
    run
}

/// Death by SIGALRM, with nothing run and nothing said.
#[track_caller]
fn expect_alarm(ended: &Ended) {
    let seen = (ended.signal(), ended.stdout(), ended.stderr());
    assert_eq!(
        seen,
        (Some(libc::SIGALRM), String::new(), String::new()),
        "{ended:?}"
    );
}

/// What [`SHOW`] said.
#[derive(Debug)]
struct Found {
    left: Duration,
    interval: Duration,
    pending: bool,
}

impl Found {
    #[track_caller]
    fn shown_by(ended: &Ended) -> Found {
        assert!(ended.status.success(), "{ended:?}");
        let said = ended.stdout();
        let words: Vec<&str> = said.split(' ').collect();
        let seconds = |word: &str| Duration::from_secs_f64(word.parse().unwrap());
        Found {
            left: seconds(words[0]),
            interval: seconds(words[1]),
            pending: words[2] == "pending",
        }
    }
}
