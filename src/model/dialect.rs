//! Which of two tools this is: nonoverlap, or, by the name that it was started under, flock.

use crate::sys::Words;

/// The tool that the caller asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// nonoverlap itself.
    Nonoverlap,
    /// util-linux's flock: waits unless told otherwise, has its exit statuses, its verbose lines
    /// and no options but its own, and writes no record.
    Flock,
}

impl Dialect {
    /// By the base name of argv[0], so that a symbolic link, a hard link and a copy all do.
    pub fn of(words: Words) -> Dialect {
        let name = words.get(0).map_or(&b""[..], |word| word.to_bytes());
        match name.rsplit(|&byte| byte == b'/').next() {
            Some(b"flock") => Dialect::Flock,
            _ => Dialect::Nonoverlap,
        }
    }

    /// The name that every message begins with.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Nonoverlap => "nonoverlap",
            Dialect::Flock => "flock",
        }
    }
}
