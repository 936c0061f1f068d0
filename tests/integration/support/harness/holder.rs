//! A holder of a lock that says when it holds it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::proc::{kill, settled};
use super::run::{Watchdog, nonoverlap};

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

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The same when [`HOLD`]'s shell has become cat. Linux only.
    #[track_caller]
    pub fn settled(self) -> Holder {
        settled(self.pid());
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
