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
use super::file::{LockFile, MOST_ATTEMPTS};
use super::held::{Attempt, Busy, Held};
use crate::model::error::Error;
use crate::model::lock::{LockApi, LockMode, LockOptions, Wait};
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
pub fn acquire(mut file: LockFile, options: &LockOptions) -> Result<Attempt, Error> {
    let deadline = Deadline::of(options.wait);
    let mut seen = Vec::new();
    for _ in 0..MOST_ATTEMPTS {
        match take(&mut file, options, deadline)? {
            Taken::ByUs => {}
            Taken::ByOthers => {
                return Ok(Attempt::Busy(Busy {
                    target: file.target(),
                    waited: false,
                    helper_text: Vec::new(),
                }));
            }
            Taken::NotInTime => {
                return Ok(Attempt::Busy(Busy {
                    target: file.target(),
                    waited: true,
                    helper_text: Vec::new(),
                }));
            }
        }
        let Some(state) = file.still_there()? else {
            file = file.again()?;
            continue;
        };
        // A lock file that is new or empty may stand where somebody deleted the one that a running
        // job holds. Then lock that file first (waiting if asked to), and afterwards the one that the
        // path names. There may be several, each with a holder; none is waited for twice.
        if options.checks_deleted && is_new(&state) {
            if let Some((deleted, pin)) = deleted::namesake(&file, &seen)? {
                seen.push(pin);
                file = deleted;
                continue;
            }
        }
        return Ok(Attempt::Held(Held::new(file, state)));
    }
    Err(Error::Replaced(file.target()))
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
pub fn release(file: &LockFile, api: LockApi) -> Result<(), Error> {
    let released = match api {
        LockApi::Flock => retry_on_intr(|| flock(file, FlockOperation::Unlock)),
        LockApi::Fcntl { start, length } => {
            sys::try_range(file.as_fd(), RangeLock::Unlock, start, length)
        }
    };
    released.map_err(|reason| Error::Lock(file.target(), reason))
}

/// Until when to wait.
#[derive(Clone, Copy)]
enum Deadline {
    /// Not at all.
    Now,
    /// Until then.
    At(Instant),
    /// As long as it takes.
    Never,
}

impl Deadline {
    /// The deadline of a wait that begins now.
    fn of(wait: Wait) -> Deadline {
        match wait {
            Wait::No => Deadline::Now,
            // A deadline that overflows is no deadline.
            Wait::For(time) => Instant::now()
                .checked_add(time)
                .map_or(Deadline::Never, Deadline::At),
            Wait::Forever => Deadline::Never,
        }
    }
}

/// What the system says.
enum Taken {
    /// The lock is ours.
    ByUs,
    /// Somebody else has it, and it is not waited for.
    ByOthers,
    /// Somebody else had it up to the deadline.
    NotInTime,
}

/// Whether a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocking {
    /// It fails at once.
    No,
    /// It waits.
    Yes,
}

/// Takes the lock; waits for it up to the deadline.
fn take(file: &mut LockFile, options: &LockOptions, deadline: Deadline) -> Result<Taken, Error> {
    let reason = match attempt(file, options) {
        Ok(()) => return Ok(Taken::ByUs),
        Err(reason) => reason,
    };
    match deadline {
        _ if !means_taken(reason, options.api) => Err(Error::Lock(file.target(), reason)),
        Deadline::Now => Ok(Taken::ByOthers),
        Deadline::At(_) | Deadline::Never => wait(file, options, deadline),
    }
}

/// Tries once; and once more with a descriptor for reading and writing, where the file system makes
/// record locks of flock(2) and says that it wants one.
fn attempt(file: &mut LockFile, options: &LockOptions) -> Result<(), Errno> {
    match retry_on_intr(|| call(file.as_fd(), options, Blocking::No)) {
        Err(reason @ (Errno::BADF | Errno::IO)) => {
            *file = file.wider().ok_or(reason)?;
            retry_on_intr(|| call(file.as_fd(), options, Blocking::No))
        }
        other => other,
    }
}

/// Waits for the lock, asleep in the kernel's queue.
///
/// The timer interrupts the call at the deadline. It fires again every few milliseconds until it is
/// taken down, because its first signal may come between our look at the clock and the call that it
/// is to interrupt, and would be lost.
#[cold]
fn wait(file: &LockFile, options: &LockOptions, deadline: Deadline) -> Result<Taken, Error> {
    let mut timer = match deadline {
        Deadline::At(end) => {
            let left = end.saturating_duration_since(Instant::now());
            Some(sys::WaitTimer::arm(left).map_err(|reason| Error::Timer(file.target(), reason))?)
        }
        Deadline::Now | Deadline::Never => None,
    };
    loop {
        match deadline {
            Deadline::At(end) if Instant::now() >= end => return Ok(Taken::NotInTime),
            _ => {}
        }
        match call(file.as_fd(), options, Blocking::Yes) {
            Ok(()) => return Ok(Taken::ByUs),
            Err(Errno::INTR) => {
                if let Some(timer) = &mut timer {
                    timer.interrupted();
                }
            }
            Err(reason) => return Err(Error::Lock(file.target(), reason)),
        }
    }
}

/// The call that decides.
fn call(file: BorrowedFd<'_>, options: &LockOptions, blocking: Blocking) -> Result<(), Errno> {
    match (options.api, options.mode, blocking) {
        (LockApi::Flock, LockMode::Exclusive, Blocking::No) => {
            forget_guard(RwLock::new(file).try_write())
        }
        (LockApi::Flock, LockMode::Exclusive, Blocking::Yes) => {
            forget_guard(RwLock::new(file).write())
        }
        (LockApi::Flock, LockMode::Shared, Blocking::No) => {
            forget_guard(RwLock::new(file).try_read())
        }
        (LockApi::Flock, LockMode::Shared, Blocking::Yes) => forget_guard(RwLock::new(file).read()),
        (LockApi::Fcntl { start, length }, mode, Blocking::No) => {
            sys::try_range(file, range_lock(mode), start, length)
        }
        (LockApi::Fcntl { start, length }, mode, Blocking::Yes) => {
            sys::wait_range(file, range_lock(mode), start, length)
        }
    }
}

/// The record lock of this mode.
fn range_lock(mode: LockMode) -> RangeLock {
    match mode {
        LockMode::Exclusive => RangeLock::Exclusive,
        LockMode::Shared => RangeLock::Shared,
    }
}

/// Keeps a lock beyond its guard. A flock belongs to the open file description, which the command
/// shares, so a guard that unlocks when it is dropped would unlock for the command too.
fn forget_guard<Guard>(taken: io::Result<Guard>) -> Result<(), Errno> {
    // An error without a number of the system's is none that flock(2) documents, and so never means
    // "taken".
    taken
        .map(mem::forget)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// The one error that means "somebody else has it" (flock(2)); for a record lock there are two
/// (fcntl(2): "EACCES or EAGAIN").
fn means_taken(reason: Errno, api: LockApi) -> bool {
    match api {
        LockApi::Flock => reason == Errno::WOULDBLOCK,
        LockApi::Fcntl { .. } => matches!(reason, Errno::AGAIN | Errno::ACCESS),
    }
}
