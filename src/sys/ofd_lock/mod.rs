//! Record locks on open file descriptions.

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod fcntl;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use fcntl as platform;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use none as platform;

pub use platform::{HAVE_RANGES, RangeLock, try_range, wait_range};
