//! Bytes that came from elsewhere, made safe to show on a terminal or in a log.

use std::fmt::{self, Display, Write};
use std::ops::Range;

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

/// The word of a remote lock without its passwords: behind the first colon of the user's part (RFC
/// 3986, section 3.2.1), and as the value of a parameter.
///
/// A password in which a slash, a `#` or an `@` is not written with a percent sign is hidden, too: some
/// take it all the same, and where it is refused, that is told.
#[cold]
pub fn without_passwords(word: &[u8]) -> Vec<u8> {
    const HIDDEN: &[u8; 3] = b"***";
    let mut text = word.to_vec();
    if let Some(secret) = password_of_user(&text) {
        text.splice(secret, *HIDDEN);
    }
    let mut start = 0;
    while let Some(secret) = password_parameter(&text, start) {
        start = secret.start + HIDDEN.len();
        text.splice(secret, *HIDDEN);
    }
    text
}

fn password_of_user(text: &[u8]) -> Option<Range<usize>> {
    const MARK: &[u8] = b"://";
    let start = position(text, MARK)? + MARK.len();
    let rest = text.get(start..)?;
    let authority = rest.split(|&byte| byte == b'/').next()?;
    let colon = authority.iter().position(|&byte| byte == b':')?;
    let last_at = |text: &[u8]| text.iter().rposition(|&byte| byte == b'@');
    let name = rest.iter().rposition(|&byte| byte == b'#');
    let end = last_at(authority).or_else(|| last_at(rest.get(..name.unwrap_or(rest.len()))?))?;
    (colon < end).then_some(start + colon + 1..start + end)
}

fn password_parameter(text: &[u8], from: usize) -> Option<Range<usize>> {
    const NAME: &[u8] = b"password=";
    let start = from + position(text.get(from..)?, NAME)? + NAME.len();
    let value = text.get(start..)?;
    let value = value.split(|&byte| byte == b'&').next()?;
    let end = value.iter().rposition(|&byte| byte == b'#');
    Some(start..start + end.unwrap_or(value.len()))
}

/// Where a part of a text begins.
pub fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
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
