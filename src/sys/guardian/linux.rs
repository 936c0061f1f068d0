//! The guardian of Linux: clone(2) and a pidfd.
//!
//! It is cloned with no exit signal, so that wait(2) sees it only if it is asked for with `__WALL`
//! or `__WCLONE`, which nobody does who has not cloned himself; not in PID 1 and not in a
//! subreaper, which a forked process that lost its parent would be handed to.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_long, c_uint};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::stdio;
use rustix::thread::set_name;

use super::{above_the_streams, exit_now, fail, leave_caller, say_ready, set_streams};
use crate::sys::errno::last_error;
use crate::sys::signal::Mask;

/// How the guardian is called in `/proc/PID/stat`, by which `--status` knows it (at most 15 bytes).
pub const GUARDIAN: &CStr = c"nonoverlap-lock";

/// # Errors
///
/// Of pidfd_open(2) (Linux 5.3), pipe(2), and clone(2). The guardian answers those of
/// close_range(2) (Linux 5.9) and the rest.
pub fn start(lock: BorrowedFd<'_>, mark: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Errno> {
    // Ours before there is a child, so that it cannot be of another process that came to our
    // number.
    let ward = above_the_streams(pidfd_open(getpid(), PidfdFlags::empty())?)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let writer = above_the_streams(writer)?;
    // Nobody can end the guardian while it is not yet out of its caller's process group.
    let _mask = Mask::block_all();
    if clone()? == 0 {
        match prepare(lock, mark, &ward, &writer) {
            Ok(()) => guard(),
            Err(reason) => fail(&writer, reason),
        }
    }
    Ok(reader)
}

/// Leaves the caller's session, directory and descriptors behind, and says that it is done. Where
/// anything fails, `writer` is still there to tell it.
fn prepare(
    lock: BorrowedFd<'_>,
    mark: Option<BorrowedFd<'_>>,
    ward: &OwnedFd,
    writer: &OwnedFd,
) -> Result<(), Errno> {
    leave_caller()?;
    set_name(GUARDIAN)?;
    set_streams(lock, ward, writer)?;
    match mark.and_then(|mark| c_uint::try_from(mark.as_raw_fd()).ok()) {
        Some(mark) => {
            close_range(3, mark - 1)?;
            close_range(mark + 1, c_uint::MAX)?;
        }
        None => close_range(3, c_uint::MAX)?,
    }
    say_ready()?;
    // From here on somebody relies on us, so nothing is an error any more.
    let _ = close_range(2, 2);
    Ok(())
}

/// Waits for the ward's end. A pidfd, which is on 1, can be read when its process has ended
/// (pidfd_open(2)); until then there is nothing to do, whatever poll says.
fn guard() -> ! {
    loop {
        let mut ward = [PollFd::from_borrowed_fd(stdio::stdout(), PollFlags::IN)];
        if poll(&mut ward, None) == Ok(1) {
            exit_now();
        }
    }
}

/// clone(2) as fork, but with no exit signal. Gives 0 in the child.
///
/// All arguments are zero, so it is no matter that their order differs between processors.
fn clone() -> Result<c_long, Errno> {
    const NONE: c_long = 0;
    // SAFETY: with no flags the child is a copy of this process on a copy of its stack, as after
    // fork(2). This process has one thread, so the copy has no lock that another thread held.
    let child = unsafe { libc::syscall(libc::SYS_clone, NONE, NONE, NONE, NONE, NONE) };
    if child < 0 {
        Err(last_error())
    } else {
        Ok(child)
    }
}

/// Closes every descriptor from `first` to `last`.
fn close_range(first: c_uint, last: c_uint) -> Result<(), Errno> {
    const NO_FLAGS: c_uint = 0;
    // SAFETY: nothing in this process uses one of these descriptors after this.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, NO_FLAGS) };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}
