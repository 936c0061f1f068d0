//! The pages that go to standard output, made from the table of options.

use std::fmt::Write;

use super::completions::completions;
use super::options::{FLAGS, Flag, Opt};
use crate::model::dialect::Dialect;
use crate::model::exit_status::exit_statuses;
use crate::model::request::Page;

/// The text of a page.
pub fn text(page: Page) -> String {
    match page {
        Page::Version(Dialect::Nonoverlap) => format!("nonoverlap {VERSION}\n"),
        Page::Version(Dialect::Flock) => format!("flock from nonoverlap {VERSION}\n"),
        Page::Help(dialect) => usage(dialect),
        Page::ShortHelp(dialect) => short(dialect),
        Page::Completions(shell) => completions(shell),
    }
}

/// The version of the package.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The usage of a lock on a server, which flock does not have.
const SERVERS: &str = "       nonoverlap [options] SCHEME://TARGET COMMAND [ARG...]\n";

/// The usage of the other options that flock does not have.
const MORE: &str = "       \
nonoverlap --status [--json] [LOCKFILE...]
       nonoverlap --history [--json] LOG
       nonoverlap --install SCHEDULE [options] LOCKFILE COMMAND [ARG...]
       nonoverlap --uninstall [--dry-run] LOCKFILE
";

/// What it does, in a sentence or two.
const WHAT: &str = "\
Runs COMMAND under a lock on LOCKFILE, or refuses at once if the lock is taken.
The lock is free when COMMAND and the children that inherited it have ended.
";

/// The same, under the name flock.
const WHAT_AS_FLOCK: &str = "\
This is nonoverlap under the name flock: it waits for the lock, and has flock's
options and exit statuses.
";

/// The page of `--help`.
fn usage(dialect: Dialect) -> String {
    let name = dialect.name();
    let (servers, more, what) = match dialect {
        Dialect::Nonoverlap => (SERVERS, MORE, WHAT),
        Dialect::Flock => ("", "", WHAT_AS_FLOCK),
    };
    let mut page = format!(
        "\
Usage: {name} [options] LOCKFILE COMMAND [ARG...]
       {name} [options] LOCKFILE -c 'SHELL COMMAND LINE'
{servers}       {name} [options] FD
       {name} [options] --fd FD COMMAND [ARG...]
{more}
{what}
Options:
"
    );
    options(&mut page, dialect, |_| true);
    page.push_str("\nExit status: the command's own, or, if it was not run:\n");
    for (status, meaning) in exit_statuses(dialect) {
        let _ = writeln!(page, "  {status:<5} {meaning}");
    }
    page.push('\n');
    page.push_str(MANUAL);
    page
}

/// The last line of both pages, also for whoever has the program alone.
const MANUAL: &str = concat!(
    "The manual: man nonoverlap, or ",
    env!("CARGO_PKG_REPOSITORY"),
    "\n"
);

/// The options that most people need.
#[rustfmt::skip] // In the order of the table.
const USUAL: &[Opt] = &[
    Opt::Nonblock, Opt::Timeout, Opt::Block, Opt::ConflictStatus, Opt::Slots, Opt::MaxRuntime, Opt::Log,
    Opt::Alarm, Opt::Status, Opt::History, Opt::Install, Opt::Verbose,
];

/// The page of `-h`.
fn short(dialect: Dialect) -> String {
    let name = dialect.name();
    let what = match dialect {
        Dialect::Nonoverlap => WHAT,
        Dialect::Flock => WHAT_AS_FLOCK,
    };
    let mut page = format!(
        "\
Usage: {name} [options] LOCKFILE COMMAND [ARG...]
       {name} [options] LOCKFILE -c 'SHELL COMMAND LINE'

{what}
The usual options:
"
    );
    options(&mut page, dialect, |flag| USUAL.contains(&flag.option));
    let _ = writeln!(page, "\nAll options and exit statuses: {name} --help");
    page.push_str(MANUAL);
    page
}

/// Those of the options that the tool has.
fn options(page: &mut String, dialect: Dialect, is_wanted: impl Fn(&Flag) -> bool) {
    for flag in FLAGS.iter().filter(|flag| is_wanted(flag)) {
        let heading = heading(flag, dialect);
        if !heading.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "  {heading}\n        {}", flag.text);
        }
    }
}

/// `-E, --conflict-exit-code N`, or nothing where the tool does not have it.
fn heading(flag: &Flag, dialect: Dialect) -> String {
    let names = flag.names(dialect).join(", ");
    match flag.argument {
        Some(argument) if !names.is_empty() => format!("{names} {argument}"),
        _ => names,
    }
}
