//! The system calls that need `unsafe`, and the one place where platforms differ. There is no
//! policy here.
//!
//! Everything else goes through `rustix`, which is safe. What is here is here because `rustix` has
//! no safe call for it.
#![allow(unsafe_code)]

mod alarm;
mod arena;
mod clock;
mod entry;
mod facts;
mod search;
mod signals;
mod unix;

// The one rustflag of this project: it runs the other systems' bell on Linux, where it can be
// tested.
#[cfg_attr(
    all(target_os = "linux", not(nonoverlap_interval_bell)),
    path = "linux_bell.rs"
)]
#[cfg_attr(
    any(not(target_os = "linux"), nonoverlap_interval_bell),
    path = "interval_bell.rs"
)]
mod bell;

#[cfg_attr(target_os = "linux", path = "linux_mask.rs")]
#[cfg_attr(not(target_os = "linux"), path = "posix_mask.rs")]
mod mask;

#[cfg_attr(any(target_os = "linux", target_os = "macos"), path = "ofd_ranges.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    path = "no_ranges.rs"
)]
mod ranges;

#[cfg_attr(target_os = "linux", path = "linux_locks.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other_locks.rs")]
mod locks;

#[cfg(target_os = "linux")]
#[path = "linux_mounts.rs"]
mod mounts;

#[cfg_attr(target_os = "linux", path = "linux_process.rs")]
#[cfg_attr(target_os = "macos", path = "macos_process.rs")]
#[cfg_attr(target_os = "freebsd", path = "freebsd_process.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")),
    path = "other_process.rs"
)]
mod process;

#[cfg(any(target_os = "macos", target_os = "freebsd"))]
mod sysctl;

#[cfg(all(
    target_env = "musl",
    panic = "abort",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod no_unwinding;

#[cfg_attr(target_os = "linux", path = "linux_guardian.rs")]
#[cfg_attr(not(target_os = "linux"), path = "kqueue_guardian.rs")]
mod guardian;

#[cfg_attr(target_os = "linux", path = "linux_loss.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other_loss.rs")]
mod loss;

pub use alarm::{AlarmState, alarm_state, ring_alarm};
pub use bell::WaitTimer;
pub use clock::local_time;
pub use entry::Words;
pub(crate) use entry::entry_point;
pub use facts::{FileLocks, State};
pub use guardian::start_guardian;
pub use locks::{INSPECT_FLAGS, Snapshot, path_of};
pub use loss::{TELLS_OF_LOSS, signal_at_end};
pub use process::{command_line, identity, knows_every_pid, process};
pub use ranges::{HAVE_RANGES, RangeLock, try_range, wait_range};
pub use search::{SHELL, find, search_and_execute};
pub use signals::{with_children, without_write_signals};
pub use unix::{ExecArgs, callers_descriptor, environment_with, move_up, strtod};

#[cfg(not(any(
    target_os = "linux",
    target_os = "macos",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
compile_error!(
    "nonoverlap needs flock(2) with its locks on open file descriptions: see src/sys/ for what a platform must offer"
);
