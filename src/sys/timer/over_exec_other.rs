//! The caller's interval timer at exec, where it goes on as it is (setitimer(2) of Linux, execve(2) of the
//! BSDs).

/// There is nothing to be done.
pub fn keep_over_exec() {}
