//! The pages that go to standard output, made from the table of options.

use std::fmt::Write;

use crate::cli::options::{FLAGS, Flag, Opt};
use crate::model::dialect::Dialect;
use crate::model::error as outcome;

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

const SERVERS: &str = "       nonoverlap [options] SCHEME://TARGET COMMAND [ARG...]\n";

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
    for flag in FLAGS {
        let heading = heading(flag, dialect);
        if !heading.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "  {heading}\n        {}", flag.text);
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
fn heading(flag: &Flag, dialect: Dialect) -> String {
    let names = names(flag, dialect).join(", ");
    match flag.argument {
        Some(argument) if !names.is_empty() => format!("{names} {argument}"),
        _ => names,
    }
}

/// All names of an option, with their dashes.
fn names(flag: &Flag, dialect: Dialect) -> Vec<String> {
    let short = flag.short(dialect).iter();
    let short = short.map(|letter| format!("-{letter}"));
    let long = flag.long(dialect).iter().map(|name| format!("--{name}"));
    short.chain(long).collect()
}

/// The completions for a shell: a text of `src/cli/shells/`, in which words such as `@OPTIONS@` stand
/// for what the table says.
fn completions(shell: Shell) -> String {
    let (text, specs): (_, Vec<_>) = match shell {
        Shell::Bash => (include_str!("shells/nonoverlap.bash"), Vec::new()),
        Shell::Zsh => (
            include_str!("shells/_nonoverlap"),
            before_lock_file().map(for_zsh).collect(),
        ),
        Shell::Fish => (
            include_str!("shells/nonoverlap.fish"),
            FLAGS.iter().map(for_fish).collect(),
        ),
    };
    let (taking, plain): (Vec<_>, Vec<_>) =
        before_lock_file().partition(|flag| flag.argument.is_some());
    let files = taking.iter().copied();
    let files: Vec<_> = files.filter(|flag| flag.argument == Some("FILE")).collect();
    let behind: Vec<_> = FLAGS.iter().filter(|flag| is_behind(flag)).collect();
    [
        (
            "@OPTIONS@",
            all_names(&before_lock_file().collect::<Vec<_>>()).join(" "),
        ),
        ("@TAKING@", all_names(&taking).join("|")),
        ("@TAKING_LETTERS@", letters(&taking)),
        ("@PLAIN_LETTERS@", letters(&plain)),
        ("@FILES@", all_names(&files).join("|")),
        ("@FILES_LETTERS@", letters(&files)),
        ("@COMMAND@", all_names(&behind).join(" ")),
        ("@COMMAND_PATTERN@", all_names(&behind).join("|")),
        ("@SPECS@", specs.join("\n")),
    ]
    .iter()
    .fold(text.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

fn before_lock_file() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| !is_behind(flag))
}

/// Whether an option counts right behind LOCKFILE, and there alone.
fn is_behind(flag: &Flag) -> bool {
    flag.option == Opt::Command
}

fn all_names(flags: &[&Flag]) -> Vec<String> {
    flags.iter().flat_map(|flag| names(flag, OURS)).collect()
}

fn letters(flags: &[&Flag]) -> String {
    flags.iter().flat_map(|flag| flag.short(OURS)).collect()
}

/// An option for `_arguments` (zshcompsys(1)).
fn for_zsh(flag: &Flag) -> String {
    let names = names(flag, OURS);
    let with_argument = |name: &String| match (flag.argument, name.starts_with("--")) {
        (None, _) => name.clone(),
        (Some(_), true) => format!("{name}="),
        (Some(_), false) => format!("{name}+"),
    };
    let forms = names.iter().map(with_argument).collect::<Vec<_>>();
    let forms = match &forms[..] {
        [form] => form.clone(),
        forms => format!("'{{{}}}'", forms.join(",")),
    };
    let excluded = match flag.option {
        // The lock file, in whose place it stands.
        Opt::Descriptor => format!("{} 1", names.join(" ")),
        _ => names.join(" "),
    };
    let text = flag.text.replace('\'', r"'\''");
    let argument = match flag.argument {
        None => String::new(),
        Some("FILE") => ":FILE:_files".to_owned(),
        Some("SHELL") => format!(":SHELL:({SHELLS})"),
        Some("WHAT") => format!(":WHAT:({WHATS})"),
        Some(argument) => format!(":{argument}: "),
    };
    format!("        '({excluded}){forms}[{text}]{argument}' \\")
}

/// An option for fish's `complete`.
fn for_fish(flag: &Flag) -> String {
    let short = flag.short(OURS).iter().map(|letter| format!("-s {letter}"));
    let long = flag.long(OURS).iter().map(|name| format!("-l {name}"));
    let names = short.chain(long).collect::<Vec<_>>().join(" ");
    let argument = match flag.argument {
        None => String::new(),
        Some("FILE") => " -r -F".to_owned(),
        Some("SHELL") => format!(" -x -a '{SHELLS}'"),
        Some("WHAT") => format!(" -x -a '{WHATS}'"),
        Some(_) => " -x".to_owned(),
    };
    let place = match flag.option {
        Opt::Command => "$command",
        _ => "$option",
    };
    let text = flag.text.replace('\'', r"\'");
    format!("complete {place} {names}{argument} -d '{text}'")
}

const OURS: Dialect = Dialect::Nonoverlap;

const SHELLS: &str = "bash zsh fish";

const WHATS: &str = "term kill ignore";
