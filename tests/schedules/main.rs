//! Every order of the system calls of real runs, one of each class of orders that cannot be told apart:
//! never do two get in, whatever somebody does to the name of the lock file meanwhile.
//!
//! Two or three runs of the real binary stand under ptrace(2), exactly one makes its next call that
//! matters to a lock file, and all orders are explored (`linux/explore.rs`). Somebody who deletes,
//! renames or kills is one more program in it. What must hold is in `linux/check.rs`; what fails is
//! printed with the shortest order that shows it.
//!
//! `cargo test` runs a quick set. By hand, behind `cargo test --test schedules --`:
//!
//!     --long                            all scenarios, an hour or so
//!     --long --seconds 5 b- c-guard     those whose names begin so, at most 5 s each
//!     --peer 'flock -n -F'              another program that locks: what it does is told, and no failure
//!     --binary PATH                     another nonoverlap
//!     --markdown                        a table; with --peer, all of them side by side
//!     --show                            the shortest order of whatever was found
//!     --list                            the names of the scenarios

#![allow(
    clippy::exit,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    clippy::too_many_lines,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unreachable,
    clippy::unwrap_used
)]

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "linux/mod.rs"]
mod platform;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "elsewhere.rs"]
mod platform;

fn main() -> ExitCode {
    platform::run()
}

/// Says loudly that something was not tried, and why. In CI (`CI` is set) nothing may be left out, so
/// there it fails, and this says so.
fn left_out(what: &str, why: &str) -> bool {
    eprintln!("LEFT OUT: {what}: {why}");
    std::env::var_os("CI").is_some()
}

/// The same of all of it.
fn all_left_out(why: &str) -> ExitCode {
    ExitCode::from(u8::from(left_out("every order of system calls", why)))
}
