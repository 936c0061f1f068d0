//! A run that is in the user's crontab, as `--status` tells of it.

use std::ffi::OsString;
use std::fmt::{self, Display};

use rustix::io::Errno;

use super::log_tail::{self, WhyUnread};
use crate::model::target::LockTarget;
use crate::text::escape::Escaped;

/// A run that is in the crontab.
pub struct InstalledRun {
    /// Its lock.
    pub target: LockTarget,
    /// How many slots it has.
    pub slots: u16,
    /// When cron starts it, as the crontab has it.
    pub schedule: Vec<u8>,
    /// Its log.
    pub log: Option<OsString>,
}

impl InstalledRun {
    /// The last line of its log: none where the log is empty or not there yet.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read.
    pub fn last_line(&self) -> Result<Option<Vec<u8>>, Errno> {
        match &self.log {
            None => Ok(None),
            Some(log) => match log_tail::last_lines(log, 1) {
                Err(Errno::NOENT) => Ok(None),
                lines => lines.map(|mut lines| lines.pop()),
            },
        }
    }
}

/// When cron starts it, and the last line of its log.
impl Display for InstalledRun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "scheduled {}", Escaped(&self.schedule))?;
        match self.last_line() {
            Ok(None) => Ok(()),
            Ok(Some(line)) => write!(out, "; log: {}", Escaped(&line)),
            Err(reason) => write!(out, "; cannot read its log: {}", WhyUnread(reason)),
        }
    }
}
