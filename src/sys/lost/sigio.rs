//! The signal that tells of a connection's end: fcntl(2), "Signals".

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;
use rustix::io::Errno;

use crate::sys::errno::last_error;

/// The kernel tells.
pub const TELLS_OF_LOSS: bool = true;

/// Which signal it is (linux/fcntl.h; the same on every processor).
const F_SETSIG: c_int = 10;

/// Has the kernel send a signal to this process, also when it has become another program, as soon as
/// there is something to read from this socket, or it has ended. For what there is already, none
/// comes.
///
/// The socket knows the process itself, not its number: whoever gets that number later hears
/// nothing. And it knows who asked: a process that became another user's is not sent the signal,
/// unless root asked (kill(2), "permission").
///
/// # Errors
///
/// As fcntl(2).
pub fn signal_at_end(connection: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    // SAFETY: getpid(2) touches no memory of ours.
    let ourselves = unsafe { libc::getpid() };
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

fn check(result: c_int) -> Result<c_int, Errno> {
    if result < 0 {
        Err(last_error())
    } else {
        Ok(result)
    }
}
