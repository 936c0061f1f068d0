//! From [`Held`](crate::lock::held::Held) to the command.

pub mod exec;
pub mod guardian;
mod job;
