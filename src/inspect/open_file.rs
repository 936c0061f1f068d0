//! The lock on an open file of this machine.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::SystemTime;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use super::process::{may_tell_when, what_became_of};
use super::state::{Holder, Holders, LockReport, LockState, RecordedProcess};
use crate::lock::record::Record;
use crate::sys::{self, FileLocks, Snapshot, State};

/// Looks at the lock on an open file that has this record.
pub fn inspect(snapshot: &Snapshot, file: BorrowedFd<'_>, record: Option<Record>) -> LockReport {
    let mut locks = snapshot.of(file, record.as_ref().map(|record| record.pid));
    // A process that the kernel says took a lock, and that wrote the record, is a run: it holds
    // this one, also where it cannot be looked into.
    let writer = record
        .as_ref()
        .map(|record| (record.pid, what_became_of(record, &[])));
    let is_writer = |pid| writer == Some((pid, RecordedProcess::Runs));
    if let Some(index) = locks.takers.iter().position(|&pid| is_writer(pid)) {
        locks.holders.push(locks.takers.remove(index));
        locks.state = State::Locked;
    }
    let state = match locks.state {
        State::Locked => LockState::Held(holders_of(locks, record.as_ref())),
        State::Free => LockState::Free,
        State::Unknown(why) => LockState::Unknown(why),
    };
    let holders = match &state {
        LockState::Held(holders) => &holders.confirmed[..],
        _ => &[],
    };
    let record = record.map(|record| {
        let process = what_became_of(&record, holders);
        (record, process)
    });
    LockReport {
        record,
        ..LockReport::of(Ok(state))
    }
}

/// Opens a file to look at: its content is neither read nor written.
///
/// # Errors
///
/// As open(2).
pub fn open_to_inspect(path: impl Arg) -> Result<OwnedFd, Errno> {
    fs::open(path, sys::INSPECT_FLAGS | OFlags::CLOEXEC, Mode::empty())
}

/// Who has a lock, of all that the system tells of the locks on its file.
fn holders_of(locks: FileLocks, record: Option<&Record>) -> Holders {
    let mut holders = Vec::new();
    for pid in locks.holders {
        // A guardian holds it for the command, which may hold it, too.
        let pid = sys::process(pid)
            .and_then(|process| process.ward)
            .unwrap_or(pid);
        if !holders.contains(&pid) {
            holders.push(pid);
        }
    }
    // If a holder started us, we inherited its descriptor and look like a holder. Leave ourselves
    // out, unless the record names us: then the holder has become us by exec.
    let has_become_us = record.is_some_and(|record| record.pid == std::process::id());
    if holders.len() > 1 && !has_become_us {
        let ours = sys::pid_in_proc();
        holders.retain(|&pid| pid != ours);
    }
    let holders: Vec<_> = holders.into_iter().map(Holder::of).collect();
    Holders {
        since: since(&holders, record),
        confirmed: holders,
        takers: locks.takers.into_iter().map(Holder::of).collect(),
        waiters: locks.waiters,
        by_mark: false,
    }
}

/// The record's time if its process is a holder and may have written it then, else the start of the oldest
/// holder.
fn since(holders: &[Holder], record: Option<&Record>) -> Option<SystemTime> {
    let writer = record.and_then(|record| {
        let mut writers = holders.iter().filter(|holder| holder.is_named_by(record));
        writers
            .any(|writer| may_tell_when(record, writer.started))
            .then_some(record.time)
    });
    writer.or_else(|| holders.iter().filter_map(|holder| holder.started).min())
}
