//! The timer that ends a wait, for systems without timer_create(2): the process's one interval
//! timer, which the caller may be using.
//!
//! A caller's itimer (`perl -e 'alarm 60; exec @ARGV'` is macOS's timeout) survives exec, runs on
//! while we wait, and is to do to us what it would do to anybody: by default, to end the process.
//! So the timer fires at whichever comes first, the caller's time or ours. At the caller's time
//! SIGALRM is sent under the disposition and mask that were found. When the wait ends, the caller's
//! itimer is set to what is left of it.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::REPEAT;
use super::itimer::{LONGEST, set_itimer};
use crate::sys::signal::{Disposition, Mask, is_pending, send_to_self};

/// The signal of the interval timer.
const SIGNAL: libc::c_int = libc::SIGALRM;

/// The shortest time of a timer; none at all would disarm it.
const SHORTEST: Duration = Duration::from_micros(1);

/// By how much the timer may fire before its time, since it counts in microseconds. A signal that
/// comes sooner than that was sent by somebody else.
const SLACK: Duration = Duration::from_millis(1);

/// Whether the signal has come.
static CAME: AtomicBool = AtomicBool::new(false);

/// Notes that the signal has come.
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CAME.store(true, Ordering::Relaxed);
}

/// The timer, and what was found. Dropping it puts everything back.
pub struct Timer {
    /// When the wait ends.
    deadline: Instant,
    /// The caller's timer, if one runs.
    callers: Option<CallersItimer>,
    /// The caller had SIGALRM blocked, and it has come: it is to be pending again.
    is_owed: bool,
    /// Our handler and our mask, but for the moment of the caller's signal.
    handling: Option<Handling>,
}

/// The caller's itimer.
struct CallersItimer {
    /// When it is next due.
    due: Instant,
    /// Zero if it fires once.
    interval: Duration,
}

impl CallersItimer {
    /// When it fires next, if it fires repeatedly. Times that have passed are left out, as the
    /// kernel does.
    fn after(self, now: Instant) -> Option<CallersItimer> {
        let mut due = self
            .due
            .checked_add(self.interval)
            .filter(|due| *due > self.due)?;
        if due <= now {
            due = now + self.interval;
        }
        Some(CallersItimer { due, ..self })
    }
}

/// Our handler and our mask, while we wait. Dropping it puts back the caller's.
struct Handling {
    /// Our handler.
    _disposition: Disposition,
    /// The caller's mask.
    _mask: Mask,
}

impl Handling {
    /// Installs our handler, and tells whether SIGALRM was pending. That is only known while it is
    /// blocked and no timer runs.
    fn install() -> (Handling, bool) {
        let mask = Mask::block(&[SIGNAL]);
        let pending = is_pending(SIGNAL);
        CAME.store(false, Ordering::Relaxed);
        let disposition = Disposition::call(SIGNAL, on_signal);
        mem::forget(Mask::unblock(&[SIGNAL]));
        if pending {
            CAME.store(false, Ordering::Relaxed);
        }
        (
            Handling {
                _disposition: disposition,
                _mask: mask,
            },
            pending,
        )
    }
}

impl Timer {
    /// As `timer/mod.rs` says.
    pub fn arm(after: Duration) -> Result<Timer, Errno> {
        // Blocked while the timer changes hands, so that a signal of the caller's itimer is not
        // lost.
        let mask = Mask::block(&[SIGNAL]);
        let (left, interval) = set_itimer(Duration::ZERO, Duration::ZERO)?;
        let now = Instant::now();
        let callers = (!left.is_zero()).then(|| CallersItimer {
            due: now + left,
            interval,
        });
        drop(mask);
        let (handling, is_owed) = Handling::install();
        let deadline = now + after.min(LONGEST);
        let mut timer = Timer {
            deadline,
            callers,
            is_owed,
            handling: Some(handling),
        };
        timer.rearm()?;
        Ok(timer)
    }

    /// At the caller's time, or where somebody sent the signal, the signal does what it would have
    /// done without us.
    pub fn interrupted(&mut self) {
        let now = Instant::now();
        let is_callers = self
            .callers
            .as_ref()
            .is_some_and(|itimer| itimer.due <= now + SLACK);
        if !is_callers && !self.came_from_elsewhere(now) {
            return;
        }
        self.deliver_to_caller();
        if is_callers {
            self.callers = self.callers.take().and_then(|itimer| itimer.after(now));
        }
        // setitimer(2) fails for wrong arguments only. If it did, the timer would not fire again,
        // and the wait would end with the lock alone.
        let _ = self.rearm();
    }

    /// Whether the signal has come before the timer can have sent it.
    fn came_from_elsewhere(&self, now: Instant) -> bool {
        CAME.swap(false, Ordering::Relaxed) && now + SLACK < self.next()
    }

    /// When the timer fires: at whichever comes first.
    fn next(&self) -> Instant {
        self.callers
            .as_ref()
            .map_or(self.deadline, |itimer| itimer.due.min(self.deadline))
    }

    /// Sets the timer to whichever comes first.
    fn rearm(&mut self) -> Result<(), Errno> {
        let left = self.next().saturating_duration_since(Instant::now());
        set_itimer(left.max(SHORTEST), REPEAT).map(|_| ())
    }

    /// Sends SIGALRM under the caller's disposition and mask. We live on only if it is ignored, or
    /// blocked: then it is pending, and is remembered, because our mask lets it through to our
    /// handler.
    fn deliver_to_caller(&mut self) {
        disarm();
        self.handling = None;
        send_to_self(SIGNAL);
        let (handling, pending) = Handling::install();
        self.is_owed |= pending;
        self.handling = Some(handling);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // Disarm our timer first, so that it cannot fire under the caller's handler.
        disarm();
        self.handling = None;
        if self.came_from_elsewhere(Instant::now()) || self.is_owed {
            send_to_self(SIGNAL);
        }
        if let Some(itimer) = self.callers.take() {
            let left = itimer.due.saturating_duration_since(Instant::now());
            // As above, it fails for wrong arguments only.
            let _ = set_itimer(left.max(SHORTEST), itimer.interval);
        }
    }
}

/// setitimer(2) fails for wrong arguments only, and these are zeroes.
fn disarm() {
    let _ = set_itimer(Duration::ZERO, Duration::ZERO);
}
