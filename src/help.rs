//! The pages that go to standard output, made from the table of options.

use std::fmt::Write;

use crate::flags::{FLAGS, Flag};
use crate::outcome::EXIT_STATUSES;

/// A page that can be asked for.
#[derive(Clone, Copy)]
pub enum Page {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// The text of a page.
pub fn text(page: Page) -> String {
    match page {
        Page::Version => concat!("nonoverlap ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        Page::Help => usage(),
    }
}

const SYNOPSIS: &str = "\
Usage: nonoverlap [options] LOCKFILE COMMAND [ARG...]

Runs COMMAND under a lock on LOCKFILE. If the lock is taken, COMMAND is not run.
The lock is gone when COMMAND's process is, however it ends.
";

fn usage() -> String {
    let mut page = format!("{SYNOPSIS}\nOptions:\n");
    for flag in FLAGS {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "  {:<36} {}", names(flag), flag.text);
    }
    page.push_str("\nExit status: the command's own, or, if it was not run:\n");
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(page, "  {status:<5} {meaning}");
    }
    page.push_str("\nThe manual: man nonoverlap\n");
    page
}

/// `-E, --conflict-exit-code N`
fn names(flag: &Flag) -> String {
    let short = flag.short.iter().map(|letter| format!("-{letter}"));
    let long = flag.long.iter().map(|name| format!("--{name}"));
    let mut names = short.chain(long).collect::<Vec<_>>().join(", ");
    if let Some(argument) = flag.argument {
        names.push(' ');
        names.push_str(argument);
    }
    names
}
