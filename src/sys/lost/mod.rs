//! The signal that tells a process that a connection has ended.
//!
//! A platform's file offers `TELLS_OF_LOSS` and `signal_at_end`.

#[cfg(target_os = "linux")]
mod sigio;
#[cfg(target_os = "linux")]
use sigio as platform;

#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(not(target_os = "linux"))]
use none as platform;

use std::os::fd::BorrowedFd;

use libc::c_int;
use rustix::io::Errno;

/// Whether the kernel sends a signal of one's choice. Where it does not, a command line that asks
/// for it is refused, and `signal_at_end` does nothing.
pub const TELLS_OF_LOSS: bool = platform::TELLS_OF_LOSS;

/// Has the kernel send a signal to this process, also when it has become another program, as soon
/// as this socket has something to read or has ended. For what is there already, none is sent.
///
/// The kernel keeps the process itself and not its number: a later process with that number is sent
/// nothing. And it keeps who asked: a process that became another user's is not sent the signal,
/// unless root asked (kill(2), "permission").
///
/// # Errors
///
/// As fcntl(2).
pub fn signal_at_end(connection: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    platform::signal_at_end(connection, signal)
}
