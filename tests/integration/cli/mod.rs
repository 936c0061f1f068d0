//! From the command line to a request: which options there are, what goes together, and how shells
//! complete them.

pub mod combinations;
mod completions;
mod fuzz;
mod help;
mod mistakes;
mod random_runs;
