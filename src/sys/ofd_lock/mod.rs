//! Record locks on open file descriptions, which `rustix` does not have.
//!
//! Such a lock belongs to the open file description, as a flock(2) does, and so survives execve(2).
//! The locks of F_SETLK belong to the process and fall at the first close of the file.
//!
//! A platform's file offers `HAVE_RANGES` and `set`.

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod fcntl;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use fcntl as platform;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use none as platform;

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// Whether this system has them. Where it does not, a command line that asks for them is refused.
pub const HAVE_RANGES: bool = platform::HAVE_RANGES;

/// What to do with a range of bytes.
#[derive(Clone, Copy)]
pub enum RangeLock {
    /// Lock it for one.
    Exclusive,
    /// Lock it for many.
    Shared,
    /// Drop the lock.
    Unlock,
}

/// What to do where somebody else has a lock on a part of the range.
#[derive(Clone, Copy)]
enum OnConflict {
    /// It fails at once.
    Fail,
    /// It waits.
    Wait,
}

/// fcntl(2) with F_OFD_SETLK: does it or fails at once. The range is `length` bytes from `start`
/// on; 0 bytes are all up to the end, however far the file grows.
///
/// # Errors
///
/// EACCES or EAGAIN where somebody else has a lock on a part of the range; EOVERFLOW where a number
/// does not fit an off_t; ENOSYS where the system has no such locks.
pub fn try_range(
    file: BorrowedFd<'_>,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    platform::set(file, OnConflict::Fail, what, start, length)
}

/// fcntl(2) with F_OFD_SETLKW: the same, but waits.
///
/// # Errors
///
/// EINTR where a signal came; EOVERFLOW and ENOSYS as above.
pub fn wait_range(
    file: BorrowedFd<'_>,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    platform::set(file, OnConflict::Wait, what, start, length)
}
