//! Exit statuses and messages: one table of command lines, and what each comes to.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, broken_pipe, nonoverlap};

/// Command lines, as in a shell without its quotes: `''` is the empty word. Then the exit status, stdout and stderr.
///
/// They run in a folder where the lock on `held` is taken, `dangling` is a link to nothing, `folder` is a folder, and
/// nothing else is.
#[rustfmt::skip]
const TABLE: &[(&[u8], i32, &str, &str)] = &[
    // Nothing to lock, or nothing to run.
    (b"", 64, "", NO_LOCK_FILE),
    (b"-n", 64, "", NO_LOCK_FILE),
    (b"-nvq", 64, "", NO_LOCK_FILE),
    (b"-E 5", 64, "", NO_LOCK_FILE),
    (b"--", 64, "", NO_LOCK_FILE),
    (b"-v --", 64, "", NO_LOCK_FILE),
    (b"lock", 64, "", "bad file descriptor: 'lock'; to lock a file, give a command"),
    (b"-v lock", 64, "", "bad file descriptor: 'lock'; to lock a file, give a command"),
    (b"-- lock", 64, "", "bad file descriptor: 'lock'; to lock a file, give a command"),
    (b"-- -v", 64, "", "bad file descriptor: '-v'; to lock a file, give a command"),
    (b"-- --", 64, "", "bad file descriptor: '--'; to lock a file, give a command"),
    (b"-", 64, "", "bad file descriptor: '-'; to lock a file, give a command"),
    // Options that there are not, and such as have too much or too little.
    (b"--bogus lock true", 64, "", "invalid option '--bogus'; see --help"),
    (b"--bogus=1 lock true", 64, "", "invalid option '--bogus'; see --help"),
    (b"--=1 lock true", 64, "", "invalid option '--'; see --help"),
    (b"--n lock true", 64, "", "invalid option '--n'; see --help"),
    (b"--E 5 lock true", 64, "", "invalid option '--E'; see --help"),
    (b"--verb lock true", 64, "", "invalid option '--verb', perhaps --verbose; see --help"),
    (b"--Verbose lock true", 64, "", "invalid option '--Verbose', perhaps --verbose; see --help"),
    (b"---verbose lock true", 64, "", "invalid option '---verbose', perhaps --verbose; see --help"),
    (b"-Z lock true", 64, "", "invalid option '-Z'; see --help"),
    (b"-nZ lock true", 64, "", "invalid option '-Z'; see --help"),
    (b"-n- lock true", 64, "", "invalid option '--'; see --help"),
    (b"-v=1 lock true", 64, "", "invalid option '-='; see --help"),
    (b"-5 lock true", 64, "", "invalid option '-5'; see --help"),
    (b"-\xc3\xa9 lock true", 64, "", "invalid option '-\u{e9}'; see --help"),
    (b"--nonblock=1 lock true", 64, "", "unexpected argument for option '--nonblock': \"1\""),
    (b"--verbose= lock true", 64, "", "unexpected argument for option '--verbose': \"\""),
    (b"--help=1 lock true", 64, "", "unexpected argument for option '--help': \"1\""),
    (b"--version=1", 64, "", "unexpected argument for option '--version': \"1\""),
    (b"-E", 64, "", "missing argument for option '-E'"),
    (b"-nE", 64, "", "missing argument for option '-E'"),
    (b"--conflict-exit-code", 64, "", "missing argument for option '--conflict-exit-code'"),
    // -E takes a number of an exit status.
    (b"-E 256 lock true", 64, "", "-E takes a number from 0 to 255, not '256'"),
    (b"-E -1 lock true", 64, "", "-E takes a number from 0 to 255, not '-1'"),
    (b"-E-1 lock true", 64, "", "-E takes a number from 0 to 255, not '-1'"),
    (b"-E -v lock true", 64, "", "-E takes a number from 0 to 255, not '-v'"),
    (b"-E -- lock true", 64, "", "-E takes a number from 0 to 255, not '--'"),
    (b"-E '' lock true", 64, "", "-E takes a number from 0 to 255, not ''"),
    (b"-E x lock true", 64, "", "-E takes a number from 0 to 255, not 'x'"),
    (b"-E 5x lock true", 64, "", "-E takes a number from 0 to 255, not '5x'"),
    (b"-E 0x5 lock true", 64, "", "-E takes a number from 0 to 255, not '0x5'"),
    (b"-E 5.0 lock true", 64, "", "-E takes a number from 0 to 255, not '5.0'"),
    (b"-E=5 lock true", 64, "", "-E takes a number from 0 to 255, not '=5'"),
    (b"-E99999999999999999999 held true", 64, "", "-E takes a number from 0 to 255, not '99999999999999999999'"),
    (b"--conflict-exit-code= lock true", 64, "", "-E takes a number from 0 to 255, not ''"),
    (b"--conflict-exit-code==5 lock true", 64, "", "-E takes a number from 0 to 255, not '=5'"),
    (b"-E lock true", 64, "", "-E takes a number from 0 to 255, not 'lock'"),
    // A conflict says nothing where stderr is no terminal, unless it is asked to. The last of -v and -q wins.
    (b"held true", 1, "", ""),
    (b"-n held true", 1, "", ""),
    (b"--nb --nonblock --nonblocking held true", 1, "", ""),
    (b"-q held true", 1, "", ""),
    (b"-v -q held true", 1, "", ""),
    (b"-vq held true", 1, "", ""),
    (b"--verbose --quiet held true", 1, "", ""),
    (b"-v held true", 1, "", HELD),
    (b"-qv held true", 1, "", HELD),
    (b"--quiet --verbose held true", 1, "", HELD),
    // -E in every form that getopt(3) knows; the last one wins.
    (b"-E5 held true", 5, "", ""),
    (b"-E 5 held true", 5, "", ""),
    (b"-nE5 held true", 5, "", ""),
    (b"-nqE 5 held true", 5, "", ""),
    (b"-nvE5 held true", 5, "", HELD),
    (b"--conflict-exit-code=5 held true", 5, "", ""),
    (b"--conflict-exit-code 5 held true", 5, "", ""),
    (b"-E 4 -E 5 held true", 5, "", ""),
    (b"-E0 held true", 0, "", ""),
    (b"-E 255 held true", 255, "", ""),
    (b"-E 005 held true", 5, "", ""),
    (b"-E +5 held true", 5, "", ""),
    (b"-E5 -- held true", 5, "", ""),
    // Without a conflict it is the command's.
    (b"-E5 lock false", 1, "", ""),
    (b"-E5 lock true", 0, "", ""),
    // Options end at the first word that is not one.
    (b"lock echo -v -- --help -E", 0, "-v -- --help -E\n", ""),
    (b"-- lock echo ran", 0, "ran\n", ""),
    (b"-v -q -- -lock echo ran", 0, "ran\n", ""),
    (b"- echo ran", 0, "ran\n", ""),
    (b"lock -v", 64, "", "options go before the lock file 'lock'; if '-v' is the command, put -- before the lock file"),
    (b"lock -v true", 64, "", "options go before the lock file 'lock'; if '-v' is the command, put -- before the lock file"),
    (b"lock -- true", 64, "", "options go before the lock file 'lock', and so does --"),
    (b"-- lock -v true", 127, "", "cannot execute -v: No such file or directory"),
    (b"lock --help", 64, "", "options go before the lock file 'lock'; if '--help' is the command, put -- before the lock file"),
    // The command.
    (b"lock no-such", 127, "", "cannot execute no-such: No such file or directory"),
    (b"-q lock ./no-such", 127, "", "cannot execute ./no-such: No such file or directory"),
    (b"lock ''", 127, "", "cannot execute : No such file or directory; the word is empty, perhaps because a variable is not set"),
    (b"lock ./folder", 126, "", "cannot execute ./folder: Permission denied"),
    (b"lock ./held", 126, "", "cannot execute ./held: Permission denied"),
    (b"lock held/x", 127, "", "cannot execute held/x: Not a directory"),
    // The lock file.
    (b"'' true", 66, "", "cannot open lock file : No such file or directory; the word is empty, perhaps because a variable is not set"),
    (b"no/such true", 66, "", "cannot open lock file no/such: No such file or directory; there is no folder no"),
    (b"-q held/x true", 66, "", "cannot open lock file held/x: Not a directory"),
    (b"dangling true", 73, "", "cannot create lock file dangling: it is a symbolic link to nothing"),
];

const NO_LOCK_FILE: &str = "no lock file given; see --help";
/// Who holds it and for how long may stand in place of the dots.
pub const HELD: &str = "held is held...; not started";

#[test]
fn every_command_line_has_its_status_and_its_message() {
    let corner = Corner::new();
    for (line, status, stdout, message) in TABLE {
        let ended = corner.nonoverlap(words(line)).run();
        let seen = (ended.code(), &ended.stdout()[..]);
        assert_eq!(seen, (Some(*status), *stdout), "{ended:?}");
        assert_says(&ended.stderr(), message);
    }
}

#[test]
fn a_usage_error_touches_no_file() {
    let scene = Scene::new();
    for (line, ..) in TABLE.iter().filter(|row| row.1 == 64) {
        let ended = nonoverlap(words(line)).current_dir(scene.path("")).run();
        assert_eq!(ended.code(), Some(64), "{ended:?}");
        assert_eq!(
            fs::read_dir(scene.path("")).unwrap().count(),
            0,
            "{ended:?}"
        );
    }
}

#[test]
fn help_and_version_go_to_stdout_and_nothing_runs() {
    let scene = Scene::new();
    let version = concat!("nonoverlap ", env!("CARGO_PKG_VERSION"), "\n");
    let [help, short] = ["--help", "-h"].map(|page| nonoverlap([page]).run().stdout());
    for page in [&help, &short] {
        assert!(page.starts_with("Usage: nonoverlap [options] LOCKFILE COMMAND"));
    }
    for (line, page) in [
        (&b"--help"[..], &help[..]),
        (b"--help -h", &help),
        (b"-n --help lock echo ran", &help),
        (b"-h", &short),
        (b"-nvh lock echo ran", &short),
        (b"-hV", &short),
        (b"-h --bogus", &short),
        (b"--version", version),
        (b"-V", version),
        (b"-E 5 -V lock echo ran", version),
        (b"-Vh", version),
    ] {
        nonoverlap(words(line))
            .current_dir(scene.path(""))
            .run()
            .expect(0, page, "");
    }
    assert_eq!(fs::read_dir(scene.path("")).unwrap().count(), 0);
}

#[test]
fn a_page_that_cannot_be_written_is_71_and_never_a_panic() {
    let to = |redirection: &str, page: &str| {
        let script = format!("exec \"$0\" {page} {redirection}");
        Command::new("sh").args(["-c", &script, NONOVERLAP]).run()
    };
    let closed = "nonoverlap: cannot write to standard output: Bad file descriptor\n";
    let full = "nonoverlap: cannot write to standard output: No space left on device\n";
    for page in ["--help", "--version"] {
        to(">&-", page).expect(71, "", closed);
        to(">&- 2>&-", page).expect(71, "", "");
        if cfg!(target_os = "linux") {
            to(">/dev/full", page).expect(71, "", full);
            to(">/dev/full 2>&1", page).expect(71, "", "");
        }
    }
}

#[test]
fn a_page_into_a_pipe_that_nobody_reads_ends_as_the_caller_has_set_sigpipe() {
    for page in ["--help", "--version"] {
        let mut command = nonoverlap([page]);
        let ended = command
            .stdout(broken_pipe())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(libc::SIGPIPE));
        assert_eq!(ended.stderr, b"");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' PIPE; exec \"$0\" \"$1\"", NONOVERLAP, page]);
        let ended = command
            .stdout(broken_pipe())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(71));
        let message = b"nonoverlap: cannot write to standard output: Broken pipe\n";
        assert_eq!(ended.stderr, message);
    }
}

/// Linux only: file systems made for the test, in a mount namespace that ends with it.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_file_that_cannot_be_made_is_73() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    for (options, reason) in [
        ("ro", "Read-only file system"),
        ("nr_inodes=1", "No space left on device"),
    ] {
        let script = "mount -t tmpfs -o \"$0\" none folder || exit; exec \"$@\"";
        let ended = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script, options])
            .args([NONOVERLAP, "folder/lock", "echo", "ran"])
            .current_dir(scene.path(""))
            .run();
        if !ended.stderr().starts_with("nonoverlap: ") {
            crate::support::harness::left_out("a lock file that cannot be made", &ended.stderr());
            continue;
        }
        let message = format!("nonoverlap: cannot create lock file folder/lock: {reason}\n");
        ended.expect(73, "", &message);
    }
}

/// A PATH in which all folders can be searched: a caller's own may hold some that cannot, and then what is not there
/// is 126 and not 127.
pub const BARE_PATH: &str = "/bin:/usr/bin";

/// What the tool `ran` ends with.
pub const RAN: i32 = 42;

/// The words of a row of [`TABLE`].
pub fn words(line: &[u8]) -> Vec<&OsStr> {
    let words = line
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let words = words.map(|word| if word == b"''" { b"" } else { word });
    words.map(OsStr::from_bytes).collect()
}

/// Whether stderr is this one message of nonoverlap's, or nothing at all if it is empty. Three dots stand for anything.
#[track_caller]
pub fn assert_says(stderr: &str, message: &str) {
    let (start, end) = message.split_once("...").unwrap_or((message, ""));
    let says = match stderr
        .strip_prefix("nonoverlap: ")
        .and_then(|rest| rest.strip_suffix('\n'))
    {
        Some(line) if message.contains("...") => {
            line.starts_with(start) && line.ends_with(end) && !line.contains('\n')
        }
        Some(line) => line == message,
        None => stderr.is_empty() && message.is_empty(),
    };
    assert!(says, "it said {stderr:?} in place of {message:?}");
}

/// Where the command lines of [`TABLE`] run.
pub struct Corner {
    scene: Scene,
    path: Option<PathBuf>,
    _holder: Holder,
}

impl Corner {
    pub fn new() -> Corner {
        let scene = Scene::new();
        symlink("nothing", scene.path("dangling")).unwrap();
        fs::create_dir(scene.path("folder")).unwrap();
        let _holder = Holder::of([scene.path("held")]);
        Corner {
            scene,
            path: None,
            _holder,
        }
    }

    /// In which PATH leads to nothing but a tool that is called `ran` and says so.
    pub fn with_tools() -> Corner {
        let corner = Corner::new();
        fs::create_dir(corner.scene.path("tools")).unwrap();
        corner
            .scene
            .script("tools/ran", &format!("#!/bin/sh\necho ran\nexit {RAN}\n"));
        let path = Some(corner.scene.path("tools"));
        Corner { path, ..corner }
    }

    pub fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = nonoverlap(arguments);
        command.current_dir(self.scene.path(""));
        command.env("PATH", self.path.as_deref().unwrap_or(Path::new(BARE_PATH)));
        command
    }
}
