//! The caller's interval timer at exec, on macOS. Since macOS 13 execve(2) makes a process for the new
//! program, which takes over what the timer was set to and begins it anew, in full, also if it has rung
//! (XNU, bsd/kern/kern_time.c, proc_inherit_itimers). So it is set to what is left of it.

use std::time::Duration;

use super::itimer::set_itimer;

/// To be called just before exec. If that fails, the timer runs on as it did.
pub fn keep_over_exec() {
    // It fails for wrong arguments only. To disarm it gives what is left, and clears a timer that has rung.
    let (left, interval) = set_itimer(Duration::ZERO, Duration::ZERO).unwrap_or_default();
    // One that rings again and again has nothing left in the moment in which it rings.
    let next = if left.is_zero() { interval } else { left };
    if !next.is_zero() {
        let _ = set_itimer(next, interval);
    }
}
