//! From argv to a [`Request`], in which wrong combinations cannot be said. Touches no file, clock
//! or environment.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::{self, Display};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::cli::help::{Page, Shell};
use crate::cli::options::{self as flags, Opt};
use crate::cli::rules::{Wishes, asks_for_shell, usage};
use crate::lock::file::Access;
use crate::lock::remote;
use crate::model::dialect::Dialect;
use crate::model::error::Error;
use crate::report::notice::Manner;
use crate::sys::Words;
use crate::text::escape::{Escaped, without_passwords};

/// What the caller wants.
pub enum Request {
    /// A page on standard output.
    Show(Page),
    /// To be told who holds these lock files.
    Status(Status),
    /// A run to be put into the crontab.
    Install(Install),
    /// The run of this lock file to be taken out of the crontab.
    Uninstall(Place, Effect),
    /// To drop the lock of a descriptor.
    Unlock(RawFd, Api, Manner),
    /// To lock a descriptor that the caller keeps.
    Lock(RawFd, Terms, Manner),
    /// A command under a lock.
    Run(Run),
}

/// A run for the crontab.
pub struct Install {
    /// When cron starts it, as [`crate::cron::schedule`] gives it.
    pub schedule: Vec<u8>,
    /// The name under which this program was started.
    pub program: &'static CStr,
    /// The options of the run.
    pub options: Vec<Given>,
    /// The run that they make.
    pub run: Run,
    /// What becomes of the crontab.
    pub effect: Effect,
}

/// An option as it was given.
pub struct Given {
    /// Which.
    pub option: Opt,
    /// By this of its names, with the dashes.
    pub name: String,
    /// With this argument, if it takes one.
    pub value: Option<OsString>,
}

/// What becomes of the crontab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is changed.
    Change,
    /// It is shown as it would be.
    Show,
}

/// What is asked about locks.
pub struct Status {
    /// The lock files, or locks on servers.
    pub paths: Words,
    /// How to answer.
    pub form: Form,
    /// How many slots of each to show.
    pub slots: u16,
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
    /// How many may run at once, if it is not one: the first free slot is taken.
    pub slots: Option<u16>,
    /// Who keeps the lock's descriptor.
    pub keeper: Keeper,
    /// When the command's process is sent SIGALRM.
    pub max_runtime: Option<Duration>,
    /// The file that its output is appended to.
    pub log: Option<OsString>,
    /// What becomes of the command if a server loses its lock.
    pub on_lost: OnLost,
    /// How long a server keeps the lock at least, though the command has ended.
    pub hold_at_least: Option<Duration>,
    /// How to speak.
    pub manner: Manner,
}

/// What becomes of the command's process when the connection that its lock is bound to has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It is sent SIGTERM.
    #[default]
    Term,
    /// It is killed.
    Kill,
    /// It is not told.
    Ignore,
}

/// Who keeps the lock's descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The command, which inherits it.
    Command,
    /// A guardian beside it.
    Guardian,
}

/// What is locked.
#[derive(Clone, Copy)]
pub enum Place {
    /// The file at a path, byte for byte as it was given.
    File(&'static CStr),
    /// A descriptor that the caller has open.
    Descriptor(RawFd),
    /// A lock on a server, `SCHEME://` and what the helper of that scheme makes of the rest.
    Remote(&'static CStr),
}

impl Place {
    /// What a word stands for that is given as a lock file.
    pub fn of(word: &'static CStr) -> Place {
        match remote::scheme(word) {
            None => Place::File(word),
            Some(_) => Place::Remote(word),
        }
    }
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
    /// Whether a deleted lock file is looked for where the lock file is new, and a holder that let
    /// go where it is not.
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
            Place::Remote(word) => write!(out, "{}", Escaped(&without_passwords(word.to_bytes()))),
        }
    }
}

impl Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Words(name, words) => {
                write!(out, "{}", Escaped(name.to_bytes()))?;
                words
                    .from(1)
                    .iter()
                    .try_for_each(|word| write!(out, " {}", Escaped(word.to_bytes())))
            }
            Command::Line(line) => write!(out, "{}", Escaped(line.to_bytes())),
        }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// [`Error::Usage`], which says what is wrong with which word.
#[inline(never)] // What it had on the stack is used again for the next step, still in the cache.
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
        let is_long = matches!(argument, Arg::Long(_));
        let known = match argument {
            Arg::Value(_) => break reach - left(&mut parser)? - 1,
            Arg::Short(letter) => flags::by_short(letter, dialect),
            Arg::Long(name) => flags::by_long(name, dialect),
        };
        let Some(option) = known else {
            return Err(usage(argument.unexpected()));
        };
        // A page is shown at once, so nothing else would look at a value behind `=`.
        if is_long && matches!(option, Opt::Help | Opt::Version) {
            if let Some(value) = parser.optional_value() {
                let option = flags::name(option);
                return Err(usage(lexopt::Error::UnexpectedValue { option, value }));
            }
        }
        match option {
            Opt::Help => return Ok(Request::Show(Page::Help(dialect))),
            Opt::Version => return Ok(Request::Show(Page::Version(dialect))),
            Opt::Completions => {
                let shell = shell(&parser.value().map_err(usage)?)?;
                return Ok(Request::Show(Page::Completions(shell)));
            }
            // Behind `--fd FD` it stands where the command would.
            Opt::Command if wishes.names_descriptor() => {
                let index = reach - left(&mut parser)? - 1;
                if given.get(index).is_some_and(asks_for_shell) {
                    break index;
                }
                return Err(usage("-c goes on its own"));
            }
            other => wishes.take(other, &mut parser)?,
        }
    };
    let (schedule, effect) = (wishes.schedule(), wishes.effect());
    let request = wishes.request(given.from(first), dialect)?;
    match (schedule, request, words.get(0)) {
        (Some(schedule), Request::Run(run), Some(program)) => Ok(Request::Install(Install {
            schedule,
            program,
            options: options(given, first)?,
            run,
            effect,
        })),
        (_, request, _) => Ok(request),
    }
}

/// The first so many words once more, as the options of a run that cron will start. They have been
/// read before, so nothing of this fails.
fn options(given: Words, count: usize) -> Result<Vec<Given>, Error> {
    let mut parser = Parser::from_args(given.iter().take(count).map(to_os_string));
    parser.set_short_equals(false);
    let mut options = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        let (known, name) = match argument {
            Arg::Value(_) => break,
            Arg::Short(letter) => (
                flags::by_short(letter, Dialect::Nonoverlap),
                format!("-{letter}"),
            ),
            Arg::Long(name) => (
                flags::by_long(name, Dialect::Nonoverlap),
                format!("--{name}"),
            ),
        };
        let Some(option) = known else {
            return Err(usage(argument.unexpected()));
        };
        let value = flags::takes_argument(option).then(|| parser.value());
        let value = value.transpose().map_err(usage)?;
        if !matches!(option, Opt::Install | Opt::DryRun) {
            options.push(Given {
                option,
                name,
                value,
            });
        }
    }
    Ok(options)
}

fn shell(name: &OsStr) -> Result<Shell, Error> {
    match name.as_bytes() {
        b"bash" => Ok(Shell::Bash),
        b"zsh" => Ok(Shell::Zsh),
        b"fish" => Ok(Shell::Fish),
        _ => Err(usage(format_args!(
            "--completions takes bash, zsh or fish, not '{}'",
            name.to_string_lossy()
        ))),
    }
}

/// How many words options can reach at the most, so that a long command line is not copied.
///
/// Where two words in a row have no dash in front, options have ended by the second: the first is
/// either an option's argument, and then the second is the lock file, or it is itself the lock file
/// or something behind it.
fn reach_of_options(given: Words) -> usize {
    let mut last_was_plain = false;
    for (index, word) in given.iter().enumerate() {
        let plain = !word.to_bytes().starts_with(b"-");
        if plain && last_was_plain {
            return index;
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
