//! What an attempt to take a lock comes to.

use rustix::fs::{Stat, fstat};

use super::file::LockFile;
use crate::model::error::Error;
use crate::model::target::LockTarget;

/// A lock that is ours: on the file that the path names, made by `acquire.rs`, or on a server, made by
/// `remote.rs`. Nothing unlocks it but the end of the process.
pub struct Held {
    /// The locked file.
    file: LockFile,
    /// Its state just after it was locked.
    state: Stat,
    /// What a server's helper said.
    helper_text: Vec<u8>,
}

impl Held {
    /// A lock that was taken on this file, whose state was then this.
    pub(super) fn new(file: LockFile, state: Stat) -> Held {
        let helper_text = Vec::new();
        Held {
            file,
            state,
            helper_text,
        }
    }

    /// A lock that a server holds for this connection, by the word of the helper that made it, which
    /// said this besides.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`] where the connection cannot be looked at.
    pub(super) fn by_connection(file: LockFile, helper_text: Vec<u8>) -> Result<Held, Error> {
        let state = fstat(&file).map_err(|reason| Error::Lock(file.target(), reason))?;
        Ok(Held {
            file,
            state,
            helper_text,
        })
    }

    /// The locked file.
    pub fn file(&self) -> &LockFile {
        &self.file
    }

    /// Its state (stat(2)) just after it was locked.
    pub fn state(&self) -> &Stat {
        &self.state
    }

    /// What a server's helper said while it took the lock.
    pub fn helper_text(&self) -> &[u8] {
        &self.helper_text
    }
}

/// What an attempt comes to.
#[allow(clippy::large_enum_variant)] // There is one in a process.
pub enum Attempt {
    /// The lock is ours.
    Held(Held),
    /// Somebody else has it.
    Busy(Busy),
}

/// A lock that somebody else has.
pub struct Busy {
    /// What is locked.
    pub target: LockTarget,
    /// It was waited for, in vain.
    pub waited: bool,
    /// What a server's helper says of who has it.
    pub helper_text: Vec<u8>,
}
