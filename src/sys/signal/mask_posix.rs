//! The signal mask, by sigprocmask(2).

use std::mem::MaybeUninit;

use libc::{c_int, sigset_t};

use super::set;
use crate::sys::errno::cannot_fail;

pub use super::set::{contains, set_of};

/// A set of signals, as the C library keeps it.
pub type Set = sigset_t;

/// Changes the mask, and gives the one that was.
pub fn change(how: c_int, set: &Set) -> Set {
    let mut before = MaybeUninit::zeroed();
    // SAFETY: a valid set, and the mask that was is written to `before`.
    cannot_fail(unsafe { libc::sigprocmask(how, set, before.as_mut_ptr()) });
    // SAFETY: zeroed at first, and a set is integers.
    unsafe { before.assume_init() }
}

/// The set of all signals.
pub fn all() -> Set {
    let mut all = set::set_of(&[]);
    // SAFETY: sigfillset(3) writes to the set that the pointer names.
    cannot_fail(unsafe { libc::sigfillset(&mut all) });
    all
}
