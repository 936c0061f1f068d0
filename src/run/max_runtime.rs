//! `--max-runtime`: the kernel sends SIGALRM to the command's process, with nobody waiting.
//!
//! An interval timer survives exec (execve(2), setitimer(2)), and the default disposition of
//! SIGALRM ends the process. So nothing has to stay behind to watch.

use std::time::Duration;

use crate::model::error::Error;
use crate::sys;

/// A run-time limit that will take effect: SIGALRM is neither ignored nor blocked.
pub struct RuntimeLimit(Duration);

impl RuntimeLimit {
    /// Looks whether SIGALRM can reach the command, before anything is done.
    ///
    /// # Errors
    ///
    /// [`Error::MaxRuntime`] where it is ignored or blocked, which the command would inherit.
    pub fn new(time: Duration) -> Result<RuntimeLimit, Error> {
        match sys::sigalrm_state() {
            sys::SigalrmState::Ignored => Err(Error::MaxRuntime("SIGALRM is ignored here")),
            sys::SigalrmState::Blocked => Err(Error::MaxRuntime("SIGALRM is blocked here")),
            sys::SigalrmState::Delivered => Ok(RuntimeLimit(time)),
        }
    }

    /// Sets it going. A timer of the caller's that fires earlier is left.
    ///
    /// # Errors
    ///
    /// [`Error::MaxRuntime`].
    pub fn start(&self) -> Result<(), Error> {
        sys::arm_itimer(self.0).map_err(|_| Error::MaxRuntime("the timer cannot be set"))
    }
}
