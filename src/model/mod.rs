//! The nouns: what is asked for, and what can go wrong.

pub mod dialect;
pub mod error;
pub mod request;
