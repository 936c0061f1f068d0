//! Promises about waiting: who gets the lock, when, and what it costs to wait.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, Waiter, eventually, nonoverlap, record_of, waits_for_lock,
};

#[test]
fn a_waiter_gets_the_lock_when_the_holder_ends() {
    let scene = Scene::new();
    for options in [
        &["-w", "1000"][..],
        &["--wait=1000"],
        &["--timeout", "1000"],
        &["-b"],
        &["--block"],
        // Two readers would not wait for each other; one waits for a writer.
        &["-s", "-w", "1000"],
        &["-s", "-b"],
        &["--fcntl", "-w", "1000"],
        &["--fcntl", "-b"],
    ] {
        let api = options.iter().filter(|option| **option == "--fcntl");
        let holder = Holder::start(nonoverlap(api).arg(scene.lock()).args(HOLD));
        let waiter = waiter(&scene, options);
        assert!(holder.end().success());
        waiter.ended().expect(0, "ran\n", "");
    }
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_is_killed() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let waiter = waiter(&scene, &["-w", "1000"]);
    assert!(!holder.kill(libc::SIGKILL).success());
    waiter.ended().expect(0, "ran\n", "");
}

#[test]
fn a_waiter_writes_its_record_when_it_has_the_lock_and_no_sooner() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let waiter = waiter(&scene, &["-w", "1000"]);
    let recorded = || fs::read_to_string(scene.lock()).unwrap();
    assert_eq!(recorded(), record_of(holder.pid()));
    let (held, waited) = (holder.pid(), waiter.pid());
    assert!(held != waited && holder.end().success());
    waiter.ended().expect(0, "ran\n", "");
    assert_eq!(recorded(), record_of(waited));
}

#[test]
fn a_descriptor_of_the_callers_can_be_waited_for() {
    let scene = Scene::new();
    let script = format!(r#"exec 9>"$1"; shift; exec {NONOVERLAP} "$@""#);
    let by_shell = |words: &[&str]| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script, "sh"])
            .arg(scene.lock())
            .args(words);
        shell
    };
    for words in [
        &["9"][..],
        &["--fd", "9", "echo", "ran"],
        &["--fd", "9", "-c", "echo ran"],
    ] {
        let said = if words.len() > 1 { "ran\n" } else { "" };
        let holder = Holder::of([scene.lock()]);
        by_shell(&[&["-w", "0.01"], words].concat())
            .run()
            .expect(1, "", "");
        let waiter = Waiter::start(
            &mut by_shell(&[&["-w", "1000"], words].concat()),
            &scene.lock(),
        );
        assert!(holder.end().success());
        waiter.ended().expect(0, said, "");
    }
}

#[test]
fn a_waiter_whose_lock_file_was_replaced_begins_again() {
    let scene = Scene::new();
    let first = Holder::of([scene.lock()]);
    let waiter = waiter(&scene, &["-w", "1000"]);
    // As `rm` or `mv` would do it while a run holds the lock.
    fs::rename(scene.lock(), scene.path("old")).unwrap();
    // Under this name nobody looks for the holder of another file.
    let second = Holder::start(Command::new(scene.flock()).arg(scene.lock()).args(HOLD));
    let first_pid = first.pid();
    assert!(first.end().success());
    eventually("waits for the new one", || {
        waits_for_lock(waiter.pid(), &scene.lock())
    });
    let waiter_pid = waiter.pid();
    assert_eq!(fs::read_to_string(scene.lock()).unwrap(), "");
    assert!(second.end().success());
    waiter.ended().expect(0, "ran\n", "");
    assert_eq!(
        fs::read_to_string(scene.lock()).unwrap(),
        record_of(waiter_pid)
    );
    assert_eq!(
        fs::read_to_string(scene.path("old")).unwrap(),
        record_of(first_pid)
    );
}

#[test]
fn a_waiter_whose_lock_file_was_deleted_makes_a_new_one() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let waiter = waiter(&scene, &["-w", "1000"]);
    fs::remove_file(scene.lock()).unwrap();
    let pid = waiter.pid();
    assert!(holder.end().success());
    waiter.ended().expect(0, "ran\n", "");
    assert_eq!(fs::read_to_string(scene.lock()).unwrap(), record_of(pid));
}

#[test]
fn the_deadline_stays_when_a_waiter_begins_again() {
    let scene = Scene::new();
    let time = Duration::from_secs(4);
    let first = Holder::of([scene.lock()]);
    let start = Instant::now();
    let waiter = waiter(&scene, &["-w", "4"]);
    thread::sleep(time / 2);
    fs::rename(scene.lock(), scene.path("old")).unwrap();
    let _second = Holder::start(Command::new(scene.flock()).arg(scene.lock()).args(HOLD));
    // One that counted anew would end later than this one.
    let mut later = self::waiter(&scene, &["-w", "4"]);
    assert!(first.end().success());
    waiter.ended().expect(1, "", "");
    assert!(start.elapsed() >= time && !later.has_ended());
    later.ended().expect(1, "", "");
}

/// A run of `echo` that waits for the scene's lock.
#[track_caller]
fn waiter(scene: &Scene, options: &[&str]) -> Waiter {
    let mut run = nonoverlap(options);
    Waiter::start(run.arg(scene.lock()).args(["echo", "ran"]), &scene.lock())
}
