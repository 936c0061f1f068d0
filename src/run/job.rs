//! The job as its guardian sees it: when it began, and whether it is over.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::sys::{self, Event, Reach, Ward, steady_time};

/// The command's process, and all that is in its group.
pub struct Job {
    /// The command's process.
    pub ward: Ward,
    /// When the command began, by [`steady_time`].
    start: Duration,
    /// How long its process lived, once it has ended.
    pub lasted: Option<Duration>,
    /// A signal that was to end it was sent to somebody.
    pub was_told: bool,
}

impl Job {
    /// The job of this ward, which has just begun.
    pub fn of(ward: Ward) -> Job {
        Job {
            ward,
            start: steady_time(),
            lasted: None,
            was_told: false,
        }
    }

    /// As [`Ward::wait`].
    pub fn wait(&mut self, until: Option<Instant>) -> Event {
        let event = self.ward.wait(until);
        if event == Event::Ended {
            let lasted = steady_time().saturating_sub(self.start);
            self.lasted.get_or_insert(lasted);
        }
        event
    }

    /// Waits for this long, or until something happens before; when the command's process has ended,
    /// just so long.
    pub fn pause(&mut self, pause: Duration) -> Event {
        match self.lasted {
            None => self.wait(Instant::now().checked_add(pause)),
            Some(_) => {
                // Without it the time is over by the clock all the same.
                let _ = sys::pause(pause);
                Event::Due
            }
        }
    }

    /// Whether the command's process has ended, and nobody is left whom such a signal reaches. Zombies
    /// are somebody: until they are reaped, the number of their group is theirs.
    ///
    /// It asks in any case: so the group of a process that has just ended was seen a moment ago.
    pub fn is_over(&self, reach: Reach) -> bool {
        let is_empty = reach == Reach::Process || self.ward.signal(reach, 0) == Err(Errno::SRCH);
        is_empty && self.lasted.is_some()
    }
}
