//! Who holds which lock, by Linux's `/proc`, without touching any lock (proc_locks(5),
//! proc_pid_fdinfo(5)).
//!
//! `/proc/locks` names every lock of the kernel with the process that took it, and every waiter.
//! But while locks come and go it leaves entries out, because it is read in pieces; in a PID
//! namespace it leaves out those whose taker is dead or elsewhere; and a lock goes on after its
//! taker's death, in whoever shares the open file description. The `lock:` lines of a descriptor's
//! `fdinfo` say for certain that this process holds this lock, but can only be read of processes
//! that one may trace.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::guardian::GUARDIAN;

/// Opens a file to look at and for nothing else: no right to read it is needed, a device does not
/// notice, and a FIFO does not wait.
pub const LOOK: OFlags = OFlags::PATH;

/// All locks of the system at about one moment.
pub struct Survey {
    locks: HashMap<Inode, Sight>,
    /// Locked files that were deleted, by the path that they had: on which mount, and where to open
    /// them.
    deleted: HashMap<Vec<u8>, Vec<(Mount, PathBuf)>>,
    /// The mounts that we see.
    mounts: Vec<Mount>,
    /// There may be locks that cannot be seen.
    has_blind_spots: bool,
}

/// How the kernel itself names a file in its lists of locks: the file system's device number, which
/// is not always what stat(2) says (btrfs, overlayfs), and the inode number; `fe:00:1234`.
type Inode = String;

/// What is to be seen of the locks on one file.
#[derive(Clone, Default)]
pub struct Sight {
    /// Processes that have a descriptor with a lock.
    pub holders: Vec<u32>,
    /// Processes that the kernel says took a lock, which need not be alive.
    pub takers: Vec<u32>,
    /// How many wait, where that can be known.
    pub waiters: Option<usize>,
    /// There is a lock, whoever has it.
    pub is_locked: bool,
}

impl Survey {
    /// Reads the table, all descriptors that one may look into, and the table once more.
    ///
    /// # Errors
    ///
    /// Where there is no `/proc/locks`.
    pub fn take() -> io::Result<Survey> {
        let mut survey = Survey {
            locks: HashMap::new(),
            deleted: HashMap::new(),
            mounts: mounts_of(Path::new("/proc/self")),
            has_blind_spots: false,
        };
        survey.read_table()?;
        let saw_all = survey.read_descriptors();
        survey.read_table()?;
        survey.has_blind_spots = !saw_all && !table_is_whole();
        Ok(survey)
    }

    /// The locks on an open file; nothing if the file cannot be found in the kernel's lists.
    pub fn of(&self, file: BorrowedFd<'_>) -> Option<Sight> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        let device = &self.mount_of(&info)?.device;
        let inode = match field(&info, "ino:") {
            Some(number) => number.to_owned(),
            // Linux before 5.14.
            None => rustix::fs::fstat(file).ok()?.st_ino.to_string(),
        };
        Some(
            self.locks
                .get(&format!("{device}:{inode}"))
                .cloned()
                .unwrap_or_default(),
        )
    }

    /// Where locked files can be opened that had this path, on the mount of this file, and were
    /// deleted. Among other mounts the same path is another file's.
    pub fn deleted(&self, path: &Path, beside: BorrowedFd<'_>) -> impl Iterator<Item = &Path> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", beside.as_raw_fd()));
        let ours = info.ok().and_then(|info| self.mount_of(&info));
        let found = self.deleted.get(path.as_os_str().as_bytes());
        found
            .into_iter()
            .flatten()
            .filter(move |(theirs, _)| ours.is_none_or(|ours| ours.is_same_place(theirs)))
            .map(|(_, place)| place.as_path())
    }

    fn mount_of(&self, info: &str) -> Option<&Mount> {
        let number = field(info, "mnt_id:")?;
        self.mounts.iter().find(|mount| mount.number == number)
    }

    /// Whether "no lock to be seen" may still mean that there is one.
    pub fn has_blind_spots(&self) -> bool {
        self.has_blind_spots
    }

    fn read_table(&mut self) -> io::Result<()> {
        let table = fs::read("/proc/locks")?;
        let mut waiters: HashMap<Inode, usize> = HashMap::new();
        for line in String::from_utf8_lossy(&table).lines() {
            let Some(entry) = Entry::of(line) else {
                continue;
            };
            if entry.waits {
                *waiters.entry(entry.inode).or_default() += 1;
                continue;
            }
            let sight = self.locks.entry(entry.inode).or_default();
            sight.is_locked = true;
            if !entry
                .taker
                .is_none_or(|taker| sight.takers.contains(&taker))
            {
                sight.takers.extend(entry.taker);
            }
        }
        for (inode, count) in waiters {
            let sight = self.locks.entry(inode).or_default();
            sight.waiters = sight.waiters.max(Some(count));
        }
        Ok(())
    }

    /// Whether all descriptors of all processes could be looked into.
    fn read_descriptors(&mut self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        let mut saw_all = true;
        for process in processes.flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match self.read_descriptors_of(pid, &process.path()) {
                // It ended while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(_) => saw_all = false,
                Ok(()) => {}
            }
        }
        saw_all
    }

    fn read_descriptors_of(&mut self, pid: u32, process: &Path) -> io::Result<()> {
        for descriptor in fs::read_dir(process.join("fdinfo"))? {
            let descriptor = descriptor?;
            // A descriptor may be closed while we look; that is not a lock that we missed.
            let Ok(info) = fs::read(descriptor.path()) else {
                continue;
            };
            let info = String::from_utf8_lossy(&info);
            for line in info.lines().filter_map(|line| line.strip_prefix("lock:")) {
                let Some(entry) = Entry::of(line.trim_start()) else {
                    continue;
                };
                let sight = self.locks.entry(entry.inode).or_default();
                sight.is_locked = true;
                if !sight.holders.contains(&pid) {
                    sight.holders.push(pid);
                }
                let place = process.join("fd").join(descriptor.file_name());
                let name = fs::read_link(&place)
                    .unwrap_or_default()
                    .into_os_string()
                    .into_vec();
                if let Some(path) = name.strip_suffix(b" (deleted)") {
                    if !is_name_of(&name, &place) {
                        let number = field(&info, "mnt_id:").unwrap_or_default();
                        let mut theirs = mounts_of(process).into_iter();
                        let mount = theirs.find(|mount| mount.number == number);
                        // A process that is shut up in a folder may not see it.
                        let mount = mount.unwrap_or_else(|| Mount {
                            number: number.to_owned(),
                            ..Mount::default()
                        });
                        let found = self.deleted.entry(path.to_vec()).or_default();
                        found.push((mount, place));
                    }
                }
            }
        }
        Ok(())
    }
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

/// A mount: what is where in the tree of files (proc_pid_mountinfo(5)).
#[derive(Default)]
struct Mount {
    /// Its number, which no other mount has, of whatever namespace.
    number: String,
    /// The file system's device number, in the form that the lists of locks have (`fe:00`).
    device: String,
    /// Which folder of the file system, and where it is mounted.
    place: (String, String),
}

impl Mount {
    /// Whether the same path leads to the same file.
    fn is_same_place(&self, other: &Mount) -> bool {
        self.number == other.number || (&self.device, &self.place) == (&other.device, &other.place)
    }
}

/// The mounts that a process sees.
fn mounts_of(process: &Path) -> Vec<Mount> {
    let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        let number = words.next()?.to_owned();
        let (major, minor) = words.nth(1)?.split_once(':')?;
        let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        Some(Mount {
            number,
            device: format!("{major:02x}:{minor:02x}"),
            place: (words.next()?.to_owned(), words.next()?.to_owned()),
        })
    };
    String::from_utf8_lossy(&mounts)
        .lines()
        .filter_map(of_line)
        .collect()
}

/// The table leaves nothing out for want of a name in the initial PID namespace (its number is
/// fixed, PROC_PID_INIT_INO in the kernel's proc_ns.h), if it is this namespace's `/proc` and not a
/// part of it (proc(5), `hidepid` and `subset`).
fn table_is_whole() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name == Path::new("pid:[4026531836]"))
        && fs::metadata("/proc/1").is_ok()
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// A process, as far as anybody may know it.
pub struct Process {
    /// Its parent.
    pub parent: u32,
    /// It has ended, or is about to: its descriptors are closed before it can be waited for.
    pub has_ended: bool,
    /// It is stopped, by a signal or a debugger.
    pub is_stopped: bool,
    /// It is the guardian of a lock, and its parent the command.
    pub is_guardian: bool,
    /// When it started, to within a hundredth of a second.
    pub started: Option<SystemTime>,
}

/// In a process's flags, from the first moment of its end on (the kernel's sched.h).
const PF_EXITING: u64 = 0x4;

/// Looks a process up; nothing if there is none, or it cannot be seen.
pub fn process(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in parentheses may hold anything, parentheses too.
    let (name, rest) = stat.rsplit_once(") ")?;
    let is_guardian = name.split_once('(')?.1.as_bytes() == GUARDIAN.to_bytes();
    let mut words = rest.split(' ');
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    let flags: u64 = words.nth(4)?.parse().ok()?;
    let ticks: u64 = words.nth(12)?.parse().ok()?;
    let has_ended = matches!(state, "Z" | "X") || flags & PF_EXITING != 0;
    let is_stopped = matches!(state, "T" | "t");
    let since_boot =
        Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second());
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(
        u64::try_from(uptime.tv_sec).ok()?,
        u32::try_from(uptime.tv_nsec).ok()?,
    );
    let started = SystemTime::now().checked_sub(uptime.saturating_sub(since_boot));
    Some(Process {
        parent,
        has_ended,
        is_stopped,
        is_guardian,
        started,
    })
}

/// The command line of a process, its words with blanks between them; its name in brackets if it
/// has none; nothing where there is no such process.
pub fn command_line(pid: u32) -> Option<Vec<u8>> {
    let mut line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    while line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        return Some([b"[", name.trim_ascii_end(), b"]"].concat());
    }
    line.iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b' ');
    Some(line)
}

/// The path of an open file, without symbolic links.
pub fn path_of(file: BorrowedFd<'_>) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}
