//! The calendar, as the user's time zone has it.

use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment by the calendar and the clock on the wall.
pub struct LocalTime {
    /// The year, such as 2026.
    pub year: i64,
    /// 1 to 12.
    pub month: i32,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
    /// Minutes east of Greenwich.
    pub offset: i64,
}

/// A moment in the time zone of `TZ` or of the system (localtime(3)); nothing where the calendar
/// ends.
pub fn local_time(moment: SystemTime) -> Option<LocalTime> {
    let seconds = match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
    };
    let seconds = seconds as _; // A time_t, which has 32 bits on some systems.
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid, and localtime_r(3) writes to `parts` only.
    let done = unsafe { libc::localtime_r(&seconds, parts.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: zeroed before, and a tm is integers and a pointer that may be null.
    let parts = unsafe { parts.assume_init() };
    Some(LocalTime {
        year: 1900 + i64::from(parts.tm_year),
        month: parts.tm_mon + 1,
        day: parts.tm_mday,
        hour: parts.tm_hour,
        minute: parts.tm_min,
        second: parts.tm_sec,
        #[allow(clippy::useless_conversion)] // A long, which is 32 bits wide on some systems.
        offset: i64::from(parts.tm_gmtoff) / 60,
    })
}
