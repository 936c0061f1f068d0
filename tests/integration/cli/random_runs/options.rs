//! The options, as words, and what they come to.

use crate::support::dice::Dice;

/// The options: as words, and what they come to.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) words: Vec<Vec<String>>,
    pub(super) nonblock: bool,
    pub(super) wait: Option<Wait>,
    pub(super) block: bool,
    pub(super) shared: bool,
    pub(super) unlock: bool,
    pub(super) status: Option<i32>,
    pub(super) close: bool,
    pub(super) no_fork: bool,
    pub(super) slots: Option<u16>,
    pub(super) log: Option<&'static str>,
    /// Whether an alarm may go off at once.
    pub(super) is_alarmed: bool,
    pub(super) verbose: Option<bool>,
    pub(super) fcntl: bool,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) is_bounded: bool,
    pub(super) kills_after: bool,
    pub(super) is_wrong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wait {
    /// Not at all, or for a moment.
    No,
    Long,
}

/// An option: its names, its value if it takes one, and what it does.
type Row = (&'static [&'static str], &'static str, fn(&mut Options));

#[rustfmt::skip] // A row a line is how a table is read.
const OPTIONS: &[Row] = &[
    (&["-n", "--nb", "--nonblock", "--nonblocking"], "", |it| it.nonblock = true),
    (&["-s", "--shared"], "", |it| (it.shared, it.unlock) = (true, false)),
    (&["-x", "-e", "--exclusive"], "", |it| (it.shared, it.unlock) = (false, false)),
    (&["-u", "--unlock"], "", |it| (it.shared, it.unlock) = (false, true)),
    (&["-o", "--close"], "", |it| it.close = true),
    (&["-o", "--close"], "", |it| it.close = true),
    (&["-F", "--no-fork"], "", |it| it.no_fork = true),
    (&["--verbose"], "", |it| it.verbose = Some(true)),
    (&["--fcntl"], "", |it| it.fcntl = true),
    (&["--start"], "0", |it| (it.start, it.fcntl) = (0, true)),
    (&["--start"], "0x10", |it| (it.start, it.fcntl) = (16, true)),
    (&["--start"], "1K", |it| (it.start, it.fcntl) = (1024, true)),
    (&["--length"], "0", |it| (it.length, it.fcntl) = (0, true)),
    (&["--length"], "010", |it| (it.length, it.fcntl) = (8, true)),
    (&["--length"], "1KB", |it| (it.length, it.fcntl) = (1000, true)),
    (&["-w", "--timeout", "--wait"], "0", |it| it.wait = Some(Wait::No)),
    (&["-w", "--timeout", "--wait"], "0.02", |it| it.wait = Some(Wait::No)),
    (&["-w", "--timeout", "--wait"], "3600", |it| it.wait = Some(Wait::Long)),
    (&["-w", "--timeout", "--wait"], "inf", |it| it.wait = Some(Wait::Long)),
    (&["-E", "--conflict-exit-code"], "0", |it| it.status = Some(0)),
    (&["-E", "--conflict-exit-code"], "75", |it| it.status = Some(75)),
    (&["-E", "--conflict-exit-code"], "255", |it| it.status = Some(255)),
];

/// What flock does not have.
#[rustfmt::skip] // A row a line is how a table is read.
const NOT_FLOCKS: &[Row] = &[
    (&["-b", "--block"], "", |it| it.block = true),
    (&["-b", "--block"], "", |it| it.block = true),
    (&["-q", "--quiet"], "", |it| it.verbose = Some(false)),
    (&["-v"], "", |it| it.verbose = Some(true)),
    (&["-j", "--slots"], "1", |it| it.slots = Some(1)),
    (&["-j", "--slots"], "2", |it| it.slots = Some(2)),
    (&["-j", "--slots"], "3", |it| it.slots = Some(3)),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "log", |it| it.log = Some("log")),
    (&["-l", "--log"], "lock", |it| it.log = Some("lock")),
    (&["-l", "--log"], "./lock", |it| it.log = Some("./lock")),
    (&["-l", "--log"], "lock.2", |it| it.log = Some("lock.2")),
    (&["-l", "--log"], "real", |it| it.log = Some("real")),
    (&["-l", "--log"], "folder", |it| it.log = Some("folder")),
    (&["-l", "--log"], "no/log", |it| it.log = Some("no/log")),
    (&["-l", "--log"], "/dev/null", |it| it.log = Some("/dev/null")),
    (&["-a", "--alarm"], "0", |it| it.is_alarmed = true),
    (&["-a", "--alarm"], "1h", |it| it.is_alarmed = false),
    (&["--max-runtime"], "1h", |it| it.is_bounded = true),
    (&["--max-runtime"], "1h", |it| it.is_bounded = true),
    (&["--kill-after"], "2", |it| it.kills_after = true),
];

/// What is wrong, whatever stands beside it.
#[rustfmt::skip] // A row a line is how a table is read.
const WRONG: &[&[&str]] = &[
    &["-1"], &["-Z"], &["--bogus"], &["--no-forks"], &["--nonblock=1"], &["-c", "exit 41"],
    &["-E", "256"], &["-E", ""], &["-w", "-1"], &["-w", "soon"], &["--start", "-1"], &["--length", "x"],
    &["--fd", "x"], &["--fd="], &["-j", "0"], &["-a", "soon"], &["--max-runtime", "x"],
    &["--hold-at-least", "1s"], &["--on-lost", "ignore"], &["--json"], &["--dry-run"],
];

impl Options {
    pub(super) fn draw(dice: &mut Dice, as_flock: bool) -> Options {
        let mut options = Options::default();
        // Often none, and never so many that all of them are refused.
        let most = dice.below(6);
        for _ in 0..dice.below(most + 1) {
            let words = match dice.below(20) {
                0 => {
                    options.is_wrong = true;
                    let words = dice.one_of::<&[&str]>(WRONG).iter();
                    words.map(|&word| word.to_owned()).collect()
                }
                1 if as_flock => {
                    options.is_wrong = true;
                    options.draw_from(NOT_FLOCKS, dice)
                }
                2..=10 if !as_flock => options.draw_from(NOT_FLOCKS, dice),
                _ => options.draw_from(OPTIONS, dice),
            };
            options.words.push(words);
        }
        options
    }

    /// Takes one of these, and gives its words.
    pub(super) fn draw_from(&mut self, table: &[Row], dice: &mut Dice) -> Vec<String> {
        let (names, value, effect) = dice.one_of(table);
        effect(self);
        let name = *dice.one_of(names);
        match (value.is_empty(), dice.below(2), name.starts_with("--")) {
            (true, ..) => vec![name.to_owned()],
            (_, 0, _) => vec![name.to_owned(), (*value).to_owned()],
            (_, _, true) => vec![format!("{name}={value}")],
            (_, _, false) => vec![format!("{name}{value}")],
        }
    }
}
