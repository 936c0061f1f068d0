//! What a run costs.

pub mod budget;
