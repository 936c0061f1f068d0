//! The guardian of Linux: clone(2) and a pidfd.
//!
//! It is cloned twice, and its parent ends at once and is reaped here, so that process 1 or the next
//! child subreaper has it, and nothing that lists the command's children meets it. Where our process is
//! one of these itself, it would get it back as an ordinary child. There it is cloned once, with no exit
//! signal, so that wait(2) sees it only if it is asked for with `__WALL` or `__WCLONE`, which
//! nobody does who has not cloned himself.

mod ward;

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use libc::{c_int, c_long, c_uint};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use rustix::stdio;
use rustix::thread::set_name;

use super::{Duty, above_the_streams, exit_now, fail, leave_caller, say_ready};
use crate::sys::errno::check;
use crate::sys::observe::linux::read::Names;
use crate::sys::ourselves::own_pid;
use crate::sys::signal::Mask;

pub use ward::{Ward, has_ended};

/// How the guardian is called in `/proc/PID/stat`, by which `--status` knows it (at most 15 bytes).
pub const GUARDIAN: &CStr = c"nonoverlap-lock";

/// It counts the time in which the machine sleeps (clock_gettime(2)).
pub const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;

/// # Errors
///
/// Of pidfd_open(2) (Linux 5.3) and clone(2). The guardian answers the rest.
pub fn start(line: OwnedFd, duty: impl Duty) -> Result<(), Errno> {
    // Ours before there is a child, so that it cannot be of another process that came to our
    // number.
    let ourselves = own_pid()?;
    let pidfd = above_the_streams(pidfd_open(ourselves, PidfdFlags::empty())?)?;
    let between = !adopts_orphans(ourselves);
    // Nobody can end the guardian while it is not yet out of its caller's process group.
    let _mask = Mask::block_all();
    let child = clone()?;
    if child != 0 {
        if between {
            let options = WaitOptions::from_bits_retain(libc::__WALL as u32);
            let _ = waitpid(Pid::from_raw(child), options);
        }
        return Ok(());
    }
    if between {
        match clone() {
            Ok(0) => {}
            Ok(_) => exit_now(),
            Err(reason) => fail(&line, reason),
        }
    }
    match prepare(&line, &pidfd, &duty) {
        Ok(connection) => {
            if say_ready() == Ok(true) {
                let _ = close_range(2, 2);
                duty.carry_out(Ward::new(ourselves, connection));
            }
            exit_now()
        }
        Err(reason) => fail(&line, reason),
    }
}

/// Leaves the caller's session, directory and descriptors behind, and looks out for the end of the
/// connection. Where anything fails, `line` is still there to tell it.
fn prepare(line: &OwnedFd, pidfd: &OwnedFd, duty: &impl Duty) -> Result<Option<OwnedFd>, Errno> {
    leave_caller()?;
    set_name(GUARDIAN)?;
    let connection = duty.connection().map(ward::look_out).transpose()?;
    stdio::dup2_stdout(pidfd)?;
    stdio::dup2_stderr(line)?;
    let needed = duty.descriptors();
    let needed = needed.iter().map(AsRawFd::as_raw_fd);
    let needed = needed.chain(connection.as_ref().map(AsRawFd::as_raw_fd));
    close_all_but(&needed.chain([1, 2]).collect::<Vec<_>>())?;
    Ok(connection)
}

/// clone(2) as fork, but with no exit signal. Gives 0 in the child.
///
/// All arguments are zero, so it is no matter that their order differs between processors.
fn clone() -> Result<c_int, Errno> {
    const NONE: c_long = 0;
    // SAFETY: with no flags the child is a copy of this process on a copy of its stack, as after
    // fork(2). This process has one thread, so the copy has no lock that another thread held.
    let child = unsafe { libc::syscall(libc::SYS_clone, NONE, NONE, NONE, NONE, NONE) };
    check(child as c_int)
}

/// Whether a process that loses its parent becomes a child of this one: of process 1 of a PID
/// namespace, and of a child subreaper (PR_SET_CHILD_SUBREAPER(2const)). Where that cannot be told, too.
fn adopts_orphans(ourselves: Pid) -> bool {
    let mut is_subreaper: c_int = 0;
    // SAFETY: PR_GET_CHILD_SUBREAPER writes an int to where its argument points.
    let asked = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut is_subreaper) };
    ourselves.is_init() || asked != 0 || is_subreaper != 0
}

/// Closes every descriptor but these.
fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first = 0;
    // They are few, so none are sorted for it.
    while let Some(&next) = kept.iter().filter(|&&kept| kept >= first).min() {
        if first < next {
            close_range(first, next - 1)?;
        }
        first = next + 1;
    }
    close_range(first, RawFd::MAX)
}

/// Closes every descriptor from `first` to `last`; before Linux 5.9, which has no close_range(2), those
/// that `/proc` lists.
fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    const NO_FLAGS: c_uint = 0;
    // SAFETY: nothing in this process uses one of these descriptors after this.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, NO_FLAGS) };
    match check(done as c_int) {
        Err(Errno::NOSYS) => close_listed(first, last),
        done => done.map(drop),
    }
}

/// As [`close_range`].
fn close_listed(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // To the list's end, and the list closed, before any of them is.
    let names = Names::of(Path::new("/proc/self/fd"))?.collect::<Result<Vec<_>, _>>()?;
    for number in names.iter().filter_map(|name| name.to_str()?.parse().ok()) {
        if (first..=last).contains(&number) {
            // EBADF for the list's own.
            // SAFETY: nothing in this process uses one of these descriptors after this.
            let _ = unsafe { libc::close(number) };
        }
    }
    Ok(())
}
