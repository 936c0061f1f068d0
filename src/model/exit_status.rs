//! The exit statuses: the table for people, and the same for the program.

use rustix::io::Errno;

use super::dialect::Dialect;
use super::error::Error;
use crate::sys;

/// Every exit status of our own, for people. [`Error::status`] is the same for the program.
pub fn exit_statuses(dialect: Dialect) -> impl Iterator<Item = &'static (u8, &'static str)> {
    let (unavailable, of_servers, of_execution) = match dialect {
        Dialect::Nonoverlap => (UNAVAILABLE, OF_SERVERS, OF_EXECUTION),
        Dialect::Flock => (UNAVAILABLE_AS_FLOCK, &[][..], &[][..]),
    };
    let parts = [
        OF_THE_LOCK,
        unavailable,
        OF_THE_SYSTEM,
        of_servers,
        of_execution,
    ];
    parts.into_iter().flatten()
}

/// Of the lock and its file.
const OF_THE_LOCK: &[(u8, &str)] = &[
    (
        1,
        "the lock is taken or the wait timed out; -E chooses another number",
    ),
    (64, "the command line is wrong"),
    (
        65,
        "the lock cannot be taken, for a reason other than a conflict",
    ),
    (66, "the lock file cannot be opened"),
];

/// What 69 means under the name nonoverlap.
const UNAVAILABLE: &[(u8, &str)] = &[(
    69,
    "no server or no helper for SCHEME://; or crontab is missing or refuses",
)];

/// What 69 means under the name flock.
const UNAVAILABLE_AS_FLOCK: &[(u8, &str)] =
    &[(69, "the command cannot be executed or was not found")];

/// Of the machine.
const OF_THE_SYSTEM: &[(u8, &str)] = &[
    (
        71,
        "out of memory, processes, descriptors, timers or kernel locks",
    ),
    (
        73,
        "the lock file cannot be created, or the log cannot be opened",
    ),
];

/// Of a lock on a server.
const OF_SERVERS: &[(u8, &str)] = &[(78, "the server cannot hold such a lock")];

/// Of a command that cannot be executed.
const OF_EXECUTION: &[(u8, &str)] = &[
    (126, "the command cannot be executed"),
    (127, "the command was not found"),
];

impl Error {
    /// The exit status, after sysexits(3) and the shell.
    pub fn status(&self, dialect: Dialect) -> u8 {
        match self {
            Error::Usage(_) => 64,
            Error::Print(_) if dialect == Dialect::Flock => UNWRITTEN_AS_FLOCK,
            Error::ReadLog(_, Some(reason)) if sys::means_lease(*reason) => 66,
            Error::Open(_, reason) | Error::Lock(_, reason) | Error::ReadLog(_, Some(reason))
                if is_shortage(*reason) =>
            {
                71
            }
            Error::Lock(..) | Error::Replaced(_) | Error::Leased(_) => 65,
            Error::Log(_, reason) if sys::means_lease(*reason) => 73,
            Error::Open(..) | Error::ReadLog(..) => 66,
            Error::Mark(..) | Error::Look(..) => 71,
            Error::Descriptor(..)
            | Error::Timer(..)
            | Error::RedirectOutput(_)
            | Error::Turn(..)
            | Error::Print(_) => 71,
            Error::Guardian(..) | Error::CannotEnd(..) => 71,
            Error::NoHelper(_, _, reason) if is_shortage(*reason) => 71,
            Error::NoHelper(..) | Error::NoServer(..) => 69,
            Error::Helper(_, status, _) => *status,
            Error::Log(_, reason)
            | Error::Folder(_, _, reason)
            | Error::TemporaryFile(_, reason)
                if is_shortage(*reason) =>
            {
                71
            }
            Error::Create(..) | Error::DanglingLink(_) | Error::Log(..) => 73,
            Error::Folder(..) | Error::TemporaryFile(..) => 73,
            Error::WorkingDirectory(reason) if is_shortage(*reason) => 71,
            Error::WorkingDirectory(_) | Error::NoEntry(_) => 66,
            Error::NoCrontab(reason) if is_shortage(*reason) => 71,
            Error::NoCrontab(_) | Error::Crontab(..) => 69,
            Error::Execute { reason, .. } => match (*reason, dialect) {
                (Errno::NOMEM, _) => 71,
                (_, Dialect::Flock) => 69,
                (reason, _) if is_shortage(reason) => 71,
                (Errno::NOENT | Errno::NOTDIR, _) => 127,
                _ => 126,
            },
        }
    }
}

/// The machine is out of something: memory, processes, descriptors or kernel locks.
fn is_shortage(reason: Errno) -> bool {
    matches!(
        reason,
        Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOLCK | Errno::NOBUFS
    )
}

/// flock looks at its streams when it closes them, last of all (util-linux, closestream.h).
pub const UNWRITTEN_AS_FLOCK: u8 = 1;
