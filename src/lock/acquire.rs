//! From a [`LockFile`] to [`Held`]: the one decision who may run. Knows nothing of the record, and
//! prints nothing.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use fd_lock::RwLock;
use rustix::fs::{FileType, FlockOperation, Stat, flock};
use rustix::io::{Errno, retry_on_intr};

use super::deleted;
use super::file::{LockFile, TRIES};
use super::held::{Attempt, Busy, Held};
use crate::model::error::Error;
use crate::model::lock::{Api, Kind, Patience, Terms};
use crate::sys::{self, RangeLock};

/// Takes the lock, or finds it taken.
///
/// Somebody may delete or replace the file between our open and our lock, or while we wait, and
/// then the lock is on a file that nobody else will ever open: two could run, each with a lock of
/// its own. So after locking, the path must still name the locked file. If it does, whoever deletes
/// it later has to reckon with us; if not, it begins again with what is there, and the deadline
/// stays.
///
/// # Errors
///
/// [`Error::Lock`] for any answer of the system but "taken"; [`Error::Replaced`] after a hundred
/// replaced files; [`Error::Timer`]; and what opening the file again can bring.
pub fn acquire(mut file: LockFile, terms: &Terms) -> Result<Attempt, Error> {
    let limit = Limit::of(terms.patience);
    let mut passed = Vec::new();
    for _ in 0..TRIES {
        match take(&mut file, terms, limit)? {
            Answer::Ours => {}
            Answer::Taken => {
                return Ok(Attempt::Busy(Busy {
                    place: file.place(),
                    waited: false,
                    told: Vec::new(),
                }));
            }
            Answer::TimedOut => {
                return Ok(Attempt::Busy(Busy {
                    place: file.place(),
                    waited: true,
                    told: Vec::new(),
                }));
            }
        }
        let Some(state) = file.still_there()? else {
            file = file.again()?;
            continue;
        };
        // A lock file that is new or empty may stand where somebody deleted the one that a running
        // job holds. Then that one is the file to lock: taken now, or waited for; and after it the
        // one that the path names.
        // There may be several, each with a holder; none is waited for twice.
        if terms.wary && is_new(&state) {
            if let Some((deleted, pin)) = deleted::namesake(&file, &passed)? {
                passed.push(pin);
                file = deleted;
                continue;
            }
        }
        return Ok(Attempt::Held(Held::new(file, state)));
    }
    Err(Error::Replaced(file.place()))
}

/// Whether nobody has written into it yet.
fn is_new(state: &Stat) -> bool {
    FileType::from_raw_mode(state.st_mode) == FileType::RegularFile && state.st_size == 0
}

/// Drops the lock of a descriptor, which all processes that share it have in common.
///
/// # Errors
///
/// [`Error::Lock`].
pub fn release(file: &LockFile, api: Api) -> Result<(), Error> {
    let released = match api {
        Api::Flock => retry_on_intr(|| flock(file, FlockOperation::Unlock)),
        Api::Records { start, length } => {
            sys::try_range(file.as_fd(), RangeLock::Unlock, start, length)
        }
    };
    released.map_err(|reason| Error::Lock(file.place(), reason))
}

/// Until when to wait.
#[derive(Clone, Copy)]
enum Limit {
    Now,
    At(Instant),
    Never,
}

impl Limit {
    fn of(patience: Patience) -> Limit {
        match patience {
            Patience::None => Limit::Now,
            // A time that no clock can tell never comes.
            Patience::For(time) => Instant::now()
                .checked_add(time)
                .map_or(Limit::Never, Limit::At),
            Patience::Endless => Limit::Never,
        }
    }
}

/// What the system says.
enum Answer {
    Ours,
    Taken,
    TimedOut,
}

/// Whether a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Try,
    Wait,
}

fn take(file: &mut LockFile, terms: &Terms, limit: Limit) -> Result<Answer, Error> {
    let reason = match attempt(file, terms) {
        Ok(()) => return Ok(Answer::Ours),
        Err(reason) => reason,
    };
    match limit {
        _ if !means_taken(reason, terms.api) => Err(Error::Lock(file.place(), reason)),
        Limit::Now => Ok(Answer::Taken),
        Limit::At(_) | Limit::Never => wait(file, terms, limit),
    }
}

/// Tries once; and once more with a descriptor for reading and writing, where the file system makes
/// record locks of flock(2) and says that it wants one.
fn attempt(file: &mut LockFile, terms: &Terms) -> Result<(), Errno> {
    match retry_on_intr(|| call(file.as_fd(), terms, Mode::Try)) {
        Err(reason @ (Errno::BADF | Errno::IO)) => {
            *file = file.wider().ok_or(reason)?;
            retry_on_intr(|| call(file.as_fd(), terms, Mode::Try))
        }
        other => other,
    }
}

/// Waits for the lock, asleep in the kernel's queue.
///
/// The bell interrupts the call at the deadline. It rings again every few milliseconds until it is
/// taken down, because its first ring may come between our look at the clock and the call that it
/// is to interrupt, and would be lost.
#[cold]
fn wait(file: &LockFile, terms: &Terms, limit: Limit) -> Result<Answer, Error> {
    let mut bell = match limit {
        Limit::At(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            Some(sys::Bell::hang(left).map_err(|reason| Error::Timer(file.place(), reason))?)
        }
        Limit::Now | Limit::Never => None,
    };
    loop {
        match limit {
            Limit::At(deadline) if Instant::now() >= deadline => return Ok(Answer::TimedOut),
            _ => {}
        }
        match call(file.as_fd(), terms, Mode::Wait) {
            Ok(()) => return Ok(Answer::Ours),
            Err(Errno::INTR) => {
                if let Some(bell) = &mut bell {
                    bell.heard();
                }
            }
            Err(reason) => return Err(Error::Lock(file.place(), reason)),
        }
    }
}

/// The call that decides.
fn call(file: BorrowedFd<'_>, terms: &Terms, mode: Mode) -> Result<(), Errno> {
    match (terms.api, terms.kind, mode) {
        (Api::Flock, Kind::Exclusive, Mode::Try) => keep(RwLock::new(file).try_write()),
        (Api::Flock, Kind::Exclusive, Mode::Wait) => keep(RwLock::new(file).write()),
        (Api::Flock, Kind::Shared, Mode::Try) => keep(RwLock::new(file).try_read()),
        (Api::Flock, Kind::Shared, Mode::Wait) => keep(RwLock::new(file).read()),
        (Api::Records { start, length }, kind, Mode::Try) => {
            sys::try_range(file, range_lock(kind), start, length)
        }
        (Api::Records { start, length }, kind, Mode::Wait) => {
            sys::wait_range(file, range_lock(kind), start, length)
        }
    }
}

fn range_lock(kind: Kind) -> RangeLock {
    match kind {
        Kind::Exclusive => RangeLock::Exclusive,
        Kind::Shared => RangeLock::Shared,
    }
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

/// The one error that means "somebody else has it" (flock(2)); for a record lock there are two
/// (fcntl(2): "EACCES or EAGAIN").
fn means_taken(reason: Errno, api: Api) -> bool {
    match api {
        Api::Flock => reason == Errno::WOULDBLOCK,
        Api::Records { .. } => matches!(reason, Errno::AGAIN | Errno::ACCESS),
    }
}
