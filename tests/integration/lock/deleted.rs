//! A lock file that was deleted while a job holds it: the next run would make a new one and start
//! beside the job, and is refused as far as the job can be seen. Linux only: nowhere else is it
//! seen.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, has_tool, is_root, left_out, nonoverlap, record_of,
};
use crate::support::machine::as_ordinary_user;

/// A job that is one process with one command line from its first moment to its last.
const JOB: [&str; 3] = ["sh", "-c", "echo held; read line"];

#[test]
fn whoever_deletes_the_lock_file_of_a_running_job_the_next_run_is_refused_and_names_it() {
    for (what, delete) in [
        ("deleted", "rm folder/lock"),
        ("made anew", "rm folder/lock; true >folder/lock"),
        ("replaced", "true >new; mv new folder/lock"),
        ("its folder too", "rm -r folder; mkdir folder"),
        ("twice", "rm folder/lock; true >folder/lock; rm folder/lock"),
    ] {
        let scene = Scene::new();
        fs::create_dir(scene.path("folder")).unwrap();
        let lock = scene.path("folder/lock");
        let job = Holder::start(nonoverlap([&lock]).args(JOB));
        let mut shell = Command::new("sh");
        shell.current_dir(scene.path("")).args(["-c", delete]);
        shell.run().expect(0, "", "");
        // More than once: a refused run leaves a new file.
        for _ in 0..2 {
            refused(&[], &lock, 1);
        }
        let ended = nonoverlap(["-v"]).arg(&lock).args(["echo", "ran"]).run();
        let (name, pid, command) = (lock.display(), job.pid(), JOB.join(" "));
        let holder = format!("nonoverlap: {name} is held by PID {pid} ({command})");
        let said = ended.stderr();
        let (before, time) = said.rsplit_once(" for ").unwrap();
        assert_eq!(before, holder, "{what}: {ended:?}");
        assert!(time.ends_with("s; not started\n"), "{what}: {ended:?}");
        assert_eq!((ended.code(), &*ended.stdout()), (Some(1), ""), "{what}");
        job.end();
        runs(&[], &lock);
    }
}

#[test]
fn it_is_refused_whatever_kind_of_lock_the_job_has_and_by_whatever_tool() {
    let flock = if has_tool("flock", "flock as the holder") {
        "flock"
    } else {
        NONOVERLAP
    };
    for (tool, holder, next) in [
        (flock, &[][..], &[][..]),
        (flock, &["-F"], &[]),
        (flock, &["-s"], &[]),
        (flock, &["-F"], &["-s"]),
        (NONOVERLAP, &[], &["-s"]),
        (NONOVERLAP, &["-s"], &["-x"]),
        (NONOVERLAP, &["--fcntl"], &["--fcntl"]),
        (NONOVERLAP, &["--fcntl"], &["--fcntl", "-s"]),
        (NONOVERLAP, &["--fcntl", "-s"], &["--fcntl"]),
    ] {
        let scene = Scene::new();
        let lock = scene.lock();
        let job = Holder::start(Command::new(tool).args(holder).arg(&lock).args(HOLD));
        fs::remove_file(&lock).unwrap();
        let mut command = nonoverlap(next);
        let ended = command.arg(&lock).args(["echo", "ran"]).run();
        assert_eq!(
            ended.code(),
            Some(1),
            "{tool} {holder:?}, {next:?}: {ended:?}"
        );
        job.end();
        runs(next, &lock);
    }
}

#[test]
fn shared_runs_coexist_over_a_deleted_lock_file() {
    let scene = Scene::new();
    let lock = scene.lock();
    let _first = Holder::of([OsStr::new("-s"), lock.as_ref()]);
    fs::remove_file(&lock).unwrap();
    runs(&["-s"], &lock);
    let second = Holder::of([OsStr::new("-s"), lock.as_ref()]);
    refused(&[], &lock, 1);
    second.end();
    refused(&[], &lock, 1);
}

#[test]
fn a_refusal_over_a_deleted_file_has_the_status_that_was_asked_for() {
    let scene = Scene::new();
    let lock = scene.lock();
    let _job = Holder::of([&lock]);
    fs::remove_file(&lock).unwrap();
    for (options, status) in [(&["-E", "75"][..], 75), (&["-E0"], 0), (&["-n"], 1)] {
        refused(options, &lock, status);
    }
    let ended = nonoverlap(["--alarm", "0"]).arg(&lock).arg("true").run();
    assert!(
        ended.stderr().ends_with("longer than 0s; not started\n"),
        "{ended:?}"
    );
}

#[test]
fn the_deleted_file_is_known_by_any_path_that_leads_to_it() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    symlink("folder", scene.path("way")).unwrap();
    symlink("folder/lock", scene.path("link")).unwrap();
    let _job = Holder::of([scene.path("way/lock")]);
    fs::remove_file(scene.path("folder/lock")).unwrap();
    for path in [
        "folder/lock",
        "way/lock",
        "./folder/../way/lock",
        "folder//lock",
        "way/../folder/lock",
    ] {
        let ended = nonoverlap([path, "true"]).current_dir(scene.path("")).run();
        ended.expect(1, "", "");
    }
    // The file is there again, so that the link leads to one.
    let ended = nonoverlap(["link", "true"])
        .current_dir(scene.path(""))
        .run();
    ended.expect(1, "", "");
}

#[test]
fn a_name_that_ends_as_the_kernel_marks_what_is_deleted_is_a_name_like_any_other() {
    let scene = Scene::new();
    let (lock, odd) = (scene.lock(), scene.path("lock (deleted)"));
    // It is there, and is another file than the new one without the mark.
    let job = Holder::of([&odd]);
    runs(&[], &lock);
    job.end();
    let _job = Holder::of([&odd]);
    fs::remove_file(&odd).unwrap();
    refused(&[], &odd, 1);
    runs(&[], &scene.path("lock (deleted) (deleted)"));
}

#[test]
fn a_file_with_a_record_that_was_put_back_lets_nobody_in_whoever_it_names() {
    let scene = Scene::new();
    let lock = scene.lock();
    let job = Holder::of([&lock]);
    let record = fs::read_to_string(&lock).unwrap();
    // Of a process that is gone, and of the job itself, as from a backup.
    for content in [record_of(i32::MAX as u32), record] {
        fs::remove_file(&lock).unwrap();
        scene.file("lock", &content);
        refused(&[], &lock, 1);
        assert_eq!(fs::read_to_string(&lock).unwrap(), content);
    }
    job.end();
    runs(&[], &lock);
}

#[test]
fn a_lock_file_that_is_left_under_another_name_has_lost_this_one_all_the_same() {
    let scene = Scene::new();
    let lock = scene.lock();
    let _job = Holder::of([&lock]);
    fs::hard_link(&lock, scene.path("backup")).unwrap();
    fs::remove_file(&lock).unwrap();
    refused(&[], &lock, 1);
    refused(&[], &scene.path("backup"), 1);
}

#[test]
fn a_lock_file_that_was_moved_away_is_held_under_both_names() {
    let scene = Scene::new();
    let lock = scene.lock();
    let job = Holder::of([&lock]);
    fs::rename(&lock, scene.path("elsewhere")).unwrap();
    refused(&[], &scene.path("elsewhere"), 1);
    refused(&[], &lock, 1);
    job.end();
    runs(&[], &scene.path("elsewhere"));
    runs(&[], &lock);
}

#[test]
fn a_new_lock_file_beside_other_deleted_ones_is_free() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    let others = ["other", "lock.2", "folder/lock"].map(|name| {
        let job = Holder::of([scene.path(name)]);
        fs::remove_file(scene.path(name)).unwrap();
        job
    });
    runs(&[], &scene.lock());
    // A deleted file that is open and not locked holds nobody up.
    let mut reader = Command::new("sh");
    let script = "exec 9>lock; rm lock; \"$0\" lock echo ran";
    reader
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    reader.run().expect(0, "ran\n", "");
    drop(others);
}

#[test]
fn a_deleted_file_of_the_same_path_among_other_mounts_is_another_file() {
    if !is_root() {
        return left_out("another mount namespace", "only root may mount");
    }
    // Another file system, and another folder of the same one, as services with a /tmp of their own
    // have it.
    for mount in ["mount -t tmpfs tmpfs folder", "mount --bind other folder"] {
        let scene = Scene::new();
        fs::create_dir(scene.path("folder")).unwrap();
        fs::create_dir(scene.path("other")).unwrap();
        let script = "exec \"$0\" folder/lock sh -c 'rm folder/lock; echo held; read line'";
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "sh",
            "-c",
            &format!("{mount} && {script}"),
            NONOVERLAP,
        ]);
        let _job = Holder::start(command.current_dir(scene.path("")));
        runs(&[], &scene.path("folder/lock"));
    }
    // With mounts of its own that are the same, it is the same file.
    let scene = Scene::new();
    let mut command = Command::new("unshare");
    command
        .arg("-m")
        .arg(NONOVERLAP)
        .arg(scene.lock())
        .args(JOB);
    let _job = Holder::start(&mut command);
    fs::remove_file(scene.lock()).unwrap();
    refused(&[], &scene.lock(), 1);
}

#[test]
fn under_the_name_flock_no_deleted_file_is_searched_for() {
    let scene = Scene::new();
    let lock = scene.lock();
    symlink(NONOVERLAP, scene.path("flock")).unwrap();
    let _job = Holder::of([&lock]);
    fs::remove_file(&lock).unwrap();
    let mut command = Command::new(scene.path("flock"));
    command.arg("-n").arg(&lock).args(["echo", "ran"]);
    command.run().expect(0, "ran\n", "");
}

#[test]
fn every_user_sees_every_users_job_and_of_other_programs_root_alone_sees_all() {
    if !is_root() {
        return left_out("another user's holder", "only root can be another user");
    }
    let scene = Scene::new();
    fs::set_permissions(scene.path(""), Permissions::from_mode(0o777)).unwrap();
    let lock = scene.lock();
    let user = || {
        let mut command = as_ordinary_user(&scene);
        command.arg(&lock);
        command
    };
    let job = Holder::start(user().args(HOLD));
    fs::remove_file(&lock).unwrap();
    refused(&[], &lock, 1);
    user().args(["echo", "ran"]).run().expect(1, "", "");
    job.end();
    // Root's job cannot be looked into, but its mark is seen.
    let job = Holder::of([&lock]);
    fs::remove_file(&lock).unwrap();
    user().args(["echo", "ran"]).run().expect(1, "", "");
    job.end();
    if !has_tool("flock", "another program's lock") {
        return;
    }
    // Another program has none: as far as can be seen, the lock is free.
    fs::remove_file(&lock).unwrap();
    let other = |command: &mut Command| Holder::start(command.arg(&lock).args(HOLD));
    let job = other(&mut Command::new("flock"));
    fs::remove_file(&lock).unwrap();
    user().args(["echo", "ran"]).run().expect(0, "ran\n", "");
    drop(job);
    fs::remove_file(&lock).unwrap();
    let _job = other(&mut as_user("flock"));
    fs::remove_file(&lock).unwrap();
    refused(&[], &lock, 1);
    user().args(["echo", "ran"]).run().expect(1, "", "");
}

#[test]
fn a_job_that_is_seen_but_whose_file_cannot_be_opened_is_no_reason_to_run() {
    let scene = Scene::new();
    fs::set_permissions(scene.path(""), Permissions::from_mode(0o777)).unwrap();
    let lock = scene.lock();
    // No descriptor is left for the deleted file.
    let job = Holder::of([&lock]);
    fs::remove_file(&lock).unwrap();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 11; exec \"$0\" \"$1\" echo ran";
    shell.args(["-c", script, NONOVERLAP]).arg(&lock);
    let ended = shell.run();
    assert!(
        ended.stdout.is_empty() && ended.code() != Some(0),
        "{ended:?}"
    );
    job.end();
    fs::remove_file(&lock).unwrap();
    // Nobody may open it.
    let job = Holder::start(as_ordinary_user(&scene).arg(&lock).args(HOLD));
    fs::set_permissions(&lock, Permissions::from_mode(0o000)).unwrap();
    fs::remove_file(&lock).unwrap();
    let ended = as_ordinary_user(&scene)
        .arg(&lock)
        .args(["echo", "ran"])
        .run();
    assert!(
        ended.stdout.is_empty() && ended.code() != Some(0),
        "{ended:?}"
    );
    job.end();
}

/// Another program, run by an ordinary user.
fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups", program];
    command.args(words);
    command
}

/// A run under this lock is refused.
#[track_caller]
pub fn refused(options: &[&str], lock: &Path, status: i32) {
    let mut command = nonoverlap(options);
    command.arg(lock).args(["echo", "ran"]);
    command.run().expect(status, "", "");
}

/// A run under this lock is let in.
#[track_caller]
pub fn runs(options: &[&str], lock: &Path) {
    let mut command = nonoverlap(options);
    command.arg(lock).args(["echo", "ran"]);
    command.run().expect(0, "ran\n", "");
}
