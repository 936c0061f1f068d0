//! Why there is no lock, and the exit status that says the same.

use std::fmt::{self, Display};

/// Why there is no lock.
pub enum Failure {
    /// The command line or the TARGET is wrong.
    Usage(String),
    /// There is no server, or it refuses, or it does not answer.
    Unavailable(String),
    /// The server cannot hold such a lock.
    Unsuitable(String),
}

impl Failure {
    /// The exit status, after sysexits(3).
    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 64,
            Failure::Unavailable(_) => 69,
            Failure::Unsuitable(_) => 78,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(why) | Failure::Unavailable(why) | Failure::Unsuitable(why) => {
                out.write_str(why.trim_end())
            }
        }
    }
}
