//! Folders that the system keeps cron out of, so that a job with a part there would never run.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::sys::PROTECTED_FOLDERS;

/// The protected folder that this path, or what it leads to through links, is in.
pub fn around(path: &Path) -> Option<PathBuf> {
    if PROTECTED_FOLDERS.is_empty() {
        return None;
    }
    let home = PathBuf::from(env::var_os("HOME")?);
    let real_home = fs::canonicalize(&home).ok();
    let homes = [Some(home), real_home];
    let real = real(path);
    let is_in = |folder: &PathBuf| path.starts_with(folder) || real.starts_with(folder);
    let homes = homes.iter().flatten();
    let mut folders = homes.flat_map(|home| PROTECTED_FOLDERS.iter().map(|name| home.join(name)));
    folders.find(is_in)
}

/// Where a path leads through links, also if its last parts, or what a link leads to, are yet to be made.
fn real(path: &Path) -> PathBuf {
    let is_missing = match fs::canonicalize(path) {
        Ok(real) => return real,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    match fs::read_link(path) {
        // No circle: that would not be missing, but ELOOP.
        Ok(target) if is_missing => real(&folder.join(target)),
        _ => real(folder).join(name),
    }
}
