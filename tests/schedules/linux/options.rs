//! The arguments. Those of Rust's own test programs are understood as far as they are used together with
//! other tests (`cargo test -- --skip cron::`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

use super::scenario::{Locker, Scenario};

/// The binary under test, by an absolute path: the one that was built for this, or the one that
/// `NONOVERLAP_TO_TEST` named when the tests were compiled.
const NONOVERLAP: &str = match option_env!("NONOVERLAP_TO_TEST") {
    Some(path) => path,
    None => env!("CARGO_BIN_EXE_nonoverlap"),
};

#[derive(Default)]
pub struct Options {
    pub is_long: bool,
    pub seconds: Option<Duration>,
    pub is_markdown: bool,
    pub shows: bool,
    pub lists: bool,
    binary: Option<PathBuf>,
    peers: Vec<String>,
    prefixes: Vec<String>,
    skipped: Vec<String>,
}

impl Options {
    pub fn read(words: impl Iterator<Item = String>) -> Result<Options, lexopt::Error> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("long") => options.is_long = true,
                Long("seconds") => {
                    let seconds = parser.value()?.parse()?;
                    options.seconds = Some(Duration::from_secs_f64(seconds));
                }
                Long("markdown") => options.is_markdown = true,
                Long("show") => options.shows = true,
                Long("list") => options.lists = true,
                Long("binary") => options.binary = Some(parser.value()?.into()),
                Long("peer") => options.peers.push(parser.value()?.string()?),
                Long("skip") => options.skipped.push(parser.value()?.string()?),
                Long("test-threads" | "color" | "format") => drop(parser.value()?),
                Long("nocapture" | "no-capture" | "exact" | "quiet") | Short('q') => {}
                Value(prefix) => options.prefixes.push(prefix.string()?),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(options)
    }

    /// The programs that are looked at.
    pub fn lockers(&self) -> Vec<Locker> {
        let binary = self.binary.as_deref().unwrap_or(Path::new(NONOVERLAP));
        let binary = std::path::absolute(binary).unwrap_or_default();
        let ours = Locker {
            words: vec![binary.display().to_string()],
            is_ours: true,
        };
        let with_ours = self.peers.is_empty() || self.is_markdown;
        let ours = with_ours.then_some(ours);
        ours.into_iter()
            .chain(self.peers.iter().map(|line| Options::peer(line)))
            .collect()
    }

    /// Another program that locks, found as a shell finds it.
    pub fn peer(line: &str) -> Locker {
        let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        if let Some(program) = words.first_mut() {
            *program = found(program);
        }
        Locker {
            words,
            is_ours: false,
        }
    }

    /// Whether something of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        let begins = |prefix: &String| name.starts_with(prefix.as_str());
        (self.prefixes.is_empty() || self.prefixes.iter().any(begins))
            && !self.skipped.iter().any(begins)
    }

    /// Whether the checker is to be checked: in the gate, and by hand where that is asked for, since many of
    /// its scenarios take hours without reduction.
    pub fn tests_itself(&self) -> bool {
        let by_name = self.prefixes.iter().any(|prefix| prefix.starts_with("own"));
        by_name || !self.is_long && !self.is_markdown && self.peers.is_empty()
    }

    pub fn wants_scenario(&self, scenario: &Scenario) -> bool {
        (self.is_long || self.is_markdown || scenario.is_quick()) && self.wants(&scenario.name)
    }
}

/// A program, by the path at which PATH has it.
fn found(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    let place = places.find(|place| place.is_file());
    place.map_or_else(|| program.to_owned(), |place| place.display().to_string())
}
