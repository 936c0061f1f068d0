//! The end of a log, for `--status`.

use std::ffi::OsStr;
use std::fmt::{self, Display};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};

use crate::model::error::{LEASED, NOT_REGULAR, Reason};
use crate::sys;

/// How far back a log is read for them, in bytes: what does not fit is not shown, and a log of a
/// gigabyte takes no longer than a small one.
const REACH: u64 = 256 * 1024;

/// Why a log cannot be read.
pub struct WhyUnread(pub Errno);

impl Display for WhyUnread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            reason if sys::means_lease(reason) => out.write_str(LEASED),
            Errno::SPIPE => out.write_str(NOT_REGULAR),
            reason => Reason(reason).fmt(out),
        }
    }
}

/// The last so many lines of a log.
///
/// # Errors
///
/// As open(2) and pread(2); ESPIPE for what is no regular file.
pub fn last_lines(path: &OsStr, count: usize) -> Result<Vec<Vec<u8>>, Errno> {
    let file = fs::open(
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let state = fs::fstat(&file)?;
    if !fs::FileType::from_raw_mode(state.st_mode).is_file() {
        return Err(Errno::SPIPE);
    }
    let size = u64::try_from(state.st_size).unwrap_or(0);
    let mut offset = size.saturating_sub(REACH);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while let length @ 1.. = io::retry_on_intr(|| io::pread(&file, &mut piece, offset))? {
        text.extend_from_slice(piece.get(..length).unwrap_or_default());
        offset += length as u64;
        // It may grow while it is read.
        if offset >= size {
            break;
        }
    }
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let mut lines: Vec<_> = match text {
        b"" => Vec::new(),
        text => text
            .rsplit(|&byte| byte == b'\n')
            .take(count)
            .map(<[u8]>::to_vec)
            .collect(),
    };
    lines.reverse();
    Ok(lines)
}
