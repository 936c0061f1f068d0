//! The signal mask, by the system call itself.
//!
//! The C library keeps two or three real-time signals to itself (32 to 34 on musl, 32 and 33 on
//! glibc), hides them in every mask that it shows, and lets them through when a first handler is
//! set (musl's sigaction). Another C library's program may well have blocked one of them, and the
//! command is to find it blocked.

use libc::{c_int, c_long, c_ulong};

/// How the kernel keeps a set of 64 signals: a bit each, from 1 up.
type Set = [c_ulong; 64 / c_ulong::BITS as usize];

/// The mask that was found, put back on drop.
pub struct Mask(Set);

impl Mask {
    /// Holds these signals back.
    pub fn block(signals: &[c_int]) -> Mask {
        Mask(change(libc::SIG_BLOCK, &set_of(signals)))
    }

    /// Holds back all signals that can be.
    pub fn block_all() -> Mask {
        Mask(change(
            libc::SIG_SETMASK,
            &[c_ulong::MAX; 64 / c_ulong::BITS as usize],
        ))
    }

    /// Lets these signals through.
    pub fn unblock(signals: &[c_int]) -> Mask {
        Mask(change(libc::SIG_UNBLOCK, &set_of(signals)))
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        change(libc::SIG_SETMASK, &self.0);
    }
}

/// Whether a signal is held back.
pub fn is_blocked(signal: c_int) -> bool {
    let mask = change(libc::SIG_BLOCK, &set_of(&[]));
    mask.iter()
        .zip(set_of(&[signal]))
        .any(|(held, word)| held & word != 0)
}

/// Changes the mask, and gives the one that was.
fn change(how: c_int, set: &Set) -> Set {
    let mut before = set_of(&[]);
    let number: c_long = libc::SYS_rt_sigprocmask;
    // SAFETY: both sets have the size that is given, and the mask that was is written to `before`.
    unsafe {
        libc::syscall(
            number,
            how,
            set.as_ptr(),
            before.as_mut_ptr(),
            size_of::<Set>(),
        )
    };
    before
}

fn set_of(signals: &[c_int]) -> Set {
    let mut set = Set::default();
    for &signal in signals {
        let bit = signal.unsigned_abs().saturating_sub(1);
        if let Some(word) = set.get_mut((bit / c_ulong::BITS) as usize) {
            *word |= 1 << (bit % c_ulong::BITS);
        }
    }
    set
}
