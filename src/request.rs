//! From argv to a [`Request`], in which wrong combinations cannot be said. Touches no file, clock
//! or environment.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::{self, Display};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::dialect::Dialect;
use crate::escape::Escaped;
use crate::flags::{self, Opt};
use crate::help::Page;
use crate::lockfile::Access;
use crate::number;
use crate::outcome::{Error, Manner, Voice};
use crate::sys::{self, Words};
use crate::time;

/// What the caller wants.
pub enum Request {
    /// A page on standard output.
    Show(Page),
    /// To be told who holds these lock files.
    Status(Status),
    /// To drop the lock of a descriptor.
    Unlock(RawFd, Api, Manner),
    /// To lock a descriptor that the caller keeps.
    Lock(RawFd, Terms, Manner),
    /// A command under a lock.
    Run(Run),
}

/// What is asked about locks.
pub struct Status {
    /// The lock files.
    pub paths: Words,
    /// How to answer.
    pub form: Form,
    /// A log to show the end of.
    pub log: Option<OsString>,
}

/// How to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A sentence for each.
    Text,
    /// A JSON object for each.
    Json,
    /// By the exit status alone.
    Quiet,
}

/// A command under a lock.
pub struct Run {
    /// What to lock.
    pub place: Place,
    /// How.
    pub terms: Terms,
    /// What to become then.
    pub command: Command,
    /// The file that its output is appended to.
    pub log: Option<OsString>,
    /// How to speak.
    pub manner: Manner,
}

/// What is locked.
#[derive(Clone, Copy)]
pub enum Place {
    /// The file at a path, byte for byte as it was given.
    File(&'static CStr),
    /// A descriptor that the caller has open.
    Descriptor(RawFd),
}

/// How it is locked.
#[derive(Clone, Copy)]
pub struct Terms {
    /// For one or for many.
    pub kind: Kind,
    /// By which system call.
    pub api: Api,
    /// What to do if it is taken.
    pub patience: Patience,
    /// Whether the PID is written into the file: only under an exclusive flock on a path, so that
    /// no two ever write at once.
    pub recorded: bool,
    /// Whether a deleted lock file is looked for where the lock file is new.
    pub wary: bool,
}

/// For one or for many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Excludes every other lock.
    Exclusive,
    /// Excludes exclusive locks.
    Shared,
}

/// Which lock of the system's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// flock(2), on the whole file.
    Flock,
    /// An open-file-description lock of fcntl(2), on `length` bytes from `start`; a length of 0
    /// reaches to the end of the file, wherever that will be.
    Records {
        /// The first byte.
        start: i64,
        /// How many bytes.
        length: i64,
    },
}

/// What to do if the lock is taken.
#[derive(Clone, Copy)]
pub enum Patience {
    /// Refuse.
    None,
    /// Wait for so long.
    For(Duration),
    /// Wait as long as it takes.
    Endless,
}

/// What this process becomes.
#[derive(Clone, Copy)]
pub enum Command {
    /// Words as they were given: the program's name, and after it its arguments.
    Words(&'static CStr, Words),
    /// A command line for the shell.
    Line(&'static CStr),
}

impl Terms {
    /// What the lock file has to be opened for: of all locks only an exclusive record lock wants a
    /// descriptor that can be written to (fcntl(2)).
    pub fn access(&self) -> Access {
        match (self.api, self.kind) {
            (Api::Records { .. }, Kind::Exclusive) => Access::Write,
            _ => Access::Read,
        }
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(out, "{}", Escaped(path.to_bytes())),
            Place::Descriptor(number) => write!(out, "descriptor {number}"),
        }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// [`Error::Usage`], which says what is wrong with which word.
pub fn read(words: Words, dialect: Dialect) -> Result<Request, Error> {
    if words.count() < 2 {
        return Err(usage("no lock file given; see --help"));
    }
    let given = words.from(1);
    let reach = reach_of_options(given);
    let mut parser = Parser::from_args(given.iter().take(reach).map(to_os_string));
    // `-E=5` is the value "=5" to getopt(3), and wrong.
    parser.set_short_equals(false);

    let mut wishes = Wishes::default();
    let first = loop {
        let Some(argument) = parser.next().map_err(usage)? else {
            break reach;
        };
        let known = match argument {
            Arg::Value(_) => break reach - left(&mut parser)? - 1,
            Arg::Short(letter) => flags::by_short(letter, dialect),
            Arg::Long(name) => flags::by_long(name, dialect),
        };
        let Some(option) = known else {
            return Err(usage(argument.unexpected()));
        };
        match option {
            Opt::Help => return Ok(Request::Show(Page::Help(dialect))),
            Opt::Version => return Ok(Request::Show(Page::Version(dialect))),
            // Behind `--fd FD` it stands where the command would.
            Opt::Command if wishes.descriptor.is_some() => {
                let index = reach - left(&mut parser)? - 1;
                if given.get(index).is_some_and(asks_for_shell) {
                    break index;
                }
                return Err(usage("-c goes on its own"));
            }
            other => wishes.take(other, &mut parser)?,
        }
    };
    wishes.request(given.from(first), dialect)
}

/// What the options say, before it is known whether they go together.
#[derive(Default)]
struct Wishes {
    nonblock: bool,
    /// The inner nothing is a wait without an end.
    wait: Option<Option<Duration>>,
    block: bool,
    kind: Option<Wish>,
    conflict: Option<u8>,
    descriptor: Option<RawFd>,
    records: bool,
    start: i64,
    length: i64,
    voice: Option<Voice>,
    alarm: Option<Duration>,
    log: Option<OsString>,
    status: bool,
    json: bool,
    /// Options that do not go together with `--status`, by the name that was given.
    not_for_status: Option<Opt>,
}

/// What -s, -x and -u choose; the last one wins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Lock(Kind),
    Unlock,
}

impl Wishes {
    fn take(&mut self, option: Opt, parser: &mut Parser) -> Result<(), Error> {
        let mut value = || parser.value().map_err(usage);
        if !matches!(option, Opt::Status | Opt::Json | Opt::Log | Opt::Quiet) {
            self.not_for_status = Some(option);
        }
        match option {
            Opt::Nonblock => self.nonblock = true,
            Opt::Timeout => self.wait = Some(number::seconds(&value()?)?),
            Opt::Block => self.block = true,
            Opt::Shared => self.kind = Some(Wish::Lock(Kind::Shared)),
            Opt::Exclusive => self.kind = Some(Wish::Lock(Kind::Exclusive)),
            Opt::Unlock => self.kind = Some(Wish::Unlock),
            Opt::ConflictStatus => self.conflict = Some(number::exit_status(&value()?)?),
            Opt::Close => return Err(usage("--close is not available yet")),
            Opt::Command => return Err(usage("-c goes right after the lock file, or after --fd")),
            Opt::Descriptor => self.descriptor = Some(number::descriptor(&value()?)?),
            Opt::Fcntl => self.records = true,
            Opt::Start => {
                self.records = true;
                self.start = number::bytes(&value()?)?;
            }
            Opt::Length => {
                self.records = true;
                self.length = number::bytes(&value()?)?;
            }
            Opt::Verbose => self.voice = Some(Voice::Verbose),
            Opt::Quiet => self.voice = Some(Voice::Quiet),
            Opt::Alarm => self.alarm = Some(time::duration(&value()?)?),
            Opt::Log => self.log = Some(value()?),
            Opt::Status => self.status = true,
            Opt::Json => self.json = true,
            Opt::NoFork | Opt::Help | Opt::Version => {}
        }
        Ok(())
    }

    /// Puts them together with the words behind them: a lock file and a command, or a descriptor.
    fn request(self, rest: Words, dialect: Dialect) -> Result<Request, Error> {
        if self.status {
            return self.status_request(rest);
        }
        if self.json {
            return Err(usage("--json goes together with --status only"));
        }
        let (place, words) = match (self.descriptor, rest.get(0)) {
            (Some(number), _) => (Place::Descriptor(number), rest),
            (None, Some(path)) => (Place::File(path), rest.from(1)),
            (None, None) => return Err(usage("no lock file given; see --help")),
        };
        let patience = self.patience(dialect)?;
        let api = match (self.records, sys::HAVE_RANGES) {
            (false, _) => Api::Flock,
            (true, true) => Api::Records {
                start: self.start,
                length: self.length,
            },
            (true, false) => {
                return Err(usage(
                    "this system has no locks for --fcntl, --start and --length",
                ));
            }
        };
        let manner = Manner {
            dialect,
            voice: self.voice.unwrap_or(Voice::Normal),
            conflict: self.conflict.unwrap_or(1),
            alarm: self.alarm,
        };
        let command = command(words)?;
        let kind = match (
            self.kind.unwrap_or(Wish::Lock(Kind::Exclusive)),
            command.is_some(),
        ) {
            (Wish::Lock(kind), _) => kind,
            (Wish::Unlock, true) => {
                return Err(usage(
                    "-u drops the lock of a descriptor and runs no command",
                ));
            }
            (Wish::Unlock, false) => {
                return Ok(Request::Unlock(lone_descriptor(place)?, api, manner));
            }
        };
        let recorded = dialect == Dialect::Nonoverlap
            && kind == Kind::Exclusive
            && api == Api::Flock
            && matches!(place, Place::File(_));
        let wary = dialect == Dialect::Nonoverlap;
        let terms = Terms {
            kind,
            api,
            patience,
            recorded,
            wary,
        };
        match (command, self.log) {
            (Some(_), Some(log)) if is_named(place, &log) => Err(usage(format_args!(
                "--log takes another file than the lock file {place}"
            ))),
            (Some(command), log) => Ok(Request::Run(Run {
                place,
                terms,
                command,
                log,
                manner,
            })),
            (None, Some(_)) => Err(usage("--log takes a command")),
            (None, None) => Ok(Request::Lock(lone_descriptor(place)?, terms, manner)),
        }
    }

    fn status_request(self, paths: Words) -> Result<Request, Error> {
        if let Some(option) = self.not_for_status {
            let name = flags::name(option);
            return Err(usage(format_args!(
                "{name} does not go together with --status"
            )));
        }
        if paths.count() == 0 {
            return Err(usage("no lock file given; see --help"));
        }
        let form = match (self.voice, self.json) {
            (Some(Voice::Quiet), false) => Form::Quiet,
            (Some(Voice::Quiet), true) => return Err(usage("--json does not go together with -q")),
            (_, true) => Form::Json,
            (_, false) => Form::Text,
        };
        Ok(Request::Status(Status {
            paths,
            form,
            log: self.log,
        }))
    }

    fn patience(&self, dialect: Dialect) -> Result<Patience, Error> {
        match (self.block, self.nonblock, self.wait) {
            (true, false, None) => Ok(Patience::Endless),
            (true, _, _) => Err(usage("-b does not go together with -n or -w")),
            (false, true, _) => Ok(Patience::None),
            (false, false, Some(Some(Duration::ZERO))) => Ok(Patience::None),
            (false, false, Some(Some(time))) => Ok(Patience::For(time)),
            (false, false, Some(None)) => Ok(Patience::Endless),
            (false, false, None) => match dialect {
                Dialect::Nonoverlap => Ok(Patience::None),
                Dialect::Flock => Ok(Patience::Endless),
            },
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

fn is_named(place: Place, name: &OsStr) -> bool {
    matches!(place, Place::File(path) if path.to_bytes() == name.as_bytes())
}

fn asks_for_shell(word: &CStr) -> bool {
    matches!(word.to_bytes(), b"-c" | b"--command")
}

/// The descriptor that stands where a lock file would, since no command comes after it.
fn lone_descriptor(place: Place) -> Result<RawFd, Error> {
    match place {
        Place::Descriptor(_) => Err(usage(
            "--fd takes a command; to lock a descriptor, give its number alone",
        )),
        Place::File(word) => number::descriptor(OsStr::from_bytes(word.to_bytes())).map_err(|_| {
            usage(format_args!(
                "bad file descriptor: '{}'; to lock a file, give a command",
                word.to_string_lossy()
            ))
        }),
    }
}

/// How many words options and the lock file can reach at the most, so that a long command line is
/// not copied.
///
/// Where two words in a row have no dash in front, options have ended by the second: the first is
/// either an option's argument, and then the second is the lock file, or it is itself the lock file
/// or something behind it.
fn reach_of_options(given: Words) -> usize {
    let mut last_was_plain = false;
    for (index, word) in given.iter().enumerate() {
        let plain = !word.to_bytes().starts_with(b"-");
        if plain && last_was_plain {
            return index + 1;
        }
        last_was_plain = plain;
    }
    given.count()
}

/// How many words the parser has left of its share.
fn left(parser: &mut Parser) -> Result<usize, Error> {
    Ok(parser.raw_args().map_err(usage)?.as_slice().len())
}

fn to_os_string(word: &CStr) -> OsString {
    OsStr::from_bytes(word.to_bytes()).to_os_string()
}

fn usage(what: impl ToString) -> Error {
    Error::Usage(what.to_string())
}
