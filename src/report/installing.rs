//! What `--install` and `--uninstall` say besides errors: what somebody might not have meant.

use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::stdio;
use crate::model::dialect::Dialect;
use crate::model::reporting::Verbosity;
use crate::text::escape::Escaped;

/// Something that a person should know.
pub enum Remark<'a> {
    /// Somebody else has the turn to change the crontab, by a lock on this directory.
    WaitsForTurn(&'a Path),
    /// This folder was not there, and was made.
    MadeFolder(&'a Path),
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
            Remark::MadeFolder(folder) => write!(out, "made the folder {}", shown(folder)),
        }
    }
}

/// A path, made safe to show.
fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}
