//! Which exit status comes of an error in which system call: the table of `mod.rs`. A call that is
//! not in it is one without which a mode goes on as if nothing had happened, and ends with its own status.

use super::trace::{Call, Failed};

/// The status of a mode where nothing fails.
pub const OWN: i32 = -1;

/// Added to a status: that one or the mode's own, as the machine's other locks and processes have it.
pub const OR_OWN: i32 = 1000;

/// Which of the calls that a row fits, in the order of the trace.
#[derive(Clone, Copy)]
pub enum Which {
    /// All of them.
    Each,
    /// So many.
    First(usize),
    /// Those behind so many.
    Behind(usize),
    /// Those of a child that posix_spawn(3) has started; the others do not fit them.
    Spawns,
}
use Which::{Behind, Each, First, Spawns};

/// A call, what strace writes of it, which of those it is, and the status with EIO and with ENOMEM.
pub type Row = (&'static str, &'static str, Which, i32, i32);

/// The statuses that a mode may have after these calls have failed, each with those before it, by the first
/// row that fits. What does not go on after one never makes the next. Nothing where the table does not
/// tell, since the error is another one, or the C library is musl, which makes other calls than glibc.
pub fn statuses(table: &[&[Row]], failed: &[Failed], error: &str) -> Option<Vec<i32>> {
    if cfg!(target_env = "musl") {
        return None;
    }
    let mut statuses = Vec::new();
    for (call, earlier) in failed {
        let row = row(table, call, earlier);
        let status = match error {
            "EIO" => row.map_or(OWN, |row| row.3),
            "ENOMEM" => row.map_or(OWN, |row| row.4),
            _ => return None,
        };
        match status {
            OWN => {}
            OR_OWN.. => statuses.push(status - OR_OWN),
            _ => {
                statuses.push(status);
                return Some(statuses);
            }
        }
    }
    statuses.push(OWN);
    Some(statuses)
}

/// The row of a call.
fn row<'a>(table: &[&'a [Row]], call: &Call, earlier: &[Call]) -> Option<&'a Row> {
    let fits = |row: &Row, call: &Call| {
        let is_spawns = matches!(row.2, Spawns);
        call.is_spawns == is_spawns && call.name == row.0 && call.text.contains(row.1)
    };
    let mut rows = table.iter().copied().flatten();
    rows.find(|row| {
        let number = || earlier.iter().filter(|call| fits(row, call)).count();
        fits(row, call)
            && match row.2 {
                Each | Spawns => true,
                First(count) => number() < count,
                Behind(count) => number() >= count,
            }
    })
}

/// The lock file. An EIO of the first flock(2) may mean that the file system wants a descriptor for
/// writing, so it is tried once more with one.
pub const FILE: &[Row] = &[
    ("open", "\"lock\", O_RDONLY|O_NOCTTY", First(1), 66, 71),
    ("open", "\"lock\", O_RDONLY|O_CREAT", Each, 66, 71),
    ("fcntl", "F_DUPFD, 60", Each, 71, 71),
    ("flock", "LOCK_NB", Each, OWN, 71),
];

/// A wait, with its timer.
pub const WAIT: &[Row] = &[
    ("flock", "LOCK_EX) ", Each, 65, 71),
    ("rt_sigaction", "", Each, 71, 71),
    ("rt_sigprocmask", "", Each, 71, 71),
    ("timer_create", "", Each, 71, 71),
    ("timer_settime", "", Each, 71, 71),
    ("timer_delete", "", Each, 71, 71),
];

/// Which file is locked, and whether it still has its name.
pub const NAMED: &[Row] = &[("statx", "\"\", ", Each, 66, 71)];

/// The same where nothing is written into it.
pub const UNRECORDED: &[Row] = &[("statx", "\"lock\", ", Each, 66, 71)];

/// The mark of the name.
pub const MARK: &[Row] = &[
    ("newfstatat", "\".\", ", Each, 71, 71),
    ("memfd_create", "", Each, 71, 71),
    ("fcntl", "F_OFD_SETLK", Each, 71, 71),
];

/// The record lock of --fcntl, as flock(2) for an EIO.
pub const FCNTL: &[Row] = &[
    ("open", "\"lock\", O_WRONLY", Each, 66, 71),
    ("fcntl", "F_OFD_SETLK", Each, OWN, 71),
];

/// The look for another holder.
pub const LOOK: &[Row] = &[
    ("openat", "\"/proc/locks\"", First(1), 71, 71),
    ("openat", "\"/proc/locks\"", Each, OR_OWN + 71, OR_OWN + 71),
    ("read", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("lseek", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("open", "\"/proc", Each, OR_OWN + 71, OR_OWN + 71),
    ("getdents64", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("getcwd", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("fstat", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("fstatfs", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("newfstatat", "", Each, OR_OWN + 71, OR_OWN + 71),
    ("readlinkat", "/proc/", Each, OR_OWN + 71, OR_OWN + 71),
];

/// A message or a line of the log: SIGPIPE and SIGXFSZ wait meanwhile.
pub const SAYS: &[Row] = &[
    ("rt_sigpending", "", Each, 71, 71),
    ("rt_sigprocmask", "SIG_BLOCK, [", Each, 71, 71),
    ("rt_sigprocmask", "SIG_SETMASK, [], 0x", Each, 71, 71),
];

/// The log, which is asked which file it is, and once which the lock file is.
pub const LOG: &[Row] = &[
    ("open", "\"log\", O_WRONLY", Each, 73, 71),
    ("statx", "(3, ", Each, OWN, OWN),
    ("statx", "(60, ", First(1), OWN, OWN),
    ("fcntl", "F_SETFL", Each, 71, 71),
    ("dup2", "", Each, 71, 71),
];

/// What is said on stdout.
pub const SAID: &[Row] = &[("write", "(1, ", Each, 71, 71)];

/// A descriptor of the caller's, which cannot be opened once more for writing.
pub const DESCRIPTOR: &[Row] = &[
    ("fcntl", "(200, F_GETFD)", Each, 65, 71),
    ("flock", "(200, ", Each, 65, 71),
];

/// A time to end at, for which we ask whether our process leads its group.
pub const MAX_RUNTIME: &[Row] = &[("getpid", "", First(3), OWN, OWN)];

/// A guardian with a log of its own; the line that the command starts asks for our PID, too.
pub const LOG_OF_GUARDIAN: &[Row] = &[
    ("getpid", "", Behind(4), OWN, OWN),
    ("statx", "(5, ", Each, OWN, OWN),
];

/// The guardian, from both sides. Our PID is asked for the record first, which may be missing.
pub const GUARDIAN: &[Row] = &[
    ("getpid", "", First(1), OWN, OWN),
    ("getpid", "", Each, 71, 71),
    ("fcntl", "F_SETFD", Each, 71, 71),
    ("fcntl", "F_DUPFD_CLOEXEC, 10", Each, 71, 71),
    ("socketpair", "SOCK_STREAM, 0", Each, 71, 71),
    ("clone", "flags=0", Each, 71, 71),
    ("setsid", "", Each, 71, 71),
    ("setpgid", "", Each, 71, 71),
    ("chdir", "", Each, 71, 71),
    ("dup2", "", Each, 71, 71),
    // Its stderr, which it then keeps.
    ("close_range", "(2, 2, ", Each, OWN, OWN),
    ("close_range", "", Each, 71, 71),
    ("pidfd_open", "", Each, 71, 71),
    ("prctl", "", Each, 71, 71),
    ("epoll_create1", "", Each, 71, 71),
    ("epoll_ctl", "", Each, 71, 71),
    ("rt_sigprocmask", "SIG_SETMASK, ", Each, 71, 71),
    ("read", ", 4) ", Each, 71, 71),
    ("write", "\\0\\0\\0\\0", Each, 71, 71),
];

/// A program that is started and heard, as posix_spawn(3) does it and as it is done here.
pub const STARTED: &[Row] = &[
    ("rt_sigaction", "", Each, 71, 71),
    ("openat", "\"/dev/null\"", Each, 69, 71),
    ("pipe2", "", Each, 69, 71),
    ("mmap", "", Each, 69, 71),
    ("clone3", "", Each, 69, 71),
    ("dup2", "", Spawns, 69, 71),
    ("ioctl", "FIONBIO", Each, 69, 71),
    ("ppoll", "", Each, 69, 71),
    ("read", "", Each, 69, 71),
    ("wait4", "WNOHANG", Each, 69, 71),
    ("wait4", ", 0, NULL", Each, 69, 71),
];

/// A helper.
pub const HELPER: &[Row] = &[
    ("rt_sigprocmask", "SIG_SETMASK, [], NULL", Each, OWN, OWN),
    ("access", "", Each, 69, 71),
    ("newfstatat", "/.tmp", Each, 69, 71),
    ("socketpair", "SOCK_STREAM|SOCK_CLOEXEC", Each, 69, 71),
    ("recvmsg", "", Each, 69, 71),
];

/// A connection that a helper passes.
pub const CONNECTION: &[Row] = &[
    ("getpid", "", First(2), OWN, OWN),
    ("getpeername", "", Each, 69, 69),
    ("ppoll", "POLLRDHUP", Each, 69, 69),
    ("fcntl", "F_GETFD", Each, OR_OWN + 71, OR_OWN + 71),
];

/// The crontab, and the programs that its entry names.
pub const CRONTAB: &[Row] = &[
    ("access", "", Each, 126, 71),
    ("newfstatat", "", Each, 126, 71),
    ("getcwd", "", Each, 66, 71),
];

/// A change of the crontab: the turn, and the file that crontab(1) reads.
pub const CHANGE: &[Row] = &[
    ("flock", "", Each, 71, 71),
    ("openat", "/nonoverlap.", Each, 73, 71),
    ("unlink", "/nonoverlap.", Each, 73, 71),
    ("write", "(4, ", Each, 73, 71),
    ("lseek", "", Each, 73, 71),
];

/// The same where --status tells of it.
pub const UNTOLD: &[Row] = &[
    ("openat", "\"/dev/null\"", Each, 4, 4),
    ("pipe2", "", Each, 4, 4),
    ("mmap", "", Each, 4, 4),
    ("clone3", "", Each, 4, 4),
    ("dup2", "", Spawns, 4, 4),
    ("ioctl", "FIONBIO", Each, 4, 4),
    ("ppoll", "", Each, 4, 4),
    ("read", "", Each, 4, 4),
    ("wait4", "", Each, 4, 4),
    ("rt_sigaction", "", Each, 71, 71),
];

/// A log that is read.
pub const HISTORY: &[Row] = &[
    ("open", "\"log\"", Each, 66, 71),
    ("fstat", "", Each, 66, 71),
    ("pread64", "", Each, 66, 71),
];

/// Whether a lock is free.
pub const STATUS: &[Row] = &[
    ("openat", "\"/proc/locks\"", Each, OR_OWN + 4, OR_OWN + 4),
    ("open", "O_PATH", Each, 4, 4),
    ("open", "\"/proc", Each, OR_OWN + 4, OR_OWN + 4),
    ("read", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("lseek", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("getdents64", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("getcwd", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("fstat", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("fstatfs", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("newfstatat", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("readlinkat", "", Each, OR_OWN + 4, OR_OWN + 4),
    ("statx", "", Each, OR_OWN + 4, OR_OWN + 4),
];
