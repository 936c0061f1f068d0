//! The arguments of options: numbers as util-linux reads them, since scripts rely on that, and
//! durations.

use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::options::{self, Opt};
use crate::model::dialect::Dialect;
use crate::model::error::Error;
use crate::model::target::SLOTS;
use crate::sys;
use crate::text::escape::Escaped;

/// An exit status, 0 to 255.
///
/// # Errors
///
/// [`Error::Usage`], as for all of these.
pub fn exit_status(value: &OsStr) -> Result<u8, Error> {
    parsed(
        value,
        |text| text.parse::<i32>().ok()?.try_into().ok(),
        "-E takes a number from 0 to 255, not",
    )
}

/// The number of a descriptor; whether it is open is not known yet, and a negative one never is.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn descriptor(value: &OsStr) -> Result<RawFd, Error> {
    parsed(value, |text| text.parse().ok(), "bad file descriptor:")
}

/// How many slots, 1 to 999.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn slots(value: &OsStr) -> Result<u16, Error> {
    let number = |text: &str| text.parse().ok().filter(|slots| SLOTS.contains(slots));
    parsed(value, number, "--slots takes a number from 1 to 999, not")
}

/// How long to wait: seconds, in fractions if need be, or under our own name a DURATION. Nothing where
/// it is longer than a clock can tell: that is for ever.
///
/// # Errors
///
/// [`Error::Usage`], also for negative numbers and NaN.
pub fn wait(value: &OsStr, dialect: Dialect) -> Result<Option<Duration>, Error> {
    let seconds = |text: &str| {
        let text = CString::new(text).ok()?;
        let seconds = sys::strtod(&text).filter(|seconds| *seconds >= 0.0)?;
        Some(Duration::try_from_secs_f64(seconds).ok())
    };
    match dialect {
        Dialect::Nonoverlap => parsed(
            value,
            |text| seconds(text).or_else(|| parse(text).map(Some)),
            "-w takes a number of seconds, or a duration such as 90s, 1.5m, 2h or 1d, not",
        ),
        Dialect::Flock => parsed(
            value,
            seconds,
            "-w takes a number of seconds, such as 10 or 0.5, not",
        ),
    }
}

/// A number of bytes of this option, which fits an off_t: decimal, octal after `0`, hexadecimal after `0x`, and then
/// K, M, G, T, P or E for powers of 1024 (KiB is the same, KB is 1000), before which a decimal
/// fraction may stand.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn bytes(value: &OsStr, option: Opt) -> Result<i64, Error> {
    parsed(
        value,
        size,
        format_args!(
            "{} takes a number of bytes, such as 100, 4K or 1.5MiB, not",
            options::name(option)
        ),
    )
}

/// A value that `read` can read, or the error that begins with `rule`.
fn parsed<T>(
    value: &OsStr,
    read: impl Fn(&str) -> Option<T>,
    rule: impl Display,
) -> Result<T, Error> {
    let number = value.to_str().and_then(|text| read(text.trim_start()));
    number.ok_or_else(|| Error::Usage(format!("{rule} '{}'", Escaped(value.as_bytes()))))
}

/// A DURATION of this option: seconds, or a number with s, m, h or d behind it; a fraction is
/// allowed.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn duration(value: &OsStr, option: Opt) -> Result<Duration, Error> {
    value.to_str().and_then(parse).ok_or_else(|| {
        Error::Usage(format!(
            "{} takes a duration, such as 90, 90s, 1.5m, 2h or 1d, not '{}'",
            options::name(option),
            Escaped(value.as_bytes())
        ))
    })
}

/// A DURATION, if the text is one.
fn parse(text: &str) -> Option<Duration> {
    let (number, unit): (_, u32) = match text.char_indices().next_back()? {
        (end, 's') => (text.get(..end)?, 1),
        (end, 'm') => (text.get(..end)?, 60),
        (end, 'h') => (text.get(..end)?, 60 * 60),
        (end, 'd') => (text.get(..end)?, 24 * 60 * 60),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A double would not hold all seconds that a Duration does.
    let whole: u64 = format!("0{whole}").parse().ok()?;
    let fraction = sys::strtod(&CString::new(format!("0.{fraction}")).ok()?)?;
    let fraction = Duration::try_from_secs_f64(fraction * f64::from(unit)).ok()?;
    Duration::from_secs(whole.checked_mul(unit.into())?).checked_add(fraction)
}

/// A number of bytes, if the text is one.
fn size(text: &str) -> Option<i64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (radix, text) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(rest) => (16, rest),
        None if text.starts_with('0') => (8, text),
        None => (10, text),
    };
    let (whole, rest) = split_digits(text, radix)?;
    let whole = i128::from(u64::from_str_radix(whole, radix).ok()?);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest, 10).filter(|(_, suffix)| !suffix.is_empty())?,
        None => ("", rest),
    };
    let unit = unit(suffix)?;
    let size = whole
        .checked_mul(unit)?
        .checked_add(part(fraction, unit)?)?;
    i64::try_from(size).ok()
}

/// The bytes that the digits behind the point stand for, by flock's own arithmetic (util-linux,
/// lib/strutils.c): what a digit stands for is the unit divided by a whole number, and so 1.3K is
/// 1365. The same words have to lock the same bytes, or a nonoverlap beside a flock would not
/// exclude it.
fn part(fraction: &str, unit: i128) -> Option<i128> {
    const MOST: i128 = u64::MAX as i128;
    let digits = fraction.trim_start_matches('0');
    let mut number = match digits {
        "" => 0,
        digits => i128::from(digits.parse::<u64>().ok()?),
    };
    let mut divisor = 10;
    while divisor < number {
        shift(&mut divisor, &mut number, MOST);
    }
    for _ in digits.len()..fraction.len() {
        shift(&mut divisor, &mut number, MOST);
    }
    let mut part = 0;
    while number > 0 {
        let share = divisor.checked_div(number % 10).unwrap_or(0);
        part += unit.checked_div(share).unwrap_or(0);
        number /= 10;
        divisor /= 10;
    }
    Some(part)
}

/// One decimal place more, or where that does not fit, a digit less.
fn shift(divisor: &mut i128, number: &mut i128, most: i128) {
    match *divisor <= most / 10 {
        true => *divisor *= 10,
        false => *number /= 10,
    }
}

/// The digits at the start of a text, and the rest.
fn split_digits(text: &str, radix: u32) -> Option<(&str, &str)> {
    let end = text.find(|letter: char| !letter.is_digit(radix));
    text.split_at_checked(end.unwrap_or(text.len()))
}

/// How many bytes a suffix stands for.
fn unit(suffix: &str) -> Option<i128> {
    let Some(letter) = suffix.chars().next() else {
        return Some(1);
    };
    let power = "KMGTPEZY".find(letter.to_ascii_uppercase())? + 1;
    let base: i128 = match suffix.get(1..)? {
        "" | "iB" | "ib" => 1024,
        "B" | "b" => 1000,
        _ => return None,
    };
    base.checked_pow(u32::try_from(power).ok()?)
}
