//! Who holds a lock, and since when: what the kernel confirms, not what the file claims. Never
//! takes a lock.

use std::cell::LazyCell;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::{Pid, test_kill_process};

use crate::lock::file::CAREFUL;
use crate::lock::record::{self, Record};
use crate::lock::remote;
use crate::model::request::Place;
use crate::sys::{self, Sight, State, Survey};

/// A record tells the second in which it was written, on some file systems; and a process's start
/// is known to a hundredth of one.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);

/// What can be said of the lock on a file.
pub enum Verdict {
    /// Somebody has it.
    Held(Holding),
    /// Nobody has it.
    Free,
    /// There may be a lock that cannot be seen from here, for this reason.
    Unknown(&'static str),
    /// What a server's helper says: whether somebody has it, if that is known, and more.
    Told(Option<bool>, Vec<u8>),
}

/// A lock that somebody has.
pub struct Holding {
    /// The processes that certainly have it.
    pub holders: Vec<Holder>,
    /// Others that the kernel says took it. They live, but it cannot be seen whether they still
    /// have it, or a child of theirs.
    pub takers: Vec<Holder>,
    /// Since when, if that is known.
    pub since: Option<SystemTime>,
    /// How many wait for it, if that is known.
    pub waiters: Option<usize>,
}

/// A process that has a lock.
pub struct Holder {
    /// Its PID, in our PID namespace.
    pub pid: u32,
    /// Its PID in its own PID namespace, if that is another.
    pub inner_pid: Option<u32>,
    /// Its effective user ID, if that is known.
    pub user: Option<u32>,
    /// Its command line, bytes from elsewhere.
    pub command: Vec<u8>,
    /// It is stopped.
    pub is_stopped: bool,
    started: Option<SystemTime>,
}

impl Holder {
    fn of(pid: u32) -> Holder {
        let process = sys::process(pid);
        let identity = sys::identity(pid);
        Holder {
            pid,
            inner_pid: identity.inner_pid,
            user: identity.user,
            command: sys::command_line(pid).unwrap_or_default(),
            is_stopped: process.as_ref().is_some_and(|process| process.is_stopped),
            started: process.and_then(|process| process.started),
        }
    }

    /// Whether a record names it, by the PID that it has where it lives.
    fn is_named_by(&self, record: &Record) -> bool {
        self.inner_pid.unwrap_or(self.pid) == record.pid
    }
}

/// What became of the process that a record names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
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

/// What is known of a lock file, or of a descriptor.
pub struct Finding {
    /// Whether anybody holds it.
    pub verdict: Result<Verdict, Errno>,
    /// There is a file, if that is known.
    pub exists: Option<bool>,
    /// The lock is on a file that had this path and was deleted.
    pub deleted: bool,
    /// What the file says, and what became of the process that it names.
    pub record: Option<(Record, Fate)>,
}

impl Finding {
    /// What there is beside this is not known.
    pub fn of_server(verdict: Verdict) -> Finding {
        Finding {
            exists: None,
            ..Finding::of(Ok(verdict))
        }
    }

    fn of(verdict: Result<Verdict, Errno>) -> Finding {
        Finding {
            verdict,
            exists: Some(true),
            deleted: false,
            record: None,
        }
    }

    /// The holding, if the lock is held.
    pub fn holding(self) -> Option<Holding> {
        match self.verdict {
            Ok(Verdict::Held(holding)) => Some(holding),
            _ => None,
        }
    }
}

/// Looks at one lock. The survey is of every process here, and is taken when a lock needs it: one on a
/// server does not.
pub fn find(survey: &LazyCell<Survey>, place: Place) -> Finding {
    let path = match place {
        Place::File(path) => path,
        Place::Remote(word) => return remote::find(word),
        Place::Descriptor(number) => {
            let descriptor = sys::callers(number);
            return descriptor.map_or_else(
                |reason| Finding::of(Err(reason)),
                |it| look(survey, it, None),
            );
        }
    };
    let survey: &Survey = survey;
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

/// What became of the process that a record names, among these holders.
fn fate(record: &Record, holders: &[Holder]) -> Fate {
    if holders.iter().any(|holder| holder.is_named_by(record)) {
        return Fate::Holds;
    }
    match sys::process(record.pid) {
        // It is hidden from us.
        None if is_alive(record.pid) => Fate::Alive,
        None if sys::knows_every_pid() => Fate::Gone,
        None => Fate::Unseen,
        Some(process) if process.has_ended => Fate::Gone,
        Some(process) if process.is_kernels => Fate::Reused,
        Some(process) => match process.started {
            None => Fate::Alive,
            Some(started) if was_there(started, record) => Fate::Runs,
            Some(_) => Fate::Reused,
        },
    }
}

/// Whether a process that started then can have written the record: it was there already.
fn was_there(started: SystemTime, record: &Record) -> bool {
    record
        .time
        .checked_add(CLOCK_GRAIN)
        .is_none_or(|latest| started <= latest)
}

/// Whether the process of a record that was found under a free lock still runs, and so has perhaps
/// let go of the lock: ssh and tcsh close every descriptor that they inherit.
///
/// Ourselves and our ancestors are no news: a script may well run several commands in turn under
/// the same lock.
pub fn has_let_go(record: &Record) -> bool {
    is_alive(record.pid) && fate(record, &[]) == Fate::Runs && !is_our_line(record.pid)
}

/// kill(2) with no signal: it succeeds, or may not, where there is such a process.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

fn is_our_line(pid: u32) -> bool {
    let mut ancestor = process::id();
    loop {
        match sys::process(ancestor) {
            _ if ancestor == pid => return true,
            Some(process) if process.parent != 0 && process.parent != ancestor => {
                ancestor = process.parent
            }
            _ => return false,
        }
    }
}

/// Where locked files can be opened that had the path of this file and were deleted.
pub fn deleted_locks(file: BorrowedFd<'_>) -> Vec<PathBuf> {
    let Some(path) = sys::path_of(file) else {
        return Vec::new();
    };
    let survey = Survey::take();
    survey.deleted(&path, file).map(PathBuf::from).collect()
}
