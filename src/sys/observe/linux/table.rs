//! The table of the kernel's locks, `/proc/locks` (proc_locks(5)).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use super::mounts::Inode;

/// A table that is shorter was read in one piece, and so at one moment: the kernel gives as much as
/// fits a page (its seq_file.c), which is 4,096 bytes at the least, and a line is far shorter than
/// the rest.
const ONE_PIECE: usize = 3800;

/// More than a page of most processors: how much is asked for at first.
const PIECE: usize = 8192;

/// What all readings of the table together say.
#[derive(Default)]
pub struct Table(HashMap<Inode, Listed>);

/// What the table says of the locks on the files of one name.
#[derive(Default)]
pub struct Listed {
    /// There is a lock.
    pub is_locked: bool,
    /// Processes that took a lock, which need not be alive.
    pub takers: Vec<u32>,
    /// How many wait.
    pub waiters: usize,
}

impl Table {
    /// Reads the table, and adds what it says to what earlier readings said. Returns the reading.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn read(&mut self) -> io::Result<Reading> {
        let reading = Reading(read_at_once("/proc/locks")?);
        let mut waiters: HashMap<Inode, Vec<Option<u32>>> = HashMap::new();
        for line in String::from_utf8_lossy(&reading.0).lines() {
            let Some(entry) = Entry::of(line) else {
                continue;
            };
            if entry.waits {
                let waiters = waiters.entry(entry.inode).or_default();
                // Where the table grew between two pieces, a line comes twice.
                if entry.taker.is_none() || !waiters.contains(&entry.taker) {
                    waiters.push(entry.taker);
                }
                continue;
            }
            let listed = self.0.entry(entry.inode).or_default();
            listed.is_locked = true;
            if !entry
                .taker
                .is_none_or(|taker| listed.takers.contains(&taker))
            {
                listed.takers.extend(entry.taker);
            }
        }
        for (inode, waiters) in waiters {
            let listed = self.0.entry(inode).or_default();
            listed.waiters = listed.waiters.max(waiters.len());
        }
        Ok(reading)
    }

    /// What it says of the files of one name, if they are in it.
    pub fn of(&self, inode: &Inode) -> Option<&Listed> {
        self.0.get(inode)
    }
}

/// The table's text at one reading.
#[derive(Default, PartialEq, Eq)]
pub struct Reading(Vec<u8>);

impl Reading {
    /// Whether it is certainly of one moment, and so leaves nothing out.
    pub fn is_of_one_moment(&self) -> bool {
        self.0.len() <= ONE_PIECE
    }
}

/// Reads a list in pieces as long as the kernel gives them: std's `fs::read` asks for 32 bytes
/// first, and is given a single entry.
fn read_at_once(path: &str) -> io::Result<Vec<u8>> {
    let mut list = Vec::with_capacity(PIECE);
    File::open(path)?.read_to_end(&mut list)?;
    Ok(list)
}

/// A line such as `1: FLOCK  ADVISORY  WRITE 6122 fe:00:1234 0 EOF`, or with `->` after the number
/// for one that waits. A descriptor's `fdinfo` has the same line behind `lock:`.
pub struct Entry {
    /// It is not a lock, but somebody who waits for one.
    pub waits: bool,
    /// Nothing for a record lock on an open file description, which has no PID.
    pub taker: Option<u32>,
    /// Which file.
    pub inode: Inode,
}

impl Entry {
    /// Nothing where the line is of no lock that excludes others.
    pub fn of(line: &str) -> Option<Entry> {
        let mut words = line.split_ascii_whitespace().skip(1).peekable();
        let waits = words.next_if_eq(&"->").is_some();
        // Leases and delegations stand here, too, and exclude no lock.
        if !matches!(words.next()?, "FLOCK" | "POSIX" | "OFDLCK") {
            return None;
        }
        // ADVISORY or MANDATORY, READ or WRITE.
        let mut words = words.skip(2);
        let taker = words.next()?.parse().ok().filter(|&pid| pid > 0);
        let inode = words
            .next()
            .filter(|place| place.matches(':').count() == 2)?;
        Some(Entry {
            waits,
            taker,
            inode: inode.to_owned(),
        })
    }
}
