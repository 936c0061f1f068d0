//! Under the name flock, held against the flock of util-linux.

mod idioms;
mod name;
#[cfg(target_os = "linux")] // util-linux and /proc are Linux's.
mod side_by_side;
