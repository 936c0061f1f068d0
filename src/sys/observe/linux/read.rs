//! Reads files of `/proc`.

use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};

/// How much is asked for at once. Most of these files are shorter.
const ROOM: usize = 4096;

/// Reads a file of `/proc`, by fewer calls than std.
///
/// # Errors
///
/// As open(2) and read(2).
pub fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut room = [0; ROOM];
    let mut content = Vec::new();
    loop {
        let length = retry_on_intr(|| rustix::io::read(&file, &mut room))?;
        if length == 0 {
            return Ok(content);
        }
        content.extend_from_slice(room.get(..length).unwrap_or_default());
    }
}
