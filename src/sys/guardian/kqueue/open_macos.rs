//! The open descriptors of macOS: the kernel lists them (proc_pidinfo with PROC_PIDLISTFDS).

use std::os::fd::RawFd;

use rustix::io::Errno;

use crate::sys::observe::own_descriptors;

/// Closes every descriptor from 3 up that is open, but these.
///
/// # Errors
///
/// Where the kernel does not list them.
pub fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    for number in own_descriptors()? {
        if number > libc::STDERR_FILENO && !kept.contains(&number) {
            // SAFETY: nothing in this process uses one of these descriptors after this.
            let _ = unsafe { libc::close(number) };
        }
    }
    Ok(())
}
