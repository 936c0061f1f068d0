//! Passwords in the word of a lock on a server, hidden before it is shown, and in what its helper says.

use std::ops::Range;

use super::escape::position;

/// What stands in place of a password.
const HIDDEN: &[u8; 3] = b"***";

/// The word of a remote lock without its passwords: behind the first colon of the user's part (RFC
/// 3986, section 3.2.1), and as the value of a parameter.
///
/// Also hides passwords with a bare `/`, `#` or `@`: some libraries accept them, others print them in
/// the error.
pub fn without_passwords(word: &[u8]) -> Vec<u8> {
    let mut text = word.to_vec();
    for secret in secrets(word).into_iter().rev() {
        text.splice(secret, *HIDDEN);
    }
    text
}

/// A text without the passwords of the word of a remote lock: as they stand there, or without the
/// escapes of a URI, or a part of one between letters at which a library may break it. A text that is cut
/// may end in the beginning of one.
pub fn without_secrets_of(word: &[u8], text: &[u8], is_cut: bool) -> Vec<u8> {
    let breaks = |byte: &u8| b"/?#@:&=".contains(byte);
    let mut known = Vec::new();
    for secret in secrets(word) {
        let raw = word.get(secret).unwrap_or_default();
        for secret in [raw.to_vec(), unescaped(raw)] {
            known.extend(secret.split(breaks).map(<[u8]>::to_vec));
            known.push(secret);
        }
    }
    known.retain(|secret| !secret.is_empty());
    let mut shown = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let begins =
            |secret: &&Vec<u8>| rest.starts_with(secret) || is_cut && secret.starts_with(rest);
        match known.iter().filter(begins).map(Vec::len).max() {
            Some(length) => {
                shown.extend(HIDDEN);
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                shown.push(*first);
                rest = behind;
            }
        }
    }
    shown
}

/// Where the passwords of a word are, in their order.
fn secrets(word: &[u8]) -> Vec<Range<usize>> {
    let user = password_of_user(word);
    let (start, end) = user.as_ref().map_or((0, 0), |it| (it.start, it.end));
    let mut found = secret_parameters(word, 0..start);
    found.extend(user);
    found.extend(secret_parameters(word, end..word.len()));
    found
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

/// Where the values of parameters are that may be passwords, within a part of a text.
fn secret_parameters(text: &[u8], part: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let Range { mut start, end } = part;
    while let Some(rest) = text.get(start..end) {
        let Some(sign) = rest.iter().position(|&byte| byte == b'=') else {
            break;
        };
        let (before, value) = (rest.get(..sign), rest.get(sign + 1..));
        let name = before.and_then(|it| it.rsplit(|byte| b"?&#/:@".contains(byte)).next());
        let value = value.and_then(|it| it.split(|&byte| byte == b'&').next());
        start += sign + 1;
        if let (Some(value), true) = (value, name.is_some_and(may_be_secret)) {
            let length = value.iter().rposition(|&byte| byte == b'#');
            let secret = start..start + length.unwrap_or(value.len());
            start = secret.end;
            found.push(secret);
        }
    }
    found
}

/// Whether a parameter of this name may have a password for its value: as no list has every name that a
/// library knows, nor those that somebody mistypes, by what is in it. A file is none.
fn may_be_secret(name: &[u8]) -> bool {
    const SIGNS: [&[u8]; 9] = [
        b"pas", b"pw", b"word", b"secret", b"token", b"key", b"auth", b"cred", b"%",
    ];
    let name = name.to_ascii_lowercase();
    let has = |sign: &&[u8]| position(&name, sign).is_some();
    SIGNS.iter().any(has) && !name.ends_with(b"file")
}

/// A text without the escapes of a URI (RFC 3986, section 2.1).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let byte = match rest {
            [b'%', digits @ ..] => digits.get(..2).and_then(|it| {
                let is_hex = it.iter().all(u8::is_ascii_hexdigit);
                let digits = std::str::from_utf8(it).ok().filter(|_| is_hex)?;
                u8::from_str_radix(digits, 16).ok()
            }),
            _ => None,
        };
        plain.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => rest.get(3..).unwrap_or_default(),
            None => behind,
        };
    }
    plain
}
