//! What came of it: the errors, their texts, the table of exit statuses, and the only writing to
//! stdout and stderr.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::fmt::{self, Display};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};

use crate::lock::acquire::Busy;
use crate::model::dialect::Dialect;
use crate::model::request::Place;
use crate::report::log::Log;
use crate::report::notice::Manner;
use crate::sys;
use crate::text::escape::Escaped;

/// An end without an error in which no command was run.
pub enum Outcome {
    /// What was asked for.
    Told(Answer),
    /// What was asked for is done, and there was no command to run.
    Done,
    /// Somebody else holds the lock, or the lock of each slot.
    Busy(Vec<Busy>, Manner, Option<Log>),
}

/// An answer on stdout, and the exit status that says the same.
pub struct Answer {
    /// The text, to the last newline.
    pub text: Vec<u8>,
    /// The exit status.
    pub status: u8,
}

/// Why the command was not run. One variant for each step that can fail, with what it was done to.
pub enum Error {
    /// The command line is wrong.
    Usage(String),
    /// The lock file cannot be opened, or looked at.
    Open(Place, Errno),
    /// The lock file does not exist and cannot be made.
    Make(&'static CStr, Errno),
    /// The lock file is a symbolic link to nothing, and nothing is ever made through a link.
    Dangling(&'static CStr),
    /// There is no descriptor that scripts leave alone.
    Descriptor(Place, Errno),
    /// The call that locks failed otherwise than with "taken".
    Lock(Place, Errno),
    /// Each time the lock was taken, the path already named another file.
    Replaced(Place),
    /// The timer that is to end a wait cannot be set up.
    Timer(Place, Errno),
    /// No guardian could be posted.
    Guardian(Place, Errno),
    /// The end of the command's time cannot be set.
    MaxRuntime(&'static str),
    /// There is no helper of this name for the scheme, or it cannot be started.
    NoHelper(Place, String, Errno),
    /// The helper did not take the lock: the exit status that goes with why, and why.
    Helper(Place, u8, Vec<u8>),
    /// The log cannot be opened.
    Log(OsString, Errno),
    /// execve(2) failed.
    Execute(Cow<'static, CStr>, Errno),
    /// The log cannot take the place of the command's output.
    Output(Errno),
    /// The folder of a log does not exist and cannot be made.
    LogFolder(OsString, Errno),
    /// The working directory cannot be told.
    Here(Errno),
    /// crontab(1) cannot be run.
    NoCrontab(Errno),
    /// crontab(1) did not do this to the crontab, and said this.
    Crontab(&'static str, Vec<u8>),
    /// The crontab has no entry for this lock file.
    NoEntry(OsString),
    /// The file that crontab(1) is to read cannot be made in this folder.
    Scratch(OsString, Errno),
    /// Standard output cannot be written.
    Print(Errno),
}

/// Every exit status of our own, for people. [`Error::status`] is the same for the program.
pub fn exit_statuses(dialect: Dialect) -> impl Iterator<Item = &'static (u8, &'static str)> {
    let (unavailable, of_servers, of_execution) = match dialect {
        Dialect::Nonoverlap => (UNAVAILABLE, OF_SERVERS, OF_EXECUTION),
        Dialect::Flock => (UNAVAILABLE_AS_FLOCK, &[][..], &[][..]),
    };
    let parts = [
        OF_THE_LOCK,
        unavailable,
        OF_THE_SYSTEM,
        of_servers,
        of_execution,
    ];
    parts.into_iter().flatten()
}

const OF_THE_LOCK: &[(u8, &str)] = &[
    (
        1,
        "the lock is taken or the wait timed out; -E chooses another number",
    ),
    (64, "the command line is wrong"),
    (
        65,
        "the lock cannot be taken, though not because somebody holds it",
    ),
    (66, "the lock file cannot be opened"),
];
const UNAVAILABLE: &[(u8, &str)] = &[(
    69,
    "no server or no helper for SCHEME://; or crontab is missing or refuses",
)];
const UNAVAILABLE_AS_FLOCK: &[(u8, &str)] =
    &[(69, "the command cannot be executed or was not found")];
const OF_THE_SYSTEM: &[(u8, &str)] = &[
    (
        71,
        "out of memory, processes, descriptors, timers or kernel locks",
    ),
    (
        73,
        "the lock file cannot be made, or the log cannot be opened",
    ),
];
const OF_SERVERS: &[(u8, &str)] = &[(78, "the server cannot hold such a lock")];
const OF_EXECUTION: &[(u8, &str)] = &[
    (126, "the command cannot be executed"),
    (127, "the command was not found"),
];

impl Error {
    /// The exit status, after sysexits(3) and the shell.
    fn status(&self, dialect: Dialect) -> u8 {
        match self {
            Error::Usage(_) => 64,
            Error::Print(_) if dialect == Dialect::Flock => UNWRITTEN_AS_FLOCK,
            Error::Open(_, reason) | Error::Lock(_, reason) if is_shortage(*reason) => 71,
            Error::Lock(..) | Error::Replaced(_) => 65,
            Error::Open(..) => 66,
            Error::Descriptor(..) | Error::Timer(..) | Error::Output(_) | Error::Print(_) => 71,
            Error::Guardian(..) | Error::MaxRuntime(_) => 71,
            Error::NoHelper(_, _, reason) if is_shortage(*reason) => 71,
            Error::NoHelper(..) => 69,
            Error::Helper(_, status, _) => *status,
            Error::Log(_, reason) | Error::LogFolder(_, reason) | Error::Scratch(_, reason)
                if is_shortage(*reason) =>
            {
                71
            }
            Error::Make(..) | Error::Dangling(_) | Error::Log(..) => 73,
            Error::LogFolder(..) | Error::Scratch(..) => 73,
            Error::Here(_) | Error::NoEntry(_) => 66,
            Error::NoCrontab(reason) if is_shortage(*reason) => 71,
            Error::NoCrontab(_) | Error::Crontab(..) => 69,
            Error::Execute(_, Errno::NOMEM) => 71,
            Error::Execute(..) if dialect == Dialect::Flock => 69,
            Error::Execute(_, reason) if is_shortage(*reason) => 71,
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
            Error::Open(place, reason) => {
                write!(out, "cannot open lock file {place}: {}", Reason(*reason))
            }
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
            Error::Descriptor(place, reason) => {
                write!(
                    out,
                    "cannot keep lock file {place} on a descriptor from 10 up: {}",
                    Reason(*reason)
                )
            }
            Error::Lock(place, reason) => write!(out, "cannot lock {place}: {}", Reason(*reason)),
            Error::Replaced(place) => {
                write!(
                    out,
                    "cannot lock {place}: it is replaced by another file again and again"
                )
            }
            Error::Timer(place, reason) => {
                write!(
                    out,
                    "cannot set a timer to wait for {place}: {}",
                    Reason(*reason)
                )
            }
            Error::Guardian(place, reason) => {
                write!(
                    out,
                    "cannot post a guardian over {place}: {}",
                    Reason(*reason)
                )
            }
            Error::NoHelper(place, helper, reason) => {
                let helper = Escaped(helper.as_bytes());
                write!(
                    out,
                    "cannot lock {place}: cannot run {helper}: {}",
                    Reason(*reason)
                )
            }
            Error::Helper(place, _, why) => write!(out, "cannot lock {place}: {}", Escaped(why)),
            Error::MaxRuntime(reason) => write!(out, "cannot set --max-runtime: {reason}"),
            Error::Log(path, reason) => {
                write!(
                    out,
                    "cannot open log {}: {}",
                    Escaped(path.as_bytes()),
                    Reason(*reason)
                )
            }
            Error::Output(reason) => {
                write!(
                    out,
                    "cannot send the command's output to the log: {}",
                    Reason(*reason)
                )
            }
            Error::Execute(name, reason) => {
                write!(out, "cannot execute {}: {}", shown(name), Reason(*reason))
            }
            Error::LogFolder(path, reason) => {
                write!(
                    out,
                    "cannot make the folder of log {}: {}",
                    Escaped(path.as_bytes()),
                    Reason(*reason)
                )
            }
            Error::Here(reason) => {
                write!(
                    out,
                    "cannot tell the working directory: {}",
                    Reason(*reason)
                )
            }
            Error::NoCrontab(reason) => write!(out, "cannot run crontab: {}", Reason(*reason)),
            Error::Crontab(verb, said) => {
                write!(out, "cannot {verb} the crontab: {}", Escaped(said))
            }
            Error::NoEntry(path) => {
                let path = Escaped(path.as_bytes());
                write!(out, "no entry for {path} in the crontab")
            }
            Error::Scratch(path, reason) => {
                write!(
                    out,
                    "cannot make a file in {} for crontab: {}",
                    Escaped(path.as_bytes()),
                    Reason(*reason)
                )
            }
            Error::Print(reason) => {
                write!(out, "cannot write to standard output: {}", Reason(*reason))
            }
        }
    }
}

fn shown(bytes: &CStr) -> Escaped<'_> {
    Escaped(bytes.to_bytes())
}

/// What strerror(3) says, without the number that Rust puts behind it.
pub struct Reason(pub Errno);

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
pub fn report(dialect: Dialect, result: Result<Outcome, Error>) -> u8 {
    match result.and_then(|outcome| finish(dialect, outcome)) {
        Ok(status) => status,
        Err(error) => {
            let heard = match (dialect, &error) {
                // flock's own words, which its tests know.
                (Dialect::Flock, Error::Lock(Place::Descriptor(number), reason)) => {
                    say(dialect, &format_args!("{number}: {}", Reason(*reason)))
                }
                _ => say(dialect, &error),
            };
            // flock's child looks at nothing when it cannot become the command.
            let heard = heard || matches!(error, Error::Execute(..));
            if_heard(heard, dialect, error.status(dialect))
        }
    }
}

fn finish(dialect: Dialect, outcome: Outcome) -> Result<u8, Error> {
    match outcome {
        Outcome::Told(answer) => match (print(&answer.text), dialect) {
            // Nobody wants to know.
            (Err(Errno::BADF | Errno::PIPE), Dialect::Flock) | (Ok(()), _) => Ok(answer.status),
            (Err(reason), _) => Err(Error::Print(reason)),
        },
        Outcome::Done => Ok(0),
        Outcome::Busy(busy, manner, log) => {
            let heard = manner.refuse(&busy, log.as_ref());
            Ok(if_heard(heard, dialect, manner.conflict))
        }
    }
}

/// The exit status, or what flock makes of any if its words cannot be written.
fn if_heard(heard: bool, dialect: Dialect, status: u8) -> u8 {
    match dialect {
        Dialect::Flock if !heard => UNWRITTEN_AS_FLOCK,
        _ => status,
    }
}

/// flock looks at its streams when it closes them, last of all (util-linux, closestream.h).
const UNWRITTEN_AS_FLOCK: u8 = 1;

/// One line on stderr, in one write(2), so that lines of several processes do not mix. Where nobody
/// can hear it, that is no reason to change what is done. Tells whether it was written.
pub fn say(dialect: Dialect, line: &dyn Display) -> bool {
    let line = format!("{}: {line}\n", dialect.name());
    sys::unsignalled(|| Ok(write_all(stderr(), line.as_bytes())?)).is_ok()
}

/// Text on stdout, unbuffered.
///
/// # Errors
///
/// As write(2).
pub fn print(text: &[u8]) -> Result<(), Errno> {
    write_all(stdout(), text)
}

fn write_all(stream: BorrowedFd<'_>, text: &[u8]) -> Result<(), Errno> {
    let mut rest = text;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(stream, rest))?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
