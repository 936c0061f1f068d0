//! What goes together.

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::raw::{Operation, RawOptions};
use crate::model::command::CommandLine;
use crate::model::error::{Error, usage};
use crate::model::lock::OnLost;
use crate::model::target::LockTarget;
use crate::sys;

impl RawOptions {
    /// What goes together, in the order in which a person would be told.
    pub fn check(&self, target: LockTarget, command: Option<CommandLine>) -> Result<(), Error> {
        let unlocks = self.operation == Operation::Unlock;
        let is_descriptor = matches!(target, LockTarget::Descriptor(_)) || command.is_none();
        let is_remote = matches!(target, LockTarget::Remote(_));
        let waits = self.block || self.wait.is_some();
        let logs_into_lock = match (&self.log, target) {
            (Some(log), LockTarget::File(path)) => log.as_bytes() == path.to_bytes(),
            _ => false,
        };
        let wrong = [
            (self.json, "--json goes together with --status only"),
            (
                self.dry_run && self.install.is_none(),
                "--dry-run goes together with --install or --uninstall",
            ),
            (
                unlocks && command.is_some(),
                "-u drops the lock of a descriptor and runs no command",
            ),
            (
                self.block && (self.nonblock || self.wait.is_some()),
                "-b does not go together with -n or -w",
            ),
            (
                self.close && self.no_fork,
                "-o does not go together with -F",
            ),
            (
                self.slots.is_some() && waits,
                "--slots does not wait: not with -w or -b",
            ),
            (
                self.slots.is_some() && self.operation != Operation::Exclusive,
                "--slots takes exclusive locks: not with -s or -u",
            ),
            (
                self.slots.is_some() && is_descriptor,
                "--slots takes a lock file and a command, not a descriptor",
            ),
            (
                self.slots.is_some() && self.records,
                "--slots does not go together with --fcntl",
            ),
            (
                self.max_runtime.is_some() && self.close,
                "--max-runtime does not go together with -o",
            ),
            (
                self.max_runtime.is_some() && command.is_none(),
                "--max-runtime takes a command",
            ),
            (
                self.max_runtime == Some(Duration::ZERO),
                "--max-runtime takes at least a second",
            ),
            (
                self.log.is_some() && command.is_none(),
                "--log takes a command",
            ),
            (
                logs_into_lock,
                "--log takes another file than the lock file",
            ),
            (
                self.install.is_some() && is_descriptor,
                "--install takes a lock file and a command, not a descriptor",
            ),
            (
                self.slots.is_some() && is_remote,
                "--slots takes a lock file, not a lock on a server",
            ),
            (
                self.records && is_remote,
                "--fcntl takes a lock file, not a lock on a server",
            ),
            (
                self.alarm.is_some() && is_remote,
                "--alarm takes a lock file, not a lock on a server",
            ),
            (
                self.hold_at_least.is_some() && !is_remote,
                "--hold-at-least takes a lock on a server, SCHEME://",
            ),
            (
                self.on_lost.is_some() && !is_remote,
                "--on-lost takes a lock on a server, SCHEME://",
            ),
            (
                self.on_lost.is_some_and(|what| what != OnLost::Ignore) && !sys::TELLS_OF_LOSS,
                "this system does not tell of a lost lock: --on-lost ignore",
            ),
            (
                self.records && !sys::HAVE_RANGES,
                "this system has no locks for --fcntl, --start and --length",
            ),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, what)) => Err(usage(what)),
            None => Ok(()),
        }
    }
}
