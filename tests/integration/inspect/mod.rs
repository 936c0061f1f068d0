//! Who holds a lock, as `--status` and the next run see it.

#[cfg(target_os = "linux")] // What it names is /proc's.
mod busy_machine;
#[cfg(target_os = "linux")]
mod holders;
#[cfg(target_os = "linux")] // It looks at holders through /proc.
pub mod let_go;
#[cfg(target_os = "linux")]
mod let_go_real_commands;
#[cfg(target_os = "linux")] // They are namespaces and file systems of Linux.
mod namespaces;
mod remote;
mod status;
