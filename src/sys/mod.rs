//! The system calls that need `unsafe`, and the one place where platforms differ. There is no
//! policy here.
//!
//! Everything else goes through `rustix`, which is safe. What is here is here because `rustix` has
//! no safe call for it.
#![allow(unsafe_code)]

mod arena;
mod entry;
mod unix;

pub use entry::Words;
pub use unix::{execute, move_up, unsignalled};

#[cfg(not(any(
    target_os = "linux",
    target_os = "macos",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
compile_error!(
    "nonoverlap needs flock(2) with its locks on open file descriptions: see src/sys/ for what a platform must offer"
);
