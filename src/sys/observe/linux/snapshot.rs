//! Who holds which lock, by Linux's `/proc`, without touching any lock (proc_locks(5),
//! proc_pid_fdinfo(5)).
//!
//! `/proc/locks` names every lock of the kernel with the process that took it, and every waiter.
//! But while locks come and go it leaves entries out, because it is read in pieces; in a PID
//! namespace it leaves out those whose taker is dead or elsewhere; and a lock goes on after its
//! taker's death, in whoever shares the open file description. The `lock:` lines of a descriptor's
//! `fdinfo` say for certain that this process holds this lock, but can only be read of processes
//! that one may trace.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::mounts::{Inode, Mount, Named, info_of, mount_of, mount_seen_by, mounts_of, name_of};
use super::process::knows_every_pid;
use crate::sys::observe::{FileLocks, State, WhyUnknown};

pub use super::mounts::path_of;

/// With O_PATH no right to read the file is needed, a device does not notice, and a FIFO does not wait.
pub const INSPECT_FLAGS: OFlags = OFlags::PATH;

/// How often the table is read while it changes and not all descriptors can be looked into. A
/// reading misses an entry if one before it goes away between two pieces.
const READINGS: usize = 16;

/// A table that is shorter was read in one piece, and so at one moment: the kernel gives as much as
/// fits a page (its seq_file.c), which is 4,096 bytes at the least, and a line is far shorter than
/// the rest.
const ONE_PIECE: usize = 3800;

/// More than a page of most processors: how much is asked for at first.
const PIECE: usize = 8192;

/// All locks of the system at about one moment.
#[derive(Default)]
pub struct Snapshot {
    locks: HashMap<Inode, TableEntry>,
    /// Locked files that were deleted, by the path that they had: on which mount, and where to open
    /// them.
    deleted: HashMap<Vec<u8>, Vec<(Mount, PathBuf)>>,
    /// The mounts that we see.
    mounts: Vec<Mount>,
    /// Processes that may not be looked into.
    closed: HashSet<u32>,
    /// Why there may be locks that cannot be seen, if that is so.
    blind_spot: Option<WhyUnknown>,
}

/// What is known of the locks on the files of one name.
#[derive(Default)]
struct TableEntry {
    /// Processes with a descriptor that has a lock, and where that is.
    holders: Vec<(u32, PathBuf)>,
    /// Processes that the table says took a lock, which need not be alive.
    takers: Vec<u32>,
    waiters: usize,
    is_in_table: bool,
}

impl TableEntry {
    /// The processes with a lock on this very file.
    fn holders_of(&self, name: &Named) -> Vec<u32> {
        let mut holders = Vec::new();
        for (pid, place) in &self.holders {
            if !holders.contains(pid) && name.is_at(place) {
                holders.push(*pid);
            }
        }
        holders
    }
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
        let saw_all = match snapshot.read_table() {
            Ok(_) => snapshot.read_descriptors(),
            Err(_) => {
                snapshot.blind_spot = Some(WhyUnknown::NoTable);
                return snapshot;
            }
        };
        let mut last = Vec::new();
        for _ in 0..READINGS {
            match snapshot.read_table() {
                Ok(table) if saw_all || table.len() <= ONE_PIECE || table == last => break,
                Ok(table) => last = table,
                Err(_) => snapshot.blind_spot = Some(WhyUnknown::NoTable),
            }
        }
        snapshot
    }

    /// The locks on an open file, of which `writer` says that it has one.
    pub fn of(&self, file: BorrowedFd<'_>, writer: Option<u32>) -> FileLocks {
        let Some(name) = name_of(file, &self.mounts) else {
            return FileLocks {
                state: State::Unknown(self.blind_spot.unwrap_or(WhyUnknown::NoNumber)),
                holders: Vec::new(),
                takers: Vec::new(),
                waiters: None,
            };
        };
        let nothing = TableEntry::default();
        let seen = self.locks.get(&name.inode).unwrap_or(&nothing);
        let mut holders = seen.holders_of(&name);
        // A survey takes its time, and the lock may have gone from one to another meanwhile.
        let mut doubtful: Vec<u32> = match &holders[..] {
            [] => seen.takers.clone(),
            [_] => Vec::new(),
            several => several.to_vec(),
        };
        doubtful.extend(writer.filter(|pid| !holders.contains(pid)));
        if !doubtful.is_empty() {
            let mut now = Snapshot::default();
            for pid in doubtful {
                now.read_process(pid, &Path::new("/proc").join(pid.to_string()));
            }
            let still = now
                .locks
                .get(&name.inode)
                .map(|seen| seen.holders_of(&name));
            holders = still.filter(|still| !still.is_empty()).unwrap_or(holders);
        }
        let mut takers = seen.takers.clone();
        takers.retain(|pid| self.closed.contains(pid) && !holders.contains(pid));
        let state = match self.blind_spot {
            _ if !holders.is_empty() => State::Locked,
            _ if seen.is_in_table && !name.is_ambiguous => State::Locked,
            _ if name.is_ambiguous && self.may_be_of_closed(seen) => {
                State::Unknown(WhyUnknown::SharedNumber)
            }
            Some(why) => State::Unknown(why),
            None if name.keeps_locks_elsewhere => State::Unknown(WhyUnknown::LocksElsewhere),
            None => State::Free,
        };
        let is_counted = seen.waiters == 0 || !name.is_ambiguous;
        let sees_waiters = self.blind_spot.is_none() && !name.keeps_locks_elsewhere && is_counted;
        FileLocks {
            state,
            holders,
            takers,
            waiters: sees_waiters.then_some(seen.waiters),
        }
    }

    /// Whether a lock that the table has may be one of a process that cannot be looked into.
    fn may_be_of_closed(&self, seen: &TableEntry) -> bool {
        let is_seen = |taker: &u32| seen.holders.iter().any(|(pid, _)| pid == taker);
        let all_seen = !seen.holders.is_empty() && seen.takers.iter().all(is_seen);
        seen.is_in_table && !self.closed.is_empty() && !all_seen
    }

    /// Where locked files can be opened that had this path, on the mount of this file, and were
    /// deleted. Among other mounts the same path is another file's.
    pub fn deleted(&self, path: &Path, beside: BorrowedFd<'_>) -> impl Iterator<Item = &Path> {
        let info = info_of(beside);
        let ours = info.ok().and_then(|info| mount_of(&info, &self.mounts));
        let found = self.deleted.get(path.as_os_str().as_bytes());
        found
            .into_iter()
            .flatten()
            .filter(move |(theirs, _)| ours.is_none_or(|ours| ours.is_same_place(theirs)))
            .map(|(_, place)| place.as_path())
    }

    /// Notes what the table says, and returns it.
    fn read_table(&mut self) -> io::Result<Vec<u8>> {
        let table = read_at_once("/proc/locks")?;
        let mut waiters: HashMap<Inode, Vec<Option<u32>>> = HashMap::new();
        for line in String::from_utf8_lossy(&table).lines() {
            let Some(entry) = Entry::of(line) else {
                continue;
            };
            if entry.waits {
                let waiters = waiters.entry(entry.inode).or_default();
                // Where the table grew between two pieces, a line comes twice.
                if entry.taker.is_none() || !waiters.contains(&entry.taker) {
                    waiters.push(entry.taker);
                }
                continue;
            }
            let seen = self.locks.entry(entry.inode).or_default();
            seen.is_in_table = true;
            if !entry.taker.is_none_or(|taker| seen.takers.contains(&taker)) {
                seen.takers.extend(entry.taker);
            }
        }
        for (inode, waiters) in waiters {
            let seen = self.locks.entry(inode).or_default();
            seen.waiters = seen.waiters.max(waiters.len());
        }
        Ok(table)
    }

    /// Whether all descriptors of all processes could be looked into.
    fn read_descriptors(&mut self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        let mut saw_all = true;
        for process in processes {
            let Ok(process) = process else {
                return false;
            };
            let pid = process.file_name().to_str().map(str::parse);
            if let Some(Ok(pid)) = pid {
                saw_all &= self.read_process(pid, &process.path());
            }
        }
        saw_all
    }

    /// Whether all descriptors of a process could be looked into.
    fn read_process(&mut self, pid: u32, process: &Path) -> bool {
        let saw_all = match self.read_descriptors_of(pid, process) {
            // Its first thread may have ended, which then has none.
            Ok(0) => self.read_threads(pid, process),
            Ok(_) => true,
            Err(error) => has_ended(&error),
        };
        if !saw_all {
            self.closed.insert(pid);
        }
        saw_all
    }

    fn read_threads(&mut self, pid: u32, process: &Path) -> bool {
        let threads = process.join("task");
        // One folder for each, and two links that every folder has.
        if fs::metadata(&threads).is_ok_and(|threads| threads.nlink() <= 3) {
            return true;
        }
        let read = |thread: io::Result<fs::DirEntry>| {
            let read = thread.and_then(|thread| self.read_descriptors_of(pid, &thread.path()));
            read.map_or_else(|error| has_ended(&error), |_| true)
        };
        fs::read_dir(threads).map_or_else(|error| has_ended(&error), |mut all| all.all(read))
    }

    /// How many descriptors there are.
    fn read_descriptors_of(&mut self, pid: u32, process: &Path) -> io::Result<usize> {
        let mut count = 0;
        for descriptor in fs::read_dir(process.join("fdinfo"))? {
            let descriptor = descriptor?;
            count += 1;
            let info = match fs::read(descriptor.path()) {
                Ok(info) => info,
                // It was closed while we looked; that is not a lock that we missed.
                Err(error) if has_ended(&error) => continue,
                Err(error) => return Err(error),
            };
            let info = String::from_utf8_lossy(&info);
            for line in info.lines().filter_map(|line| line.strip_prefix("lock:")) {
                if let Some(entry) = Entry::of(line.trim_start()) {
                    let place = process.join("fd").join(descriptor.file_name());
                    self.note_if_deleted(process, &place, &info);
                    let seen = self.locks.entry(entry.inode).or_default();
                    seen.holders.push((pid, place));
                }
            }
        }
        Ok(count)
    }

    fn note_if_deleted(&mut self, process: &Path, place: &Path, info: &str) {
        let name = fs::read_link(place)
            .unwrap_or_default()
            .into_os_string()
            .into_vec();
        let Some(path) = name.strip_suffix(b" (deleted)") else {
            return;
        };
        if is_name_of(&name, place) {
            return;
        }
        let found = self.deleted.entry(path.to_vec()).or_default();
        found.push((mount_seen_by(process, info), place.to_owned()));
    }
}

/// Reads a list in pieces as long as the kernel gives them: std's `fs::read` asks for 32 bytes first,
/// and is given a single entry.
fn read_at_once(path: &str) -> io::Result<Vec<u8>> {
    let mut list = Vec::with_capacity(PIECE);
    File::open(path)?.read_to_end(&mut list)?;
    Ok(list)
}

/// The process or its descriptor is gone by now.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether a file may be called so, mark and all, and is not deleted.
fn is_name_of(name: &[u8], place: &Path) -> bool {
    match (
        fs::symlink_metadata(OsStr::from_bytes(name)),
        fs::metadata(place),
    ) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
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

/// A line such as `1: FLOCK  ADVISORY  WRITE 6122 fe:00:1234 0 EOF`, or with `->` after the number
/// for one that waits.
struct Entry {
    waits: bool,
    /// Nothing for a record lock on an open file description, which has no PID.
    taker: Option<u32>,
    inode: Inode,
}

impl Entry {
    fn of(line: &str) -> Option<Entry> {
        let mut words = line.split_ascii_whitespace().skip(1).peekable();
        let waits = words.next_if_eq(&"->").is_some();
        // Leases and delegations stand here, too, and exclude no lock.
        if !matches!(words.next()?, "FLOCK" | "POSIX" | "OFDLCK") {
            return None;
        }
        // ADVISORY or MANDATORY, READ or WRITE.
        let mut words = words.skip(2);
        let taker = words.next()?.parse().ok().filter(|&pid| pid > 0);
        let inode = words
            .next()
            .filter(|place| place.matches(':').count() == 2)?;
        Some(Entry {
            waits,
            taker,
            inode: inode.to_owned(),
        })
    }
}
