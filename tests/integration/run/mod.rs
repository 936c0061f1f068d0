//! The command: how it is found and started, what it finds, how long it may run, and that its end frees
//! the lock.

#[cfg(target_os = "linux")] // It looks at locks through /proc.
mod close_real_commands;
mod command;
mod death;
pub mod guardian;
mod lowered_limit;
#[cfg(target_os = "linux")] // It looks at guardian and group through /proc.
mod max_runtime;
#[cfg(target_os = "linux")] // seccomp is Linux's.
mod max_runtime_by_number;
#[cfg(target_os = "linux")]
mod max_runtime_elsewhere;
#[cfg(target_os = "linux")]
mod max_runtime_terminal;
mod parser_job;
mod search;
pub mod signals;
