//! The guardian of macOS and the BSDs: two forks and a kqueue.
//!
//! It is forked twice: its parent ends at once and is waited for here, so that init has it and no
//! wait(2) of the command sees it. (Where the command is init, or has made itself its descendants'
//! reaper, as FreeBSD's procctl(2) can, it does.)
//!
//! A platform's file offers `close_all_but(kept)`, which closes every descriptor from 3 up that is open
//! but these, also those beyond a limit that was lowered since.

#[cfg(target_os = "macos")]
mod open_macos;
#[cfg(target_os = "macos")]
use open_macos as open;

#[cfg(not(target_os = "macos"))]
mod open_bsd;
#[cfg(not(target_os = "macos"))]
use open_bsd as open;

mod ward;

use std::mem::forget;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::kqueue::kqueue;
use rustix::io::{self, Errno};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::stdio;

use super::{Duty, above_the_streams, exit_now, fail, leave_caller, say_ready};
use crate::sys::errno::check;
use crate::sys::ourselves::own_pid;
use crate::sys::signal::{Mask, consume, is_pending};

pub use ward::{Ward, has_ended};

/// On macOS and OpenBSD it counts the time in which the machine sleeps. FreeBSD has no clock that does
/// (<https://reviews.freebsd.org/D39270>).
pub const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// # Errors
///
/// Of fork(2). The guardian answers those of kevent(2) and the rest.
pub fn start(line: OwnedFd, duty: impl Duty) -> Result<(), Errno> {
    let ourselves = own_pid()?;
    let sigchld_before = is_pending(libc::SIGCHLD);
    // Nobody can end the guardian while it is not yet out of its caller's process group.
    let _mask = Mask::block_all();
    let Some(child) = fork()? else {
        match fork() {
            Ok(None) => {}
            Ok(Some(_)) => exit_now(),
            Err(reason) => fail(&line, reason),
        }
        match prepare(&line, ourselves, &duty) {
            Ok(ward) => {
                if say_ready() == Ok(true) {
                    let _ = stdio::dup2_stderr(stdio::stdin());
                    duty.carry_out(ward);
                }
                exit_now()
            }
            Err(reason) => fail(&line, reason),
        }
    };
    // ECHILD where SIGCHLD is ignored: then it is gone, too.
    let _ = io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    if !sigchld_before && is_pending(libc::SIGCHLD) {
        consume(libc::SIGCHLD);
    }
    Ok(())
}

/// Leaves the caller's descriptors, session and directory behind, and watches. Where anything fails,
/// `line` is still there to tell it.
fn prepare(line: &OwnedFd, ourselves: Pid, duty: &impl Duty) -> Result<Ward, Errno> {
    leave_caller()?;
    // Not on a number that is to be another's in the guardian.
    let queue = above_the_streams(kqueue()?)?;
    let ward = Ward::watch(ourselves, duty.connection(), &queue)?;
    stdio::dup2_stdin(&queue)?;
    stdio::dup2_stdout(&queue)?;
    stdio::dup2_stderr(line)?;
    let mut kept = duty.descriptors();
    kept.extend(duty.connection());
    let kept: Vec<_> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    open::close_all_but(&kept)?;
    forget(queue);
    Ok(ward)
}

/// fork(2). Nothing in the child.
fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: this process has one thread, so the child's copy has no lock that another thread
    // held.
    check(unsafe { libc::fork() }).map(Pid::from_raw)
}
