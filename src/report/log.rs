//! The log that a run was told to write: the command's own output, and a dated line for all that a run
//! has to say.

use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, Mode, OFlags, SeekFrom};
use rustix::io::{self, Errno};
use rustix::stdio;

use super::hint::Advised;
use crate::lock::file::LockFile;
use crate::lock::held::Held;
use crate::model::error::Error;
use crate::model::target::{self, LockTarget};
use crate::sys::{self, FileId};
use crate::text::time::{Moment, Zone};

/// The first descriptor that is none of the three streams.
const BEHIND_THE_STREAMS: RawFd = 3;

/// Refuses a log that has the name of the lock file, or of a slot's, in the same folder, however both are
/// spelled. Nothing is opened for it, and so nothing made.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn check_name(log: &OsStr, target: LockTarget, slots: Option<u16>) -> Result<(), Error> {
    let Some((log_folder, log_name)) = split(log.as_bytes()) else {
        return Ok(());
    };
    let folder_of = |folder: &[u8]| {
        let state = sys::state_of_path(&CString::new(folder).ok()?).ok()?;
        Some(state.id)
    };
    for (_, target) in target::slots(target, slots) {
        let LockTarget::File(path) = target else {
            continue;
        };
        let Some((folder, _)) = split(path.to_bytes()).filter(|(_, name)| *name == log_name) else {
            continue;
        };
        let there = folder_of(folder);
        if there.is_some() && there == folder_of(log_folder) {
            return Err(is_lock_file(target));
        }
    }
    Ok(())
}

/// The folder of a path and the last name in it, if that is one that a file can have.
fn split(mut path: &[u8]) -> Option<(&[u8], &[u8])> {
    while let Some(rest) = path.strip_suffix(b"/").or(path.strip_suffix(b"/.")) {
        path = rest;
    }
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (folder, name) = match slash {
        Some(slash) => path.split_at(slash + 1),
        None => (&b"."[..], path),
    };
    (!matches!(name, b"" | b"." | b"..")).then_some((folder, name))
}

/// What is wrong with a log that is a lock file.
fn is_lock_file(target: LockTarget) -> Error {
    Error::Usage(format!(
        "--log needs a file other than the lock file {target}"
    ))
}

/// A log that is open for appending.
pub struct Log {
    /// Its open file, from 3 up and close-on-exec. Writing to it does not wait.
    file: OwnedFd,
    /// The same file for reading, where it can be read: to see whether it ends with a line.
    reader: Option<OwnedFd>,
    /// Which file it is, where that can be told.
    id: Option<FileId>,
}

impl Log {
    /// Opens it, and makes it (0666 and the umask) if it is not there. A FIFO that nobody reads
    /// does not hang us; for the command, it waits as ever.
    ///
    /// # Errors
    ///
    /// [`Error::Log`].
    pub fn open(path: &OsStr) -> Result<Log, Error> {
        let cannot = |reason| Error::Log(path.to_os_string(), reason);
        let file = open_or_make(path)
            .and_then(out_of_the_way)
            .map_err(cannot)?;
        let state = sys::state_of_descriptor(file.as_fd()).ok();
        // To open a FIFO for reading would be to read it.
        let is_regular = state.as_ref().is_some_and(|state| state.is_regular);
        let reader = is_regular.then(|| fs::open(path, OFlags::RDONLY | FLAGS, Mode::empty()));
        Ok(Log {
            file,
            reader: reader.and_then(|opened| opened.and_then(out_of_the_way).ok()),
            id: state.map(|state| state.id),
        })
    }

    /// Refuses a log that is the lock file of another slot than the first, by another name.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`].
    pub fn is_no_slot(&self, target: LockTarget, slots: Option<u16>) -> Result<(), Error> {
        // Each is looked at when it is opened; but a run is to write into none of them.
        for (_, target) in target::slots(target, slots).skip(1) {
            let LockTarget::File(path) = target else {
                continue;
            };
            let there = sys::state_of_path(path).ok().map(|state| state.id);
            if there.is_some() && there == self.id {
                return Err(is_lock_file(target));
            }
        }
        Ok(())
    }

    /// Refuses a log that is the lock file: its lines would stand where the record does.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`].
    pub fn is_not(&self, lock_file: &LockFile) -> Result<(), Error> {
        let id = sys::state_of_descriptor(lock_file.as_fd()).map(|state| state.id);
        match (self.id, id) {
            (Some(log), Ok(lock)) if log == lock => Err(is_lock_file(lock_file.target())),
            _ => Ok(()),
        }
    }

    /// Writes a line, with date, time and zone in front; in a line of its own, also where the log does
    /// not end with one. Where it cannot be written, or not at once, that is no reason to change what
    /// is done.
    pub fn line(&self, text: &dyn Display) {
        let now = std::time::SystemTime::now();
        let begin = if self.ends_within_a_line() { "\n" } else { "" };
        let line = format!(
            "{begin}{} {} nonoverlap: {text}\n",
            Moment(now),
            Zone(now, "")
        );
        let _ = sys::without_write_signals(|| Ok(io::write(&self.file, line.as_bytes())?));
    }

    /// Writes a line for an error that kept a command from being run under this lock. A wrong command
    /// line was never a run.
    pub fn error(&self, target: LockTarget, error: &Error) {
        match error {
            Error::Usage(_) => {}
            // We have the lock by then.
            Error::Execute { .. } | Error::RedirectOutput(_) | Error::Guardian(..) => {
                let pid = std::process::id();
                self.line(&format_args!("{target}: PID {pid}: {}", Advised(error)));
            }
            _ => self.line(&Advised(error)),
        }
    }

    /// Whether it can be read, and the last that was written to it was no whole line.
    fn ends_within_a_line(&self) -> bool {
        let last = self.reader.as_ref().and_then(|reader| {
            fs::seek(reader, SeekFrom::End(-1)).ok()?;
            let mut last = [0];
            (io::read(reader, &mut last) == Ok(1)).then_some(last)
        });
        last.is_some_and(|last| last != *b"\n")
    }

    /// Its descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let reader = self.reader.as_ref().map(AsFd::as_fd);
        [self.file.as_fd()].into_iter().chain(reader)
    }

    /// Puts the log in the place of stdout and stderr, and gives what stderr was.
    ///
    /// It takes [`Held`] because only a command under a lock writes there.
    ///
    /// # Errors
    ///
    /// As dup2(2).
    pub fn take_output(&self, _held: &Held) -> Result<Stderr, Errno> {
        let stderr = Stderr {
            found: io::fcntl_dupfd_cloexec(stdio::stderr(), BEHIND_THE_STREAMS).ok(),
        };
        stdio::dup2_stdout(&self.file)?;
        stdio::dup2_stderr(&self.file)?;
        // Our own lines do not wait for the reader of a FIFO; the command's do as ever.
        fs::fcntl_setfl(&self.file, OFlags::APPEND)?;
        Ok(stderr)
    }
}

/// What stderr was before the log took its place.
pub struct Stderr {
    /// Nothing if it was closed.
    found: Option<OwnedFd>,
}

impl Stderr {
    /// Puts it back, for a message that there was no command to write the log. Where it was closed, the
    /// message goes nowhere: the log has its own, for which nobody waits.
    pub fn put_back(self, log: &Log) {
        let _ = fs::fcntl_setfl(&log.file, OFlags::APPEND | OFlags::NONBLOCK);
        let nowhere = || fs::open("/dev/null", OFlags::WRONLY | FLAGS, Mode::empty());
        if let Ok(found) = self.found.map_or_else(nowhere, Ok) {
            let _ = stdio::dup2_stderr(&found);
        }
    }
}

/// In every open of a log.
const FLAGS: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Without O_CREAT first: in a sticky directory, fs.protected_regular refuses it on another user's
/// file.
fn open_or_make(path: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::APPEND | FLAGS;
    match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => fs::open(path, flags | OFlags::CREATE, Mode::from_raw_mode(0o666)),
        other => other,
    }
}

/// Moves a descriptor from 0, 1 or 2, should one of them be closed: the command finds it closed, and no
/// message goes there.
fn out_of_the_way(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    match descriptor.as_raw_fd() < BEHIND_THE_STREAMS {
        true => io::fcntl_dupfd_cloexec(&descriptor, BEHIND_THE_STREAMS),
        false => Ok(descriptor),
    }
}
