//! From a place to [`Held`](held::Held): the one decision who may run, and what goes with the lock.

pub mod acquire;
mod deleted;
pub mod file;
pub mod held;
pub mod helper;
pub mod record;
pub mod remote;
