//! One change of the user's crontab at a time.
//!
//! crontab(1) reads it and writes it, and has no lock from the one to the other: of two that change it at
//! once the second would write what the first has not been in. So whoever changes it here has the user's
//! turn from before the reading until after the writing: an flock(2) on the home directory, which is
//! there already, and which nobody needs to clean up. Runs and `--status` do not ask for it.
//!
//! A lock on a directory is the kernel's own business on every file system that there is, NFS included,
//! and crontabs are a machine's own, too.

use std::env;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;

use crate::model::error::Error;
use crate::model::reporting::Verbosity;
use crate::report::installing::Remark;
use crate::sys::{self, WaitTimer};

/// The turn, until this is dropped or the process has ended.
pub struct Turn {
    /// Whose closing ends the lock.
    _folder: OwnedFd,
}

/// How long the turn is waited for without a word. A change takes a fraction of a second.
const SILENCE: Duration = Duration::from_secs(2);

/// The home directories of root.
const OF_ROOT: [&str; 2] = ["/root", "/var/root"];

impl Turn {
    /// Waits for the turn.
    ///
    /// # Errors
    ///
    /// Where no lock can be had at all.
    pub fn wait(verbosity: Verbosity) -> Result<Turn, Error> {
        let (path, folder) = folder()?;
        lock(&folder, || Remark::WaitsForTurn(&path).tell(verbosity))
            .map_err(|reason| Error::Turn(path.clone().into_os_string(), reason))?;
        Ok(Turn { _folder: folder })
    }
}

/// The directory that stands for the user.
///
/// crontab(1) goes by the real user, and so does this: HOME counts only if that user owns it, since sudo
/// may leave the caller's there, which root's other changes do not ask for. Where there is no such
/// directory it is `/`, which everybody shares: better to wait for a stranger than to lose an entry.
fn folder() -> Result<(PathBuf, OwnedFd), Error> {
    let user = sys::own_real_user();
    let homes = env::var_os("HOME").map(PathBuf::from).into_iter();
    for home in homes.chain(OF_ROOT.map(PathBuf::from)) {
        let opened = open_folder(&home).ok().filter(|_| home.is_absolute());
        let is_theirs = |folder: &OwnedFd| fstat(folder).is_ok_and(|state| state.st_uid == user);
        if let Some(folder) = opened.filter(is_theirs) {
            return Ok((home, folder));
        }
    }
    let root = PathBuf::from("/");
    match open_folder(&root) {
        Ok(folder) => Ok((root, folder)),
        Err(reason) => Err(Error::Turn(root.into_os_string(), reason)),
    }
}

/// Opens a directory to be locked. crontab(1) does not get it.
fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

/// Locks it. If that takes long, it is told once.
fn lock(folder: &OwnedFd, tell: impl Fn()) -> Result<(), Errno> {
    match flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {}
        other => return other,
    }
    let start = Instant::now();
    // Without a timer it is waited for all the same.
    let mut timer = WaitTimer::arm(SILENCE).ok();
    loop {
        match flock(folder, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
        if let Some(armed) = &mut timer {
            armed.interrupted();
            if start.elapsed() >= SILENCE {
                timer = None;
                tell();
            }
        }
    }
}
