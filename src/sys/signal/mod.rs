//! Signals: mask, dispositions and what is pending, always put back as they were found.
//!
//! Platforms differ in the mask alone. A platform's file offers:
//!
//! - `Set`: a set of signals, as the call for the mask takes it.
//! - `change(how, &Set) -> Set`: changes the mask as `how` says (SIG_BLOCK, SIG_UNBLOCK or
//!   SIG_SETMASK; sigprocmask(2)), and gives the mask that was.
//! - `set_of(&[c_int]) -> Set`, `all() -> Set`, `contains(&Set, c_int) -> bool`.

mod mask;
mod set;

#[cfg(target_os = "linux")]
mod mask_linux;
#[cfg(target_os = "linux")]
use mask_linux as platform;

#[cfg(not(target_os = "linux"))]
mod mask_posix;
#[cfg(not(target_os = "linux"))]
use mask_posix as platform;

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, c_void, siginfo_t};

use super::errno::cannot_fail;
use super::ourselves::own_pid;
pub use mask::Mask;
use mask::is_blocked;
use set::{contains, set_of};

/// The signals that write(2) sends to the thread that wrote (signal(7)): a broken pipe, and a file
/// at its size limit.
const OF_WRITING: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `write` so that a broken pipe or a file at its size limit is an error and not the end of
/// the process.
///
/// No disposition is touched. The two signals are blocked, and the one that came with the error of
/// `write` is taken away before the old mask is put back. So the command finds no signal, no mask
/// and no disposition changed.
pub fn without_write_signals<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _mask = Mask::block(&OF_WRITING);
    let pending_before = OF_WRITING.map(is_pending);
    let result = write();
    let error = result.as_ref().err().and_then(io::Error::raw_os_error);
    for (signal, was_pending) in OF_WRITING.into_iter().zip(pending_before) {
        let its_error = if signal == libc::SIGPIPE {
            libc::EPIPE
        } else {
            libc::EFBIG
        };
        // Looked at before it is waited for: where the signal is ignored, some kernels drop it
        // although it is blocked, and sigwait(3) would wait for ever.
        if error == Some(its_error) && is_pending(signal) {
            consume(signal);
            // The thread had one already, and there is no second of the same.
            if was_pending && !is_pending(signal) {
                send_to_thread(signal);
            }
        }
    }
    result
}

/// What is called at a signal, with what the kernel knows about it (sigaction(2), SA_SIGINFO).
pub type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The disposition of a signal that was found, put back on drop.
pub struct Disposition {
    /// Of which signal.
    signal: c_int,
    /// The disposition that was found.
    found: libc::sigaction,
}

impl Disposition {
    /// Sets a handler for this signal, so that the signal interrupts a system call (no SA_RESTART).
    ///
    /// The handler does only what is async-signal-safe (signal-safety(7)): it sets a flag.
    pub fn call(signal: c_int, handler: Handler) -> Disposition {
        let mut action = zeroed_action();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_mask = set_of(&[]);
        action.sa_flags = libc::SA_SIGINFO;
        let mut found = zeroed_action();
        // SAFETY: `action` has a handler of the type that SA_SIGINFO asks for, which by the
        // contract above is async-signal-safe, and an empty mask; the disposition that was is
        // written to `found`.
        cannot_fail(unsafe { libc::sigaction(signal, &action, &mut found) });
        Disposition { signal, found }
    }

    /// Gives a signal its default disposition.
    fn default_of(signal: c_int) -> Disposition {
        let mut found = zeroed_action();
        // SAFETY: zeroes are the default disposition, no flags and an empty mask; what was is
        // written to `found`.
        cannot_fail(unsafe { libc::sigaction(signal, &zeroed_action(), &mut found) });
        Disposition { signal, found }
    }
}

impl Drop for Disposition {
    fn drop(&mut self) {
        // SAFETY: a disposition that sigaction(2) itself has given.
        cannot_fail(unsafe { libc::sigaction(self.signal, &self.found, ptr::null_mut()) });
    }
}

/// Runs something that starts a program and waits for it: where the caller ignores SIGCHLD, the
/// kernel would throw the program's exit status away (wait(2)). Nothing of it is left pending.
pub fn with_children<T>(run: impl FnOnce() -> T) -> T {
    // musl's posix_spawn(3) puts a mask back that has lost the signals which it uses itself.
    let _mask = Mask::block(&[]);
    let was_pending = is_pending(libc::SIGCHLD);
    let default = is_ignored(libc::SIGCHLD).then(|| Disposition::default_of(libc::SIGCHLD));
    let result = run();
    // Where the caller blocks it, the signal of that program's end would wait for the command.
    if !was_pending && is_pending(libc::SIGCHLD) {
        consume(libc::SIGCHLD);
    }
    drop(default);
    // Ignoring a signal again drops one that is pending (sigaction(2)).
    if was_pending && !is_pending(libc::SIGCHLD) {
        send_to_self(libc::SIGCHLD);
    }
    result
}

/// Whether a signal that is sent to this process does anything: it is neither ignored nor blocked,
/// which a command would inherit.
pub fn reaches_us(signal: c_int) -> bool {
    !is_ignored(signal) && !is_blocked(signal)
}

/// Whether a signal is ignored.
fn is_ignored(signal: c_int) -> bool {
    let mut found = zeroed_action();
    // SAFETY: a null pointer sets nothing; the disposition is written to `found`.
    cannot_fail(unsafe { libc::sigaction(signal, ptr::null(), &mut found) });
    found.sa_sigaction == libc::SIG_IGN
}

/// Whether a signal is pending: it has come and is blocked.
pub fn is_pending(signal: c_int) -> bool {
    let mut set = set_of(&[]);
    // SAFETY: sigpending(2) writes to the set that the pointer names.
    cannot_fail(unsafe { libc::sigpending(&mut set) });
    contains(&set, signal)
}

/// Sends a signal to this process, as others would: not to its thread, as raise(3) does.
pub fn send_to_self(signal: c_int) {
    let ourselves = own_pid().map_or(0, |pid| pid.as_raw_nonzero().get());
    // Never 0, which would be our process group.
    cannot_fail(c_int::from(ourselves == 0));
    // SAFETY: kill(2) touches no memory of ours.
    cannot_fail(unsafe { libc::kill(ourselves, signal) });
}

/// Sends a signal to this thread, as write(2) does.
fn send_to_thread(signal: c_int) {
    // SAFETY: raise(3) touches no memory of ours.
    cannot_fail(unsafe { libc::raise(signal) });
}

/// Takes a pending and blocked signal away. One that was sent to this thread goes before one that
/// was sent to the process (Linux, dequeue_signal).
pub fn consume(signal: c_int) {
    let mut taken = 0;
    // SAFETY: the set is valid and `taken` is an int to write to; the signal is pending, so this
    // returns at once.
    cannot_fail(unsafe { libc::sigwait(&set_of(&[signal]), &mut taken) });
}

/// The default disposition.
fn zeroed_action() -> libc::sigaction {
    // SAFETY: a sigaction is integers, a set of integers and function pointers that may be absent;
    // zeroes mean the default disposition.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
