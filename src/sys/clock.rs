//! Sleeping, and the calendar as the user's time zone has it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{Timespec, poll};
use rustix::io::Errno;

/// Sleeps for this long, or for less if a signal comes.
///
/// # Errors
///
/// Where the system does not let us sleep, as a sandbox may: std's own way panics then. What looks again and
/// again has to end in another way.
pub fn pause(time: Duration) -> Result<(), Errno> {
    let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
    match poll(&mut [], Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(reason) => Err(reason),
    }
}

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
/// ends. In UTC where `TZ` names a file that is none to be read.
pub fn local_time(moment: SystemTime) -> Option<LocalTime> {
    let seconds = match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
    };
    if zone_may_hang() {
        return Some(universal_time(seconds));
    }
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

/// A moment in UTC, by the Gregorian calendar. glibc's gmtime_r(3) reads the zone as well.
fn universal_time(seconds: i64) -> LocalTime {
    const DAY: i64 = 24 * 60 * 60;
    /// Every 400 years the calendar begins again.
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // From the first of March of the year 0, so that a leap day is the last of its year.
    let days = seconds.div_euclid(DAY) + 719_468;
    let (era, day) = (
        days.div_euclid(DAYS_OF_400_YEARS),
        days.rem_euclid(DAYS_OF_400_YEARS),
    );
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Of five months from March on each has 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let of_day = seconds.rem_euclid(DAY);
    LocalTime {
        year: year + era * 400 + i64::from(month <= 2),
        month: month as i32,
        day: day as i32,
        hour: (of_day / 3600) as i32,
        minute: (of_day / 60 % 60) as i32,
        second: (of_day % 60) as i32,
        offset: 0,
    }
}

/// Where C libraries look for a zone that is not a path (tzset(3)), unless `TZDIR` says otherwise.
const ZONES: &str = "/usr/share/zoneinfo";

/// What glibc opens in that folder for an empty `TZ`, and for the rules of one such as `EST5EDT` (its
/// time/tzset.c).
const GLIBCS_OWN: [&str; 2] = ["Universal", "posixrules"];

/// Whether `TZ` names a FIFO, a terminal or the like. glibc opens it and reads, and waits for whoever
/// writes there, so that the command would never be started.
///
/// A name in the system's own folder is not looked up: nobody puts a FIFO there, and a line of the log
/// costs no call more.
fn zone_may_hang() -> bool {
    let Some(zone) = env::var_os("TZ") else {
        return false;
    };
    let name = zone.as_bytes();
    let name = OsString::from_vec(name.strip_prefix(b":").unwrap_or(name).to_vec());
    let folder = env::var_os("TZDIR");
    // glibc looks for a relative one in the folder, musl takes one with a dot in front as it is.
    let is_path = name.as_bytes().starts_with(b"/") || name.as_bytes().starts_with(b".");
    let leaves = name.as_bytes().windows(2).any(|two| two == b"..");
    if !(is_path || leaves || folder.is_some()) {
        return false;
    }
    let others: &[&str] = match folder {
        Some(_) => &GLIBCS_OWN,
        None => &[],
    };
    let folder = PathBuf::from(folder.unwrap_or_else(|| ZONES.into()));
    let mut places: Vec<_> = others.iter().map(|other| folder.join(other)).collect();
    if !name.is_empty() {
        places.push(folder.join(&name));
    }
    places.extend(is_path.then(|| PathBuf::from(&name)));
    let is_no_file = |place: PathBuf| fs::metadata(place).is_ok_and(|found| !found.is_file());
    places.into_iter().any(is_no_file)
}
