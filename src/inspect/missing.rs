//! What is missing where there is no lock file: it may be a folder, by a slip of the pen.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{FileType, stat};
use rustix::io::Errno;

/// The first part of a path that keeps it from leading to a file.
pub enum Missing {
    /// There is no such folder.
    Folder(PathBuf),
    /// It is there, and no folder.
    NoFolder(PathBuf),
}

/// Looks for it among the folders of a path, from the first on. Nothing if all are there, or one cannot be
/// looked at.
pub fn missing(path: &CStr) -> Option<Missing> {
    let path = path.to_bytes();
    let ends = (1..path.len()).filter(|&end| {
        let (before, behind) = (path.get(end - 1), path.get(end));
        before != Some(&b'/') && behind == Some(&b'/')
    });
    for folder in ends.filter_map(|end| path.get(..end)) {
        let named = || PathBuf::from(OsStr::from_bytes(folder));
        match stat(folder) {
            Ok(state) if FileType::from_raw_mode(state.st_mode).is_dir() => {}
            Ok(_) => return Some(Missing::NoFolder(named())),
            Err(Errno::NOENT) => return Some(Missing::Folder(named())),
            Err(_) => return None,
        }
    }
    None
}
