//! What nonoverlap says: on a terminal and elsewhere, and with names that are not to be shown as they are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::report::exit_status::{BARE_PATH, Corner, HELD, assert_says, words};
use crate::support::harness::{Holder, Run, Scene, nonoverlap, run_on};
use crate::support::terminal::Terminal;

#[test]
fn verbose_says_which_lock_which_pid_and_which_command() {
    let scene = Scene::new();
    let ended = nonoverlap(["-v", "lock", "sh", "-c", "echo $$"])
        .current_dir(scene.path(""))
        .run();
    let pid = ended.stdout();
    let message = format!(
        "nonoverlap: lock locked by PID {}; starting sh -c echo $$\n",
        pid.trim()
    );
    ended.expect(0, &pid, &message);
}

#[test]
fn on_a_terminal_a_conflict_is_explained_unless_quiet() {
    let corner = Corner::new();
    for (line, status, message) in [
        (&b"held true"[..], 1, HELD),
        (b"-E5 held true", 5, HELD),
        (b"-v held true", 1, HELD),
        (b"-qv held true", 1, HELD),
        (b"-q held true", 1, ""),
        (b"-vq -E0 held true", 0, ""),
        (b"lock true", 0, ""),
        (
            b"-q lock no-such",
            127,
            "cannot execute no-such: No such file or directory",
        ),
        (
            b"-q --\x1b]0;title\x07",
            64,
            "invalid option '--\\x1b]0;title\\x07'; see --help",
        ),
    ] {
        let terminal = Terminal::new();
        let mut command = corner.nonoverlap(words(line));
        let ended = run_on(&mut command, terminal.open().into());
        assert_eq!(ended.status.code(), Some(status), "{command:?}");
        drop(command);
        assert_says(&terminal.read().replace("\r\n", "\n"), message);
    }
    // It is stderr that counts.
    let terminal = Terminal::new();
    let mut command = corner.nonoverlap(["held", "true"]);
    command.stdin(terminal.open()).stdout(terminal.open());
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(1), vec![]));
}

/// Names, and how they are shown: what could steer a terminal, fake a line or turn the direction of writing as an
/// escape, and everything else as it is.
const NAMES: &[(&[u8], &str)] = &[
    (b"two\nlines", r"two\nlines"),
    (b"\r", r"\r"),
    (b"a\tb", r"a\tb"),
    (b"\x1b[2J", r"\x1b[2J"),
    (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
    (b"\x01\x7f", r"\x01\x7f"),
    ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
    ("\u{85}".as_bytes(), r"\u{85}"),
    ("gpj.\u{202e}exe".as_bytes(), r"gpj.\u{202e}exe"),
    ("\u{2066}\u{2069}".as_bytes(), r"\u{2066}\u{2069}"),
    (
        "\u{200e}\u{200f}\u{61c}".as_bytes(),
        r"\u{200e}\u{200f}\u{61c}",
    ),
    ("\u{2028}\u{2029}".as_bytes(), r"\u{2028}\u{2029}"),
    (
        "\u{e9} \u{6f22}\u{5b57} 's \"q\" $x".as_bytes(),
        "\u{e9} \u{6f22}\u{5b57} 's \"q\" $x",
    ),
    (b"\xff", r"\xff"),
    (b"\x9b2J", r"\x9b2J"),
    (b"a\xe2\x82b", r"a\xe2\x82b"),
];

#[test]
fn a_name_is_shown_in_every_message_so_that_it_cannot_steer_the_terminal() {
    for &(name, shown) in NAMES {
        let scene = Scene::new();
        // The file system of macOS takes no such names.
        if cfg!(target_os = "macos") && std::str::from_utf8(name).is_err() {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let inside = |words: &[&OsStr]| {
            let ended = nonoverlap(words)
                .env("PATH", BARE_PATH)
                .current_dir(scene.path(""))
                .run();
            assert!(ended.stdout.is_empty(), "{ended:?}");
            ended.stderr()
        };
        let [verbose, command, lock] = ["-v", "true", "lock"].map(OsStr::new);
        let in_no_folder = [OsStr::new("no/"), name].join(OsStr::new(""));
        let message = format!(
            "cannot open lock file no/{shown}: No such file or directory; there is no folder no"
        );
        assert_says(&inside(&[&in_no_folder, command]), &message);
        let message = format!("cannot execute {shown}: No such file or directory; ...");
        assert_says(&inside(&[lock, name, name]), &message);
        let message = format!("{shown} locked by PID ...; starting true {shown}");
        assert_says(&inside(&[verbose, name, command, name]), &message);
        let holder = Holder::of([scene.path(name)]);
        assert_says(
            &inside(&[verbose, name, command]),
            &format!("{shown} is held...; not started"),
        );
        drop(holder);
        fs::remove_file(scene.path(name)).unwrap();
        symlink("nothing", scene.path(name)).unwrap();
        let message = format!("cannot create lock file {shown}: it is a symbolic link to nothing");
        assert_says(&inside(&[name, command]), &message);
    }
}

#[test]
fn a_lock_file_without_a_command_is_shown_like_any_other() {
    for &(name, shown) in NAMES {
        let message = format!("bad file descriptor: '{shown}'; to lock a file, give a command");
        assert_says(
            &nonoverlap([OsStr::from_bytes(name)]).run().stderr(),
            &message,
        );
    }
}

#[test]
fn no_word_of_a_wrong_command_line_steers_the_terminal() {
    for &(name, _) in NAMES {
        for first in [
            "-",
            "--",
            "-n",
            "--nonblock=",
            "--conflict-exit-code=",
            "-E",
        ] {
            let word = [first.as_bytes(), name].concat();
            let ended = nonoverlap([OsStr::from_bytes(&word), OsStr::new("lock")]).run();
            assert_eq!(ended.code(), Some(64), "{ended:?}");
            let line = ended.stderr();
            let line = line.strip_suffix('\n').unwrap();
            let steers = |letter: char| letter.is_control() || "\u{202e}\u{2028}".contains(letter);
            assert!(!line.contains(steers), "{ended:?}");
        }
    }
}
