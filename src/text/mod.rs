//! Bytes and times as people read them.

pub mod escape;
pub mod time;
