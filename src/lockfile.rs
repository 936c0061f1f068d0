//! From a path to an open [`LockFile`]. Locks nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{self, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::outcome::Error;
use crate::sys;

/// Shell scripts close and reuse the descriptors 3 to 9 (`exec 3>log`), and they would drop the
/// lock with them.
const LEAST_DESCRIPTOR: RawFd = 10;

/// How often a file that changes under our hands is looked at anew.
pub const TRIES: usize = 100;

/// Read-only is enough to lock, changes nothing, and is all that a device may be opened for: a disk
/// that was open for writing wakes udev when it is closed, and a program that is open for writing
/// cannot be executed (ETXTBSY). NONBLOCK: a FIFO does not wait for its other end, nor a terminal
/// for its carrier. NOCTTY: a terminal does not become ours. CLOEXEC concerns the moment before the
/// descriptor is moved.
const LOOK: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// An open file to be locked, on a descriptor that scripts leave alone and that the command will
/// inherit.
pub struct LockFile {
    descriptor: OwnedFd,
    path: &'static CStr,
    /// The last component of the path is a symbolic link.
    through_link: bool,
}

impl LockFile {
    /// Opens the file at `path`, or makes it empty (0666 and the umask) if there is nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], [`Error::Make`], [`Error::Dangling`], or [`Error::Descriptor`] where no
    /// descriptor from 10 up is free.
    pub fn open(path: &'static CStr) -> Result<LockFile, Error> {
        let (descriptor, through_link) = open_or_make(path)?;
        // If 0, 1 or 2 was closed, the file lies there until this line. Nothing writes a message in
        // between.
        let descriptor = sys::move_up(descriptor, LEAST_DESCRIPTOR)
            .map_err(|reason| Error::Descriptor(path, reason))?;
        Ok(LockFile {
            descriptor,
            path,
            through_link,
        })
    }

    /// Opens whatever the path names now, in place of the file that is open; a lock on that is gone
    /// with it.
    ///
    /// # Errors
    ///
    /// As for [`LockFile::open`].
    pub fn again(self) -> Result<LockFile, Error> {
        let path = self.path;
        drop(self);
        LockFile::open(path)
    }

    /// The state of the open file, if the path still names it.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if that cannot be told.
    pub fn still_there(&self) -> Result<Option<Stat>, Error> {
        let ours = fs::fstat(&self.descriptor).map_err(|reason| Error::Open(self.path, reason))?;
        let there = if self.through_link {
            fs::stat(self.path)
        } else {
            fs::lstat(self.path)
        };
        match there {
            Ok(there) if same_file(&ours, &there) => Ok(Some(ours)),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(reason) => Err(Error::Open(self.path, reason)),
        }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &'static CStr {
        self.path
    }

    /// Whether the last component of the path is a symbolic link.
    pub fn is_through_link(&self) -> bool {
        self.through_link
    }
}

impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Whether both are the same file (stat(2): the device and the inode number together name a file).
pub fn same_file(one: &Stat, other: &Stat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino
}

/// Opens what is at `path` without O_CREAT, and makes it only where there is nothing, so that
/// - nothing is made through a symbolic link (O_EXCL follows none), and
/// - in a sticky directory, where fs.protected_regular refuses O_CREAT on another user's file, that
///   file still opens.
///
/// Between the two somebody else may make or remove the file; then it is looked at again.
fn open_or_make(path: &'static CStr) -> Result<(OwnedFd, bool), Error> {
    for _ in 0..TRIES {
        match fs::open(path, LOOK | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(descriptor) => return Ok((descriptor, false)),
            Err(Errno::NOENT) => {}
            Err(reason) if refuses_link(reason) => {
                return open_through_link(path).map(|descriptor| (descriptor, true));
            }
            Err(reason) => return Err(Error::Open(path, reason)),
        }
        match fs::open(
            path,
            LOOK | OFlags::CREATE | OFlags::EXCL,
            Mode::from_raw_mode(0o666),
        ) {
            Ok(descriptor) => return Ok((descriptor, false)),
            Err(Errno::EXIST) => {}
            Err(reason @ (Errno::ROFS | Errno::NOSPC | Errno::DQUOT)) => {
                return Err(Error::Make(path, reason));
            }
            Err(reason) => return Err(Error::Open(path, reason)),
        }
    }
    Err(Error::Replaced(path))
}

fn open_through_link(path: &'static CStr) -> Result<OwnedFd, Error> {
    fs::open(path, LOOK, Mode::empty()).map_err(|reason| match reason {
        Errno::NOENT => Error::Dangling(path),
        other => Error::Open(path, other),
    })
}

/// What O_NOFOLLOW says of a symbolic link: ELOOP by POSIX, EMLINK on FreeBSD, EFTYPE on NetBSD
/// (their open(2)).
fn refuses_link(reason: Errno) -> bool {
    #[cfg(target_os = "netbsd")]
    if reason == Errno::FTYPE {
        return true;
    }
    matches!(reason, Errno::LOOP | Errno::MLINK)
}
