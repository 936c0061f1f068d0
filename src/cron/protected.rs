//! Folders that the system keeps cron out of, so that a job with a part there would never run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::PROTECTED_FOLDERS;

/// The protected folder that this path, or what its folder is a link to, is in.
pub fn around(path: &Path) -> Option<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME")?);
    let real_home = fs::canonicalize(&home).ok();
    let homes = [Some(home), real_home];
    let real = path.parent().and_then(|it| fs::canonicalize(it).ok());
    let is_in = |folder: &PathBuf| {
        let real = real.as_deref();
        path.starts_with(folder) || real.is_some_and(|real| real.starts_with(folder))
    };
    let homes = homes.iter().flatten();
    let mut folders = homes.flat_map(|home| PROTECTED_FOLDERS.iter().map(|name| home.join(name)));
    folders.find(is_in)
}
