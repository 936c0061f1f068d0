//! From argv to a [`Request`], in which wrong combinations cannot be said. Touches no file, clock
//! or environment.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use lexopt::{Arg, Parser};

use crate::flags::{self, Opt};
use crate::help::Page;
use crate::outcome::{Error, Voice};
use crate::sys::Words;

/// What the caller wants.
pub enum Request {
    /// A page on standard output.
    Show(Page),
    /// A command under a lock.
    Run(Run),
}

/// A command under a lock.
pub struct Run {
    /// The lock file, byte for byte as it was given.
    pub path: &'static CStr,
    /// What to become once the lock is held.
    pub command: Command,
    /// The exit status if the lock is taken.
    pub conflict: u8,
    /// How much to say.
    pub voice: Voice,
}

/// What this process becomes.
#[derive(Clone, Copy)]
pub struct Command {
    /// The first word: argv[0] of the command, and what PATH is searched for if it has no slash.
    pub name: &'static CStr,
    /// All words, the name among them.
    pub words: Words,
}

/// Reads the command line.
///
/// # Errors
///
/// [`Error::Usage`], which says what is wrong with which word.
pub fn read(words: Words) -> Result<Request, Error> {
    let given = words.from(1);
    let reach = reach_of_options(given);
    let mut parser = Parser::from_args(given.iter().take(reach).map(to_os_string));
    // `-E=5` is the value "=5" to getopt(3), and wrong.
    parser.set_short_equals(false);

    let mut conflict = 1;
    let mut voice = Voice::Normal;
    loop {
        let Some(argument) = parser.next().map_err(usage)? else {
            return Err(usage("no lock file given; see nonoverlap --help"));
        };
        let known = match argument {
            Arg::Value(_) => break,
            Arg::Short(letter) => flags::by_short(letter),
            Arg::Long(name) => flags::by_long(name),
        };
        let Some(option) = known else {
            return Err(usage(argument.unexpected()));
        };
        match option {
            Opt::Nonblock => {}
            Opt::ConflictStatus => conflict = exit_status(&parser.value().map_err(usage)?)?,
            Opt::Verbose => voice = Voice::Verbose,
            Opt::Quiet => voice = Voice::Quiet,
            Opt::Help => return Ok(Request::Show(Page::Help)),
            Opt::Version => return Ok(Request::Show(Page::Version)),
        }
    }

    // The parser stops right after the lock file, and what it has left of its share tells where in
    // argv that is.
    let behind = parser.raw_args().map_err(usage)?.count();
    let rest = given.from(reach - behind - 1);
    let words = rest.from(1);
    match (rest.get(0), words.get(0)) {
        (Some(path), Some(name)) => Ok(Request::Run(Run {
            path,
            command: Command { name, words },
            conflict,
            voice,
        })),
        (Some(path), None) => Err(usage(format_args!(
            "no command given for lock file {}",
            path.to_string_lossy()
        ))),
        (None, _) => Err(usage("no lock file given; see nonoverlap --help")),
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

fn to_os_string(word: &CStr) -> OsString {
    OsStr::from_bytes(word.to_bytes()).to_os_string()
}

fn usage(what: impl ToString) -> Error {
    Error::Usage(what.to_string())
}

fn exit_status(value: &OsStr) -> Result<u8, Error> {
    let number = value
        .to_str()
        .and_then(|text| text.trim_start().parse().ok());
    number.ok_or_else(|| {
        usage(format_args!(
            "-E takes a number from 0 to 255, not '{}'",
            value.to_string_lossy()
        ))
    })
}
