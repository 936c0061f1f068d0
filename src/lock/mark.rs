//! The mark: it says to every other run that one of this name holds a lock, on which file, and for one
//! or for many, whatever becomes of the name meanwhile. DESIGN.md ("The name stays locked") has the
//! argument why no two ever run.
//!
//! A mark is a range of bytes, locked for reading on a file of its own (`sys/mark/`). Where the range
//! begins is made of the name, how long it is of the locked file and the mode:
//!
//! ```text
//! start   2^62 + 34 bits of the name's hash, 28 bits of room
//! length  1 + 27 bits of the file's hash, and one bit: shared
//! ```
//!
//! A name is the folder's device and inode and the last component of the path as it was given; a
//! symbolic link at its end is not followed.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::stat;
use rustix::io::Errno;

use crate::model::lock::LockMode;
use crate::sys::{self, FileId, FileState, MarkedRange};

/// How many bits of the name's hash there are.
const NAME_BITS: u32 = 34;

/// How many bytes belong to a name, as a power of two.
const ROOM_BITS: u32 = 62 - NAME_BITS;

/// How many bits of the file's hash there are: one less, for the mode.
const FILE_BITS: u32 = ROOM_BITS - 1;

/// The name of a lock file, as marks have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The first byte of its marks.
    start: i64,
}

impl Name {
    /// The name of a path's last component. Nothing where there is none that a file can have: `/`, `.`
    /// and `..`; nor where the folder is gone.
    ///
    /// # Errors
    ///
    /// As stat(2) of the folder.
    pub fn of(path: &CStr) -> Result<Option<Name>, Errno> {
        let path = path.to_bytes();
        let end = path.iter().rposition(|&byte| byte != b'/');
        let path = path.get(..=end.unwrap_or(0)).unwrap_or_default();
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (folder, name) = match slash {
            Some(slash) => path.split_at(slash + 1),
            None => (&b"."[..], path),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Ok(None);
        }
        #[allow(clippy::unnecessary_cast)] // The types differ between systems.
        match stat(folder) {
            Ok(folder) => {
                let mut hash = Hash::new();
                hash.add(&(folder.st_dev as u64).to_ne_bytes());
                hash.add(&(folder.st_ino as u64).to_ne_bytes());
                hash.add(name);
                let start = MarkedRange::FIRST | (hash.bits(NAME_BITS) << ROOM_BITS);
                Ok(Some(Name { start }))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    /// What a mark says, if it is one of this name.
    pub fn claim(self, mark: &MarkedRange) -> Option<Claim> {
        let said = mark.length - 1;
        (mark.start == self.start).then_some(Claim {
            file: said >> 1,
            is_shared: said & 1 == 1,
        })
    }
}

/// What a mark says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The hash of the locked file.
    file: i64,
    /// It is locked for many.
    is_shared: bool,
}

impl Claim {
    /// What the mark of this lock says.
    pub fn of(file: FileId, mode: LockMode) -> Claim {
        Claim {
            file: hash_of(file),
            is_shared: mode == LockMode::Shared,
        }
    }

    /// Whether two runs that say this may not both hold their locks. On one and the same file it is
    /// flock(2) that decides: a mark that is still there then is that of a run which is just ending, or
    /// has let go of its lock.
    pub fn excludes(self, other: Claim) -> bool {
        self.file != other.file && !(self.is_shared && other.is_shared)
    }

    /// Whether this is the file that it says is locked.
    pub fn names(self, file: FileId) -> bool {
        self.file == hash_of(file)
    }

    /// How long the range is.
    fn length(self) -> i64 {
        1 + ((self.file << 1) | i64::from(self.is_shared))
    }
}

/// A mark that is ours.
pub struct Mark {
    /// Of which name.
    pub name: Name,
    /// What it says.
    pub says: Claim,
    /// Keeps it. The command inherits it. Nothing where no mark can be made here, for this reason.
    pub kept: Result<OwnedFd, Errno>,
}

impl Mark {
    /// Announces that a file in this state is locked under the name that it was opened by. Nothing
    /// where that is no name, or where the system has no marks.
    ///
    /// # Errors
    ///
    /// Any but those that mean that the system has no such files or locks: a shortage of descriptors,
    /// memory or locks is none of these.
    pub fn announce(path: &CStr, state: &FileState, mode: LockMode) -> Result<Option<Mark>, Errno> {
        if !sys::HAVE_MARKS {
            return Ok(None);
        }
        let Some(name) = Name::of(path)? else {
            return Ok(None);
        };
        let says = Claim::of(state.id, mode);
        let kept = sys::announce(name.start, says.length());
        match kept {
            Err(reason) if !means_unsupported(reason) => Err(reason),
            kept => Ok(Some(Mark { name, says, kept })),
        }
    }
}

/// The kernel has no memfd or no such locks, or does not let us have them.
fn means_unsupported(reason: Errno) -> bool {
    matches!(
        reason,
        Errno::NOSYS | Errno::INVAL | Errno::ACCESS | Errno::PERM | Errno::OVERFLOW
    )
}

/// The hash of a file, in the bits that a mark has for it.
fn hash_of(file: FileId) -> i64 {
    let mut hash = Hash::new();
    hash.add(&file.device.to_ne_bytes());
    hash.add(&file.inode.to_ne_bytes());
    hash.bits(FILE_BITS)
}

/// FNV-1a, and the last steps of splitmix64, without which names that differ in their last letter
/// only would lie close together. Both are public domain. It need not withstand anybody: who can make a
/// file of a hash of his choice can make a mark as well.
struct Hash(u64);

impl Hash {
    /// Of nothing.
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    /// Adds these bytes.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// So many bits of it.
    fn bits(&self, count: u32) -> i64 {
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> (u64::BITS - count)) as i64
    }
}
