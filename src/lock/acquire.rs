//! From a [`LockFile`] to [`Held`]: the one decision who may run, in its order. Prints nothing.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::file::{LockFile, MOST_ATTEMPTS};
use super::held::{Attempt, Busy, Held, Remarks};
use super::kin::{self, Kin};
use super::mark::Mark;
use super::others::{self, Others};
use super::take::{self, Deadline};
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
/// The deadline of a wait stays, however often it begins again. A lock that is taken by ourselves is not
/// waited for; `before_waiting` hears of one that an ancestor seems to have.
///
/// # Errors
///
/// [`Error::Lock`] for any answer of the system but "taken"; [`Error::Replaced`] after a hundred
/// replaced files; [`Error::Timer`]; [`Error::Mark`] and [`Error::Look`] where a shortage keeps us from
/// the second or the fourth step; and what opening the file again can bring.
pub fn acquire(
    mut file: LockFile,
    options: &LockOptions,
    before_waiting: &dyn Fn(LockTarget, Kin),
) -> Result<Attempt, Error> {
    let mut tries = Tries {
        options,
        deadline: Deadline::of(options.wait),
        seen: Vec::new(),
        before_waiting: Some(before_waiting),
    };
    for _ in 0..MOST_ATTEMPTS {
        match tries.try_once(file)? {
            Step::Held(held) => return Ok(Attempt::Held(held)),
            Step::Busy(busy) => return Ok(Attempt::Busy(busy)),
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
    Busy(Busy),
    /// All begins again, with this file.
    Again(LockFile),
}

/// What stays from one try to the next.
struct Tries<'a> {
    /// How to lock.
    options: &'a LockOptions,
    /// Until when.
    deadline: Deadline,
    /// Files under this name that were waited for.
    seen: Vec<OwnedFd>,
    /// Hears once, before a wait, if it is for kin.
    before_waiting: Option<&'a dyn Fn(LockTarget, Kin)>,
}

impl Tries<'_> {
    /// The five steps, once. Where it begins again, nothing is held any more.
    fn try_once(&mut self, mut file: LockFile) -> Result<Step, Error> {
        if let Some(busy) = self.lock(&mut file)? {
            return Ok(Step::Busy(busy));
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
        let mark = match (self.options.checks_name, self.options.api) {
            (true, LockApi::Flock) => Mark::announce(path, &state, self.options.mode)
                .map_err(|reason| Error::Mark(target, reason))?,
            _ => None,
        };
        let mut verified = VerifiedName::verify(&file, path, &state, self.options)?;
        if let Some(named) = verified
            .as_ref()
            .filter(|named| self.options.checks_name && !named.is_settled())
        {
            match others::look(
                &file,
                path,
                mark.as_ref(),
                named,
                self.deadline,
                &mut self.seen,
            )? {
                Others::None => verified = VerifiedName::verify(&file, path, &state, self.options)?,
                Others::File(theirs) => return Ok(Step::Again(theirs)),
                Others::Marked(name, says) => {
                    let access = file.access();
                    drop((mark, verified, file));
                    // A mark of our own would be waited for for ever.
                    if let Some(kin) = kin::of_mark(name, says) {
                        return Ok(Step::Busy(busy(target, false, Some(kin))));
                    }
                    return match others::wait(target, name, says, self.deadline)? {
                        true => LockFile::open(target, access).map(Step::Again),
                        false => {
                            let waited = !matches!(self.deadline, Deadline::Now);
                            Ok(Step::Busy(busy(target, waited, None)))
                        }
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

    /// The first step: locks the file. Nothing where that is done.
    ///
    /// Where it is taken, it may be by ourselves, which no waiting would change.
    fn lock(&mut self, file: &mut LockFile) -> Result<Option<Busy>, Error> {
        if take::try_now(file, self.options)? {
            return Ok(None);
        }
        let kin = kin::of(file, self.options, self.deadline);
        let waits = match (self.deadline, kin) {
            (Deadline::Now, _) | (_, Some(Kin::Ourselves(_) | Kin::Guardian)) => false,
            (Deadline::At(_) | Deadline::Never, kin) => {
                self.tell(file.target(), kin);
                if take::wait(file, self.options, self.deadline)? {
                    return Ok(None);
                }
                true
            }
        };
        Ok(Some(busy(file.target(), waits, kin)))
    }

    /// Tells, once, for whom it waits.
    fn tell(&mut self, target: LockTarget, kin: Option<Kin>) {
        if let (Some(kin), Some(tell)) = (kin, self.before_waiting.take_if(|_| kin.is_some())) {
            tell(target, kin);
        }
    }
}

/// A lock that somebody else has.
fn busy(target: LockTarget, waited: bool, kin: Option<Kin>) -> Busy {
    Busy {
        target,
        waited,
        kin,
        helper_text: Vec::new(),
        since: None,
    }
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
