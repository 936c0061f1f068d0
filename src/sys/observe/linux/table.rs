//! The table of the kernel's locks, `/proc/locks` (proc_locks(5)).
//!
//! The kernel gives the table in pieces of a page (its seq_file.c). Each piece is of one moment, but
//! where a lock goes away between two, what stands behind it moves up, and a line can slip through the
//! gap: beside churning locks one reading in two to ten missed a lock that stood there all the time. So
//! two descriptors read it in turn, half a piece apart. A new lock comes before the older ones of its
//! processor, and the order of two that stay does not change (the kernel's locks.c,
//! locks_insert_global_locks). So if each piece has lines in common with the one before, nothing that
//! stood there all the time is missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::mem;

use super::mounts::Inode;
use crate::sys::observe::MarkedRange;

/// Where the table is.
const PATH: &str = "/proc/locks";

/// A piece that is shorter goes to the end of the table: the kernel gives as many locks as fit a page,
/// which is 4,096 bytes at the least, and a lock is far shorter than the rest, if not some 16 wait for it.
const WHOLE: usize = 3000;

/// Where the second descriptor begins: in the middle of the smallest page.
const HALF: usize = 2048;

/// How much is asked for at once: no page is larger. A lock with very many waiters may be longer.
const ROOM: usize = 1 << 16;

/// How many lines two pieces must have in common. One may be of a lock that was dropped and taken again
/// elsewhere in the table.
const JOINTS: usize = 2;

/// How often the table is read anew where its pieces do not join. All that was seen counts: one
/// reading misses a lock in two cases of ten at the worst, but not the same one eight times.
const READINGS: usize = 8;

/// The numbers of entries of a list, by a name.
pub type Index = BTreeMap<Vec<u8>, Vec<usize>>;

/// All locks that stood in the table while it was read, and some that came or went meanwhile.
#[derive(Default)]
pub struct Table {
    /// The locks, each once.
    locks: Vec<Entry>,
    /// Which of them are on a file.
    by_file: Index,
    /// How many wait for the locks on a file, as the pieces say.
    waiters: Vec<(Inode, usize)>,
}

impl Table {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn read() -> io::Result<Table> {
        let mut table = Table::default();
        table.read_pieces()?;
        Ok(table)
    }

    /// Reads all pieces of it, some of them more than once.
    fn read_pieces(&mut self) -> io::Result<()> {
        let mut reader = Reader::open()?;
        let first = reader.next(ROOM)?;
        self.add(&first);
        // Where a lock with many waiters did not fit in the page, and the ones before it went, the next
        // piece is empty, too; but then the lines have other numbers now.
        let is_whole = first.len() < WHOLE && reader.next(ROOM)?.is_empty();
        if is_whole && Reader::open()?.next(ROOM)? == first {
            return Ok(());
        }
        for _ in 0..READINGS {
            if self.read_joined()? {
                break;
            }
        }
        Ok(())
    }

    /// All locks.
    pub fn locks(&self) -> impl Iterator<Item = &Entry> {
        self.locks.iter()
    }

    /// The locks on this file.
    pub fn locks_on(&self, file: &Inode) -> impl Iterator<Item = &Entry> {
        let numbers = self.by_file.get(file.as_bytes()).into_iter().flatten();
        numbers.filter_map(|&number| self.locks.get(number))
    }

    /// Whether it has this lock of another table's.
    pub fn has(&self, lock: &Entry) -> bool {
        self.locks_on(&lock.file).any(|it| it == lock)
    }

    /// How many wait for a lock on this file.
    pub fn waiters(&self, file: &Inode) -> usize {
        let counts = self.waiters.iter().filter(|(it, _)| it == file);
        counts.map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// Reads the table by two descriptors. Returns whether all pieces joined.
    fn read_joined(&mut self) -> io::Result<bool> {
        let (mut this, mut other) = (Reader::open()?, Reader::open()?);
        let skipped = other.next(HALF)?;
        self.add(&skipped);
        let mut before = Vec::new();
        let mut is_joined = true;
        loop {
            // The line that was cut at the end of the last piece comes first, and is older.
            let is_cut = !this.cut.is_empty();
            let piece = this.next(ROOM)?;
            self.add(&piece);
            if piece.is_empty() {
                // The last piece goes to the end of the table if there was room for more in it.
                return Ok(is_joined && before.len() < WHOLE);
            }
            let of_now = match is_cut {
                true => piece.splitn(2, |&byte| byte == b'\n').nth(1),
                false => Some(&piece[..]),
            };
            // The rest of a lock whose waiters did not fit is as old, and a piece begins with a lock.
            let of_now = lines(of_now.unwrap_or_default()).skip_while(|line| is_waiter(line));
            let of_now = of_now.collect::<Vec<_>>().join(&b'\n');
            is_joined &= before.is_empty() || have_joints(&before, &of_now);
            before = of_now;
            mem::swap(&mut this, &mut other);
        }
    }

    /// Adds what a piece says to what is known.
    fn add(&mut self, piece: &[u8]) {
        let before = self.waiters.len();
        for line in lines(piece) {
            let Some(entry) = std::str::from_utf8(line).ok().and_then(Entry::of) else {
                continue;
            };
            if !entry.waits {
                // The pieces overlap.
                if !self.has(&entry) {
                    let numbers = self.by_file.entry(entry.file.clone().into_bytes());
                    numbers.or_default().push(self.locks.len());
                    self.locks.push(entry);
                }
                continue;
            }
            // Those who wait for the same lock stand in a row behind it, in the same piece.
            match self.waiters.get_mut(before..).and_then(<[_]>::last_mut) {
                Some((file, count)) if *file == entry.file => *count += 1,
                _ => self.waiters.push((entry.file, 1)),
            }
        }
    }
}

/// The table, piece by piece.
struct Reader {
    /// It, open.
    file: File,
    /// The start of a line that was cut at the end of the last piece.
    cut: Vec<u8>,
    /// What is read into.
    room: Vec<u8>,
}

impl Reader {
    /// At the start of the table.
    fn open() -> io::Result<Reader> {
        Ok(Reader {
            file: File::open(PATH)?,
            cut: Vec::new(),
            room: vec![0; ROOM],
        })
    }

    /// The next piece, of whole lines: as much as the kernel gives for so many bytes, and more where
    /// that ends within its first line. Nothing at the end of the table.
    fn next(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut piece = mem::take(&mut self.cut);
        loop {
            let room = self.room.get_mut(..most).unwrap_or_default();
            let length = self.file.read(room)?;
            piece.extend_from_slice(room.get(..length).unwrap_or_default());
            let end = piece.iter().rposition(|&byte| byte == b'\n');
            if let Some(end) = end.filter(|_| length > 0) {
                self.cut = piece.split_off(end + 1);
                return Ok(piece);
            }
            if length == 0 {
                return Ok(piece);
            }
        }
    }
}

/// Whether two pieces have enough lines in common.
fn have_joints(one: &[u8], other: &[u8]) -> bool {
    let is_in_one = |line: &&[u8]| lines(one).any(|it| bare(it) == bare(line));
    let common = lines(other).filter(is_in_one);
    common.take(JOINTS).count() == JOINTS
}

/// The lines of a piece.
fn lines(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    piece
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Whether a line is of somebody who waits for the lock that stands before it.
fn is_waiter(line: &[u8]) -> bool {
    bare(line).trim_ascii_start().starts_with(b"->")
}

/// A line without its number, which changes when one before it goes.
fn bare(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|&byte| byte == b':');
    line.get(colon.map_or(0, |at| at + 1)..).unwrap_or_default()
}

/// A line such as `1: FLOCK  ADVISORY  WRITE 6122 fe:00:1234 0 EOF`, or with `->` after the number
/// for one that waits. A descriptor's `fdinfo` has the same line behind `lock:`.
#[derive(PartialEq, Eq)]
pub struct Entry {
    /// Which file.
    pub file: Inode,
    /// It is not a lock, but somebody who waits for one.
    pub waits: bool,
    /// By which call it was taken.
    pub api: Api,
    /// It excludes only locks that exclude others.
    pub is_shared: bool,
    /// The process that took it. Nothing for a lock of an open file description, which has no PID.
    pub taker: Option<u32>,
    /// Its first byte.
    pub start: i64,
    /// Its last byte; nothing where it goes to the end.
    pub end: Option<i64>,
}

/// The call by which a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// flock(2).
    Flock,
    /// fcntl(2), of a process.
    Process,
    /// fcntl(2), of an open file description.
    Description,
}

impl Entry {
    /// Whether it is a mark: its range begins where no file has a byte.
    pub fn is_mark(&self) -> bool {
        let is_range = self.start >= MarkedRange::FIRST && self.end.is_some();
        self.api == Api::Description && self.is_shared && is_range
    }

    /// Nothing where the line is of no lock that excludes others, such as a lease or a delegation.
    pub fn of(line: &str) -> Option<Entry> {
        let mut words = line.split_ascii_whitespace().skip(1).peekable();
        let waits = words.next_if_eq(&"->").is_some();
        let api = match words.next()? {
            "FLOCK" => Api::Flock,
            "POSIX" => Api::Process,
            "OFDLCK" => Api::Description,
            _ => return None,
        };
        // ADVISORY or MANDATORY.
        let mut words = words.skip(1);
        let is_shared = words.next()? == "READ";
        let taker = words.next()?.parse().ok().filter(|&pid| pid > 0);
        let file = words
            .next()
            .filter(|file| file.matches(':').count() == 2)?
            .to_owned();
        let start = words.next()?.parse().ok()?;
        let end = words.next()?.parse().ok();
        Some(Entry {
            file,
            waits,
            api,
            is_shared,
            taker,
            start,
            end,
        })
    }
}
