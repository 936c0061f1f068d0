//! What the caller wants. Wrong combinations cannot be said.

use std::ffi::{CStr, OsString};
use std::os::fd::RawFd;
use std::time::Duration;

use super::command::CommandLine;
use super::dialect::Dialect;
use super::lock::{Keeper, LockApi, LockOptions, OnLost};
use super::reporting::Reporting;
use super::target::LockTarget;
use crate::sys::Words;

/// What the caller wants.
pub enum Request {
    /// A page on standard output.
    Show(Page),
    /// To be told who holds these lock files.
    Status(Status),
    /// To be told so of each run in the crontab.
    StatusOfInstalled(Format),
    /// To be told of the runs in this log.
    History(&'static CStr, Format),
    /// A run to be put into the crontab.
    Install(Install),
    /// The run of this lock file to be taken out of the crontab.
    Uninstall(LockTarget, Apply),
    /// To drop the lock of a descriptor.
    Unlock(RawFd, LockApi, Reporting),
    /// To lock a descriptor that the caller keeps.
    Lock(RawFd, LockOptions, Reporting),
    /// A command under a lock.
    Run(Run),
}

/// A page that can be asked for.
#[derive(Clone, Copy)]
pub enum Page {
    /// `--help`.
    Help(Dialect),
    /// `-h`.
    ShortHelp(Dialect),
    /// `--version`.
    Version(Dialect),
    /// `--completions`.
    Completions(Shell),
}

/// A shell that completes words.
#[derive(Clone, Copy)]
pub enum Shell {
    /// GNU's.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive one.
    Fish,
}

/// A run for the crontab.
pub struct Install {
    /// When cron starts it: five fields or one `@word`, with a blank between each.
    pub schedule: Vec<u8>,
    /// The name under which this program was started.
    pub program: &'static CStr,
    /// The options of the run.
    pub options: Vec<GivenOption>,
    /// The run that they make.
    pub run: Run,
    /// What becomes of the crontab.
    pub apply: Apply,
}

/// An option as it was given.
pub struct GivenOption {
    /// By this of its names, with the dashes.
    pub name: String,
    /// With this argument, if it takes one.
    pub value: Option<Value>,
}

/// The argument of an option.
#[derive(Clone)]
pub enum Value {
    /// A word that means the same everywhere.
    Word(OsString),
    /// A path, which is relative to where it was given.
    Path(OsString),
}

/// What becomes of the crontab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// It is changed.
    Change,
    /// It is shown as it would be.
    Preview,
}

/// What is asked about locks.
pub struct Status {
    /// The lock files, or locks on servers.
    pub paths: Words,
    /// How to answer.
    pub format: Format,
    /// How many slots of each to show.
    pub slots: u16,
    /// A log to show the end of.
    pub log: Option<OsString>,
}

/// How to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A sentence for each.
    Text,
    /// A JSON object for each.
    Json,
    /// By the exit status alone.
    Quiet,
}

/// How long a job may run.
pub struct MaxRuntime {
    /// So long.
    pub after: Duration,
    /// As it was given, for people.
    pub given: String,
}

/// A command under a lock.
pub struct Run {
    /// What to lock.
    pub target: LockTarget,
    /// How.
    pub options: LockOptions,
    /// What to become then.
    pub command: CommandLine,
    /// How many may run at once, if it is not one: the first free slot is taken.
    pub slots: Option<u16>,
    /// Who keeps the lock's descriptor.
    pub keeper: Keeper,
    /// When the job is ended.
    pub max_runtime: Option<MaxRuntime>,
    /// How long after SIGTERM it is killed, if not after the usual time.
    pub kill_after: Option<Duration>,
    /// The file that its output is appended to.
    pub log: Option<OsString>,
    /// What becomes of the command if a server loses its lock.
    pub on_lost: OnLost,
    /// How long a server keeps the lock at least, though the command has ended.
    pub hold_at_least: Option<Duration>,
    /// How to speak.
    pub reporting: Reporting,
}
