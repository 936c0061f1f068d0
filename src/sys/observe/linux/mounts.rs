//! How Linux's lists of locks name a file: by numbers that stat(2) does not always give.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Stat, fstat, fstatfs, major, minor, stat};
use rustix::io::Errno;

use super::read::read;

/// How the kernel names a file in its lists of locks: the file system's device number, which is not
/// what stat(2) says on btrfs and overlayfs, and the inode number; `fe:00:1234`.
pub type Inode = String;

/// A file that may be locked.
pub struct ListedFile {
    /// Its name in the lists.
    pub inode: Inode,
    /// Files of other subvolumes may have the same name.
    pub is_ambiguous: bool,
    /// The file system may have locks that are in no list here.
    pub keeps_locks_elsewhere: bool,
    /// Its state, by which it is told from others of the same name.
    state: Stat,
}

impl ListedFile {
    /// The device of its file system.
    pub fn device(&self) -> &str {
        device_of(&self.inode)
    }

    /// Whether what can be opened at `place`, a file of this name, is this very file.
    pub fn is_at(&self, place: &Path) -> bool {
        !self.is_ambiguous
            || stat(place).is_ok_and(|there| {
                (there.st_dev, there.st_ino) == (self.state.st_dev, self.state.st_ino)
            })
    }
}

/// The device of a file's file system, in the form that the lists have.
pub fn device_of(file: &Inode) -> &str {
    file.rsplit_once(':').map_or("", |(device, _)| device)
}

/// The name of an open file in the lists; nothing where the kernel does not tell.
///
/// # Errors
///
/// Where it cannot be looked at.
pub fn name_of(file: BorrowedFd<'_>, mounts: &[Mount]) -> Result<Option<ListedFile>, Errno> {
    let info = info_of(file)?;
    let state = fstat(file)?;
    let kind = kind_of(file)?;
    let device = match mount_of(&info, mounts) {
        Some(mount) => mount.device.clone(),
        // In a changed root, the mount that the root is on may not be seen.
        None if has_numbers_of_its_own(kind) => return Ok(None),
        None => device_number(major(state.st_dev), minor(state.st_dev)),
    };
    let inode = match field(&info, "ino:") {
        Some(number) => number.to_owned(),
        // Linux before 5.14.
        None => state.st_ino.to_string(),
    };
    Ok(Some(ListedFile {
        inode: format!("{device}:{inode}"),
        is_ambiguous: kind == BTRFS || kind == BCACHEFS,
        keeps_locks_elsewhere: ELSEWHERE.contains(&kind),
        state,
    }))
}

// The kinds of file systems (statfs(2), and the kernel's magic.h).
/// btrfs.
const BTRFS: u32 = 0x9123_683e;
/// bcachefs.
const BCACHEFS: u32 = 0xca45_1a4e;
/// overlayfs.
const OVERLAY: u32 = 0x794c_7630;
/// Locks of other machines, or that a program keeps for itself.
const ELSEWHERE: [u32; 11] = [
    0x6573_5546, // FUSE
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x6b41_4653, // kAFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
];

/// A number has 32 bits, in whatever type this processor's statfs(2) has it.
#[allow(clippy::unnecessary_cast)] // The type differs between processors.
fn kind_of(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    fstatfs(file).map(|state| state.f_type as u32)
}

/// stat(2) gives device numbers that the lists do not.
fn has_numbers_of_its_own(kind: u32) -> bool {
    [BTRFS, BCACHEFS, OVERLAY].contains(&kind)
}

/// A mount: what is where in the tree of files (proc_pid_mountinfo(5)).
#[derive(Default)]
pub struct Mount {
    /// Its number, which no other mount has, of whatever namespace.
    number: String,
    /// The file system's device number, in the form that the lists of locks have (`fe:00`).
    device: String,
    /// Which folder of the file system, and where it is mounted.
    place: (String, String),
}

impl Mount {
    /// One of which nothing is known but its number.
    fn unseen(number: &str) -> Mount {
        Mount {
            number: number.to_owned(),
            ..Mount::default()
        }
    }

    /// Whether the same path leads to the same file.
    pub fn is_same_place(&self, other: &Mount) -> bool {
        self.number == other.number || (&self.device, &self.place) == (&other.device, &other.place)
    }
}

/// The mounts that a process sees; none where that is not told.
///
/// # Errors
///
/// Where they cannot be read, other than that there is no such process or that it is not allowed.
pub fn mounts_of(process: &Path) -> Result<Vec<Mount>, Errno> {
    let mounts = match read(&process.join("mountinfo")) {
        Ok(mounts) => mounts,
        Err(
            Errno::NOENT | Errno::NOTDIR | Errno::SRCH | Errno::ACCESS | Errno::PERM | Errno::INVAL,
        ) => {
            return Ok(Vec::new());
        }
        Err(reason) => return Err(reason),
    };
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        let number = words.next()?.to_owned();
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some(Mount {
            number,
            device: device_number(major.parse().ok()?, minor.parse().ok()?),
            place: (words.next()?.to_owned(), words.next()?.to_owned()),
        })
    };
    let mounts = String::from_utf8_lossy(&mounts);
    Ok(mounts.lines().filter_map(of_line).collect())
}

/// The mount that a process has a file on, by its number. A process in a changed root may not see it
/// itself.
///
/// # Errors
///
/// As [`mounts_of`].
pub fn mount_seen_by(process: &Path, number: &str) -> Result<Mount, Errno> {
    let mut mounts = mounts_of(process)?.into_iter();
    let found = mounts.find(|mount| mount.number == number);
    Ok(found.unwrap_or_else(|| Mount::unseen(number)))
}

/// The mount of which a descriptor's `fdinfo` tells.
pub fn mount_of<'a>(info: &str, mounts: &'a [Mount]) -> Option<&'a Mount> {
    let number = field(info, "mnt_id:")?;
    mounts.iter().find(|mount| mount.number == number)
}

/// What the kernel tells of a descriptor of ours (proc_pid_fdinfo(5)).
///
/// # Errors
///
/// Where there is no `/proc`.
pub fn info_of(file: BorrowedFd<'_>) -> Result<String, Errno> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let info = read(Path::new(&path))?;
    Ok(String::from_utf8_lossy(&info).into_owned())
}

/// A field of a descriptor's `fdinfo`.
pub fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// A device number in the form that the lists have.
fn device_number(major: u32, minor: u32) -> String {
    format!("{major:02x}:{minor:02x}")
}
