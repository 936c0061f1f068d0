//! Every promise of nonoverlap, held against the real binary on real files and processes.
//!
//! The folders are those of `src/`, one file for each family of promises; `flock`, `documents` and
//! `cost` are about all of them, and `support` is what they share. No test takes a lock to see whether
//! it is taken, none waits for a time where there is an event to wait for, and none leaves anything
//! behind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    clippy::too_many_lines,
    clippy::panic,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::unwrap_used
)]
// Much of `support` serves the tests that only Linux has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod support;

mod cli;
mod cost;
mod cron;
mod documents;
mod flock;
mod inspect;
mod lock;
mod report;
mod run;
