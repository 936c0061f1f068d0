//! How long something lasts.

use std::fmt::{self, Display};
use std::time::Duration;

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
