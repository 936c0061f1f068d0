//! Lock files that were deleted while somebody holds them: looked for among the open files of all
//! processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::file::{LockFile, OPEN_FLAGS, same_file};
use crate::model::error::Error;
use crate::model::target::LockTarget;
use crate::sys::{self, Snapshot};

/// A deleted file that had this path and that a visible process still has locked, other than those
/// already `seen`. The second descriptor (O_PATH) pins its inode, so that the number is not reused
/// while we compare.
///
/// # Errors
///
/// [`Error::Open`] or [`Error::Descriptor`] where there is one and it cannot be opened: that is
/// no reason to run beside its holder.
#[cold]
pub fn namesake(file: &LockFile, seen: &[OwnedFd]) -> Result<Option<(LockFile, OwnedFd)>, Error> {
    let LockTarget::File(_) = file.target() else {
        return Ok(None);
    };
    let cannot = |reason| Error::Open(file.target(), reason);
    for place in locked_elsewhere(file.as_fd()) {
        let flags = OPEN_FLAGS | file.access().flags();
        let open = |flags| match fs::open(&place, flags, Mode::empty()) {
            Ok(opened) => Ok(Some(opened)),
            // Its process has just ended, or closed it.
            Err(Errno::NOENT | Errno::SRCH) => Ok(None),
            Err(reason) => Err(cannot(reason)),
        };
        let Some(pin) = open(sys::INSPECT_FLAGS | OFlags::CLOEXEC)? else {
            continue;
        };
        let state = fs::fstat(&pin).map_err(cannot)?;
        let is_it = |file: &OwnedFd| fs::fstat(file).is_ok_and(|it| same_file(&it, &state));
        if seen.iter().any(is_it) {
            continue;
        }
        let Some(opened) = open(flags)?.filter(is_it) else {
            continue;
        };
        return file.deleted(opened).map(|deleted| Some((deleted, pin)));
    }
    Ok(None)
}

/// Where locked files can be opened that had the path of this file and were deleted.
fn locked_elsewhere(file: BorrowedFd<'_>) -> Vec<PathBuf> {
    let Some(path) = sys::path_of(file) else {
        return Vec::new();
    };
    let snapshot = Snapshot::take();
    snapshot.deleted(&path, file).map(PathBuf::from).collect()
}
