//! A lock on a file of this machine, or on a descriptor.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use super::process::what_became_of;
use super::state::{Holder, Holders, LockReport, LockState, RecordedProcess};
use crate::lock::file::OPEN_FLAGS;
use crate::lock::record::{self, Record};
use crate::sys::{self, FileLocks, Snapshot, State};

/// Looks at the lock of a descriptor of the caller's.
pub fn descriptor(snapshot: &Snapshot, number: RawFd) -> LockReport {
    let descriptor = sys::callers_descriptor(number);
    descriptor.map_or_else(
        |reason| LockReport::of(Err(reason)),
        |it| inspect(snapshot, it, None),
    )
}

/// Looks at the lock on the file that a path names, or on a deleted one that it named.
pub fn file(snapshot: &Snapshot, path: &CStr) -> LockReport {
    match open_to_inspect(path) {
        Ok(file) => {
            let report = inspect(snapshot, file.as_fd(), writes_record(path));
            match report.state {
                Ok(LockState::Free | LockState::Unknown(_)) => {
                    deleted(snapshot, sys::path_of(file.as_fd()), Some(file.as_fd()))
                        .unwrap_or(report)
                }
                _ => report,
            }
        }
        Err(Errno::NOENT) => {
            let report = deleted(snapshot, absolute(path), None)
                .unwrap_or(LockReport::of(Ok(LockState::Free)));
            LockReport {
                exists: Some(false),
                ..report
            }
        }
        Err(reason) => LockReport {
            exists: None,
            ..LockReport::of(Err(reason))
        },
    }
}

/// Looks at the lock on an open file that has this record.
fn inspect(snapshot: &Snapshot, file: BorrowedFd<'_>, record: Option<Record>) -> LockReport {
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

/// The lock on a deleted file that had this path, if somebody has it.
fn deleted(
    snapshot: &Snapshot,
    path: Option<PathBuf>,
    file: Option<BorrowedFd<'_>>,
) -> Option<LockReport> {
    let path = path?;
    let folder = match file {
        Some(_) => None,
        None => Some(open_to_inspect(path.parent()?).ok()?),
    };
    let beside = file.or(folder.as_ref().map(AsFd::as_fd))?;
    snapshot.deleted(&path, beside).find_map(|target| {
        let file = open_to_inspect(target).ok()?;
        // Deleting a file does not change its content, so the record is still there.
        let content = fs::open(target, OPEN_FLAGS | OFlags::RDONLY, Mode::empty()).ok();
        let report = inspect(snapshot, file.as_fd(), content.and_then(record::read));
        let is_held = matches!(report.state, Ok(LockState::Held(_)));
        is_held.then_some(LockReport {
            deleted: true,
            ..report
        })
    })
}

/// Opens a file to look at: its content is neither read nor written.
fn open_to_inspect(path: impl Arg) -> Result<OwnedFd, Errno> {
    fs::open(path, sys::INSPECT_FLAGS | OFlags::CLOEXEC, Mode::empty())
}

/// The record, looked at without opening anything that is not a regular file of its length.
fn writes_record(path: &CStr) -> Option<Record> {
    let state = fs::lstat(path).ok()?;
    if !record::could_hold_one(&state) {
        return None;
    }
    let flags = OPEN_FLAGS | OFlags::RDONLY | OFlags::NOFOLLOW;
    fs::open(path, flags, Mode::empty())
        .ok()
        .and_then(record::read)
}

/// The path that a file would have that is not there.
fn absolute(path: &CStr) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let folder = match path.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
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
    let has_become_us = record.is_some_and(|record| record.pid == process::id());
    if holders.len() > 1 && !has_become_us {
        holders.retain(|&pid| pid != process::id());
    }
    let holders: Vec<_> = holders.into_iter().map(Holder::of).collect();
    Holders {
        since: since(&holders, record),
        confirmed: holders,
        takers: locks.takers.into_iter().map(Holder::of).collect(),
        waiters: locks.waiters,
    }
}

/// The record's time if its process is a holder, else the start of the oldest holder.
fn since(holders: &[Holder], record: Option<&Record>) -> Option<SystemTime> {
    match record {
        Some(record) if holders.iter().any(|holder| holder.is_named_by(record)) => {
            Some(record.time)
        }
        _ => holders.iter().filter_map(|holder| holder.started).min(),
    }
}
