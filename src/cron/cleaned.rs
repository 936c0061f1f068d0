//! Places that are cleaned now and then, so that no crontab should name a program there.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where systems keep what is temporary, by every name that it has.
const TEMPORARY: [&[u8]; 4] = [b"/tmp", b"/var/tmp", b"/private/tmp", b"/private/var/tmp"];

/// What a cache has in it, by a convention of backup programs that build tools keep, too
/// (<https://bford.info/cachedir/>).
const TAG: &str = "CACHEDIR.TAG";

/// The folder that is cleaned now and then and that this program, or what it is a link to, is in.
pub fn around(program: &Path) -> Option<PathBuf> {
    let is_cleaned = |folder: &&Path| {
        let name = folder.as_os_str().as_bytes();
        TEMPORARY.contains(&name) || name.ends_with(b"/target") || folder.join(TAG).exists()
    };
    let real = fs::canonicalize(program).ok();
    let places = [Some(program), real.as_deref()];
    let mut folders = places
        .iter()
        .flatten()
        .flat_map(|it| it.ancestors().skip(1));
    folders.find(is_cleaned).map(Path::to_owned)
}
