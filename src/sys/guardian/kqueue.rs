//! The guardian of macOS and the BSDs: two forks and a kqueue. Only type-checked and linked for
//! macOS, never run.
//!
//! It is forked twice: its parent ends at once and is waited for here, so that init has it and no
//! wait(2) of the command sees it. (Where the command is init, or has made itself its descendants'
//! reaper, as FreeBSD's procctl(2) can, it does.)
//!
//! NOTE_EXIT may be asked for of any process, not only of a child (kqueue(2)), and a process that
//! is gone already is ESRCH. It comes when no instruction of the process is executed any more and
//! its descriptors are closed: on FreeBSD before the parent is told (exit1 in
//! sys/kern/kern_exit.c), on macOS even before the process can be waited for (proc_exit in
//! bsd/kern/kern_exit.c).

use std::mem::{MaybeUninit, forget};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::{self, Errno};
use rustix::pipe::pipe;
use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use rustix::stdio;

use super::{above_the_streams, exit_now, fail, leave_caller, say_ready, set_streams};
use crate::sys::errno::check;
use crate::sys::signal::{Mask, consume, is_pending};

/// # Errors
///
/// Of pipe(2) and fork(2). The guardian answers those of kevent(2) and the rest.
pub fn start(lock: BorrowedFd<'_>, _mark: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Errno> {
    let ward = getpid();
    let (reader, writer) = pipe()?;
    let writer = above_the_streams(writer)?;
    io::fcntl_setfd(&reader, io::FdFlags::CLOEXEC)?;
    let sigchld_before = is_pending(libc::SIGCHLD);
    // Nobody can end the guardian while it is not yet out of its caller's process group.
    let _mask = Mask::block_all();
    let Some(child) = fork()? else {
        match fork() {
            Ok(None) => {}
            Ok(Some(_)) => exit_now(),
            Err(reason) => fail(&writer, reason),
        }
        match prepare(lock, ward, &writer) {
            Ok(()) => guard(),
            Err(reason) => fail(&writer, reason),
        }
    };
    // ECHILD where SIGCHLD is ignored: then it is gone, too.
    let _ = io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    if !sigchld_before && is_pending(libc::SIGCHLD) {
        consume(libc::SIGCHLD);
    }
    Ok(reader)
}

/// Leaves the caller's descriptors, session and directory behind, watches, and says that it does.
fn prepare(lock: BorrowedFd<'_>, ward: Pid, writer: &OwnedFd) -> Result<(), Errno> {
    leave_caller()?;
    let queue = kqueue()?;
    let filter = EventFilter::Proc {
        pid: ward,
        flags: ProcessEvents::EXIT,
    };
    let watch = Event::new(filter, EventFlags::ADD, ptr::null_mut());
    let mut none: [MaybeUninit<Event>; 0] = [];
    // SAFETY: the change is about a process and not about a descriptor.
    unsafe { kevent(&queue, &[watch], &mut none, None) }?;
    // The queue is not on 0: if 0 was closed, the pipe's other end is there.
    set_streams(lock, &queue, writer)?;
    close_all_but_standard();
    forget(queue);
    say_ready()?;
    // The caller of the command may read its stderr to the end. From here on somebody relies on us,
    // so nothing is an error any more.
    let _ = stdio::dup2_stderr(stdio::stdin());
    Ok(())
}

/// Waits for the ward's end, of which the kqueue tells, which is on 1.
fn guard() -> ! {
    loop {
        let mut event = Vec::with_capacity(1);
        // SAFETY: no change is registered, so no descriptor in one can be closed too early.
        let came = unsafe {
            kevent(
                stdio::stdout(),
                &[],
                rustix::buffer::spare_capacity(&mut event),
                None,
            )
        };
        if came == Ok(1) {
            exit_now();
        }
    }
}

/// fork(2). Nothing in the child.
fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: this process has one thread, so the child's copy has no lock that another thread
    // held.
    check(unsafe { libc::fork() }).map(Pid::from_raw)
}

/// Closes every descriptor from 3 up to the limit of this process, above which none can have been
/// made since the limit was set.
fn close_all_but_standard() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit
        .and_then(|limit| i32::try_from(limit).ok())
        .unwrap_or(1 << 16);
    for number in 3..limit {
        // EBADF for most, which are not open.
        // SAFETY: nothing in this process uses a descriptor from 3 up after this.
        let _ = unsafe { libc::close(number) };
    }
}
