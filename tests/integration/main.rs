//! Every promise of nonoverlap, held against the real binary on real files and processes.
//!
//! One file for each family of promises; `harness.rs` is what they share. No test takes a lock to see
//! whether it is taken, none waits for a time where there is an event to wait for, and none leaves
//! anything behind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(dead_code)]

mod harness;

mod budget;
mod lock;
