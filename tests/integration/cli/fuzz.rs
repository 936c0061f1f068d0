//! Command lines that nobody would type, drawn from lists of words. The same ones each time.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::report::exit_status::{Corner, RAN};
use crate::support::dice::Dice;
use crate::support::harness::{Run, nonoverlap};

#[rustfmt::skip]
const WORDS: &[&[u8]] = &[
    b"", b"-", b"--", b"---", b"-=", b"--=", b"=", b"-n", b"-nn", b"-v", b"-q", b"-nvq", b"-vE", b"-E", b"-E5",
    b"-E=5", b"-E-5", b"-nE5", b"-E256", b"-h", b"-V", b"-vh", b"-Z", b"-nZ", b"--nb",
    b"--nonblock", b"--nonblock=", b"--verbose", b"--quiet=1", b"--help", b"--version", b"--bogus",
    b"--conflict-exit-code", b"--conflict-exit-code=5", b"--conflict-exit-code=", b"0", b"5", b"255", b"256", b"+5",
    b" 5", b"5 ", b"1e9", b"-1", b"99999999999999999999", b"\xff", b"-\xff", b"--\xff", b"-n\xff", b"-E\xff",
    b"--\xff=\xff", b"\xc3\xa9", b"-\xc3\xa9", b"-\xc3", b"-n\xc3\xa9v", b"\n", b"-\n", b"--a\nb", b"\x1b[2J",
    b"-\x1b", b"*", b"$x", b"'", b"%s%n", b"held", b"held", b"held", b"lock", b"lock", b"folder", b"folder/",
    b"dangling", b"no/such", b"held/x", b"./folder", b"ran", b"ran", b"ran", b"true", b"./no-such", LONG,
];
const LONG: &[u8] = &[b'l'; 5000];

#[test]
fn any_command_line_ends_with_a_documented_status_and_no_panic() {
    // What `ran` ends with, and then every status that nonoverlap has, with the 0, 5 and 255 of -E.
    const STATUSES: [i32; 12] = [RAN, 0, 1, 5, 64, 65, 66, 71, 73, 126, 127, 255];
    let corner = Corner::with_tools();
    let pages = ["--help", "-h", "--version"].map(|page| nonoverlap([page]).run().stdout());
    let mut dice = Dice(0x6e6f_6e6f_7665_726c);
    for _ in 0..2000 {
        let line = line(&mut dice, WORDS, 8);
        let ended = corner
            .nonoverlap(line.iter().copied().map(OsStr::from_bytes))
            .run();
        let code = ended.code().unwrap_or_else(|| panic!("{ended:?}"));
        assert!(STATUSES.contains(&code), "{ended:?}");
        let stderr = ended.stderr();
        assert!(
            stderr.is_empty() || stderr.starts_with("nonoverlap: "),
            "{ended:?}"
        );
        assert!(!stderr.contains("panicked"), "{ended:?}");
        let page = pages.contains(&ended.stdout());
        let stdout_is_whose_it_is = match code {
            RAN => ended.stdout() == "ran\n",
            0 => ended.stdout.is_empty() || page,
            _ => ended.stdout.is_empty(),
        };
        assert!(stdout_is_whose_it_is, "{ended:?}");
    }
}

/// getopt(1) of util-linux reads the same options with the C library's getopt_long(3). Abbreviations, which it takes and
/// nonoverlap refuses, are not among the words, and neither is the empty one, which does not show in what it says.
#[cfg(target_os = "linux")]
#[test]
fn a_command_line_is_read_as_getopt_reads_it() {
    const WORDS: &[&[u8]] = &[
        b"-",
        b"--",
        b"-n",
        b"-v",
        b"-q",
        b"-nv",
        b"-E",
        b"-E8",
        b"-nE9",
        b"-vE",
        b"-E=7",
        b"--nb",
        b"--nonblock",
        b"--nonblocking",
        b"--nb=1",
        b"--verbose",
        b"--quiet",
        b"--conflict-exit-code",
        b"--conflict-exit-code=6",
        b"--conflict-exit-code=",
        b"-Z",
        b"-nZ",
        b"--bogus",
        b"held",
        b"held",
        b"lock",
        b"ran",
        b"ran",
    ];
    let corner = Corner::with_tools();
    let mut dice = Dice(0x6765_746f_7074_2831);
    for _ in 0..500 {
        let line = line(&mut dice, WORDS, 6);
        let ended = corner
            .nonoverlap(line.iter().copied().map(OsStr::from_bytes))
            .run();
        assert_eq!(ended.code(), Some(by_getopt(&line)), "{ended:?}");
    }
}

/// The exit status by what getopt(1) makes of a command line: its options, `--`, and the words behind them.
#[cfg(target_os = "linux")]
fn by_getopt(line: &[&[u8]]) -> i32 {
    const LONG: &str = "nb,nonblock,nonblocking,verbose,quiet,conflict-exit-code:";
    let read = std::process::Command::new("getopt")
        .args([
            "--unquoted",
            "--options=+nvqE:",
            "--longoptions",
            LONG,
            "--",
        ])
        .args(line.iter().copied().map(OsStr::from_bytes))
        .run();
    if read.code() != Some(0) {
        return 64;
    }
    let read = read.stdout();
    let mut words = read.trim_end_matches('\n').split(' ').skip(1);
    let mut conflict = 1;
    while let Some(option) = words.next().filter(|&word| word != "--") {
        if option == "-E" || option == "--conflict-exit-code" {
            let Some(Ok(number)) = words.next().map(str::parse::<u8>) else {
                return 64;
            };
            conflict = number.into();
        }
    }
    let rest: Vec<_> = words.collect();
    let before = line.len().checked_sub(rest.len() + 1);
    let may_begin_with_a_dash = before.is_some_and(|before| line[before] == b"--");
    match (rest.first().copied(), rest.get(1).copied()) {
        (None, _) | (_, None) => 64,
        // An option behind the lock file.
        (_, Some(word)) if word.starts_with('-') && !may_begin_with_a_dash => 64,
        (Some("held"), _) => conflict,
        (_, Some("ran")) => RAN,
        _ => 127,
    }
}

fn line(dice: &mut Dice, words: &[&'static [u8]], longest: usize) -> Vec<&'static [u8]> {
    let count = dice.below(longest + 1);
    (0..count).map(|_| *dice.one_of(words)).collect()
}
