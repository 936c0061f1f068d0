//! Whether a file is locked, where there is no `/proc`: by fcntl(2) with F_GETLK, which takes no
//! lock.
//!
//! On macOS and the BSDs flock(2) and fcntl(2) locks are kept in one list and exclude each other
//! (flock(2) of FreeBSD and macOS), so F_GETLK tells of a flock, too. It gives no PID for one (XNU
//! and FreeBSD: -1, since a flock belongs to no process), nor who waits: that is unknown here. None
//! of this has been run.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Opens a file to look at. A FIFO does not wait, and a terminal does not become ours.
pub const LOOK: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// There is nothing to be read for all files at once.
pub struct Survey;

/// What is to be seen of the locks on one file.
pub struct Sight {
    /// Processes that certainly have it: unknown, so none.
    pub holders: Vec<u32>,
    /// The process that the kernel says took it, if it was a record lock.
    pub takers: Vec<u32>,
    /// How many wait: unknown.
    pub waiters: Option<usize>,
    /// There is a lock, whoever has it.
    pub is_locked: bool,
}

impl Survey {
    /// Nothing can fail here.
    ///
    /// # Errors
    ///
    /// None.
    pub fn take() -> io::Result<Survey> {
        Ok(Survey)
    }

    /// The locks on an open file; nothing if the system does not tell.
    pub fn of(&self, file: BorrowedFd<'_>) -> Option<Sight> {
        let mut range = MaybeUninit::<libc::flock>::zeroed();
        let place = range.as_mut_ptr();
        // SAFETY: `place` is valid for writing a flock structure, of which zeroes are a valid one:
        // the whole file, from its start.
        unsafe { (*place).l_type = libc::F_WRLCK as libc::c_short };
        // SAFETY: the descriptor is open, and F_GETLK reads and writes one flock structure.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, place) } < 0 {
            return None;
        }
        // SAFETY: zeroed at first, and integers throughout.
        let range = unsafe { range.assume_init() };
        let taker = u32::try_from(range.l_pid).ok().filter(|&pid| pid > 0);
        let is_locked = range.l_type != libc::F_UNLCK as libc::c_short;
        Some(Sight {
            holders: Vec::new(),
            takers: taker.into_iter().collect(),
            waiters: None,
            is_locked,
        })
    }

    /// Deleted files cannot be seen.
    pub fn deleted(&self, _: &Path, _: BorrowedFd<'_>) -> impl Iterator<Item = &Path> {
        std::iter::empty()
    }

    /// F_GETLK sees every lock.
    pub fn has_blind_spots(&self) -> bool {
        false
    }
}

/// A process, as far as anybody may know it.
pub struct Process {
    /// Its parent: unknown.
    pub parent: u32,
    /// It has ended: unknown, so not said.
    pub has_ended: bool,
    /// It is stopped: unknown, so not said.
    pub is_stopped: bool,
    /// It is the guardian of a lock: unknown, so not said.
    pub is_guardian: bool,
    /// When it started: unknown.
    pub started: Option<SystemTime>,
}

/// Looks a process up; nothing if there is none. All that kill(2) tells is that there is one.
pub fn process(pid: u32) -> Option<Process> {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let is_there = test_kill_process(known) != Err(Errno::SRCH);
    is_there.then_some(Process {
        parent: 0,
        has_ended: false,
        is_stopped: false,
        is_guardian: false,
        started: None,
    })
}

/// The command line of a process: unknown.
pub fn command_line(_: u32) -> Option<Vec<u8>> {
    None
}

/// The path of an open file: unknown.
pub fn path_of(_: BorrowedFd<'_>) -> Option<PathBuf> {
    None
}
