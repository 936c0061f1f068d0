//! The tests run the real nonoverlap and the real helper against real PostgreSQL servers, each on a
//! free port of the loopback address and in a folder of its own.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[allow(dead_code)] // The tests of the other package use the rest.
#[path = "../../../tests/integration/support/harness/mod.rs"]
mod harness;
mod network;
mod refusal;
mod server;

mod contend;
mod cut;
mod fence;
mod grace;
mod hold;
mod keep;
mod lost;
mod refused;
mod secret;
mod secure;
mod settings;
mod status;
mod trap;
mod unsuitable;
mod wait;
