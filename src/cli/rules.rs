//! What the options say, before it is known whether they go together; and then the request, in
//! which all of them do.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use lexopt::Parser;

use crate::cli::options::{self as flags, Opt};
use crate::cli::values as number;
use crate::cron;
use crate::model::dialect::Dialect;
use crate::model::error::Error;
use crate::model::request::{
    Api, Command, Effect, Form, Keeper, Kind, OnLost, Patience, Place, Request, Run, Status, Terms,
};
use crate::report::notice::{Manner, Voice};
use crate::sys::{self, Words};
use crate::text::escape::Escaped;
use crate::text::time;

/// The options, as they were given; of those that exclude each other the last one.
#[derive(Default)]
pub struct Wishes {
    nonblock: bool,
    /// The inner nothing is a wait without an end.
    wait: Option<Option<Duration>>,
    block: bool,
    kind: Wish,
    conflict: Option<u8>,
    close: bool,
    no_fork: bool,
    descriptor: Option<RawFd>,
    records: bool,
    start: i64,
    length: i64,
    slots: Option<u16>,
    max_runtime: Option<Duration>,
    log: Option<OsString>,
    on_lost: Option<OnLost>,
    hold_at_least: Option<Duration>,
    alarm: Option<Duration>,
    status: bool,
    json: bool,
    install: Option<Vec<u8>>,
    uninstall: bool,
    dry_run: bool,
    voice: Option<Voice>,
    /// One that does not go together with `--status`.
    not_for_status: Option<Opt>,
    /// One that does not go together with `--uninstall`.
    not_for_uninstall: Option<Opt>,
}

/// What -s, -x and -u choose; the last one wins.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    Exclusive,
    Shared,
    Unlock,
}

impl Wishes {
    /// Takes note of an option, and of its argument.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`], as for all in this file.
    pub fn take(&mut self, option: Opt, parser: &mut Parser) -> Result<(), Error> {
        let mut value = || parser.value().map_err(usage);
        match option {
            Opt::Nonblock => self.nonblock = true,
            Opt::Timeout => self.wait = Some(number::seconds(&value()?)?),
            Opt::Block => self.block = true,
            Opt::Shared => self.kind = Wish::Shared,
            Opt::Exclusive => self.kind = Wish::Exclusive,
            Opt::Unlock => self.kind = Wish::Unlock,
            Opt::ConflictStatus => self.conflict = Some(number::exit_status(&value()?)?),
            Opt::Close => self.close = true,
            Opt::NoFork => self.no_fork = true,
            Opt::Command => return Err(usage("-c goes right after the lock file, or after --fd")),
            Opt::Descriptor => self.descriptor = Some(number::descriptor(&value()?)?),
            Opt::Fcntl => self.records = true,
            Opt::Start => self.start = number::bytes(&value()?)?,
            Opt::Length => self.length = number::bytes(&value()?)?,
            Opt::Slots => self.slots = Some(number::slots(&value()?)?),
            Opt::MaxRuntime => self.max_runtime = Some(time::duration(&value()?)?),
            Opt::HoldAtLeast => self.hold_at_least = Some(time::duration(&value()?)?),
            Opt::OnLost => self.on_lost = Some(on_lost(&value()?)?),
            Opt::Log => self.log = Some(value()?),
            Opt::Alarm => self.alarm = Some(time::duration(&value()?)?),
            Opt::Status => self.status = true,
            Opt::Json => self.json = true,
            Opt::Install => self.install = Some(cron::schedule(&value()?)?),
            Opt::Uninstall => self.uninstall = true,
            Opt::DryRun => self.dry_run = true,
            Opt::Verbose => self.voice = Some(Voice::Verbose),
            Opt::Quiet => self.voice = Some(Voice::Quiet),
            Opt::Help | Opt::Version | Opt::Completions => {}
        }
        self.records |= matches!(option, Opt::Start | Opt::Length);
        if !matches!(
            option,
            Opt::Status | Opt::Json | Opt::Log | Opt::Slots | Opt::Quiet
        ) {
            self.not_for_status = Some(option);
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
    pub fn effect(&self) -> Effect {
        if self.dry_run {
            Effect::Show
        } else {
            Effect::Change
        }
    }

    /// Puts them together with the words behind them: a lock file and a command, or a descriptor.
    ///
    /// # Errors
    ///
    /// Where something does not go together.
    pub fn request(self, rest: Words, dialect: Dialect) -> Result<Request, Error> {
        if self.status {
            return self.status_request(rest);
        }
        if self.uninstall {
            return self.uninstall_request(rest);
        }
        let is_ours = dialect == Dialect::Nonoverlap;
        let (place, words) = match (self.descriptor, rest.get(0)) {
            (Some(number), _) => (Place::Descriptor(number), rest),
            (None, Some(word)) if is_ours => (Place::of(word), rest.from(1)),
            (None, Some(path)) => (Place::File(path), rest.from(1)),
            (None, None) => return Err(usage("no lock file given; see --help")),
        };
        let command = command(words)?;
        self.check(place, command)?;
        let manner = Manner {
            dialect,
            voice: self.voice.unwrap_or(Voice::Normal),
            conflict: self.conflict.unwrap_or(1),
            alarm: self.alarm,
        };
        let api = match self.records {
            true => Api::Records {
                start: self.start,
                length: self.length,
            },
            false => Api::Flock,
        };
        let kind = match self.kind {
            Wish::Exclusive => Kind::Exclusive,
            Wish::Shared => Kind::Shared,
            Wish::Unlock => return Ok(Request::Unlock(lone_descriptor(place)?, api, manner)),
        };
        let is_run =
            kind == Kind::Exclusive && api == Api::Flock && matches!(place, Place::File(_));
        let patience = self.patience(dialect);
        let terms = Terms {
            kind,
            api,
            patience,
            recorded: is_ours && is_run,
            wary: is_ours,
        };
        let Some(command) = command else {
            return Ok(Request::Lock(lone_descriptor(place)?, terms, manner));
        };
        let keeper = if self.close {
            Keeper::Guardian
        } else {
            Keeper::Command
        };
        let (slots, max_runtime, log) = (self.slots, self.max_runtime, self.log);
        Ok(Request::Run(Run {
            place,
            terms,
            command,
            slots,
            keeper,
            max_runtime,
            log,
            on_lost: self.on_lost.unwrap_or_default(),
            hold_at_least: self.hold_at_least,
            manner,
        }))
    }

    /// What goes together, in the order in which a person would be told.
    fn check(&self, place: Place, command: Option<Command>) -> Result<(), Error> {
        let unlocks = self.kind == Wish::Unlock;
        let is_descriptor = matches!(place, Place::Descriptor(_)) || command.is_none();
        let is_remote = matches!(place, Place::Remote(_));
        let waits = self.block || self.wait.is_some();
        let logs_into_lock = match (&self.log, place) {
            (Some(log), Place::File(path)) => log.as_bytes() == path.to_bytes(),
            _ => false,
        };
        let wrong = [
            (self.json, "--json goes together with --status only"),
            (
                self.dry_run && self.install.is_none(),
                "--dry-run goes together with --install or --uninstall",
            ),
            (
                unlocks && command.is_some(),
                "-u drops the lock of a descriptor and runs no command",
            ),
            (
                self.block && (self.nonblock || self.wait.is_some()),
                "-b does not go together with -n or -w",
            ),
            (
                self.close && self.no_fork,
                "-o does not go together with -F",
            ),
            (
                self.slots.is_some() && waits,
                "--slots does not wait: not with -w or -b",
            ),
            (
                self.slots.is_some() && self.kind != Wish::Exclusive,
                "--slots takes exclusive locks: not with -s or -u",
            ),
            (
                self.slots.is_some() && is_descriptor,
                "--slots takes a lock file and a command, not a descriptor",
            ),
            (
                self.slots.is_some() && self.records,
                "--slots does not go together with --fcntl",
            ),
            (
                self.max_runtime.is_some() && self.close,
                "--max-runtime does not go together with -o",
            ),
            (
                self.max_runtime.is_some() && command.is_none(),
                "--max-runtime takes a command",
            ),
            (
                self.max_runtime == Some(Duration::ZERO),
                "--max-runtime takes at least a second",
            ),
            (
                self.log.is_some() && command.is_none(),
                "--log takes a command",
            ),
            (
                logs_into_lock,
                "--log takes another file than the lock file",
            ),
            (
                self.install.is_some() && is_descriptor,
                "--install takes a lock file and a command, not a descriptor",
            ),
            (
                self.slots.is_some() && is_remote,
                "--slots takes a lock file, not a lock on a server",
            ),
            (
                self.records && is_remote,
                "--fcntl takes a lock file, not a lock on a server",
            ),
            (
                self.alarm.is_some() && is_remote,
                "--alarm takes a lock file, not a lock on a server",
            ),
            (
                self.hold_at_least.is_some() && !is_remote,
                "--hold-at-least takes a lock on a server, SCHEME://",
            ),
            (
                self.on_lost.is_some() && !is_remote,
                "--on-lost takes a lock on a server, SCHEME://",
            ),
            (
                self.on_lost.is_some_and(|what| what != OnLost::Ignore) && !sys::TELLS_OF_LOSS,
                "this system does not tell of a lost lock: --on-lost ignore",
            ),
            (
                self.records && !sys::HAVE_RANGES,
                "this system has no locks for --fcntl, --start and --length",
            ),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, what)) => Err(usage(what)),
            None => Ok(()),
        }
    }

    fn patience(&self, dialect: Dialect) -> Patience {
        match (self.nonblock, self.wait, self.block, dialect) {
            (true, ..) | (_, Some(Some(Duration::ZERO)), ..) => Patience::None,
            (_, Some(Some(time)), ..) => Patience::For(time),
            (_, Some(None), ..) | (_, _, true, _) | (_, _, _, Dialect::Flock) => Patience::Endless,
            (_, _, _, Dialect::Nonoverlap) => Patience::None,
        }
    }

    fn status_request(self, paths: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_status {
            return Err(usage(format_args!(
                "{} does not go together with --status",
                flags::name(option)
            )));
        }
        if paths.count() == 0 {
            return Err(usage("no lock file given; see --help"));
        }
        let form = match (self.voice, self.json) {
            (Some(Voice::Quiet), true) => return Err(usage("--json does not go together with -q")),
            (Some(Voice::Quiet), false) => Form::Quiet,
            (_, true) => Form::Json,
            (_, false) => Form::Text,
        };
        let mut places = paths.iter().map(Place::of);
        if self.slots.is_some() && places.any(|place| matches!(place, Place::Remote(_))) {
            return Err(usage("--slots takes a lock file, not a lock on a server"));
        }
        Ok(Request::Status(Status {
            paths,
            form,
            slots: self.slots.unwrap_or(1),
            log: self.log,
        }))
    }

    fn uninstall_request(self, rest: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_uninstall {
            return Err(usage(format_args!(
                "{} does not go together with --uninstall",
                flags::name(option)
            )));
        }
        match (rest.count(), rest.get(0)) {
            (1, Some(word)) => Ok(Request::Uninstall(Place::of(word), self.effect())),
            (0, _) => Err(usage("no lock file given; see --help")),
            _ => Err(usage("--uninstall takes one lock file and no command")),
        }
    }
}

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

/// The command in these words, if there are any.
fn command(words: Words) -> Result<Option<Command>, Error> {
    let Some(name) = words.get(0) else {
        return Ok(None);
    };
    if !asks_for_shell(name) {
        return Ok(Some(Command::Words(name, words)));
    }
    match (words.count(), words.get(1)) {
        (2, Some(line)) => Ok(Some(Command::Line(line))),
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
fn lone_descriptor(place: Place) -> Result<RawFd, Error> {
    let word = match place {
        Place::File(word) | Place::Remote(word) => word,
        Place::Descriptor(_) => {
            return Err(usage(
                "--fd takes a command; to lock a descriptor, give its number alone",
            ));
        }
    };
    number::descriptor(OsStr::from_bytes(word.to_bytes())).map_err(|_| {
        // As a lock on a server it may have a password in it.
        usage(format_args!(
            "bad file descriptor: '{place}'; to lock a file, give a command"
        ))
    })
}

/// A command line that is wrong.
pub fn usage(what: impl ToString) -> Error {
    Error::Usage(what.to_string())
}
