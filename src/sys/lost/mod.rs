//! The signal that tells of a connection's end.

#[cfg(target_os = "linux")]
mod sigio;
#[cfg(target_os = "linux")]
use sigio as platform;

#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(not(target_os = "linux"))]
use none as platform;

pub use platform::{TELLS_OF_LOSS, signal_at_end};
