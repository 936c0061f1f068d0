//! What is said, and where.

pub mod log;
pub mod notice;
pub mod status;
