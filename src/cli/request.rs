//! From what the options say to the request, in which all of it goes together.

use std::ffi::{CStr, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::options;
use super::raw::{Wish, Wishes};
use super::values;
use crate::model::command::Command;
use crate::model::dialect::Dialect;
use crate::model::error::{Error, usage};
use crate::model::lock::{Api, Keeper, Kind, Patience, Terms};
use crate::model::manner::{Manner, Voice};
use crate::model::request::{Form, Request, Run, Status};
use crate::model::target::Place;
use crate::sys::Words;

impl Wishes {
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
                options::name(option)
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
                options::name(option)
            )));
        }
        match (rest.count(), rest.get(0)) {
            (1, Some(word)) => Ok(Request::Uninstall(Place::of(word), self.effect())),
            (0, _) => Err(usage("no lock file given; see --help")),
            _ => Err(usage("--uninstall takes one lock file and no command")),
        }
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
    values::descriptor(OsStr::from_bytes(word.to_bytes())).map_err(|_| {
        // As a lock on a server it may have a password in it.
        usage(format_args!(
            "bad file descriptor: '{place}'; to lock a file, give a command"
        ))
    })
}
