//! FreeBSD, NetBSD and OpenBSD have no record locks on open file descriptions: their fcntl(2) knows
//! F_SETLK only.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::{OnConflict, RangeLock};

/// There are none.
pub const HAVE_RANGES: bool = false;

/// Cannot be done here: ENOSYS.
pub fn set(_: BorrowedFd<'_>, _: OnConflict, _: RangeLock, _: i64, _: i64) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}
