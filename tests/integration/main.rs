//! Every promise of nonoverlap, held against the real binary on real files and processes.
//!
//! One file for each family of promises; `support/` is what they share. No test takes a lock to see
//! whether it is taken, none waits for a time where there is an event to wait for, and none leaves
//! anything behind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    clippy::panic,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::unwrap_used
)]
// Much of the harness serves the tests that only Linux has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod support;

mod alarm;
mod budget;
mod caveats;
#[cfg(target_os = "linux")] // It looks at locks through /proc.
mod close_really;
mod combinations;
mod command;
mod compared;
mod completions;
#[cfg(target_os = "linux")] // Elsewhere holders are not named.
mod conflict;
mod cron;
mod death;
#[cfg(target_os = "linux")] // Elsewhere deleted files are not seen.
mod deleted;
#[cfg(target_os = "linux")]
mod deleted_waiting;
#[cfg(target_os = "linux")] // It looks at descriptors through /proc.
mod descriptor;
mod documents;
mod flock;
#[cfg(target_os = "linux")]
mod flock_table;
mod fuzz;
mod guardian;
mod idioms;
#[cfg(target_os = "linux")]
mod injected;
mod install;
#[cfg(target_os = "linux")] // Namespaces are.
mod install_really;
#[cfg(target_os = "linux")]
mod interrupt;
mod job;
#[cfg(target_os = "linux")] // Elsewhere it is not known when a process started.
mod let_go;
#[cfg(target_os = "linux")]
mod let_go_really;
mod lock;
mod lockfile;
mod log;
mod log_end;
mod log_open;
mod max_runtime;
mod messages;
mod outcome;
mod peers;
#[cfg(target_os = "linux")]
mod queue;
#[cfg(target_os = "linux")]
mod ranges;
mod recipes;
mod record;
mod remote;
#[cfg(target_os = "linux")] // strace is.
mod reopening;
mod ring;
mod search;
mod signals;
mod slots;
mod status;
#[cfg(target_os = "linux")] // What it names is /proc's.
mod status_load;
#[cfg(target_os = "linux")]
mod status_matrix;
#[cfg(target_os = "linux")] // They are namespaces and file systems of Linux.
mod status_realms;
mod storm;
mod timeout;
mod wait;
