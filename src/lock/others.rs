//! The look for others: whether somebody else holds the name of a lock file, although we have locked
//! the file that the name leads to.
//!
//! Another run of ours shows by its mark. Another program, such as util-linux's flock, leaves none: of
//! its locks those on deleted files are found, by the names that the kernel keeps for open files.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::file::{LockFile, MOST_ATTEMPTS, OPEN_FLAGS};
use super::mark::{Claim, Mark, Name};
use super::take::Deadline;
use super::verify::VerifiedName;
use crate::model::error::Error;
use crate::model::target::LockTarget;
use crate::sys::{self, FoundFile, MarkedRange, Snapshot};

/// How long a waiter sleeps between two looks at a mark, where it cannot open the locked file to sleep
/// in its queue.
const INTERVAL: Duration = Duration::from_secs(1);

/// Who else holds the name.
pub enum Others {
    /// Nobody.
    None,
    /// Somebody, by a lock on this file. It can be waited for there.
    File(LockFile),
    /// Somebody whose mark is seen, and whose file is not to be had.
    Marked(Name, Claim),
}

/// Looks for others that hold the name of this file, which we have locked and announced.
///
/// The file of somebody whose mark is seen is only looked for by who waits, to sleep in its queue. A
/// file in `seen` has been waited for already. An open file in it keeps its inode number from being
/// another file's while we compare.
///
/// # Errors
///
/// [`Error::Look`] where the look cannot be completed: that is no reason to run beside somebody.
/// [`Error::Descriptor`]. [`Error::Open`] where another program's deleted file may not be opened.
///
/// Where the locks of others change too fast for that, who waits looks again.
pub fn look(
    file: &LockFile,
    path: &CStr,
    mark: Option<&Mark>,
    named: &VerifiedName,
    deadline: Deadline,
    seen: &mut Vec<OwnedFd>,
) -> Result<Others, Error> {
    loop {
        match look_once(file, path, mark, named, deadline, seen) {
            Err(Error::Look(_, Errno::AGAIN)) if deadline.left(INTERVAL).is_some() => {}
            other => return other,
        }
    }
}

/// The same, once.
fn look_once(
    file: &LockFile,
    path: &CStr,
    mark: Option<&Mark>,
    named: &VerifiedName,
    deadline: Deadline,
    seen: &mut Vec<OwnedFd>,
) -> Result<Others, Error> {
    let cannot = |reason| Error::Look(file.target(), reason);
    // What is found and gone when it is opened may have handed its lock on meanwhile.
    for _ in 0..MOST_ATTEMPTS {
        let snapshot = Snapshot::take();
        let nobody = || snapshot.is_complete().map(|()| Others::None);
        let marks = mark.map(|ours| excluding(snapshot.marks(), ours));
        let marks = marks.unwrap_or_default();
        let marked = mark.filter(|_| !marks.is_empty());
        let found = match (marked, deadline) {
            (Some(ours), Deadline::Now) => return Ok(Others::Marked(ours.name, ours.says)),
            // That it is a conflict is known, so nothing that goes wrong here is an error.
            (Some(ours), _) => {
                let said = |mark: &_| ours.name.claim(mark);
                let names = |mark: &_, file| said(mark).is_some_and(|theirs| theirs.names(file));
                snapshot.named(&marks, &names).unwrap_or_default()
            }
            // Who has no mark looks for none.
            (None, _) if !named.may_be_anothers() => {
                return mark.map_or(Ok(Others::None), |_| nobody().map_err(cannot));
            }
            (None, _) => match real_path(path) {
                Ok(path) => snapshot.deleted(&path, file.as_fd()).map_err(cannot)?,
                // The path leads elsewhere by now, which is seen when the name is verified again.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => {
                    return nobody().map_err(cannot);
                }
                Err(reason) => return Err(cannot(reason)),
            },
        };
        let mut has_vanished = found.has_vanished;
        for theirs in &found.files {
            match open(file, theirs, seen) {
                Ok(Opened::Theirs(theirs)) => match file.elsewhere(theirs) {
                    Err(_) if marked.is_some() => {}
                    other => return other.map(Others::File),
                },
                Ok(Opened::Gone) => has_vanished = true,
                Ok(Opened::Closed(reason)) if marked.is_none() => {
                    return Err(Error::Open(file.target(), reason));
                }
                Err(reason) if marked.is_none() => return Err(cannot(reason)),
                Ok(Opened::Seen | Opened::Closed(_)) | Err(_) => {}
            }
        }
        match marked {
            Some(ours) => return Ok(Others::Marked(ours.name, ours.says)),
            None if !has_vanished => return nobody().map_err(cannot),
            None => {}
        }
    }
    Err(cannot(Errno::AGAIN))
}

/// Waits until no mark of this name excludes what ours says, with nothing held: asleep, but for a look
/// every second and one at the deadline. Returns whether that came to be.
///
/// # Errors
///
/// [`Error::Look`].
pub fn wait(
    target: LockTarget,
    name: Name,
    says: Claim,
    deadline: Deadline,
) -> Result<bool, Error> {
    loop {
        let snapshot = Snapshot::take();
        let mut marks = snapshot.marks().iter();
        let excludes = |mark| name.claim(mark).is_some_and(|theirs| theirs.excludes(says));
        let is_gone = match marks.any(excludes) {
            true => Ok(false),
            false => snapshot.is_complete().map(|()| true),
        };
        match (is_gone, deadline.left(INTERVAL)) {
            (Ok(true), _) => return Ok(true),
            // The next look may well be complete.
            (Ok(false) | Err(Errno::AGAIN), Some(left)) => {
                sys::pause(left).map_err(|reason| Error::Look(target, reason))?;
            }
            (Ok(false), None) => return Ok(false),
            (Err(reason), _) => return Err(Error::Look(target, reason)),
        }
    }
}

/// Those of these marks that exclude ours.
fn excluding(all: &[MarkedRange], ours: &Mark) -> Vec<MarkedRange> {
    let said = |mark: &_| ours.name.claim(mark);
    let excludes = |mark: &&_| said(mark).is_some_and(|theirs| theirs.excludes(ours.says));
    all.iter().filter(excludes).copied().collect()
}

/// A file that was found among those which others have open.
enum Opened {
    /// It is open to be locked.
    Theirs(OwnedFd),
    /// It was waited for already.
    Seen,
    /// It may not be opened, for this reason.
    Closed(Errno),
    /// Its process has closed it, or has ended; or another file is there.
    Gone,
}

/// Opens a file by a process's descriptor, and notes it in `seen`.
///
/// It is opened twice: the descriptor that is noted (O_PATH) pins its inode, so that the number is not
/// reused while we compare.
fn open(file: &LockFile, found: &FoundFile, seen: &mut Vec<OwnedFd>) -> Result<Opened, Errno> {
    let open = |flags| match fs::open(&found.place, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(reason) => Err(reason),
    };
    let pin = match open(sys::INSPECT_FLAGS | OFlags::CLOEXEC) {
        Ok(Some(pin)) => pin,
        Ok(None) => return Ok(Opened::Gone),
        Err(reason @ (Errno::ACCESS | Errno::PERM)) => return Ok(Opened::Closed(reason)),
        Err(reason) => return Err(reason),
    };
    let id = sys::state_of_descriptor(pin.as_fd())?.id;
    if id != found.id {
        return Ok(Opened::Gone);
    }
    for seen in &*seen {
        if sys::state_of_descriptor(seen.as_fd())?.id == id {
            return Ok(Opened::Seen);
        }
    }
    let theirs = match open(OPEN_FLAGS | file.access().flags()) {
        Ok(Some(theirs)) => theirs,
        Ok(None) => return Ok(Opened::Gone),
        Err(reason @ (Errno::ACCESS | Errno::PERM)) => return Ok(Opened::Closed(reason)),
        Err(reason) => return Err(reason),
    };
    if sys::state_of_descriptor(theirs.as_fd())?.id != id {
        return Ok(Opened::Gone);
    }
    seen.push(pin);
    Ok(Opened::Theirs(theirs))
}

/// The path of a lock file as the kernel names it. It need not be there, but for its folder.
///
/// # Errors
///
/// As realpath(3).
pub fn real_path(path: &CStr) -> Result<PathBuf, Errno> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let resolved = match (path.is_symlink(), path.parent(), path.file_name()) {
        (false, Some(folder), Some(name)) => {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            folder.canonicalize().map(|folder| folder.join(name))
        }
        _ => path.canonicalize(),
    };
    resolved.map_err(sys::errno_of)
}
