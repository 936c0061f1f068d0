//! Calls that are the same on every Unix.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

unsafe extern "C" {
    /// The environment that execve(2) hands on (environ(7)). Nothing in this program changes it.
    static environ: *const *const c_char;
}

/// The error that the last call left in errno(3).
pub fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Moves a descriptor to the lowest free number from `least` up, and closes the old number.
///
/// The new descriptor is not close-on-exec: the command is to inherit it. (`rustix` has only the
/// close-on-exec form, and taking the flag off again would be a system call more.)
///
/// # Errors
///
/// EMFILE where no number from `least` up is free. fcntl(2) gives EINVAL where `least` is itself
/// beyond the limit RLIMIT_NOFILE; that means the same and is said the same. The old number is
/// closed then, too.
pub fn move_up(descriptor: OwnedFd, least: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD takes an int and touches no memory of ours.
    let moved = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD, least) };
    if moved < 0 {
        return Err(match last_error() {
            Errno::INVAL => Errno::MFILE,
            other => other,
        });
    }
    // SAFETY: the kernel has just made this number, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// execve(2): this process becomes the program at `path`, with the environment as it is. Returns
/// only the error.
///
/// `arguments` are pointers to C strings, the last of them null.
pub fn execute(path: &CStr, arguments: &[*const c_char]) -> Errno {
    if arguments.last().is_none_or(|last| !last.is_null()) {
        return Errno::INVAL;
    }
    // SAFETY: reading a pointer that the C library set before `main` and that nothing here changes.
    let environment = unsafe { environ };
    // SAFETY: `path` is a C string; `arguments` ends with a null pointer (looked at above) and all
    // before it are strings of argv or live in the caller's frame; the environment is the C
    // library's own list, which ends the same way.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment) };
    last_error()
}

/// A descriptor that the caller has open. It is never closed here.
///
/// # Errors
///
/// EBADF where it is not open.
pub fn callers(number: RawFd) -> Result<BorrowedFd<'static>, Errno> {
    // SAFETY: F_GETFD touches no memory of ours, and says EBADF for any number that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(last_error());
    }
    // SAFETY: it is open, so it is not -1, and nothing in this program closes a descriptor that it
    // has not opened itself.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}
