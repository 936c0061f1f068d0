//! close_range(2), of Linux 5.9.

use std::os::fd::{AsRawFd, BorrowedFd};

/// The first descriptor that is none of the three streams.
const BEHIND_THE_STREAMS: u32 = 3;

/// Closes every descriptor from 3 up but this one, which nobody uses any more here. Where the kernel
/// is too old, they stay open.
pub fn close_all_but(kept: BorrowedFd<'_>) {
    let kept = kept.as_raw_fd().unsigned_abs();
    if kept > BEHIND_THE_STREAMS {
        close(BEHIND_THE_STREAMS, kept - 1);
    }
    close(BEHIND_THE_STREAMS.max(kept + 1), u32::MAX);
}

fn close(first: u32, last: u32) {
    const NO_FLAGS: u32 = 0;
    // SAFETY: it touches no memory, and by the contract above nobody uses these descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, NO_FLAGS) };
}
