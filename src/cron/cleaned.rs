//! Places that are cleaned now and then, so that no crontab should name a program there.

use std::fs;
use std::path::{Path, PathBuf};

/// Where systems keep what is temporary, by every name that it has.
const TEMPORARY: [&str; 4] = ["/tmp", "/var/tmp", "/private/tmp", "/private/var/tmp"];

/// What a cache has in it, by a convention of backup programs that build tools keep, too
/// (<https://bford.info/cachedir/>).
const TAG: &str = "CACHEDIR.TAG";

/// The folder that is cleaned now and then and that this program, or what it is a link to, is in.
pub fn around(program: &Path) -> Option<PathBuf> {
    let is_temporary = |folder: &Path| TEMPORARY.iter().any(|it| folder == Path::new(it));
    let is_cleaned = |folder: &&Path| {
        is_temporary(folder) || folder.ends_with("target") || folder.join(TAG).exists()
    };
    let real = fs::canonicalize(program).ok();
    let places = [Some(program), real.as_deref()];
    let mut folders = places
        .iter()
        .flatten()
        .flat_map(|it| it.ancestors().skip(1));
    folders.find(is_cleaned).map(Path::to_owned)
}
