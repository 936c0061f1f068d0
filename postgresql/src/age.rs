//! How long ago the server started, and what is said where that is too short.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::cut::grace;

/// How long ago the server started, in seconds by its own clock, which has no other to go by.
///
/// Where that was set back since, it started in the time to come, or less long ago than it really did:
/// no lock is given until the clock comes to the same age. Nobody waits for that for ever: whoever is
/// connected for so long has seen that the server is old enough. A clock that is set forward in the
/// first seconds shortens them, which nothing here can see.
#[derive(Clone, Copy)]
pub struct Age(f64);

impl Age {
    /// As the server tells it.
    pub fn read(text: &str) -> Option<Age> {
        let age = text.parse().ok().filter(|age: &f64| age.is_finite());
        age.map(Age)
    }

    /// For how long there is no lock yet, if that is so.
    fn left(self, grace: Duration) -> Option<Duration> {
        let left = (grace.as_secs_f64() - self.0).ceil();
        Duration::try_from_secs_f64(left)
            .ok()
            .filter(|left| !left.is_zero())
    }

    /// Why there is no lock yet.
    pub fn why_no_lock(self, grace: Duration) -> String {
        let left = Elapsed(self.left(grace).unwrap_or_default());
        match Duration::try_from_secs_f64(self.0) {
            Ok(age) => {
                let age = Elapsed(age);
                format!(
                    "the server started {age} ago and has forgotten its locks, which their holders \
                     may not know yet: no lock for {left} more"
                )
            }
            Err(_) => {
                let grace = Elapsed(grace);
                format!(
                    "the server's clock was set back to before its start: no lock for {left} more, \
                     except for a run that waits for {grace}"
                )
            }
        }
    }

    /// The same, for who only asks.
    pub fn remark(self) -> Option<String> {
        let grace = grace(Duration::ZERO);
        self.left(grace).map(|_| self.why_no_lock(grace))
    }
}

/// How long something lasts, in two units at the most, as nonoverlap writes it: `3s`, `12m03s`,
/// `2h05m`, `3d04h`.
pub struct Elapsed(pub Duration);

impl Display for Elapsed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(out, "{seconds}s"),
            (0, 0, _) => write!(out, "{minutes}m{:02}s", seconds % 60),
            (0, _, _) => write!(out, "{hours}h{:02}m", minutes % 60),
            (_, _, _) => write!(out, "{days}d{:02}h", hours % 24),
        }
    }
}
