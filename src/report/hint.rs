//! What to do about an error, where the mistake is a likely one. It looks at the disk and at PATH, but only
//! when there is an error to tell.

use std::ffi::{CStr, OsStr};
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, Access, FileType, Mode, OFlags};
use rustix::io::{self, Errno};

use crate::lock::file::OPEN_FLAGS;
use crate::model::error::Error;
use crate::model::target::LockTarget;
use crate::sys;
use crate::text::escape::Escaped;

/// An error, and what to do about it.
pub struct Advised<'a>(pub &'a Error);

impl Display for Advised<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)?;
        match self.0 {
            Error::Open(LockTarget::File(path), Errno::NOENT) => for_path(out, path.to_bytes()),
            Error::Log(path, Errno::NOENT) | Error::Folder(_, path, Errno::NOENT) => {
                for_path(out, path.as_bytes())
            }
            Error::ReadLog(path, Some(Errno::NOENT)) => for_path(out, path.to_bytes()),
            Error::Log(path, Errno::NXIO) if is_fifo(path) => out.write_str(UNREAD),
            Error::Execute {
                program,
                reason: Errno::NOENT | Errno::NOTDIR,
                lock,
                made_lock,
            } => {
                let is_taken = is_program(lock) || option(lock).is_some();
                match is_taken {
                    true => taken(out, lock)?,
                    false => for_command(out, program)?,
                }
                match (made_lock, is_taken) {
                    (true, true) => write!(out, "; this run made the file {lock}: remove it"),
                    (true, false) => write!(out, "; this run made the file {lock}"),
                    (false, _) => Ok(()),
                }
            }
            Error::Execute {
                reason: Errno::ACCESS,
                lock,
                ..
            } if is_program(lock) => taken(out, lock),
            Error::Execute {
                program,
                reason: Errno::ACCESS,
                ..
            } if is_script_without_x(program) => without_x(out, program),
            _ => Ok(()),
        }
    }
}

/// For a word that was to be a name.
const EMPTY: &str = "; the word is empty, perhaps because a variable is not set";

/// For a file that cannot be made: the first of its folders that is not there.
fn for_path(out: &mut Formatter<'_>, path: &[u8]) -> fmt::Result {
    if path.is_empty() {
        return out.write_str(EMPTY);
    }
    let folders = Path::new(OsStr::from_bytes(path)).ancestors().skip(1);
    let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
    let Some(missing) = folders.take_while(|folder| !folder.exists()).last() else {
        return Ok(());
    };
    let shown = Escaped(missing.as_os_str().as_bytes());
    write!(out, "; there is no folder {shown}")?;
    tilde(out, missing)
}

/// For a folder that is not there.
pub fn tilde(out: &mut Formatter<'_>, folder: &Path) -> fmt::Result {
    let name = folder.file_name().unwrap_or_default();
    match name.as_bytes().starts_with(b"~") {
        true => write!(out, ": {TILDE}"),
        false => Ok(()),
    }
}

/// For a name that begins so.
const TILDE: &str = "a shell replaces ~ only at the start of a word, without quotes";

/// Whether there is a FIFO.
fn is_fifo(path: &OsStr) -> bool {
    fs::stat(path).is_ok_and(|state| FileType::from_raw_mode(state.st_mode).is_fifo())
}

/// For a FIFO that cannot be opened for writing.
const UNREAD: &str = "; nobody reads this FIFO";

/// Whether what is locked could be executed, and so was perhaps meant to be.
fn is_program(lock: &LockTarget) -> bool {
    matches!(lock, LockTarget::File(word) if sys::find(word).is_ok())
}

/// The option that was perhaps meant by the name of a lock file.
fn option(lock: &LockTarget) -> Option<&'static str> {
    let LockTarget::File(word) = lock else {
        return None;
    };
    let options = ["status", "history", "install", "uninstall"];
    options
        .into_iter()
        .find(|option| option.as_bytes() == word.to_bytes())
}

/// For a program or the name of an option that stands where the lock file does.
fn taken(out: &mut Formatter<'_>, lock: &LockTarget) -> fmt::Result {
    write!(out, "; {lock} was taken as the lock file")?;
    match option(lock) {
        Some(option) => write!(out, ": the option is --{option}"),
        None => Ok(()),
    }
}

/// For a script that nobody may execute.
fn without_x(out: &mut Formatter<'_>, script: &CStr) -> fmt::Result {
    let name = Escaped(script.to_bytes());
    write!(out, "; it is not executable: chmod +x {name}")
}

/// Whether there is a script, by its first bytes, and it is executable for nobody.
fn is_script_without_x(path: &CStr) -> bool {
    let can_execute = Mode::XUSR | Mode::XGRP | Mode::XOTH;
    let is_without = |state: fs::Stat| !Mode::from_raw_mode(state.st_mode).intersects(can_execute);
    fs::stat(path).is_ok_and(is_without) && head(path).is_some_and(|head| head.starts_with(b"#!"))
}

/// For a command that is not found.
fn for_command(out: &mut Formatter<'_>, program: &CStr) -> fmt::Result {
    let name = program.to_bytes();
    if let Ok(place) = sys::find(program) {
        return match interpreter(&place) {
            Some(missing) => write!(
                out,
                "; its first line names {}, which is not there",
                Escaped(&missing)
            ),
            None => Ok(()),
        };
    }
    out.write_str(match name {
        [] => EMPTY,
        [b'~', ..] => return write!(out, "; {TILDE}"),
        _ if !name.contains(&b'/') && is_executable(program) => {
            return write!(out, "; it is in the working directory: ./{}", Escaped(name));
        }
        _ if !name.contains(&b'/') && is_script_without_x(program) => {
            return without_x(out, program);
        }
        _ if is_of_a_shell(name) => SHELLS_LINE,
        _ if name.iter().any(u8::is_ascii_whitespace) => ONE_WORD,
        _ if SHELLS_OWN.split(' ').any(|own| own.as_bytes() == name) => {
            "; only a shell knows it: use -c 'COMMAND LINE'"
        }
        _ if sets_variable(name) => {
            "; to set a variable, put env before it, or use -c 'COMMAND LINE'"
        }
        _ => "",
    })
}

/// Whether there is a file that we may execute.
fn is_executable(path: &CStr) -> bool {
    let is_file = |state: fs::Stat| FileType::from_raw_mode(state.st_mode).is_file();
    fs::access(path, Access::EXEC_OK).is_ok() && fs::stat(path).is_ok_and(is_file)
}

/// Whether a word looks like a command line that a shell has to read, and not like the path of a program.
fn is_of_a_shell(word: &[u8]) -> bool {
    let is_path = word.contains(&b'/') && !word.iter().any(u8::is_ascii_whitespace);
    !is_path && word.iter().any(|byte| b"&|;<>".contains(byte))
}

/// For a command line that a shell has to read.
const SHELLS_LINE: &str = "; that is a command line for a shell: put -c before it";

/// For a command line in quotes.
const ONE_WORD: &str = "; that is one word: leave out the quotes, or put -c before it";

/// Commands that are no programs, as a rule.
const SHELLS_OWN: &str = "cd source exec eval export set unset ulimit umask trap alias type \
                          if for while until case time { [[ !";

/// Whether a word is `NAME=value`.
fn sets_variable(word: &[u8]) -> bool {
    let Some(end) = word.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    let name = word.get(..end).unwrap_or_default();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(is_part)
}

/// The first bytes of a file: as many as the kernel reads of a script (linux/binfmts.h, BINPRM_BUF_SIZE).
fn head(path: &CStr) -> Option<Vec<u8>> {
    let file = fs::open(path, OFlags::RDONLY | OPEN_FLAGS, Mode::empty()).ok()?;
    let mut head = vec![0; 256];
    let count = io::read(&file, &mut head).ok()?;
    head.truncate(count);
    Some(head)
}

/// The program that the first line of a script names, if it is not there.
fn interpreter(script: &CStr) -> Option<Vec<u8>> {
    let head = head(script)?;
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|&byte| byte == b'\n').next()?;
    let mut words = line.split(|byte| b" \t".contains(byte));
    let program = words.find(|word| !word.is_empty())?;
    let is_missing = !Path::new(OsStr::from_bytes(program)).exists();
    is_missing.then(|| program.to_vec())
}
