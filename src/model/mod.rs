//! The nouns: what is asked for, what is locked and how, and what can go wrong. Touches no file, clock
//! or environment.

pub mod command;
pub mod dialect;
pub mod error;
pub mod exit_status;
pub mod lock;
pub mod reporting;
pub mod request;
pub mod target;
