//! Promises about the lock: one winner, on the file that the path names, until the last process that
//! inherited it is gone. (What the descriptor is: `descriptor.rs`.)

use std::fs;

use crate::support::harness::{Holder, Run, Scene, nonoverlap, record_of};

#[test]
fn a_taken_lock_refuses_with_1_and_says_nothing() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    nonoverlap([scene.lock()])
        .args(["echo", "ran"])
        .run()
        .expect(1, "", "");
    assert!(holder.end().success());
    nonoverlap([scene.lock()])
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

#[test]
fn a_killed_holder_frees_the_lock_at_once() {
    let scene = Scene::new();
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV] {
        // The holder has been waited for when this returns, and nothing but its death frees the lock.
        Holder::of([scene.lock()]).kill(signal);
        nonoverlap([scene.lock()])
            .args(["echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
    }
}

#[test]
fn what_the_file_says_does_not_keep_a_run_from_a_free_lock() {
    let scene = Scene::new();
    // The test's own process lives, and is an ancestor of the run, so that no warning is due.
    let alive = record_of(std::process::id());
    for content in ["", "\n", "4242\n", &alive, &record_of(2_147_483_646)] {
        fs::write(scene.lock(), content).unwrap();
        nonoverlap([scene.lock()])
            .args(["echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
    }
}

#[test]
fn what_the_file_says_does_not_let_a_run_into_a_taken_lock() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for content in ["", "\n", "4242\n", &record_of(2_147_483_646)] {
        fs::write(scene.lock(), content).unwrap();
        nonoverlap([scene.lock()])
            .args(["echo", "ran"])
            .run()
            .expect(1, "", "");
    }
}

#[test]
fn a_run_within_a_run_of_the_same_lock_is_refused() {
    let scene = Scene::new();
    let ended = nonoverlap([scene.lock()])
        .args([crate::support::harness::NONOVERLAP, "-E7"])
        .arg(scene.lock())
        .args(["echo", "ran"])
        .run();
    assert_eq!((ended.code(), &*ended.stdout()), (Some(7), ""), "{ended:?}");
}

// /proc/locks and seccomp are Linux's.
#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;
    use std::process::Command;

    use crate::support::harness::{Holder, Run, Scene, eventually, holds_lock, nonoverlap, reason};
    use crate::support::seccomp::{Answer, run_gated};

    #[test]
    fn the_lock_is_on_a_descriptor_of_the_command_itself() {
        let scene = Scene::new();
        let holder = Holder::of([scene.lock()]);
        assert!(holds_lock(holder.pid(), &scene.lock()));
        assert!(holder.end().success());
    }

    #[test]
    fn a_child_that_outlives_the_command_holds_the_lock_on() {
        let scene = Scene::new();
        // A shell gives what it starts with & an empty stdin, unless another one is asked for.
        let line = "exec 3<&0; cat <&3 & echo $! >\"$0\"; echo held; kill -KILL $$";
        let mut command = nonoverlap([scene.lock()]);
        command.args(["sh", "-c", line]).arg(scene.path("child"));
        let holder = Holder::start(&mut command);
        let pid = holder.pid();
        eventually("the command is dead", || !holds_lock(pid, &scene.lock()));
        let child = fs::read_to_string(scene.path("child")).unwrap();
        assert!(holds_lock(child.trim().parse().unwrap(), &scene.lock()));
        let mut rival = nonoverlap([scene.lock()]);
        rival.args(["echo", "ran"]);
        rival.run().expect(1, "", "");
        holder.end();
        // The child's streams are closed a moment before its lock.
        eventually("the child is gone", || rival.run().stdout() == "ran\n");
    }

    #[test]
    fn one_flock_call_on_a_descriptor_from_10_up_decides() {
        let scene = Scene::new();
        let mut seen = Vec::new();
        let look = |call: &crate::support::seccomp::Call| {
            seen.push((call.arguments[0], call.arguments[1] as i32));
            Answer::Pass
        };
        let (ended, _) = run_gated(&mut echo_ran(&scene.lock()), libc::SYS_flock, look);
        ended.expect(0, "ran\n", "");
        assert!(
            matches!(seen[..], [(10.., operation)] if operation == libc::LOCK_EX | libc::LOCK_NB),
            "{seen:?}"
        );
    }

    #[test]
    fn only_ewouldblock_means_taken_and_any_other_error_runs_nothing() {
        let scene = Scene::new();
        let lock = scene.file("lock", "");
        let table = [
            (libc::EWOULDBLOCK, 1),
            (libc::ENOLCK, 71),
            (libc::ENOMEM, 71),
            (libc::EACCES, 65),
            (libc::EPERM, 65),
            (libc::EDEADLK, 65),
            (libc::EBUSY, 65),
            (libc::EINVAL, 65),
            (libc::EIO, 65),
            (libc::ENOSYS, 65),
            (libc::EOPNOTSUPP, 65),
        ];
        for (errno, status) in table {
            let fail = |_: &_| Answer::Fail(errno);
            let (ended, _) = run_gated(&mut echo_ran(&lock), libc::SYS_flock, fail);
            let message = if errno == libc::EWOULDBLOCK {
                String::new()
            } else {
                format!(
                    "nonoverlap: cannot lock {}: {}\n",
                    lock.display(),
                    reason(errno)
                )
            };
            ended.expect(status, "", &message);
            assert_eq!(fs::metadata(&lock).unwrap().size(), 0);
        }
    }

    #[test]
    fn an_interrupted_flock_is_tried_again() {
        let scene = Scene::new();
        let interrupt_twice = |call: &crate::support::seccomp::Call| match call.number {
            1 | 2 => Answer::Fail(libc::EINTR),
            _ => Answer::Pass,
        };
        let (ended, calls) = run_gated(
            &mut echo_ran(&scene.lock()),
            libc::SYS_flock,
            interrupt_twice,
        );
        ended.expect(0, "ran\n", "");
        assert_eq!(calls, 3);
    }

    #[test]
    fn a_lock_file_replaced_between_open_and_lock_is_not_the_one_that_is_locked() {
        /// What happens to the path at the one instant that matters.
        type Replacement = fn(&Path);
        let table: [(&str, Replacement); 5] = [
            ("deleted", |lock| fs::remove_file(lock).unwrap()),
            ("moved away", |lock| {
                fs::rename(lock, lock.with_extension("old")).unwrap()
            }),
            ("replaced by another file", |lock| {
                fs::write(lock.with_extension("new"), "data").unwrap();
                fs::rename(lock.with_extension("new"), lock).unwrap();
            }),
            ("replaced by a folder", |lock| {
                fs::remove_file(lock).unwrap();
                fs::create_dir(lock).unwrap();
            }),
            ("replaced by a link to another file", |lock| {
                fs::rename(lock, lock.with_extension("old")).unwrap();
                fs::write(lock.with_extension("new"), "").unwrap();
                symlink(lock.with_extension("new"), lock).unwrap();
            }),
        ];
        for (what, replace) in table {
            let scene = Scene::new();
            let lock = scene.file("lock", "");
            let mut command = nonoverlap([&lock]);
            command.args([
                "sh",
                "-c",
                "cat /proc/$$/fdinfo/* 2>/dev/null | grep ^lock:.*FLOCK",
            ]);
            let (ended, calls) = run_gated(&mut command, libc::SYS_flock, |call| {
                if call.number == 1 {
                    replace(&lock);
                }
                Answer::Pass
            });
            assert_eq!((ended.code(), calls), (Some(0), 2), "{what}: {ended:?}");
            // One line, and it is about the file that is there now.
            let inode = format!(":{} 0 EOF\n", fs::metadata(&lock).unwrap().ino());
            let said = ended.stdout();
            assert!(
                said.lines().count() == 1 && said.ends_with(&inode),
                "{what}: {ended:?}"
            );
        }
    }

    #[test]
    fn a_lock_file_replaced_by_one_that_is_held_refuses() {
        let scene = Scene::new();
        let lock = scene.file("lock", "");
        let holder = Holder::of([scene.path("held")]);
        let (ended, calls) = run_gated(&mut echo_ran(&lock), libc::SYS_flock, |call| {
            if call.number == 1 {
                fs::rename(scene.path("held"), &lock).unwrap();
            }
            Answer::Pass
        });
        ended.expect(1, "", "");
        assert_eq!(calls, 2);
        assert!(holds_lock(holder.pid(), &lock));
    }

    #[test]
    fn a_lock_file_replaced_for_ever_is_65_after_a_hundred_tries() {
        let scene = Scene::new();
        let lock = scene.lock();
        let again = format!(
            "nonoverlap: cannot lock {}: another file keeps replacing it\n",
            lock.display()
        );
        let (ended, calls) = run_gated(&mut echo_ran(&lock), libc::SYS_flock, |_| {
            let new = scene.file("new", "data");
            fs::rename(new, &lock).unwrap();
            Answer::Pass
        });
        ended.expect(65, "", &again);
        assert_eq!(calls, 100);
        let (ended, calls) = run_gated(&mut echo_ran(&lock), libc::SYS_flock, |_| {
            fs::remove_file(&lock).unwrap();
            Answer::Pass
        });
        ended.expect(65, "", &again);
        assert_eq!(calls, 100);
    }

    /// The call by which a file is opened, and which argument of it the flags are. By way of the C
    /// library it is another.
    const OPEN: (libc::c_long, usize) = if cfg!(target_arch = "x86_64") {
        (2, 1)
    } else {
        (libc::SYS_openat, 2)
    };

    #[test]
    fn a_lock_file_that_comes_and_goes_for_ever_ends_with_65_too() {
        let scene = Scene::new();
        let lock = scene.lock();
        // Missing whenever it is looked for, there whenever it is to be made.
        let (ended, calls) = run_gated(&mut echo_ran(&lock), OPEN.0, |call| {
            if call.arguments[OPEN.1] as i32 & libc::O_CREAT == 0 {
                let _ = fs::remove_file(&lock);
            } else {
                fs::write(&lock, "").unwrap();
            }
            Answer::Pass
        });
        assert_eq!(
            (ended.code(), ended.stdout().as_str()),
            (Some(65), ""),
            "{ended:?}"
        );
        assert!(
            ended
                .stderr()
                .contains("lock: another file keeps replacing it"),
            "{ended:?}"
        );
        assert_eq!(calls, 200);
    }

    fn echo_ran(lock: &Path) -> Command {
        let mut command = nonoverlap([lock.as_os_str()]);
        command.args(["echo", "ran"].map(OsStr::new));
        command
    }
}
