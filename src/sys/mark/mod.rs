//! A lock that excludes nobody and that everybody sees: the mark of a run (`lock/mark.rs` tells what it
//! is for).
//!
//! It is a read lock of an open file description (fcntl(2), F_OFD_SETLK) on an anonymous file of its
//! own. Nobody else has that file open, so no command meets it. It has no PID, so `/proc/locks` shows
//! it to everybody, in every PID namespace; it goes when the last process has closed its descriptor.
//!
//! A platform's file offers `HAVE_MARKS` and `announce`.

#[cfg(target_os = "linux")]
mod memfd;
#[cfg(not(target_os = "linux"))]
mod none;

#[cfg(target_os = "linux")]
use memfd as platform;
#[cfg(not(target_os = "linux"))]
use none as platform;

pub use platform::{HAVE_MARKS, announce};
