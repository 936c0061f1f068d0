//! What the files of the platforms tell, in the same words on each. What a platform cannot tell is
//! said as unknown.

use std::time::SystemTime;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::{process as processes, snapshot as locks};

#[cfg(not(target_os = "linux"))]
mod f_getlk;
#[cfg(not(target_os = "linux"))]
use f_getlk as locks;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as processes;

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "freebsd")]
use freebsd as processes;

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
use none as processes;

#[cfg(any(target_os = "macos", target_os = "freebsd"))]
mod sysctl;

pub use locks::{INSPECT_FLAGS, Snapshot, path_of};
pub use processes::{command_line, identity, knows_every_pid, process};

/// What is to be seen of the locks on one file.
pub struct FileLocks {
    /// Whether there is a lock, whoever has it.
    pub state: State,
    /// Processes that certainly have it.
    pub holders: Vec<u32>,
    /// Processes that the kernel says took a lock, and that may not or cannot be looked into; they
    /// need not have it any more.
    pub takers: Vec<u32>,
    /// How many wait, where that can be known.
    pub waiters: Option<usize>,
}

/// Whether a file is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Locked,
    /// It is not.
    Free,
    /// That cannot be told, for this reason.
    Unknown(&'static str),
}

/// A process, as far as anybody may know it. Where a system does not tell, nothing is said.
#[derive(Default)]
pub struct Process {
    /// Its parent; 0 where that is unknown.
    pub parent: u32,
    /// It has ended, or is about to: its descriptors are closed before it can be waited for.
    pub has_ended: bool,
    /// It is stopped, by a signal or a debugger.
    pub is_stopped: bool,
    /// The command whose lock it holds, if it is a guardian and the command lives.
    pub ward: Option<u32>,
    /// It is the kernel's own, and so no command of anybody's.
    pub is_kernels: bool,
    /// When it started, to within a hundredth of a second.
    pub started: Option<SystemTime>,
}

/// Whose a process is, and what it is called at home.
#[derive(Default)]
pub struct Identity {
    /// The effective user ID.
    pub user: Option<u32>,
    /// Its PID in its own PID namespace, if that is not ours.
    pub inner_pid: Option<u32>,
}
