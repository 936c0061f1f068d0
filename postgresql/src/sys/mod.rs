//! The calls that need `unsafe`: libpq, and what `rustix` has no safe call for.
#![allow(unsafe_code)]

mod libpq;
mod process;

#[cfg_attr(target_os = "linux", path = "linux_close.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other_close.rs")]
mod close;

pub use close::close_all_but;
pub use libpq::{Connection, Row, Trouble, secrets};
pub use process::{complain_on, end, end_after, fork, set_default};
