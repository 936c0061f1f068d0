//! What becomes of the lock file, and who holds it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{FATES, Pinned, in_folder, is_conflict, runs_after, some_fates, status_of};
use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, Watchdog, becomes_free, eventually, is_root,
    left_out, nonoverlap, settled, state,
};
use crate::support::machine::as_ordinary_user;

fn plain() -> Command {
    nonoverlap([""; 0])
}

fn shell() -> Command {
    Command::new("env")
}

#[test]
fn whatever_becomes_of_the_lock_file_the_next_run_is_a_conflict_and_waits_for_the_holder() {
    for (fate, said) in FATES {
        let scene = Scene::new();
        let lock = scene.lock();
        let job = Holder::of([&lock]).settled();
        let held = Pinned::new(&lock);
        in_folder(&scene.path(""), shell(), fate);
        is_conflict(&plain, &lock);
        let status = status_of(&plain, &lock);
        let (holder, ending) = status.split_once(" for ").expect(&status);
        let named = format!("{}: held by PID {}", lock.display(), job.pid());
        assert_eq!(holder, named, "{fate}");
        let ending = ending.split_once(": cat").expect(&status).1;
        assert_eq!(ending, said, "{fate}: {status}");
        runs_after(&plain, &lock, &lock, &held, || drop(job));
    }
}

#[test]
fn an_old_lock_file_is_no_more_free_than_a_new_one_when_it_was_displaced() {
    // Its record is old, and as settled as a record can be.
    let scene = Scene::new();
    let old = scene.settled_lock();
    fs::copy(&old, scene.path("kept")).unwrap();
    for fate in [
        "cp -p kept new; mv new lock",
        "rm lock; cp -p kept lock",
        "mv lock other; mv kept lock",
        "rm lock; ln kept lock",
        "rm lock; ln other lock; rm other",
        "cat kept >new; touch -r kept new; mv new lock",
    ] {
        let job = Holder::of([&old]);
        in_folder(&scene.path(""), shell(), fate);
        is_conflict(&plain, &old);
        job.end();
        let mut command = nonoverlap(["-w50"]);
        let ended = command.arg(&old).args(["echo", "ran"]).run();
        ended.expect(0, "ran\n", "");
        in_folder(
            &scene.path(""),
            shell(),
            "rm -f kept; printf '2147483647\\n' >kept; touch other",
        );
    }
}

/// What another name's last run wrote says nothing of this name.
#[test]
fn another_names_settled_lock_file_in_its_place_is_looked_behind() {
    let scene = Scene::new();
    let other = scene.path("other");
    fs::rename(scene.settled_lock(), &other).unwrap();
    // Its name is the last thing that happened to it; a run makes it settled again.
    nonoverlap([&*other, Path::new("true")])
        .run()
        .expect(0, "", "");
    let lock = scene.lock();
    let _job = Holder::of([&lock]);
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&other, &lock).unwrap();
    is_conflict(&plain, &lock);

    if !is_root() {
        return left_out("a file that is mounted over a lock file", "needs root");
    }
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    let mount = "mount --bind \"$1\" \"$2\" && exec \"$0\" \"$2\" echo ran";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount, NONOVERLAP]);
    command.arg(&other).arg(&lock).run().expect(1, "", "");
}

#[test]
fn it_is_a_conflict_while_a_child_holds_the_lock_whose_parent_has_ended() {
    let script = r#"
        "$0" "$1" sh -c 'cat <&3 3<&- >/dev/null & echo $!' 3<&0 >"$1.child"
        echo held; exec cat >/dev/null"#;
    for (fate, said) in FATES {
        let scene = Scene::new();
        let lock = scene.lock();
        let mut command = Command::new("sh");
        command.args(["-c", script, NONOVERLAP]).arg(&lock);
        let job = Holder::start(&mut command);
        let child = fs::read_to_string(scene.path("lock.child")).unwrap();
        let child = settled(child.trim().parse().unwrap());
        let held = Pinned::new(&lock);
        in_folder(&scene.path(""), shell(), fate);
        is_conflict(&plain, &lock);
        let status = status_of(&plain, &lock);
        let named = format!("{}: held by PID {child} for ", lock.display());
        assert!(status.starts_with(&named), "{fate}: {status}");
        assert!(status.contains(said), "{fate}: {status}");
        runs_after(&plain, &lock, &lock, &held, || drop(job));
    }
}

#[test]
fn it_is_a_conflict_while_a_guardian_holds_the_lock() {
    for (fate, said) in some_fates() {
        let scene = Scene::new();
        let lock = scene.lock();
        let job = Holder::of([Path::new("--close"), &lock]).settled();
        let held = Pinned::new(&lock);
        in_folder(&scene.path(""), shell(), fate);
        is_conflict(&plain, &lock);
        let status = status_of(&plain, &lock);
        let named = format!("{}: held by PID {} for ", lock.display(), job.pid());
        assert!(status.starts_with(&named), "{fate}: {status}");
        assert!(status.contains(said), "{fate}: {status}");
        runs_after(&plain, &lock, &lock, &held, || drop(job));
    }
}

#[test]
fn those_who_share_the_lock_run_beside_each_other_and_nobody_else_beside_them() {
    for (fate, _) in FATES {
        let scene = Scene::new();
        let lock = scene.lock();
        let share = || nonoverlap(["-s"]);
        let job = Holder::start(share().arg(&lock).args(HOLD));
        let held = Pinned::new(&lock);
        in_folder(&scene.path(""), shell(), fate);
        let mut beside = share();
        beside.arg(&lock).args(["echo", "ran"]);
        beside.run().expect(0, "ran\n", "");
        for options in [&[][..], &["-x"], &["-w", "0.02"]] {
            let mut command = nonoverlap(options);
            command.arg(&lock).args(["echo", "ran"]);
            command.run().expect(1, "", "");
        }
        let second = Holder::start(share().arg(&lock).args(HOLD));
        status_of(&plain, &lock);
        second.end();
        runs_after(&plain, &lock, &lock, &held, || drop(job));
    }
}

#[test]
fn it_is_a_conflict_also_where_the_holder_is_another_users() {
    if !is_root() {
        return left_out("another user's holder", "only root can be another user");
    }
    for (fate, _) in some_fates() {
        for is_roots in [true, false] {
            let scene = Scene::new();
            // All is the folder's owner's, and nobody else's.
            let _copied = as_ordinary_user(&scene);
            let user = || as_ordinary_user(&scene);
            fs::set_permissions(scene.path(""), Permissions::from_mode(0o777)).unwrap();
            let lock = scene.lock();
            let (holder, next): (&dyn Fn() -> Command, &dyn Fn() -> Command) = match is_roots {
                true => (&plain, &user),
                false => (&user, &plain),
            };
            let job = Holder::start(holder().arg(&lock).args(HOLD));
            in_folder(&scene.path(""), shell(), fate);
            is_conflict(next, &lock);
            status_of(next, &lock);
            job.end();
            // It may have to ask again for it, and cannot write where a record is root's.
            let mut command = next();
            let ended = command.arg("-w50").arg(&lock).args(["echo", "ran"]).run();
            assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "ran\n"));
        }
    }
}

#[test]
fn a_waiter_that_cannot_look_into_the_holder_runs_when_that_has_ended() {
    if !is_root() {
        return left_out("another user's holder", "only root can be another user");
    }
    let scene = Scene::new();
    let _copied = as_ordinary_user(&scene);
    fs::set_permissions(scene.path(""), Permissions::from_mode(0o777)).unwrap();
    let lock = scene.lock();
    let job = Holder::of([&lock]);
    fs::rename(&lock, scene.path("old")).unwrap();
    let mut command = as_ordinary_user(&scene);
    command.args(["-b", "lock", "echo", "ran"]);
    command.current_dir(scene.path(""));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let watchdog = Watchdog::over(&child);
    eventually("it sleeps, or has ended", || {
        let wait = format!("/proc/{}/wchan", child.id());
        let sleeps = fs::read_to_string(wait).is_ok_and(|name| name.contains("poll"));
        sleeps || state(child.id()) == Some('Z')
    });
    // While it waits it holds nothing.
    if lock.exists() {
        becomes_free(&lock);
    }
    job.end();
    let ended = Ended::of("-b".to_owned(), child, &watchdog);
    ended.expect(0, "ran\n", "");
}

#[test]
fn each_slot_has_a_name_of_its_own() {
    let scene = Scene::new();
    let lock = scene.lock();
    let slots = || nonoverlap(["-j2"]);
    let jobs = [(); 2].map(|()| Holder::start(slots().arg(&lock).args(HOLD)));
    let mut files: Vec<_> = fs::read_dir(scene.path("")).unwrap().flatten().collect();
    files.sort_by_key(|file| file.file_name());
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        fs::remove_file(file.path()).unwrap();
    }
    let mut command = slots();
    command.arg(&lock).args(["echo", "ran"]);
    command.run().expect(1, "", "");
    let [first, second] = jobs;
    first.end();
    command.run().expect(0, "ran\n", "");
    second.end();
}
