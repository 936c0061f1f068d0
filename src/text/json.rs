//! Values as JSON (RFC 8259).

use std::fmt::{self, Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::escape::steers_writing;
use super::time::{Moment, Zone};

/// Bytes as a JSON string (RFC 8259), quotes and all. What is not UTF-8 becomes U+FFFD, since JSON
/// has no bytes.
pub struct Json<'a>(pub &'a [u8]);

impl Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_char('"')?;
        for letter in String::from_utf8_lossy(self.0).chars() {
            match letter {
                '"' | '\\' => write!(out, "\\{letter}")?,
                // The escapes also keep terminals safe from what a command line may hold.
                _ if letter.is_control() || steers_writing(letter) => {
                    write!(out, "\\u{:04x}", u32::from(letter))?;
                }
                _ => out.write_char(letter)?,
            }
        }
        out.write_char('"')
    }
}

/// A number or a truth value, or null where it is not known.
pub struct JsonOption<T>(pub Option<T>);

impl<T: Display> Display for JsonOption<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("null"),
        }
    }
}

/// A moment in the form of RFC 3339, in quotes.
pub struct JsonTime(pub SystemTime);

impl Display for JsonTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = if self.0 < UNIX_EPOCH {
            UNIX_EPOCH
        } else {
            self.0
        };
        let text = Moment(moment).to_string().replace(' ', "T");
        write!(out, "\"{text}{}\"", Zone(moment, ":"))
    }
}
