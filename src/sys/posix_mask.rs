//! The signal mask, by sigprocmask(2).

use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, sigset_t};

use super::signals::set_of;

/// The mask that was found, put back on drop.
pub struct Mask(sigset_t);

impl Mask {
    /// Holds these signals back.
    pub fn block(signals: &[c_int]) -> Mask {
        Mask::change(libc::SIG_BLOCK, signals)
    }

    /// Lets these signals through.
    pub fn unblock(signals: &[c_int]) -> Mask {
        Mask::change(libc::SIG_UNBLOCK, signals)
    }

    fn change(how: c_int, signals: &[c_int]) -> Mask {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: a valid set, and the mask that was is written to `before`.
        unsafe { libc::sigprocmask(how, &set_of(signals), before.as_mut_ptr()) };
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
