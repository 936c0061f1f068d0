//! The interval timer of the process, which rings SIGALRM and survives exec (setitimer(2) of Linux,
//! execve(2) of FreeBSD and NetBSD; XNU keeps it with the process, which exec leaves as it is).

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use rustix::io::Errno;

use crate::sys::errno::last_error;
use crate::sys::signal::is_blocked;

/// The longest time that every system takes: a hundred million seconds (setitimer(2) on the BSDs).
pub const LONGEST: Duration = Duration::from_secs(100_000_000);

/// What SIGALRM would do to this process.
pub enum AlarmState {
    /// Nothing.
    Ignored,
    /// Nothing for now.
    Blocked,
    /// What it does by default, or to whoever has a handler for it.
    Rings,
}

/// Looks at disposition and mask.
pub fn alarm_state() -> AlarmState {
    let mut found = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer sets nothing; the disposition is written to `found`.
    unsafe { libc::sigaction(libc::SIGALRM, ptr::null(), found.as_mut_ptr()) };
    // SAFETY: zeroed at first, which is a valid value.
    let found = unsafe { found.assume_init() };
    match found.sa_sigaction {
        libc::SIG_IGN => AlarmState::Ignored,
        _ if is_blocked(libc::SIGALRM) => AlarmState::Blocked,
        _ => AlarmState::Rings,
    }
}

/// Has SIGALRM sent to this process after this time, and not again, unless a timer that is running
/// rings earlier.
///
/// # Errors
///
/// As setitimer(2).
pub fn ring_alarm(after: Duration) -> Result<(), Errno> {
    let (left, interval) = set_timer(after, Duration::ZERO)?;
    if !left.is_zero() && left < after {
        set_timer(left, interval)?;
    }
    Ok(())
}

/// Sets the timer, and gives what was left of the old one and its interval.
pub fn set_timer(after: Duration, interval: Duration) -> Result<(Duration, Duration), Errno> {
    let times = libc::itimerval {
        it_value: timeval(after),
        it_interval: timeval(interval),
    };
    let mut found = MaybeUninit::<libc::itimerval>::zeroed();
    // SAFETY: `times` is valid, and the old times are written to `found`.
    if unsafe { libc::setitimer(libc::ITIMER_REAL, &times, found.as_mut_ptr()) } < 0 {
        return Err(last_error());
    }
    // SAFETY: written by the call that succeeded.
    let found = unsafe { found.assume_init() };
    Ok((duration(found.it_value), duration(found.it_interval)))
}

fn timeval(time: Duration) -> libc::timeval {
    let time = time.min(LONGEST);
    libc::timeval {
        tv_sec: time.as_secs() as i32 as _,
        tv_usec: time.subsec_micros() as _,
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_usec).unwrap_or(0) * 1000,
    )
}
