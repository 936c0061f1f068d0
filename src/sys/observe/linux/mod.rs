//! What Linux's `/proc` tells.

mod descriptors;
mod mounts;
pub mod own;
pub mod process;
pub mod read;
pub mod snapshot;
mod table;
