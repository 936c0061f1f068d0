//! From a [`LockFile`] to [`Held`]: the one decision who may run. Knows nothing of the record, and
//! prints nothing.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};

use fd_lock::RwLock;
use rustix::fs::Stat;
use rustix::io::{Errno, retry_on_intr};

use crate::lockfile::{LockFile, TRIES};
use crate::outcome::Error;

/// A lock that is ours, on the file that the path names. Only [`acquire`] makes one, and nothing
/// unlocks it but the end of the process.
pub struct Held {
    file: LockFile,
    state: Stat,
}

impl Held {
    /// The locked file.
    pub fn file(&self) -> &LockFile {
        &self.file
    }

    /// Its state (stat(2)) just after it was locked.
    pub fn state(&self) -> &Stat {
        &self.state
    }
}

/// What an attempt comes to.
pub enum Attempt {
    /// The lock is ours.
    Held(Held),
    /// Somebody else has it.
    Busy(LockFile),
}

/// Takes the lock, or finds it taken.
///
/// Somebody may delete or replace the file between our open and our lock, and then the lock is on a
/// file that nobody else will ever open: two could run, each with a lock of its own. So after
/// locking, the path must still name the locked file. If it does, whoever deletes it later has to
/// reckon with us; if not, it begins again with what is there.
///
/// # Errors
///
/// [`Error::Lock`] for any answer of flock(2) but "taken"; [`Error::Replaced`] after a hundred
/// replaced files; and what opening the file again can bring.
pub fn acquire(mut file: LockFile) -> Result<Attempt, Error> {
    for _ in 0..TRIES {
        match retry_on_intr(|| lock(file.as_fd())) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Attempt::Busy(file)),
            Err(reason) => return Err(Error::Lock(file.path(), reason)),
        }
        if let Some(state) = file.still_there()? {
            return Ok(Attempt::Held(Held { file, state }));
        }
        file = file.again()?;
    }
    Err(Error::Replaced(file.path()))
}

fn lock(file: BorrowedFd<'_>) -> Result<(), Errno> {
    keep(RwLock::new(file).try_write())
}

/// Keeps a lock beyond its guard. A flock belongs to the open file description, which the command
/// shares, so a guard that unlocks when it is dropped would unlock for the command too.
fn keep<Guard>(taken: io::Result<Guard>) -> Result<(), Errno> {
    // An error without a number of the system's is none that flock(2) documents, and so never means
    // "taken".
    taken
        .map(mem::forget)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
