//! What somebody else does: to the folder of the lock file, or to a run.
//!
//! A deed is written as `VERB:FILE` or `VERB:FILE:MORE`, the files by their names in the folder.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Error, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::touch::{self, Touch};
use super::world::World;

#[derive(Clone)]
pub struct Deed {
    pub text: String,
    verb: String,
    file: String,
    more: String,
}

/// What a deed is done to.
pub enum Victim<'a> {
    Folder,
    /// The program of this name is killed.
    Killed(&'a str),
    /// The time of the program of this name is up.
    TimedOut(&'a str),
}

/// A record as nonoverlap writes it.
pub fn record(pid: i32) -> String {
    format!("{pid:10}\n")
}

/// Of a process that there is none of.
const DEAD: i32 = 4242;

impl Deed {
    /// The deeds of a list, which commas separate.
    pub fn list(text: &str) -> Vec<Deed> {
        let words = text.split(',').filter(|word| !word.is_empty());
        words.map(Deed::new).collect()
    }

    fn new(text: &str) -> Deed {
        let mut words = text.splitn(3, ':').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Deed {
            text: text.to_owned(),
            verb: word(),
            file: word(),
            more: word(),
        }
    }

    pub fn victim(&self) -> Victim<'_> {
        match &*self.verb {
            "kill" => Victim::Killed(&self.file),
            "timeout" => Victim::TimedOut(&self.file),
            _ => Victim::Folder,
        }
    }

    /// Does it to the folder.
    pub fn apply(&self, folder: &Path) -> Result<()> {
        let (file, more) = (folder.join(&self.file), folder.join(&self.more));
        let mut open = OpenOptions::new();
        open.write(true).mode(0o666);
        match &*self.verb {
            "unlink" => fs::remove_file(file),
            "create" => open.create_new(true).open(file).map(drop),
            "rename" => fs::rename(file, more),
            "link" => fs::hard_link(file, more),
            "symlink" => symlink(more, file),
            "mkfifo" => mkfifo(&file),
            "mkdir" => fs::create_dir(file),
            "rmdir" => fs::remove_dir(file),
            "chmod" => {
                let mode = u32::from_str_radix(&self.more, 8).expect("a mode");
                fs::set_permissions(file, Permissions::from_mode(mode))
            }
            "trunc" => open.open(file)?.set_len(0),
            "write" => open.open(file)?.write_all(self.more.as_bytes()),
            "put" => {
                let mut new = open.create(true).truncate(false).open(file)?;
                new.write_all(self.more.as_bytes())
            }
            "record" => {
                let mut new = open.create(true).truncate(false).open(file)?;
                new.write_all(record(DEAD).as_bytes())
            }
            // As sed -i and editors do: a new file of the same content.
            "copy" => fs::write(more, fs::read(file)?),
            verb => panic!("no deed is called {verb}"),
        }
    }

    /// What it would touch if it were done to the folder now.
    pub fn touch(&self, world: &mut World) -> Touch {
        let (above, file) = world.names(&self.file);
        let reads = above;
        let there = world.file_at(&self.file, false).map_or(0, touch::file);
        let (reads, writes) = match &*self.verb {
            "unlink" => (reads, file | there),
            "rename" | "link" | "copy" => {
                let (above, more) = world.names(&self.more);
                let reads = reads | above;
                let replaced = world.file_at(&self.more, false).map_or(0, touch::file);
                match &*self.verb {
                    "rename" => (reads, file | more | there | replaced),
                    "link" => (reads | file, more | there),
                    _ => (reads | file | there, more | replaced),
                }
            }
            "trunc" | "write" => (reads | file, there),
            "chmod" => (reads | file, there | touch::MODES),
            _ => (reads, file | there),
        };
        Touch { reads, writes }
    }
}

fn mkfifo(path: &Path) -> Result<()> {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o666)).map_err(Error::from)
}
