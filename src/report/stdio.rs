//! The only writing to stdout and stderr.

use std::fmt::Display;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};

use crate::model::dialect::Dialect;
use crate::sys;

/// One line on stderr, in one write(2), so that lines of several processes do not mix. A write
/// error is not an error of the run. Returns whether the line was written.
pub fn say(dialect: Dialect, line: &dyn Display) -> bool {
    let line = format!("{}: {line}\n", dialect.name());
    sys::without_write_signals(|| Ok(write_all(stderr(), line.as_bytes())?)).is_ok()
}

/// Text on stdout, unbuffered.
///
/// # Errors
///
/// As write(2).
pub fn print(text: &[u8]) -> Result<(), Errno> {
    write_all(stdout(), text)
}

/// Writes all of it, in as few calls as the system lets us.
fn write_all(stream: BorrowedFd<'_>, text: &[u8]) -> Result<(), Errno> {
    let mut rest = text;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(stream, rest))?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
