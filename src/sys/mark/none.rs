//! macOS and the BSDs have no list of locks that everybody may read, so nobody would see a mark.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// Nobody sees what is announced here.
pub const HAVE_MARKS: bool = false;

/// Cannot be done here.
///
/// # Errors
///
/// ENOSYS, always.
pub fn announce(_start: i64, _length: i64) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}
