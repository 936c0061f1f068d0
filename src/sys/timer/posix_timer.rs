//! The timer that ends a wait: one of its own, made by timer_create(2).

use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::REPEAT;
use crate::sys::errno::{cannot_fail, check};
use crate::sys::signal::{Disposition, Mask, send_to_self};

/// The timer's signal. By default it is ignored (signal(7)), so that it does nothing to us where it
/// comes from somebody else; and SIGALRM, with the caller's own itimer, is not touched at all.
const SIGNAL: libc::c_int = libc::SIGURG;

/// Whether the signal has come from somebody else: the caller had it blocked and pending, or
/// somebody sent it while we waited. Then it is sent again when all is as the caller left it: it is
/// pending then if it is blocked, and ignored if it is not.
static CAME_FROM_ELSEWHERE: AtomicBool = AtomicBool::new(false);

/// Notes a signal that is not the timer's.
extern "C" fn on_signal(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    if unsafe { (*info).si_code } != libc::SI_TIMER {
        CAME_FROM_ELSEWHERE.store(true, Ordering::Relaxed);
    }
}

/// The timer, and what was found. Dropping it disarms the timer first; then the fields are dropped
/// in their order: the disposition before the mask, so that a last signal of the timer meets our
/// handler, and after both what is to be sent again.
pub struct Timer {
    /// The kernel's timer.
    timer: libc::timer_t,
    /// Our handler.
    _disposition: Disposition,
    /// The caller's mask.
    _mask: Mask,
    /// What is owed to the caller.
    _resend: Resend,
}

impl Timer {
    /// As `timer/mod.rs` says.
    pub fn arm(after: Duration) -> Result<Timer, Errno> {
        let resend = Resend;
        // Read before any handler is set, which may change it (see `mask_linux.rs`).
        let mask = Mask::block(&[]);
        let disposition = Disposition::call(SIGNAL, on_signal);
        mem::forget(Mask::unblock(&[SIGNAL]));
        let timer = Timer {
            timer: make_timer()?,
            _disposition: disposition,
            _mask: mask,
            _resend: resend,
        };
        let times = libc::itimerspec {
            it_value: timespec(after),
            it_interval: timespec(REPEAT),
        };
        // SAFETY: the timer exists; `times` is valid; a null pointer asks for no old times.
        check(unsafe { libc::timer_settime(timer.timer, 0, &times, ptr::null_mut()) })?;
        Ok(timer)
    }

    /// Does nothing: a signal that is not the timer's has had its own disposition.
    pub fn interrupted(&mut self) {}
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer exists, and is not used again.
        cannot_fail(unsafe { libc::timer_delete(self.timer) });
    }
}

/// Sends what came from elsewhere again, on drop.
struct Resend;

impl Drop for Resend {
    fn drop(&mut self) {
        if CAME_FROM_ELSEWHERE.swap(false, Ordering::Relaxed) {
            send_to_self(SIGNAL);
        }
    }
}

/// Makes the timer, which does not run yet.
fn make_timer() -> Result<libc::timer_t, Errno> {
    let mut event = MaybeUninit::<libc::sigevent>::zeroed();
    let place = event.as_mut_ptr();
    // SAFETY: `place` is valid for writing a sigevent.
    unsafe { (*place).sigev_notify = libc::SIGEV_SIGNAL };
    // SAFETY: `place` is valid for writing a sigevent.
    unsafe { (*place).sigev_signo = SIGNAL };
    let mut timer = MaybeUninit::<libc::timer_t>::uninit();
    // SAFETY: the two fields that SIGEV_SIGNAL wants are set, and zeroes are valid for the others;
    // the timer's name is written to `timer`.
    check(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, place, timer.as_mut_ptr()) })?;
    // SAFETY: written by the call that succeeded.
    Ok(unsafe { timer.assume_init() })
}

/// At most what a time_t of 32 bits can hold; who waits looks at the clock and goes on waiting.
fn timespec(time: Duration) -> libc::timespec {
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    libc::timespec {
        tv_sec: seconds as _,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    }
}
