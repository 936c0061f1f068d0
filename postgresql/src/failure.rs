//! Why there is no lock, and the exit status that says the same.

use std::fmt::{self, Display};
use std::io;

use rustix::io::Errno;

/// Why there is no lock.
pub enum Failure {
    /// The command line or the TARGET is wrong.
    Usage(String),
    /// There is no server, or it does not answer.
    Unavailable(String),
    /// The same, but perhaps for a moment only: it stops, it starts, or nobody listens.
    Away(String),
    /// The server lets nobody in as whom we come, or in that way, which no waiting changes.
    Refused(String),
    /// The server cannot hold such a lock.
    Unsuitable(String),
}

impl Failure {
    /// The exit status, after sysexits(3).
    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 64,
            Failure::Unavailable(_) | Failure::Away(_) => 69,
            Failure::Refused(_) => 77,
            Failure::Unsuitable(_) => 78,
        }
    }

    fn why(&mut self) -> &mut String {
        match self {
            Failure::Usage(why)
            | Failure::Unavailable(why)
            | Failure::Away(why)
            | Failure::Refused(why)
            | Failure::Unsuitable(why) => why,
        }
    }

    /// The same, with where it was behind it.
    pub fn at(mut self, place: &str) -> Failure {
        let why = self.why();
        why.truncate(why.trim_end().len());
        why.push_str("; ");
        why.push_str(place);
        self
    }

    /// The same without these words, which libpq or a server may have repeated.
    pub fn without(mut self, secrets: &[String]) -> Failure {
        let why = self.why();
        for secret in secrets {
            *why = without(why, secret);
        }
        self
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(why)
            | Failure::Unavailable(why)
            | Failure::Away(why)
            | Failure::Refused(why)
            | Failure::Unsuitable(why) => out.write_str(why.trim_end()),
        }
    }
}

/// What strerror(3) says, without the number that Rust puts behind it.
pub fn reason(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let words = text.split(" (os error").next();
    words.unwrap_or_default().to_owned()
}

/// A text without a secret. One that is short is only hidden where it stands alone: else other words
/// would be hidden in part, and tell what it is.
fn without(text: &str, secret: &str) -> String {
    const LONG: usize = 4;
    let is_of_a_word = |letter: char| letter.is_alphanumeric() || letter == '.';
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(secret) {
        shown.push_str(before);
        let is_part = shown.ends_with(is_of_a_word) || behind.starts_with(is_of_a_word);
        shown.push_str(if secret.len() < LONG && is_part {
            secret
        } else {
            "***"
        });
        rest = behind;
    }
    shown + rest
}
