//! Completions for shells: the texts of `shells/`, filled from the table of options.

use super::options::{FLAGS, Flag, Opt};
use crate::model::dialect::Dialect;
use crate::model::request::Shell;
use crate::text::escape::position;

/// The completions for a shell: a text of `src/cli/shells/`, in which words such as `@OPTIONS@` stand
/// for what the table says.
pub fn completions(shell: Shell) -> String {
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
        filled(&text, word, value)
    })
}

/// A text with a value in all places of a word.
fn filled(mut text: &str, word: &str, value: &str) -> String {
    let mut filled = String::new();
    while let Some(at) = position(text.as_bytes(), word.as_bytes()) {
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        filled += before;
        filled += value;
        text = rest.get(word.len()..).unwrap_or_default();
    }
    filled + text
}

/// The options that stand before LOCKFILE: all but -c.
fn before_lock_file() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| !is_behind(flag))
}

/// Whether an option counts right behind LOCKFILE, and there alone.
fn is_behind(flag: &Flag) -> bool {
    flag.option == Opt::Command
}

/// All names of these options, with their dashes.
fn all_names(flags: &[&Flag]) -> Vec<String> {
    flags.iter().flat_map(|flag| flag.names(OURS)).collect()
}

/// The one-letter names of these options, in a word.
fn letters(flags: &[&Flag]) -> String {
    flags.iter().flat_map(|flag| flag.short(OURS)).collect()
}

/// An option for `_arguments` (zshcompsys(1)).
fn for_zsh(flag: &Flag) -> String {
    let names = flag.names(OURS);
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
    let target = match flag.option {
        Opt::Command => "$command",
        _ => "$option",
    };
    let text = flag.text.replace('\'', r"\'");
    format!("complete {target} {names}{argument} -d '{text}'")
}

/// Completions are for the name nonoverlap alone.
const OURS: Dialect = Dialect::Nonoverlap;

/// What `--completions` takes.
const SHELLS: &str = "bash zsh fish";

/// What `--on-lost` takes.
const WHATS: &str = "term kill ignore";
