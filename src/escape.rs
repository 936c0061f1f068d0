//! Bytes that came from elsewhere, made safe to show on a terminal or in a log.

use std::fmt::{self, Display, Write};

/// Shows bytes as text: what is printable as it is, and anything that could steer a terminal, fake
/// a second line or turn the direction of writing as an escape such as `\n`, `\x1b` or `\u{202e}`.
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\0'..='\x7f' if letter.is_control() => {
                        write!(out, "{}", (letter as u8).escape_ascii())?
                    }
                    _ if letter.is_control() || steers_writing(letter) => {
                        write!(out, "{}", letter.escape_unicode())?
                    }
                    _ => out.write_char(letter)?,
                }
            }
            for byte in chunk.invalid() {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Line and paragraph separators, and the marks that turn the direction of the text around them
/// (Unicode TR 9).
fn steers_writing(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

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
