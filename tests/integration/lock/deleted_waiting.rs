//! Waiting for the holder of a lock file that was deleted. Linux only, as `deleted.rs` is.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;

use crate::lock::deleted::refused;
use crate::support::harness::{
    Ended, Holder, NONOVERLAP, Run, Scene, Waiter, Watchdog, eventually, locks_on, nonoverlap,
    waits_for_lock,
};

#[test]
fn an_exclusive_waiter_waits_for_the_holders_of_all_deleted_files() {
    let scene = Scene::new();
    let lock = scene.lock();
    // Each holds a file of its own.
    let mut holders = [(); 2].map(|()| {
        let holder = Holder::of([OsStr::new("-s"), lock.as_ref()]);
        fs::remove_file(&lock).unwrap();
        let file = locked_by(&holder);
        (Some(holder), file)
    });
    let mut command = nonoverlap(["-b"]);
    command.arg(&lock).args(["echo", "ran"]);
    // It is for one of the two that it waits first.
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiter = Started(Some(command.spawn().unwrap()));
    let child = waiter.0.as_ref().unwrap();
    let (pid, watchdog) = (child.id(), Watchdog::over(child));
    eventually("it waits, or has ended", || {
        let waits = |(_, file): &(_, PathBuf)| waits_for_lock(pid, file);
        holders.iter().any(waits) || has_ended(pid)
    });
    if waits_for_lock(pid, &holders[1].1) {
        holders.reverse();
    }
    let [(first, _), (second, file)] = &mut holders;
    first.take().unwrap().end();
    eventually("it waits for the second one, or has ended", || {
        waits_for_lock(pid, file) || has_ended(pid)
    });
    assert!(!has_ended(pid), "it ran beside a holder");
    second.take().unwrap().end();
    let child = waiter.0.take().unwrap();
    Ended::of(format!("{command:?}"), child, &watchdog).expect(0, "ran\n", "");
}

#[test]
fn a_waiter_waits_for_the_deleted_file_and_then_holds_the_one_that_the_path_names() {
    for patience in ["-b", "-w50"] {
        let scene = Scene::new();
        let lock = scene.lock();
        let job = Holder::of([&lock]);
        fs::remove_file(&lock).unwrap();
        refused(&["-w", "0.05"], &lock, 1);
        let look = "for it in /proc/$$/fd/*; do test $it -ef \"$0\" && echo held; done; true";
        let mut command = nonoverlap([patience]);
        command.arg(&lock).args(["sh", "-c", look]).arg(&lock);
        let waiter = Waiter::start(&mut command, &locked_by(&job));
        // While it waits it does not have the new file, and so is in nobody's way.
        assert_eq!(locks_on(&lock), [""; 0], "{patience}");
        job.end();
        waiter.ended().expect(0, "held\n", "");
    }
}

#[test]
fn who_waited_before_the_file_was_deleted_runs_after_the_job_and_not_beside_another() {
    let scene = Scene::new();
    let lock = scene.lock();
    let job = Holder::of([&lock]);
    let mut command = nonoverlap(["-b"]);
    let nested = "\"$0\" -E7 \"$1\" true; echo $?";
    command.arg(&lock).args(["sh", "-c", nested, NONOVERLAP]);
    let waiter = Waiter::start(command.arg(&lock), &lock);
    fs::remove_file(&lock).unwrap();
    refused(&[], &lock, 1);
    job.end();
    let ended = waiter.ended();
    assert_eq!(
        (ended.code(), &*ended.stdout()),
        (Some(0), "7\n"),
        "{ended:?}"
    );
    assert!(ended.stderr().contains(" by this very job: "), "{ended:?}");
}

#[test]
fn never_two_run_at_once_while_somebody_deletes_the_lock_file_again_and_again() {
    let scene = Scene::new();
    let lock = scene.lock();
    // It fails where another is there already.
    let job = "mkdir inside || { echo two; exit 9; }; rm -f lock; rmdir inside";
    let runs = |patience: &'static str| {
        let (lock, folder) = (lock.clone(), scene.path(""));
        thread::spawn(move || {
            let mut ran = 0;
            for _ in 0..25 {
                let mut command = nonoverlap(["-E75", patience]);
                command.arg(&lock).args(["sh", "-c", job]);
                let ended = command.current_dir(&folder).run();
                assert!(matches!(ended.code(), Some(0 | 75)), "{ended:?}");
                ran += i32::from(ended.code() == Some(0));
            }
            ran
        })
    };
    let workers = ["-n", "-n", "-w30", "-b"].map(runs);
    let ran: Vec<_> = workers.into_iter().map(|it| it.join().unwrap()).collect();
    // Who waits gets it each time.
    assert_eq!(ran[2..], [25, 25], "{ran:?}");
}

/// A run that is killed if this goes out of scope before it is taken.
struct Started(Option<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a lock file can still be looked at that was deleted.
fn locked_by(holder: &Holder) -> PathBuf {
    format!("/proc/{}/fd/60", holder.pid()).into()
}

/// Whether a child of ours has ended, for which nobody has waited yet.
fn has_ended(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    state.contains(") Z ")
}
