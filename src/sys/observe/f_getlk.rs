//! Whether a file is locked, where there is no `/proc`: by fcntl(2) with F_GETLK, which takes no
//! lock.
//!
//! On macOS and the BSDs flock(2) and fcntl(2) locks are kept in one list and exclude each other
//! (flock(2) of FreeBSD and macOS), so F_GETLK tells of a flock, too. It gives no PID for one (XNU
//! and FreeBSD: -1, since a flock belongs to no process), nor who waits: that is unknown here. Who has a
//! flock is told by macOS in another way (`lockers` of its processes).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::processes::lockers;
use super::{FileLocks, Found, MarkedRange, Names, State, WhyUnknown};
use crate::sys::errno::check;

/// A file has to be opened for reading to be looked at.
pub const INSPECT_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// There is nothing to be read for all files at once.
pub struct Snapshot;

impl Snapshot {
    /// There is no list to read.
    pub fn take() -> Snapshot {
        Snapshot
    }

    /// The locks on an open file, by F_GETLK.
    pub fn of(&self, file: BorrowedFd<'_>, _: Option<u32>) -> FileLocks {
        let (state, taker) = match first_lock(file) {
            Some(lock) if lock.l_type == libc::F_UNLCK as libc::c_short => (State::Free, None),
            Some(lock) => (State::Locked, u32::try_from(lock.l_pid).ok()),
            None => (State::Unknown(WhyUnknown::NotTold), None),
        };
        FileLocks {
            state,
            holders: match state {
                State::Locked => lockers(file),
                State::Free | State::Unknown(_) => Vec::new(),
            },
            takers: taker.filter(|&pid| pid > 0).into_iter().collect(),
            waiters: None,
        }
    }

    /// There are none.
    pub fn marks(&self) -> &[MarkedRange] {
        &[]
    }

    /// There are none to be shown.
    pub fn shows_marks(&self) -> bool {
        false
    }

    /// None is missing.
    pub fn is_complete(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// What others have open is not looked for.
    pub fn named(&self, _: &[MarkedRange], _: &Names<'_>) -> Result<Found, Errno> {
        Ok(Found::default())
    }

    /// Deleted files are not seen.
    pub fn deleted(&self, _: &Path, _: BorrowedFd<'_>) -> Result<Found, Errno> {
        Ok(Found::default())
    }
}

/// A lock that excludes one on the whole file, by F_GETLK; nothing if the system does not tell.
fn first_lock(file: BorrowedFd<'_>) -> Option<libc::flock> {
    let mut range = MaybeUninit::<libc::flock>::zeroed();
    let place = range.as_mut_ptr();
    // SAFETY: `place` is valid for writing a flock structure, of which zeroes are a valid one: the
    // whole file, from its start.
    unsafe { (*place).l_type = libc::F_WRLCK as libc::c_short };
    // SAFETY: the descriptor is open, and F_GETLK reads and writes one flock structure.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, place) }).ok()?;
    // SAFETY: zeroed at first, and integers throughout.
    Some(unsafe { range.assume_init() })
}
