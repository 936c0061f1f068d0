//! By statx(2), which tells when a file was made.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags, StatxTimestamp, fstatfs, makedev,
    statx,
};
use rustix::io::Errno;

use super::stat;
use super::{FileId, FileState, Timestamp};

/// The state of an open file.
///
/// # Errors
///
/// As statx(2).
pub fn of_descriptor(file: BorrowedFd<'_>) -> Result<FileState, Errno> {
    match look(file, c"", AtFlags::EMPTY_PATH) {
        Err(reason) if is_missing(reason) => stat::of_descriptor(file),
        other => other,
    }
}

/// The state of the file that a path leads to, through a symbolic link at its end.
///
/// # Errors
///
/// As statx(2).
pub fn of_path(path: &CStr) -> Result<FileState, Errno> {
    match look(CWD, path, AtFlags::empty()) {
        Err(reason) if is_missing(reason) => stat::of_path(path),
        other => other,
    }
}

/// The state of what a path names, which may be a symbolic link.
///
/// # Errors
///
/// As statx(2).
pub fn of_link(path: &CStr) -> Result<FileState, Errno> {
    match look(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(reason) if is_missing(reason) => stat::of_link(path),
        other => other,
    }
}

/// Linux before 4.11 has no statx(2), and filters of that time say EPERM.
fn is_missing(reason: Errno) -> bool {
    matches!(reason, Errno::NOSYS | Errno::PERM)
}

/// The call.
fn look(folder: BorrowedFd<'_>, path: &CStr, flags: AtFlags) -> Result<FileState, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    statx(folder, path, flags, wanted).map(state)
}

/// The kernel's answer in our words.
fn state(found: Statx) -> FileState {
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    FileState {
        id: FileId {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        },
        is_regular: FileType::from_raw_mode(found.stx_mode.into()) == FileType::RegularFile,
        links: found.stx_nlink.into(),
        size: found.stx_size,
        modified: timestamp(found.stx_mtime),
        changed: timestamp(found.stx_ctime),
        born: has_birth.then(|| timestamp(found.stx_btime)),
        // Those that know chattr(1)'s append-only files are Linux's own, and do: ext4, XFS, Btrfs,
        // F2FS, bcachefs, tmpfs, and overlayfs over one of these. (HFS+ knows them, too, and does
        // not.) A file that is itself a mount point got its name without being renamed.
        notes_renames: found.stx_attributes_mask.contains(StatxAttributes::APPEND)
            && !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    }
}

/// A time of the kernel's.
fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    }
}

/// File systems that show what the kernel has in mind (the kernel's magic.h, and where no name is
/// given, the source beside it). Their files have size 0 whatever they hold, and to write into one does
/// something.
#[rustfmt::skip]
const KERNELS: [u32; 18] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0xcafe_4a11, // bpf
    0x0765_5821, // resctrl
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl (fs/fuse/control.c)
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x1980_0202, // mqueue (ipc/mqueue.c)
];

/// Whether a file is the kernel's own and no file that is kept: something happens when it is written.
///
/// # Errors
///
/// As fstatfs(2).
#[allow(clippy::unnecessary_cast)] // The type differs between processors.
pub fn is_kernels(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    fstatfs(file).map(|found| KERNELS.contains(&(found.f_type as u32)))
}
