use rustix::process::Pid;

use super::{bytes, many_times};
use crate::lock::record::{decode, encode};

#[test]
fn eleven_bytes_are_a_record_only_if_a_run_would_write_just_those() {
    many_times(|dice| {
        let pid = 1 + dice.below(i32::MAX as usize) as i32;
        // Small ones as often as large ones.
        let pid = Pid::from_raw((pid >> dice.below(31)).max(1)).unwrap();
        let mut content = encode(pid).to_vec();
        assert_eq!(decode(&content), Some(pid), "{content:?}");
        for _ in 0..=dice.below(2) {
            let place = dice.below(content.len());
            content[place] = *dice.one_of(b"0123456789 \n\t+-\0\xff");
        }
        content.extend(bytes(dice, b" \n", dice.0 as usize % 2));
        check(&content);
        check(&bytes(dice, b"0123456789 \n+", 13));
    });
}

/// Read by other means: digits behind blanks, no zero first, and not beyond what a PID can be.
fn check(content: &[u8]) {
    let digits = content.trim_ascii_start().trim_ascii_end();
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse::<i64>().ok())
        .filter(|number| (1..=i64::from(i32::MAX)).contains(number));
    let expected = number.filter(|number| format!("{number:>10}\n").as_bytes() == content);
    let found = decode(content).map(|pid| i64::from(pid.as_raw_nonzero().get()));
    assert_eq!(found, expected, "{:?}", content.escape_ascii().to_string());
}
