//! Who holds which lock, by Linux's `/proc`, without touching any lock (proc_locks(5),
//! proc_pid_fdinfo(5)).
//!
//! `/proc/locks` names every lock of the kernel with the process that took it, and every waiter.
//! But while locks come and go it leaves entries out, because it is read in pieces; in a PID
//! namespace it leaves out those whose taker is dead or elsewhere; and a lock goes on after its
//! taker's death, in whoever shares the open file description. The `lock:` lines of a descriptor's
//! `fdinfo` say for certain that this process holds this lock, but can only be read of processes
//! that one may trace.

use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::descriptors::Descriptors;
use super::mounts::{Mount, Named, info_of, mount_of, mounts_of, name_of};
use super::process::knows_every_pid;
use super::table::{Listed, Reading, Table};
use crate::sys::observe::{FileLocks, State, WhyUnknown};

pub use super::mounts::path_of;

/// With O_PATH no right to read the file is needed, a device does not notice, and a FIFO does not
/// wait.
pub const INSPECT_FLAGS: OFlags = OFlags::PATH;

/// How often the table is read while it changes and not all descriptors can be looked into. A
/// reading misses an entry if one before it goes away between two pieces.
const READINGS: usize = 16;

/// The table, and what was seen of the descriptors.
#[derive(Default)]
pub struct Snapshot {
    /// What the table says.
    table: Table,
    /// What was seen of the descriptors.
    descriptors: Descriptors,
    /// The mounts that we see.
    mounts: Vec<Mount>,
    /// Why there may be locks that cannot be seen, if that is so.
    blind_spot: Option<WhyUnknown>,
}

impl Snapshot {
    /// Reads the table, all descriptors that one may look into, and the table again: once, if all
    /// descriptors were seen or the table fits a page or stays as it is; and otherwise again and
    /// again.
    pub fn take() -> Snapshot {
        let mut snapshot = Snapshot {
            mounts: mounts_of(Path::new("/proc/self")),
            blind_spot: blind_spot(),
            ..Snapshot::default()
        };
        if snapshot.table.read().is_err() {
            snapshot.blind_spot = Some(WhyUnknown::NoTable);
            return snapshot;
        }
        let saw_all = snapshot.descriptors.read_all();
        let mut last = Reading::default();
        for _ in 0..READINGS {
            match snapshot.table.read() {
                Ok(now) if saw_all || now.is_of_one_moment() || now == last => break,
                Ok(now) => last = now,
                Err(_) => snapshot.blind_spot = Some(WhyUnknown::NoTable),
            }
        }
        snapshot
    }

    /// The locks on an open file. `writer` is the process that its record names.
    ///
    /// What is said, by the first line that is true:
    ///
    /// | what is seen | what is said |
    /// |---|---|
    /// | the kernel does not tell the file's number | unknown: the blind spot, or `NoNumber` |
    /// | a descriptor with a lock on this very file | locked, and by whom |
    /// | the table has a lock with the file's number, which no other file has | locked |
    /// | the same, but a file of another subvolume may have that number, and the lock may be of a process that cannot be looked into | unknown: `SharedNumber` |
    /// | a part of the locks cannot be seen | unknown: the blind spot |
    /// | the file system keeps locks where the table does not have them | unknown: `LocksElsewhere` |
    /// | nothing of all this | free |
    pub fn of(&self, file: BorrowedFd<'_>, writer: Option<u32>) -> FileLocks {
        let Some(name) = name_of(file, &self.mounts) else {
            return FileLocks {
                state: State::Unknown(self.blind_spot.unwrap_or(WhyUnknown::NoNumber)),
                holders: Vec::new(),
                takers: Vec::new(),
                waiters: None,
            };
        };
        let nothing = Listed::default();
        let listed = self.table.of(&name.inode).unwrap_or(&nothing);
        let holders = self.confirmed(&name, listed, writer);
        let mut takers = listed.takers.clone();
        takers.retain(|pid| self.descriptors.closed.contains(pid) && !holders.contains(pid));
        let is_counted = listed.waiters == 0 || !name.is_ambiguous;
        let sees_waiters = self.blind_spot.is_none() && !name.keeps_locks_elsewhere && is_counted;
        FileLocks {
            state: self.state(&name, listed, &holders),
            holders,
            takers,
            waiters: sees_waiters.then_some(listed.waiters),
        }
    }

    /// The processes that hold the file's lock. A snapshot takes its time, and the lock may have
    /// gone from one to another meanwhile: where that may be so, the processes are looked into once
    /// more.
    fn confirmed(&self, name: &Named, listed: &Listed, writer: Option<u32>) -> Vec<u32> {
        let holders = self.descriptors.holders_of(name);
        let mut doubtful: Vec<u32> = match &holders[..] {
            [] => listed.takers.clone(),
            [_] => Vec::new(),
            several => several.to_vec(),
        };
        doubtful.extend(writer.filter(|pid| !holders.contains(pid)));
        if doubtful.is_empty() {
            return holders;
        }
        let mut now = Descriptors::default();
        for pid in doubtful {
            now.read_process(pid);
        }
        let still = now.holders_of(name);
        if still.is_empty() { holders } else { still }
    }

    /// Whether the file is locked, as the table at `of` says.
    fn state(&self, name: &Named, listed: &Listed, holders: &[u32]) -> State {
        match self.blind_spot {
            _ if !holders.is_empty() => State::Locked,
            _ if listed.is_locked && !name.is_ambiguous => State::Locked,
            _ if name.is_ambiguous && self.may_be_of_closed(name, listed) => {
                State::Unknown(WhyUnknown::SharedNumber)
            }
            Some(why) => State::Unknown(why),
            None if name.keeps_locks_elsewhere => State::Unknown(WhyUnknown::LocksElsewhere),
            None => State::Free,
        }
    }

    /// Whether a lock that the table has may be one of a process that cannot be looked into.
    fn may_be_of_closed(&self, name: &Named, listed: &Listed) -> bool {
        let seen = self.descriptors.locks_of(&name.inode);
        let is_seen = |taker: &u32| seen.iter().any(|(pid, _)| pid == taker);
        let all_seen = !seen.is_empty() && listed.takers.iter().all(is_seen);
        listed.is_locked && !self.descriptors.closed.is_empty() && !all_seen
    }

    /// Only those on the mount of `beside`: among other mounts the same path is another file's.
    pub fn deleted(&self, path: &Path, beside: BorrowedFd<'_>) -> impl Iterator<Item = &Path> {
        let info = info_of(beside);
        let ours = info.ok().and_then(|info| mount_of(&info, &self.mounts));
        let path = path.as_os_str().as_bytes();
        self.descriptors
            .deleted
            .iter()
            .filter(move |file| file.path == path)
            .filter(move |file| ours.is_none_or(|ours| ours.is_same_place(&file.mount)))
            .map(|file| file.place.as_path())
    }
}

/// Why the table may leave a lock out for good. It has them all in the initial PID namespace, where
/// every process has a number, if `/proc` is that namespace's own and not a part of it (proc(5),
/// `hidepid` and `subset`).
fn blind_spot() -> Option<WhyUnknown> {
    if !knows_every_pid() {
        Some(WhyUnknown::OtherPidNamespace)
    } else if fs::metadata("/proc/1").is_err() {
        Some(WhyUnknown::ProcHidden)
    } else {
        None
    }
}
