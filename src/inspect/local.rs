//! A lock on a file of this machine, or on a descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process;
use std::time::SystemTime;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use super::process::{may_tell_when, what_became_of};
use super::state::{Displaced, Holder, Holders, LockReport, LockState, RecordedProcess};
use crate::lock::file::OPEN_FLAGS;
use crate::lock::mark::{Claim, Name};
use crate::lock::others::real_path;
use crate::lock::record::{self, Record};
use crate::sys::{self, FileLocks, Found, Snapshot, State};

/// Looks at the lock of a descriptor of the caller's.
pub fn descriptor(snapshot: &Snapshot, number: RawFd) -> LockReport {
    let descriptor = sys::callers_descriptor(number);
    descriptor.map_or_else(
        |reason| LockReport::of(Err(reason)),
        |it| inspect(snapshot, it, None),
    )
}

/// Looks at the lock on the file that a path names, or on another that somebody holds under that name.
pub fn file(snapshot: &Snapshot, path: &CStr) -> LockReport {
    let opened = open_to_inspect(path);
    let report = match &opened {
        Ok(file) => inspect(snapshot, file.as_fd(), record_at(path)),
        Err(Errno::NOENT) => LockReport {
            exists: Some(false),
            ..LockReport::of(Ok(LockState::Free))
        },
        Err(reason) => LockReport {
            exists: None,
            ..LockReport::of(Err(*reason))
        },
    };
    if matches!(report.state, Ok(LockState::Held(_))) {
        return report;
    }
    let file = opened.as_ref().ok().map(AsFd::as_fd);
    let elsewhere = marked(snapshot, path, file)
        .and_then(|found| found.map_or_else(|| deleted(snapshot, path, file), |it| Ok(Some(it))));
    match elsewhere {
        Ok(None) => report,
        Ok(Some(found)) => LockReport {
            exists: report.exists,
            ..found
        },
        Err(reason) => LockReport {
            exists: report.exists,
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

/// The lock of a run that holds this name by another file than the one that is there.
fn marked(
    snapshot: &Snapshot,
    path: &CStr,
    file: Option<BorrowedFd<'_>>,
) -> Result<Option<LockReport>, Errno> {
    let Some(name) = Name::of(path)? else {
        return Ok(None);
    };
    let there = file.map(sys::state_of_descriptor).transpose()?;
    // A mark on the file that is there, which is free, is of a run that is just ending or has let go.
    let is_elsewhere = |mark: &Claim| !there.as_ref().is_some_and(|there| mark.names(there.id));
    let marks: Vec<_> = name.marks(snapshot.marks()).filter(is_elsewhere).collect();
    if marks.is_empty() {
        return snapshot.is_complete().map(|()| None);
    }
    // That it is held is known, so nothing that goes wrong from here on is an error.
    let names = |file| marks.iter().any(|mark| mark.names(file));
    let found = snapshot.locked(&names).unwrap_or_default();
    let seen = held_at(snapshot, &found).unwrap_or_default();
    let seen = seen.filter(|report| matches!(report.state, Ok(LockState::Held(_))));
    let unseen = Holders {
        confirmed: Vec::new(),
        takers: Vec::new(),
        since: None,
        waiters: None,
    };
    Ok(Some(seen.unwrap_or(LockReport {
        displaced: Some(Displaced::Unknown),
        ..LockReport::of(Ok(LockState::Held(unseen)))
    })))
}

/// The lock on a deleted file that had this path, if another program has it.
fn deleted(
    snapshot: &Snapshot,
    path: &CStr,
    file: Option<BorrowedFd<'_>>,
) -> Result<Option<LockReport>, Errno> {
    // Of what is in no folder that is there, nobody can say that it was deleted.
    let Some(path) = if_there(real_path(path))? else {
        return Ok(None);
    };
    let folder = match (file, path.parent()) {
        (None, Some(folder)) => if_there(open_to_inspect(folder))?,
        _ => None,
    };
    let Some(beside) = file.or(folder.as_ref().map(AsFd::as_fd)) else {
        return Ok(None);
    };
    let found = snapshot.deleted(&path, beside)?;
    held_at(snapshot, &found)
}

/// What was asked for; nothing where it is not there, or where we may not look. Any other error keeps
/// the look from being complete.
fn if_there<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::SRCH) => Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(reason) => Err(reason),
    }
}

/// The lock on the first of these files that is held, or of which it cannot be told.
fn held_at(snapshot: &Snapshot, found: &Found) -> Result<Option<LockReport>, Errno> {
    let mut untold = None;
    for place in &found.places {
        let Some(file) = if_there(open_to_inspect(place))? else {
            continue;
        };
        // Deleting a file does not change its content, so the record is still there.
        let content = fs::open(place, OPEN_FLAGS | OFlags::RDONLY, Mode::empty()).ok();
        let report = inspect(snapshot, file.as_fd(), content.and_then(record::read));
        let displaced = match sys::state_of_descriptor(file.as_fd())?.links {
            0 => Displaced::Deleted,
            _ => Displaced::Renamed,
        };
        let report = LockReport {
            displaced: Some(displaced),
            ..report
        };
        match report.state {
            Ok(LockState::Free) => {}
            Ok(LockState::Held(_)) => return Ok(Some(report)),
            _ => untold = untold.or(Some(report)),
        }
    }
    Ok(untold)
}

/// Opens a file to look at: its content is neither read nor written.
fn open_to_inspect(path: impl Arg) -> Result<OwnedFd, Errno> {
    fs::open(path, sys::INSPECT_FLAGS | OFlags::CLOEXEC, Mode::empty())
}

/// The record, looked at without opening anything that is not a regular file of its length.
fn record_at(path: &CStr) -> Option<Record> {
    let state = sys::state_of_link(path).ok()?;
    if !record::could_hold_one(&state) {
        return None;
    }
    let flags = OPEN_FLAGS | OFlags::RDONLY | OFlags::NOFOLLOW;
    fs::open(path, flags, Mode::empty())
        .ok()
        .and_then(record::read)
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
        let ours = sys::own_pid();
        holders.retain(|&pid| pid != ours);
    }
    let holders: Vec<_> = holders.into_iter().map(Holder::of).collect();
    Holders {
        since: since(&holders, record),
        confirmed: holders,
        takers: locks.takers.into_iter().map(Holder::of).collect(),
        waiters: locks.waiters,
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
