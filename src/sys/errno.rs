//! The result of a call of the C library: a number, and for -1 the reason in errno(3); and the reason of
//! an error of std's.

use std::io;

use libc::c_int;
use rustix::io::Errno;

use super::last_words;

/// The reason that the last failed call left in errno(3).
pub fn last_error() -> Errno {
    errno_of(io::Error::last_os_error())
}

/// The reason that an error of std's has; EIO where that is none of the system's.
pub fn errno_of(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// The result of a call, or the reason if it is negative. To be asked before the next call, which
/// may change errno(3).
///
/// # Errors
///
/// Those of the call.
pub fn check(result: c_int) -> Result<c_int, Errno> {
    if result < 0 {
        Err(last_error())
    } else {
        Ok(result)
    }
}

/// Takes the result of a call about signals that fails for wrong arguments only, which it is not given
/// here. Where a sandbox refuses it all the same, nothing that comes after is known to be right.
pub fn cannot_fail(result: c_int) {
    if result != 0 {
        last_words::end(b"nonoverlap: the system refuses a call about signals\n");
    }
}

/// Whether an error of open(2), with O_NONBLOCK, means that a program has a lease on the file, which it
/// has been told to give back. Only Linux has leases.
pub fn means_lease(reason: Errno) -> bool {
    cfg!(target_os = "linux") && reason == Errno::WOULDBLOCK
}
