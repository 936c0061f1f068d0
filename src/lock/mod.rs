//! From a place to `Held`: the one decision who may run.

pub mod acquire;
pub mod file;
pub mod helper;
pub mod record;
pub mod remote;
