//! From a target to [`Held`](held::Held): the one decision who may run, and what goes with the lock.

pub mod acquire;
pub mod file;
pub mod held;
pub mod helper;
pub mod kin;
pub mod lines;
pub mod mark;
pub mod others;
pub mod record;
pub mod remote;
mod take;
mod verify;
