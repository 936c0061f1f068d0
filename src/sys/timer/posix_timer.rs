//! The bell that ends a wait: a timer of its own, made by timer_create(2).

use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::sys::errno::last_error;
use crate::sys::signal::Mask;
use crate::sys::signal::{Disposition, send_to_self};

/// The signal of the bell. By default it is ignored (signal(7)), so whoever sends it to us while we
/// wait is answered as ever; and SIGALRM, with the caller's own alarm, is not touched at all.
const SIGNAL: libc::c_int = libc::SIGURG;

/// How long after a ring it rings again.
const AGAIN: Duration = Duration::from_millis(10);

/// Whether the signal has come from somebody else: the caller had it blocked and pending, or somebody
/// sent it while we waited. Then it is sent again when all is as the caller left it, and is pending if
/// it is blocked, and nothing if it is not.
static CAME_FROM_ELSEWHERE: AtomicBool = AtomicBool::new(false);

extern "C" fn hear(_: libc::c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    if unsafe { (*about).si_code } != libc::SI_TIMER {
        CAME_FROM_ELSEWHERE.store(true, Ordering::Relaxed);
    }
}

/// A timer whose signal interrupts a system call. Dropping it puts everything back.
pub struct WaitTimer {
    timer: libc::timer_t,
    /// Put back in this order: the disposition before the mask, so that a last ring meets our
    /// handler, and then what is owed to the caller.
    _disposition: Disposition,
    _mask: Mask,
    _owed: Owed,
}

impl WaitTimer {
    /// Rings after this time, and then every ten milliseconds.
    ///
    /// # Errors
    ///
    /// As timer_create(2), such as EAGAIN where RLIMIT_SIGPENDING is exhausted.
    pub fn arm(after: Duration) -> Result<WaitTimer, Errno> {
        let owed = Owed;
        // Known before any handler is set, which may change it (see `mask_linux.rs`).
        let mask = Mask::block(&[]);
        let disposition = Disposition::call(SIGNAL, hear);
        mem::forget(Mask::unblock(&[SIGNAL]));
        let timer = make_timer()?;
        let bell = WaitTimer {
            timer,
            _disposition: disposition,
            _mask: mask,
            _owed: owed,
        };
        let times = libc::itimerspec {
            it_value: timespec(after),
            it_interval: timespec(AGAIN),
        };
        // SAFETY: the timer exists; `times` is valid; a null pointer asks for no old times.
        let set = unsafe { libc::timer_settime(bell.timer, 0, &times, ptr::null_mut()) };
        if set < 0 { Err(last_error()) } else { Ok(bell) }
    }

    /// To be called when a system call was interrupted. There is nothing to do here: a signal that
    /// is not the bell's has found its own disposition.
    pub fn interrupted(&mut self) {}
}

impl Drop for WaitTimer {
    fn drop(&mut self) {
        // SAFETY: the timer exists, and is not used again.
        unsafe { libc::timer_delete(self.timer) };
    }
}

/// What came from elsewhere, sent again on drop.
struct Owed;

impl Drop for Owed {
    fn drop(&mut self) {
        if CAME_FROM_ELSEWHERE.swap(false, Ordering::Relaxed) {
            send_to_self(SIGNAL);
        }
    }
}

fn make_timer() -> Result<libc::timer_t, Errno> {
    let mut event = MaybeUninit::<libc::sigevent>::zeroed();
    let place = event.as_mut_ptr();
    // SAFETY: `place` is valid for writing a sigevent.
    unsafe { (*place).sigev_notify = libc::SIGEV_SIGNAL };
    // SAFETY: as above.
    unsafe { (*place).sigev_signo = SIGNAL };
    let mut timer = MaybeUninit::<libc::timer_t>::uninit();
    // SAFETY: the two fields that SIGEV_SIGNAL wants are set, and zeroes are valid for the others;
    // the timer's name is written to `timer`.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, place, timer.as_mut_ptr()) };
    if made < 0 {
        return Err(last_error());
    }
    // SAFETY: written by the call that succeeded.
    Ok(unsafe { timer.assume_init() })
}

/// Cut to what a time_t of 32 bits can hold; whoever waits looks at the clock and goes on waiting.
fn timespec(time: Duration) -> libc::timespec {
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    libc::timespec {
        tv_sec: seconds as _,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    }
}
