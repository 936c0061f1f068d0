//! The signal that tells of a connection's end: fcntl(2), "Signals".

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;
use rustix::io::Errno;
use rustix::process::getpid;

use crate::sys::errno::check;

/// The kernel tells.
pub const TELLS_OF_LOSS: bool = true;

/// Which signal it is (linux/fcntl.h; the same on every processor).
const F_SETSIG: c_int = 10;

/// As `lost/mod.rs` says.
pub fn signal_at_end(connection: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    let ourselves = getpid().as_raw_nonzero().get();
    let connection = connection.as_raw_fd();
    // SAFETY: F_SETOWN takes an int and touches no memory of ours.
    check(unsafe { libc::fcntl(connection, libc::F_SETOWN, ourselves) })?;
    // SAFETY: F_SETSIG takes an int and touches no memory of ours.
    check(unsafe { libc::fcntl(connection, F_SETSIG, signal) })?;
    // SAFETY: F_GETFL touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(connection, libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes an int and touches no memory of ours.
    check(unsafe { libc::fcntl(connection, libc::F_SETFL, flags | libc::O_ASYNC) })?;
    Ok(())
}
