//! Runs of the binary, and of any command, that cannot hang: each is killed when it takes too long.

use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::proc::{eventually, kill};

/// No single step of a test takes longer than this, or it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, by an absolute path: the one that was built for this, or the one that
/// `NONOVERLAP_TO_TEST` named when the tests were compiled, such as one for another processor.
pub const NONOVERLAP: &str = match (
    option_env!("NONOVERLAP_TO_TEST"),
    option_env!("CARGO_BIN_EXE_nonoverlap"),
) {
    (Some(path), _) | (None, Some(path)) => path,
    (None, None) => panic!("no binary to test"),
};

/// Whether the binary under test is one for macOS, wherever the tests run: with `NONOVERLAP_TO_TEST`,
/// `NONOVERLAP_TO_TEST_FOR=macos` says so.
pub const IS_FOR_MACOS: bool =
    cfg!(target_os = "macos") || option_env!("NONOVERLAP_TO_TEST_FOR").is_some();

/// The binary, with its first arguments; streams as `run` and `Holder` set them.
pub fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(NONOVERLAP);
    command.args(arguments);
    command
}

/// The record that a run of this PID writes.
pub fn record_of(pid: u32) -> String {
    format!("{pid:>10}\n")
}

/// What strerror(3) of the C library in use says, as nonoverlap shows it.
pub fn reason(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap().to_owned()
}

/// How a run ended, and what it said. A failing assertion prints all of it.
pub struct Ended {
    line: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ended {
    /// Waits for the end of a child that this watches over.
    #[track_caller]
    pub fn of(line: String, child: Child, watchdog: &Watchdog) -> Ended {
        let output = child.wait_with_output().unwrap();
        let ended = Ended {
            line,
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        };
        assert!(
            !watchdog.has_bitten(),
            "took longer than {PATIENCE:?}: {ended:?}"
        );
        ended
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Exactly this exit status, this on stdout, and this on stderr.
    #[track_caller]
    pub fn expect(&self, code: i32, stdout: &str, stderr: &str) {
        let seen = (self.code(), self.stdout(), self.stderr());
        assert_eq!(
            seen,
            (Some(code), stdout.to_owned(), stderr.to_owned()),
            "{self:?}"
        );
    }
}

impl Debug for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n$ {}\n{}", self.line, self.status)?;
        writeln!(out, "stdout: {}", self.stdout.escape_ascii())?;
        writeln!(out, "stderr: {}", self.stderr.escape_ascii())
    }
}

/// Running a command to its end.
pub trait Run {
    /// With nothing to read. Kills it and fails if it takes longer than [`PATIENCE`].
    fn run(&mut self) -> Ended;

    /// The same, with this to read.
    fn run_with_input(&mut self, input: &str) -> Ended;
}

impl Run for Command {
    #[track_caller]
    fn run(&mut self) -> Ended {
        self.run_with_input("")
    }

    #[track_caller]
    fn run_with_input(&mut self, input: &str) -> Ended {
        let line = format!("{self:?}");
        self.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let watchdog = Watchdog::over(&child);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // A command that does not read its input is no failure of the test.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let ended = Ended::of(line, child, &watchdog);
        writer.join().unwrap();
        ended
    }
}

/// A run that ended: its PID, its status and its standard output.
pub struct Shown {
    pub pid: u32,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
}

/// Runs a command with nothing to read, and with its standard error where it is told.
#[track_caller]
pub fn run_on(command: &mut Command, stderr: Stdio) -> Shown {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let watchdog = Watchdog::over(&child);
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(!watchdog.has_bitten(), "took too long: {command:?}");
    Shown {
        pid,
        status: output.status,
        stdout: output.stdout,
    }
}

/// The writing end of a pipe that nobody reads.
pub fn broken_pipe() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    // A child that a parallel test has forked has the reading end, too, until it executes its program.
    eventually("the pipe is broken", || pipe.write(b"x").is_err());
    pipe.into()
}

/// Kills a child that has not ended in time.
pub struct Watchdog {
    /// Dropping it is the word that all is well.
    _leash: Sender<()>,
    start: Instant,
}

impl Watchdog {
    pub fn over(child: &Child) -> Watchdog {
        let pid = child.id();
        let (leash, pulled) = mpsc::channel::<()>();
        thread::spawn(move || {
            if pulled.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill(pid, libc::SIGKILL);
                // And what it started, where it leads a process group of its own.
                kill(pid.wrapping_neg(), libc::SIGKILL);
            }
        });
        Watchdog {
            _leash: leash,
            start: Instant::now(),
        }
    }

    pub fn has_bitten(&self) -> bool {
        self.start.elapsed() >= PATIENCE
    }
}
