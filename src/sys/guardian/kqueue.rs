//! The process that holds a lock for as long as another process lives: two forks and a kqueue. Only
//! type-checked and linked for macOS, never run.
//!
//! NOTE_EXIT may be asked for of any process, not only of a child (kqueue(2)), and a process that
//! is gone already is ESRCH. It comes when no instruction of the process is executed any more and its
//! descriptors are closed: on FreeBSD before the parent is told (exit1 in sys/kern/kern_exit.c), on
//! macOS even before the process can be waited for (proc_exit in bsd/kern/kern_exit.c).

use std::mem::forget;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::{self, Errno};
use rustix::pipe::pipe;
use rustix::process::{Pid, WaitOptions, chdir, getpid, setsid, waitpid};
use rustix::stdio;

use super::exit_now;
use crate::sys::errno::last_error;
use crate::sys::signal::Mask;
use crate::sys::signal::{consume, is_pending};

/// Starts a guardian: a process that has this lock's descriptor and none but that, and ends when
/// the kernel says that our process, whatever it has become by then, has ended. Returns when the
/// guardian watches.
///
/// It is forked twice: its parent ends at once and is waited for here, so that init has it and no
/// wait(2) of the command sees it. (Where the command is init, or has made itself its descendants'
/// reaper, as FreeBSD's procctl(2) can, it does.) It has its own session, `/` as its directory, and
/// blocks every signal that can be blocked.
///
/// # Errors
///
/// Of pipe(2), fork(2), kevent(2) and the rest; no guardian is left then.
pub fn start_guardian(lock: BorrowedFd<'_>) -> Result<(), Errno> {
    let ward = getpid();
    let (reader, writer) = pipe()?;
    // If 0, 1 or 2 was closed, it lies where the guardian puts something else in its place.
    let writer = io::fcntl_dupfd_cloexec(writer, 10)?;
    io::fcntl_setfd(&reader, io::FdFlags::CLOEXEC)?;
    let sigchld_before = is_pending(libc::SIGCHLD);
    let mask = Mask::block_all();
    let Some(child) = fork()? else {
        let reason = match fork() {
            Ok(None) => stand_guard(lock, ward, &writer),
            Ok(Some(_)) => exit_now(),
            Err(reason) => reason,
        };
        // Only an error comes to here. It is told, and this process ends.
        let _ = io::write(&writer, &reason.raw_os_error().to_ne_bytes());
        exit_now();
    };
    // ECHILD where SIGCHLD is ignored: then it is gone, too.
    let _ = io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    if !sigchld_before && is_pending(libc::SIGCHLD) {
        consume(libc::SIGCHLD);
    }
    drop(mask);
    drop(writer);
    let mut answer = [0; WORD];
    match io::retry_on_intr(|| io::read(&reader, &mut answer))? {
        WORD if answer == READY => Ok(()),
        WORD => Err(Errno::from_raw_os_error(i32::from_ne_bytes(answer))),
        _ => Err(Errno::CHILD),
    }
}

/// A word from the guardian: the number of an error, or none.
const WORD: usize = size_of::<i32>();
const READY: [u8; WORD] = [0; WORD];

/// In the guardian. Returns only an error, and before anybody relies on it.
fn stand_guard(lock: BorrowedFd<'_>, ward: Pid, writer: &OwnedFd) -> Errno {
    if let Err(reason) = prepare(lock, ward, writer) {
        return reason;
    }
    loop {
        let mut event = Vec::with_capacity(1);
        // SAFETY: no change is registered, so no descriptor in one can be closed too early.
        if unsafe {
            kevent(
                stdio::stdout(),
                &[],
                rustix::buffer::spare_capacity(&mut event),
                None,
            )
        } == Ok(1)
        {
            exit_now();
        }
    }
}

/// Leaves the caller's descriptors, session and directory behind, watches, and says that it does.
fn prepare(lock: BorrowedFd<'_>, ward: Pid, writer: &OwnedFd) -> Result<(), Errno> {
    setsid()?;
    chdir(c"/")?;
    let lock = io::fcntl_dupfd_cloexec(lock, 10)?;
    let queue = kqueue()?;
    let filter = EventFilter::Proc {
        pid: ward,
        flags: ProcessEvents::EXIT,
    };
    let watch = Event::new(filter, EventFlags::ADD, ptr::null_mut());
    let mut none: [std::mem::MaybeUninit<Event>; 0] = [];
    // SAFETY: the change is about a process and not about a descriptor.
    unsafe { kevent(&queue, &[watch], &mut none, None) }?;
    stdio::dup2_stdin(&lock)?;
    stdio::dup2_stdout(&queue)?;
    stdio::dup2_stderr(writer)?;
    close_all_but_standard();
    forget((lock, queue));
    io::write(stdio::stderr(), &READY)?;
    // The caller of the command may read its stderr to the end.
    let _ = stdio::dup2_stderr(stdio::stdin());
    Ok(())
}

/// fork(2). Nothing in the child.
fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: this process has one thread, so the child's copy has no lock that another thread
    // held.
    let child = unsafe { libc::fork() };
    if child < 0 {
        Err(last_error())
    } else {
        Ok(Pid::from_raw(child))
    }
}

/// Closes every descriptor from 3 up to the limit of this process, above which none can have been
/// made since the limit was set.
fn close_all_but_standard() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit
        .and_then(|limit| i32::try_from(limit).ok())
        .unwrap_or(1 << 16);
    for number in 3..limit {
        // SAFETY: nothing in this process uses a descriptor from 3 up after this.
        unsafe { libc::close(number) };
    }
}
