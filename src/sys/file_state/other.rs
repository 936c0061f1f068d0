//! By stat(2) alone.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

pub use super::stat::{of_descriptor, of_link, of_path};

/// Whether a file is the kernel's own and no file that is kept. None is known here.
///
/// # Errors
///
/// None.
pub fn is_kernels(_file: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(false)
}
