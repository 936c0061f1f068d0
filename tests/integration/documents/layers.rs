//! The layers of src/, as CONTRIBUTING.md has them: which folder uses which, that no files use each
//! other in a circle, that `unsafe` stays in src/sys/, and how long a file may be.
//!
//! It reads text and not Rust: every path that begins with `crate`, `self`, `super` or, in a mod.rs
//! and main.rs, with the name of a module of its own. `mod x;` says that there is a file, and is no
//! use of it; `pub use x::y;` is one. What sys/ does inside is the platforms' own.

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::Path;

use crate::support::documents::{CONTRIBUTING, ROOT, between, links, section, source_folders};

/// A path from src/ on, and what stands there.
type Source = (String, String);

/// The folders that each folder may use.
type Table = BTreeMap<String, Vec<String>>;

const MOST_LINES: usize = 300;

#[test]
fn a_folder_uses_only_those_that_the_table_allows() {
    none(forbidden(&sources(), &table()));
}

#[test]
fn no_files_outside_of_sys_use_each_other_in_a_circle() {
    none(circle(&sources()));
}

#[test]
fn unsafe_is_in_sys_only() {
    none(unsafe_outside_of_sys(&sources()));
}

#[test]
fn no_file_outside_of_sys_is_longer_than_300_lines() {
    none(too_long(&sources()));
}

/// It panics where nanosleep(2) fails, as under a sandbox.
#[test]
fn nothing_sleeps_by_std() {
    let sleeping = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("thread::sleep"));
    none(sleeping.map(|(path, _)| path).collect());
}

#[test]
fn the_table_has_every_source_folder_and_no_other() {
    let folders = table().into_keys().map(|name| format!("src/{name}/"));
    let mut there = source_folders();
    there.sort_unstable();
    assert_eq!(folders.collect::<Vec<_>>(), there);
}

#[test]
fn the_flow_in_contributing_is_that_of_main() {
    let main = fs::read_to_string(Path::new(ROOT).join("src/main.rs")).unwrap();
    let flow = between(section(CONTRIBUTING, "The layers"), "```\n", "```");
    assert!(flow.contains("Held") && flow.contains("Busy"), "{flow}");
    for line in flow.lines() {
        assert!(main.contains(&format!("//! {line}\n")), "{line}");
    }
}

#[test]
fn a_wrong_use_is_found_however_it_is_written() {
    for text in [
        "use crate::report::log::Log;",
        "use crate::{\n    sys,\n    report::{log::{self, Log as It}},\n};",
        "use super::super::report::log;",
        "pub(super) use crate::report::*;",
        "fn f() -> <T as crate::report::log::It>::F {}",
        "fn f() { /* why */ crate::report::log::f(\"\\\"\") }",
        "const QUOTE: char = '\"'; use crate::report::log; const OTHER: char = '\\'';",
    ] {
        let found = forbidden(&planted("inspect/local.rs", text), &table());
        assert_eq!(found, ["inspect/local.rs uses report"], "{text}");
    }
    for (path, text, wrong) in [
        ("sys/clock.rs", "use crate::text::time;", "text"),
        ("text/json.rs", "use crate::carry_out;", "main.rs"),
    ] {
        let found = forbidden(&planted(path, text), &table());
        assert_eq!(found, [format!("{path} uses {wrong}")]);
    }
}

#[test]
fn what_is_allowed_or_no_use_is_not_found() {
    for text in [
        "use crate::lock::record; use super::state::{self, Holder}; use std::fs;",
        "use crate::{sys as report, text::time};",
        "// use crate::report::log;\n/* crate::report::log\n */ /// [`crate::report`]\n",
        "const A: &str = \"crate::report::log\"; const B: &str = r#\"\" crate::report\"#;",
        "fn of<'a>(it: &'a str) -> &'a str { local::report::log(it) }",
    ] {
        none(forbidden(&planted("inspect/local.rs", text), &table()));
    }
}

#[test]
fn a_folder_that_the_table_does_not_know_is_found() {
    for path in ["attic/mod.rs", "helpers.rs"] {
        let found = forbidden(&planted(path, ""), &table());
        assert_eq!(found, [format!("{path} is in no folder of the table")]);
    }
}

#[test]
fn a_circle_is_found() {
    let mut sources = planted("lock/mod.rs", "pub mod a; pub use a::f; mod b; mod c;");
    sources.extend(planted("lock/a.rs", "use super::b::{self, B};"));
    sources.extend(planted("lock/b.rs", "fn f() { super::c::f() }"));
    none(circle(&sources));
    let mut by_file = sources.clone();
    by_file.extend(planted("lock/c.rs", "use crate::lock::a::A;"));
    assert_eq!(circle(&by_file), ["lock/a.rs", "lock/b.rs", "lock/c.rs"]);
    // To use what the folder hands on is to use the folder's file, which uses the one it is from.
    sources.extend(planted("lock/b.rs", "use super::f;"));
    assert_eq!(circle(&sources), ["lock/a.rs", "lock/b.rs", "lock/mod.rs"]);

    let mut in_sys = planted("sys/a.rs", "use super::b;");
    in_sys.extend(planted("sys/b.rs", "use super::a;"));
    none(circle(&in_sys));
}

#[test]
fn unsafe_is_found() {
    for text in ["fn f() { unsafe { g() } }", "#[unsafe(no_mangle)]"] {
        let found = unsafe_outside_of_sys(&planted("run/exec.rs", text));
        assert_eq!(found, ["run/exec.rs"], "{text}");
        none(unsafe_outside_of_sys(&planted("sys/exec.rs", text)));
    }
    let words = "#![deny(unsafe_code)] // unsafe\nconst WORD: &str = \"unsafe\";";
    none(unsafe_outside_of_sys(&planted("main.rs", words)));
}

#[test]
fn a_long_file_is_found() {
    let long = "\n".repeat(301);
    assert_eq!(too_long(&planted("run/exec.rs", &long)), ["run/exec.rs"]);
    none(too_long(&planted("run/exec.rs", &long[1..])));
    none(too_long(&planted("sys/exec.rs", &long)));
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "{found:#?}");
}

/// What the cases above use, and the file that a case is about.
fn planted(path: &str, text: &str) -> Vec<Source> {
    let there = "main.rs sys/mod.rs text/time.rs lock/record.rs lock/c.rs \
                 inspect/mod.rs report/mod.rs report/log.rs";
    let empty = there.split(' ').filter(|name| *name != path);
    let sources = empty.map(|name| (name.to_owned(), String::new()));
    sources
        .chain([(path.to_owned(), text.to_owned())])
        .collect()
}

fn sources() -> Vec<Source> {
    let src = Path::new(ROOT).join("src");
    let (mut folders, mut sources) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
                sources.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 50, "{}", sources.len());
    sources
}

/// The rows of CONTRIBUTING.md, whose first cell links to a folder and whose last names folders.
fn table() -> Table {
    let rows = section(CONTRIBUTING, "The layers").lines();
    let row = |line: &str| {
        let folder = links(line)
            .next()?
            .strip_prefix("src/")?
            .strip_suffix('/')?;
        let last = line.trim_end_matches(" |").rsplit("| ").next()?;
        let names = last.split(", ").filter(|name| *name != "nothing");
        Some((folder.to_owned(), names.map(str::to_owned).collect()))
    };
    let table: Table = rows.filter_map(row).collect();
    for name in table.values().flatten() {
        assert!(table.contains_key(name), "the table has no row for {name}");
    }
    table
}

fn forbidden(sources: &[Source], table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| path != "main.rs") {
        let folder = path.split_once('/').map_or("", |(folder, _)| folder);
        let Some(allowed) = table.get(folder) else {
            found.push(format!("{path} is in no folder of the table"));
            continue;
        };
        for used in used_by(path, text, sources) {
            let used = used.split('/').next().unwrap_or_default();
            if used != folder && !allowed.iter().any(|name| name == used) {
                found.push(format!("{path} uses {used}"));
            }
        }
    }
    found.dedup();
    found
}

/// The files that use each other in circles, as far as they are outside of sys/: what is left when
/// those that use nobody else, and then those that are used by nobody else, are taken away.
fn circle(sources: &[Source]) -> Vec<String> {
    let mut uses = BTreeMap::new();
    for (path, text) in outside_of_sys(sources) {
        uses.insert(path.clone(), used_by(path, text, sources));
    }
    loop {
        let before = uses.clone();
        let uses_one = |used: &Vec<String>| used.iter().any(|it| before.contains_key(it));
        let is_used = |path: &String| before.values().any(|used| used.contains(path));
        uses.retain(|path, used| uses_one(used) && is_used(path));
        if uses.len() == before.len() {
            return uses.into_keys().collect();
        }
    }
}

fn unsafe_outside_of_sys(sources: &[Source]) -> Vec<String> {
    outside_of_sys(sources)
        .filter(|(_, text)| bare(text).split_whitespace().any(|word| word == "unsafe"))
        .map(|(path, _)| path.clone())
        .collect()
}

fn too_long(sources: &[Source]) -> Vec<String> {
    outside_of_sys(sources)
        .filter(|(_, text)| text.lines().count() > MOST_LINES)
        .map(|(path, _)| path.clone())
        .collect()
}

fn outside_of_sys(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|(path, _)| !path.starts_with("sys/"))
}

/// The other files of ours that a file uses.
fn used_by(path: &str, text: &str, sources: &[Source]) -> Vec<String> {
    let here = module(path);
    let file_of = |place: &[&str]| {
        sources
            .iter()
            .map(|(path, _)| path)
            .find(|path| module(path) == place)
    };
    let is_folder = path == "main.rs" || path.ends_with("/mod.rs");
    let mut found = Vec::new();
    let code = bare(text);
    for words in paths(&code.split_whitespace().collect::<Vec<_>>()) {
        let mut place = here.clone();
        let rest = match words.as_slice() {
            ["crate", rest @ ..] => {
                place.clear();
                rest
            }
            ["self", rest @ ..] => rest,
            ["super", ..] => {
                let up = words.iter().take_while(|word| **word == "super").count();
                place.truncate(place.len().saturating_sub(up));
                &words[up..]
            }
            [first, ..]
                if is_folder && file_of(&[here.as_slice(), &[first]].concat()).is_some() =>
            {
                &words
            }
            _ => continue,
        };
        place.extend(rest);
        // The file in which the longest part of the path is; what is no file is in main.rs.
        let file = (0..=place.len())
            .rev()
            .find_map(|length| file_of(&place[..length]));
        found.extend(file.filter(|file| *file != path).cloned());
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The module that a file is: `lock/file.rs` is `lock::file`, and `lock/mod.rs` is `lock`.
fn module(path: &str) -> Vec<&str> {
    let path = path.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|word| *word != "main").collect()
}

/// Every path of more than one word, each of nested braces by itself. A name behind `as` is none.
fn paths<'a>(tokens: &[&'a str]) -> Vec<Vec<&'a str>> {
    let (mut found, mut path, mut open, mut before) = (vec![], vec![], vec![], "");
    for &token in tokens {
        match (before, token) {
            (_, "::") => {}
            ("::", "{") => open.push(mem::take(&mut path)),
            ("::", _) => path.push(token),
            _ => {
                found.push(mem::take(&mut path));
                if token == "}" {
                    open.pop();
                } else if is_word(token) && token != "as" {
                    let outside = open.last().filter(|_| before != "as");
                    path = outside.cloned().unwrap_or_default();
                    path.push(token);
                }
            }
        }
        before = token;
    }
    found.push(path);
    found.retain(|path| path.len() > 1);
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first == '_' || first.is_alphanumeric())
}

/// The code without its comments and texts, and with a blank between any two words and signs.
fn bare(mut rest: &str) -> String {
    let mut code = String::new();
    while let Some(first) = rest.chars().next() {
        let length = comment_or_text(rest);
        match length {
            0 if is_word(rest) => code.push(first),
            0 => code.extend([' ', first, ' ']),
            _ => code.push(' '),
        }
        rest = &rest[length.max(first.len_utf8())..];
    }
    code.replace(" :  : ", " :: ")
}

/// How long the comment or text is that begins here; 0 if none does.
fn comment_or_text(rest: &str) -> usize {
    let hashes: String = rest
        .chars()
        .skip(1)
        .take_while(|letter| *letter == '#')
        .collect();
    let raw = [format!("r{hashes}\""), format!("\"{hashes}")];
    let is_character = rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'');
    for (start, end) in [("//", "\n"), ("/*", "*/"), (&raw[0], &raw[1])] {
        if let Some(inside) = rest.strip_prefix(start) {
            let length = inside.find(end).map_or(inside.len(), |at| at + end.len());
            return start.len() + length;
        }
    }
    if !(rest.starts_with('"') || rest.starts_with('\'') && is_character) {
        return 0;
    }
    let (bytes, mut at) = (rest.as_bytes(), 1);
    while at < bytes.len() && bytes[at] != bytes[0] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}
