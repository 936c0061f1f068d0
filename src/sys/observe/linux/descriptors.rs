//! The locks that descriptors have, by the `lock:` lines of their `fdinfo` (proc_pid_fdinfo(5)).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::mounts::{Inode, ListedFile, Mount, mount_seen_by};
use super::table::{Api, Entry, Index};
use crate::sys::errno::errno_of;

/// How often the list of processes is made again at the most, while there are new ones in it.
const MOST_LISTS: usize = 100;

/// What was seen of the descriptors of processes.
#[derive(Default)]
pub struct Descriptors {
    /// Descriptors that have a lock.
    locked: Vec<Locked>,
    /// Which of them have a lock on a file.
    by_file: Index,
    /// Locked files that were deleted.
    deleted: Vec<DeletedFile>,
    /// Which of them had a path.
    by_path: Index,
    /// A descriptor that has a lock was gone at the second look, perhaps handed on.
    pub has_vanished: bool,
    /// Processes that were looked into.
    known: Vec<u32>,
    /// Those of them that may not be looked into.
    pub closed: Vec<u32>,
    /// All processes there are were looked into.
    saw_everybody: bool,
    /// What kept a look from being complete, other than that it is not allowed.
    pub failure: Option<Errno>,
}

/// A descriptor that has a lock.
pub struct Locked {
    /// Of this process.
    pub pid: u32,
    /// Where its file can be opened.
    pub place: PathBuf,
    /// The call by which the lock was taken.
    pub api: Api,
}

/// A locked file that was deleted.
pub struct DeletedFile {
    /// The mount that it is on.
    pub mount: Mount,
    /// Where it can be opened.
    pub place: PathBuf,
}

/// What the kernel marks the name of a deleted file with (proc_pid_fd(5)).
const DELETED: &[u8] = b" (deleted)";

impl Descriptors {
    /// Looks into all processes, or until that `is_enough`. Returns whether it came to one or the other:
    /// where processes are made faster than they can be listed, it gives up.
    ///
    /// A process that is forked while we look is in no list that was made before, and may be the only
    /// one that still has the lock of its parent. So the list is made again until there is nobody new
    /// in it.
    pub fn look_at_all(&mut self, mut is_enough: impl FnMut(&Descriptors) -> bool) -> bool {
        for _ in 0..MOST_LISTS {
            if self.saw_everybody || is_enough(self) {
                return true;
            }
            match self.look_at_new() {
                Ok(found_new) => self.saw_everybody = !found_new,
                Err(reason) => {
                    self.note(reason);
                    return true;
                }
            }
        }
        self.saw_everybody || is_enough(self)
    }

    /// Looks into the processes of the list that are not known yet. Returns whether there were any.
    fn look_at_new(&mut self) -> Result<bool, Errno> {
        let mut found_new = false;
        for process in fs::read_dir("/proc").map_err(errno_of)? {
            let name = process.map_err(errno_of)?.file_name();
            if let Some(Ok(pid)) = name.to_str().map(str::parse) {
                found_new |= self.look_at(pid);
            }
        }
        Ok(found_new)
    }

    /// Looks into a process, if that was not done yet. Returns whether it was not.
    pub fn look_at(&mut self, pid: u32) -> bool {
        let is_new = !self.known.contains(&pid);
        if is_new {
            self.known.push(pid);
            let process = Path::new("/proc").join(pid.to_string());
            let looked = match self.read_descriptors_of(pid, &process) {
                // Its first thread may have ended, which then has none.
                Ok(0) => self.read_threads(pid, &process),
                other => other.map(drop),
            };
            if let Err(reason) = looked {
                self.note_of(pid, reason);
            }
        }
        is_new
    }

    /// Looks into a process, and where it has a lock on this very file, into its children, and so on.
    pub fn look_at_family(&mut self, pid: u32, name: &ListedFile) {
        let mut family = vec![pid];
        while let Some(pid) = family.pop() {
            self.look_at(pid);
            if self.holders_of(name).contains(&pid) {
                // Not every kernel lists them (CONFIG_PROC_CHILDREN).
                let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
                let children = children.unwrap_or_default();
                let children = children.split(' ').filter_map(|child| child.parse().ok());
                family.extend(children.filter(|child| !self.known.contains(child)));
            }
        }
    }

    /// All descriptors with a lock, of the processes that were looked into.
    pub fn locked(&self) -> impl Iterator<Item = &Locked> {
        self.locked.iter()
    }

    /// The descriptors with a lock on a file of this name.
    pub fn locks_on(&self, file: &Inode) -> impl Iterator<Item = &Locked> {
        let numbers = self.by_file.get(file.as_bytes()).into_iter().flatten();
        numbers.filter_map(|&number| self.locked.get(number))
    }

    /// Locked files that had this path and were deleted.
    pub fn deleted(&self, path: &Path) -> impl Iterator<Item = &DeletedFile> {
        let numbers = self.by_path.get(path.as_os_str().as_bytes());
        let numbers = numbers.into_iter().flatten();
        numbers.filter_map(|&number| self.deleted.get(number))
    }

    /// The processes with a lock on this very file, by their PIDs.
    pub fn holders_of(&self, name: &ListedFile) -> Vec<u32> {
        let mut holders = Vec::new();
        for descriptor in self.locks_on(&name.inode) {
            if !holders.contains(&descriptor.pid) && name.is_at(&descriptor.place) {
                let index = holders.partition_point(|&pid| pid < descriptor.pid);
                holders.insert(index, descriptor.pid);
            }
        }
        holders
    }

    /// Notes why a process could not be looked into, if that means anything.
    fn note_of(&mut self, pid: u32, reason: Errno) {
        match reason {
            Errno::ACCESS | Errno::PERM => {
                self.closed.push(pid);
            }
            other => self.note(other),
        }
    }

    /// Notes what kept a look from being complete. What has ended was looked at.
    fn note(&mut self, reason: Errno) {
        match reason {
            Errno::NOENT | Errno::SRCH => {}
            other => self.failure = self.failure.or(Some(other)),
        }
    }

    /// Reads the descriptors of a process's threads.
    fn read_threads(&mut self, pid: u32, process: &Path) -> Result<(), Errno> {
        let threads = process.join("task");
        // One folder for each, and two links that every folder has.
        if fs::metadata(&threads).map_err(errno_of)?.nlink() <= 3 {
            return Ok(());
        }
        for thread in fs::read_dir(threads).map_err(errno_of)? {
            let thread = thread.map_err(errno_of)?.path();
            match self.read_descriptors_of(pid, &thread) {
                Ok(_) | Err(Errno::NOENT | Errno::SRCH) => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Reads the descriptors of a process or a thread. Gives how many there are.
    fn read_descriptors_of(&mut self, pid: u32, process: &Path) -> Result<usize, Errno> {
        let mut count = 0;
        for descriptor in fs::read_dir(process.join("fdinfo")).map_err(errno_of)? {
            let descriptor = descriptor.map_err(errno_of)?;
            count += 1;
            let info = match fs::read(descriptor.path()).map_err(errno_of) {
                Ok(info) => String::from_utf8_lossy(&info).into_owned(),
                // It was closed while we looked; that is not a lock that we missed.
                Err(Errno::NOENT | Errno::SRCH) => continue,
                Err(reason) => return Err(reason),
            };
            let lines = info.lines().filter_map(|line| line.strip_prefix("lock:"));
            for lock in lines.filter_map(|line| Entry::of(line.trim_start())) {
                let place = process.join("fd").join(descriptor.file_name());
                match self.note_if_deleted(process, &place, &info) {
                    Err(Errno::NOENT | Errno::SRCH) => self.has_vanished = true,
                    other => other?,
                }
                let api = lock.api;
                let numbers = self.by_file.entry(lock.file.into_bytes()).or_default();
                numbers.push(self.locked.len());
                self.locked.push(Locked { pid, place, api });
            }
        }
        Ok(count)
    }

    /// Notes a locked file that has no name any more.
    fn note_if_deleted(&mut self, process: &Path, place: &Path, info: &str) -> Result<(), Errno> {
        let name = fs::read_link(place).map_err(errno_of)?;
        let Some(path) = name.as_os_str().as_bytes().strip_suffix(DELETED) else {
            return Ok(());
        };
        // A file may really be called so.
        let there = fs::symlink_metadata(&name);
        let ours = fs::metadata(place).map_err(errno_of)?;
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        let file = DeletedFile {
            mount: mount_seen_by(process, info)?,
            place: place.to_owned(),
        };
        let numbers = self.by_path.entry(path.to_vec()).or_default();
        numbers.push(self.deleted.len());
        self.deleted.push(file);
        Ok(())
    }
}
