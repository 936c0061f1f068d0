//! A set of signals, as the C library keeps it (sigsetops(3)).

use std::mem::MaybeUninit;

use libc::{c_int, sigset_t};

use crate::sys::errno::cannot_fail;

/// The set of these signals.
pub fn set_of(signals: &[c_int]) -> sigset_t {
    let mut set = MaybeUninit::<sigset_t>::zeroed();
    // SAFETY: sigemptyset(3) fills the set that the pointer names.
    cannot_fail(unsafe { libc::sigemptyset(set.as_mut_ptr()) });
    for &signal in signals {
        // SAFETY: a set that was filled, and a signal number that the C library itself names.
        cannot_fail(unsafe { libc::sigaddset(set.as_mut_ptr(), signal) });
    }
    // SAFETY: zeroed at first, and a set is integers.
    unsafe { set.assume_init() }
}

/// Whether a signal is in the set.
pub fn contains(set: &sigset_t, signal: c_int) -> bool {
    // SAFETY: a valid set, and a signal number that the C library itself names.
    unsafe { libc::sigismember(set, signal) == 1 }
}
