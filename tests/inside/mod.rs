//! What takes bytes from elsewhere, or memory by hand, held against very many inputs and without a
//! system call: so that it can run under Miri, too, which has none, and a million times. And a clock, which
//! cannot be seen from outside.
//!
//! All that a person can see of nonoverlap is tested on the real binary, in `tests/integration/`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    clippy::too_many_lines,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    unsafe_code
)]

#[cfg(all(target_os = "linux", not(miri)))] // It asks the kernel, in a time namespace.
mod clock;
mod command_line;
mod crontab;
mod dice;
mod history;
mod memory;
mod record;
mod text;

use dice::Dice;

/// Runs `test` with ever new inputs: ten thousand times, or as often as `NONOVERLAP_INPUTS` says;
/// less often under Miri, which is slower by a thousand.
fn many_times(mut test: impl FnMut(&mut Dice)) {
    let inputs = match std::env::var("NONOVERLAP_INPUTS") {
        _ if cfg!(miri) => 50,
        Ok(number) => number.parse().unwrap(),
        Err(_) => 10_000,
    };
    let mut dice = Dice(0x6e6f_6e6f_7665_726c);
    for _ in 0..inputs {
        test(&mut dice);
    }
}

/// Some bytes, up to `longest` of them, of which many are from `likely`.
fn bytes(dice: &mut Dice, likely: &[u8], longest: usize) -> Vec<u8> {
    let length = dice.below(longest + 1);
    let byte = |_| match dice.below(4) {
        0 => dice.below(256) as u8,
        _ => *dice.one_of(likely),
    };
    (0..length).map(byte).collect()
}
