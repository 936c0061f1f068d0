//! The signal mask, by the system call itself.
//!
//! The C library keeps two or three real-time signals to itself (32 to 34 on musl, 32 and 33 on
//! glibc), hides them in every mask that it shows, and lets them through when a first handler is
//! set (musl's sigaction). Another C library's program may well have blocked one of them, and the
//! command is to find it blocked.

use libc::{c_int, c_long, c_ulong};

use crate::sys::errno::cannot_fail;

/// How the kernel keeps a set of 64 signals: a bit each, from 1 up.
pub type Set = [c_ulong; WORDS];

/// How many words 64 bits are.
const WORDS: usize = 64 / c_ulong::BITS as usize;

/// Changes the mask, and gives the one that was.
pub fn change(how: c_int, set: &Set) -> Set {
    let mut before = Set::default();
    let number: c_long = libc::SYS_rt_sigprocmask;
    // SAFETY: both sets have the size that is given, and the mask that was is written to `before`.
    let result = unsafe {
        libc::syscall(
            number,
            how,
            set.as_ptr(),
            before.as_mut_ptr(),
            size_of::<Set>(),
        )
    };
    cannot_fail(result as c_int);
    before
}

/// The set of these signals.
pub fn set_of(signals: &[c_int]) -> Set {
    let mut set = Set::default();
    for &signal in signals {
        let bit = signal.unsigned_abs().saturating_sub(1);
        if let Some(word) = set.get_mut((bit / c_ulong::BITS) as usize) {
            *word |= 1 << (bit % c_ulong::BITS);
        }
    }
    set
}

/// The set of all signals.
pub fn all() -> Set {
    [c_ulong::MAX; WORDS]
}

/// Whether a signal is in a set.
pub fn contains(set: &Set, signal: c_int) -> bool {
    let one = set_of(&[signal]);
    set.iter().zip(one).any(|(word, bit)| word & bit != 0)
}
