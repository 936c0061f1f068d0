//! Record locks on open file descriptions: Linux since 3.15, macOS by its fcntl.h (F_OFD_SETLK).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{OnConflict, RangeLock};
use crate::sys::errno::check;

/// Linux has them since 3.15, and macOS.
pub const HAVE_RANGES: bool = true;

/// As `ofd_lock/mod.rs` says.
pub fn set(
    file: BorrowedFd<'_>,
    on_conflict: OnConflict,
    what: RangeLock,
    start: i64,
    length: i64,
) -> Result<(), Errno> {
    let call = match on_conflict {
        OnConflict::Fail => libc::F_OFD_SETLK,
        OnConflict::Wait => libc::F_OFD_SETLKW,
    };
    let kind = match what {
        RangeLock::Exclusive => libc::F_WRLCK,
        RangeLock::Shared => libc::F_RDLCK,
        RangeLock::Unlock => libc::F_UNLCK,
    };
    #[allow(clippy::useless_conversion)] // An off_t, which has 32 bits on some systems.
    let offset = |bytes: i64| libc::off_t::try_from(bytes).map_err(|_| Errno::OVERFLOW);
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset(start)?,
        l_len: offset(length)?,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and these two commands read one flock structure, which must
    // have 0 as its PID (fcntl_locking(2), "Open file description locks").
    check(unsafe { libc::fcntl(file.as_raw_fd(), call, &range) }).map(|_| ())
}
