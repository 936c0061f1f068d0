//! The only `unsafe`, and the one place where platforms differ. There is no policy here, and no
//! sentence for people but those of `last_words.rs`.
//!
//! What `rustix` has a safe call for is called by way of `rustix`, here and elsewhere. A facility
//! that platforms have differently is a folder: its mod.rs states what it offers to the program and
//! chooses the platform's file, which must offer what stands beside it here.
//!
//! | folder | platforms | a platform's file offers |
//! |---|---|---|
//! | signal/ | mask_linux, mask_posix | `Set`, `change`, `set_of`, `all`, `contains` |
//! | timer/ | posix_timer, interval | `Timer` with `arm` and `interrupted` |
//! | timer/, over exec | over_exec_macos, over_exec_other | `keep_over_exec` |
//! | ofd_lock/ | fcntl, none | `HAVE_RANGES`, `set` |
//! | file_state/ | statx, other | `of_descriptor`, `of_path`, `of_link`, `is_kernels` |
//! | mark/ | memfd, none | `HAVE_MARKS`, `announce` |
//! | protected/ | macos, none | `PROTECTED_FOLDERS` |
//! | guardian/ | linux, kqueue | `CLOCK`, `start`, `has_ended`, `Ward` with `pid`, `wait`, `signal`, `end`; on Linux also `GUARDIAN` |
//! | observe/, locks | linux/snapshot, f_getlk | `INSPECT_FLAGS`, `Snapshot` with `take`, `of`, `marks`, `shows_marks`, `is_complete`, `named`, `deleted` |
//! | observe/, own | linux/own, own_macos, no_own | `own_locks` |
//! | observe/, processes | linux/process, macos, freebsd, none | `process`, `identity`, `command_line`, `pid_in_proc`, `knows_every_pid`; but for Linux, `lockers` |
#![allow(unsafe_code)]

mod bump_allocator;
mod clock;
mod descriptor;
mod entry;
mod errno;
mod exec;
mod file_state;
mod guardian;
mod last_words;
mod mark;
mod number;
mod observe;
mod ofd_lock;
mod ourselves;
mod protected;
mod search;
mod signal;
mod timer;
mod words;

#[cfg(all(
    target_env = "musl",
    panic = "abort",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod unwind_stubs;

pub use clock::{local_time, pause};
pub use descriptor::{callers_descriptor, move_up};
pub(crate) use entry::entry_point;
pub use errno::{errno_of, means_lease};
pub use exec::{ExecArgs, environment_with};
pub use file_state::{
    FileId, FileState, is_kernels, of_descriptor as state_of_descriptor, of_link as state_of_link,
    of_path as state_of_path,
};
pub use guardian::{
    Duty, End, Event, Guardian, NUMBER_IS_OLD, Reach, Ward, has_ended, start_guardian, steady_time,
};
pub use mark::{HAVE_MARKS, announce};
pub use number::strtod;
pub use observe::{
    FileLocks, Found, FoundFile, INSPECT_FLAGS, MarkedRange, OwnApi, OwnLock, Snapshot, State,
    WhyUnknown, command_line, identity, knows_every_pid, own_locks, pid_in_proc, process,
};
pub use ofd_lock::{HAVE_RANGES, RangeLock, try_range, wait_range};
pub use ourselves::{
    file_size_limit, is_in_our_session, leads_group, own_pid, own_real_user, own_user, parent,
};
pub use protected::PROTECTED_FOLDERS;
pub use search::{SHELL, find, search_and_execute};
pub use signal::{reaches_us, with_children, without_write_signals};
pub use timer::WaitTimer;
pub use words::Words;

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
