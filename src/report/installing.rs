//! What `--install` and `--uninstall` say besides errors: what somebody might not have meant.

use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::stdio;
use crate::model::dialect::Dialect;
use crate::model::reporting::Verbosity;
use crate::text::escape::Escaped;
use crate::text::password::without_passwords_in;

/// Something that a person should know.
pub enum Remark<'a> {
    /// Somebody else has the turn to change the crontab, by a lock on this directory.
    WaitsForTurn(&'a Path),
    /// This folder was not there, and was made.
    MadeFolder(&'a Path),
    /// The crontab names this program, and this folder around it is cleaned now and then.
    InCleanedFolder(&'a Path, PathBuf),
    /// Cron's job needs this, and cannot come to it, because it is in this folder.
    InProtectedFolder(&'a Path, PathBuf),
    /// This line of the crontab, which has the same lock, makes room for another.
    Replaces(&'a [u8]),
}

impl Remark<'_> {
    /// Says it, if that much was asked for.
    pub fn tell(&self, verbosity: Verbosity) {
        if verbosity != Verbosity::Quiet {
            stdio::say(Dialect::Nonoverlap, self);
        }
    }
}

impl Display for Remark<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::WaitsForTurn(folder) => write!(
                out,
                "waiting for another --install or --uninstall, which has {} locked",
                shown(folder)
            ),
            Remark::Replaces(line) => {
                let line = without_passwords_in(line);
                let line = Escaped(&line);
                write!(
                    out,
                    "replaces '{line}' in the crontab; two jobs need two lock files"
                )
            }
            Remark::InCleanedFolder(program, folder) => write!(
                out,
                "the crontab names {}, but {} is cleaned now and then: put the program elsewhere and \
                 install again",
                shown(program),
                shown(folder)
            ),
            Remark::InProtectedFolder(path, folder) if path == folder => write!(
                out,
                "cron may not read {}: give /usr/sbin/cron Full Disk Access, or use another folder and \
                 install again",
                shown(path)
            ),
            Remark::InProtectedFolder(path, folder) => write!(
                out,
                "{} is in {}, which cron may not read: give /usr/sbin/cron Full Disk Access, or put it \
                 elsewhere and install again",
                shown(path),
                shown(folder)
            ),
            Remark::MadeFolder(folder) => write!(out, "made the folder {}", shown(folder)),
        }
    }
}

/// A path, made safe to show.
fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}
