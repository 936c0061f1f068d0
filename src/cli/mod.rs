//! From argv to a `Request`. Touches no file, clock or environment.

mod completions;
pub mod help;
mod nearest;
pub mod options;
mod parse;
mod raw;
mod request;
mod rules;
mod schedule;
pub mod values;

pub use parse::read;
