//! Bytes that came from elsewhere, made safe to show on a terminal or in a log.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Shows bytes as text: what is printable as it is, and anything that could steer a terminal, fake
/// a second line or turn the direction of writing as an escape such as `\n`, `\x1b` or `\u{202e}`.
pub struct Escaped<'a>(pub &'a [u8]);

impl<'a> Escaped<'a> {
    /// What is shown as a whole or not at all, one by one.
    fn pieces(&self) -> impl Iterator<Item = Piece> + use<'a> {
        self.0.utf8_chunks().flat_map(|chunk| {
            let letters = chunk.valid().chars().map(Piece::Letter);
            letters.chain(chunk.invalid().iter().map(|&byte| Piece::Byte(byte)))
        })
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces().try_for_each(|piece| piece.fmt(out))
    }
}

/// A letter, or a byte that is of none.
enum Piece {
    /// It is UTF-8.
    Letter(char),
    /// It is not.
    Byte(u8),
}

impl Display for Piece {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Piece::Letter(letter @ '\0'..='\x7f') if letter.is_control() => {
                write!(out, "{}", (letter as u8).escape_ascii())
            }
            Piece::Letter(letter) if letter.is_control() || steers_writing(letter) => {
                write!(out, "{}", letter.escape_unicode())
            }
            Piece::Letter(letter) => out.write_char(letter),
            Piece::Byte(byte) => write!(out, "\\x{byte:02x}"),
        }
    }
}

/// How many bytes of a command line are shown: the kernel takes one of megabytes, and every line of a log
/// that names it would be as long.
const MOST_SHOWN: usize = 1000;

/// What stands where a command line was cut.
const CUT: &str = "...";

/// A command line as it is shown: escaped, and cut where that is longer than a thousand bytes. No letter and
/// no escape is cut in two.
pub fn command_line(line: &[u8]) -> String {
    let mut shown = String::new();
    // Up to here there is room for the mark of a cut behind it.
    let mut room = 0;
    for piece in Escaped(line).pieces() {
        // Writing to a String cannot fail.
        let _ = write!(shown, "{piece}");
        if shown.len() > MOST_SHOWN {
            shown.truncate(room);
            return shown + CUT;
        }
        if shown.len() + CUT.len() <= MOST_SHOWN {
            room = shown.len();
        }
    }
    shown
}

/// The same bytes unescaped, cut where there are more than a thousand.
pub fn cut_command_line(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= MOST_SHOWN {
        return Cow::Borrowed(line);
    }
    let most = line.get(..MOST_SHOWN - CUT.len()).unwrap_or_default();
    let mut cut = Vec::new();
    let mut chunks = most.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        cut.extend_from_slice(chunk.valid().as_bytes());
        // At the end, it may be a letter that was cut.
        if chunks.peek().is_some() {
            cut.extend_from_slice(chunk.invalid());
        }
    }
    cut.extend_from_slice(CUT.as_bytes());
    Cow::Owned(cut)
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
