//! Calls that are the same on every Unix.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

unsafe extern "C" {
    /// The environment that execve(2) hands on (environ(7)). Nothing in this program changes it.
    static environ: *const *const c_char;
}

/// The error that the last call left in errno(3).
pub fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The number that a text is, as strtod(3) reads it, which is how util-linux's flock reads a time:
/// blanks before it, fractions, exponents, `0x`, `inf` and `nan`. Nothing if that is not all of it.
#[cfg(not(miri))]
pub fn strtod(text: &CStr) -> Option<f64> {
    let mut exit_now = ptr::null_mut();
    // SAFETY: the text ends with a NUL, and `exit_now` is a place for a pointer into it.
    let number = unsafe { libc::strtod(text.as_ptr(), &raw mut exit_now) };
    let rest = exit_now.addr().wrapping_sub(text.as_ptr().addr());
    (!text.is_empty() && rest == text.count_bytes()).then_some(number)
}

/// Miri has no strtod(3).
#[cfg(miri)]
pub fn strtod(text: &CStr) -> Option<f64> {
    text.to_str().ok()?.parse().ok()
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
    // Where 3 to 9 are taken, open(2) itself has given the lowest free number from 10 up.
    if descriptor.as_raw_fd() >= least {
        // SAFETY: F_SETFD takes an int and touches no memory of ours.
        let kept = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) };
        return if kept < 0 {
            Err(last_error())
        } else {
            Ok(descriptor)
        };
    }
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

/// The environment of this process with one variable in place of any of the same name: pointers to
/// C strings, the last of them null.
pub fn environment_with(variable: &CStr) -> Vec<*const c_char> {
    let name = variable
        .to_bytes()
        .split_inclusive(|&byte| byte == b'=')
        .next()
        .unwrap_or_default();
    let mut list = Vec::new();
    // SAFETY: reading a pointer that the C library set before `main` and that nothing here changes.
    let mut place = unsafe { environ };
    // A process can be started with no environment at all.
    while !place.is_null() {
        // SAFETY: `place` points into the list, at its null pointer at the latest.
        let entry = unsafe { *place };
        if entry.is_null() {
            break;
        }
        // SAFETY: the list's entries are C strings that live as long as the process.
        let text = unsafe { CStr::from_ptr(entry) };
        if !text.to_bytes().starts_with(name) {
            list.push(entry);
        }
        place = place.wrapping_add(1);
    }
    list.extend([variable.as_ptr(), ptr::null()]);
    list
}

/// What a program is started with: pointers to C strings, the last of them null.
#[derive(Clone, Copy)]
pub struct ExecArgs<'a> {
    /// Its name, and its arguments.
    pub arguments: &'a [*const c_char],
    /// Its environment, if it is not the one of this process, byte for byte.
    pub environment: Option<&'a [*const c_char]>,
}

/// execve(2): this process becomes the program at `path`. Returns only the error.
pub fn execute(path: &CStr, vectors: ExecArgs<'_>) -> Errno {
    // SAFETY: reading a pointer that the C library set before `main` and that nothing here changes.
    let inherited = unsafe { environ };
    let ends = |list: &[*const c_char]| list.last().is_some_and(|last| last.is_null());
    if !ends(vectors.arguments) || !vectors.environment.is_none_or(ends) {
        return Errno::INVAL;
    }
    let environment = vectors.environment.map_or(inherited, <[_]>::as_ptr);
    // SAFETY: `path` is a C string; the lists end with a null pointer (looked at above; the C
    // library's own does), and all before it are strings of argv, of the environment, or in the
    // caller's frame.
    unsafe { libc::execve(path.as_ptr(), vectors.arguments.as_ptr(), environment) };
    last_error()
}

/// A descriptor that the caller has open. It is never closed here.
///
/// # Errors
///
/// EBADF where it is not open.
pub fn callers_descriptor(number: RawFd) -> Result<BorrowedFd<'static>, Errno> {
    // SAFETY: F_GETFD touches no memory of ours, and says EBADF for any number that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(last_error());
    }
    // SAFETY: it is open, so it is not -1, and nothing in this program closes a descriptor that it
    // has not opened itself.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Ends this process at once, with nothing flushed and nobody told: the end of a guardian.
pub fn exit_now() -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(0) }
}
