//! From a [`LockFile`] to [`Held`]: the one decision who may run, in its order. Prints nothing.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::file::{LockFile, MOST_ATTEMPTS};
use super::held::{Attempt, Busy, Held, Remarks};
use super::mark::Mark;
use super::others::{self, Others};
use super::take::{Deadline, Taken, take};
use super::verify::VerifiedName;
use crate::model::error::Error;
use crate::model::lock::{LockApi, LockOptions};
use crate::model::target::LockTarget;
use crate::sys::{self, RangeLock};

/// Takes the lock, or finds it taken.
///
/// Somebody may delete, rename or replace the file between our open and our lock, or while we wait or
/// run, and then the lock is on a file that nobody else will ever open: two could run, each with a lock
/// of its own. So the lock is taken in this order (DESIGN.md, "The name stays locked", has the argument
/// why no two run, and why somebody does):
///
/// 1. lock the file;
/// 2. announce it: put the mark of the name;
/// 3. verify the name: the path must lead to the locked file still, or all begins again;
/// 4. look for others, unless the file is settled: for marks of the name, and for deleted files that
///    other programs hold. Whoever sees one lets go of everything, and looks again;
/// 5. write the record.
///
/// The deadline of a wait stays, however often it begins again.
///
/// # Errors
///
/// [`Error::Lock`] for any answer of the system but "taken"; [`Error::Replaced`] after a hundred
/// replaced files; [`Error::Timer`]; [`Error::Mark`] and [`Error::Look`] where a shortage keeps us from
/// the second or the fourth step; and what opening the file again can bring.
pub fn acquire(mut file: LockFile, options: &LockOptions) -> Result<Attempt, Error> {
    let deadline = Deadline::of(options.wait);
    let mut seen = Vec::new();
    for _ in 0..MOST_ATTEMPTS {
        let target = file.target();
        match try_once(file, options, deadline, &mut seen)? {
            Step::Held(held) => return Ok(Attempt::Held(held)),
            Step::Busy { waited } => {
                return Ok(Attempt::Busy(Busy {
                    target,
                    waited,
                    helper_text: Vec::new(),
                }));
            }
            Step::Again(next) => file = next,
        }
    }
    Err(Error::Replaced(file.target()))
}

/// The end of one try.
#[allow(clippy::large_enum_variant)] // There is one in a process.
enum Step {
    /// The lock is ours, and its name.
    Held(Held),
    /// Somebody else has it.
    Busy {
        /// It was waited for, in vain.
        waited: bool,
    },
    /// All begins again, with this file.
    Again(LockFile),
}

/// The five steps, once. Where it begins again, nothing is held any more.
fn try_once(
    mut file: LockFile,
    options: &LockOptions,
    deadline: Deadline,
    seen: &mut Vec<OwnedFd>,
) -> Result<Step, Error> {
    match take(&mut file, options, deadline)? {
        Taken::ByUs => {}
        Taken::ByOthers => return Ok(Step::Busy { waited: false }),
        Taken::NotInTime => return Ok(Step::Busy { waited: true }),
    }
    // Somebody held it, and has ended. Now for the one that the path leads to.
    if file.is_elsewhere() {
        return file.again().map(Step::Again);
    }
    let target = file.target();
    let LockTarget::File(path) = target else {
        return Ok(Step::Held(Held::new(file, None, Remarks::default())));
    };
    let state = file.state()?;
    let mark = match (options.checks_name, options.api) {
        (true, LockApi::Flock) => Mark::announce(path, &state, options.mode)
            .map_err(|reason| Error::Mark(target, reason))?,
        _ => None,
    };
    let mut verified = VerifiedName::verify(&file, path, &state, options)?;
    if let Some(named) = verified
        .as_ref()
        .filter(|named| options.checks_name && !named.is_settled())
    {
        match others::look(&file, path, mark.as_ref(), named, deadline, seen)? {
            Others::None => verified = VerifiedName::verify(&file, path, &state, options)?,
            Others::File(theirs) => return Ok(Step::Again(theirs)),
            Others::Marked(name, says) => {
                let access = file.access();
                drop((mark, verified, file));
                return match others::wait(target, name, says, deadline)? {
                    true => LockFile::open(target, access).map(Step::Again),
                    false => Ok(Step::Busy {
                        waited: !matches!(deadline, Deadline::Now),
                    }),
                };
            }
        }
    }
    let Some(named) = verified else {
        drop(mark);
        return file.again().map(Step::Again);
    };
    let remarks = Remarks {
        previous: named.living_record(),
        unrecorded: named.write_record().err(),
        ..Remarks::default()
    };
    Ok(Step::Held(Held::new(file, mark, remarks)))
}

/// Drops the lock of a descriptor, which all processes that share it have in common.
///
/// # Errors
///
/// [`Error::Lock`].
pub fn release(file: &LockFile, api: LockApi) -> Result<(), Error> {
    let released = match api {
        LockApi::Flock => retry_on_intr(|| flock(file, FlockOperation::Unlock)),
        LockApi::Fcntl { start, length } => {
            sys::try_range(file.as_fd(), RangeLock::Unlock, start, length)
        }
    };
    released.map_err(|reason| Error::Lock(file.target(), reason))
}
