//! The options, each a row: parsing, `--help`, `-h` and the tests of the man page read this one table.

use crate::model::dialect::Dialect;

/// One option.
pub struct Flag {
    /// What it does, for `raw.rs` to act on.
    pub option: Opt,
    /// Its one-letter names.
    short: &'static [char],
    /// Its long names, without the dashes.
    long: &'static [&'static str],
    /// The name of its argument, or nothing if it takes none.
    pub argument: Option<&'static str>,
    /// Whether flock has it, too.
    in_flock: InFlock,
    /// What it does, for a person; one short line.
    pub text: &'static str,
}

/// Whether util-linux's flock has an option, too. Under that name there are no others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InFlock {
    /// It does not.
    No,
    /// It does, under all its names.
    Yes,
    /// It does, but only under the long ones.
    Long,
}

/// What an option stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opt {
    /// Fail at once if the lock is taken.
    Nonblock,
    /// Wait for so long.
    Timeout,
    /// Wait for ever.
    Block,
    /// A shared lock.
    Shared,
    /// An exclusive lock.
    Exclusive,
    /// Drop the lock.
    Unlock,
    /// The exit status on conflict.
    ConflictStatus,
    /// The command gets no lock descriptor.
    Close,
    /// Do not fork.
    NoFork,
    /// A command line for the shell.
    Command,
    /// A descriptor in place of a file.
    Descriptor,
    /// A record lock.
    Fcntl,
    /// Where the record lock starts.
    Start,
    /// How long the record lock is.
    Length,
    /// Say what happens.
    Verbose,
    /// Say only errors.
    Quiet,
    /// Speak up if the lock has been held for so long.
    Alarm,
    /// End the job after so long.
    MaxRuntime,
    /// Kill it so long after SIGTERM.
    KillAfter,
    /// So many at once.
    Slots,
    /// Keep the lock of a server at least for so long.
    HoldAtLeast,
    /// What becomes of the command if a server loses its lock.
    OnLost,
    /// Append the command's output to a file.
    Log,
    /// Tell who holds the lock.
    Status,
    /// Tell of the runs in a log.
    History,
    /// Tell it as JSON.
    Json,
    /// Put the run into the crontab.
    Install,
    /// Take it out of the crontab.
    Uninstall,
    /// Only show the crontab that it would be.
    DryRun,
    /// Show the help.
    Help,
    /// Show the version.
    Version,
    /// Show the completions for a shell.
    Completions,
}

/// Every option, in the order in which `--help` and the man page show them.
#[rustfmt::skip] // A row a line is how a table is read.
pub const FLAGS: &[Flag] = &[
    flag(Opt::Nonblock, &['n'], &["nb", "nonblock", "nonblocking"], None, InFlock::Yes, "fail at once if the lock is taken"),
    flag(Opt::Timeout, &['w'], &["timeout", "wait"], Some("SECS"), InFlock::Yes, "wait at most SECS seconds, fractions allowed; 0 is -n"),
    flag(Opt::Block, &['b'], &["block"], None, InFlock::No, "wait as long as it takes"),
    flag(Opt::Shared, &['s'], &["shared"], None, InFlock::Yes, "take a shared lock"),
    flag(Opt::Exclusive, &['x', 'e'], &["exclusive"], None, InFlock::Yes, "take an exclusive lock (the default)"),
    flag(Opt::Unlock, &['u'], &["unlock"], None, InFlock::Yes, "release the lock of descriptor FD"),
    flag(Opt::ConflictStatus, &['E'], &["conflict-exit-code"], Some("N"), InFlock::Yes, "exit status if the lock is taken, 0 to 255 (default 1)"),
    flag(Opt::Close, &['o'], &["close"], None, InFlock::Yes, "the command gets no lock descriptor; a guardian holds the lock"),
    flag(Opt::NoFork, &['F'], &["no-fork"], None, InFlock::Yes, "start no guardian; options that need one are refused"),
    flag(Opt::Command, &['c'], &["command"], Some("STRING"), InFlock::Yes, "after LOCKFILE or --fd FD: run STRING with $SHELL, or /bin/sh"),
    flag(Opt::Descriptor, &[], &["fd"], Some("FD"), InFlock::Yes, "lock the open descriptor FD instead of a file"),
    flag(Opt::Fcntl, &[], &["fcntl"], None, InFlock::Yes, "take an open-file-description record lock"),
    flag(Opt::Start, &[], &["start"], Some("OFF"), InFlock::Yes, "first byte of the record lock (implies --fcntl)"),
    flag(Opt::Length, &[], &["length"], Some("N"), InFlock::Yes, "its length in bytes, 0 is up to the end (implies --fcntl)"),
    flag(Opt::Slots, &['j'], &["slots"], Some("N"), InFlock::No, "up to N copies at once: LOCKFILE, LOCKFILE.2 ... LOCKFILE.N"),
    flag(Opt::MaxRuntime, &[], &["max-runtime"], Some("DURATION"), InFlock::No, "end the job after DURATION: SIGTERM to its process group, then SIGKILL"),
    flag(Opt::KillAfter, &[], &["kill-after"], Some("DURATION"), InFlock::No, "time from SIGTERM to SIGKILL (default 10s; 5s after the loss of a lock)"),
    flag(Opt::HoldAtLeast, &[], &["hold-at-least"], Some("DURATION"), InFlock::No, "with SCHEME://: keep the lock at least that long, even if COMMAND ended"),
    flag(Opt::OnLost, &[], &["on-lost"], Some("WHAT"), InFlock::No, "with SCHEME://, when the lock is lost: term (default), kill or ignore"),
    flag(Opt::Log, &['l'], &["log"], Some("FILE"), InFlock::No, "append output to FILE, with dated lines for starts, refusals and errors"),
    flag(Opt::Alarm, &['a'], &["alarm"], Some("DURATION"), InFlock::No, "report a conflict if the lock was held longer: 90, 90s, 1.5m, 2h, 1d"),
    flag(Opt::Status, &[], &["status"], None, InFlock::No, "show who holds each LOCKFILE; exit status 0 held, 3 free, 4 cannot tell"),
    flag(Opt::History, &[], &["history"], None, InFlock::No, "show the last hundred runs in LOG, a file that --log wrote"),
    flag(Opt::Json, &[], &["json"], None, InFlock::No, "with --status or --history: show it as JSON, one object a line"),
    flag(Opt::Install, &[], &["install"], Some("SCHEDULE"), InFlock::No, "add this run to the crontab; SCHEDULE is 5 fields or @word, in quotes"),
    flag(Opt::Uninstall, &[], &["uninstall"], None, InFlock::No, "remove the run of LOCKFILE from the crontab"),
    flag(Opt::DryRun, &[], &["dry-run"], None, InFlock::No, "with --install or --uninstall: show the new crontab, change nothing"),
    flag(Opt::Verbose, &['v'], &["verbose"], None, InFlock::Long, "say what happens"),
    flag(Opt::Quiet, &['q'], &["quiet"], None, InFlock::No, "say nothing but errors and alarms"),
    flag(Opt::Help, &['h'], &["help"], None, InFlock::Yes, "show this help; -h shows a short one"),
    flag(Opt::Version, &['V'], &["version"], None, InFlock::Yes, "show the version"),
    flag(Opt::Completions, &[], &["completions"], Some("SHELL"), InFlock::No, "show the completions for bash, zsh or fish"),
];

/// A row of the table.
const fn flag(
    option: Opt,
    short: &'static [char],
    long: &'static [&'static str],
    argument: Option<&'static str>,
    in_flock: InFlock,
    text: &'static str,
) -> Flag {
    Flag {
        option,
        short,
        long,
        argument,
        in_flock,
        text,
    }
}

impl Flag {
    /// Its one-letter names under the name of this tool.
    pub fn short(&self, dialect: Dialect) -> &'static [char] {
        match (dialect, self.in_flock) {
            (Dialect::Flock, InFlock::No | InFlock::Long) => &[],
            _ => self.short,
        }
    }

    /// Its long names under the name of this tool.
    pub fn long(&self, dialect: Dialect) -> &'static [&'static str] {
        match (dialect, self.in_flock) {
            (Dialect::Flock, InFlock::No) => &[],
            _ => self.long,
        }
    }
}

impl Flag {
    /// All its names, with their dashes.
    pub fn names(&self, dialect: Dialect) -> Vec<String> {
        let short = self.short(dialect).iter();
        let short = short.map(|letter| format!("-{letter}"));
        let long = self.long(dialect).iter().map(|name| format!("--{name}"));
        short.chain(long).collect()
    }
}

/// The option with this one-letter name.
pub fn by_short(letter: char, dialect: Dialect) -> Option<Opt> {
    FLAGS
        .iter()
        .find(|flag| flag.short(dialect).contains(&letter))
        .map(|flag| flag.option)
}

/// The option with this long name.
pub fn by_long(name: &str, dialect: Dialect) -> Option<Opt> {
    FLAGS
        .iter()
        .find(|flag| flag.long(dialect).contains(&name))
        .map(|flag| flag.option)
}

/// Whether an option takes an argument.
pub fn takes_argument(option: Opt) -> bool {
    FLAGS
        .iter()
        .any(|flag| flag.option == option && flag.argument.is_some())
}

/// The name of an option, for a message: its first long name, or its letter if it has none.
pub fn name(option: Opt) -> String {
    let flag = FLAGS.iter().find(|flag| flag.option == option);
    let long = flag
        .and_then(|flag| flag.long.first())
        .map(|name| format!("--{name}"));
    long.unwrap_or_default()
}
