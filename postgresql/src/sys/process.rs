//! This process: its end, its copy, its environment.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;

/// What is said where the time is up.
pub const LATE: &str = "the server did not answer in time\n";

/// Where it is said.
static COMPLAINTS: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// No server (sysexits(3)).
const UNAVAILABLE: c_int = 69;

/// Ends this process with a word after so many seconds, or lets it live where it is 0.
///
/// What libpq does in one call may take long, such as looking a host up, and nothing but a signal
/// ends that.
pub fn end_after(seconds: u32) {
    let mut action = zeroed_action();
    action.sa_sigaction = say_so_and_end as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: the handler is of the type that a handler without SA_SIGINFO has and does only what is
    // safe at any moment; the mask is empty.
    unsafe { libc::sigaction(libc::SIGALRM, &action, ptr::null_mut()) };
    // Whoever started this may have blocked it.
    let mut alarm = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset(3) fills the set that the pointer names.
    unsafe { libc::sigemptyset(alarm.as_mut_ptr()) };
    // SAFETY: the set is filled.
    unsafe { libc::sigaddset(alarm.as_mut_ptr(), libc::SIGALRM) };
    // SAFETY: the set is filled, and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, alarm.as_ptr(), ptr::null_mut()) };
    // SAFETY: alarm(2) touches no memory of ours.
    unsafe { libc::alarm(seconds) };
}

/// Has the word at the end said on another descriptor, where standard error is something else.
pub fn complain_on(descriptor: RawFd) {
    COMPLAINTS.store(descriptor, Ordering::Relaxed);
}

extern "C" fn say_so_and_end(_signal: c_int) {
    let complaints = COMPLAINTS.load(Ordering::Relaxed);
    // SAFETY: write(2) is safe at any moment (signal-safety(7)), and reads a text that lives for ever.
    unsafe { libc::write(complaints, LATE.as_ptr().cast(), LATE.len()) };
    // SAFETY: _exit(2) is, too.
    unsafe { libc::_exit(UNAVAILABLE) };
}

fn zeroed_action() -> libc::sigaction {
    // SAFETY: a sigaction is integers, a set of integers and function pointers that may be absent;
    // zeroes mean the default disposition.
    unsafe { std::mem::zeroed() }
}

/// Sets a variable that is not set, for libpq to find.
pub fn set_default(name: &CStr, value: &CStr) {
    const KEEP: c_int = 0;
    // SAFETY: both are C strings, which setenv(3) copies, and this process has one thread.
    unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), KEEP) };
}

/// Copies this process. True in the parent.
///
/// # Errors
///
/// As fork(2).
pub fn fork() -> Result<bool, Errno> {
    // SAFETY: this process has one thread, so the copy has no lock that another thread held.
    match unsafe { libc::fork() } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(last_error()),
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Ends this process at once, with nothing flushed and nobody told. libpq is not told, either: it
/// would say good-bye to the server, which ends the session and its lock.
pub fn end() -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(0) }
}
