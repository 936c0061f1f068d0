//! The crontab entry of a run: text in, text out. Runs nothing but crontab(1).
//!
//! An entry is two lines, a comment that marks it and the run itself:
//!
//! ```text
//! # nonoverlap --install: /tmp/parser.lock
//! */2 * * * * cd /home/me && /usr/local/bin/nonoverlap /tmp/parser.lock /usr/bin/python3 parser.py
//! ```
//!
//! All other lines stay as they are, byte for byte.

use std::env;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::process::{self, Command, Output, Stdio};
use std::slice;

use rustix::io::Errno;

use crate::cli::options::Opt;
use crate::cli::rules::usage;
use crate::model::error::{Answer, Error, Outcome};
use crate::model::request::{self, Effect, Install, Place};
use crate::run::exec;
use crate::sys;
use crate::text::escape::{in_a_line, position};

/// What the marking comment has before the lock file.
const MARK: &[u8] = b"# nonoverlap --install: ";

/// The longest command that every cron takes, in bytes: some cut a longer one off without a word
/// (MAX_COMMAND in Vixie cron's source), and half a command is another command.
const LONGEST: usize = 998;

/// Puts a run into the user's crontab, in place of the one that has the same lock file.
///
/// # Errors
///
/// Nothing is changed then, and no folder made.
pub fn install(asked: &Install) -> Result<Outcome, Error> {
    let here = Here::new()?;
    let lock = here.lock_file(asked.run.place)?;
    let log = asked.run.log.as_deref();
    let log = log.map(|log| here.log(log)).transpose()?;
    if log.as_ref() == Some(&lock) {
        return Err(usage("--log takes another file than the lock file"));
    }
    let line = line(asked, &here, &lock)?;
    let crontab = edit(&read()?, &lock, Some(&line)).unwrap_or_default();
    if asked.effect == Effect::Show {
        return Ok(shown(crontab));
    }
    let folders = log.as_deref().map_or(Ok(Vec::new()), make_folder)?;
    write(&crontab).inspect_err(|_| remove_folders(&folders))?;
    Ok(Outcome::Done)
}

/// Takes the run of this lock file out of the user's crontab.
///
/// # Errors
///
/// Nothing is changed then. [`Error::NoEntry`] where there is none.
pub fn uninstall(place: Place, effect: Effect) -> Result<Outcome, Error> {
    let lock = Here::new()?.lock_file(place)?;
    let Some(crontab) = edit(&read()?, &lock, None) else {
        return Err(Error::NoEntry(match place {
            // It may have a password in it.
            Place::Remote(_) => place.to_string().into(),
            _ => lock.into_os_string(),
        }));
    };
    if effect == Effect::Show {
        return Ok(shown(crontab));
    }
    write(&crontab)?;
    Ok(Outcome::Done)
}

fn shown(text: Vec<u8>) -> Outcome {
    Outcome::Told(Answer { text, status: 0 })
}

/// Five fields or one `@word`, with a blank between each. What they say is crontab's to judge, but
/// what it would not take for a schedule at all must not get so far.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn schedule(given: &OsStr) -> Result<Vec<u8>, Error> {
    let wrong = |what| {
        let given = given.to_string_lossy();
        Err(usage(format_args!("bad schedule: '{given}'; {what}")))
    };
    let given = given.as_bytes();
    if given.contains(&b'\n') {
        return wrong("a crontab line cannot hold a newline");
    }
    let fields: Vec<_> = given
        .split(|byte| b" \t".contains(byte))
        .filter(|field| !field.is_empty())
        .collect();
    match fields.first() {
        // The line would be a comment, or set a variable.
        Some([b'#', ..]) => return wrong("that is a comment"),
        _ if given.contains(&b'=') => return wrong("that is a variable"),
        Some([b'@', ..]) if fields.len() == 1 => {}
        // The fields behind it would be the command.
        Some([b'@', ..]) => return wrong("an @word stands alone"),
        _ if fields.len() == 5 => {}
        _ => return wrong("it takes five fields or one @word"),
    }
    Ok(fields.join(&b' '))
}

/// The working directory, which relative paths begin from, now and when cron starts the run.
struct Here(PathBuf);

impl Here {
    fn new() -> Result<Here, Error> {
        env::current_dir()
            .map(Here)
            .map_err(|error| Error::Here(errno(&error)))
    }

    /// An absolute path, by text alone: no link is resolved, and nothing has to exist. An empty one
    /// would become this folder, which a run would not.
    fn absolute(&self, path: &OsStr) -> Result<PathBuf, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        path::absolute(self.0.join(path)).map_err(|error| errno(&error))
    }

    /// The word that stands for the lock, wherever it is read.
    fn lock_file(&self, place: Place) -> Result<PathBuf, Error> {
        let path = match place {
            Place::File(path) => path,
            Place::Remote(word) => return Ok(OsStr::from_bytes(word.to_bytes()).into()),
            Place::Descriptor(_) => return Err(usage("--install takes a lock file")),
        };
        self.absolute(OsStr::from_bytes(path.to_bytes()))
            .map_err(|reason| Error::Open(place, reason))
    }

    fn log(&self, path: &OsStr) -> Result<PathBuf, Error> {
        self.absolute(path)
            .map_err(|reason| Error::Log(path.to_owned(), reason))
    }

    /// Where PATH finds a program now, since cron's PATH is bare.
    fn program(&self, name: &CStr) -> Result<PathBuf, Error> {
        exec::find(name)
            .and_then(|place| self.absolute(OsStr::from_bytes(place.to_bytes())))
            .map_err(|reason| Error::Execute(name.to_owned().into(), reason))
    }
}

/// The line that cron is to run, without its newline.
fn line(asked: &Install, here: &Here, lock: &Path) -> Result<Vec<u8>, Error> {
    let mut words = vec![here.program(asked.program)?.into_os_string()];
    for given in &asked.options {
        words.push(given.name.clone().into());
        match &given.value {
            Some(log) if given.option == Opt::Log => words.push(here.log(log)?.into_os_string()),
            value => words.extend(value.clone()),
        }
    }
    words.push(lock.as_os_str().to_owned());
    match asked.run.command {
        request::Command::Line(line) => {
            words.extend(["-c".into(), OsStr::from_bytes(line.to_bytes()).to_owned()]);
        }
        request::Command::Words(name, arguments) => {
            words.push(here.program(name)?.into_os_string());
            let arguments = arguments.from(1).iter().map(CStr::to_bytes);
            words.extend(arguments.map(|word| OsStr::from_bytes(word).to_owned()));
        }
    }
    let mut command = b"cd ".to_vec();
    command.extend(quoted(here.0.as_os_str()));
    command.extend(b" &&");
    for word in &words {
        command.push(b' ');
        command.extend(quoted(word));
    }
    if command.contains(&b'\n') {
        return Err(usage("a crontab line cannot hold a newline"));
    }
    if command.len() > LONGEST {
        return Err(usage(format_args!(
            "the command is {} bytes long in the crontab; the most that every cron takes is {LONGEST}",
            command.len()
        )));
    }
    Ok([&asked.schedule[..], &command].join(&b' '))
}

/// A word as sh reads it, in a line that cron reads before.
///
/// Cron takes the backslash before a `%` away, whatever the quotes, and makes a newline of a `%`
/// that has none; some crons make one backslash of two. So a backslash of the word's own is kept
/// apart from what comes behind it by quotes that end and begin again.
pub fn quoted(word: &OsStr) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./:,@=".contains(byte);
    let word = word.as_bytes();
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.to_vec();
    }
    let mut text = b"'".to_vec();
    for &byte in word {
        match byte {
            b'\'' => text.extend(br"'\''"),
            b'\\' => text.extend(br"\''"),
            b'%' => text.extend(br"\%"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    text
}

/// A crontab in which the entry of this lock file is this line, or is no more. Nothing where there is
/// neither an entry nor a line.
pub fn edit(crontab: &[u8], lock: &Path, line: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut mark = MARK.to_vec();
    mark.extend(lock.as_os_str().as_bytes());
    mark.push(b'\n');
    let mut entry = line.map(|line| [&mark, line, b"\n"].concat());
    let mut changed = entry.is_some();

    let word = quoted(lock.as_os_str());
    let mut edited = Vec::new();
    let mut lines = crontab.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        // A mark whose line is gone does not make an entry of the line below.
        if line == mark && lines.next_if(|line| is_run_of(&word, line)).is_some() {
            changed = true;
            edited.extend(entry.take().unwrap_or_default());
        } else {
            edited.extend(line);
        }
    }
    // crontab(1) refuses a last line without a newline.
    if edited.last().is_some_and(|&byte| byte != b'\n') {
        edited.push(b'\n');
    }
    edited.extend(entry.unwrap_or_default());
    changed.then_some(edited)
}

/// Whether a line is a run with this lock file, be its schedule, options or command changed by hand.
fn is_run_of(lock: &[u8], line: &[u8]) -> bool {
    let behind = |line, word: &[u8]| {
        let word = [b" ", word, b" "].concat();
        position(line, &word).and_then(|at| line.get(at + word.len() - 1..))
    };
    [b"cd", b"&&", lock]
        .into_iter()
        .try_fold(line, behind)
        .is_some()
}

/// The user's crontab. It is empty where there is none.
fn read() -> Result<Vec<u8>, Error> {
    let mut crontab = Command::new("crontab");
    // Debian's leaves out up to three comments at the start, if it takes them for its own.
    crontab.arg("-l").env("CRONTAB_NOHEADER", "N");
    let output = run(&mut crontab)?;
    if output.status.success() {
        return as_it_is(without_header(&output.stdout));
    }
    if output.stdout.is_empty() && position(&output.stderr, b"no crontab for ").is_some() {
        return Ok(Vec::new());
    }
    Err(Error::Crontab("read", said(&output)))
}

/// What a listed crontab really is.
///
/// Debian's crontab(1) lists a carriage return as the two letters `\r` and a backspace as `\b`, so
/// that nothing can hide on a terminal, and written back they would be letters. An editor gets the
/// bytes themselves; ours prints them.
fn as_it_is(listed: &[u8]) -> Result<Vec<u8>, Error> {
    if position(listed, br"\r")
        .or(position(listed, br"\b"))
        .is_none()
    {
        return Ok(listed.to_vec());
    }
    let mut crontab = Command::new("crontab");
    crontab.arg("-e").env("VISUAL", "cat").env("EDITOR", "cat");
    let output = run(&mut crontab)?;
    if output.stdout == listed || as_listed(&output.stdout) == listed {
        return Ok(output.stdout);
    }
    let said = b"crontab -l does not list it byte for byte";
    Err(Error::Crontab("read", said.to_vec()))
}

fn as_listed(crontab: &[u8]) -> Vec<u8> {
    let listed = crontab.iter().map(|byte| match byte {
        b'\r' => &br"\r"[..],
        b'\x08' => br"\b",
        other => slice::from_ref(other),
    });
    listed.collect::<Vec<_>>().concat()
}

/// A crontab without the three lines that crontab(1) puts in front of every one, on some systems.
fn without_header(crontab: &[u8]) -> &[u8] {
    let mut lines = crontab.splitn(4, |&byte| byte == b'\n');
    match (lines.next(), lines.next(), lines.next(), lines.next()) {
        (Some(first), Some(second), Some(third), Some(rest))
            if first == b"# DO NOT EDIT THIS FILE - edit the master and reinstall."
                && second.starts_with(b"# (")
                && position(second, b" installed on ").is_some()
                && third.starts_with(b"# (Cron version") =>
        {
            rest
        }
        _ => crontab,
    }
}

/// How many more names are tried for a file.
const OTHER_NAMES: u32 = 100;

/// Makes this the user's crontab.
///
/// crontab(1) reads a file that is complete before it starts. From a pipe it would take the half for
/// the whole, should this process be killed.
fn write(crontab: &[u8]) -> Result<(), Error> {
    let folder = env::temp_dir();
    let file = scratch(&folder, crontab)
        .map_err(|error| Error::Scratch(folder.into_os_string(), errno(&error)))?;
    let output = run(Command::new("crontab").arg("-").stdin(file))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Crontab("change", said(&output)))
}

/// A file that has no name any more, with this in it, to be read from the start.
fn scratch(folder: &Path, text: &[u8]) -> io::Result<Stdio> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true).mode(0o600);
    let mut path = folder.join(format!("nonoverlap.{}", process::id()));
    let mut opened = options.open(&path);
    // Somebody may have left a file of that name, or put one there.
    for number in 1..=OTHER_NAMES {
        if !matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
        path = folder.join(format!("nonoverlap.{}.{number}", process::id()));
        opened = options.open(&path);
    }
    let mut file = opened?;
    fs::remove_file(&path)?;
    sys::unsignalled(|| file.write_all(text))?;
    file.rewind()?;
    Ok(file.into())
}

fn run(crontab: &mut Command) -> Result<Output, Error> {
    sys::with_children(|| crontab.output()).map_err(|error| Error::NoCrontab(errno(&error)))
}

/// What crontab(1) said when it failed, in a line; or how it ended, if it said nothing.
fn said(output: &Output) -> Vec<u8> {
    match in_a_line(&output.stderr) {
        line if line.is_empty() => format!("crontab ended with {}", output.status).into_bytes(),
        line => line,
    }
}

/// Makes the folder of a log, and those on the way to it. Gives the ones that were not there.
fn make_folder(log: &Path) -> Result<Vec<PathBuf>, Error> {
    let on_the_way = log.ancestors().skip(1);
    let missing: Vec<_> = on_the_way.take_while(|path| !path.is_dir()).collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => made.push(folder.to_owned()),
            Err(_) if folder.is_dir() => {}
            Err(error) => {
                remove_folders(&made);
                let reason = match errno(&error) {
                    Errno::EXIST => Errno::NOTDIR,
                    other => other,
                };
                return Err(Error::LogFolder(log.as_os_str().to_owned(), reason));
            }
        }
    }
    Ok(made)
}

fn remove_folders(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
