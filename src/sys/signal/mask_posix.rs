//! The signal mask, by sigprocmask(2).

use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, sigset_t};

use crate::sys::signal::set_of;

/// The mask that was found, put back on drop.
pub struct Mask(sigset_t);

impl Mask {
    /// Holds these signals back.
    pub fn block(signals: &[c_int]) -> Mask {
        Mask::change(libc::SIG_BLOCK, &set_of(signals))
    }

    /// Holds back all signals that can be.
    pub fn block_all() -> Mask {
        let mut all = set_of(&[]);
        // SAFETY: sigfillset(3) writes to the set that the pointer names.
        unsafe { libc::sigfillset(&mut all) };
        Mask::change(libc::SIG_SETMASK, &all)
    }

    /// Lets these signals through.
    pub fn unblock(signals: &[c_int]) -> Mask {
        Mask::change(libc::SIG_UNBLOCK, &set_of(signals))
    }

    fn change(how: c_int, signals: &sigset_t) -> Mask {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: a valid set, and the mask that was is written to `before`.
        unsafe { libc::sigprocmask(how, signals, before.as_mut_ptr()) };
        // SAFETY: written by the call, which cannot fail with a valid `how`; a set is integers.
        Mask(unsafe { before.assume_init() })
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: a mask that sigprocmask(2) itself has given; a null pointer asks for no old one.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

/// Whether a signal is held back.
pub fn is_blocked(signal: c_int) -> bool {
    let mask = Mask::block(&[]);
    // SAFETY: a mask that sigprocmask(2) has given, and a signal number of the C library's.
    unsafe { libc::sigismember(&mask.0, signal) == 1 }
}
