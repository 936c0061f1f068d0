//! The process that holds a lock for as long as another process lives: clone(2) and a pidfd.

use std::ffi::CStr;
use std::mem::forget;
use std::os::fd::{BorrowedFd, OwnedFd};

use libc::c_long;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{self, Errno};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, chdir, getpid, pidfd_open, setsid};
use rustix::stdio;
use rustix::thread::set_name;

use super::exit_now;
use crate::sys::errno::last_error;
use crate::sys::signal::Mask;

/// How the guardian is called in `/proc/PID/stat`, by which `--status` knows it (at most 15 bytes).
pub const GUARDIAN: &CStr = c"nonoverlap-lock";

/// Starts a guardian: a process that has this lock's descriptor and none but that, and ends when
/// the kernel says that our process, whatever it has become by then, has ended. Returns when the
/// guardian watches.
///
/// It is cloned with no exit signal, so that wait(2) sees it only if it is asked for with `__WALL`
/// or `__WCLONE`, which nobody does who has not cloned himself; not in PID 1 and not in a
/// subreaper, which a forked process that lost its parent would be handed to. It has its own
/// session, `/` as its directory, and blocks every signal that can be blocked.
///
/// # Errors
///
/// Of pidfd_open(2) (Linux 5.3), pipe(2), clone(2), close_range(2) (Linux 5.9) and the rest; no
/// guardian is left then.
pub fn start_guardian(lock: BorrowedFd<'_>) -> Result<(), Errno> {
    // Ours before there is a child, so that it cannot be of another process that came to our
    // number.
    let ward = above_the_streams(pidfd_open(getpid(), PidfdFlags::empty())?)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let writer = above_the_streams(writer)?;
    // Nobody can end the guardian while it is not yet out of its caller's process group.
    let mask = Mask::block_all();
    if clone()? == 0 {
        let result = stand_guard(lock, &ward, &writer);
        // Only an error comes back. It is told, and the guardian ends.
        let _ = io::write(&writer, &result.raw_os_error().to_ne_bytes());
        exit_now();
    }
    drop(mask);
    drop(writer);
    let mut answer = [0; size_of::<i32>()];
    match io::retry_on_intr(|| io::read(&reader, &mut answer))? {
        WORD if answer == READY => Ok(()),
        WORD => Err(Errno::from_raw_os_error(i32::from_ne_bytes(answer))),
        // It ended without a word.
        _ => Err(Errno::CHILD),
    }
}

/// A word from the guardian: the number of an error, or none.
const WORD: usize = size_of::<i32>();
const READY: [u8; WORD] = [0; WORD];

/// In the guardian. Returns only an error, and before anybody relies on it.
fn stand_guard(lock: BorrowedFd<'_>, ward: &OwnedFd, writer: &OwnedFd) -> Errno {
    if let Err(reason) = prepare(lock, ward, writer) {
        return reason;
    }
    // The descriptors are 0, the lock, and 1, the ward. A pidfd can be read when its process has
    // ended (pidfd_open(2)); until then there is nothing to do, whatever poll says.
    loop {
        let mut ward = [PollFd::from_borrowed_fd(stdio::stdout(), PollFlags::IN)];
        if poll(&mut ward, None) == Ok(1) {
            exit_now();
        }
    }
}

/// Leaves the caller's session, directory and descriptors behind, and says that it is done. Where
/// anything fails, `writer` is still there to tell it.
fn prepare(lock: BorrowedFd<'_>, ward: &OwnedFd, writer: &OwnedFd) -> Result<(), Errno> {
    setsid()?;
    chdir(c"/")?;
    set_name(GUARDIAN)?;
    // A descriptor of the caller's may lie on 0, 1 or 2.
    let lock = io::fcntl_dupfd_cloexec(lock, 10)?;
    stdio::dup2_stdin(&lock)?;
    stdio::dup2_stdout(ward)?;
    stdio::dup2_stderr(writer)?;
    close_from(3)?;
    forget(lock);
    io::write(stdio::stderr(), &READY)?;
    // From here on somebody relies on us, so nothing is an error any more.
    let _ = close_from(2);
    Ok(())
}

/// Moves a descriptor to where the guardian puts nothing in its place: if 0, 1 or 2 was closed, it
/// lies there.
fn above_the_streams(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    io::fcntl_dupfd_cloexec(descriptor, 10)
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

/// Closes every descriptor from `first` up.
fn close_from(first: libc::c_uint) -> Result<(), Errno> {
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: nothing in this process uses a descriptor from `first` up after this.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, NO_FLAGS) };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}
