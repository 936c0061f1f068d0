//! From what the options say to the request, in which all of it goes together.

use std::ffi::{CStr, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::options;
use super::raw::{Operation, RawOptions};
use super::values;
use crate::model::command::CommandLine;
use crate::model::dialect::Dialect;
use crate::model::error::{Error, usage};
use crate::model::lock::{Keeper, LockApi, LockMode, LockOptions, Wait};
use crate::model::reporting::{Reporting, Verbosity};
use crate::model::request::{Format, Request, Run, Status};
use crate::model::target::LockTarget;
use crate::sys::Words;
use crate::text::escape::Escaped;

impl RawOptions {
    /// Puts them together with the words behind them: a lock file and a command, or a descriptor.
    ///
    /// # Errors
    ///
    /// Where something does not go together.
    pub fn request(self, rest: Words, dialect: Dialect) -> Result<Request, Error> {
        if self.status {
            return self.status_request(rest);
        }
        if self.history {
            return self.history_request(rest);
        }
        if self.uninstall {
            return self.uninstall_request(rest);
        }
        let (target, words) = match (self.descriptor, rest.get(0), dialect) {
            (Some(number), _, _) => (LockTarget::Descriptor(number), rest),
            (None, Some(word), Dialect::Nonoverlap) => (LockTarget::of(word), rest.from(1)),
            (None, Some(path), Dialect::Flock) => (LockTarget::File(path), rest.from(1)),
            (None, None, _) => return Err(usage("no lock file given; see --help")),
        };
        let command = command(words)?;
        self.check(target, command)?;
        let (api, reporting) = (self.api(), self.reporting(dialect));
        let mode = match self.operation {
            Operation::Exclusive => LockMode::Exclusive,
            Operation::Shared => LockMode::Shared,
            Operation::Unlock => {
                return Ok(Request::Unlock(lone_descriptor(target)?, api, reporting));
            }
        };
        let is_file = matches!(target, LockTarget::File(_));
        let is_ours = dialect == Dialect::Nonoverlap;
        let options = LockOptions {
            mode,
            api,
            wait: self.wait(dialect),
            writes_record: is_ours
                && is_file
                && (mode, api) == (LockMode::Exclusive, LockApi::Flock),
            checks_name: is_ours,
        };
        let Some(command) = command else {
            return Ok(Request::Lock(lone_descriptor(target)?, options, reporting));
        };
        let keeper = match self.close {
            true => Keeper::Guardian,
            false => Keeper::Command,
        };
        let (slots, max_runtime, log) = (self.slots, self.max_runtime, self.log);
        Ok(Request::Run(Run {
            target,
            options,
            command,
            slots,
            keeper,
            max_runtime,
            kill_after: self.kill_after,
            log,
            on_lost: self.on_lost.unwrap_or_default(),
            hold_at_least: self.hold_at_least,
            reporting,
        }))
    }

    /// How the run speaks.
    fn reporting(&self, dialect: Dialect) -> Reporting {
        Reporting {
            dialect,
            verbosity: self.verbosity.unwrap_or(Verbosity::Normal),
            conflict_status: self.conflict.unwrap_or(1),
            alarm: self.alarm,
        }
    }

    /// By which system call it locks.
    fn api(&self) -> LockApi {
        match self.fcntl {
            true => LockApi::Fcntl {
                start: self.start,
                length: self.length,
            },
            false => LockApi::Flock,
        }
    }

    /// What it does if the lock is taken: -n beats -w, and flock waits by itself.
    fn wait(&self, dialect: Dialect) -> Wait {
        match (self.nonblock, self.wait, self.block, dialect) {
            (true, ..) | (_, Some(Some(Duration::ZERO)), ..) => Wait::No,
            (_, Some(Some(time)), ..) => Wait::For(time),
            (_, Some(None), ..) | (_, _, true, _) | (_, _, _, Dialect::Flock) => Wait::Forever,
            (_, _, _, Dialect::Nonoverlap) => Wait::No,
        }
    }

    /// What `--status` is asked.
    fn status_request(self, paths: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_status {
            return Err(usage(format_args!(
                "{} does not go together with --status",
                options::name(option)
            )));
        }
        let format = match (self.verbosity, self.json) {
            (Some(Verbosity::Quiet), true) => {
                return Err(usage("--json does not go together with -q"));
            }
            (Some(Verbosity::Quiet), false) => Format::Quiet,
            (_, true) => Format::Json,
            (_, false) => Format::Text,
        };
        if paths.count() == 0 {
            return match (&self.log, self.slots) {
                (Some(_), _) => Err(usage("--status with --log needs a lock file")),
                (_, Some(_)) => Err(usage("--status with --slots needs a lock file")),
                (None, None) => Ok(Request::StatusOfInstalled(format)),
            };
        }
        if paths.iter().any(CStr::is_empty) {
            return Err(usage(
                "the name of the lock file is empty, perhaps because a variable is not set",
            ));
        }
        let mut behind = paths.from(1).iter();
        if let Some(word) = behind.find(|word| word.to_bytes().starts_with(b"-")) {
            return Err(usage(format_args!(
                "options go before the lock file; for a lock file of that name, write './{}'",
                Escaped(word.to_bytes())
            )));
        }
        let mut targets = paths.iter().map(LockTarget::of);
        if self.slots.is_some() && targets.any(|target| matches!(target, LockTarget::Remote(_))) {
            return Err(usage("--slots takes a lock file, not a lock on a server"));
        }
        Ok(Request::Status(Status {
            paths,
            format,
            slots: self.slots.unwrap_or(1),
            log: self.log,
        }))
    }

    /// Which log `--history` is to tell of. `--json` may stand behind it, too.
    fn history_request(self, rest: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_history {
            return Err(usage(format_args!(
                "{} does not go together with --history",
                options::name(option)
            )));
        }
        let Some(log) = rest.get(0) else {
            return Err(usage("no log given; see --help"));
        };
        let behind = rest.from(1);
        if behind.iter().any(|word| word.to_bytes() != b"--json") {
            return Err(usage("--history takes one log, and no option but --json"));
        }
        let format = match self.json || behind.count() > 0 {
            true => Format::Json,
            false => Format::Text,
        };
        Ok(Request::History(log, format))
    }

    /// What `--uninstall` is to take out.
    fn uninstall_request(self, rest: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_uninstall {
            return Err(usage(format_args!(
                "{} does not go together with --uninstall",
                options::name(option)
            )));
        }
        match (rest.count(), rest.get(0)) {
            (1, Some(word)) => Ok(Request::Uninstall(LockTarget::of(word), self.apply())),
            (0, _) => Err(usage("no lock file given; see --help")),
            _ => Err(usage("--uninstall takes one lock file and no command")),
        }
    }
}

/// The command in these words, if there are any.
fn command(words: Words) -> Result<Option<CommandLine>, Error> {
    let Some(name) = words.get(0) else {
        return Ok(None);
    };
    if !asks_for_shell(name) {
        return Ok(Some(CommandLine::Words(name, words)));
    }
    match (words.count(), words.get(1)) {
        (2, Some(line)) => Ok(Some(CommandLine::Line(line))),
        _ => Err(usage(format_args!(
            "{} takes exactly one command line",
            name.to_string_lossy()
        ))),
    }
}

/// Whether this word, where the command would stand, says that a line for the shell comes next.
pub fn asks_for_shell(word: &CStr) -> bool {
    matches!(word.to_bytes(), b"-c" | b"--command")
}

/// The descriptor that stands where a lock file would, since no command comes after it.
fn lone_descriptor(target: LockTarget) -> Result<RawFd, Error> {
    let word = match target {
        LockTarget::File(word) | LockTarget::Remote(word) => word,
        LockTarget::Descriptor(_) => {
            return Err(usage(
                "--fd takes a command; to lock a descriptor, give its number alone",
            ));
        }
    };
    values::descriptor(OsStr::from_bytes(word.to_bytes())).map_err(|_| {
        // As a lock on a server it may have a password in it.
        usage(format_args!(
            "bad file descriptor: '{target}'; to lock a file, give a command"
        ))
    })
}
