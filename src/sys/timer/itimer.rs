//! The interval timer of the process (ITIMER_REAL), which sends SIGALRM and survives exec
//! (setitimer(2) of Linux, execve(2) of FreeBSD and NetBSD; for macOS see `over_exec_macos.rs`). Only
//! for systems without timer_create(2).

use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::io::Errno;

use crate::sys::errno::check;

/// The longest time that every system takes: a hundred million seconds (setitimer(2) on the BSDs).
pub const LONGEST: Duration = Duration::from_secs(100_000_000);

/// Sets the timer, or disarms it if `after` is zero. Gives what was left of the old time, zero if
/// it was not armed, and the old interval.
///
/// # Errors
///
/// As setitimer(2).
pub fn set_itimer(after: Duration, interval: Duration) -> Result<(Duration, Duration), Errno> {
    let times = libc::itimerval {
        it_value: timeval(after),
        it_interval: timeval(interval),
    };
    let mut found = MaybeUninit::<libc::itimerval>::zeroed();
    // SAFETY: `times` is valid, and the old times are written to `found`.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &times, found.as_mut_ptr()) })?;
    // SAFETY: zeroed at first, and integers throughout.
    let found = unsafe { found.assume_init() };
    Ok((duration(found.it_value), duration(found.it_interval)))
}

/// A time as setitimer(2) has it.
fn timeval(time: Duration) -> libc::timeval {
    let time = time.min(LONGEST);
    libc::timeval {
        tv_sec: time.as_secs() as i32 as _,
        tv_usec: time.subsec_micros() as _,
    }
}

/// A time of setitimer(2)'s as std has it.
fn duration(time: libc::timeval) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_usec).unwrap_or(0) * 1000,
    )
}
