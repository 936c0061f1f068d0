//! FreeBSD, NetBSD and OpenBSD have no record locks on open file descriptions: their fcntl(2) knows
//! F_SETLK only, whose locks belong to the process and fall at the first close of the file.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// This system has none, and a command line that asks for them is refused.
pub const HAVE_RANGES: bool = false;

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

/// Cannot be done here.
///
/// # Errors
///
/// ENOSYS, always.
pub fn try_range(_: BorrowedFd<'_>, _: RangeLock, _: i64, _: i64) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Cannot be done here.
///
/// # Errors
///
/// ENOSYS, always.
pub fn wait_range(_: BorrowedFd<'_>, _: RangeLock, _: i64, _: i64) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}
