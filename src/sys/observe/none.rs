//! What is known of a process where there is no `/proc`: whether there is one.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{Identity, Process};

/// All that kill(2) tells is that there is one.
pub fn process(pid: u32) -> Option<Process> {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let is_there = test_kill_process(known) != Err(Errno::SRCH);
    is_there.then(Process::default)
}

/// Unknown.
pub fn identity(_: u32) -> Identity {
    Identity::default()
}

/// Unknown.
pub fn command_line(_: u32) -> Option<Vec<u8>> {
    None
}

/// It is what getpid(2) says.
pub fn pid_in_proc() -> u32 {
    std::process::id()
}

/// There is one list of them.
pub fn knows_every_pid() -> bool {
    true
}

/// Unknown.
pub fn lockers(_: BorrowedFd<'_>) -> Vec<u32> {
    Vec::new()
}
