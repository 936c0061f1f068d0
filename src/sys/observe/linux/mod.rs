//! What Linux's `/proc` tells.

mod mounts;
pub mod process;
pub mod snapshot;
