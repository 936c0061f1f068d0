//! What is known of a process where there is no `/proc`: whether there is one.

use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process, as far as anybody may know it.
pub struct Process {
    /// Its parent: unknown.
    pub parent: u32,
    /// It has ended: unknown, so not said.
    pub has_ended: bool,
    /// It is stopped: unknown, so not said.
    pub is_stopped: bool,
    /// It is the guardian of a lock: unknown, so not said.
    pub is_guardian: bool,
    /// It is a thread of the kernel's own, which has no PID that a command had.
    pub is_kernels: bool,
    /// When it started: unknown.
    pub started: Option<SystemTime>,
}

/// Looks a process up; nothing if there is none. All that kill(2) tells is that there is one.
pub fn process(pid: u32) -> Option<Process> {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let is_there = test_kill_process(known) != Err(Errno::SRCH);
    is_there.then_some(Process {
        parent: 0,
        has_ended: false,
        is_stopped: false,
        is_guardian: false,
        is_kernels: false,
        started: None,
    })
}

/// Whose a process is, and what it is called at home.
#[derive(Default)]
pub struct Identity {
    /// The effective user ID: unknown.
    pub user: Option<u32>,
    /// Its PID in its own PID namespace: there are none here.
    pub inner_pid: Option<u32>,
}

/// Looks up whose a process is: unknown.
pub fn identity(_: u32) -> Identity {
    Identity::default()
}

/// The command line of a process: unknown.
pub fn command_line(_: u32) -> Option<Vec<u8>> {
    None
}

/// Whether a PID that is not there belongs to no process at all: there is one list of them.
pub fn knows_every_pid() -> bool {
    true
}

/// Whether a process certainly has this file open: unknown.
pub fn has_open(_: u32, _: BorrowedFd<'_>) -> bool {
    false
}
