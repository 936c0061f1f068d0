//! How a lock is taken, who keeps it, and what becomes of the command when it is lost.

use std::time::Duration;

/// How it is locked.
#[derive(Clone, Copy)]
pub struct LockOptions {
    /// For one or for many.
    pub mode: LockMode,
    /// By which system call.
    pub api: LockApi,
    /// What to do if it is taken.
    pub wait: Wait,
    /// Whether the PID is written into the file: only under an exclusive flock on a path, so that
    /// no two ever write at once.
    pub writes_record: bool,
    /// Whether the name is marked and others that hold it are looked for, also one that let go; and
    /// whether a lock that is taken may be our own.
    pub checks_name: bool,
}

/// For one or for many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Excludes every other lock.
    Exclusive,
    /// Excludes exclusive locks.
    Shared,
}

/// Which lock of the system's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockApi {
    /// flock(2), on the whole file.
    Flock,
    /// An open-file-description lock of fcntl(2), on `length` bytes from `start`; a length of 0
    /// reaches to the end of the file, wherever that will be.
    Fcntl {
        /// The first byte.
        start: i64,
        /// How many bytes.
        length: i64,
    },
}

/// What to do if the lock is taken.
#[derive(Clone, Copy)]
pub enum Wait {
    /// Refuse.
    No,
    /// Wait for so long.
    For(Duration),
    /// Wait as long as it takes.
    Forever,
}

/// Who keeps the lock's descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The command, which inherits it.
    Command,
    /// A guardian beside it.
    Guardian,
}

/// How long after SIGTERM a job is killed whose lock is lost, if nothing else was said: somebody else may
/// have it soon.
pub const KILL_AFTER_LOSS: Duration = Duration::from_secs(5);

/// What becomes of the job when the connection that its lock is bound to has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It is sent SIGTERM, and killed later.
    #[default]
    Term,
    /// It is killed.
    Kill,
    /// It runs on, and nobody watches.
    Ignore,
}
