//! The result of a call of the C library: a number, and for -1 the reason in errno(3).

use std::io;

use libc::c_int;
use rustix::io::Errno;

/// The reason that the last failed call left in errno(3).
pub fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The result of a call, or the reason if it is negative. To be asked before the next call, which may
/// change errno(3).
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
