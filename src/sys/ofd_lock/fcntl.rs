//! Record locks on open file descriptions, which `rustix` does not have.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::sys::errno::last_error;

/// This system has them: Linux since 3.15, macOS by its fcntl.h (F_OFD_SETLK).
pub const HAVE_RANGES: bool = true;

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

/// fcntl(2) with F_OFD_SETLK: does it or fails at once. The lock belongs to the open file
/// description, as a flock does, and so lives through exec.
///
/// # Errors
///
/// EACCES or EAGAIN where somebody else has a part of the range.
pub fn try_range(
    file: BorrowedFd<'_>,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    set(file, libc::F_OFD_SETLK, what, start, length)
}

/// fcntl(2) with F_OFD_SETLKW: the same, but waits.
///
/// # Errors
///
/// EINTR where a signal came.
pub fn wait_range(
    file: BorrowedFd<'_>,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    set(file, libc::F_OFD_SETLKW, what, start, length)
}

fn set(
    file: BorrowedFd<'_>,
    how: libc::c_int,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    let kind = match what {
        RangeLock::Exclusive => libc::F_WRLCK,
        RangeLock::Shared => libc::F_RDLCK,
        RangeLock::Unlock => libc::F_UNLCK,
    };
    #[allow(clippy::useless_conversion)] // An off_t, which has 32 bits on some systems.
    let offset = |bytes: i64| libc::off_t::try_from(bytes).map_err(|_| Errno::OVERFLOW);
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset(start)?,
        l_len: offset(length)?,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and these two commands read one flock structure, which must
    // have 0 as its PID (fcntl_locking(2), "Open file description locks").
    let done = unsafe { libc::fcntl(file.as_raw_fd(), how, &range) };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}
