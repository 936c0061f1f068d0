//! What an attempt to take a lock comes to.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use rustix::io::Errno;

use super::file::LockFile;
use super::kin::Kin;
use super::mark::Mark;
use super::record::{Record, Unrecorded};
use crate::model::target::LockTarget;

/// A lock that is ours: on the file that the path names, made by `acquire.rs`, or on a server, made by
/// `remote.rs`. Nothing unlocks it but the end of the process.
pub struct Held {
    /// The locked file.
    file: LockFile,
    /// What announces it to others, where it can be announced.
    mark: Option<OwnedFd>,
    /// What there is to say of it.
    pub remarks: Remarks,
}

/// What there is to say of a lock that was taken.
#[derive(Default)]
pub struct Remarks {
    /// The previous run's record, where the process that it names lives: it should have held this very
    /// lock.
    pub previous: Option<Record>,
    /// Why the name of the lock file is not marked, where it should be.
    pub unmarked: Option<Errno>,
    /// Why there is no record of this run in a file that could have one.
    pub unrecorded: Option<Unrecorded>,
    /// What a server's helper said while it took the lock.
    pub helper_text: Vec<u8>,
    /// The fence that a server gave with it, as a variable for the command.
    pub fence: Option<CString>,
}

impl Held {
    /// A lock that was taken on this file, announced by this mark.
    pub(super) fn new(file: LockFile, mark: Option<Mark>, mut remarks: Remarks) -> Held {
        let mark = match mark.map(|mark| mark.kept) {
            Some(Err(reason)) => {
                remarks.unmarked = Some(reason);
                None
            }
            Some(Ok(kept)) => Some(kept),
            None => None,
        };
        Held {
            file,
            mark,
            remarks,
        }
    }

    /// The locked file.
    pub fn file(&self) -> &LockFile {
        &self.file
    }

    /// The descriptor of its mark.
    pub fn mark(&self) -> Option<BorrowedFd<'_>> {
        self.mark.as_ref().map(AsFd::as_fd)
    }

    /// The descriptors that keep the lock: its own, and that of its mark.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.file.as_fd()].into_iter().chain(self.mark())
    }
}

/// What an attempt comes to.
#[allow(clippy::large_enum_variant)] // There is one in a process.
pub enum Attempt {
    /// The lock is ours.
    Held(Held),
    /// Somebody else has it.
    Busy(Busy),
}

/// A lock that somebody else has.
pub struct Busy {
    /// What is locked.
    pub target: LockTarget,
    /// It was waited for, in vain.
    pub waited: bool,
    /// Who has it, if not a stranger.
    pub kin: Option<Kin>,
    /// What a server's helper says of who has it.
    pub helper_text: Vec<u8>,
    /// Since when, if a server's helper says so.
    pub since: Option<SystemTime>,
}
