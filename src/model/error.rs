//! Why the command was not run, and the words for it.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::fmt::{self, Display};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use super::target::Place;
use crate::text::escape::Escaped;

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

/// A command line that is wrong.
pub fn usage(what: impl ToString) -> Error {
    Error::Usage(what.to_string())
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
