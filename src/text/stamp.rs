//! The date, the time and the durations of a log's lines, read back: what [`Moment`], [`Zone`] and
//! [`Elapsed`] write.
//!
//! [`Moment`]: super::time::Moment
//! [`Zone`]: super::time::Zone
//! [`Elapsed`]: super::time::Elapsed

use std::fmt::{self, Display};

/// How many bytes a stamp has: `2026-11-28 01:14:09 +0100`.
const LENGTH: usize = 25;

/// How many of them are the date and the time of day.
const CLOCK: usize = 19;

/// When a line was written, as it has it.
#[derive(Clone, Copy)]
pub struct Stamp {
    /// Its text, all of which is ASCII.
    text: [u8; LENGTH],
    /// The same in seconds since 1970.
    pub seconds: i64,
}

impl Stamp {
    /// The stamp at the start of a line, and what stands behind it.
    pub fn read(line: &[u8]) -> Option<(Stamp, &[u8])> {
        let (text, rest) = line.split_first_chunk::<LENGTH>()?;
        // A digit stands for any.
        let is_of_form = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            form => byte == form,
        };
        let form = b"0000-00-00 00:00:00 +0000";
        if !text.iter().zip(form).all(is_of_form) {
            return None;
        }
        let number = |from, to| text.get(from..to).map_or(0, decimal);
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        let (zone_hour, zone_minute) = (number(21, 23), number(23, 25));
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        // The sixty-first second of a minute is a leap second.
        let is_time = hour < 24 && minute < 60 && second <= 60 && zone_minute < 60;
        if !(is_date && is_time && zone_hour < 24) {
            return None;
        }
        let east = (zone_hour * 60 + zone_minute) * 60;
        let clock = (hour * 60 + minute) * 60 + second;
        let seconds = days_since_1970(year, month, day) * 86_400 + clock;
        let seconds = match text.get(CLOCK + 1) {
            Some(b'-') => seconds + east,
            _ => seconds - east,
        };
        let text = *text;
        Some((Stamp { text, seconds }, rest))
    }

    /// A part of its text.
    fn part(&self, from: usize, to: usize) -> &str {
        let part = self.text.get(from..to).unwrap_or_default();
        std::str::from_utf8(part).unwrap_or_default()
    }
}

/// The date and the time of day, without the zone.
impl Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.part(0, CLOCK))
    }
}

/// A stamp in the form of RFC 3339, in quotes.
pub struct JsonStamp(pub Stamp);

impl Display for JsonStamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.part(0, 10), self.0.part(11, CLOCK));
        let (hours, minutes) = (self.0.part(20, 23), self.0.part(23, LENGTH));
        write!(out, "\"{date}T{time}{hours}:{minutes}\"")
    }
}

/// How many days a date of the Gregorian calendar is after the first one of 1970. The year begins in
/// March here, so that the day that some years have more is its last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        ..=2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + of_year - 719_468
}

/// Digits as a number; those of a stamp are four at the most.
fn decimal(digits: &[u8]) -> i64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// The number at the start of a text, and what stands behind it. No zero stands in front of it.
pub fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    // More would not fit, and is no PID and no time.
    let is_one = matches!(digits.len(), 1..=12) && (digits.len() == 1 || !digits.starts_with(b"0"));
    is_one.then(|| (decimal(digits), rest))
}

/// A duration that was written in two units at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounded {
    /// Its seconds, rounded down.
    pub seconds: i64,
    /// It was less than so many seconds more: 1, or 60, or 3600.
    pub unit: i64,
}

impl Rounded {
    /// The duration at the start of a text (`3s`, `12m03s`, `2h05m`, `3d04h`), and what stands behind
    /// it.
    pub fn read(text: &[u8]) -> Option<(Rounded, &[u8])> {
        let (large, rest) = number(text)?;
        let (&letter, rest) = rest.split_first()?;
        let (size, unit, small) = match letter {
            b's' => {
                let rounded = Rounded {
                    seconds: large,
                    unit: 1,
                };
                return Some((rounded, rest));
            }
            b'm' => (60, 1, b's'),
            b'h' => (3600, 60, b'm'),
            b'd' => (86_400, 3600, b'h'),
            _ => return None,
        };
        let (&[tens, ones, letter], rest) = rest.split_first_chunk::<3>()?;
        if !(tens.is_ascii_digit() && ones.is_ascii_digit() && letter == small) {
            return None;
        }
        let less = decimal(&[tens, ones]);
        (less * unit < size).then(|| {
            let seconds = large * size + less * unit;
            (Rounded { seconds, unit }, rest)
        })
    }
}
