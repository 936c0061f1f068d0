//! Times as people read them.

use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

use crate::sys;

/// How long something lasts, in two units at the most: `3s`, `12m03s`, `2h05m`, `3d04h`.
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

/// A number of seconds. (What Rust has to write a floating point number takes more room in the program
/// than all that is here.)
pub fn seconds(time: Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// How long ago a moment is; nothing gone if it is still to come, as after a clock was set back.
pub fn since(moment: SystemTime) -> Duration {
    SystemTime::now().duration_since(moment).unwrap_or_default()
}

/// A moment as `2026-11-23 20:44:10`, by the local clock.
pub struct Moment(pub SystemTime);

impl Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = sys::local_time(self.0) else {
            return out.write_str("at an unknown time");
        };
        let (date, clock) = (
            (time.year, time.month, time.day),
            (time.hour, time.minute, time.second),
        );
        write!(out, "{:04}-{:02}-{:02} ", date.0, date.1, date.2)?;
        write!(out, "{:02}:{:02}:{:02}", clock.0, clock.1, clock.2)
    }
}

/// The zone that goes with it, as `+0100`, or with a colon as RFC 3339 wants it.
pub struct Zone(pub SystemTime, pub &'static str);

impl Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = sys::local_time(self.0).map_or(0, |time| time.offset);
        let sign = if offset < 0 { '-' } else { '+' };
        write!(
            out,
            "{sign}{:02}{}{:02}",
            offset.abs() / 60,
            self.1,
            offset.abs() % 60
        )
    }
}
