//! What the system keeps from background jobs.

#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(not(target_os = "macos"), path = "none.rs")]
mod platform;

pub use platform::PROTECTED_FOLDERS;
