use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::{bytes, many_times};
use crate::cli::options::Opt;
use crate::cli::values::{self as number, duration};
use crate::model::dialect::Dialect;
use crate::text::escape::{Escaped, command_line, position};
use crate::text::json::Json;
use crate::text::password::{without_passwords, without_secrets_of};
use crate::text::time::Elapsed;

#[test]
fn no_byte_from_elsewhere_steers_a_terminal() {
    many_times(|dice| {
        let text = bytes(dice, b"\x1b\n\xe2\x80\xae\xc2\x9b\"\\x", 20);
        let steers =
            |letter: char| letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter);
        assert!(!Escaped(&text).to_string().contains(steers), "{text:?}");
        let json = Json(&text).to_string();
        assert!(!json.contains(steers), "{text:?}");
        // As a reader of JSON sees it: no quote but the first and the last without a backslash.
        let inside = json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let unescaped = inside.unwrap().replace(r"\\", "").replace("\\\"", "");
        assert!(
            !unescaped.contains('"') && !unescaped.ends_with('\\'),
            "{text:?}"
        );
    });
}

#[test]
fn a_command_line_is_shown_whole_or_up_to_where_a_thousand_bytes_have_room() {
    many_times(|dice| {
        let line = bytes(
            dice,
            b"\x1b\n\xe2\x80\xae\xc2\x9b\"\\ x\xf0\x9f\x94\x92",
            2100,
        );
        let whole = Escaped(&line).to_string();
        let shown = command_line(&line);
        assert!(shown.len() <= 1000, "{shown}");
        if whole.len() <= 1000 {
            return assert_eq!(shown, whole);
        }
        let start = shown.strip_suffix("...").unwrap();
        // No escape of ours is longer than `\u{202e}`.
        assert!(
            whole.starts_with(start) && start.len() > 1000 - 3 - 8,
            "{shown}"
        );
    });
}

#[test]
fn no_password_of_a_remote_lock_is_shown() {
    many_times(|dice| {
        let secret = bytes(dice, b"a:/@?&=#://password=", 40);
        let word = [b"test://user:", &secret[..], b"@host/db#job"].concat();
        let shown = without_passwords(&word);
        // Behind a slash, the last `@` may be any.
        if !secret.contains(&b'/') {
            assert_eq!(&shown[..], b"test://user:***@host/db#job", "{secret:?}");
        }
        assert!(shown.starts_with(b"test://user:***@"), "{secret:?}");
        // Nothing else is a password.
        let word = [b"test://", &bytes(dice, b"a1/?#&=,", 40)[..]].concat();
        let may_name_one = |byte: &u8| {
            b"@%:".contains(byte) || byte.is_ascii_alphabetic() && !b"tesa".contains(byte)
        };
        if !word.iter().skip(7).any(may_name_one) {
            assert_eq!(without_passwords(&word), word);
        }
    });
    for (word, shown) in [
        (
            "a://h/d?sslpassword=x&password=y#n",
            "a://h/d?sslpassword=***&password=***#n",
        ),
        ("a://u:x:y@z@h", "a://u:***@h"),
        (
            "a://u?password=x:y@h/d?token=z",
            "a://u?password=******@h/d?token=***",
        ),
        ("a://u@h:80/d#n@m", "a://u@h:80/d#n@m"),
        (
            "a://h:80,[::1]:81/d?x=b:c#n:m",
            "a://h:80,[::1]:81/d?x=b:c#n:m",
        ),
        ("a://u:pass#n:m", "a://u:***#n:m"),
        ("a://#n", "a://#n"),
    ] {
        let without = without_passwords(word.as_bytes());
        assert_eq!(without, shown.as_bytes());
    }
}

#[test]
fn nothing_of_a_password_is_left_in_a_helpers_words() {
    many_times(|dice| {
        // Behind a bare slash, where it ends is a guess.
        let mut secret = bytes(dice, b"xyz%2f@?&=#:", 12);
        secret.retain(|byte| !b"/*".contains(byte));
        let word = [b"test://u:", &secret[..], b"@h"].concat();
        let said = [b"--", &secret[..], b"--", &bytes(dice, b"xyz-", 12)].concat();
        let shown = without_secrets_of(&word, &said, false);
        let alone = [b"--", &secret[..], b"--"].concat();
        let alone = without_secrets_of(&word, &alone, false);
        let is_left = !secret.is_empty() && position(&alone, &secret).is_some();
        assert!(!is_left, "{secret:?} {alone:?}");
        // What is shorter may come by chance.
        let parts = secret.split(|byte| b"/?#@:&=".contains(byte));
        for part in parts.filter(|part| part.len() >= 4) {
            assert!(
                position(&shown, part).is_none(),
                "{secret:?} {said:?} {shown:?}"
            );
        }
        // Without one, nothing is changed.
        assert_eq!(
            without_secrets_of(b"test://u@h/xyz?x=y#z", &said, true),
            said
        );
    });
}

#[test]
fn any_text_is_a_number_within_its_bounds_or_none() {
    many_times(|dice| {
        let text = bytes(dice, b"0123456789.+-eExKMGTPEZYiBsmhd", 26);
        let text = OsStr::from_bytes(&text);
        let _ = number::exit_status(text);
        let _ = number::descriptor(text);
        let _ = number::wait(text, Dialect::Nonoverlap);
        if let Ok(slots) = number::slots(text) {
            assert!((1..=999).contains(&slots), "{text:?}");
        }
        if let Ok(bytes) = number::bytes(text, Opt::Start) {
            assert!(bytes >= 0, "{text:?}");
        }
        if let Ok(time) = duration(text, Opt::Alarm) {
            assert!(!Elapsed(time).to_string().is_empty(), "{text:?}");
        }
    });
    assert_eq!(Elapsed(Duration::MAX).to_string(), "213503982334601d07h");
}
