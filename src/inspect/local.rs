//! A lock on a file of this machine, or on a descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::elsewhere::{Marked, deleted, marked, marks_of};
use super::missing::missing;
use super::open_file::{inspect, open_to_inspect};
use super::state::{Holder, LockReport, LockState, RecordedProcess};
use crate::lock::file::OPEN_FLAGS;
use crate::lock::record::{self, Content};
use crate::sys::{self, Snapshot, WhyUnknown};

/// Looks at the lock of a descriptor of the caller's.
pub fn descriptor(snapshot: &Snapshot, number: RawFd) -> LockReport {
    let descriptor = sys::callers_descriptor(number);
    descriptor.map_or_else(
        |reason| LockReport::of(Err(reason)),
        |it| inspect(snapshot, it, None),
    )
}

/// How often it is looked again because all that was seen was let go meanwhile.
const MOST_LOOKS: usize = 100;

/// Looks at the lock on the file that a path names, or on another that somebody holds under that name.
pub fn file(snapshot: &Snapshot, path: &CStr) -> LockReport {
    let mut later: Option<Snapshot> = None;
    let mut before = None;
    for _ in 0..MOST_LOOKS {
        let snapshot = later.as_ref().unwrap_or(snapshot);
        if let Some(report) = look(snapshot, path) {
            let doubts = doubts(&report);
            // What is the same again is so.
            if doubts.is_none() || doubts == before {
                return report;
            }
            before = doubts;
        }
        later = Some(Snapshot::take());
    }
    LockReport::of(Ok(LockState::Unknown(WhyUnknown::ChangesTooFast)))
}

/// The holders and the PID on record, where they may be of two runs that followed each other while it was
/// looked: all holders have ended, or the process of the record is not there.
fn doubts(report: &LockReport) -> Option<(Vec<u32>, Option<u32>)> {
    let Ok(LockState::Held(holders)) = &report.state else {
        return None;
    };
    let holders = &holders.confirmed;
    let is_gone = |process| matches!(process, RecordedProcess::Gone | RecordedProcess::Unseen);
    let record = report.record.filter(|(_, process)| is_gone(*process));
    let have_ended = holders.iter().all(Holder::has_ended);
    let is_doubtful = !holders.is_empty() && (have_ended || record.is_some());
    let pids = || holders.iter().map(|holder| holder.pid).collect();
    is_doubtful.then(|| (pids(), record.map(|(record, _)| record.pid)))
}

/// The same, once. Nothing where it was held by somebody who let go of it meanwhile.
fn look(snapshot: &Snapshot, path: &CStr) -> Option<LockReport> {
    let opened = open_to_inspect(path);
    let mut report = at_path(snapshot, path, &opened);
    let marks = marks_of(snapshot, path);
    if let (Ok(Some(marks)), true) = (&marks, snapshot.shows_marks()) {
        report.marked = Some(!marks.is_empty());
    }
    if matches!(report.state, Ok(LockState::Held(_))) {
        return Some(report);
    }
    let file = opened.as_ref().ok().map(AsFd::as_fd);
    let told = marks.and_then(|marks| match marks {
        Some(marks) => marked(snapshot, &marks, file, &report),
        None => Ok(Marked::Nobody),
    });
    let elsewhere = match told {
        Ok(Marked::Nobody) => deleted(snapshot, path, file),
        Ok(Marked::Found(found)) => Ok(Some(found)),
        Ok(Marked::Gone) => return None,
        Err(reason) => Err(reason),
    };
    let found = match elsewhere {
        Ok(None) => return Some(report),
        Ok(Some(found)) => found,
        Err(reason) => LockReport::of(Err(reason)),
    };
    Some(LockReport {
        exists: report.exists,
        missing: report.missing,
        marked: report.marked,
        ..found
    })
}

/// Looks at the lock on the file that a path leads to, which was opened.
fn at_path(snapshot: &Snapshot, path: &CStr, opened: &Result<OwnedFd, Errno>) -> LockReport {
    match opened {
        Ok(file) => {
            let (record, is_occupied) = match content_at(path) {
                Some(Content::Record(record)) => (Some(record), false),
                Some(Content::Other) => (None, true),
                Some(Content::Empty) | None => (None, false),
            };
            LockReport {
                is_occupied,
                ..inspect(snapshot, file.as_fd(), record)
            }
        }
        Err(Errno::NOENT) => LockReport {
            exists: Some(false),
            missing: missing(path),
            ..LockReport::of(Ok(LockState::Free))
        },
        Err(reason) => LockReport {
            exists: None,
            missing: missing(path).filter(|_| *reason == Errno::NOTDIR),
            ..LockReport::of(Err(*reason))
        },
    }
}

/// What a regular file holds, as far as it can be told without opening one that is not of a record's
/// length.
fn content_at(path: &CStr) -> Option<Content> {
    let state = sys::state_of_link(path).ok()?;
    if !record::could_hold_one(&state) {
        return (state.is_regular && state.size > 0).then_some(Content::Other);
    }
    let flags = OPEN_FLAGS | OFlags::RDONLY | OFlags::NOFOLLOW;
    let file = fs::open(path, flags, Mode::empty()).ok()?;
    let state = sys::state_of_descriptor(file.as_fd()).ok()?;
    Some(Content::of(file.as_fd(), &state))
}
