//! The numbers that options take, as util-linux reads them, since scripts rely on that.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::outcome::Error;

/// An exit status, 0 to 255.
///
/// # Errors
///
/// [`Error::Usage`], as for all of these.
pub fn exit_status(value: &OsStr) -> Result<u8, Error> {
    parsed(
        value,
        |text| text.parse().ok(),
        "-E takes a number from 0 to 255",
    )
}

/// The number of a descriptor; whether it is open is not known yet, and a negative one never is.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn descriptor(value: &OsStr) -> Result<RawFd, Error> {
    parsed(value, |text| text.parse().ok(), "bad file descriptor")
}

/// How many slots, 1 to 999.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn slots(value: &OsStr) -> Result<u16, Error> {
    let number = |text: &str| text.parse().ok().filter(|slots| (1..=999).contains(slots));
    parsed(value, number, "--slots takes a number from 1 to 999")
}

/// Seconds to wait, in fractions if need be. Nothing where it is longer than a clock can tell: that
/// is for ever.
///
/// # Errors
///
/// [`Error::Usage`], also for negative numbers and NaN.
pub fn seconds(value: &OsStr) -> Result<Option<Duration>, Error> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
    let seconds = parsed(
        value,
        number,
        "-w takes a number of seconds, such as 10 or 0.5",
    )?;
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// A number of bytes that fits an off_t: decimal, octal after `0`, hexadecimal after `0x`, and then
/// K, M, G, T, P or E for powers of 1024 (KiB is the same, KB is 1000), before which a decimal
/// fraction may stand.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn bytes(value: &OsStr) -> Result<i64, Error> {
    parsed(
        value,
        size,
        "not a number of bytes, such as 100, 4K or 1.5MiB",
    )
}

fn parsed<T>(value: &OsStr, read: impl Fn(&str) -> Option<T>, rule: &str) -> Result<T, Error> {
    let number = value.to_str().and_then(|text| read(text.trim_start()));
    number.ok_or_else(|| Error::Usage(format!("{rule}: '{}'", value.to_string_lossy())))
}

fn size(text: &str) -> Option<i64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (radix, text) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(rest) => (16, rest),
        None if text.starts_with('0') => (8, text),
        None => (10, text),
    };
    let end = text
        .find(|letter: char| !letter.is_digit(radix))
        .unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(end)?;
    let whole = i64::from_str_radix(whole, radix).ok()?;
    let Some(rest) = rest.strip_prefix('.') else {
        return whole.checked_mul(unit(rest)?);
    };
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    let (fraction, suffix) = rest.split_at_checked(end)?;
    if suffix.is_empty() {
        return None;
    }
    let unit = unit(suffix)?;
    // Digits beyond the fifteenth are less than a byte of any unit that fits.
    let digits = fraction.get(..15).unwrap_or(fraction);
    let scale = 10_i128.pow(u32::try_from(digits.len()).ok()?);
    let part = i128::from(unit) * digits.parse::<i128>().unwrap_or(0) / scale;
    whole
        .checked_mul(unit)?
        .checked_add(i64::try_from(part).ok()?)
}

fn unit(suffix: &str) -> Option<i64> {
    let Some(letter) = suffix.chars().next() else {
        return Some(1);
    };
    let power = "KMGTPE".find(letter.to_ascii_uppercase())? + 1;
    let base: i64 = match suffix.get(1..)? {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return None,
    };
    base.checked_pow(u32::try_from(power).ok()?)
}
