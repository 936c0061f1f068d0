//! The words of argv, read one by one.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use lexopt::{Arg, Parser};

use super::nearest::nearest;
use super::options::{self, Opt};
use super::raw::RawOptions;
use super::request::asks_for_shell;
use crate::model::command::CommandLine;
use crate::model::dialect::Dialect;
use crate::model::error::{Error, usage};
use crate::model::request::{GivenOption, Install, Page, Request, Run, Shell, Value};
use crate::model::target::LockTarget;
use crate::sys::Words;
use crate::text::escape::Escaped;

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
    let reach = longest_prefix(given);
    let mut parser = Parser::from_args(given.iter().take(reach).map(to_os_string));
    // `-E=5` is the value "=5" to getopt(3), and wrong.
    parser.set_short_equals(false);

    let mut raw = RawOptions::default();
    let first = loop {
        match next_option(&mut raw, &mut parser, given, reach, dialect)? {
            Next::Option => {}
            Next::Word(index) => break index,
            Next::Page(page) => return Ok(Request::Show(page)),
        }
    };
    let (schedule, apply) = (raw.schedule(), raw.apply());
    let request = raw.request(given.from(first), dialect)?;
    if let (Request::Run(run), Dialect::Nonoverlap) = (&request, dialect) {
        check_first_word(given, first, run)?;
    }
    match (schedule, request, words.get(0)) {
        (Some(schedule), Request::Run(run), Some(program)) => {
            check_last_word(given, first, run.command)?;
            Ok(Request::Install(Install {
                schedule,
                program,
                options: given_again(given, first)?,
                run,
                apply,
            }))
        }
        (_, request, _) => Ok(request),
    }
}

/// What comes next on the command line.
enum Next {
    /// An option, which has been noted.
    Option,
    /// The first word that is no option, by its index.
    Word(usize),
    /// A page that was asked for, whatever else there is.
    Page(Page),
}

/// Reads one option and its argument, of the first `reach` words.
fn next_option(
    raw: &mut RawOptions,
    parser: &mut Parser,
    given: Words,
    reach: usize,
    dialect: Dialect,
) -> Result<Next, Error> {
    let Some(argument) = parser.next().map_err(usage)? else {
        return Ok(Next::Word(reach));
    };
    let is_long = matches!(argument, Arg::Long(_));
    let known = match argument {
        Arg::Value(_) => return Ok(Next::Word(reach - left(parser)? - 1)),
        Arg::Short(letter) => options::by_short(letter, dialect),
        Arg::Long(name) => options::by_long(name, dialect),
    };
    let Some(option) = known else {
        return Err(unknown(argument, dialect));
    };
    // A page is shown at once, so nothing else would look at a value behind `=`.
    if is_long && matches!(option, Opt::Help | Opt::Version) {
        if let Some(value) = parser.optional_value() {
            let option = options::name(option);
            return Err(usage(lexopt::Error::UnexpectedValue { option, value }));
        }
    }
    match option {
        Opt::Help if is_long => return Ok(Next::Page(Page::Help(dialect))),
        Opt::Help => return Ok(Next::Page(Page::ShortHelp(dialect))),
        Opt::Version => return Ok(Next::Page(Page::Version(dialect))),
        Opt::Completions => {
            let shell = shell(&parser.value().map_err(usage)?)?;
            return Ok(Next::Page(Page::Completions(shell)));
        }
        // Behind `--fd FD` it stands where the command would.
        Opt::Command if raw.names_descriptor() => {
            let index = reach - left(parser)? - 1;
            return match given.get(index).is_some_and(asks_for_shell) {
                true => Ok(Next::Word(index)),
                false => Err(usage("-c cannot be combined with other letters")),
            };
        }
        other => raw.take(other, parser, dialect)?,
    }
    Ok(Next::Option)
}

/// What is wrong with an option that there is not. flock has words of its own.
fn unknown(argument: Arg<'_>, dialect: Dialect) -> Error {
    let nearest = match argument {
        Arg::Long(name) => nearest(name),
        Arg::Short(_) | Arg::Value(_) => None,
    };
    let unexpected = argument.unexpected();
    match (dialect, nearest) {
        (Dialect::Flock, _) => usage(unexpected),
        (Dialect::Nonoverlap, None) => usage(format_args!("{unexpected}; see --help")),
        (Dialect::Nonoverlap, Some(name)) => {
            usage(format_args!("{unexpected}, perhaps --{name}; see --help"))
        }
    }
}

/// Whether the options end with `--`, right before the word at `first`.
fn ends_options(given: Words, first: usize) -> bool {
    let before = first.checked_sub(1).and_then(|before| given.get(before));
    before.is_some_and(|word| word.to_bytes() == b"--")
}

/// Refuses a command that begins with a dash behind a lock file: whoever wrote it there means an option.
/// `--` before the lock file, which is the word at `first`, says that it is none.
fn check_first_word(given: Words, first: usize, run: &Run) -> Result<(), Error> {
    let CommandLine::Words(name, _) = run.command else {
        return Ok(());
    };
    let is_behind_lock_file = !matches!(run.target, LockTarget::Descriptor(_));
    if !(is_behind_lock_file && name.to_bytes().starts_with(b"-")) || ends_options(given, first) {
        return Ok(());
    }
    let target = run.target;
    Err(match name.to_bytes() {
        b"--" => usage(format_args!(
            "options go before the lock file '{target}', and so does --"
        )),
        name => usage(format_args!(
            "options go before the lock file '{target}'; \
             if '{}' is the command, put -- before the lock file",
            Escaped(name)
        )),
    })
}

/// Refuses a command whose last word is `--dry-run`: whoever wrote it there, as most tools take it,
/// wants to see the crontab and not to have it changed. `--` before the lock file, which is the word at
/// `first`, says that it is the command's own.
fn check_last_word(given: Words, first: usize, command: CommandLine) -> Result<(), Error> {
    let is = |index: usize, text: &[u8]| given.get(index).is_some_and(|it| it.to_bytes() == text);
    let is_last = is(given.count().saturating_sub(1), b"--dry-run");
    match command {
        CommandLine::Words(..) if is_last && !ends_options(given, first) => Err(usage(
            "--dry-run goes before the lock file; if it belongs to the command, put -- before the lock file",
        )),
        _ => Ok(()),
    }
}

/// The first so many words once more, as the options of a run that cron will start. They have been
/// read before, so nothing of this fails.
fn given_again(given: Words, count: usize) -> Result<Vec<GivenOption>, Error> {
    let mut parser = Parser::from_args(given.iter().take(count).map(to_os_string));
    parser.set_short_equals(false);
    let mut again = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        let (known, name) = match argument {
            Arg::Value(_) => break,
            Arg::Short(letter) => (
                options::by_short(letter, Dialect::Nonoverlap),
                format!("-{letter}"),
            ),
            Arg::Long(name) => (
                options::by_long(name, Dialect::Nonoverlap),
                format!("--{name}"),
            ),
        };
        let Some(option) = known else {
            return Err(usage(argument.unexpected()));
        };
        let value = options::takes_argument(option).then(|| parser.value());
        let value = value.transpose().map_err(usage)?;
        if !matches!(option, Opt::Install | Opt::DryRun) {
            let value = value.map(|value| match option {
                Opt::Log => Value::Path(value),
                _ => Value::Word(value),
            });
            again.push(GivenOption { name, value });
        }
    }
    Ok(again)
}

/// SHELL of `--completions`.
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
fn longest_prefix(given: Words) -> usize {
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

/// A word of argv as lexopt takes it.
fn to_os_string(word: &CStr) -> OsString {
    OsStr::from_bytes(word.to_bytes()).to_os_string()
}
