//! Passwords in the word of a lock on a server, hidden before it is shown.

use std::ops::Range;

use super::escape::position;

/// The word of a remote lock without its passwords: behind the first colon of the user's part (RFC
/// 3986, section 3.2.1), and as the value of a parameter.
///
/// Also hides passwords with a bare `/`, `#` or `@`: some libraries accept them, others print them in
/// the error.
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

/// Where the password behind a user's name is.
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

/// Where the value of the next parameter `password` is, from a place on.
fn password_parameter(text: &[u8], from: usize) -> Option<Range<usize>> {
    const NAME: &[u8] = b"password=";
    let start = from + position(text.get(from..)?, NAME)? + NAME.len();
    let value = text.get(start..)?;
    let value = value.split(|&byte| byte == b'&').next()?;
    let end = value.iter().rposition(|&byte| byte == b'#');
    Some(start..start + end.unwrap_or(value.len()))
}
