//! Signals: dispositions and what is pending, always put back as they were found.

use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, sigset_t};

use super::mask::Mask;

/// The signals that write(2) sends to the thread that wrote (signal(7)): a broken pipe, and a file
/// at its size limit.
const OF_WRITING: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `write` so that a broken pipe or a file at its size limit is an error and not the end of
/// the process.
///
/// No disposition is touched. The two signals are blocked, and what `write` has brought that was
/// not pending before is taken away before the old mask is put back, so the command finds no
/// signal, no mask and no disposition changed.
pub fn unsignalled<T>(write: impl FnOnce() -> T) -> T {
    let _mask = Mask::block(&OF_WRITING);
    let pending_before = OF_WRITING.map(is_pending);
    let result = write();
    for (signal, was_pending) in OF_WRITING.into_iter().zip(pending_before) {
        // Looked at before it is waited for: where the signal is ignored, some kernels drop it
        // although it is blocked, and sigwait(3) would wait for ever.
        if !was_pending && is_pending(signal) {
            take(signal);
        }
    }
    result
}

/// The disposition of a signal that was found, put back on drop.
pub struct Disposition {
    signal: c_int,
    found: libc::sigaction,
}

impl Disposition {
    /// Has a handler do nothing at this signal, so that it interrupts a system call (no SA_RESTART)
    /// and has no other effect.
    pub fn do_nothing_at(signal: c_int) -> Disposition {
        extern "C" fn nothing(_: c_int) {}
        let handler = nothing as extern "C" fn(c_int) as libc::sighandler_t;
        let action = libc::sigaction {
            sa_sigaction: handler,
            sa_mask: set_of(&[]),
            ..zeroed_action()
        };
        let mut found = zeroed_action();
        // SAFETY: `action` has a handler that does nothing and so is safe at any moment, no flags,
        // and an empty mask; the disposition that was is written to `found`.
        unsafe { libc::sigaction(signal, &action, &mut found) };
        Disposition { signal, found }
    }
}

impl Drop for Disposition {
    fn drop(&mut self) {
        // SAFETY: a disposition that sigaction(2) itself has given.
        unsafe { libc::sigaction(self.signal, &self.found, ptr::null_mut()) };
    }
}

/// Whether a signal is blocked and has come.
pub fn is_pending(signal: c_int) -> bool {
    let mut set = set_of(&[]);
    // SAFETY: sigpending(2) writes to the set that the pointer names.
    unsafe { libc::sigpending(&mut set) };
    // SAFETY: a valid set and a signal number that the C library itself names.
    unsafe { libc::sigismember(&set, signal) == 1 }
}

/// Sends a signal to this process.
pub fn send_to_self(signal: c_int) {
    // SAFETY: raise(3) touches no memory of ours.
    unsafe { libc::raise(signal) };
}

/// Takes a pending and blocked signal away.
pub fn take(signal: c_int) {
    let mut taken = 0;
    // SAFETY: the set is valid and `taken` is an int to write to; the signal is pending, so this
    // returns at once.
    unsafe { libc::sigwait(&set_of(&[signal]), &mut taken) };
}

/// A set of signals, as the C library keeps it.
pub fn set_of(signals: &[c_int]) -> sigset_t {
    let mut set = MaybeUninit::<sigset_t>::zeroed();
    // SAFETY: sigemptyset(3) fills the set that the pointer names.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in signals {
        // SAFETY: a set that was filled, and a signal number that the C library itself names.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: it is filled.
    unsafe { set.assume_init() }
}

fn zeroed_action() -> libc::sigaction {
    // SAFETY: a sigaction is integers, a set of integers and function pointers that may be absent;
    // zeroes mean the default disposition.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
