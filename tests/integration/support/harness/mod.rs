//! What the tests share: a folder of their own, the binary, runs that cannot hang, and a holder that
//! says when it holds.

use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

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

/// A folder of the test's own, which is gone when the test ends.
pub struct Scene {
    folder: TempDir,
}

static SEAL: Once = Once::new();

/// What the caller of the tests left open is not to reach what they start: a descriptor 10 of the
/// caller's would have the lock on 11.
fn seal_inherited_descriptors() {
    for number in 3..1024 {
        // SAFETY: F_SETFD touches no memory, and says EBADF for what is not open.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

impl Scene {
    pub fn new() -> Scene {
        SEAL.call_once(seal_inherited_descriptors);
        Scene {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the folder, whether or not there is anything.
    pub fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.folder.path().join(name.as_ref())
    }

    /// Where most tests have their lock file. Nothing is there yet.
    pub fn lock(&self) -> PathBuf {
        self.path("lock")
    }

    /// Makes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Makes a file that can be executed. It is written by another process: a descriptor open for
    /// writing that a child of a parallel test inherited would make executing it fail with ETXTBSY.
    pub fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        let mut writer = Command::new("dd");
        writer.arg("status=none").arg({
            let mut of = std::ffi::OsString::from("of=");
            of.push(&path);
            of
        });
        assert_eq!(writer.run_with_input(content).code(), Some(0));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// The binary, with its first arguments; streams as `run` and `Holder` set them.
pub fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(NONOVERLAP);
    command.args(arguments);
    command
}

/// How a run ended, and what it said. A failing assertion prints all of it.
pub struct Ended {
    line: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ended {
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
        let writer =
            thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
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

/// What a holder runs: it says "held" when it runs, and ends when its stdin does.
pub const HOLD: [&str; 3] = ["sh", "-c", "echo held; exec cat >/dev/null"];

/// A process that said "held" on its stdout and is ended by closing its stdin, at the latest when
/// this goes out of scope.
pub struct Holder {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    _watchdog: Watchdog,
}

impl Holder {
    /// nonoverlap with these arguments, then [`HOLD`] as the command.
    #[track_caller]
    pub fn of<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Holder {
        Holder::start(nonoverlap(arguments).args(HOLD))
    }

    /// Any command that runs [`HOLD`] or does the same. Returns when it has said "held".
    #[track_caller]
    pub fn start(command: &mut Command) -> Holder {
        let line = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let watchdog = Watchdog::over(&child);
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        if said != "held\n" {
            drop(stdin);
            panic!("{line}\nsaid {said:?} and ended with {:?}", child.wait());
        }
        Holder {
            child,
            stdin,
            stdout,
            _watchdog: watchdog,
        }
    }

    /// The PID of the process that was started, which for nonoverlap is the command's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until [`HOLD`]'s shell has become cat, so that its command line changes no more. Linux
    /// only.
    pub fn settled(self) -> Holder {
        let name = format!("/proc/{}/comm", self.pid());
        eventually("it is cat", || {
            fs::read_to_string(&name).is_ok_and(|name| name == "cat\n")
        });
        self
    }

    /// Lets it end, and gives its status.
    pub fn end(mut self) -> ExitStatus {
        self.stdin.take();
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap()
    }

    /// Ends it with a signal.
    pub fn kill(mut self, signal: i32) -> ExitStatus {
        kill(self.pid(), signal);
        self.child.wait().unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.child.wait();
    }
}

pub fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Waits, in short looks, until something is so that no event tells of.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// The lines of `/proc/locks` about this file, waiters' (with "->") among them: the kernel's own word
/// on who has a lock and who waits for one, and nobody's lock is touched by asking. Linux only.
pub fn locks_on(path: &Path) -> Vec<String> {
    let inode = fs::metadata(path).unwrap().ino();
    let table = fs::read_to_string("/proc/locks").unwrap();
    let of_inode = |line: &&str| {
        let place = line
            .split_whitespace()
            .find(|word| word.matches(':').count() == 2);
        place.and_then(|place| place.rsplit(':').next()) == Some(&inode.to_string())
    };
    table.lines().filter(of_inode).map(str::to_owned).collect()
}

/// Whether a process has a lock on this file through one of its descriptors: the `lock:` lines of
/// `/proc/PID/fdinfo`. Linux only.
pub fn holds_lock(pid: u32, path: &Path) -> bool {
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|info| {
            info.lines()
                .any(|line| line.starts_with("lock:") && line.contains(&inode))
        })
}

/// The record that a run of this PID writes.
pub fn record_of(pid: u32) -> String {
    format!("{pid:>10}\n")
}

/// Whether this runs as root, as some tests must.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly that a test, or a part of it, was left out, and why. In CI (`CI` is set) nothing may
/// be left out, so there it fails.
#[track_caller]
pub fn left_out(what: &str, why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "left out in CI: {what}: {why}"
    );
    // Around the capture of the test's output, so that it is seen when the test passes.
    let line = format!("LEFT OUT: {what}: {why}\n");
    let _ = std::io::Write::write_all(
        &mut File::options().write(true).open("/dev/stderr").unwrap(),
        line.as_bytes(),
    );
}

/// A path as an argument of a shell command line.
pub fn quoted(path: &Path) -> String {
    let text = std::str::from_utf8(path.as_os_str().as_bytes()).unwrap();
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What of a file would show a write, a truncation, a replacement or a change of mode. A symbolic
/// link is itself what is looked at.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    head: String,
    content: u64,
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Snapshot {
    #[track_caller]
    pub fn of(path: &Path) -> Snapshot {
        let state = fs::symlink_metadata(path).unwrap();
        // Reading a FIFO or a terminal would wait.
        let content = if state.is_file() {
            fs::read(path).unwrap()
        } else {
            Vec::new()
        };
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Snapshot {
            head: content
                .iter()
                .take(40)
                .copied()
                .collect::<Vec<_>>()
                .escape_ascii()
                .to_string(),
            content: hasher.finish(),
            inode: state.ino(),
            mode: state.mode(),
            size: state.size(),
            modified: (state.mtime(), state.mtime_nsec()),
            changed: (state.ctime(), state.ctime_nsec()),
        }
    }
}

/// What strerror(3) of the C library in use says, as nonoverlap shows it.
pub fn reason(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap().to_owned()
}

/// Whether a tool that a test needs is there. If not, what needs it is left out, which is said.
#[track_caller]
pub fn has_tool(tool: &str, what: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", tool])
        .run()
        .code()
        == Some(0);
    if !found {
        left_out(what, &format!("{tool} is not installed"));
    }
    found
}

/// A run that sleeps in the queue of a lock. What is left of it when this goes out of scope is
/// killed.
pub struct Waiter {
    line: String,
    /// Taken when it has ended.
    child: Option<Child>,
    watchdog: Watchdog,
}

impl Waiter {
    /// Starts it with nothing to read, and returns when it waits for this lock, or has ended
    /// already. The command is nonoverlap or becomes it by exec.
    #[track_caller]
    pub fn start(command: &mut Command, lock: &Path) -> Waiter {
        let line = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let watchdog = Watchdog::over(&child);
        let pid = child.id();
        eventually(&format!("waits: {line}"), || {
            waits_for_lock(pid, lock) || child.try_wait().unwrap().is_some()
        });
        Waiter {
            line,
            child: Some(child),
            watchdog,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let child = self.child.take().unwrap();
        Ended::of(self.line.clone(), child, &self.watchdog)
    }
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
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a process waits for a lock on this file, by the kernel's table of locks. Record locks
/// have no PID there but -1.
#[cfg(target_os = "linux")]
pub fn waits_for_lock(pid: u32, path: &Path) -> bool {
    let is_its = |word: &str| word == pid.to_string() || word == "-1";
    locks_on(path)
        .iter()
        .any(|line| line.contains("->") && line.split_whitespace().any(is_its))
}

/// Whether a process waits for a lock. No table tells it here, but nonoverlap sleeps for nothing
/// else.
#[cfg(not(target_os = "linux"))]
pub fn waits_for_lock(pid: u32, _: &Path) -> bool {
    let ended = Command::new("ps")
        .args(["-o", "state=,comm=", "-p", &pid.to_string()])
        .run();
    let seen = ended.stdout();
    seen.trim_start().starts_with(['S', 'I']) && seen.trim_end().ends_with("nonoverlap")
}

/// Whether a program that a test needs is there.
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
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
    eventually("the pipe is broken", || {
        std::io::Write::write(&mut pipe, b"x").is_err()
    });
    pipe.into()
}
