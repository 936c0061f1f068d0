//! The mark: where there is one, what it may not cost, and what is said where none can be made.

use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, Waiter, nonoverlap, reason};
use crate::support::seccomp::{Answer, run_gated};

const MEMFD: libc::c_long = libc::SYS_memfd_create;

#[test]
fn a_run_under_flock_on_a_path_has_a_mark_and_no_other_lock_has_one() {
    let scene = Scene::new();
    let flock = scene.flock();
    let flock = flock.to_str().unwrap();
    for (marks, script) in [
        // A folder that is named by itself has no name in it.
        (0, "exec \"$0\" . echo ran"),
        (1, "exec \"$0\" lock echo ran"),
        (1, "exec \"$0\" -s lock echo ran"),
        (1, "exec \"$0\" -b lock echo ran"),
        (1, "exec \"$0\" --close lock echo ran"),
        (0, "exec \"$0\" --fcntl lock echo ran"),
        (0, "exec \"$0\" --fcntl -s lock echo ran"),
        (0, "exec 9>lock; exec \"$0\" --fd 9 echo ran"),
        (0, "exec 9>lock; \"$0\" 9 && echo ran"),
        (0, "exec 9>lock; \"$0\" -u 9 && echo ran"),
        (0, "exec \"$1\" lock echo ran"),
        (0, "exec \"$1\" -n lock echo ran"),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", script, NONOVERLAP, flock]);
        command.current_dir(scene.path(""));
        let (ended, calls) = run_gated(&mut command, MEMFD, |_| Answer::Pass);
        ended.expect(0, "ran\n", "");
        assert_eq!(calls, marks, "{script}");
    }
}

#[test]
fn where_the_kernel_has_no_mark_the_run_goes_on_and_only_v_says_so() {
    let scene = Scene::new();
    for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
        for option in ["-n", "-q", "-v"] {
            let mut command = nonoverlap([option]);
            command.arg(scene.lock()).args(["echo", "ran"]);
            let (ended, calls) = run_gated(&mut command, MEMFD, |_| Answer::Fail(errno));
            assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "ran\n"));
            assert!(calls >= 1);
            let line = format!(
                "nonoverlap: cannot mark the name of {}: {}; a deleted lock file will not be noticed\n",
                scene.lock().display(),
                reason(errno)
            );
            match option {
                "-v" => assert!(ended.stderr().starts_with(&line), "{ended:?}"),
                _ => assert_eq!(ended.stderr(), "", "{ended:?}"),
            }
        }
    }
}

#[test]
fn where_the_kernel_knows_memfds_but_not_their_newest_flag_there_is_a_mark() {
    let scene = Scene::new();
    let lock = scene.lock();
    let script = "rm \"$1\"; \"$0\" \"$1\" true; echo $?";
    let mut command = nonoverlap(["-v"]);
    command.arg(&lock).args(["sh", "-c", script, NONOVERLAP]);
    let (ended, _) = run_gated(command.arg(&lock), MEMFD, |call| match call.number % 2 {
        1 => Answer::Fail(libc::EINVAL),
        _ => Answer::Pass,
    });
    assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "1\n"));
    assert!(!ended.stderr().contains("cannot"), "{ended:?}");
}

#[test]
fn for_want_of_memory_or_descriptors_for_the_mark_it_is_71_and_nothing_runs() {
    let scene = Scene::new();
    for errno in [libc::ENOMEM, libc::EMFILE, libc::ENFILE] {
        let mut command = nonoverlap([scene.lock()]);
        command.args(["echo", "ran"]);
        let (ended, _) = run_gated(&mut command, MEMFD, |_| Answer::Fail(errno));
        let line = format!(
            "nonoverlap: cannot mark the name of {}: {}\n",
            scene.lock().display(),
            reason(errno)
        );
        ended.expect(71, "", &line);
    }
}

#[test]
fn no_command_inherits_a_descriptor_of_a_folder() {
    let look = "for it in /proc/$$/fd/*; do if [ -d \"$it\" ]; then echo \"$it\"; fi; done";
    let table: [&[&str]; 10] = [
        &["lock"],
        &["-s", "lock"],
        &["-v", "-b", "lock"],
        &["-w", "9", "lock"],
        &["--log", "log", "lock"],
        // Its guardian ends a moment after it.
        &["--close", "-w", "9", "lock"],
        &["--max-runtime", "1h", "lock"],
        &["--fcntl", "lock"],
        &["-j", "3", "lock"],
        &["folder/lock"],
    ];
    for words in table {
        let scene = Scene::new();
        std::fs::create_dir(scene.path("folder")).unwrap();
        // On a new file, on one with a record, and after another's deleted file was waited for.
        for _ in 0..2 {
            let mut command = nonoverlap(words);
            command.args(["sh", "-c", look]);
            let ended = command.current_dir(scene.path("")).run();
            assert_eq!((ended.code(), &*ended.stdout()), (Some(0), ""), "{ended:?}");
        }
        if !words.contains(&"-b") {
            continue;
        }
        let job = Holder::of([scene.lock()]);
        let held = super::Pinned::new(&scene.lock());
        std::fs::remove_file(scene.lock()).unwrap();
        let mut command = nonoverlap(words);
        command.args(["sh", "-c", look]);
        command.current_dir(scene.path(""));
        let waiter = Waiter::start(&mut command, &held.path());
        job.end();
        let ended = waiter.ended();
        assert_eq!((ended.code(), &*ended.stdout()), (Some(0), ""), "{ended:?}");
    }
}

#[test]
fn a_folder_may_be_the_lock_file_and_is_then_the_only_one() {
    let scene = Scene::new();
    let look = "for it in /proc/$$/fd/*; do if [ -d \"$it\" ]; then readlink \"$it\"; fi; done";
    std::fs::create_dir(scene.lock()).unwrap();
    let ended = nonoverlap([scene.lock()]).args(["sh", "-c", look]).run();
    ended.expect(0, &format!("{}\n", scene.lock().display()), "");
}
