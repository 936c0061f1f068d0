//! Who holds a lock. Never takes one.

pub mod local;
