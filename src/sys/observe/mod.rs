//! What the kernel tells of locks and of processes, in the same words on each platform. What a
//! platform cannot tell is said as unknown.
//!
//! A platform is three choices:
//!
//! - `locks` offers `INSPECT_FLAGS`, and `Snapshot` with `take`, `of`, `marks`, `shows_marks`, `is_complete`,
//!   `named` and `deleted`: Linux's /proc, or F_GETLK elsewhere.
//! - `processes` offers `process`, `identity`, `command_line`, `pid_in_proc` and `knows_every_pid`, and, where
//!   locks are asked for by F_GETLK, `lockers(file) -> Vec<u32>`: the processes that have this file open as
//!   it was locked, which are none where that is unknown.
//! - `own` offers `own_locks`: Linux's /proc, macOS's list of descriptors, or nothing elsewhere.

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(target_os = "linux")]
use linux::{own, process as processes, snapshot as locks};

#[cfg(not(target_os = "linux"))]
mod f_getlk;
#[cfg(not(target_os = "linux"))]
use f_getlk as locks;

#[cfg(target_os = "macos")]
mod own_macos;
#[cfg(target_os = "macos")]
use own_macos as own;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod no_own;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use no_own as own;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as processes;
#[cfg(target_os = "macos")]
pub use macos::own_descriptors;

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "freebsd")]
use freebsd as processes;

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
use none as processes;

#[cfg(any(target_os = "macos", target_os = "freebsd"))]
mod sysctl;

use std::os::fd::{BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::file_state::FileId;

/// Flags of open(2) for a file that is to be looked at and nothing else. A FIFO does not wait, and
/// a terminal does not become ours.
pub const INSPECT_FLAGS: OFlags = locks::INSPECT_FLAGS;

/// All locks of the system at about one moment, where the system has a list of them.
pub struct Snapshot(locks::Snapshot);

impl Snapshot {
    /// Reads the list. What cannot be read is unknown later.
    pub fn take() -> Snapshot {
        Snapshot(locks::Snapshot::take())
    }

    /// The locks on an open file. `writer` is the process that its record names, which may have
    /// one.
    pub fn of(&self, file: BorrowedFd<'_>, writer: Option<u32>) -> FileLocks {
        self.0.of(file, writer)
    }

    /// The marks that everybody sees, wherever their files are: none where the system has none.
    pub fn marks(&self) -> &[MarkedRange] {
        self.0.marks()
    }

    /// Whether every mark that stood there is among them.
    pub fn shows_marks(&self) -> bool {
        self.0.shows_marks()
    }

    /// Whether no mark is missing, or there is no list.
    ///
    /// # Errors
    ///
    /// What keeps the list from being read as a whole, other than that there is none or that it is not
    /// allowed.
    pub fn is_complete(&self) -> Result<(), Errno> {
        self.0.is_complete()
    }

    /// The files with a flock that one of these marks `names`, in processes that have both: none where the
    /// system does not tell.
    ///
    /// # Errors
    ///
    /// What kept the look from being complete, other than that it is not allowed.
    pub fn named(&self, marks: &[MarkedRange], names: &Names<'_>) -> Result<Found, Errno> {
        self.0.named(marks, names)
    }

    /// The locked files that had this path, on the mount of the open file `beside`, and were deleted: none
    /// where the system does not tell.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::named`].
    pub fn deleted(&self, path: &Path, beside: BorrowedFd<'_>) -> Result<Found, Errno> {
        self.0.deleted(path, beside)
    }
}

/// Whether a mark names this file.
pub type Names<'a> = dyn Fn(&MarkedRange, FileId) -> bool + 'a;

/// A mark: a range of bytes that is locked for reading where no file has a byte (`lock/mark.rs`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MarkedRange {
    /// Its first byte.
    pub start: i64,
    /// How many bytes.
    pub length: i64,
    /// The number of the file that it is on, which no other run has: of two runs that say the same, one after
    /// the other, the marks are not the same.
    pub inode: u64,
}

impl MarkedRange {
    /// Ranges from here on are marks: no file is so long, and a program locks such bytes only by locking
    /// a whole file.
    pub const FIRST: i64 = 1 << 62;
}

/// Locked files that were found open in other processes.
#[derive(Default)]
pub struct Found {
    /// These files.
    pub files: Vec<FoundFile>,
    /// Others were found and gone at the next look, perhaps handed on.
    pub has_vanished: bool,
}

/// A locked file that was found open in another process.
pub struct FoundFile {
    /// Where it can be opened, unless something else is there by then.
    pub place: PathBuf,
    /// Which file it is.
    pub id: FileId,
}

/// A lock that this very process has, by a descriptor that is open in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnLock {
    /// The descriptor.
    pub descriptor: RawFd,
    /// The locked file.
    pub file: FileId,
    /// Which lock of the system's.
    pub api: OwnApi,
    /// It is for many.
    pub is_shared: bool,
    /// Its first byte.
    pub first: i64,
    /// Its last one, if it has one.
    pub last: Option<i64>,
}

/// Which lock of the system's.
#[allow(dead_code)] // Not each platform tells of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OwnApi {
    /// flock(2).
    Flock,
    /// A record lock of fcntl(2).
    Range,
}

/// The locks that our own descriptors have, of those that are wanted by their file, and without one that
/// is known: none where the system does not tell.
///
/// # Errors
///
/// What kept the look from being complete.
pub fn own_locks(
    without: Option<RawFd>,
    is_wanted: &dyn Fn(FileId) -> bool,
) -> Result<Vec<OwnLock>, Errno> {
    own::own_locks(without, is_wanted)
}

/// What is known of the locks on one file.
pub struct FileLocks {
    /// Whether there is a lock, whoever has it.
    pub state: State,
    /// Processes that certainly have it.
    pub holders: Vec<u32>,
    /// Processes that the kernel says took a lock, and that may not or cannot be looked into; they
    /// need not have it any more.
    pub takers: Vec<u32>,
    /// How many wait, where that can be known.
    pub waiters: Option<usize>,
}

/// Whether a file is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Locked,
    /// It is not.
    Free,
    /// That cannot be told, for this reason.
    Unknown(WhyUnknown),
}

/// Why it cannot be told whether a file is locked.
#[allow(dead_code)] // Each platform has some of these reasons.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WhyUnknown {
    /// Our PID namespace is not the initial one, and the lists leave out the locks of processes
    /// outside of it.
    OtherPidNamespace,
    /// `/proc` hides processes (proc(5), `hidepid` and `subset`).
    ProcHidden,
    /// `/proc/locks` cannot be read.
    NoTable,
    /// `/proc` does not tell the device number of the file's file system.
    NoNumber,
    /// A file of another btrfs or bcachefs subvolume has the same number, and one of them is
    /// locked.
    SharedNumber,
    /// The file system may have locks of other machines, or of its own, that are in no list here.
    LocksElsewhere,
    /// The system does not tell: F_GETLK failed.
    NotTold,
    /// It was locked at every look, and always by somebody else who was gone when it was looked for them.
    ChangesTooFast,
    /// A look could not be completed.
    Failed(Errno),
}

/// A process, as far as anybody may know it. Where a system does not tell, nothing is said.
#[derive(Default)]
pub struct Process {
    /// Its parent; 0 where that is unknown.
    pub parent: u32,
    /// It has ended, or is about to: its descriptors are closed before it can be waited for.
    pub has_ended: bool,
    /// It is stopped, by a signal or a debugger.
    pub is_stopped: bool,
    /// The command whose lock it holds, if it is a guardian and the command lives.
    pub ward: Option<u32>,
    /// It is the kernel's own, and so no command of anybody's.
    pub is_kernels: bool,
    /// When it started, to within a hundredth of a second.
    pub started: Option<SystemTime>,
}

/// Looks a process up; nothing if there is none, or it cannot be seen.
pub fn process(pid: u32) -> Option<Process> {
    processes::process(pid)
}

/// A process's owner and its PID in its own namespace.
#[derive(Default)]
pub struct Identity {
    /// The effective user ID.
    pub user: Option<u32>,
    /// Its PID in its own PID namespace, if that is not ours.
    pub inner_pid: Option<u32>,
}

/// Looks up whose a process is; nothing is known of one that is gone.
pub fn identity(pid: u32) -> Identity {
    processes::identity(pid)
}

/// The command line of a process, its words with blanks between them. On Linux its name in brackets
/// if it has none; where it has more than a thousand bytes, perhaps only so many and one. Nothing where
/// there is no such process, or its command line may not be read.
pub fn command_line(pid: u32) -> Option<Vec<u8>> {
    processes::command_line(pid)
}

/// Our PID as all that is told here has it. It is not what getpid(2) says in a PID namespace of Linux that
/// has the `/proc` of another: the numbers are that one's.
pub fn pid_in_proc() -> u32 {
    processes::pid_in_proc()
}

/// Whether a PID that is not there belongs to no process at all. It may do so in a PID namespace of
/// Linux, or in a jail of FreeBSD.
pub fn knows_every_pid() -> bool {
    processes::knows_every_pid()
}
