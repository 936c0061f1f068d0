//! Sessions (getsid(2)).

use super::errno::check;

/// Whether a process is of our session. Not where that cannot be told.
///
/// `rustix` takes the answer for a PID, which 0 is not: that is a session whose leader is outside of our
/// PID namespace.
pub fn is_in_our_session(pid: u32) -> bool {
    let of = |pid: u32| {
        let pid = libc::pid_t::try_from(pid).ok()?;
        // SAFETY: getsid(2) touches no memory.
        let session = check(unsafe { libc::getsid(pid) }).ok()?;
        Some(session).filter(|&session| session > 0)
    };
    of(pid).is_some_and(|session| of(0) == Some(session))
}
