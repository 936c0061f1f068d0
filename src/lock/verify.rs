//! The name of a locked file: whether the path still leads to it, and what it holds.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::file::{LockFile, refuses_link};
use super::record::{self, Content, Record, Unrecorded};
use crate::model::error::Error;
use crate::model::lock::{LockApi, LockOptions};
use crate::sys::{self, FileState};

/// How much later than its birth a file must have been written to count as settled, in seconds: more
/// than the coarsest clock of a file system that tells of a birth.
const AGE: i64 = 1;

/// A locked file that its path leads to.
pub struct VerifiedName {
    /// Its state.
    state: FileState,
    /// It, open once more for reading and writing, where a record may be written; or why it cannot be
    /// opened so. Close-on-exec, and never kept while something is said or waited for: it may lie on 0,
    /// 1 or 2.
    writer: Option<Result<OwnedFd, Errno>>,
    /// What it holds, where that is known.
    content: Content,
    /// It holds a record, and a process with that PID lives.
    lives: bool,
    /// The path leads to it through a symbolic link at its end, so that its record is another name's.
    is_through_link: bool,
    /// The PID is to be written into it.
    wants_record: bool,
}

impl VerifiedName {
    /// Looks where the path leads to now. Nothing if not to the locked file, whose state was this.
    ///
    /// Where a record may be written, the file is opened for that by its path, which is the look
    /// itself: the lock's own descriptor is read-only (see `file.rs`).
    ///
    /// # Errors
    ///
    /// [`Error::Open`] where that cannot be told.
    pub fn verify(
        file: &LockFile,
        path: &CStr,
        locked: &FileState,
        options: &LockOptions,
    ) -> Result<Option<VerifiedName>, Error> {
        let is_ours = options.writes_record && may_hold_record(file, locked);
        let writer = is_ours.then(|| file.open_to_write(path)).flatten();
        let there = match &writer {
            Some(Ok(writer)) => sys::state_of_descriptor(writer.as_fd()),
            Some(Err(reason)) if leads_elsewhere(*reason) => return Ok(None),
            _ if file.is_through_link() => sys::state_of_path(path),
            _ => sys::state_of_link(path),
        };
        let state = match there {
            Ok(state) if state.id == locked.id => state,
            Ok(_) => return Ok(None),
            Err(reason) if leads_elsewhere(reason) => return Ok(None),
            Err(reason) => return Err(Error::Open(file.target(), reason)),
        };
        let content = match &writer {
            _ if options.api != LockApi::Flock || !options.checks_name => Content::Other,
            Some(Ok(writer)) => Content::of(writer.as_fd(), &state),
            _ => Content::of(file.as_fd(), &state),
        };
        let lives = match &content {
            Content::Record(record) => record.is_alive(),
            _ => false,
        };
        Ok(Some(VerifiedName {
            state,
            writer,
            content,
            lives,
            is_through_link: file.is_through_link(),
            wants_record: options.writes_record,
        }))
    }

    /// Whether nobody else can hold a lock of this name: the last thing that happened to the file is
    /// that a run which is dead wrote its record, well after the file was made.
    ///
    /// That run was let in under this name: to rename or link a file changes the time of its last change
    /// apart from its content's, on a file system that notes that; and a file that was made in the place
    /// of another is as young as its content. So whoever held the name then was in its way.
    pub fn is_settled(&self) -> bool {
        let state = &self.state;
        matches!(self.content, Content::Record(_))
            && !self.lives
            && !self.is_through_link
            && state.links == 1
            && state.notes_renames
            // HFS+ does not note a rename, and has whole seconds.
            && state.modified.nanoseconds != 0
            && state.modified == state.changed
            && state
                .born
                .is_some_and(|born| born.after(AGE) < state.modified)
    }

    /// Whether another program's run could have another file of this name: this one is new, or its
    /// record is of a process that lives.
    pub fn may_be_anothers(&self) -> bool {
        self.lives || (self.state.is_regular && self.state.size == 0)
    }

    /// Writes our PID into the file, if it is ours to write: a regular file with one name, reached
    /// through no symbolic link, that is empty or holds exactly one record. Anything else is left as it
    /// is.
    ///
    /// # Errors
    ///
    /// Why there is no record where one was to be: the run goes on without. Of what is no file that is
    /// kept, such as a folder or a device, nobody expects one.
    pub fn write_record(self) -> Result<(), Unrecorded> {
        let state = &self.state;
        match self.writer {
            _ if !self.wants_record || !state.is_regular => Ok(()),
            _ if self.is_through_link => Err(Unrecorded::Linked),
            _ if state.links > 1 => Err(Unrecorded::Named),
            Some(_) if matches!(self.content, Content::Other) => Err(Unrecorded::Occupied),
            Some(_) if !record::could_be_ours(state) => Err(Unrecorded::Occupied),
            Some(writer) => record::write(writer?.as_fd(), state),
            // It is the kernel's.
            None if state.size == 0 => Ok(()),
            None => Err(Unrecorded::Occupied),
        }
    }

    /// The record that is there, if its process lives.
    pub fn living_record(&self) -> Option<Record> {
        match self.content {
            Content::Record(record) if self.lives => Some(record),
            _ => None,
        }
    }
}

/// Whether this error of a path's means that there is another file, or none.
fn leads_elsewhere(reason: Errno) -> bool {
    matches!(reason, Errno::NOENT | Errno::NOTDIR) || refuses_link(reason)
}

/// Whether a record may be written into a file, by its looks; and it is not the kernel's, whose files
/// all look empty.
fn may_hold_record(file: &LockFile, state: &FileState) -> bool {
    let is_kernels = || sys::is_kernels(file.as_fd()) != Ok(false);
    record::could_be_ours(state) && !(state.size == 0 && is_kernels())
}
