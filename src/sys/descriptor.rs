//! Descriptors that are the caller's, or that the command is to inherit.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::errno::check;

/// Moves a descriptor to the lowest free number from `least` up, and closes the old number.
///
/// The new descriptor is not close-on-exec, because the command is to inherit it. (`rustix` has
/// only the close-on-exec form, and taking the flag off again would be a system call more.)
///
/// # Errors
///
/// EMFILE where no number from `least` up is free. fcntl(2) gives EINVAL where `least` is itself
/// beyond the limit RLIMIT_NOFILE; that means the same and is said the same. The old number is
/// closed then, too.
pub fn move_up(descriptor: OwnedFd, least: RawFd) -> Result<OwnedFd, Errno> {
    // Where 3 to 9 are taken, open(2) itself has given the lowest free number from 10 up.
    if descriptor.as_raw_fd() >= least {
        // SAFETY: F_SETFD takes an int and touches no memory of ours.
        check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) })?;
        return Ok(descriptor);
    }
    // SAFETY: F_DUPFD takes an int and touches no memory of ours.
    let moved = check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD, least) });
    let moved = moved.map_err(|reason| match reason {
        Errno::INVAL => Errno::MFILE,
        other => other,
    })?;
    // SAFETY: the kernel has just made this number, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// A descriptor that the caller has open. It is never closed here.
///
/// # Errors
///
/// EBADF where it is not open.
pub fn callers_descriptor(number: RawFd) -> Result<BorrowedFd<'static>, Errno> {
    // SAFETY: F_GETFD touches no memory of ours, and says EBADF for any number that is not open.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open, so it is not -1, and nothing in this program closes a descriptor that it
    // has not opened itself.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}
