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

use super::process::fate;
use super::state::{Fate, Finding, Holder, Holding, Verdict};
use crate::lock::file::CAREFUL;
use crate::lock::record::{self, Record};
use crate::sys::{self, Sight, State, Survey};

/// Looks at the lock of a descriptor of the caller's.
pub fn descriptor(survey: &Survey, number: RawFd) -> Finding {
    let descriptor = sys::callers(number);
    descriptor.map_or_else(
        |reason| Finding::of(Err(reason)),
        |it| look(survey, it, None),
    )
}

/// Looks at the lock on the file that a path names, or on a deleted one that it named.
pub fn file(survey: &Survey, path: &CStr) -> Finding {
    match open_to_look(path) {
        Ok(file) => {
            let finding = look(survey, file.as_fd(), recorded(path));
            match finding.verdict {
                Ok(Verdict::Free | Verdict::Unknown(_)) => {
                    deleted(survey, sys::path_of(file.as_fd()), Some(file.as_fd()))
                        .unwrap_or(finding)
                }
                _ => finding,
            }
        }
        Err(Errno::NOENT) => {
            let finding =
                deleted(survey, absolute(path), None).unwrap_or(Finding::of(Ok(Verdict::Free)));
            Finding {
                exists: Some(false),
                ..finding
            }
        }
        Err(reason) => Finding {
            exists: None,
            ..Finding::of(Err(reason))
        },
    }
}

fn look(survey: &Survey, file: BorrowedFd<'_>, record: Option<Record>) -> Finding {
    let mut sight = survey.of(file, record.as_ref().map(|record| record.pid));
    // A process that the kernel says took a lock, and that wrote the record, is a run: it holds
    // this one, also where it cannot be looked into.
    let writer = record
        .as_ref()
        .map(|record| (record.pid, fate(record, &[])));
    let is_writer = |pid| writer == Some((pid, Fate::Runs));
    if let Some(index) = sight.takers.iter().position(|&pid| is_writer(pid)) {
        sight.holders.push(sight.takers.remove(index));
        sight.state = State::Locked;
    }
    let verdict = match sight.state {
        State::Locked => Verdict::Held(holding(sight, record.as_ref())),
        State::Free => Verdict::Free,
        State::Unknown(why) => Verdict::Unknown(why),
    };
    let holders = match &verdict {
        Verdict::Held(holding) => &holding.holders[..],
        _ => &[],
    };
    let record = record.map(|record| {
        let fate = fate(&record, holders);
        (record, fate)
    });
    Finding {
        record,
        ..Finding::of(Ok(verdict))
    }
}

/// The lock on a deleted file that had this path, if somebody has it.
fn deleted(
    survey: &Survey,
    path: Option<PathBuf>,
    file: Option<BorrowedFd<'_>>,
) -> Option<Finding> {
    let path = path?;
    let folder = match file {
        Some(_) => None,
        None => Some(open_to_look(path.parent()?).ok()?),
    };
    let beside = file.or(folder.as_ref().map(AsFd::as_fd))?;
    survey.deleted(&path, beside).find_map(|place| {
        let file = open_to_look(place).ok()?;
        // What it held when it was deleted, it still holds.
        let content = fs::open(place, CAREFUL | OFlags::RDONLY, Mode::empty()).ok();
        let finding = look(survey, file.as_fd(), content.and_then(record::read));
        let is_held = matches!(finding.verdict, Ok(Verdict::Held(_)));
        is_held.then_some(Finding {
            deleted: true,
            ..finding
        })
    })
}

fn open_to_look(path: impl Arg) -> Result<OwnedFd, Errno> {
    fs::open(path, sys::LOOK | OFlags::CLOEXEC, Mode::empty())
}

/// The record, looked at without opening anything that is not a regular file of its length.
fn recorded(path: &CStr) -> Option<Record> {
    let state = fs::lstat(path).ok()?;
    if !record::could_hold_one(&state) {
        return None;
    }
    let flags = CAREFUL | OFlags::RDONLY | OFlags::NOFOLLOW;
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

fn holding(sight: Sight, record: Option<&Record>) -> Holding {
    let mut holders = Vec::new();
    for pid in sight.holders {
        // A guardian holds it for the command, which may hold it, too.
        let pid = sys::process(pid)
            .and_then(|process| process.ward)
            .unwrap_or(pid);
        if !holders.contains(&pid) {
            holders.push(pid);
        }
    }
    // Started by a holder, we have its descriptor, too; but it is not us who are asked for, unless
    // the holder has become us.
    let has_become_us = record.is_some_and(|record| record.pid == process::id());
    if holders.len() > 1 && !has_become_us {
        holders.retain(|&pid| pid != process::id());
    }
    let holders: Vec<_> = holders.into_iter().map(Holder::of).collect();
    Holding {
        since: since(&holders, record),
        holders,
        takers: sight.takers.into_iter().map(Holder::of).collect(),
        waiters: sight.waiters,
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
