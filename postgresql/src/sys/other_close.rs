//! close(2), one by one.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Where it ends: nobody has inherited more, and a limit can be a billion.
const LAST: RawFd = 4096;

/// Closes every descriptor from 3 up but this one, which nobody uses any more here.
pub fn close_all_but(kept: BorrowedFd<'_>) {
    for descriptor in (3..LAST).filter(|&descriptor| descriptor != kept.as_raw_fd()) {
        // SAFETY: it touches no memory, and by the contract above nobody uses this descriptor.
        unsafe { libc::close(descriptor) };
    }
}
