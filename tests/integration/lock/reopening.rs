//! Promises about file systems that make a record lock of flock(2), as NFS does, and then want a
//! descriptor that can be written to: EBADF and EIO lead to a reopening, and only then to an error.
//!
//! Linux only: strace injects the errors, and `/proc` tells how the file is open.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{HOLD, Holder, NONOVERLAP, Run, Scene, has_tool, is_root, record_of};

/// Prints its PID, and each descriptor that it has on the file `$0` with the mode that it is open in:
/// the last digit of its flags, of which 2 is O_RDWR.
const MODES: [&str; 3] = [
    "sh",
    "-c",
    r#"echo $$; cd /proc/$$/fd; for number in *; do [ "$number" -ef "$0" ] || continue
        sed -n 's/^flags:.*\(.\)$/\1/p; s/^lock:.*FLOCK  ADVISORY  \([A-Z]*\).*/\1/p' ../fdinfo/$number
    done"#,
];

#[test]
fn a_lock_that_wants_a_descriptor_that_can_be_written_to_gets_one() {
    if !strace_is_here() {
        return;
    }
    for error in ["EBADF", "EIO"] {
        for options in [&[][..], &["-n"], &["-w", "60"], &["-b"], &["-x", "-v"]] {
            let scene = Scene::new();
            let mut command = failing_at_first(error, Path::new(NONOVERLAP));
            let ran = command
                .args(options)
                .arg(scene.lock())
                .args(MODES)
                .arg(scene.lock())
                .run();
            assert_eq!(ran.code(), Some(0), "{ran:?}");
            let stdout = ran.stdout();
            let (pid, descriptors) = stdout.split_once('\n').unwrap();
            assert_eq!(descriptors, "2\nWRITE\n", "{ran:?}");
            let record = fs::read_to_string(scene.lock()).unwrap();
            assert_eq!(record, record_of(pid.parse().unwrap()), "{ran:?}");
        }
    }
}

#[test]
fn under_the_name_flock_it_reopens_too() {
    if !strace_is_here() {
        return;
    }
    let scene = Scene::new();
    let mut command = failing_at_first("EBADF", &scene.flock());
    let ran = command
        .arg(scene.lock())
        .args(MODES)
        .arg(scene.lock())
        .run();
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    assert!(ran.stdout().ends_with("\n2\nWRITE\n"), "{ran:?}");
}

#[test]
fn after_reopening_a_taken_lock_is_taken_as_ever() {
    if !strace_is_here() {
        return;
    }
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    for options in [&["-n"][..], &["-w", "0.02"]] {
        let mut command = failing_at_first("EBADF", Path::new(NONOVERLAP));
        command
            .args(options)
            .arg(scene.lock())
            .args(HOLD)
            .run()
            .expect(1, "", "");
    }
}

#[test]
fn where_the_reopened_file_cannot_be_locked_either_it_says_so_and_runs_nothing() {
    if !strace_is_here() {
        return;
    }
    for (error, status) in [("EBADF", 65), ("EIO", 65), ("EINVAL", 65), ("ENOLCK", 71)] {
        for options in [&[][..], &["-w", "60"], &["-b"], &["-s"]] {
            let scene = Scene::new();
            let mut command = failing(error, "1+", Path::new(NONOVERLAP));
            let refused = command.args(options).arg(scene.lock()).args(HOLD).run();
            assert_eq!(
                (refused.code(), refused.stdout().as_str()),
                (Some(status), ""),
                "{refused:?}"
            );
            let words = format!("nonoverlap: cannot lock {}: ", scene.lock().display());
            assert!(refused.stderr().starts_with(&words), "{refused:?}");
            assert_eq!(fs::read(scene.lock()).unwrap(), b"");
        }
    }
}

#[test]
fn a_file_that_may_only_be_read_is_not_reopened_and_the_error_names_it() {
    if !strace_is_here() {
        return;
    }
    let scene = Scene::new();
    let lock = scene.file("lock", "");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(lock.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let message = format!(
        "nonoverlap: cannot lock {}: Bad file descriptor\n",
        lock.display()
    );
    let strace = failing_at_first("EBADF", Path::new(NONOVERLAP));
    as_ordinary_user(&strace)
        .arg(&lock)
        .args(HOLD)
        .run()
        .expect(65, "", &message);
    // It is the injected error that refuses it, and not the mode of the file.
    let unharmed = Command::new(NONOVERLAP);
    as_ordinary_user(&unharmed)
        .arg(&lock)
        .args(HOLD)
        .run()
        .expect(0, "held\n", "");
}

#[test]
fn a_descriptor_of_the_callers_is_never_reopened() {
    if !strace_is_here() {
        return;
    }
    let message = "nonoverlap: cannot lock descriptor 0: Bad file descriptor\n";
    let mut alone = failing_at_first("EBADF", Path::new(NONOVERLAP));
    alone.arg("0").run().expect(65, "", message);
    let mut around_a_command = failing_at_first("EBADF", Path::new(NONOVERLAP));
    around_a_command
        .args(["--fd", "0"])
        .args(HOLD)
        .run()
        .expect(65, "", message);
}

/// The program, its first call of flock(2) failing with this error.
fn failing_at_first(error: &str, program: &Path) -> Command {
    failing(error, "1", program)
}

/// The program, with this error from flock(2) at these calls, by strace's way of counting.
fn failing(error: &str, when: &str, program: &Path) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-qq", "-o", "/dev/null", "-e", "trace=flock", "-e"])
        .arg(format!("inject=flock:error={error}:when={when}"))
        .arg("--")
        .arg(program);
    command
}

/// The same command, but root, who may write to any file, becomes somebody else first.
fn as_ordinary_user(command: &Command) -> Command {
    if !is_root() {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    }
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(command.get_program())
        .args(command.get_args());
    other
}

fn strace_is_here() -> bool {
    has_tool("strace", "reopening the lock file")
}
