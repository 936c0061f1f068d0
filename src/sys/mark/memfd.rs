//! By memfd_create(2), since Linux 3.17, and F_OFD_SETLK, since 3.15.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use crate::sys::descriptor::move_up;
use crate::sys::ofd_lock::{RangeLock, try_range};

/// Others see what is announced here.
pub const HAVE_MARKS: bool = true;

/// What `/proc/PID/fd` calls the file.
const NAME: &str = "nonoverlap";

/// Puts a mark on these bytes of a file of its own. It lasts as long as a process has the descriptor,
/// which the command inherits.
///
/// # Errors
///
/// Of memfd_create(2) and fcntl(2). ENOSYS, EINVAL, EACCES, EPERM and EOVERFLOW mean that there are no
/// such files or locks here.
pub fn announce(start: i64, length: i64) -> Result<OwnedFd, Errno> {
    let made = match memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag; later ones complain once where it is missing.
        Err(Errno::INVAL) => memfd_create(NAME, MemfdFlags::CLOEXEC),
        other => other,
    }?;
    let mark = move_up(made)?;
    try_range(mark.as_fd(), RangeLock::Shared, start, length)?;
    Ok(mark)
}
