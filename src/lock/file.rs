//! From a path to an open [`LockFile`]. Locks nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::model::error::Error;
use crate::model::lock::{LockApi, LockMode, LockOptions};
use crate::model::target::LockTarget;
use crate::sys::{self, FileState};

/// How many times to retry when the path keeps naming another file.
pub const MOST_ATTEMPTS: usize = 100;

/// In every open: NONBLOCK, so that a FIFO does not wait for its other end, nor a terminal for its
/// carrier; NOCTTY, so that a terminal does not become ours; CLOEXEC for the moment before the
/// descriptor is moved.
pub const OPEN_FLAGS: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What a lock file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Enough for flock(2) on a local file system. It changes nothing, and it is all that a device
    /// may be opened for: a disk that was open for writing wakes udev when it is closed. And a
    /// program that somebody has open for writing cannot be executed (ETXTBSY).
    Read,
    /// What an exclusive record lock wants.
    Write,
    /// What an exclusive flock(2) wants where the file system makes a record lock of it.
    ReadWrite,
}

impl Access {
    /// What a lock with these options wants: of all locks only an exclusive record lock wants a
    /// descriptor that can be written to (fcntl(2)).
    pub fn wanted_by(options: &LockOptions) -> Access {
        match (options.api, options.mode) {
            (LockApi::Fcntl { .. }, LockMode::Exclusive) => Access::Write,
            _ => Access::Read,
        }
    }

    /// For open(2).
    pub(super) fn flags(self) -> OFlags {
        match self {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::WRONLY,
            Access::ReadWrite => OFlags::RDWR,
        }
    }
}

/// An open file to be locked, on a descriptor that the command will inherit.
pub struct LockFile {
    /// Where it is open.
    descriptor: Descriptor,
    /// What it was opened from.
    target: LockTarget,
    /// What it was opened for.
    access: Access,
    /// How it came to be open.
    origin: Origin,
    /// It is not the file that the path led to: somebody holds it under that name.
    is_elsewhere: bool,
}

/// How a file came to be open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It was there.
    Found,
    /// It was there, and the last component of its path is a symbolic link.
    Linked,
    /// It was made.
    Made,
}

/// Whose descriptor it is.
enum Descriptor {
    /// Opened here, from 60 up, or else from 10 up.
    Ours(OwnedFd),
    /// The caller's, which is never closed here: it may be the one that messages go to.
    Callers(BorrowedFd<'static>),
}

impl LockFile {
    /// Opens the file at a path, or makes it empty (0666 and the umask) if there is nothing; or
    /// looks whether the caller's descriptor is open.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], [`Error::Leased`], [`Error::Create`], [`Error::DanglingLink`], or
    /// [`Error::Descriptor`] where no descriptor from 10 up is free; [`Error::Replaced`] where the path changes again and again. For a
    /// descriptor that is not open, [`Error::Lock`].
    pub fn open(target: LockTarget, access: Access) -> Result<LockFile, Error> {
        let path = match target {
            LockTarget::File(path) => path,
            LockTarget::Descriptor(number) => {
                let callers = sys::callers_descriptor(number)
                    .map_err(|reason| Error::Lock(target, reason))?;
                return Ok(LockFile {
                    descriptor: Descriptor::Callers(callers),
                    target,
                    access,
                    origin: Origin::Found,
                    is_elsewhere: false,
                });
            }
            // It is no file, and `remote.rs` takes it.
            LockTarget::Remote(_) => return Err(Error::Open(target, Errno::INVAL)),
        };
        let (opened, origin) = open_or_make(path, access)?;
        LockFile::ours(opened, target, access, origin)
    }

    /// The connection that a server's lock is bound to, in the place of a file: it is kept, inherited
    /// and closed as one.
    ///
    /// # Errors
    ///
    /// [`Error::Descriptor`] where no descriptor from 10 up is free.
    pub fn connection(connection: OwnedFd, target: LockTarget) -> Result<LockFile, Error> {
        LockFile::ours(connection, target, Access::Read, Origin::Found)
    }

    /// What was opened, on a descriptor that scripts leave alone. If the caller closed 0, 1 or 2, open(2)
    /// has just returned that number: nothing may write a message until the descriptor has moved.
    fn ours(
        opened: OwnedFd,
        target: LockTarget,
        access: Access,
        origin: Origin,
    ) -> Result<LockFile, Error> {
        let moved = sys::move_up(opened);
        let moved = moved.map_err(|reason| Error::Descriptor(target, reason))?;
        Ok(LockFile {
            descriptor: Descriptor::Ours(moved),
            target,
            access,
            origin,
            is_elsewhere: false,
        })
    }

    /// Opens whatever the path names now, in place of the file that is open; a lock on that is gone
    /// with it.
    ///
    /// # Errors
    ///
    /// As for [`LockFile::open`].
    pub fn again(self) -> Result<LockFile, Error> {
        let (target, access) = (self.target, self.access);
        drop(self);
        LockFile::open(target, access)
    }

    /// Opens it for reading and writing, if it is a path and can be: what a file system wants that
    /// makes record locks of flock(2). NFS says EBADF or EIO to an exclusive lock on a descriptor
    /// that cannot be written to (flock(2), "NFS details").
    pub fn wider(&self) -> Option<LockFile> {
        match (self.target, self.access) {
            (LockTarget::File(_), Access::Read | Access::Write) if !self.is_elsewhere => {
                LockFile::open(self.target, Access::ReadWrite).ok()
            }
            _ => None,
        }
    }

    /// The file that somebody holds under the same name, in place of this one. It was opened by another
    /// way than its path, which no longer leads to it.
    ///
    /// # Errors
    ///
    /// [`Error::Descriptor`].
    pub(super) fn elsewhere(&self, opened: OwnedFd) -> Result<LockFile, Error> {
        let opened = LockFile::ours(opened, self.target, self.access, self.origin)?;
        Ok(LockFile {
            is_elsewhere: true,
            ..opened
        })
    }

    /// Its state.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if that cannot be told.
    pub fn state(&self) -> Result<FileState, Error> {
        sys::state_of_descriptor(self.as_fd()).map_err(|reason| Error::Open(self.target, reason))
    }

    /// Whether it is not the file that its path led to when it was opened.
    pub fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Whether the last component of its path is a symbolic link.
    pub fn is_through_link(&self) -> bool {
        self.origin == Origin::Linked
    }

    /// Whether there was nothing at its path, and it was made.
    pub fn is_new(&self) -> bool {
        self.origin == Origin::Made
    }

    /// What it was opened from.
    pub fn target(&self) -> LockTarget {
        self.target
    }

    /// What it was opened for.
    pub(super) fn access(&self) -> Access {
        self.access
    }

    /// Opens the file once more by its path, to read and write a record, if the path leads to it
    /// through no symbolic link at its end. What is there may have changed: look at its state.
    ///
    /// # Errors
    ///
    /// As open(2).
    pub fn open_to_write(&self, path: &CStr) -> Option<Result<OwnedFd, Errno>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OPEN_FLAGS;
        (!self.is_through_link()).then(|| fs::open(path, flags, Mode::empty()))
    }
}

impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.descriptor {
            Descriptor::Ours(ours) => ours.as_fd(),
            Descriptor::Callers(callers) => *callers,
        }
    }
}

/// Opens what is at `path` without O_CREAT, and makes it only where there is nothing, so that
/// - nothing is made through a symbolic link (O_EXCL follows none), and
/// - in a sticky directory, where fs.protected_regular refuses O_CREAT on another user's file, that
///   file still opens.
///
/// Between the two somebody else may make or remove the file; then it is looked at again.
fn open_or_make(path: &'static CStr, access: Access) -> Result<(OwnedFd, Origin), Error> {
    let flags = OPEN_FLAGS | access.flags();
    for _ in 0..MOST_ATTEMPTS {
        match fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) => return Ok((opened, Origin::Found)),
            Err(Errno::NOENT) => {}
            Err(reason) if refuses_link(reason) => {
                return open_through_link(path, flags).map(|opened| (opened, Origin::Linked));
            }
            // A directory cannot be opened for writing. It is for the lock to say what it wants.
            Err(Errno::ISDIR) => return open_or_make(path, Access::Read),
            Err(reason) => return Err(cannot_open(path, reason)),
        }
        let (make, mode) = (OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o666));
        match fs::open(path, flags | make, mode) {
            Ok(opened) => return Ok((opened, Origin::Made)),
            Err(Errno::EXIST) => {}
            Err(reason @ (Errno::ROFS | Errno::NOSPC)) => {
                return Err(Error::Create(path, reason));
            }
            Err(reason) => return Err(cannot_open(path, reason)),
        }
    }
    Err(Error::Replaced(LockTarget::File(path)))
}

/// Opens what a symbolic link leads to, and makes nothing there.
fn open_through_link(path: &'static CStr, flags: OFlags) -> Result<OwnedFd, Error> {
    fs::open(path, flags, Mode::empty()).map_err(|reason| match reason {
        Errno::NOENT => Error::DanglingLink(path),
        other => cannot_open(path, other),
    })
}

/// Why what is there cannot be opened.
fn cannot_open(path: &'static CStr, reason: Errno) -> Error {
    let target = LockTarget::File(path);
    match sys::means_lease(reason) {
        true => Error::Leased(target),
        false => Error::Open(target, reason),
    }
}

/// What O_NOFOLLOW says of a symbolic link: ELOOP by POSIX, EMLINK on FreeBSD, EFTYPE on NetBSD
/// (their open(2)).
pub(super) fn refuses_link(reason: Errno) -> bool {
    #[cfg(target_os = "netbsd")]
    if reason == Errno::FTYPE {
        return true;
    }
    matches!(reason, Errno::LOOP | Errno::MLINK)
}
