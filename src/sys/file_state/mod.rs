//! What a file is, and what has happened to it: stat(2), and when the file was made where the system
//! tells.
//!
//! A platform's file offers `of_descriptor`, `of_path`, `of_link` and `is_kernels`, each with the errors of its call.

#[cfg(not(target_os = "linux"))]
mod other;
mod stat;
#[cfg(target_os = "linux")]
mod statx;

#[cfg(not(target_os = "linux"))]
use other as platform;
#[cfg(target_os = "linux")]
use statx as platform;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use platform::{is_kernels, of_descriptor, of_link, of_path};

/// The state of a file at one moment.
pub struct FileState {
    /// Which file it is.
    pub id: FileId,
    /// It is a regular file.
    pub is_regular: bool,
    /// How many names it has.
    pub links: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed.
    pub modified: Timestamp,
    /// When its content, its name or its rights last changed.
    pub changed: Timestamp,
    /// When it was made, where the system tells.
    pub born: Option<Timestamp>,
    /// Its file system certainly notes a rename and a link as a change. POSIX leaves that open, and
    /// FAT, some servers and some programs do not. Nor is it so of a mount point.
    pub notes_renames: bool,
}

/// The device and the inode number, which together name a file (stat(2)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The file system's device number.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
}

/// A time of a file's: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// The fraction, in nanoseconds.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The same time so many seconds later.
    pub fn after(self, seconds: i64) -> Timestamp {
        Timestamp {
            seconds: self.seconds.saturating_add(seconds),
            ..self
        }
    }

    /// The time as std has it. Some file systems keep times that no clock can tell: those are 1970.
    pub fn to_system_time(self) -> SystemTime {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        UNIX_EPOCH
            .checked_add(Duration::new(seconds, self.nanoseconds))
            .unwrap_or(UNIX_EPOCH)
    }
}
