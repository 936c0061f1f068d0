//! What a call touches, and so which two calls depend on each other.
//!
//! The search (`explore.rs`) runs one order of each class of orders that cannot be told apart, and that
//! is only as good as this relation. Two calls of different programs are independent if neither writes
//! what the other reads or writes; then both orders give both calls the same results and leave the same
//! state. What is read and written are the things below, a bit each:
//!
//! - a *name*: what a path leads to. Making, deleting and renaming write it; to open a file that is
//!   there, or to ask for it, reads it, and reads the names of the folders above it.
//! - a *file*: bytes, size, times and the number of names of one inode. Its *mode* is a thing apart,
//!   since every opening reads it and hardly anything writes it.
//! - the *locks* of one inode: of the lock file, or of an anonymous file that is locked to be seen in
//!   `/proc/locks`. To take, to drop and to close writes them, and so does the end of a process; to be
//!   refused reads them. Whoever reads `/proc/locks` reads the locks of all inodes, and all processes,
//!   because that table leaves out the dead.
//! - a *process*: whether it is there, and its descriptors. Its start, its end, and what it opens and
//!   closes writes it, and who looks into `/proc` reads it.
//! - the *life* of a process: each step of its own writes it, so that a kill depends on all of them.
//! - *inside*: who is between execve and the end of the command. To enter reads it and to leave writes
//!   it, because two entries in either order are the same overlap, and an entry and an end are not.
//!
//! A call that failed has read what it would have written: that is what it depended on. What a call
//! would touch that has not been made is asked of the state in which it stands there, before each step:
//! whether `open` with O_CREAT makes a file is then known. An order in which it comes out otherwise has
//! a step before it that wrote what it reads, and depends on it.
//!
//! Calls that are not stopped at (memory, own descriptors, a `/proc` file that tells of oneself) read
//! nothing that another program of a scenario writes, and write nothing that it reads: they may be
//! thought of as one with the step before them. What is simplified beyond that is in `call.rs`.

/// Sets of things.
pub type Things = u128;

const NAMES: (u32, u32) = (0, 16);
const FILES: (u32, u32) = (16, 24);
const LOCKS: (u32, u32) = (40, 24);
const PROCESSES: (u32, u32) = (64, 16);
const LIVES: (u32, u32) = (80, 16);

/// The modes of all files.
pub const MODES: Things = 1 << 96;

/// Who is between execve and the end of its command.
pub const INSIDE: Things = 1 << 97;

/// Everything there is.
pub const ALL: Things = Things::MAX;

/// The last bit of a kind stands for all that have none of their own: that only adds dependence.
fn one((first, count): (u32, u32), index: usize) -> Things {
    1 << (first + (index as u32).min(count - 1))
}

fn every((first, count): (u32, u32)) -> Things {
    ((1 << count) - 1) << first
}

pub fn name(index: usize) -> Things {
    one(NAMES, index)
}

pub fn names() -> Things {
    every(NAMES)
}

pub fn file(index: usize) -> Things {
    one(FILES, index)
}

pub fn lock(index: usize) -> Things {
    one(LOCKS, index)
}

pub fn locks() -> Things {
    every(LOCKS)
}

pub fn process(index: usize) -> Things {
    one(PROCESSES, index)
}

pub fn processes() -> Things {
    every(PROCESSES)
}

pub fn life(index: usize) -> Things {
    one(LIVES, index)
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Touch {
    pub reads: Things,
    pub writes: Things,
}

impl Touch {
    pub fn reading(reads: Things) -> Touch {
        Touch { reads, writes: 0 }
    }

    pub fn writing(writes: Things) -> Touch {
        Touch { reads: 0, writes }
    }

    pub fn all(self) -> Things {
        self.reads | self.writes
    }

    /// What it has touched if it failed.
    pub fn in_vain(self) -> Touch {
        Touch::reading(self.all())
    }

    pub fn depends_on(self, other: Touch) -> bool {
        self.writes & other.all() != 0 || other.writes & self.all() != 0
    }
}
