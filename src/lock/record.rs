//! The PID record: eleven bytes in the lock file, for people to see. They never decide who may run.
//!
//! The PID in ten columns, right-aligned with blanks, and a newline: the HDB UUCP form that the
//! Filesystem Hierarchy Standard (3.0, section 5.9) prescribes for lock files. The width is fixed,
//! so a record replaces another in one pwrite(2), and no reader ever sees half of one. No
//! system has longer PIDs: Linux up to 4194304 (proc(5), pid_max), macOS and FreeBSD up to 99999 (PID_MAX).

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use rustix::io::{Errno, pread, pwrite};
use rustix::process::{Pid, test_kill_process};

use crate::sys::{self, FileState};

/// The length of a record in bytes.
const LENGTH: usize = 11;

/// A record tells the second in which it was written, on some file systems; and a process's start
/// is known to a hundredth of one.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);

/// A record that is in a file.
#[derive(Clone, Copy)]
pub struct Record {
    /// The PID that it names.
    pub pid: u32,
    /// When it was written: the file's modification time.
    pub time: SystemTime,
}

impl Record {
    /// Whether there is a process with its PID: kill(2) with no signal succeeds, or may not.
    pub fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
    }

    /// Whether a process that started then can have written it: it was there already.
    pub fn can_be_of(&self, started: SystemTime) -> bool {
        self.time
            .checked_add(CLOCK_GRAIN)
            .is_none_or(|latest| started <= latest)
    }
}

/// What a lock file holds.
pub enum Content {
    /// Nothing: nothing can be read.
    Empty,
    /// Exactly one record.
    Record(Record),
    /// Something else, which is not ours to write over; or nobody looked.
    Other,
}

impl Content {
    /// Reads what an open file holds, whose state this is.
    pub fn of(file: BorrowedFd<'_>, state: &FileState) -> Content {
        let mut bytes = [0; LENGTH + 1];
        if !state.is_regular || state.size > LENGTH as u64 {
            return Content::Other;
        }
        match pread(file, &mut bytes, 0) {
            Ok(0) => Content::Empty,
            Ok(length) => match bytes.get(..length).and_then(decode) {
                Some(pid) => Content::Record(Record {
                    pid: pid.as_raw_nonzero().get().unsigned_abs(),
                    time: state.modified.to_system_time(),
                }),
                None => Content::Other,
            },
            Err(_) => Content::Other,
        }
    }
}

/// Why a run has no record in a lock file that could have one.
#[derive(Clone, Copy)]
pub enum Unrecorded {
    /// It cannot be written, for this reason.
    Failed(Errno),
    /// There is something else in the file, which is not ours to write over.
    Occupied,
    /// Its path ends with a symbolic link: whoever made the link would choose what is written into.
    Linked,
    /// It has several hard links.
    Named,
}

impl From<Errno> for Unrecorded {
    fn from(reason: Errno) -> Unrecorded {
        Unrecorded::Failed(reason)
    }
}

/// The record in an open file, if it is a regular file that holds exactly one.
pub fn read(file: impl AsFd) -> Option<Record> {
    let state = sys::state_of_descriptor(file.as_fd()).ok()?;
    match Content::of(file.as_fd(), &state) {
        Content::Record(record) => Some(record),
        Content::Empty | Content::Other => None,
    }
}

/// Whether it is a regular file of a record's length.
pub fn could_hold_one(state: &FileState) -> bool {
    state.is_regular && state.size == LENGTH as u64
}

/// Whether a record may be written into a file, by its looks: a regular file with one name that is
/// empty or has a record's length.
pub fn could_be_ours(state: &FileState) -> bool {
    state.is_regular && state.links == 1 && (state.size == 0 || state.size == LENGTH as u64)
}

/// Writes our PID into a file, open for reading and writing in this state, that is empty or holds
/// exactly one record. Anything else is left as it is: it is read once more for that, since somebody
/// may have written into it meanwhile.
///
/// # Errors
///
/// The reason why there is no record.
pub fn write(writer: BorrowedFd<'_>, state: &FileState) -> Result<(), Unrecorded> {
    // It would cut the record short and send SIGXFSZ, so it is asked before.
    if sys::file_size_limit()? < LENGTH as _ {
        return Err(Unrecorded::Failed(Errno::FBIG));
    }
    let record = encode(sys::own_pid()?);
    if matches!(Content::of(writer, state), Content::Other) {
        return Err(Unrecorded::Occupied);
    }
    match pwrite(writer, &record, 0)? {
        LENGTH => Ok(()),
        _ => Err(Unrecorded::Failed(Errno::NOSPC)),
    }
}

/// The record of a PID.
pub fn encode(pid: Pid) -> [u8; LENGTH] {
    let mut record = *b"          \n";
    let mut rest = pid.as_raw_nonzero().get();
    for column in record.iter_mut().rev().skip(1) {
        *column = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    record
}

/// The PID of a record, or nothing if these bytes are not exactly one.
pub fn decode(content: &[u8]) -> Option<Pid> {
    let content: &[u8; LENGTH] = content.try_into().ok()?;
    let digits = content.strip_suffix(b"\n")?.trim_ascii_start();
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
    (encode(pid) == *content).then_some(pid)
}
