//! The locks that our own descriptors have, by their `fdinfo` (proc_pid_fdinfo(5)).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, RawDir, open};
use rustix::io::Errno;

use super::read::read;
use super::table::{Api, Entry};
use crate::sys::file_state::{FileId, of_descriptor};
use crate::sys::observe::{OwnApi, OwnLock};

/// Room for the names of some eighty descriptors: so many are listed by one call.
const ROOM: usize = 2048;

/// The locks that our descriptors have, of those that are wanted by their file. Of others nothing is asked
/// but which file it is, and nothing at all of the one that is left out.
///
/// # Errors
///
/// Where our descriptors cannot be listed, or one of a wanted file cannot be looked into.
pub fn own_locks(
    without: Option<RawFd>,
    is_wanted: &dyn Fn(FileId) -> bool,
) -> Result<Vec<OwnLock>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open("/proc/self/fd", flags, Mode::empty())?;
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut names = RawDir::new(&folder, &mut room);
    let mut locks = Vec::new();
    while let Some(name) = names.next() {
        let name = name?;
        let Some(number) = name.file_name().to_str().ok().map(str::parse) else {
            continue;
        };
        // The folder's own names are no numbers.
        match number {
            Ok(number) if number == folder.as_raw_fd() || Some(number) == without => {}
            Ok(number) => add(&mut locks, number, is_wanted)?,
            Err(_) => {}
        }
    }
    Ok(locks)
}

/// Adds the locks of one descriptor.
fn add(
    locks: &mut Vec<OwnLock>,
    number: RawFd,
    is_wanted: &dyn Fn(FileId) -> bool,
) -> Result<(), Errno> {
    // SAFETY: it has just been listed as open, and nothing is closed meanwhile.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let file = of_descriptor(descriptor)?.id;
    if !is_wanted(file) {
        return Ok(());
    }
    let info = read(Path::new(&format!("/proc/self/fdinfo/{number}")))?;
    let info = String::from_utf8_lossy(&info);
    let lines = info.lines().filter_map(|line| line.strip_prefix("lock:"));
    let entries = lines.filter_map(|line| Entry::of(line.trim_start()));
    locks.extend(entries.map(|entry| OwnLock {
        descriptor: number,
        file,
        api: match entry.api {
            Api::Flock => OwnApi::Flock,
            Api::Process | Api::Description => OwnApi::Range,
        },
        is_shared: entry.is_shared,
        first: entry.start,
        last: entry.end,
    }));
    Ok(())
}
