//! Passwords in the word of a lock on a server, hidden before it is shown, and in what its helper says.

use std::ops::Range;

use super::escape::position;

/// What stands behind the scheme.
const MARK: &[u8] = b"://";

/// What stands in place of a password.
const HIDDEN: &[u8; 3] = b"***";

/// The word of a remote lock without its passwords: behind the first colon of the user's part (RFC
/// 3986, section 3.2.1), and as the value of a parameter.
///
/// Also hides passwords with a bare `/`, `#` or `@`: some libraries accept them, others print them in
/// the error.
pub fn without_passwords(word: &[u8]) -> Vec<u8> {
    if position(word, MARK).is_none() {
        return word.to_vec();
    }
    let mut text = word.to_vec();
    for secret in secrets(word).into_iter().rev() {
        text.splice(secret, *HIDDEN);
    }
    text
}

/// A command line without the passwords in its words that look like a remote lock's: a job may take a
/// second lock.
pub fn without_passwords_in(line: &[u8]) -> Vec<u8> {
    let words = line.split(|&byte| byte == b' ').map(without_passwords);
    words.collect::<Vec<_>>().join(&b" "[..])
}

/// A text without the passwords of the word of a remote lock: as they stand there, or without the
/// escapes of a URI, or a part of one between letters at which a library may break it. What is short is
/// one only where it stands alone: else other words would be hidden in part, and tell what it is. A text
/// that is cut may end in the beginning of one.
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
    let mut start = 0;
    while let Some(rest @ [first, ..]) = text.get(start..) {
        let begins = |secret: &&Vec<u8>| {
            let length = secret.len();
            let is_there = rest.starts_with(secret) || is_cut && secret.starts_with(rest);
            is_there && (length >= LONG || stands_alone(text, start, length))
        };
        match known.iter().filter(begins).map(Vec::len).max() {
            Some(length) => {
                shown.extend(HIDDEN);
                start += length;
            }
            None => {
                shown.push(*first);
                start += 1;
            }
        }
    }
    shown
}

/// So many bytes do not come by chance.
const LONG: usize = 4;

/// Whether a part of a text is no part of a word, of a number or of an address.
fn stands_alone(text: &[u8], start: usize, length: usize) -> bool {
    let before = start.checked_sub(1).and_then(|index| text.get(index));
    let behind = text.get(start + length);
    let is_of_a_word =
        |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'.' || !byte.is_ascii();
    before
        .into_iter()
        .chain(behind)
        .find(is_of_a_word)
        .is_none()
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

/// Where the password behind a user's name is, or behind a host's, where it is no port: somebody has
/// forgotten the host.
fn password_of_user(text: &[u8]) -> Option<Range<usize>> {
    let start = position(text, MARK)? + MARK.len();
    let rest = text.get(start..)?;
    let authority = rest.split(|&byte| byte == b'/').next()?;
    let colon = authority.iter().position(|&byte| byte == b':')?;
    let last_at = |text: &[u8]| text.iter().rposition(|&byte| byte == b'@');
    let name = rest.iter().rposition(|&byte| byte == b'#');
    let unnamed = rest.get(..name.unwrap_or(rest.len()))?;
    match last_at(authority).or_else(|| last_at(unnamed)) {
        Some(end) => (colon < end).then_some(start + colon + 1..start + end),
        None => Some(start + no_port(unnamed)?..start + unnamed.len()),
    }
}

/// Where in hosts with their ports, and what follows them, the first port is that is no number.
fn no_port(text: &[u8]) -> Option<usize> {
    let mut start = 0;
    for host in text
        .split(|byte| b"/?".contains(byte))
        .next()?
        .split(|&byte| byte == b',')
    {
        // An IPv6 address has colons, too.
        let address = match host.first() {
            Some(b'[') => host
                .iter()
                .position(|&byte| byte == b']')
                .unwrap_or(host.len()),
            _ => 0,
        };
        let colon = host.iter().skip(address).position(|&byte| byte == b':');
        let port = colon.map(|colon| address + colon + 1);
        if let Some(port) = port.filter(|&port| !host.iter().skip(port).all(u8::is_ascii_digit)) {
            return Some(start + port);
        }
        start += host.len() + 1;
    }
    None
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
    const SIGNS: [&[u8]; 14] = [
        b"pas", b"pw", b"pss", b"psw", b"psd", b"word", b"wrd", b"wd", b"secret", b"token", b"key",
        b"auth", b"cred", b"%",
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
