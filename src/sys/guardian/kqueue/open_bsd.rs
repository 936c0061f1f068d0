//! The open descriptors of the BSDs: closefrom(2) closes them from one number up, whatever the limit is.

use std::os::fd::RawFd;

use rustix::io::Errno;

/// Closes every descriptor from 3 up that is open, but these.
///
/// # Errors
///
/// None.
pub fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let last = kept.iter().copied().max().unwrap_or(libc::STDERR_FILENO);
    for number in libc::STDERR_FILENO + 1..last {
        if !kept.contains(&number) {
            // EBADF for most, which are not open.
            // SAFETY: nothing in this process uses one of these descriptors after this.
            let _ = unsafe { libc::close(number) };
        }
    }
    // SAFETY: as above.
    unsafe { libc::closefrom(last + 1) };
    Ok(())
}
