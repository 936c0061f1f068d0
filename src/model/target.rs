//! What is locked.

use std::ffi::{CStr, CString};
use std::fmt::{self, Display};
use std::os::fd::RawFd;

use crate::text::escape::Escaped;
use crate::text::password::without_passwords;

/// What is locked.
#[derive(Clone, Copy)]
pub enum Place {
    /// The file at a path, byte for byte as it was given.
    File(&'static CStr),
    /// A descriptor that the caller has open.
    Descriptor(RawFd),
    /// A lock on a server, `SCHEME://` and what the helper of that scheme makes of the rest.
    Remote(&'static CStr),
}

impl Place {
    /// What a word stands for that is given as a lock file.
    pub fn of(word: &'static CStr) -> Place {
        match scheme(word) {
            None => Place::File(word),
            Some(_) => Place::Remote(word),
        }
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(out, "{}", Escaped(path.to_bytes())),
            Place::Descriptor(number) => write!(out, "descriptor {number}"),
            Place::Remote(word) => write!(out, "{}", Escaped(&without_passwords(word.to_bytes()))),
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

/// The places to try in turn: the lock file alone, or LOCKFILE, LOCKFILE.2 and so on, with their
/// numbers.
pub fn slots(place: Place, count: Option<u16>) -> impl Iterator<Item = (Option<u16>, Place)> {
    let numbers = 1..=count.unwrap_or(1);
    numbers.map(move |number| (count.and(Some(number)), slot(place, number)))
}

/// The first slot has the name itself.
fn slot(place: Place, number: u16) -> Place {
    match place {
        Place::File(path) if number > 1 => {
            let name = [path.to_bytes(), format!(".{number}").as_bytes()].concat();
            // A path has no zero byte. It lives until exec, as the one of argv does.
            CString::new(name).map_or(place, |name| {
                Place::File(Box::leak(name.into_boxed_c_str()))
            })
        }
        _ => place,
    }
}
