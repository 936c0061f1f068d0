//! What this process is and may do. What `rustix` has for these takes it for granted that the calls
//! succeed, and that a PID is not 0, as it is of who is outside of our PID namespace: it ends with a panic
//! then, or gives what nobody has written.

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

/// Whether this process leads its process group. (The group may be one of who is outside of our PID
/// namespace.)
pub fn leads_group() -> bool {
    // SAFETY: getpgid(2) touches no memory of ours.
    let group = unsafe { libc::getpgid(0) };
    own_pid().is_ok_and(|pid| pid.as_raw_nonzero().get() == group)
}

/// The real user of this process; nobody's number where a sandbox answers.
pub fn own_real_user() -> u32 {
    // SAFETY: getuid(2) touches no memory of ours.
    unsafe { libc::getuid() }
}

/// The PID of the process that has started this one, or adopted it. Nothing where it is outside of our PID
/// namespace.
pub fn parent() -> Option<u32> {
    // SAFETY: getppid(2) touches no memory of ours.
    let parent = unsafe { libc::getppid() };
    u32::try_from(parent).ok().filter(|&parent| parent > 0)
}

/// Whether a process may be of our session. Sessions whose leaders are outside of our PID namespace have
/// the number 0 in common.
pub fn is_in_our_session(pid: u32) -> bool {
    let of = |pid: u32| {
        let pid = libc::pid_t::try_from(pid).ok()?;
        // SAFETY: getsid(2) touches no memory of ours.
        check(unsafe { libc::getsid(pid) }).ok()
    };
    of(pid).is_some_and(|session| of(0) == Some(session))
}
