//! Timers.

mod itimer;

// The one rustflag of this project: it runs the other systems' timer on Linux, where it can be tested.
#[cfg(any(not(target_os = "linux"), nonoverlap_interval_bell))]
mod interval;
#[cfg(any(not(target_os = "linux"), nonoverlap_interval_bell))]
use interval as platform;

#[cfg(all(target_os = "linux", not(nonoverlap_interval_bell)))]
mod posix_timer;
#[cfg(all(target_os = "linux", not(nonoverlap_interval_bell)))]
use posix_timer as platform;

pub use itimer::{AlarmState, alarm_state, ring_alarm};
pub use platform::WaitTimer;
