//! The locks that descriptors have, by the `lock:` lines of their `fdinfo` (proc_pid_fdinfo(5)).

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::{Inode, Mount, Named, mount_seen_by};
use super::table::Entry;

/// What was seen of the descriptors of processes.
#[derive(Default)]
pub struct Descriptors {
    /// Descriptors that have a lock: the process, and where its file can be opened.
    holders: HashMap<Inode, Vec<(u32, PathBuf)>>,
    /// Locked files that were deleted.
    pub deleted: Vec<DeletedFile>,
    /// Processes that may not be looked into.
    pub closed: HashSet<u32>,
}

/// A locked file that was deleted.
pub struct DeletedFile {
    /// The path that it had.
    pub path: Vec<u8>,
    /// The mount that it is on.
    pub mount: Mount,
    /// Where it can be opened.
    pub place: PathBuf,
}

impl Descriptors {
    /// Reads all descriptors of all processes. Returns whether all could be looked into.
    pub fn read_all(&mut self) -> bool {
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
                saw_all &= self.read_folder(pid, &process.path());
            }
        }
        saw_all
    }

    /// Reads all descriptors of a process.
    pub fn read_process(&mut self, pid: u32) {
        self.read_folder(pid, &Path::new("/proc").join(pid.to_string()));
    }

    /// The processes with a lock on this very file.
    pub fn holders_of(&self, name: &Named) -> Vec<u32> {
        let mut holders = Vec::new();
        for (pid, place) in self.locks_of(&name.inode) {
            if !holders.contains(pid) && name.is_at(place) {
                holders.push(*pid);
            }
        }
        holders
    }

    /// The descriptors with a lock on a file of this name.
    pub fn locks_of(&self, inode: &Inode) -> &[(u32, PathBuf)] {
        self.holders.get(inode).map_or(&[], Vec::as_slice)
    }

    /// Whether all descriptors of a process could be looked into.
    fn read_folder(&mut self, pid: u32, process: &Path) -> bool {
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

    /// Whether all descriptors of a process's threads could be looked into.
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
                    let holders = self.holders.entry(entry.inode).or_default();
                    holders.push((pid, place));
                }
            }
        }
        Ok(count)
    }

    /// Notes a locked file that has no name any more.
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
        self.deleted.push(DeletedFile {
            path: path.to_vec(),
            mount: mount_seen_by(process, info),
            place: place.to_owned(),
        });
    }
}

/// The process or its descriptor is gone by now.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether a file's real name ends in " (deleted)", so that the kernel's mark is none.
fn is_name_of(name: &[u8], place: &Path) -> bool {
    match (
        fs::symlink_metadata(OsStr::from_bytes(name)),
        fs::metadata(place),
    ) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
