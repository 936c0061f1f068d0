//! The bell that ends a wait, for systems without timer_create(2): the process's one interval
//! timer, which the caller may be using.
//!
//! A caller's alarm (`perl -e 'alarm 60; exec @ARGV'` is macOS's timeout) survives exec, counts on
//! while we wait, and is to do to us what it would do to anybody: by default, to end the process.
//! So the timer rings for whichever comes first, the caller's time or ours; at the caller's time
//! the caller's signal is sent under the disposition and mask that were found; and when the bell is
//! taken down, the caller's timer is set to what is left of it.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::itimer::{LONGEST, set_timer};
use crate::sys::signal::Mask;
use crate::sys::signal::{Disposition, is_pending, send_to_self};

const SIGNAL: libc::c_int = libc::SIGALRM;

/// How long after a ring it rings again.
const AGAIN: Duration = Duration::from_millis(10);

/// The shortest time of a timer; none at all would turn it off.
const SHORTEST: Duration = Duration::from_micros(1);

/// By how much a ring may come before its time, since the timer counts in microseconds. What comes
/// sooner than that was sent by somebody else.
const SLACK: Duration = Duration::from_millis(1);

/// Whether the signal has come.
static CAME: AtomicBool = AtomicBool::new(false);

extern "C" fn hear(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CAME.store(true, Ordering::Relaxed);
}

/// A timer whose signal interrupts a system call. Dropping it puts everything back.
pub struct WaitTimer {
    deadline: Instant,
    callers: Option<Alarm>,
    /// The caller had SIGALRM blocked, and it has come: it is to be pending again.
    owed: bool,
    ours: Option<Ours>,
}

/// The caller's timer.
struct Alarm {
    due: Instant,
    /// Zero if it rings once.
    interval: Duration,
}

impl Alarm {
    /// The one that comes after this, if it rings again and again. What was slept through is left out, as
    /// the kernel does.
    fn after(self, now: Instant) -> Option<Alarm> {
        let mut due = self
            .due
            .checked_add(self.interval)
            .filter(|due| *due > self.due)?;
        if due <= now {
            due = now + self.interval;
        }
        Some(Alarm { due, ..self })
    }
}

/// Our handler and our mask, while we wait.
struct Ours {
    _disposition: Disposition,
    _mask: Mask,
}

impl Ours {
    /// Whether SIGALRM had come is only known while it is held back and no timer runs.
    fn put_on() -> (Ours, bool) {
        let mask = Mask::block(&[SIGNAL]);
        let pending = is_pending(SIGNAL);
        CAME.store(false, Ordering::Relaxed);
        let disposition = Disposition::call(SIGNAL, hear);
        mem::forget(Mask::unblock(&[SIGNAL]));
        if pending {
            CAME.store(false, Ordering::Relaxed);
        }
        (
            Ours {
                _disposition: disposition,
                _mask: mask,
            },
            pending,
        )
    }
}

impl WaitTimer {
    /// Rings after this time, and then every ten milliseconds.
    ///
    /// # Errors
    ///
    /// As setitimer(2).
    pub fn arm(after: Duration) -> Result<WaitTimer, Errno> {
        // Held back while the timer changes hands, so that a ring of the caller's is not lost.
        let held_back = Mask::block(&[SIGNAL]);
        let (left, interval) = set_timer(Duration::ZERO, Duration::ZERO)?;
        let now = Instant::now();
        let callers = (!left.is_zero()).then(|| Alarm {
            due: now + left,
            interval,
        });
        drop(held_back);
        let (ours, owed) = Ours::put_on();
        let deadline = now + after.min(LONGEST);
        let mut timer = WaitTimer {
            deadline,
            callers,
            owed,
            ours: Some(ours),
        };
        timer.wind()?;
        Ok(timer)
    }

    /// To be called when a system call was interrupted: if it was the caller's time, or somebody sent
    /// the signal, it does what it would have done without us.
    pub fn interrupted(&mut self) {
        let now = Instant::now();
        let is_callers = self
            .callers
            .as_ref()
            .is_some_and(|alarm| alarm.due <= now + SLACK);
        if !is_callers && !self.has_foreign_come(now) {
            return;
        }
        self.ring_for_caller();
        if is_callers {
            self.callers = self.callers.take().and_then(|alarm| alarm.after(now));
        }
        // Where this fails, nothing rings any more, and the wait has no end but the lock.
        let _ = self.wind();
    }

    /// Whether the signal has come before the timer can have sent it.
    fn has_foreign_come(&self, now: Instant) -> bool {
        CAME.swap(false, Ordering::Relaxed) && now + SLACK < self.next()
    }

    /// When the timer rings: at whichever comes first.
    fn next(&self) -> Instant {
        self.callers
            .as_ref()
            .map_or(self.deadline, |alarm| alarm.due.min(self.deadline))
    }

    fn wind(&mut self) -> Result<(), Errno> {
        let left = self.next().saturating_duration_since(Instant::now());
        set_timer(left.max(SHORTEST), AGAIN).map(|_| ())
    }

    /// Sends SIGALRM as if we were not here. This goes on only if it was ignored, or is blocked:
    /// then it is pending, and is remembered, because our mask lets it through to our handler.
    fn ring_for_caller(&mut self) {
        let _ = set_timer(Duration::ZERO, Duration::ZERO);
        self.ours = None;
        send_to_self(SIGNAL);
        let (ours, pending) = Ours::put_on();
        self.owed |= pending;
        self.ours = Some(ours);
    }
}

impl Drop for WaitTimer {
    fn drop(&mut self) {
        // Ours off first, so that no ring of it meets the caller's disposition.
        let _ = set_timer(Duration::ZERO, Duration::ZERO);
        self.ours = None;
        if self.has_foreign_come(Instant::now()) || self.owed {
            send_to_self(SIGNAL);
        }
        if let Some(alarm) = self.callers.take() {
            let left = alarm.due.saturating_duration_since(Instant::now());
            let _ = set_timer(left.max(SHORTEST), alarm.interval);
        }
    }
}
