//! Why the command was not run, and the words for it.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::fmt::{self, Display};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use super::target::LockTarget;
use crate::sys;
use crate::text::escape::{Escaped, cut_command_line};

/// Why the command was not run. One variant for each step that can fail, with what it was done to.
pub enum Error {
    /// The command line is wrong.
    Usage(String),
    /// The lock file cannot be opened, or looked at.
    Open(LockTarget, Errno),
    /// The lock file cannot be opened as long as a program has a lease on it.
    Leased(LockTarget),
    /// The lock file does not exist and cannot be made.
    Create(&'static CStr, Errno),
    /// The lock file is a symbolic link to nothing, and nothing is ever made through a link.
    DanglingLink(&'static CStr),
    /// There is no free descriptor from 10 up.
    Descriptor(LockTarget, Errno),
    /// The call that locks failed otherwise than with "taken".
    Lock(LockTarget, Errno),
    /// Each time the lock was taken, the path already named another file.
    Replaced(LockTarget),
    /// The name of the lock file cannot be marked for others to see.
    Mark(LockTarget, Errno),
    /// It cannot be seen whether somebody else holds the name of the lock file.
    Look(LockTarget, Errno),
    /// The timer that is to end a wait cannot be set up.
    Timer(LockTarget, Errno),
    /// No guardian could be started.
    Guardian(LockTarget, Errno),
    /// A command that is to be ended could not be, for this reason.
    CannotEnd(LockTarget, &'static str),
    /// There is no helper of this name for the scheme, or it cannot be started.
    NoHelper(LockTarget, String, Errno),
    /// The helper found no server that answers, for this reason.
    NoServer(LockTarget, Vec<u8>),
    /// The helper did not take the lock: the exit status that goes with why, and why.
    Helper(LockTarget, u8, Vec<u8>),
    /// The log cannot be opened.
    Log(OsString, Errno),
    /// execve(2) failed.
    Execute {
        /// The name of the program.
        program: Cow<'static, CStr>,
        /// Why.
        reason: Errno,
        /// The lock that it was to run under.
        lock: LockTarget,
        /// Whether this run has made the file of that lock.
        made_lock: bool,
    },
    /// The log cannot take the place of the command's output.
    RedirectOutput(Errno),
    /// The folder of a file, which is such a one, does not exist and cannot be made.
    Folder(&'static str, OsString, Errno),
    /// The working directory cannot be told.
    WorkingDirectory(Errno),
    /// crontab(1) cannot be run.
    NoCrontab(Errno),
    /// The changes of the crontab cannot be put one after the other by a lock on this directory.
    Turn(OsString, Errno),
    /// crontab(1) did not do this to the crontab, and said this.
    Crontab(&'static str, Vec<u8>),
    /// The crontab has no entry for this lock file.
    NoEntry(OsString),
    /// The file that crontab(1) is to read cannot be made in this folder.
    TemporaryFile(OsString, Errno),
    /// The log whose runs are to be told cannot be read, or, without a reason, is no regular file.
    ReadLog(&'static CStr, Option<Errno>),
    /// Standard output cannot be written.
    Print(Errno),
}

/// A command line that is wrong.
pub fn usage(what: impl ToString) -> Error {
    Error::Usage(what.to_string())
}

impl Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &OsString| Escaped(path.as_bytes()).to_string();
        match self {
            Error::Usage(what) => write!(out, "{}", Escaped(what.as_bytes())),
            Error::Open(target, reason) => cannot(out, "open lock file", target, reason),
            Error::Leased(target) => write!(out, "cannot lock {target}: {LEASED}"),
            Error::Create(path, reason) => cannot(out, "create lock file", &shown(path), reason),
            Error::DanglingLink(path) => write!(
                out,
                "cannot create lock file {}: it is a symbolic link to nothing",
                shown(path)
            ),
            Error::Descriptor(target, reason) => {
                let why = format!("{target} on a descriptor from 10 up");
                cannot(out, "keep lock file", &why, reason)
            }
            Error::Lock(target, reason) => cannot(out, "lock", target, reason),
            Error::Replaced(target) => write!(out, "cannot lock {target}: {REPLACED}"),
            Error::Mark(target, reason) => cannot(out, "mark the name of", target, reason),
            Error::Look(target, reason) => cannot(out, "look for other holders of", target, reason),
            Error::Timer(target, reason) => cannot(out, "set a timer to wait for", target, reason),
            Error::Guardian(target, reason) => {
                cannot(out, "start the guardian process for", target, reason)
            }
            Error::NoHelper(target, helper, reason) => {
                let helper = Escaped(helper.as_bytes());
                let what = format!("{target}: cannot run {helper}");
                cannot(out, "lock", &what, reason)
            }
            Error::NoServer(target, why) | Error::Helper(target, _, why) => said(out, target, why),
            Error::CannotEnd(target, why) => write!(out, "cannot end the job of {target}: {why}"),
            Error::Log(log, reason) => cannot_open_log(out, &path(log), reason),
            Error::RedirectOutput(reason) => {
                cannot(out, "send the command's output to", &"the log", reason)
            }
            Error::Execute {
                program, reason, ..
            } => {
                let program = cut_command_line(program.to_bytes());
                cannot(out, "execute", &Escaped(&program), reason)
            }
            Error::Folder(verb, file, reason) => cannot(out, verb, &path(file), reason),
            Error::WorkingDirectory(reason) => {
                cannot(out, "determine", &"the working directory", reason)
            }
            Error::NoCrontab(reason) => cannot(out, "run", &"crontab", reason),
            Error::Turn(folder, reason) => {
                cannot(out, "lock home directory", &path(folder), reason)
            }
            Error::Crontab(verb, said) => {
                write!(out, "cannot {verb} the crontab: {}", Escaped(said))
            }
            Error::NoEntry(lock) => write!(out, "no entry for {} in the crontab", path(lock)),
            Error::TemporaryFile(folder, reason) => {
                let what = format!("{} for crontab", path(folder));
                cannot(out, "create a file in", &what, reason)
            }
            Error::ReadLog(log, reason) => cannot_read(out, &shown(log), reason.as_ref()),
            Error::Print(reason) => cannot(out, "write to", &"standard output", reason),
        }
    }
}

/// Why a name cannot be locked that never leads to the file that was locked.
const REPLACED: &str = "another file keeps replacing it";

/// Why what has the name of a log is not read.
pub const NOT_REGULAR: &str = "it is not a regular file";

/// Why a file cannot be opened on which a program has a lease, and what to do.
pub const LEASED: &str = "a program has a lease on it, such as Samba or an NFS server; \
                          the kernel has asked for the lease back, so try again";

/// `cannot VERB OBJECT: reason`, the form of every error of the system's.
fn cannot(
    out: &mut fmt::Formatter<'_>,
    verb: &str,
    object: &dyn Display,
    reason: &Errno,
) -> fmt::Result {
    write!(out, "cannot {verb} {object}: {}", Reason(*reason))
}

/// The same for a lock on a server, by the words of its helper.
fn said(out: &mut fmt::Formatter<'_>, target: &LockTarget, why: &[u8]) -> fmt::Result {
    write!(out, "cannot lock {target}: {}", Escaped(why))
}

/// The same for a log that is written.
fn cannot_open_log(out: &mut fmt::Formatter<'_>, log: &dyn Display, reason: &Errno) -> fmt::Result {
    match sys::means_lease(*reason) {
        true => write!(out, "cannot open log {log}: {LEASED}"),
        false => cannot(out, "open log", log, reason),
    }
}

/// The same for a log that is read: a FIFO or a folder gives no reason of the system's.
fn cannot_read(
    out: &mut fmt::Formatter<'_>,
    log: &dyn Display,
    reason: Option<&Errno>,
) -> fmt::Result {
    match reason {
        Some(reason) if sys::means_lease(*reason) => write!(out, "cannot read log {log}: {LEASED}"),
        Some(reason) => cannot(out, "read log", log, reason),
        None => write!(out, "cannot read log {log}: {NOT_REGULAR}"),
    }
}

/// A path of argv's, made safe to show.
fn shown(bytes: &CStr) -> Escaped<'_> {
    Escaped(bytes.to_bytes())
}

/// What strerror(3) says, without the number that Rust puts behind it.
pub struct Reason(pub Errno);

impl Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from(self.0).to_string();
        out.write_str(match text.rsplit_once('(') {
            Some((reason, _)) => reason.trim_end(),
            None => &text,
        })
    }
}
