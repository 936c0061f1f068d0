//! Calls that are the same on every Unix.

use std::ffi::{CStr, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

unsafe extern "C" {
    /// The environment that execve(2) hands on (environ(7)). Nothing in this program changes it.
    static environ: *const *const c_char;
}

/// The error that the last call left in errno(3).
fn last_error() -> Errno {
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

/// The signals that write(2) sends to the thread that wrote (signal(7)): a broken pipe, and a file
/// at its size limit.
const SIGNALS_OF_WRITING: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `write` so that a broken pipe or a file at its size limit is an error and not the end of
/// the process.
///
/// No disposition is touched. The two signals are blocked, and what `write` has brought that was
/// not pending before is taken away before the old mask is put back, so the command finds no
/// signal, no mask and no disposition changed.
pub fn unsignalled<T>(write: impl FnOnce() -> T) -> T {
    let mut blocked = empty_set();
    for signal in SIGNALS_OF_WRITING {
        add(&mut blocked, signal);
    }
    let mut before = empty_set();
    // SAFETY: both are valid sets; the old mask is written to `before`.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &blocked, &mut before) };
    let pending_before = SIGNALS_OF_WRITING.map(is_pending);
    let result = write();
    for (signal, was_pending) in SIGNALS_OF_WRITING.into_iter().zip(pending_before) {
        // Looked at before it is waited for: where the signal is ignored, some kernels drop it
        // although it is blocked, and sigwait(3) would wait for ever.
        if !was_pending && is_pending(signal) {
            take(signal);
        }
    }
    // SAFETY: `before` was filled by the first call; a null pointer asks for no old mask.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    result
}

/// Takes a pending and blocked signal away.
fn take(signal: libc::c_int) {
    let mut set = empty_set();
    add(&mut set, signal);
    let mut taken = 0;
    // SAFETY: the set is valid and `taken` is an int to write to; the signal is pending, so this
    // returns at once.
    unsafe { libc::sigwait(&set, &mut taken) };
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset(3) fills the set that the pointer names.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it is filled, and a sigset_t is integers throughout, for which zeroes are valid too.
    unsafe { set.assume_init() }
}

fn add(set: &mut libc::sigset_t, signal: libc::c_int) {
    // SAFETY: a valid set and a signal number that the C library itself names.
    unsafe { libc::sigaddset(set, signal) };
}

fn is_pending(signal: libc::c_int) -> bool {
    let mut set = empty_set();
    // SAFETY: sigpending(2) writes to the set that the pointer names.
    unsafe { libc::sigpending(&mut set) };
    // SAFETY: a valid set and a signal number that the C library itself names.
    unsafe { libc::sigismember(&set, signal) == 1 }
}
