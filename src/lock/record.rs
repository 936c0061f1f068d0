//! The PID record: eleven bytes in the lock file, for people to see. They never decide who may run.
//!
//! The PID in ten columns, right-aligned with blanks, and a newline: the HDB UUCP form that the
//! Filesystem Hierarchy Standard (3.0, section 5.9) prescribes for lock files. The width is fixed,
//! so a record replaces another in one pwrite(2), and no reader ever sees half of one. No
//! system has longer PIDs: Linux up to 4194304 (proc(5), pid_max), macOS and FreeBSD up to 99999 (PID_MAX).

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, FileType, Stat};
use rustix::io::{Errno, pread, pwrite};
use rustix::process::{Pid, Resource, getpid, getrlimit};

use super::file::same_file;
use super::held::Held;
use crate::model::lock::{LockApi, LockOptions};
use crate::model::target::LockTarget;

/// The length of a record in bytes.
const LENGTH: usize = 11;

/// A record that is in a file.
pub struct Record {
    /// The PID that it names.
    pub pid: u32,
    /// When it was written: the file's modification time.
    pub time: SystemTime,
}

/// The record in an open file, if it is a regular file that holds exactly one.
pub fn read(file: impl AsFd) -> Option<Record> {
    let state = fs::fstat(&file).ok()?;
    if !could_hold_one(&state) {
        return None;
    }
    content(file, &state)
}

/// Whether it is a regular file of a record's length.
pub fn could_hold_one(state: &Stat) -> bool {
    FileType::from_raw_mode(state.st_mode) == FileType::RegularFile
        && state.st_size == LENGTH as i64
}

/// The previous run's record, where a live process that it names should have held this very lock: a
/// flock, on a path. A shared lock leaves no record of its own.
pub fn found(held: &Held, options: &LockOptions) -> Option<Record> {
    let state = held.state();
    let is_told = options.checks_deleted && options.api == LockApi::Flock;
    match held.file().target() {
        LockTarget::File(_) if is_told && could_be_ours(state) && state.st_size != 0 => {
            content(held.file(), state)
        }
        _ => None,
    }
}

/// The record that these bytes are, with the file's modification time.
fn content(file: impl AsFd, state: &Stat) -> Option<Record> {
    let mut content = [0; LENGTH + 1];
    let length = pread(file, &mut content, 0).ok()?;
    let pid = content.get(..length).and_then(decode)?;
    Some(Record {
        pid: pid.as_raw_nonzero().get().unsigned_abs(),
        time: modified(state),
    })
}

/// When the file was last written.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // The types differ between systems.
fn modified(state: &Stat) -> SystemTime {
    let seconds = u64::try_from(state.st_mtime as i64).unwrap_or(0);
    let fraction = u32::try_from(state.st_mtime_nsec as i64).unwrap_or(0);
    // Some file systems keep times that no clock can tell.
    UNIX_EPOCH
        .checked_add(Duration::new(seconds, fraction))
        .unwrap_or(UNIX_EPOCH)
}

/// Writes our PID into the locked file, if the file is ours to write: a regular file with one name,
/// reached through no symbolic link, that is empty or holds exactly one record. Anything else is
/// left as it is, which is no error.
///
/// The lock's own descriptor is read-only (see `file.rs`), so the file is opened once more, for
/// the moment of writing, and must then be the locked one.
///
/// `found` is the record that is there, as [`found`] gives it.
///
/// # Errors
///
/// The reason why a file that is ours to write cannot be written. The run goes on without a record.
pub fn write(held: &Held, options: &LockOptions, found: Option<&Record>) -> Result<(), Errno> {
    let is_ours = options.writes_record
        && could_be_ours(held.state())
        && (held.state().st_size == 0 || found.is_some());
    if !is_ours {
        return Ok(());
    }
    if limit_forbids() {
        return Err(Errno::FBIG);
    }
    let Some(opened) = held.file().open_to_write() else {
        return Ok(());
    };
    let writable = opened?;
    let state = fs::fstat(&writable)?;
    if !same_file(&state, held.state()) || !could_be_ours(&state) {
        return Ok(());
    }
    match pwrite(&writable, &encode(getpid()), 0)? {
        LENGTH => Ok(()),
        _ => Err(Errno::NOSPC),
    }
}

/// Whether it is a regular file with one name that is empty or has a record's length.
fn could_be_ours(state: &Stat) -> bool {
    FileType::from_raw_mode(state.st_mode) == FileType::RegularFile
        && state.st_nlink == 1
        && (state.st_size == 0 || state.st_size == LENGTH as i64)
}

/// RLIMIT_FSIZE would cut the record short and send SIGXFSZ, so it is asked before.
fn limit_forbids() -> bool {
    getrlimit(Resource::Fsize)
        .current
        .is_some_and(|limit| limit < LENGTH as u64)
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
