//! The call that decides who runs, and waiting for it.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fd_lock::RwLock;
use rustix::io::{Errno, retry_on_intr};

use super::file::LockFile;
use crate::model::error::Error;
use crate::model::lock::{LockApi, LockMode, LockOptions, Wait};
use crate::sys::{self, RangeLock};

/// Until when to wait.
#[derive(Clone, Copy)]
pub enum Deadline {
    /// Not at all.
    Now,
    /// Until then.
    At(Instant),
    /// As long as it takes.
    Never,
}

impl Deadline {
    /// The deadline of a wait that begins now.
    pub fn of(wait: Wait) -> Deadline {
        match wait {
            Wait::No => Deadline::Now,
            // A deadline that overflows is no deadline.
            Wait::For(time) => Instant::now()
                .checked_add(time)
                .map_or(Deadline::Never, Deadline::At),
            Wait::Forever => Deadline::Never,
        }
    }

    /// How long there is left of it, but no more than `most`. Nothing where it has come.
    pub fn left(self, most: Duration) -> Option<Duration> {
        let left = match self {
            Deadline::Now => Duration::ZERO,
            Deadline::At(end) => end.saturating_duration_since(Instant::now()),
            Deadline::Never => most,
        };
        Some(left.min(most)).filter(|left| !left.is_zero())
    }
}

/// Whether a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocking {
    /// It fails at once.
    No,
    /// It waits.
    Yes,
}

/// Tries to take the lock at once. Returns whether it is ours.
///
/// # Errors
///
/// [`Error::Lock`] for any answer of the system but "taken".
pub fn try_now(file: &mut LockFile, options: &LockOptions) -> Result<bool, Error> {
    match attempt(file, options) {
        Ok(()) => Ok(true),
        Err(reason) if means_taken(reason, options.api) => Ok(false),
        Err(reason) => Err(Error::Lock(file.target(), reason)),
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

/// Waits for the lock up to the deadline, asleep in the kernel's queue. Returns whether it is ours.
///
/// The timer interrupts the call at the deadline. It fires again every few milliseconds until it is
/// taken down, because its first signal may come between our look at the clock and the call that it
/// is to interrupt, and would be lost.
///
/// # Errors
///
/// [`Error::Lock`] and [`Error::Timer`].
#[cold]
pub fn wait(file: &LockFile, options: &LockOptions, deadline: Deadline) -> Result<bool, Error> {
    let mut timer = match deadline {
        Deadline::At(end) => {
            let left = end.saturating_duration_since(Instant::now());
            Some(sys::WaitTimer::arm(left).map_err(|reason| Error::Timer(file.target(), reason))?)
        }
        Deadline::Now | Deadline::Never => None,
    };
    loop {
        match deadline {
            Deadline::At(end) if Instant::now() >= end => return Ok(false),
            _ => {}
        }
        match call(file.as_fd(), options, Blocking::Yes) {
            Ok(()) => return Ok(true),
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
    taken.map(mem::forget).map_err(sys::errno_of)
}

/// The one error that means "somebody else has it" (flock(2)); for a record lock there are two
/// (fcntl(2): "EACCES or EAGAIN").
fn means_taken(reason: Errno, api: LockApi) -> bool {
    match api {
        LockApi::Flock => reason == Errno::WOULDBLOCK,
        LockApi::Fcntl { .. } => matches!(reason, Errno::AGAIN | Errno::ACCESS),
    }
}
