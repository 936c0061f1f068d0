//! What Linux's `/proc` tells.

mod descriptors;
mod mounts;
pub mod process;
mod read;
pub mod snapshot;
mod table;
