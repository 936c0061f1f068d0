//! What this process is and may do. What `rustix` has for these takes it for granted that the calls
//! succeed: a sandbox that refuses one ends it with a panic, or has it give what nobody has written.

use std::mem::MaybeUninit;

use rustix::io::Errno;
use rustix::process::Pid;

use super::errno::check;

/// The PID of this process.
///
/// # Errors
///
/// EPERM where a sandbox answers; getpid(2) itself cannot fail.
pub fn own_pid() -> Result<Pid, Errno> {
    // SAFETY: getpid(2) touches no memory of ours.
    let pid = unsafe { libc::getpid() };
    match pid {
        1.. => Pid::from_raw(pid).ok_or(Errno::PERM),
        _ => Err(Errno::PERM),
    }
}

/// The effective user of this process; nobody's number where a sandbox answers.
pub fn own_user() -> u32 {
    // SAFETY: geteuid(2) touches no memory of ours.
    unsafe { libc::geteuid() }
}

/// The length that no file may exceed that this process writes (RLIMIT_FSIZE), in bytes.
///
/// # Errors
///
/// As getrlimit(2).
pub fn file_size_limit() -> Result<libc::rlim_t, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the limit is written to where the pointer shows.
    check(unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) })?;
    // SAFETY: zeroed at first, and integers throughout.
    let limit = unsafe { limit.assume_init() };
    Ok(limit.rlim_cur)
}
