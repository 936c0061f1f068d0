//! Taking a lock: on which file, by whom and how long it waits, what is recorded, and that nobody else
//! has it.

mod callers_alarm;
#[cfg(target_os = "linux")] // Elsewhere deleted files are not seen.
pub mod deleted;
#[cfg(target_os = "linux")]
mod deleted_waiting;
#[cfg(target_os = "linux")] // It looks at descriptors through /proc.
mod descriptor;
mod exclusion;
mod file;
#[cfg(target_os = "linux")] // Nowhere else are there leases.
mod leased;
#[cfg(target_os = "linux")] // Nowhere else do others see the mark of a run.
mod name;
mod other_tools;
#[cfg(target_os = "linux")] // Namespaces and /proc/PID/fdinfo are Linux's.
mod own;
#[cfg(target_os = "linux")] // The system's tables tell who waits.
mod queue;
#[cfg(target_os = "linux")] // Locks are looked for in /proc.
mod ranges;
mod record;
mod remote;
#[cfg(target_os = "linux")] // strace is Linux's.
mod reopening;
#[cfg(target_os = "linux")] // It reads /proc/PID/status.
mod signals_while_waiting;
mod simultaneous_starts;
mod slots;
mod timeout;
mod timer_race;
mod wait;
