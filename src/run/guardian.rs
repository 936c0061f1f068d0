//! `--close`: the command gets no lock descriptor, and a guardian holds the lock as long as the
//! command's process lives. Prints nothing.

use std::os::fd::AsFd;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::lock::held::Held;
use crate::model::error::Error;
use crate::model::lock::Keeper;
use crate::sys;

/// Starts a guardian over a lock that is not the command's to keep, and has exec take the descriptors of
/// the lock and its mark away from the command.
///
/// Until exec, we hold the lock as well, and from the guardian's first word on it does: there is no
/// moment at which nobody does. If exec fails, our process ends, and so does the guardian.
///
/// # Errors
///
/// [`Error::Guardian`]; nothing is left then.
pub fn start(held: &Held, keeper: Keeper) -> Result<(), Error> {
    if keeper == Keeper::Command {
        return Ok(());
    }
    let file = held.file();
    let mut kept = held.descriptors();
    let started = kept
        .try_for_each(|kept| fcntl_setfd(kept, FdFlags::CLOEXEC))
        .and_then(|()| sys::start_guardian(file.as_fd(), held.mark()));
    started.map_err(|reason| Error::Guardian(file.target(), reason))
}
