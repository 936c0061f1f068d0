//! A timer of our own that ends a wait, and what becomes of the caller's at exec.
//!
//! A platform's file offers `Timer` with `arm` and `interrupted`, which are those of [`WaitTimer`]; another
//! offers `keep_over_exec`, after which exec leaves the caller's timer as it is.

#[cfg(target_os = "linux")]
mod posix_timer;
#[cfg(target_os = "linux")]
use posix_timer as platform;

#[cfg(not(target_os = "linux"))]
mod interval;
#[cfg(not(target_os = "linux"))]
mod itimer;
#[cfg(not(target_os = "linux"))]
use interval as platform;

#[cfg(target_os = "macos")]
mod over_exec_macos;
#[cfg(target_os = "macos")]
use over_exec_macos as over_exec;

#[cfg(not(target_os = "macos"))]
mod over_exec_other;
#[cfg(not(target_os = "macos"))]
use over_exec_other as over_exec;

use std::time::Duration;

use rustix::io::Errno;

pub use over_exec::keep_over_exec;

/// How long after a signal the next one comes. One may come between the caller's look at the clock
/// and the call that it is to interrupt, and is lost.
const REPEAT: Duration = Duration::from_millis(10);

/// A timer whose signal interrupts a blocked system call. Dropping it puts back all that was found:
/// disposition, mask, signals that were pending, and the caller's own timer.
pub struct WaitTimer(platform::Timer);

impl WaitTimer {
    /// The timer fires after this time, and then every ten milliseconds.
    ///
    /// # Errors
    ///
    /// As timer_create(2), such as EAGAIN where RLIMIT_SIGPENDING is exhausted, or as setitimer(2).
    pub fn arm(after: Duration) -> Result<WaitTimer, Errno> {
        platform::Timer::arm(after).map(WaitTimer)
    }

    /// To be called when a system call was interrupted. A signal that is not our timer's then does
    /// what it would have done without us.
    pub fn interrupted(&mut self) {
        self.0.interrupted();
    }
}
