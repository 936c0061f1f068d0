//! Where a run is installed from.

use std::env;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};

use rustix::io::Errno;

use crate::model::error::{Error, usage};
use crate::model::target::LockTarget;
use crate::sys;

/// The working directory, which relative paths begin from, now and when cron starts the run.
pub struct Here(PathBuf);

impl Here {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of this process.
    pub fn new() -> Result<Here, Error> {
        env::current_dir()
            .map(Here)
            .map_err(|error| Error::WorkingDirectory(sys::errno_of(error)))
    }

    /// An absolute path, by text alone: no link is resolved, and nothing has to exist. An empty one
    /// would become this folder, which a run would not.
    fn absolute(&self, path: &OsStr) -> Result<PathBuf, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        path::absolute(self.0.join(path)).map_err(sys::errno_of)
    }

    /// The word that stands for the lock, wherever it is read.
    pub fn lock_file(&self, target: LockTarget) -> Result<PathBuf, Error> {
        let path = match target {
            LockTarget::File(path) => path,
            LockTarget::Remote(word) => return Ok(OsStr::from_bytes(word.to_bytes()).into()),
            LockTarget::Descriptor(_) => return Err(usage("--install takes a lock file")),
        };
        self.absolute(OsStr::from_bytes(path.to_bytes()))
            .map_err(|reason| Error::Open(target, reason))
    }

    /// The absolute path of a log.
    pub fn log(&self, path: &OsStr) -> Result<PathBuf, Error> {
        self.absolute(path)
            .map_err(|reason| Error::Log(path.to_owned(), reason))
    }

    /// Where PATH finds a program of a run under this lock now, since cron's PATH is bare.
    pub fn program(&self, name: &CStr, lock: LockTarget) -> Result<PathBuf, Error> {
        sys::find(name)
            .and_then(|place| self.absolute(OsStr::from_bytes(place.to_bytes())))
            .map_err(|reason| Error::Execute {
                program: name.to_owned().into(),
                reason,
                lock,
                made_lock: false,
            })
    }
}
