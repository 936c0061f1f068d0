//! What is said, where, and with which exit status: messages, conflicts, errors and the log.

#[cfg(target_os = "linux")] // It looks at holders through /proc.
mod conflict;
pub mod exit_status;
mod hints;
mod history;
#[cfg(target_os = "linux")] // strace is Linux's.
mod injections;
#[cfg(target_os = "linux")] // seccomp is Linux's.
mod kernel_errors;
pub mod log;
#[cfg(target_os = "linux")] // It looks at guardians through /proc.
mod log_end;
mod log_open;
mod log_tail;
mod messages;
