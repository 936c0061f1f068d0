//! Who holds a lock, and since when: what the kernel confirms, not what the file claims. Never takes a
//! lock.

mod elsewhere;
mod local;
pub mod missing;
mod open_file;
mod process;
mod remote;
pub mod state;

use std::cell::LazyCell;

use crate::model::target::LockTarget;
use crate::sys::Snapshot;
pub use process::has_let_go;
use state::LockReport;

/// Looks at one lock. The snapshot is of the system's table of locks, and is taken when a lock needs it:
/// one on a server does not.
pub fn inspect(snapshot: &LazyCell<Snapshot>, target: LockTarget) -> LockReport {
    match target {
        LockTarget::File(path) => local::file(snapshot, path),
        LockTarget::Descriptor(number) => local::descriptor(snapshot, number),
        LockTarget::Remote(word) => remote::inspect(word),
    }
}
