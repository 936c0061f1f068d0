//! What becomes of the connection: passed to nonoverlap, which is at the other end of standard output,
//! and kept by a process beside it for `--hold-at-least`.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::sleep;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, getsockname, sendmsg,
};
use rustix::process::{chdir, setsid};
use rustix::stdio;

use crate::failure::{Failure, reason};
use crate::sys;

/// The Unix socket that nonoverlap listens on.
///
/// # Errors
///
/// [`Failure::Usage`] where standard output is none.
pub fn stdout() -> Result<BorrowedFd<'static>, Failure> {
    match getsockname(stdio::stdout()) {
        Ok(address) if address.address_family() == AddressFamily::UNIX => Ok(stdio::stdout()),
        _ => Err(Failure::Usage(
            "standard output is not a Unix socket: only nonoverlap starts this program; see --help"
                .to_owned(),
        )),
    }
}

/// Waits for this time, or until the other end hangs up. Tells whether it does.
///
/// # Errors
///
/// [`Failure::Unavailable`].
pub fn hangs_up_within(socket: BorrowedFd<'_>, time: Duration) -> Result<bool, Failure> {
    let cannot = |error: Errno| Failure::Unavailable(format!("cannot wait: {}", reason(error)));
    let time = Timespec::try_from(time).map_err(|_| cannot(Errno::INVAL))?;
    // Only a hang-up is news, which is always told (poll(2)).
    let mut awaited = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let polled = retry_on_intr(|| poll(&mut awaited, Some(&time)));
    polled.map(|count| count > 0).map_err(cannot)
}

/// Passes a connection's descriptor, and with it the line that has the fence.
///
/// # Errors
///
/// [`Failure::Unavailable`].
pub fn pass(
    connection: BorrowedFd<'_>,
    fence: &str,
    socket: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [connection];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let line = format!("NONOVERLAP_FENCE={fence}\n");
    let line = [IoSlice::new(line.as_bytes())];
    retry_on_intr(|| sendmsg(socket, &line, &mut control, SendFlags::empty()))
        .map(|_| ())
        .map_err(|error| {
            let reason = reason(error);
            Failure::Unavailable(format!("cannot pass the connection: {reason}"))
        })
}

/// Has a process of its own keep the connection for this time, though the command may have ended. It
/// has nothing else that the caller has: no terminal, no directory, no descriptor.
///
/// # Errors
///
/// [`Failure::Unavailable`] where there can be no such process.
pub fn hold(connection: BorrowedFd<'_>, time: Duration) -> Result<(), Failure> {
    let cannot = |error: Errno| {
        let reason = reason(error);
        Failure::Unavailable(format!(
            "cannot keep the lock for --hold-at-least: {reason}"
        ))
    };
    let nothing = open(c"/dev/null", OFlags::RDWR, Mode::empty()).map_err(cannot)?;
    if sys::fork().map_err(cannot)? {
        return Ok(());
    }
    // Whatever fails now, the lock is kept, and that is the duty.
    let _ = setsid();
    let _ = chdir(c"/");
    for put in [stdio::dup2_stdin, stdio::dup2_stdout, stdio::dup2_stderr] {
        let _ = put(nothing.as_fd());
    }
    sys::close_all_but(connection);
    sys::end_after(0);
    sleep(time);
    sys::end()
}
