//! The pages that go to standard output, made from the table of options.

use std::fmt::Write;

use crate::dialect::Dialect;
use crate::flags::{FLAGS, Flag, Opt};
use crate::outcome;

/// A page that can be asked for.
#[derive(Clone, Copy)]
pub enum Page {
    /// `--help`.
    Help(Dialect),
    /// `--version`.
    Version(Dialect),
    /// `--completions`.
    Completions(Shell),
}

/// A shell that completes words.
#[derive(Clone, Copy)]
pub enum Shell {
    /// GNU's.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive one.
    Fish,
}

/// The text of a page.
pub fn text(page: Page) -> String {
    match page {
        Page::Version(Dialect::Nonoverlap) => format!("nonoverlap {VERSION}\n"),
        Page::Version(Dialect::Flock) => format!("flock from nonoverlap {VERSION}\n"),
        Page::Help(dialect) => usage(dialect),
        Page::Completions(shell) => completions(shell),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

const MORE: &str = "       \
nonoverlap --status [--json] LOCKFILE...
       nonoverlap --install SCHEDULE [options] LOCKFILE COMMAND [ARG...]
       nonoverlap --uninstall LOCKFILE
";

const WHAT: &str = "\
Runs COMMAND under a lock on LOCKFILE, or refuses at once if the lock is taken.
The lock is free when COMMAND and the children that inherited it have ended.
";

const WHAT_AS_FLOCK: &str = "\
This is nonoverlap under the name flock: it waits for the lock, and has flock's
options and exit statuses.
";

fn usage(dialect: Dialect) -> String {
    let name = dialect.name();
    let (more, what) = match dialect {
        Dialect::Nonoverlap => (MORE, WHAT),
        Dialect::Flock => ("", WHAT_AS_FLOCK),
    };
    let mut page = format!(
        "\
Usage: {name} [options] LOCKFILE COMMAND [ARG...]
       {name} [options] LOCKFILE -c 'SHELL COMMAND LINE'
       {name} [options] FD
       {name} [options] --fd FD COMMAND [ARG...]
{more}
{what}
Options:
"
    );
    for flag in FLAGS {
        let names = names(flag, dialect);
        if !names.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "  {names}\n        {}", flag.text);
        }
    }
    page.push_str("\nExit status: the command's own, or, if it was not run:\n");
    for (status, meaning) in outcome::exit_statuses(dialect) {
        let _ = writeln!(page, "  {status:<5} {meaning}");
    }
    page.push_str("\nThe manual: man nonoverlap\n");
    page
}

/// `-E, --conflict-exit-code N`, or nothing where the tool does not have it.
fn names(flag: &Flag, dialect: Dialect) -> String {
    let short = flag
        .short(dialect)
        .iter()
        .map(|letter| format!("-{letter}"));
    let long = flag.long(dialect).iter().map(|name| format!("--{name}"));
    let names = short.chain(long).collect::<Vec<_>>().join(", ");
    match flag.argument {
        Some(argument) if !names.is_empty() => format!("{names} {argument}"),
        _ => names,
    }
}

/// The completions for a shell: a text of `src/completions/`, in which words such as `@OPTIONS@` stand
/// for what the table says.
fn completions(shell: Shell) -> String {
    let text = match shell {
        Shell::Bash => include_str!("completions/nonoverlap.bash"),
        Shell::Zsh => include_str!("completions/_nonoverlap"),
        Shell::Fish => include_str!("completions/nonoverlap.fish"),
    };
    // The one that stands behind LOCKFILE.
    let (behind, before): (Vec<_>, Vec<_>) =
        FLAGS.iter().partition(|flag| flag.option == Opt::Command);
    let (taking, plain): (Vec<_>, Vec<_>) = before
        .iter()
        .copied()
        .partition(|flag| flag.argument.is_some());
    let files = taking.iter().copied();
    let files: Vec<_> = files.filter(|flag| flag.argument == Some("FILE")).collect();
    let specs = |flags: &[&Flag]| {
        let specs: Vec<_> = flags.iter().map(|flag| spec(shell, flag)).collect();
        specs.join("\n")
    };
    [
        ("@OPTIONS@", dashed(&before).join(" ")),
        ("@TAKING@", dashed(&taking).join("|")),
        ("@FILES@", dashed(&files).join("|")),
        ("@FILES_LETTERS@", letters(&files)),
        ("@TAKING_LETTERS@", letters(&taking)),
        ("@PLAIN_LETTERS@", letters(&plain)),
        ("@COMMAND@", dashed(&behind).join(" ")),
        ("@COMMAND_PATTERN@", dashed(&behind).join("|")),
        ("@SPECS@", specs(&before)),
        ("@COMMAND_SPEC@", specs(&behind)),
    ]
    .iter()
    .fold(text.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

/// All names, with their dashes.
fn dashed(flags: &[&Flag]) -> Vec<String> {
    let of_one = |flag: &&Flag| {
        let short = flag.short(OURS).iter().map(|letter| format!("-{letter}"));
        let long = flag.long(OURS).iter().map(|name| format!("--{name}"));
        short.chain(long).collect::<Vec<_>>()
    };
    flags.iter().flat_map(of_one).collect()
}

fn letters(flags: &[&Flag]) -> String {
    flags.iter().flat_map(|flag| flag.short(OURS)).collect()
}

const OURS: Dialect = Dialect::Nonoverlap;

/// One option, in the words of `_arguments` (zshcompsys(1)) or of fish's `complete`.
fn spec(shell: Shell, flag: &Flag) -> String {
    let names = dashed(&[flag]);
    match shell {
        Shell::Bash => String::new(),
        Shell::Zsh => {
            let end = |name: &String| match (flag.argument, name.starts_with("--")) {
                (None, _) => name.clone(),
                (_, true) => format!("{name}="),
                (_, false) => format!("{name}+"),
            };
            let ended = names.iter().map(end).collect::<Vec<_>>().join(",");
            // A descriptor stands in the place of the lock file.
            let lock = if flag.option == Opt::Descriptor {
                " 1"
            } else {
                ""
            };
            let excluded = format!("({}{lock})", names.join(" "));
            let text = flag.text.replace('\'', r"'\''");
            let argument = match flag.argument {
                None => String::new(),
                Some("FILE") => ":FILE:_files".to_owned(),
                Some("SHELL") => format!(":SHELL:({SHELLS})"),
                Some(argument) => format!(":{argument}: "),
            };
            match names.len() {
                1 => format!("        '{excluded}{ended}[{text}]{argument}' \\"),
                _ => format!("        '{excluded}'{{{ended}}}'[{text}]{argument}' \\"),
            }
        }
        Shell::Fish => {
            let short = flag.short(OURS).iter().map(|letter| format!("-s {letter}"));
            let long = flag.long(OURS).iter().map(|name| format!("-l {name}"));
            let names = short.chain(long).collect::<Vec<_>>().join(" ");
            let text = flag.text.replace('\'', r"\'");
            let argument = match flag.argument {
                None => String::new(),
                Some("FILE") => " -r -F".to_owned(),
                Some("SHELL") => format!(" -x -a '{SHELLS}'"),
                Some(_) => " -x".to_owned(),
            };
            match flag.option {
                Opt::Command => format!("{names}{argument} -d '{text}'"),
                _ => format!("complete $options {names}{argument} -d '{text}'"),
            }
        }
    }
}

const SHELLS: &str = "bash zsh fish";
