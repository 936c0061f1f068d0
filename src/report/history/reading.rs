//! A log, read from its end backwards to where the last runs began, and from there on line by line, in
//! the same memory however long it and its lines are.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::{self, Errno};

use super::line::{Event, event, ours};
use crate::model::error::Error;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// How much of a line is looked at, and how it ends.
const HEAD: usize = 64 * 1024;

/// How a refusal ends.
const NOT_STARTED: &[u8] = b"; not started";

/// A log that is open for reading.
pub struct LogFile {
    /// Its open file.
    file: OwnedFd,
    /// How many bytes it had when it was opened; what is written behind them is not read.
    size: u64,
}

/// The part of a log in which the last runs are.
pub struct Part {
    /// Where it begins: with a line of ours.
    from: u64,
    /// No run is before it.
    pub is_all: bool,
}

impl LogFile {
    /// Opens it. What is no regular file is not read: a FIFO would never end, and a terminal waits.
    ///
    /// # Errors
    ///
    /// [`Error::ReadLog`].
    pub fn open(path: &'static CStr) -> Result<LogFile, Error> {
        let cannot = |reason| Error::ReadLog(path, Some(reason));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::open(path, flags, Mode::empty()).map_err(cannot)?;
        let state = fs::fstat(&file).map_err(cannot)?;
        match FileType::from_raw_mode(state.st_mode) {
            FileType::RegularFile => Ok(LogFile {
                file,
                size: u64::try_from(state.st_size).unwrap_or(0),
            }),
            _ => Err(Error::ReadLog(path, None)),
        }
    }

    /// Looks for the last so many starts, from the end backwards.
    ///
    /// # Errors
    ///
    /// As pread(2).
    pub fn last_starts(&self, most: usize) -> Result<Part, Errno> {
        // A block, and behind it the head of what follows in the log.
        let mut buffer = vec![0; BLOCK + HEAD];
        let (mut end, mut behind) = (self.size, 0);
        let (mut earliest, mut first_start, mut starts) = (self.size, self.size, 0);
        while end > 0 {
            let offset = end.saturating_sub(BLOCK as u64);
            let own = (end - offset) as usize;
            let at = BLOCK - own;
            self.read(offset, buffer.get_mut(at..BLOCK).unwrap_or_default())?;
            let text = buffer.get(at..BLOCK + behind).unwrap_or_default();
            for start in line_starts(text, own, offset == 0) {
                let Some((_, rest)) = ours(text.get(start..).unwrap_or_default()) else {
                    continue;
                };
                earliest = offset + start as u64;
                let line = rest.split(|&byte| byte == b'\n').next();
                let line = line.unwrap_or_default();
                if !matches!(
                    event(line, line.ends_with(NOT_STARTED)),
                    Event::Start { .. }
                ) {
                    continue;
                }
                if starts == most {
                    return Ok(Part {
                        from: first_start,
                        is_all: false,
                    });
                }
                starts += 1;
                first_start = earliest;
            }
            behind = HEAD.min(own + behind);
            buffer.copy_within(at..at + behind, BLOCK);
            end = offset;
        }
        Ok(Part {
            from: earliest,
            is_all: true,
        })
    }

    /// Hands on each line of a part, as far as its first bytes, and whether it ends as a refusal does.
    ///
    /// # Errors
    ///
    /// As pread(2).
    pub fn each_line(&self, part: &Part, mut take: impl FnMut(&[u8], bool)) -> Result<(), Errno> {
        let mut buffer = vec![0; HEAD + BLOCK];
        let mut offset = part.from;
        while offset < self.size {
            let wanted = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
            let wanted = wanted.min(buffer.len());
            let text = buffer.get_mut(..wanted).unwrap_or_default();
            self.read(offset, text)?;
            let mut rest = &*text;
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let (line, behind) = rest.split_at_checked(end).unwrap_or_default();
                take(line, line.ends_with(NOT_STARTED));
                rest = behind.get(1..).unwrap_or_default();
            }
            let read = wanted - rest.len();
            offset += read as u64;
            if offset + rest.len() as u64 == self.size {
                // The last line has no newline.
                take(rest, rest.ends_with(NOT_STARTED));
                break;
            }
            if read == 0 {
                // The line fills the buffer. Its head stays there while the rest is passed over.
                let (head, space) = buffer.split_at_mut_checked(HEAD).unwrap_or_default();
                offset += HEAD as u64;
                let ending = self.skip_line(&mut offset, space)?;
                take(head, ending.ends_with(NOT_STARTED));
            }
        }
        Ok(())
    }

    /// Goes on to the next line, and gives the end of this one.
    fn skip_line(&self, offset: &mut u64, space: &mut [u8]) -> Result<Vec<u8>, Errno> {
        let mut ending = Vec::new();
        while *offset < self.size {
            let wanted = usize::try_from(self.size - *offset).unwrap_or(usize::MAX);
            let wanted = wanted.min(space.len());
            let text = space.get_mut(..wanted).unwrap_or_default();
            self.read(*offset, text)?;
            let end = text.iter().position(|&byte| byte == b'\n');
            keep_ending(
                &mut ending,
                text.get(..end.unwrap_or(wanted)).unwrap_or_default(),
            );
            *offset += end.map_or(wanted, |end| end + 1) as u64;
            if end.is_some() {
                break;
            }
        }
        Ok(ending)
    }

    /// Reads so many bytes. What is not there any more, since the log was cut meanwhile, is zeros.
    fn read(&self, mut offset: u64, mut space: &mut [u8]) -> Result<(), Errno> {
        while !space.is_empty() {
            let length = io::retry_on_intr(|| io::pread(&self.file, &mut *space, offset))?;
            if length == 0 {
                space.fill(0);
                break;
            }
            offset += length as u64;
            space = space.split_at_mut_checked(length).unwrap_or_default().1;
        }
        Ok(())
    }
}

/// The places where a line begins in the first `own` bytes of a text, or right behind them; the last
/// one first.
fn line_starts(text: &[u8], own: usize, is_first: bool) -> impl Iterator<Item = usize> {
    let own = text.get(..own).unwrap_or_default();
    // The library sees faster than the loop below that there is none, as in a hole of the file.
    let mut left = if own.contains(&b'\n') { own } else { &[] };
    let behind_newlines = std::iter::from_fn(move || {
        let newline = left.iter().rposition(|&byte| byte == b'\n')?;
        left = left.get(..newline)?;
        Some(newline + 1)
    });
    behind_newlines.chain(is_first.then_some(0))
}

/// Adds a piece of a line, and keeps as much of the end as it takes to know a refusal.
fn keep_ending(ending: &mut Vec<u8>, piece: &[u8]) {
    let last = piece.len().saturating_sub(NOT_STARTED.len());
    ending.extend_from_slice(piece.get(last..).unwrap_or_default());
    let excess = ending.len().saturating_sub(NOT_STARTED.len());
    ending.drain(..excess);
}
