//! The guardian: a process beside the command that does what the command's process cannot do for itself,
//! since it is somebody else's program by then. Its ward is our process, which becomes the command.
//! What it does is told by [`Duty`]; here is how it is started, and what it can see and do.
//!
//! A platform's file offers `start(line, duty)`, which starts it and returns when there is no more to
//! do for our process but to hear its answer on the line; and [`Ward`], with the same functions on every
//! platform; and `CLOCK`, the clock that cannot be set and, where there is one, counts the time in which
//! the machine sleeps. The guardian has what tells of the ward's end on 1, its end of the line on 2, and what its
//! duty needs. It answers by [`say_ready`] or by [`fail`], and ends by [`exit_now`].
//!
//! The line is a pair of sockets. The guardian answers on it; then our end tells it that the command
//! has begun, since exec closes it, or, by a byte, that there will be no command.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod kqueue;
#[cfg(not(target_os = "linux"))]
use kqueue as platform;

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use libc::c_int;
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, chdir, setsid};
use rustix::stdio;

use super::errno::check;
use super::signal::without_write_signals;

#[cfg(target_os = "linux")]
pub use platform::GUARDIAN;
pub use platform::{Ward, has_ended};

/// What a guardian does.
pub trait Duty {
    /// The descriptors that it needs, from 3 up. All others are closed.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// The connection of whose end it is to hear ([`Event::Lost`]).
    fn connection(&self) -> Option<BorrowedFd<'_>>;

    /// Does it, in the guardian, from the command's start on. With its return the guardian ends.
    fn carry_out(self, ward: Ward);
}

/// What a guardian hears.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The ward's process has ended.
    Ended,
    /// The other end of the connection is closed. It is told once.
    Lost,
    /// The time has come.
    Due,
}

/// Whom a signal is sent to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The ward's process alone.
    Process,
    /// Its process group, which it leads.
    Group,
}

/// How the ward's process ended (wait(2)).
#[derive(Clone, Copy)]
pub enum End {
    /// With this exit status.
    Status(c_int),
    /// By this signal.
    Signal(c_int),
}

impl End {
    /// As wait(2) gives it.
    fn of(status: c_int) -> End {
        match libc::WIFSIGNALED(status) {
            true => End::Signal(libc::WTERMSIG(status)),
            false => End::Status(libc::WEXITSTATUS(status)),
        }
    }
}

/// A guardian that watches, as our process knows it: our end of the line.
pub struct Guardian(OwnedFd);

impl Guardian {
    /// Tells it that there will be no command. Its duty never begins.
    pub fn dismiss(self) {
        // If it is gone, there is nobody to be told.
        let _ = without_write_signals(|| Ok(io::write(&self.0, &[1])?));
    }
}

/// Starts a guardian that does this from exec on. Returns when it watches.
///
/// It has its own session, `/` as its directory, and blocks every signal that can be blocked. It is no
/// child of the command's, as far as the platform's file says.
///
/// # Errors
///
/// Of the calls by which it is made and prepared; no guardian is left then. ECHILD where it ended
/// without an answer.
pub fn start_guardian(duty: impl Duty) -> Result<Guardian, Errno> {
    let (ours, theirs) = line()?;
    platform::start(theirs, duty)?;
    let mut answer = [0; WORD];
    match io::retry_on_intr(|| io::read(&ours, &mut answer))? {
        WORD if answer == READY => Ok(Guardian(ours)),
        WORD => Err(reason(i32::from_ne_bytes(answer))),
        _ => Err(Errno::CHILD),
    }
}

/// The reason that a guardian answers; ECHILD for what is none.
fn reason(number: i32) -> Errno {
    match number {
        1..4096 => Errno::from_raw_os_error(number),
        _ => Errno::CHILD,
    }
}

/// Both ends of a line, where nothing of the guardian's comes to lie, and closed by exec.
fn line() -> Result<(OwnedFd, OwnedFd), Errno> {
    let kind = SocketType::STREAM;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::empty(), None)?;
    Ok((above_the_streams(ours)?, above_the_streams(theirs)?))
}

/// The length of the guardian's answer: the number of an error, or [`READY`].
const WORD: usize = size_of::<i32>();
/// The word of a guardian that watches.
const READY: [u8; WORD] = [0; WORD];

/// In the guardian: answers that it watches, and waits for the command's start. False if there is none.
///
/// From the answer on somebody relies on us, so nothing is an error any more.
fn say_ready() -> Result<bool, Errno> {
    io::write(stdio::stderr(), &READY)?;
    let heard = io::retry_on_intr(|| io::read(stdio::stderr(), &mut [0]));
    Ok(heard.unwrap_or(0) == 0)
}

/// In the guardian, or on the way to it: answers why it does not watch, and ends.
fn fail(line: &OwnedFd, reason: Errno) -> ! {
    // Where this fails, the reader finds the line's end in place of an answer.
    let _ = io::write(line, &reason.raw_os_error().to_ne_bytes());
    exit_now()
}

/// In the guardian: leaves the caller's session and directory.
fn leave_caller() -> Result<(), Errno> {
    setsid()?;
    chdir(c"/")
}

/// Duplicates a descriptor to where the guardian puts nothing in its place: if 0, 1 or 2 was
/// closed, it may lie there.
fn above_the_streams(descriptor: impl AsFd) -> Result<OwnedFd, Errno> {
    io::fcntl_dupfd_cloexec(descriptor, 10)
}

/// A process group that can only be named by its number. The number is its own as long as its leader is not
/// reaped or anybody is in it.
struct Group {
    /// Its leader.
    leader: Pid,
    /// When it was last known to be the same group.
    seen: Cell<Instant>,
}

/// For how long a number is no other group's, once it was seen to be in use: numbers go round before one
/// comes again.
const FRESH: Duration = Duration::from_secs(1);

/// The error of a signal for a group whose number may be another's by now. No call by which a signal is
/// sent gives it.
pub const NUMBER_IS_OLD: Errno = Errno::STALE;

impl Group {
    /// The group that this process leads.
    fn of(leader: Pid) -> Group {
        Group {
            leader,
            seen: Cell::new(Instant::now()),
        }
    }

    /// Sends it a signal; 0 only asks whether anybody has its number, which harms nobody.
    ///
    /// # Errors
    ///
    /// As kill(2). [`NUMBER_IS_OLD`] where the leader is gone and nobody was seen in it for a second.
    fn signal(&self, leader_is_there: bool, signal: c_int) -> Result<(), Errno> {
        let is_known = leader_is_there || self.seen.get().elapsed() <= FRESH;
        if !is_known && signal != 0 {
            return Err(NUMBER_IS_OLD);
        }
        // SAFETY: kill(2) touches no memory of ours.
        let sent = check(unsafe { libc::kill(-self.leader.as_raw_nonzero().get(), signal) });
        if is_known && sent != Err(Errno::SRCH) {
            self.seen.set(Instant::now());
        }
        sent.map(drop)
    }
}

/// The time by a clock that nobody can set, from some moment on. It counts the time in which the machine
/// sleeps, where the system has such a clock.
pub fn steady_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the time is written to where the pointer shows.
    let _ = unsafe { libc::clock_gettime(platform::CLOCK, time.as_mut_ptr()) };
    // SAFETY: zeroed before, and a timespec is integers.
    let time = unsafe { time.assume_init() };
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0)))
}

/// Ends this process at once, with nothing flushed and nobody told.
fn exit_now() -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(0) }
}
