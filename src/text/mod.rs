//! Bytes and times as people read them. Knows nothing of locks.

pub mod escape;
pub mod json;
pub mod password;
pub mod stamp;
pub mod time;
