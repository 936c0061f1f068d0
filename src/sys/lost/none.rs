//! There is no signal of one's choice at a connection's end: the BSDs and macOS know SIGIO alone,
//! which a process ignores by default (signal(3)).

use std::os::fd::BorrowedFd;

use libc::c_int;
use rustix::io::Errno;

/// Nobody tells.
pub const TELLS_OF_LOSS: bool = false;

/// Does nothing.
pub fn signal_at_end(_: BorrowedFd<'_>, _: c_int) -> Result<(), Errno> {
    Ok(())
}
