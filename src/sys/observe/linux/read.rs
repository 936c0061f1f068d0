//! Reads files and folders of `/proc`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};

/// How much is asked for at once. Most of these files are shorter.
const ROOM: usize = 4096;

/// Reads a file of `/proc`, by fewer calls than std.
///
/// # Errors
///
/// As open(2) and read(2).
pub fn read(path: &Path) -> Result<Vec<u8>, Errno> {
    read_start(path, usize::MAX)
}

/// Reads the start of one, until it has as many bytes as that or somewhat more.
///
/// # Errors
///
/// As open(2) and read(2).
pub fn read_start(path: &Path, wanted: usize) -> Result<Vec<u8>, Errno> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut room = [0; ROOM];
    let mut content = Vec::new();
    while content.len() < wanted {
        let length = retry_on_intr(|| rustix::io::read(&file, &mut room))?;
        if length == 0 {
            break;
        }
        content.extend_from_slice(room.get(..length).unwrap_or_default());
    }
    Ok(content)
}

/// The names in a folder of `/proc`. (std's own reader panics where close(2) fails.)
pub struct Names(Dir);

impl Names {
    /// Those in this folder.
    ///
    /// # Errors
    ///
    /// As open(2); those of getdents(2) come in place of a name.
    pub fn of(folder: &Path) -> Result<Names, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Dir::new(open(folder, flags, Mode::empty())?).map(Names)
    }
}

impl Iterator for Names {
    type Item = Result<OsString, Errno>;

    fn next(&mut self) -> Option<Result<OsString, Errno>> {
        loop {
            let name = match self.0.read()? {
                Ok(entry) => entry.file_name().to_bytes().to_vec(),
                Err(reason) => return Some(Err(reason)),
            };
            if name != b"." && name != b".." {
                return Some(Ok(OsString::from_vec(name)));
            }
        }
    }
}
