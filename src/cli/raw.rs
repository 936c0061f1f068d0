//! What the options say, before it is known whether they go together.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use lexopt::Parser;

use super::options::Opt;
use super::schedule::schedule;
use super::values;
use crate::model::dialect::Dialect;
use crate::model::error::{Error, usage};
use crate::model::lock::OnLost;
use crate::model::reporting::Verbosity;
use crate::model::request::{Apply, MaxRuntime};
use crate::text::escape::Escaped;

/// The options, as they were given; of those that exclude each other the last one.
#[derive(Default)]
pub struct RawOptions {
    /// `-n`.
    pub nonblock: bool,
    /// `-w`; `Some(None)` waits for ever.
    pub wait: Option<Option<Duration>>,
    /// `-b`.
    pub block: bool,
    /// `-s`, `-x`, `-e`, `-u`.
    pub operation: Operation,
    /// `-E`.
    pub conflict: Option<u8>,
    /// `-o`.
    pub close: bool,
    /// `-F`.
    pub no_fork: bool,
    /// `--fd`.
    pub descriptor: Option<RawFd>,
    /// `--fcntl`, or what implies it.
    pub fcntl: bool,
    /// `--start`, in bytes.
    pub start: i64,
    /// `--length`, in bytes; 0 is to the end.
    pub length: i64,
    /// `-j`.
    pub slots: Option<u16>,
    /// `--max-runtime`.
    pub max_runtime: Option<MaxRuntime>,
    /// `--kill-after`.
    pub kill_after: Option<Duration>,
    /// `-l`.
    pub log: Option<OsString>,
    /// `--on-lost`.
    pub on_lost: Option<OnLost>,
    /// `--hold-at-least`.
    pub hold_at_least: Option<Duration>,
    /// `-a`.
    pub alarm: Option<Duration>,
    /// `--status`.
    pub status: bool,
    /// `--history`.
    pub history: bool,
    /// `--json`.
    pub json: bool,
    /// `--install`, with the schedule.
    pub install: Option<Vec<u8>>,
    /// `--uninstall`.
    pub uninstall: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `-v` or `-q`.
    pub verbosity: Option<Verbosity>,
    /// The last option given that `--status` does not allow.
    pub not_for_status: Option<Opt>,
    /// The last option given that `--history` does not allow.
    pub not_for_history: Option<Opt>,
    /// The last option given that `--uninstall` does not allow.
    pub not_for_uninstall: Option<Opt>,
}

/// What -s, -x and -u choose; the last one wins.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Operation {
    /// Lock it for one.
    #[default]
    Exclusive,
    /// Lock it for many.
    Shared,
    /// Drop the lock.
    Unlock,
}

impl RawOptions {
    /// Takes note of an option, and of its argument.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`], as for all in this file.
    pub fn take(
        &mut self,
        option: Opt,
        parser: &mut Parser,
        dialect: Dialect,
    ) -> Result<(), Error> {
        let mut value = || parser.value().map_err(usage);
        match option {
            Opt::Nonblock => self.nonblock = true,
            Opt::Timeout => self.wait = Some(values::wait(&value()?, dialect)?),
            Opt::Block => self.block = true,
            Opt::Shared => self.operation = Operation::Shared,
            Opt::Exclusive => self.operation = Operation::Exclusive,
            Opt::Unlock => self.operation = Operation::Unlock,
            Opt::ConflictStatus => self.conflict = Some(values::exit_status(&value()?)?),
            Opt::Close => self.close = true,
            Opt::NoFork => self.no_fork = true,
            Opt::Command => return Err(usage("-c goes right after the lock file, or after --fd")),
            Opt::Descriptor => self.descriptor = Some(values::descriptor(&value()?)?),
            Opt::Fcntl => self.fcntl = true,
            Opt::Start => self.start = values::bytes(&value()?, option)?,
            Opt::Length => self.length = values::bytes(&value()?, option)?,
            Opt::Slots => self.slots = Some(values::slots(&value()?)?),
            Opt::MaxRuntime => self.max_runtime = Some(max_runtime(&value()?, option)?),
            Opt::KillAfter => self.kill_after = Some(values::duration(&value()?, option)?),
            Opt::HoldAtLeast => self.hold_at_least = Some(values::duration(&value()?, option)?),
            Opt::OnLost => self.on_lost = Some(on_lost(&value()?)?),
            Opt::Log => self.log = Some(value()?),
            Opt::Alarm => self.alarm = Some(values::duration(&value()?, option)?),
            Opt::Status => self.status = true,
            Opt::History => self.history = true,
            Opt::Json => self.json = true,
            Opt::Install => self.install = Some(schedule(&value()?)?),
            Opt::Uninstall => self.uninstall = true,
            Opt::DryRun => self.dry_run = true,
            Opt::Verbose => self.verbosity = Some(Verbosity::Verbose),
            Opt::Quiet => self.verbosity = Some(Verbosity::Quiet),
            Opt::Help | Opt::Version | Opt::Completions => {}
        }
        self.fcntl |= matches!(option, Opt::Start | Opt::Length);
        if !matches!(
            option,
            Opt::Status | Opt::Json | Opt::Log | Opt::Slots | Opt::Quiet
        ) {
            self.not_for_status = Some(option);
        }
        if !matches!(option, Opt::History | Opt::Json) {
            self.not_for_history = Some(option);
        }
        if !matches!(option, Opt::Uninstall | Opt::DryRun) {
            self.not_for_uninstall = Some(option);
        }
        Ok(())
    }

    /// Whether a descriptor was named, so that no lock file comes before the command.
    pub fn names_descriptor(&self) -> bool {
        self.descriptor.is_some()
    }

    /// When cron is to start this run, if it is for the crontab.
    pub fn schedule(&self) -> Option<Vec<u8>> {
        self.install.clone()
    }

    /// What becomes of the crontab.
    pub fn apply(&self) -> Apply {
        if self.dry_run {
            Apply::Preview
        } else {
            Apply::Change
        }
    }
}

/// DURATION of `--max-runtime`.
fn max_runtime(value: &OsStr, option: Opt) -> Result<MaxRuntime, Error> {
    let given = value.to_string_lossy().into_owned();
    values::duration(value, option).map(|after| MaxRuntime { after, given })
}

/// WHAT of `--on-lost`.
fn on_lost(value: &OsStr) -> Result<OnLost, Error> {
    match value.as_bytes() {
        b"term" => Ok(OnLost::Term),
        b"kill" => Ok(OnLost::Kill),
        b"ignore" => Ok(OnLost::Ignore),
        _ => Err(usage(format_args!(
            "--on-lost takes term, kill or ignore, not '{}'",
            Escaped(value.as_bytes())
        ))),
    }
}
