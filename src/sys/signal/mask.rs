//! The signal mask of the process, which has one thread.

use libc::c_int;

use super::platform::{self, Set};

/// The mask that was found, put back on drop.
pub struct Mask(Set);

impl Mask {
    /// Blocks these signals.
    pub fn block(signals: &[c_int]) -> Mask {
        Mask(platform::change(
            libc::SIG_BLOCK,
            &platform::set_of(signals),
        ))
    }

    /// Blocks all signals that can be blocked.
    pub fn block_all() -> Mask {
        Mask(platform::change(libc::SIG_SETMASK, &platform::all()))
    }

    /// Unblocks these signals.
    pub fn unblock(signals: &[c_int]) -> Mask {
        Mask(platform::change(
            libc::SIG_UNBLOCK,
            &platform::set_of(signals),
        ))
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        platform::change(libc::SIG_SETMASK, &self.0);
    }
}

/// Whether a signal is blocked.
pub fn is_blocked(signal: c_int) -> bool {
    let found = platform::change(libc::SIG_BLOCK, &platform::set_of(&[]));
    platform::contains(&found, signal)
}
