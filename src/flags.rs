//! The options, each a row: parsing, `--help` and the tests of the man page and the README read
//! this one table.

/// One option.
pub struct Flag {
    /// What it does, for `request.rs` to act on.
    pub option: Opt,
    /// Its one-letter names.
    pub short: &'static [char],
    /// Its long names, without the dashes.
    pub long: &'static [&'static str],
    /// The name of its argument, or nothing if it takes none.
    pub argument: Option<&'static str>,
    /// What it does, for a person; one short line.
    pub text: &'static str,
}

/// What an option stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opt {
    /// Fail at once if the lock is taken.
    Nonblock,
    /// The exit status on conflict.
    ConflictStatus,
    /// Say what happens.
    Verbose,
    /// Say only errors.
    Quiet,
    /// Show the help.
    Help,
    /// Show the version.
    Version,
}

/// Every option, in the order in which `--help` and the man page show them.
pub const FLAGS: &[Flag] = &[
    Flag {
        option: Opt::Nonblock,
        short: &['n'],
        long: &["nb", "nonblock", "nonblocking"],
        argument: None,
        text: "fail at once if the lock is taken (the default)",
    },
    Flag {
        option: Opt::ConflictStatus,
        short: &['E'],
        long: &["conflict-exit-code"],
        argument: Some("N"),
        text: "exit status if the lock is taken, 0 to 255 (default 1)",
    },
    Flag {
        option: Opt::Verbose,
        short: &['v'],
        long: &["verbose"],
        argument: None,
        text: "say what happens on standard error",
    },
    Flag {
        option: Opt::Quiet,
        short: &['q'],
        long: &["quiet"],
        argument: None,
        text: "say nothing but errors",
    },
    Flag {
        option: Opt::Help,
        short: &['h'],
        long: &["help"],
        argument: None,
        text: "show this help",
    },
    Flag {
        option: Opt::Version,
        short: &['V'],
        long: &["version"],
        argument: None,
        text: "show the version",
    },
];

/// The option with this one-letter name.
pub fn by_short(letter: char) -> Option<Opt> {
    FLAGS
        .iter()
        .find(|flag| flag.short.contains(&letter))
        .map(|flag| flag.option)
}

/// The option with this long name.
pub fn by_long(name: &str) -> Option<Opt> {
    FLAGS
        .iter()
        .find(|flag| flag.long.contains(&name))
        .map(|flag| flag.option)
}
