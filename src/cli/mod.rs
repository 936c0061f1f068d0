//! From argv to a `Request`.

pub mod help;
pub mod options;
pub mod rules;
pub mod values;
