//! What nearly every test uses: a folder of its own, the binary, runs that cannot hang, a holder that
//! says when it holds, and a waiter.

// Not each platform uses each of these, nor does each package whose tests these are.
#![allow(unused_imports)]

mod holder;
mod needs;
mod proc;
mod run;
mod scene;
mod waiter;

pub use holder::{HOLD, Holder};
pub use needs::{has_perl_timers, has_tool, is_root, left_out, not_here};
pub use proc::{
    Orphan, Stopped, becomes_free, eventually, holds_lock, kill, locks_on, settled, state,
    waits_for_lock,
};
pub use run::{
    Ended, IS_FOR_MACOS, NONOVERLAP, PATIENCE, Run, Shown, Watchdog, broken_pipe, nonoverlap,
    reason, record_of, run_on,
};
pub use scene::{Scene, Snapshot, quoted};
pub use waiter::Waiter;
