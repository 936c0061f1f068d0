//! The bell that ends a wait, for systems without timer_create(2): the process's one interval
//! timer, which the caller may be using.
//!
//! A caller's alarm (`perl -e 'alarm 60; exec @ARGV'` is macOS's timeout) survives exec, counts on
//! while we wait, and is to do to us what it would do to anybody: by default, to end the process.
//! So the timer rings for whichever comes first, the caller's time or ours; at the caller's time
//! the caller's signal is sent under the disposition and mask that were found; and when the bell is
//! taken down, the caller's timer is set to what is left of it.

use std::mem;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::alarm::{LONGEST, set_timer};
use super::mask::Mask;
use super::signals::{Disposition, is_pending, send_to_self};

const SIGNAL: libc::c_int = libc::SIGALRM;

/// How long after a ring it rings again.
const AGAIN: Duration = Duration::from_millis(10);

/// The shortest time of a timer; none at all would turn it off.
const SHORTEST: Duration = Duration::from_micros(1);

/// A timer whose signal interrupts a system call. Dropping it puts everything back.
pub struct Bell {
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
        let disposition = Disposition::do_nothing_at(SIGNAL);
        mem::forget(Mask::unblock(&[SIGNAL]));
        (
            Ours {
                _disposition: disposition,
                _mask: mask,
            },
            pending,
        )
    }
}

impl Bell {
    /// Rings after this time, and then every ten milliseconds.
    ///
    /// # Errors
    ///
    /// As setitimer(2).
    pub fn hang(after: Duration) -> Result<Bell, Errno> {
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
        // A time that no clock can tell never comes.
        let deadline = now.checked_add(after).unwrap_or(now + LONGEST);
        let mut bell = Bell {
            deadline,
            callers,
            owed,
            ours: Some(ours),
        };
        bell.wind()?;
        Ok(bell)
    }

    /// To be called when a system call was interrupted: if it was the caller's time, the caller's
    /// signal does what it would have done.
    pub fn heard(&mut self) {
        let due = self.callers.as_ref().map(|alarm| alarm.due);
        if due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.ring_for_caller();
        let again = self
            .callers
            .take()
            .filter(|alarm| !alarm.interval.is_zero());
        self.callers = again.map(|alarm| Alarm {
            due: alarm.due + alarm.interval,
            ..alarm
        });
        // Where this fails, nothing rings any more, and the wait has no end but the lock.
        let _ = self.wind();
    }

    /// Sets the timer to whichever comes first.
    fn wind(&mut self) -> Result<(), Errno> {
        let next = self
            .callers
            .as_ref()
            .map_or(self.deadline, |alarm| alarm.due.min(self.deadline));
        let left = next.saturating_duration_since(Instant::now());
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

impl Drop for Bell {
    fn drop(&mut self) {
        // Ours off first, so that no ring of it meets the caller's disposition.
        let _ = set_timer(Duration::ZERO, Duration::ZERO);
        self.ours = None;
        // It is blocked again, or it would not be owed.
        if self.owed {
            send_to_self(SIGNAL);
        }
        if let Some(alarm) = self.callers.take() {
            let left = alarm.due.saturating_duration_since(Instant::now());
            let _ = set_timer(left.max(SHORTEST), alarm.interval);
        }
    }
}
