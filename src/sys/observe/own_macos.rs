//! The locks that our own descriptors have, by what the kernel shows of the open files (see `WAS_LOCKED`).
//!
//! It does not tell whether a lock was given back without closing, and not its mode: whoever asks has met a
//! lock that excludes the wanted one, so it is taken for that. Nothing tells of record locks.

use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;

use super::macos::{own_descriptors, own_was_locked};
use super::{OwnApi, OwnLock};
use crate::sys::file_state::{FileId, of_descriptor};

/// The locks that our descriptors have, of those that are wanted by their file, but for the one that is
/// left out.
///
/// # Errors
///
/// Where our descriptors cannot be listed.
pub fn own_locks(
    without: Option<RawFd>,
    is_wanted: &dyn Fn(FileId) -> bool,
) -> Result<Vec<OwnLock>, Errno> {
    let mut locks = Vec::new();
    for number in own_descriptors()? {
        // SAFETY: it has just been listed as open, and nothing is closed meanwhile.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let Ok(state) = of_descriptor(descriptor) else {
            continue;
        };
        if Some(number) != without && is_wanted(state.id) && own_was_locked(number) {
            locks.push(OwnLock {
                descriptor: number,
                file: state.id,
                api: OwnApi::Flock,
                is_shared: false,
                first: 0,
                last: None,
            });
        }
    }
    Ok(locks)
}
