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

/// The lines of a text in one, with nothing of those that are empty.
pub fn in_a_line(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n');
    let lines: Vec<_> = lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(&b"; "[..])
}

/// Where a part of a text begins.
pub fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Line and paragraph separators, and the marks that turn the direction of the text around them
/// (Unicode TR 9).
pub fn steers_writing(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}
