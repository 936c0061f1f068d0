//! The process that holds a lock for as long as another process lives: its ward, which is this
//! process, and later the command that it becomes. It only waits. What else a guardian is to do belongs
//! into `run/guardian.rs`, as a function that this is given.
//!
//! A platform's file offers `start(lock, mark)`: it starts the guardian, and returns the end of a pipe
//! from which [`start_guardian`] reads the guardian's answer. The guardian then has three
//! descriptors, set by [`set_streams`]: the lock on 0, what tells of the ward's end on 1, and the
//! pipe on 2; and the mark where it was. It answers by [`say_ready`] or by [`fail`], and ends by [`exit_now`].

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod kqueue;
#[cfg(not(target_os = "linux"))]
use kqueue as platform;

use std::mem::forget;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{self, Errno};
use rustix::process::{chdir, setsid};
use rustix::stdio;

#[cfg(target_os = "linux")]
pub use platform::GUARDIAN;

/// Starts a guardian: a process that has this lock's descriptor and its mark's, and ends when
/// the kernel says that our process, whatever it has become by then, has ended. Returns when the
/// guardian watches.
///
/// It has its own session, `/` as its directory, and blocks every signal that can be blocked. No
/// wait(2) of the command sees it, as far as the platform's file says.
///
/// # Errors
///
/// Of the calls by which it is made and prepared; no guardian is left then. ECHILD where it ended
/// without an answer.
pub fn start_guardian(lock: BorrowedFd<'_>, mark: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let reader = platform::start(lock, mark)?;
    let mut answer = [0; WORD];
    match io::retry_on_intr(|| io::read(&reader, &mut answer))? {
        WORD if answer == READY => Ok(()),
        WORD => Err(Errno::from_raw_os_error(i32::from_ne_bytes(answer))),
        _ => Err(Errno::CHILD),
    }
}

/// The length of the guardian's answer: the number of an error, or [`READY`].
const WORD: usize = size_of::<i32>();
/// The word of a guardian that watches.
const READY: [u8; WORD] = [0; WORD];

/// In the guardian: answers that it watches.
fn say_ready() -> Result<(), Errno> {
    io::write(stdio::stderr(), &READY).map(|_| ())
}

/// In the guardian, or on the way to it: answers why it does not watch, and ends.
fn fail(writer: &OwnedFd, reason: Errno) -> ! {
    // Where this fails, the reader finds the pipe's end in place of an answer.
    let _ = io::write(writer, &reason.raw_os_error().to_ne_bytes());
    exit_now()
}

/// In the guardian: leaves the caller's session and directory.
fn leave_caller() -> Result<(), Errno> {
    setsid()?;
    chdir(c"/")
}

/// In the guardian: puts these on 0, 1 and 2, whatever of the caller's lies there. The other
/// numbers are left to the platform, which closes them all.
fn set_streams(lock: BorrowedFd<'_>, watched: impl AsFd, writer: &OwnedFd) -> Result<(), Errno> {
    let lock = above_the_streams(lock)?;
    stdio::dup2_stdin(&lock)?;
    stdio::dup2_stdout(watched)?;
    stdio::dup2_stderr(writer)?;
    forget(lock);
    Ok(())
}

/// Duplicates a descriptor to where the guardian puts nothing in its place: if 0, 1 or 2 was
/// closed, it may lie there.
fn above_the_streams(descriptor: impl AsFd) -> Result<OwnedFd, Errno> {
    io::fcntl_dupfd_cloexec(descriptor, 10)
}

/// Ends this process at once, with nothing flushed and nobody told.
fn exit_now() -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(0) }
}
