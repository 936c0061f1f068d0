//! Reading the help, the man pages and the README: sections, lists and tables, as far as the tests of
//! the documents want them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{Run, has_tool};

pub const README: &str = include_str!("../../../README.md");
pub const CONTRIBUTING: &str = include_str!("../../../CONTRIBUTING.md");
pub const BENCHES: &str = include_str!("../../../benches/README.md");
pub const DESIGN: &str = include_str!("../../../DESIGN.md");
pub const CHANGELOG: &str = include_str!("../../../CHANGELOG.md");
pub const MAN: &str = include_str!("../../../man/nonoverlap.1");
/// Every page of the manual.
pub const MANUAL: [(&str, &str); 3] = [
    ("nonoverlap.1", MAN),
    (
        "nonoverlap-helper.7",
        include_str!("../../../man/nonoverlap-helper.7"),
    ),
    (
        "nonoverlap-postgresql.1",
        include_str!("../../../man/nonoverlap-postgresql.1"),
    ),
];

/// The folder of the project.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What `--help` says.
pub struct Help {
    pub usage: String,
    /// As they stand there: `-E, --conflict-exit-code N`.
    pub options: Vec<String>,
    pub statuses: Vec<String>,
    /// The same with what they mean.
    pub meanings: BTreeSet<String>,
}

impl Help {
    pub fn of(program: &Path) -> Help {
        let page = Command::new(program).arg("--help").run().stdout();
        let (usage, rest) = page.split_once("\n\n").unwrap();
        let (options, statuses) = rest.split_once("\nExit status: ").unwrap();
        let options = options.lines().filter_map(|line| line.strip_prefix("  "));
        let statuses = statuses.lines().filter_map(|line| line.strip_prefix("  "));
        Help {
            usage: usage.to_owned(),
            options: options
                .filter(|line| line.starts_with('-'))
                .map(str::to_owned)
                .collect(),
            statuses: statuses
                .clone()
                .filter_map(|line| line.split(' ').next())
                .map(str::to_owned)
                .collect(),
            meanings: statuses.map(str::to_owned).collect(),
        }
    }

    pub fn names(&self) -> BTreeSet<String> {
        names_in(&self.options.join(" "))
    }
}

/// The words that begin with a dash.
pub fn names_in(text: &str) -> BTreeSet<String> {
    text.split_whitespace()
        .map(|word| word.trim_end_matches([',', '.']))
        .filter(|word| word.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
pub fn man_section(name: &str) -> &'static str {
    let (_, section) = MAN
        .split_once(&format!("\n.Sh {name}\n"))
        .unwrap_or_else(|| panic!("no section {name}"));
    section.split("\n.Sh ").next().unwrap()
}

pub fn readme_section(name: &str) -> &'static str {
    section(README, name)
}

/// A section of a page in Markdown.
#[track_caller]
pub fn section<'a>(page: &'a str, name: &str) -> &'a str {
    between(page, &format!("\n## {name}\n"), "\n## ")
}

#[track_caller]
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let found = text
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end));
    found
        .unwrap_or_else(|| panic!("nothing between {start:?} and {end:?}"))
        .0
}

/// What the items of a list in the man page are headed by.
pub fn items(section: &str) -> Vec<String> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .map(plain)
        .collect()
}

/// A line of mdoc(7) as it is shown, as far as Fl and Ar go.
pub fn plain(line: &str) -> String {
    let (mut text, mut dash) = (String::new(), "");
    for word in line.trim_start_matches('.').split(' ') {
        match word {
            "Fl" => dash = "-",
            "Ar" => dash = "",
            "," | "." => text += word,
            _ if text.is_empty() => text = format!("{dash}{word}"),
            _ => text += &format!(" {dash}{word}"),
        }
    }
    text
}

/// The blocks of code in this language in one of the README's recipes.
#[track_caller]
pub fn codes(recipe: &str, language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let blocks = recipe_section(recipe).split(&start).skip(1);
    blocks.map(|block| between(block, "", "```")).collect()
}

/// A part of the README's everyday use.
#[track_caller]
pub fn recipe_section(name: &str) -> &'static str {
    let (_, section) = readme_section("Everyday use")
        .split_once(&format!("\n### {name}\n"))
        .unwrap_or_else(|| panic!("no such recipe: {name}"));
    section.split("\n### ").next().unwrap()
}

/// The files that the man page shows whole.
pub fn man_files() -> impl Iterator<Item = &'static str> {
    let blocks = MAN.split(".Bd -literal -offset indent -compact\n").skip(1);
    blocks.map(|block| between(block, "", ".Ed\n"))
}

/// The one that begins so.
#[track_caller]
pub fn man_file(start: &str) -> &'static str {
    let mut found = man_files().filter(|file| file.starts_with(start));
    let file = found.next().unwrap_or_else(|| panic!("no {start}"));
    assert_eq!(found.next(), None, "{start}");
    assert!(!file.contains('\\') && !file.starts_with(['.', '\'']));
    file
}

/// Whether there is a test of this name: `lock::exclusion::name`.
pub fn is_a_test(package: &Path, name: &str) -> bool {
    let Some((family, test)) = name.rsplit_once("::") else {
        return false;
    };
    let file = format!("tests/integration/{}.rs", family.replace("::", "/"));
    let source = fs::read_to_string(package.join(file)).unwrap_or_default();
    let head = format!("fn {test}() {{");
    let first = |rest: &str| {
        rest.lines()
            .map(str::trim)
            .find(|line| line.starts_with("fn "))
            == Some(&head)
    };
    source.split("#[test]\n").skip(1).any(first)
}

/// The first cells of a table's rows, without the head.
pub fn first_cells(section: &str) -> Vec<String> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .skip(1)
        .filter_map(|line| line.split(" | ").next())
        .map(|cell| cell.replace('`', ""))
        .collect()
}

pub fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

pub fn source_folders() -> Vec<String> {
    fs::read_dir(Path::new(ROOT).join("src"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| format!("src/{}/", entry.file_name().into_string().unwrap()))
        .collect()
}

/// Where this page of the manual is.
pub fn man_page(name: &str) -> PathBuf {
    Path::new(ROOT).join("man").join(name)
}

/// What mandoc says of this page of the manual, if there is a mandoc.
pub fn mandoc(arguments: &[&str], name: &str) -> Option<String> {
    if !has_tool("mandoc", "the manual") {
        return None;
    }
    let mut mandoc = Command::new("mandoc");
    let ended = mandoc.args(arguments).arg(man_page(name)).run();
    // 1 is a matter of style, of which only some is the page's (see above).
    assert!(matches!(ended.code(), Some(0 | 1)), "{ended:?}");
    Some(ended.stdout())
}

/// The one line of a command that the README shows before its first section.
#[track_caller]
pub fn first_screen_line(start: &str) -> &'static str {
    let (screen, _) = README.split_once("\n## ").unwrap();
    let mut lines = screen
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(start));
    let line = lines.next().unwrap_or_else(|| panic!("no {start}"));
    assert_eq!(lines.next(), None);
    line
}
