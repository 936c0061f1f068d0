//! By stat(2).

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Stat, fstat, lstat, stat};
use rustix::io::Errno;

use super::{FileId, FileState, Timestamp};

/// The state of an open file.
///
/// # Errors
///
/// As fstat(2).
pub fn of_descriptor(file: BorrowedFd<'_>) -> Result<FileState, Errno> {
    fstat(file).map(state)
}

/// The state of the file that a path leads to, through a symbolic link at its end.
///
/// # Errors
///
/// As stat(2).
pub fn of_path(path: &CStr) -> Result<FileState, Errno> {
    stat(path).map(state)
}

/// The state of what a path names, which may be a symbolic link.
///
/// # Errors
///
/// As lstat(2).
pub fn of_link(path: &CStr) -> Result<FileState, Errno> {
    lstat(path).map(state)
}

/// The system's answer in our words.
#[allow(clippy::unnecessary_cast)] // The types differ between systems.
fn state(found: Stat) -> FileState {
    let timestamp = |seconds: i64, nanoseconds: i64| Timestamp {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    };
    FileState {
        id: FileId {
            device: found.st_dev as u64,
            inode: found.st_ino as u64,
        },
        is_regular: FileType::from_raw_mode(found.st_mode) == FileType::RegularFile,
        links: found.st_nlink as u64,
        size: u64::try_from(found.st_size).unwrap_or(0),
        modified: timestamp(found.st_mtime as i64, found.st_mtime_nsec as i64),
        changed: timestamp(found.st_ctime as i64, found.st_ctime_nsec as i64),
        born: None,
        notes_renames: false,
    }
}
