//! What can be said of a lock.

use std::time::SystemTime;

use rustix::io::Errno;

use super::missing::Missing;
use crate::lock::lines::StatusAnswer;
use crate::lock::record::Record;
use crate::sys::{self, WhyUnknown};
use crate::text::password::without_passwords_in;

/// What can be said of the lock on a file.
pub enum LockState {
    /// Somebody has it.
    Held(Holders),
    /// Nobody has it.
    Free,
    /// There may be a lock that cannot be seen from here, for this reason.
    Unknown(WhyUnknown),
    /// What a server's helper says: whether somebody has it, if that is known, and more.
    Remote(Option<bool>, StatusAnswer),
}

/// A lock that somebody has.
pub struct Holders {
    /// The processes that certainly have it.
    pub confirmed: Vec<Holder>,
    /// Others that the kernel says took it. They live, but it cannot be seen whether they still
    /// have it, or a child of theirs.
    pub takers: Vec<Holder>,
    /// Since when, if that is known.
    pub since: Option<SystemTime>,
    /// How many wait for it, if that is known.
    pub waiters: Option<usize>,
    /// Nothing is seen of who has it but the mark of a run of ours.
    pub by_mark: bool,
}

impl Holders {
    /// A run of ours, of which nothing is seen but its mark.
    pub fn by_mark() -> Holders {
        Holders {
            by_mark: true,
            confirmed: Vec::new(),
            takers: Vec::new(),
            since: None,
            waiters: None,
        }
    }
}

/// A process that has a lock.
pub struct Holder {
    /// Its PID, in the PID namespace whose processes we see.
    pub pid: u32,
    /// Its PID in its own PID namespace, if that is another.
    pub inner_pid: Option<u32>,
    /// Its effective user ID, if that is known.
    pub user: Option<u32>,
    /// Its command line, bytes from elsewhere.
    pub command: Vec<u8>,
    /// It is stopped.
    pub is_stopped: bool,
    /// When it started, if that is known.
    pub started: Option<SystemTime>,
}

impl Holder {
    /// The process with this PID, as far as it can be seen.
    pub fn of(pid: u32) -> Holder {
        let process = sys::process(pid);
        let identity = sys::identity(pid);
        Holder {
            pid,
            inner_pid: identity.inner_pid,
            user: identity.user,
            command: without_passwords_in(&sys::command_line(pid).unwrap_or_default()),
            is_stopped: process.as_ref().is_some_and(|process| process.is_stopped),
            started: process.and_then(|process| process.started),
        }
    }

    /// Whether it has ended by now.
    pub fn has_ended(&self) -> bool {
        sys::process(self.pid).is_none_or(|process| process.has_ended)
    }

    /// Whether a record names it, by the PID that it has where it lives.
    pub fn is_named_by(&self, record: &Record) -> bool {
        self.inner_pid.unwrap_or(self.pid) == record.pid
    }
}

/// What became of the process that a record names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RecordedProcess {
    /// It holds the lock.
    Holds,
    /// It runs, and does not hold the lock.
    Runs,
    /// A process with its PID runs; whether it is the same is not known.
    Alive,
    /// Another process has its PID now.
    Reused,
    /// It is gone.
    Gone,
    /// Nothing has its PID here, but it may be of another PID namespace.
    Unseen,
}

/// What became of a locked file to which its path no longer leads.
#[derive(Clone, Copy)]
pub enum Displaced {
    /// It was deleted.
    Deleted,
    /// It was renamed, or another file was put in its place.
    Renamed,
    /// One of these.
    Unknown,
}

/// What is known of a lock file, or of a descriptor.
pub struct LockReport {
    /// Whether anybody holds it.
    pub state: Result<LockState, Errno>,
    /// There is a file, if that is known.
    pub exists: Option<bool>,
    /// What is missing instead, if there is none because of that.
    pub missing: Option<Missing>,
    /// A run of ours is marked as the holder of this name, if that can be seen.
    pub marked: Option<bool>,
    /// What became of the locked file, where the path no longer leads to it.
    pub displaced: Option<Displaced>,
    /// What the file says, and what became of the process that it names.
    pub record: Option<(Record, RecordedProcess)>,
    /// The file holds something else than a record, into which no run writes.
    pub is_occupied: bool,
}

impl LockReport {
    /// What there is beside this is not known.
    pub fn of_server(state: LockState) -> LockReport {
        LockReport {
            exists: None,
            ..LockReport::of(Ok(state))
        }
    }

    /// A lock on a file that is there, of which no more is known.
    pub fn of(state: Result<LockState, Errno>) -> LockReport {
        LockReport {
            state,
            exists: Some(true),
            missing: None,
            marked: None,
            displaced: None,
            record: None,
            is_occupied: false,
        }
    }

    /// The holders, if the lock is held.
    pub fn holders(self) -> Option<Holders> {
        match self.state {
            Ok(LockState::Held(holders)) => Some(holders),
            _ => None,
        }
    }
}
