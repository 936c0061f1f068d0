//! What came of it: the errors, their texts, the table of exit statuses, and the only writing to
//! stdout and stderr.

use std::ffi::CStr;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

use rustix::io::Errno;

use crate::escape::Escaped;
use crate::lockfile::LockFile;
use crate::request::Command;
use crate::sys;

/// How much to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Errors only.
    Quiet,
    /// Errors, and a conflict where a person looks.
    Normal,
    /// All that happens.
    Verbose,
}

/// An end without an error in which the command was not run.
pub enum Outcome {
    /// A page that was asked for.
    Page(String),
    /// Somebody else holds the lock.
    Busy {
        /// The file that is locked.
        file: LockFile,
        /// The exit status that the caller wants for it.
        status: u8,
        /// Whether to say so.
        voice: Voice,
    },
}

/// Why the command was not run. One variant for each step that can fail, with what it was done to.
pub enum Error {
    /// The command line is wrong.
    Usage(String),
    /// The lock file cannot be opened.
    Open(&'static CStr, Errno),
    /// The lock file does not exist and cannot be made.
    Make(&'static CStr, Errno),
    /// The lock file is a symbolic link to nothing, and nothing is ever made through a link.
    Dangling(&'static CStr),
    /// There is no descriptor that scripts leave alone.
    Descriptor(&'static CStr, Errno),
    /// flock(2) failed otherwise than with "taken".
    Lock(&'static CStr, Errno),
    /// Each time the lock was taken, the path already named another file.
    Replaced(&'static CStr),
    /// execve(2) failed.
    Execute(&'static CStr, Errno),
    /// Standard output cannot be written.
    Print(Errno),
}

/// Something to say under `-v`, after which the run goes on.
pub enum Notice<'a> {
    /// The PID cannot be written into the lock file.
    NoRecord(&'a CStr, Errno),
    /// The lock is held and the command comes next.
    Starting(&'a CStr, Command),
}

/// Every exit status of nonoverlap's own, for people. [`Error::status`] is the same for the
/// program.
pub const EXIT_STATUSES: &[(u8, &str)] = &[
    (1, "the lock is taken; -E chooses another number"),
    (64, "the command line is wrong"),
    (65, "the lock cannot be taken, though nobody holds it"),
    (66, "the lock file cannot be opened"),
    (71, "out of memory, processes, descriptors or kernel locks"),
    (73, "the lock file cannot be made"),
    (126, "the command cannot be executed"),
    (127, "the command was not found"),
];

impl Error {
    /// The exit status, after sysexits(3) and the shell.
    fn status(&self) -> u8 {
        match self {
            Error::Usage(_) => 64,
            Error::Open(_, reason) | Error::Lock(_, reason) | Error::Execute(_, reason)
                if is_shortage(*reason) =>
            {
                71
            }
            Error::Lock(..) | Error::Replaced(_) => 65,
            Error::Open(..) => 66,
            Error::Descriptor(..) | Error::Print(_) => 71,
            Error::Make(..) | Error::Dangling(_) => 73,
            Error::Execute(_, Errno::NOENT | Errno::NOTDIR) => 127,
            Error::Execute(..) => 126,
        }
    }
}

/// The machine is out of something: memory, processes, descriptors or kernel locks.
fn is_shortage(reason: Errno) -> bool {
    matches!(
        reason,
        Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOLCK | Errno::NOBUFS
    )
}

impl Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => write!(out, "{}", Escaped(what.as_bytes())),
            Error::Open(path, reason) => write!(
                out,
                "cannot open lock file {}: {}",
                shown(path),
                Reason(*reason)
            ),
            Error::Make(path, reason) => write!(
                out,
                "cannot make lock file {}: {}",
                shown(path),
                Reason(*reason)
            ),
            Error::Dangling(path) => {
                write!(
                    out,
                    "cannot make lock file {}: it is a symbolic link to nothing",
                    shown(path)
                )
            }
            Error::Descriptor(path, reason) => {
                write!(
                    out,
                    "cannot keep lock file {} on a descriptor from 10 up: {}",
                    shown(path),
                    Reason(*reason)
                )
            }
            Error::Lock(path, reason) => {
                write!(out, "cannot lock {}: {}", shown(path), Reason(*reason))
            }
            Error::Replaced(path) => {
                write!(
                    out,
                    "cannot lock {}: it is replaced by another file again and again",
                    shown(path)
                )
            }
            Error::Execute(name, reason) => {
                write!(out, "cannot execute {}: {}", shown(name), Reason(*reason))
            }
            Error::Print(reason) => {
                write!(out, "cannot write to standard output: {}", Reason(*reason))
            }
        }
    }
}

impl Display for Notice<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::NoRecord(path, reason) => {
                write!(
                    out,
                    "cannot write the PID into {}: {}; running all the same",
                    shown(path),
                    Reason(*reason)
                )
            }
            Notice::Starting(path, command) => {
                write!(
                    out,
                    "{} locked by PID {}; starting",
                    shown(path),
                    std::process::id()
                )?;
                command
                    .words
                    .iter()
                    .try_for_each(|word| write!(out, " {}", shown(word)))
            }
        }
    }
}

fn shown(bytes: &CStr) -> Escaped<'_> {
    Escaped(bytes.to_bytes())
}

/// What strerror(3) says, without the number that Rust puts behind it.
struct Reason(Errno);

impl Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from(self.0).to_string();
        out.write_str(
            text.split_once(" (os error")
                .map_or(text.as_str(), |(reason, _)| reason),
        )
    }
}

/// Says what came of it, and gives the exit status.
pub fn report(result: Result<Outcome, Error>) -> u8 {
    match result.and_then(finish) {
        Ok(status) => status,
        Err(error) => {
            say(&error);
            error.status()
        }
    }
}

fn finish(outcome: Outcome) -> Result<u8, Error> {
    match outcome {
        Outcome::Page(text) => print(&text).map(|()| 0),
        Outcome::Busy {
            file,
            status,
            voice,
        } => {
            // Cron mails what a job prints, so a conflict is silent unless somebody looks.
            if voice == Voice::Verbose || (voice == Voice::Normal && io::stderr().is_terminal()) {
                say(&format_args!("{} is held; not started", shown(file.path())));
            }
            Ok(status)
        }
    }
}

/// Says it, if that much was asked for.
pub fn notice(voice: Voice, notice: &Notice<'_>) {
    if voice == Voice::Verbose {
        say(notice);
    }
}

/// One line on stderr, in one write(2), so that lines of several processes do not mix. Where nobody
/// can hear it, that is no reason to change what is done.
fn say(line: &dyn Display) {
    let line = format!("nonoverlap: {line}\n");
    let _ = sys::unsignalled(|| io::stderr().write_all(line.as_bytes()));
}

fn print(text: &str) -> Result<(), Error> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let stdout = rustix::stdio::stdout();
        let written =
            rustix::io::retry_on_intr(|| rustix::io::write(stdout, rest)).map_err(Error::Print)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
