//! The log that a run was told to write: the command's own output, and a dated line for each start
//! and each refusal.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::stdio;

use crate::lock::file::LockFile;
use crate::lock::held::Held;
use crate::model::error::Error;
use crate::sys;
use crate::text::time::{Moment, Zone};

/// The first descriptor that is none of the three streams.
const BEHIND_THE_STREAMS: RawFd = 3;

/// A log that is open for appending.
pub struct Log {
    /// Its open file, from 3 up and close-on-exec.
    file: OwnedFd,
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
        let opened = open_or_make(path).map_err(cannot)?;
        // Not on 0, 1 or 2, should one of them be closed, nor where the lock is to be; and closed by
        // exec, when it is on 1 and 2.
        let file = io::fcntl_dupfd_cloexec(&opened, BEHIND_THE_STREAMS).map_err(cannot)?;
        Ok(Log { file })
    }

    /// Refuses a log that is the lock file: its lines would stand where the record does.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`].
    pub fn is_not(&self, lock_file: &LockFile) -> Result<(), Error> {
        let id = |file| sys::state_of_descriptor(file).map(|state| state.id);
        match (id(self.file.as_fd()), id(lock_file.as_fd())) {
            (Ok(log), Ok(lock)) if log == lock => Err(Error::Usage(format!(
                "--log takes another file than the lock file {}",
                lock_file.target()
            ))),
            _ => Ok(()),
        }
    }

    /// Writes a line, with date, time and zone in front. Where it cannot be written, that is no
    /// reason to change what is done.
    pub fn line(&self, text: &dyn Display) {
        let now = std::time::SystemTime::now();
        let line = format!("{} {} nonoverlap: {text}\n", Moment(now), Zone(now, ""));
        let _ = sys::without_write_signals(|| Ok(io::write(&self.file, line.as_bytes())?));
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
        // Our own lines do not wait for the reader of a FIFO; the command's do as ever.
        let flags = fs::fcntl_getfl(&self.file)?;
        fs::fcntl_setfl(&self.file, flags - OFlags::NONBLOCK)?;
        stdio::dup2_stdout(&self.file)?;
        stdio::dup2_stderr(&self.file)?;
        Ok(stderr)
    }
}

/// What stderr was before the log took its place.
pub struct Stderr {
    /// Nothing if it was closed.
    found: Option<OwnedFd>,
}

impl Stderr {
    /// Puts it back, for a message that there was no command to write the log.
    pub fn put_back(self) {
        if let Some(found) = self.found {
            let _ = stdio::dup2_stderr(&found);
        }
    }
}

/// Without O_CREAT first: in a sticky directory, fs.protected_regular refuses it on another user's
/// file.
fn open_or_make(path: &OsStr) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => fs::open(path, flags | OFlags::CREATE, Mode::from_raw_mode(0o666)),
        other => other,
    }
}
