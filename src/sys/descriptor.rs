//! Descriptors that are the caller's, or that the command is to inherit.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::errno::check;

/// From where on scripts leave descriptors alone. They use 3 to 9 all the time (`exec 3>log`), and 10
/// to 20, 50, 99 and 200 often enough; 60 hardly ever. Up to 63 the kernel's table of a process need
/// not grow.
const LEAST: RawFd = 60;

/// From where on a descriptor is moved where there is none from [`LEAST`] up.
const LEAST_IN_NEED: RawFd = 10;

/// Moves a descriptor to the lowest free number that scripts leave alone, and closes the old number:
/// from 60 up, or where the limit leaves none, from 10 up.
///
/// The new descriptor is not close-on-exec, because the command is to inherit it. (`rustix` has
/// only the close-on-exec form, and taking the flag off again would be a system call more.)
///
/// # Errors
///
/// EMFILE where no number from 10 up is free. The old number is closed then, too.
pub fn move_up(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    match keep_from(descriptor.as_fd(), LEAST) {
        Err(Errno::MFILE) => keep_from(descriptor.as_fd(), LEAST_IN_NEED),
        other => other,
    }
    .map(|moved| moved.unwrap_or(descriptor))
}

/// Duplicates a descriptor from `least` up, or where it is there already, has exec keep it, and gives
/// nothing.
///
/// # Errors
///
/// EMFILE where there is no room. fcntl(2) gives EINVAL where `least` is itself beyond the limit
/// RLIMIT_NOFILE; that means the same and is said the same.
fn keep_from(descriptor: BorrowedFd<'_>, least: RawFd) -> Result<Option<OwnedFd>, Errno> {
    // Where the lower ones are taken, open(2) itself has given the lowest free number.
    if descriptor.as_raw_fd() >= least {
        // SAFETY: F_SETFD takes an int and touches no memory of ours.
        check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) })?;
        return Ok(None);
    }
    // SAFETY: F_DUPFD takes an int and touches no memory of ours.
    let moved = check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD, least) });
    let moved = moved.map_err(|reason| match reason {
        Errno::INVAL => Errno::MFILE,
        other => other,
    })?;
    // SAFETY: the kernel has just made this number, so nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(moved) }))
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
