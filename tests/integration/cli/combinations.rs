//! Promises about what goes together: what does not is a usage error, said before any file is
//! touched.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene};

/// Command lines with a word that the refusal has, under both names.
#[rustfmt::skip] // A row a line is how a table is read.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-u", "L", "true"], "-u releases the lock of a descriptor"),
    (&["--unlock", "L", "true"], "-u releases the lock of a descriptor"),
    (&["-x", "-u", "L", "true"], "-u releases the lock of a descriptor"),
    (&["-nu", "L", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "L", "-c", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "9", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "--fd", "0", "true"], "-u releases the lock of a descriptor"),
    (&["--fd", "0", "-u", "-c", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "--fd", "0", "-c", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "L"], "bad file descriptor: 'L'"),
    (&["-u"], "no lock file given"),
    (&["-u", "--fd", "0"], "--fd takes a command"),
    (&["--fd", "0"], "--fd takes a command"),
    (&["--fd=0"], "--fd takes a command"),
    (&["-n", "--fd", "0", "-s"], "--fd takes a command"),
    (&["--fd", "0", "--"], "--fd takes a command"),
    (&["--fd"], "--fd"),
    (&["--fd", "x", "true"], "bad file descriptor: 'x'"),
    (&["--fd", "", "true"], "bad file descriptor: ''"),
    (&["--fd", "0", "-c"], "-c takes exactly one command line"),
    (&["--fd", "0", "--command"], "--command takes exactly one command line"),
    (&["--fd", "0", "-c", "true", "x"], "-c takes exactly one command line"),
    (&["--fd", "0", "-nc", "true"], "-c cannot be combined with other letters"),
    (&["--fd", "0", "-ctrue"], "unexpected argument for option '-c'"),
    (&["--fd", "0", "--command=true"], "unexpected argument for option '--command'"),
    (&["-c", "true", "--fd", "0"], "-c goes right after"),
    (&["-c", "true", "L"], "-c goes right after"),
    (&["--command", "true", "L"], "-c goes right after"),
    (&["--command=true", "L"], "-c goes right after"),
    (&["-nc", "true", "L"], "-c goes right after"),
    (&["-c"], "-c goes right after"),
    (&["L", "-c"], "-c takes exactly one command line"),
    (&["L", "--command"], "--command takes exactly one command line"),
    (&["L", "-c", "true", "x"], "-c takes exactly one command line"),
    (&["L", "--command", "true", "x"], "--command takes exactly one command line"),
    (&["L"], "bad file descriptor: 'L'"),
    (&["--", "L"], "bad file descriptor: 'L'"),
    (&[], "no lock file given"),
    (&["-n"], "no lock file given"),
    (&["--fcntl"], "no lock file given"),
];

/// The same for what flock does not have and so does not know.
#[rustfmt::skip] // A row a line is how a table is read.
const REFUSED_AS_NONOVERLAP: &[(&[&str], &str)] = &[
    (&["-b", "-n", "L", "true"], "-b does not go together with -n or -w"),
    (&["-n", "-b", "L", "true"], "-b does not go together with -n or -w"),
    (&["-nb", "L", "true"], "-b does not go together with -n or -w"),
    (&["--block", "--nb", "L", "true"], "-b does not go together with -n or -w"),
    (&["-b", "-w", "1", "L", "true"], "-b does not go together with -n or -w"),
    (&["-w1", "-b", "L", "true"], "-b does not go together with -n or -w"),
    (&["-w0", "--block", "L", "true"], "-b does not go together with -n or -w"),
    (&["-w", "inf", "-b", "L", "true"], "-b does not go together with -n or -w"),
    (&["-n", "-w1", "-b", "L", "true"], "-b does not go together with -n or -w"),
    (&["-b", "--timeout=1", "0"], "-b does not go together with -n or -w"),
    (&["-b", "-n", "--fd", "0", "true"], "-b does not go together with -n or -w"),
    (&["-bu", "L", "true"], "-u releases the lock of a descriptor"),
    (&["--slots", "2", "a://", "true"], "--slots takes a lock file, not a lock on a server"),
    (&["-j1", "a://b#c", "true"], "--slots takes a lock file, not a lock on a server"),
    (&["--fcntl", "a://", "true"], "--fcntl takes a lock file, not a lock on a server"),
    (&["--start", "0", "a://", "true"], "--fcntl takes a lock file, not a lock on a server"),
    (&["--length", "1", "a://", "true"], "--fcntl takes a lock file, not a lock on a server"),
    (&["-u", "a://", "true"], "-u releases the lock of a descriptor"),
    (&["-u", "a://"], "bad file descriptor: 'a://'"),
    (&["a://"], "bad file descriptor: 'a://'"),
    (&["-s", "a://"], "bad file descriptor: 'a://'"),
    (&["-b", "-n", "a://", "true"], "-b does not go together with -n or -w"),
    (&["--hold-at-least", "1m", "L", "true"], "--hold-at-least works only with a lock on a server, SCHEME://"),
    (&["--hold-at-least", "1m", "0"], "--hold-at-least works only with a lock on a server, SCHEME://"),
    (&["--hold-at-least", "1m", "--fd", "0", "true"], "--hold-at-least works only with a lock on a server, SCHEME://"),
    (&["--hold-at-least", "1m", "./a://", "true"], "--hold-at-least works only with a lock on a server, SCHEME://"),
    (&["--hold-at-least", "soon", "a://", "true"], "'soon'"),
    (&["--hold-at-least"], "--hold-at-least"),
    (&["--on-lost", "ignore", "L", "true"], "--on-lost works only with a lock on a server, SCHEME://"),
    (&["--on-lost", "ignore", "0"], "--on-lost works only with a lock on a server, SCHEME://"),
    (&["--on-lost=ignore", "--fd", "0", "true"], "--on-lost works only with a lock on a server, SCHEME://"),
    (&["--on-lost", "TERM", "a://", "true"], "--on-lost takes term, kill or ignore, not 'TERM'"),
    (&["--on-lost", "", "a://", "true"], "--on-lost takes term, kill or ignore, not ''"),
    (&["--on-lost", "9", "L", "true"], "--on-lost takes term, kill or ignore, not '9'"),
];

/// The same for `--history`, which asks for no run.
#[rustfmt::skip] // A row a line is how a table is read.
const REFUSED_WITH_HISTORY: &[(&[&str], &str)] = &[
    (&["--history"], "no log given"),
    (&["--history", "--json"], "no log given"),
    (&["--history", "--"], "no log given"),
    (&["--history", "L", "M"], "--history takes one log"),
    (&["--history", "L", "--json", "M"], "--history takes one log"),
    (&["--history", "L", "-v"], "--history takes one log"),
    (&["--history=L"], "unexpected argument for option '--history'"),
    (&["--history", "-q", "L"], "--quiet does not go together with --history"),
    (&["--history", "--log", "L", "M"], "--log does not go together with --history"),
    (&["--history", "--fd", "0", "L"], "--fd does not go together with --history"),
    (&["--install", "@daily", "--history", "L"], "--install does not go together with --history"),
    (&["--history", "--uninstall", "L"], "--uninstall does not go together with --history"),
    (&["--history", "--dry-run", "L"], "--dry-run does not go together with --history"),
    (&["--history", "--status", "L"], "--history does not go together with --status"),
    (&["--json", "L", "true"], "--json works only with --status or --history"),
];

/// All of these command lines that nonoverlap refuses as runs.
pub fn refused() -> impl Iterator<Item = &'static [&'static str]> {
    let tables = REFUSED.iter().chain(REFUSED_AS_NONOVERLAP);
    tables.map(|(arguments, _)| *arguments)
}

#[test]
fn what_does_not_go_together_is_refused_before_a_file_is_touched() {
    let tables = REFUSED.iter().chain(REFUSED_AS_NONOVERLAP);
    for (arguments, words) in tables.chain(REFUSED_WITH_HISTORY) {
        is_refused(Path::new(NONOVERLAP), "nonoverlap", arguments, words);
    }
}

#[test]
fn what_does_not_go_together_is_refused_under_the_name_flock_too() {
    let scene = Scene::new();
    for (arguments, words) in REFUSED {
        is_refused(&scene.flock(), "flock", arguments, words);
    }
}

#[test]
fn not_to_wait_beats_to_wait_in_either_order() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    // An hour is more than a test may take.
    for options in [
        &["-n", "-w", "3600"][..],
        &["-w", "3600", "-n"],
        &["-w3600", "--nonblock", "-w", "1800"],
        &["--nb", "--timeout=3600"],
        &["-w", "inf", "-n"],
        &["-w", "3600", "-w", "0"],
    ] {
        for program in [Path::new(NONOVERLAP), &scene.flock()] {
            let mut command = Command::new(program);
            let refused = command.args(options).arg(scene.lock()).arg("true").run();
            refused.expect(1, "", "");
        }
    }
}

#[test]
fn a_command_line_for_the_shell_goes_right_after_the_lock_file_or_the_descriptor() {
    let scene = Scene::new();
    for arguments in [
        &["L", "-c", "echo $0"][..],
        &["L", "--command", "echo $0"],
        &["--", "L", "-c", "echo $0"],
        &["--fd", "0", "-c", "echo $0"],
        &["--fd=0", "--command", "echo $0"],
        &["-n", "--fd", "0", "-s", "-c", "echo $0"],
        &["--fd", "0", "--", "-c", "echo $0"],
        // Behind the command it is the command's.
        &["L", "sh", "-c", "echo /bin/sh"],
        &["--fd", "0", "sh", "-c", "echo /bin/sh"],
    ] {
        for program in [Path::new(NONOVERLAP), &scene.flock()] {
            // Descriptor 0 is a file: macOS locks no pipe.
            let mut command = Command::new("sh");
            command
                .args(["-c", r#"exec "$0" "$@" <>locked"#])
                .arg(program);
            command.current_dir(scene.path("bin"));
            command.args(arguments).env("SHELL", "/bin/sh");
            command.run().expect(0, "/bin/sh\n", "");
        }
    }
}

#[test]
fn the_last_of_shared_exclusive_and_unlock_wins() {
    let scene = Scene::new();
    let _holder = Holder::of([Path::new("-s"), &scene.lock()]);
    for (options, status) in [
        (&["-s"][..], 0),
        (&["-x"], 1),
        (&["-x", "-s"], 0),
        (&["-s", "-x"], 1),
        (&["-se"], 1),
        (&["-s", "--exclusive", "--shared"], 0),
        (&["-u", "-s"], 0),
        (&["-u", "-x"], 1),
        (&["-s", "-u"], 64),
    ] {
        for program in [Path::new(NONOVERLAP), &scene.flock()] {
            let mut command = Command::new(program);
            let ended = command
                .arg("-n")
                .args(options)
                .arg(scene.lock())
                .arg("true")
                .run();
            assert_eq!(ended.code(), Some(status), "{ended:?}");
        }
    }
}

/// Refused with 64 and these words, in a folder where afterwards there is nothing new.
#[track_caller]
fn is_refused(program: &Path, name: &str, arguments: &[&str], words: &str) {
    let scene = Scene::new();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    let refused = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .run();
    assert_eq!(
        (refused.code(), refused.stdout().as_str()),
        (Some(64), ""),
        "{refused:?}"
    );
    let stderr = refused.stderr();
    assert!(
        stderr.starts_with(&format!("{name}: "))
            && stderr.contains(words)
            && stderr.lines().count() == 1,
        "not with {words:?}: {refused:?}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{refused:?}");
}
