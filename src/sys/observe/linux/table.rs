//! The table of the kernel's locks, `/proc/locks` (proc_locks(5)).
//!
//! The kernel gives the table in pieces of a page (its seq_file.c). Each piece is of one moment, but
//! where a lock goes away between two, what stands behind it moves up, and a line can slip through the
//! gap: beside churning locks one reading in two to ten missed a lock that stood there all the time. So
//! two descriptors read it in turn, half a piece apart. A new lock comes before the older ones of its
//! processor, and the order of two that stay does not change (the kernel's locks.c,
//! locks_insert_global_locks). So if each piece has lines in common with the one before, nothing that
//! stood there all the time is missing. If they do not join, the table is not complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::mounts::Inode;
use crate::sys::errno::errno_of;
use crate::sys::observe::MarkedRange;

/// Where the table is.
const PATH: &str = "/proc/locks";

/// The smallest page there is. To ask for the real one costs calls, and with a larger one a piece only
/// has more room than is counted on.
const PAGE: usize = 4096;

/// How many bytes a lock has at the most, if no more than some 16 wait for it. A piece that had more
/// room than that goes to the end of the table: the kernel gives as many locks as fit.
const LONGEST: usize = 1096;

/// How much is asked for at once: no page is larger. A lock with very many waiters may be longer, and
/// then twice as much is asked for, and so on.
const ROOM: usize = 1 << 16;

/// How many lines two pieces must have in common. One may be of a lock that was dropped and taken again
/// elsewhere in the table.
const JOINTS: usize = 2;

/// How many of the last locks are read again to see that the table ends with them: more than the joints,
/// since they may have moved.
const TAIL: usize = 8;

/// How often the end of the table has to be found at the same place.
const ENDS: usize = 3;

/// How often in one reading two pieces need another look to be joined: each time it takes a lock for
/// which many wait.
const MOST_DOUBTS: usize = 1000;

/// For how long at least the table is read anew where its pieces do not join.
const PATIENCE: Duration = Duration::from_secs(1);

/// And how often at least: on a machine that has much to do, a second is not long. Beside two processes
/// that take and drop 900 locks each as fast as they can, a table is whole after some tens of readings.
const READINGS: usize = 200;

/// The numbers of entries of a list, by a name.
pub type Index = BTreeMap<Vec<u8>, Vec<usize>>;

/// All locks that stood in the table while it was read, and some that came or went meanwhile.
#[derive(Default)]
pub struct Table {
    /// The locks, each once.
    locks: Vec<Entry>,
    /// Which of them are on a file.
    by_file: Index,
    /// How many wait for each of them, as the piece says in which they are most.
    waiters: Vec<usize>,
    /// Pieces whose locks are to be added.
    new: Vec<Vec<u8>>,
    /// Why a lock that stood there all the time may be missing, if that is so: EAGAIN where the table
    /// changed too fast.
    pub failure: Option<Errno>,
}

impl Table {
    /// Reads the table.
    pub fn read() -> Table {
        let mut table = Table::default();
        table.failure = match table.read_pieces() {
            Ok(true) => None,
            Ok(false) => Some(Errno::AGAIN),
            Err(error) => Some(errno_of(error)),
        };
        table.add_new();
        table
    }

    /// Reads all pieces of it, some of them more than once. Returns whether no lock that stood there all
    /// the time is missing.
    fn read_pieces(&mut self) -> io::Result<bool> {
        let mut one = Reader::open()?;
        let first = self.next(&mut one)?;
        if self.next(&mut one)?.is_end && self.is_last(&first, &mut one)? {
            return Ok(true);
        }
        let mut other = Reader::open()?;
        let (start, mut readings) = (Instant::now(), 0);
        while readings < READINGS || start.elapsed() < PATIENCE {
            self.add_new();
            if self.read_joined(&mut one, &mut other)? {
                return Ok(true);
            }
            readings += 1;
        }
        Ok(false)
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
        let numbers = self.by_file.get(file.as_bytes()).into_iter().flatten();
        numbers.filter_map(|&lock| self.waiters.get(lock)).sum()
    }

    /// Reads the table by two descriptors. Returns whether all pieces joined.
    ///
    /// They are kept from one reading to the next: the room that the kernel has made for a lock with many
    /// waiters is there for other locks then.
    fn read_joined<'a>(
        &mut self,
        mut this: &'a mut Reader,
        mut other: &'a mut Reader,
    ) -> io::Result<bool> {
        this.go_to(0)?;
        other.go_to(0)?;
        // The one begins in the middle of the other's pieces.
        other.read(other.capacity / 2)?;
        let mut before = self.next(this)?;
        let mut doubts = 0..MOST_DOUBTS;
        loop {
            let mut piece = self.next(other)?;
            if piece.is_end {
                return self.is_last(&before, this);
            }
            if !piece.joins(&before) {
                // A lock with very many waiters ends the pieces of both and begins the next one. Perhaps
                // it fits behind the end of the last one.
                other.go_to(before.last(JOINTS))?;
                let tail = self.next(other)?;
                if !tail.joins(&before) || doubts.next().is_none() {
                    return Ok(false);
                }
                match tail.locks.len() > JOINTS.min(before.locks.len()) {
                    true => piece = tail,
                    // It does not, and so came next.
                    false if piece.is_cut_off_from(&tail, other.capacity) => {}
                    false => return Ok(false),
                }
            }
            before = piece;
            mem::swap(&mut this, &mut other);
        }
    }

    /// The next piece that has a lock of its own, or the end; and notes what it says.
    fn next(&mut self, reader: &mut Reader) -> io::Result<Piece> {
        loop {
            // The line that was cut at the end of the last piece is older.
            let is_cut = !reader.cut.is_empty();
            let bytes = reader.read_piece()?;
            let piece = Piece::of(&bytes, reader.at, is_cut);
            self.new.push(bytes);
            // The kernel doubles its room until the first lock fits.
            while piece.length_of(0) >= reader.capacity {
                reader.capacity *= 2;
            }
            if piece.is_end || !piece.locks.is_empty() {
                return Ok(piece);
            }
        }
    }

    /// Whether a piece, behind which nothing was found, goes to the end of the table.
    ///
    /// A lock with many waiters that does not fit ends a piece, too. If locks before it go then, what
    /// stands behind it has another place, and is not found there. So the last locks are read again: what
    /// stands behind them is in the same piece if it fits, and there must be room for it. And more than
    /// once, since it may be longer than that: then so many locks would have to go each time.
    fn is_last(&mut self, last: &Piece, reader: &mut Reader) -> io::Result<bool> {
        for _ in 0..ENDS {
            if !self.ends_with(last, reader)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same, once.
    fn ends_with(&mut self, last: &Piece, reader: &mut Reader) -> io::Result<bool> {
        for count in [TAIL, JOINTS] {
            reader.go_to(last.last(count))?;
            let tail = self.next(reader)?;
            if !tail.joins(last) || tail.locks.is_empty() != last.locks.is_empty() {
                return Ok(false);
            }
            if tail.length() + LONGEST <= reader.capacity {
                return Ok(self.next(reader)?.is_end);
            }
        }
        // So many wait for the last ones that there is no room. Those who wait are no locks that come and
        // go, and the piece is as it was.
        reader.go_to(last.place(0))?;
        let length: usize = last.locks.iter().map(Vec::len).sum();
        let has_room = length + LONGEST <= reader.capacity;
        let is_as_it_was = self.next(reader)?.locks == last.locks;
        Ok(has_room && is_as_it_was && self.next(reader)?.is_end)
    }

    /// Adds what was noted to what is known: not between two pieces, since the table changes meanwhile.
    fn add_new(&mut self) {
        for piece in mem::take(&mut self.new) {
            self.add(&piece);
        }
    }

    /// Adds what a piece says to what is known.
    fn add(&mut self, piece: &[u8]) {
        // A piece may begin with the rest of a lock of an older moment, which may come once more in it.
        let mut row = None;
        for line in lines(piece) {
            let Some(entry) = std::str::from_utf8(line).ok().and_then(Entry::of) else {
                continue;
            };
            if !entry.waits {
                row = Some((self.number_of(entry), 0));
            } else if let Some((lock, count)) = &mut row {
                // Those who wait for a lock stand in a row behind it, in the same piece.
                *count += 1;
                if let Some(most) = self.waiters.get_mut(*lock) {
                    *most = (*most).max(*count);
                }
            }
        }
    }

    /// The number of a lock, which may be known: the pieces overlap.
    fn number_of(&mut self, lock: Entry) -> usize {
        let numbers = self.by_file.entry(lock.file.clone().into_bytes());
        let numbers = numbers.or_default();
        let is_it = |number: &&usize| self.locks.get(**number) == Some(&lock);
        if let Some(&known) = numbers.iter().find(is_it) {
            return known;
        }
        numbers.push(self.locks.len());
        self.locks.push(lock);
        self.waiters.push(0);
        self.locks.len() - 1
    }
}

/// Locks that stood one behind the other at one moment.
struct Piece {
    /// Their lines, without those of who waits for them.
    locks: Vec<Vec<u8>>,
    /// At which byte each begins.
    places: Vec<u64>,
    /// At which byte the last one ends, with who waits for it.
    end: u64,
    /// Nothing was there, not even somebody who waits.
    is_end: bool,
}

impl Piece {
    /// The piece of these whole lines, which end at this byte. What is older is left out: the first
    /// line, if that `is_cut`, and the rest of a lock whose waiters did not fit; a piece begins with a
    /// lock.
    fn of(bytes: &[u8], end: u64, is_cut: bool) -> Piece {
        let mut at = end - bytes.len() as u64;
        let with_place = |line| {
            let place = at;
            at += <[u8]>::len(line) as u64;
            (place, line)
        };
        let all = bytes.split_inclusive(|&byte| byte == b'\n').map(with_place);
        let locks = all.skip(usize::from(is_cut));
        let locks = locks.filter(|(_, line)| !is_waiter(line));
        let (places, locks) = locks.map(|(place, line)| (place, line.to_vec())).unzip();
        Piece {
            locks,
            places,
            end,
            is_end: bytes.is_empty(),
        }
    }

    /// At which byte the lock of this number begins.
    fn place(&self, number: usize) -> u64 {
        self.places.get(number).copied().unwrap_or(self.end)
    }

    /// At which byte the last so many locks begin.
    fn last(&self, count: usize) -> u64 {
        self.place(self.locks.len().saturating_sub(count))
    }

    /// How many bytes the lock of this number has, with who waits for it.
    fn length_of(&self, number: usize) -> usize {
        let length = self.place(number + 1) - self.place(number);
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    /// How many bytes all of them have.
    fn length(&self) -> usize {
        usize::try_from(self.end - self.place(0)).unwrap_or(usize::MAX)
    }

    /// Whether it has this lock, once: locks of open file descriptions that share a range look alike.
    fn has_one(&self, lock: &[u8]) -> bool {
        let alike = self.locks.iter().filter(|it| bare(it) == bare(lock));
        alike.take(2).count() == 1
    }

    /// Whether it has enough locks in common with the one before.
    fn joins(&self, before: &Piece) -> bool {
        let wanted = JOINTS.min(self.locks.len()).min(before.locks.len());
        let is_common = |lock: &&Vec<u8>| before.has_one(lock) && self.has_one(lock);
        self.locks.iter().filter(is_common).take(wanted).count() == wanted
            || self.agrees_with(before, wanted)
    }

    /// Whether so many places of the table are in both, and all that are have the same lock.
    fn agrees_with(&self, other: &Piece, wanted: usize) -> bool {
        let first = |piece: &Piece| piece.locks.first().and_then(|lock| number(lock));
        let (Some(ours), Some(theirs)) = (first(self), first(other)) else {
            return false;
        };
        // In a PID namespace not every number is there.
        let from = ours.max(theirs);
        let is_before = |lock: &&Vec<u8>| number(lock) < Some(from);
        let ours = self.locks.iter().skip_while(is_before);
        let both = ours.zip(other.locks.iter().skip_while(is_before));
        let (same, others): (Vec<_>, Vec<_>) = both.partition(|(ours, theirs)| ours == theirs);
        same.len() >= wanted && others.is_empty()
    }

    /// Whether its first lock that is not among these came right behind them, and did not fit in the
    /// room that there is for a piece.
    fn is_cut_off_from(&self, tail: &Piece, capacity: usize) -> bool {
        let is_new = |lock: &Vec<u8>| !tail.locks.iter().any(|it| bare(it) == bare(lock));
        let Some(new) = self.locks.iter().position(is_new) else {
            return false;
        };
        let follows = match (tail.locks.last(), self.locks.get(new)) {
            (Some(last), Some(new)) => number(last).map(|it| it + 1) == number(new),
            _ => false,
        };
        follows && tail.length() + self.length_of(new) >= capacity
    }
}

/// The table, piece by piece.
struct Reader {
    /// It, open.
    file: File,
    /// At which byte of it the next piece begins, with what was cut.
    at: u64,
    /// The start of a line that was cut at the end of the last piece.
    cut: Vec<u8>,
    /// The next piece begins with the rest of a line, which is not its own.
    is_within_line: bool,
    /// What is read into.
    room: Vec<u8>,
    /// The last piece took all of the room that was given.
    is_full: bool,
    /// How many bytes of locks the kernel has room for: a page, or more if a lock needs it.
    capacity: usize,
}

impl Reader {
    /// At the start of the table.
    fn open() -> io::Result<Reader> {
        Ok(Reader {
            file: File::open(PATH)?,
            at: 0,
            cut: Vec::new(),
            is_within_line: false,
            room: vec![0; ROOM],
            is_full: false,
            capacity: PAGE,
        })
    }

    /// Has it read on with the line that begins at this byte, or what has come in its place.
    fn go_to(&mut self, at: u64) -> io::Result<()> {
        // One byte before, because one cannot tell a whole line from the rest of one.
        self.at = self.file.seek(SeekFrom::Start(at.saturating_sub(1)))?;
        self.cut.clear();
        self.is_within_line = at > 0;
        Ok(())
    }

    /// The next piece, of whole lines. Nothing at the end of the table.
    fn read_piece(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let start = self.at;
            let piece = self.read(self.room.len())?;
            if !self.is_full {
                return Ok(piece);
            }
            // There may be more of it, which would come together with what is of a later moment.
            self.room.resize(self.room.len() * 2, 0);
            self.go_to(start)?;
        }
    }

    /// The next piece, of whole lines: as much as the kernel gives for so many bytes, and more where
    /// that ends within its first line. Nothing at the end of the table.
    fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let most = most.min(self.room.len());
        let mut piece = mem::take(&mut self.cut);
        loop {
            let room = self.room.get_mut(..most).unwrap_or_default();
            let length = self.file.read(room)?;
            self.is_full = length == most;
            let mut new = room.get(..length).unwrap_or_default();
            if self.is_within_line {
                let end = new.iter().position(|&byte| byte == b'\n');
                self.is_within_line = end.is_none();
                let rest;
                (rest, new) = new.split_at(end.map_or(length, |at| at + 1));
                self.at += rest.len() as u64;
            }
            piece.extend_from_slice(new);
            let end = piece.iter().rposition(|&byte| byte == b'\n');
            if let Some(end) = end.filter(|_| length > 0) {
                self.cut = piece.split_off(end + 1);
                self.at += piece.len() as u64;
                return Ok(piece);
            }
            if length == 0 {
                return Ok(piece);
            }
        }
    }
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

/// The number of a line, from 1.
fn number(line: &[u8]) -> Option<usize> {
    let number = line.split(|&byte| byte == b':').next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
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
    /// The mark that it is, if it is one: its range begins where no file has a byte.
    pub fn mark(&self) -> Option<MarkedRange> {
        let is_mark = self.api == Api::Description && self.is_shared;
        if !is_mark || self.start < MarkedRange::FIRST {
            return None;
        }
        Some(MarkedRange {
            start: self.start,
            length: self.end?.checked_sub(self.start)?.checked_add(1)?,
            inode: self.file.rsplit(':').next()?.parse().ok()?,
        })
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
