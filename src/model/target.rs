//! What is locked.

use std::ffi::{CStr, CString};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::os::fd::RawFd;

use crate::text::escape::Escaped;
use crate::text::password::without_passwords;

/// What is locked.
#[derive(Clone, Copy)]
pub enum LockTarget {
    /// The file at a path, byte for byte as it was given.
    File(&'static CStr),
    /// A descriptor that the caller has open.
    Descriptor(RawFd),
    /// A lock on a server, `SCHEME://` and what the helper of that scheme makes of the rest.
    Remote(&'static CStr),
}

impl LockTarget {
    /// What a word stands for that is given as a lock file.
    pub fn of(word: &'static CStr) -> LockTarget {
        match scheme(word) {
            None => LockTarget::File(word),
            Some(_) => LockTarget::Remote(word),
        }
    }
}

impl Display for LockTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockTarget::File(path) => write!(out, "{}", Escaped(path.to_bytes())),
            LockTarget::Descriptor(number) => write!(out, "descriptor {number}"),
            LockTarget::Remote(word) => {
                write!(out, "{}", Escaped(&without_passwords(word.to_bytes())))
            }
        }
    }
}

/// What follows a scheme.
const MARK: &[u8] = b"://";

/// The scheme of a word that begins with one and `://` (RFC 3986, section 3.1).
pub fn scheme(word: &CStr) -> Option<&str> {
    let word = word.to_bytes();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let end = word.iter().position(|byte| !is_part(byte))?;
    let (scheme, rest) = word.split_at_checked(end)?;
    let is_one = scheme.first()?.is_ascii_alphabetic() && rest.starts_with(MARK);
    std::str::from_utf8(scheme).ok().filter(|_| is_one)
}

/// How many slots there can be.
pub const SLOTS: RangeInclusive<u16> = 1..=999;

/// The targets to try in turn: the lock file alone, or LOCKFILE, LOCKFILE.2 and so on, with their
/// numbers.
pub fn slots(
    target: LockTarget,
    count: Option<u16>,
) -> impl Iterator<Item = (Option<u16>, LockTarget)> {
    let numbers = 1..=count.unwrap_or(1);
    numbers.map(move |number| (count.and(Some(number)), slot(target, number)))
}

/// The first slot has the name itself.
fn slot(target: LockTarget, number: u16) -> LockTarget {
    match target {
        LockTarget::File(path) if number > 1 => {
            let name = [path.to_bytes(), format!(".{number}").as_bytes()].concat();
            // A path has no zero byte. It lives until exec, as the one of argv does.
            CString::new(name).map_or(target, |name| {
                LockTarget::File(Box::leak(name.into_boxed_c_str()))
            })
        }
        _ => target,
    }
}
