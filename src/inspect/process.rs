//! What became of the process that a record names.

use std::process;
use std::time::SystemTime;

use super::state::{Holder, RecordedProcess};
use crate::lock::kin::is_self_or_ancestor;
use crate::lock::record::Record;
use crate::sys;

/// What became of the process that a record names, among these holders.
pub fn what_became_of(record: &Record, holders: &[Holder]) -> RecordedProcess {
    if holders.iter().any(|holder| holder.is_named_by(record)) {
        return RecordedProcess::Holds;
    }
    // A record has the number of its writer's PID namespace, which may be none of those that we see.
    let numbers_are_ours = sys::pid_in_proc() == process::id();
    match sys::process(record.pid).filter(|_| numbers_are_ours) {
        // It is hidden from us.
        None if record.is_alive() => RecordedProcess::Alive,
        None if sys::knows_every_pid() => RecordedProcess::Gone,
        None => RecordedProcess::Unseen,
        Some(process) if process.has_ended => RecordedProcess::Gone,
        Some(process) if process.is_kernels => RecordedProcess::Reused,
        Some(process) => match process.started {
            None => RecordedProcess::Alive,
            Some(started) if record.can_be_of(started) => RecordedProcess::Runs,
            Some(_) => RecordedProcess::Reused,
        },
    }
}

/// Whether a process that started then, if that is known, can have written the record, and did so before
/// now. Anybody can give a file another time, and a clock that is set makes every time before that another.
pub fn may_tell_when(record: &Record, started: Option<SystemTime>) -> bool {
    record.time <= SystemTime::now() && started.is_none_or(|started| record.can_be_of(started))
}

/// Whether the living process of a record that was found under a free lock is the one that wrote it,
/// and so has perhaps released the lock: ssh and tcsh close every descriptor that they inherit.
///
/// Ourselves and our ancestors are no news: a script may well run several commands in turn under
/// the same lock.
pub fn has_let_go(record: &Record) -> bool {
    what_became_of(record, &[]) == RecordedProcess::Runs && !is_self_or_ancestor(record.pid)
}
