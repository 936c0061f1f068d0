//! The locks that descriptors have, by the `lock:` lines of their `fdinfo` (proc_pid_fdinfo(5)).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, lstat, readlink, stat};
use rustix::io::Errno;

use super::mounts::{Inode, ListedFile, Mount, field, mount_seen_by};
use super::read::{Names, read};
use super::table::{Api, Entry, Index};
use crate::sys::file_state::FileId;
use crate::sys::observe::{FoundFile, MarkedRange};

/// How often the list of processes is made again at the most, while there are new ones in it.
const MOST_LISTS: usize = 100;

/// What was seen of the descriptors of processes.
#[derive(Default)]
pub struct Descriptors {
    /// Descriptors that have a lock.
    locked: Vec<Locked>,
    /// The marks that processes have.
    marks: Vec<(u32, MarkedRange)>,
    /// Which of the descriptors have a lock on a file.
    by_file: Index,
    /// Which of them have a file that had a path and was deleted.
    by_path: Index,
    /// The files of descriptors that had a lock and were gone at the second look, perhaps handed on.
    pub vanished: Vec<Inode>,
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
    /// The number of the mount that its file is on.
    mount: String,
}

/// What the kernel marks the name of a deleted file with (proc_pid_fd(5)).
const DELETED: &[u8] = b" (deleted)";

impl Locked {
    /// Its file.
    ///
    /// # Errors
    ///
    /// As stat(2).
    pub fn file(&self) -> Result<FoundFile, Errno> {
        Ok(FoundFile {
            place: self.place.clone(),
            id: id_of(&stat(&self.place)?),
        })
    }

    /// Its file, if that had this path and was deleted, and is not really called so, with the kernel's words
    /// at the end.
    fn deleted_file(&self, path: &Path) -> Result<Option<FoundFile>, Errno> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        name.extend_from_slice(DELETED);
        let file = self.file()?;
        let is_called_so = lstat(&name[..]).is_ok_and(|there| id_of(&there) == file.id);
        Ok((!is_called_so).then_some(file))
    }
}

/// Which file this is the state of.
fn id_of(state: &Stat) -> FileId {
    FileId {
        device: state.st_dev,
        inode: state.st_ino,
    }
}

impl Descriptors {
    /// Looks into all processes, or until that `is_enough`. Returns whether it came to one or the other:
    /// where processes are made faster than they can be listed, it gives up.
    ///
    /// A process that is forked while we look is in no list that was made before, and may be the only
    /// one that still has the lock of its parent. So the list is made again until there is nobody new
    /// in it.
    pub fn look_at_all(&mut self, is_enough: &dyn Fn(&Descriptors) -> bool) -> bool {
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
        for process in Names::of(Path::new("/proc"))? {
            let name = process?;
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
                let children = format!("/proc/{pid}/task/{pid}/children");
                let children = read(Path::new(&children)).unwrap_or_default();
                let children = String::from_utf8_lossy(&children);
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

    /// The marks that a process has.
    pub fn marks_of(&self, pid: u32) -> impl Iterator<Item = &MarkedRange> {
        let marks = self.marks.iter().filter(move |(it, _)| *it == pid);
        marks.map(|(_, mark)| mark)
    }

    /// The locked files that had this path and were deleted, if their mount is one that `is_wanted`. Only of
    /// these anything more is asked, since other file systems may not answer.
    ///
    /// # Errors
    ///
    /// As stat(2), and of reading the mounts of a process.
    pub fn deleted(
        &mut self,
        path: &Path,
        is_wanted: &dyn Fn(&Mount) -> bool,
    ) -> Result<Vec<FoundFile>, Errno> {
        let mut files = Vec::new();
        let numbers = self.by_path.get(path.as_os_str().as_bytes());
        for number in numbers.into_iter().flatten() {
            let Some(descriptor) = self.locked.get(*number) else {
                continue;
            };
            // Of the thread where the descriptor was found: a first thread that has ended sees no mounts.
            let seer = descriptor.place.parent().and_then(Path::parent);
            let seer = seer.unwrap_or(Path::new("/proc"));
            if !is_wanted(&mount_seen_by(seer, &descriptor.mount)?) {
                continue;
            }
            match descriptor.deleted_file(path) {
                Ok(file) => files.extend(file),
                Err(Errno::NOENT | Errno::SRCH) => self.vanished.push(Inode::new()),
                Err(Errno::ACCESS | Errno::PERM) => self.closed.push(descriptor.pid),
                Err(reason) => return Err(reason),
            }
        }
        Ok(files)
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
        if stat(&threads)?.st_nlink <= 3 {
            return Ok(());
        }
        for thread in Names::of(&threads)? {
            let thread = threads.join(thread?);
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
        let folder = process.join("fdinfo");
        for descriptor in Names::of(&folder)? {
            let descriptor = descriptor?;
            count += 1;
            let info = match read(&folder.join(&descriptor)) {
                Ok(info) => String::from_utf8_lossy(&info).into_owned(),
                // It was closed while we looked; that is not a lock that we missed.
                Err(Errno::NOENT | Errno::SRCH) => continue,
                Err(reason) => return Err(reason),
            };
            self.note_locks(pid, process.join("fd").join(descriptor), &info)?;
        }
        Ok(count)
    }

    /// Notes the locks that a descriptor has by its `fdinfo`, which has a line for each range: one of
    /// each kind on a file.
    fn note_locks(&mut self, pid: u32, place: PathBuf, info: &str) -> Result<(), Errno> {
        let lines = info.lines().filter_map(|line| line.strip_prefix("lock:"));
        let locks = lines.filter_map(|line| Entry::of(line.trim_start()));
        let first = self.locked.len();
        for lock in locks {
            if let Some(mark) = lock.mark() {
                self.marks.push((pid, mark));
                continue;
            }
            let numbers = self.by_file.entry(lock.file.into_bytes()).or_default();
            let known = numbers.iter().filter(|number| **number >= first);
            let mut known = known.filter_map(|number| self.locked.get(*number));
            if known.any(|it| it.api == lock.api) {
                continue;
            }
            numbers.push(self.locked.len());
            self.locked.push(Locked {
                pid,
                place: place.clone(),
                api: lock.api,
                mount: field(info, "mnt_id:").unwrap_or_default().to_owned(),
            });
        }
        if self.locked.len() == first {
            return Ok(());
        }
        match readlink(&place, Vec::new()) {
            Ok(name) => {
                // The kernel says so if the file was deleted.
                if let Some(path) = name.as_bytes().strip_suffix(DELETED) {
                    let numbers = self.by_path.entry(path.to_vec()).or_default();
                    numbers.push(first);
                }
            }
            // What cannot be found behind the lock file's path cannot be called so.
            Err(Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG) => {}
            Err(Errno::NOENT | Errno::SRCH) => {
                let files = info.lines().filter_map(|line| line.strip_prefix("lock:"));
                let files = files.filter_map(|line| Entry::of(line.trim_start()));
                self.vanished.extend(files.map(|lock| lock.file).take(1));
            }
            Err(reason) => return Err(reason),
        }
        Ok(())
    }
}
