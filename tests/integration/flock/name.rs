//! Promises about the name: started as `flock`, by whatever way, it is util-linux's flock, and under
//! every other name it is nonoverlap.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, record_of};

#[test]
fn every_way_of_starting_it_under_the_name_flock_makes_it_flock() {
    let scene = Scene::new();
    let link = scene.flock();
    fs::create_dir(scene.path("copied")).unwrap();
    let copy = copy_to(&scene.path("copied/flock"));
    fs::create_dir(scene.path("hard")).unwrap();
    let hard_link = scene.path("hard/flock");
    fs::hard_link(&copy, &hard_link).unwrap();
    let mut here = Command::new("./flock");
    here.current_dir(link.parent().unwrap());
    let mut in_path = Command::new("flock");
    in_path.env("PATH", link.parent().unwrap());

    is_flock("a symbolic link", &mut Command::new(&link));
    is_flock("a hard link", &mut Command::new(&hard_link));
    is_flock("a copy", &mut Command::new(&copy));
    is_flock("./flock", &mut here);
    is_flock("found in PATH", &mut in_path);
    is_flock("exec -a flock", &mut named("flock"));
    is_flock("exec -a ./flock", &mut named("./flock"));
    is_flock("exec -a /no/such/flock", &mut named("/no/such/flock"));
}

#[test]
fn a_name_that_is_not_quite_flock_makes_it_nonoverlap() {
    let scene = Scene::new();
    fs::create_dir(scene.path("flock")).unwrap();
    let in_flock = scene.path("flock/nonoverlap");
    symlink(NONOVERLAP, &in_flock).unwrap();
    is_nonoverlap("in a folder named flock", &mut Command::new(&in_flock));

    for name in ["flock2", "myflock", "flock.sh", ".flock", "Flock", "floc"] {
        let link = scene.path(name);
        symlink(NONOVERLAP, &link).unwrap();
        is_nonoverlap(name, &mut Command::new(&link));
    }
    for name in [
        "flock/",
        "-flock",
        "flock ",
        "/flock/x",
        "flock/flock2",
        "/",
        "",
    ] {
        is_nonoverlap(&format!("exec -a {name:?}"), &mut named(name));
    }
}

#[test]
fn as_flock_it_leaves_every_lock_file_as_it_is() {
    let scene = Scene::new();
    let record = record_of(4_194_303);
    for content in ["", record.as_str(), "4242\n", "data"] {
        let lock = scene.file("lock", content);
        let before = fs::metadata(&lock).unwrap();
        let during = Command::new(scene.flock())
            .arg(&lock)
            .arg("cat")
            .arg(&lock)
            .run();
        during.expect(0, content, "");
        let after = fs::metadata(&lock).unwrap();
        assert_eq!(fs::read_to_string(&lock).unwrap(), content);
        assert_eq!(
            (before.mtime(), before.mtime_nsec()),
            (after.mtime(), after.mtime_nsec())
        );
    }
}

#[test]
fn as_flock_it_makes_an_empty_lock_file_and_leaves_it_empty() {
    let scene = Scene::new();
    let lock = scene.lock();
    Command::new(scene.flock())
        .arg(&lock)
        .arg("cat")
        .arg(&lock)
        .run()
        .expect(0, "", "");
    assert_eq!(fs::read(&lock).unwrap(), b"");
}

// Only Linux tells who waits for a flock.
#[cfg(target_os = "linux")]
#[test]
fn as_flock_it_waits_for_the_lock_unless_told_otherwise() {
    use crate::support::harness::{eventually, locks_on};

    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut waiting = Command::new(scene.flock());
    let waiting = waiting.arg(scene.lock()).args(["echo", "ran"]);
    std::thread::scope(|threads| {
        let run = threads.spawn(|| waiting.run());
        eventually("somebody waits for the lock", || {
            locks_on(&scene.lock())
                .iter()
                .any(|line| line.contains("->"))
        });
        assert!(holder.end().success());
        run.join().unwrap().expect(0, "ran\n", "");
    });
}

#[test]
fn as_flock_a_conflict_is_told_under_verbose_in_the_words_of_flock() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for (options, stderr) in [
        (&["-n"][..], ""),
        (&["-w", "0.02"], ""),
        (&["-n", "--verbose"], "flock: failed to get lock\n"),
        (&["-w0", "--verbose"], "flock: failed to get lock\n"),
        (
            &["-w.02", "--verbose"],
            "flock: timeout while waiting to get lock\n",
        ),
    ] {
        let mut refused = Command::new(scene.flock());
        refused
            .args(options)
            .arg(scene.lock())
            .arg("true")
            .run()
            .expect(1, "", stderr);
    }
}

#[test]
fn as_nonoverlap_it_does_not_wait_and_speaks_on_stderr_only() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut link = Command::new(scene.path("flock2"));
    symlink(NONOVERLAP, scene.path("flock2")).unwrap();
    let refused = link.arg("--verbose").arg(scene.lock()).arg("true").run();
    assert_eq!((refused.code(), refused.stdout().as_str()), (Some(1), ""));
    assert!(refused.stderr().starts_with("nonoverlap: "), "{refused:?}");
    drop(holder);
    let ran = link.run();
    assert_eq!((ran.code(), ran.stdout().as_str()), (Some(0), ""));
    assert!(ran.stderr().starts_with("nonoverlap: "), "{ran:?}");
}

/// A copy of the binary. It is written by another process: while a child that a parallel test is
/// starting has it open for writing, it could not be executed.
fn copy_to(path: &Path) -> PathBuf {
    let copied = Command::new("cp").arg(NONOVERLAP).arg(path).run();
    assert_eq!(copied.code(), Some(0), "{copied:?}");
    path.to_owned()
}

/// The binary with any argv[0], which bash can give it.
fn named(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", r#"exec -a "$0" "$@""#])
        .arg(name)
        .arg(NONOVERLAP);
    command
}

/// flock says 69 of a command that it cannot find, under its own name, and writes no record.
#[track_caller]
fn is_flock(how: &str, command: &mut Command) {
    let (status, stderr, content) = of_missing_command(command);
    assert_eq!((status, content.as_str()), (Some(69), ""), "{how}");
    assert!(stderr.starts_with("flock: "), "{how}: {stderr}");
}

/// nonoverlap says 127, under its own name, and has written its record by then.
#[track_caller]
fn is_nonoverlap(how: &str, command: &mut Command) {
    let (status, stderr, content) = of_missing_command(command);
    assert_eq!((status, content.len()), (Some(127), 11), "{how}");
    assert!(stderr.starts_with("nonoverlap: "), "{how}: {stderr}");
}

/// What comes of a command that does not exist: status, stderr, and what is in the lock file then.
fn of_missing_command(command: &mut Command) -> (Option<i32>, String, String) {
    let scene = Scene::new();
    let ended = command.arg(scene.lock()).arg("/no/such/command").run();
    let content = fs::read_to_string(scene.lock()).unwrap();
    (ended.code(), ended.stderr(), content)
}
