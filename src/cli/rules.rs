//! What goes together.

use std::os::unix::ffi::OsStrExt;

use super::raw::{Operation, RawOptions};
use crate::model::command::CommandLine;
use crate::model::error::{Error, usage};
use crate::model::lock::OnLost;
use crate::model::target::LockTarget;
use crate::sys;

impl RawOptions {
    /// What goes together, in the order in which a person would be told.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`], with the first rule that is broken.
    #[rustfmt::skip] // A rule a line is how a table is read.
    pub fn check(&self, target: LockTarget, command: Option<CommandLine>) -> Result<(), Error> {
        let is_descriptor = matches!(target, LockTarget::Descriptor(_)) || command.is_none();
        // The log would take the lock's place, and the command run without it.
        let on_output = matches!(target, LockTarget::Descriptor(1 | 2));
        let is_remote = matches!(target, LockTarget::Remote(_));
        let logs_into_lock = match (&self.log, target) {
            (Some(log), LockTarget::File(path)) => log.as_bytes() == path.to_bytes(),
            _ => false,
        };
        let runs = command.is_some();
        let (slots, bounded, logs) = (self.slots.is_some(), self.max_runtime.is_some(), self.log.is_some());
        let (waits, installs) = (self.wait.is_some(), self.install.is_some());
        let no_time = self.max_runtime.as_ref().is_some_and(|limit| limit.after.is_zero());
        let on_lost = self.on_lost.unwrap_or_default();
        let watches = is_remote && on_lost != OnLost::Ignore;
        let terminates = is_remote && on_lost == OnLost::Term;
        let wrong = [
            (self.json, "--json works only with --status or --history"),
            (self.dry_run && !installs, "--dry-run works only with --install or --uninstall"),
            (self.operation == Operation::Unlock && runs, "-u releases the lock of a descriptor, and takes no command"),
            (self.block && (self.nonblock || waits), "-b does not go together with -n or -w"),
            (self.no_fork && self.close, "-F cannot be used with -o, which needs a guardian"),
            (self.no_fork && bounded, "-F cannot be used with --max-runtime, which needs a guardian"),
            (self.no_fork && watches, "-F works with a lock on a server only with --on-lost ignore, which needs no guardian"),
            (slots && (self.block || waits), "--slots does not wait: it cannot be used with -w or -b"),
            (slots && self.operation != Operation::Exclusive, "--slots takes exclusive locks: it cannot be used with -s or -u"),
            (slots && is_descriptor, "--slots takes a lock file and a command, not a descriptor"),
            (slots && self.fcntl, "--slots does not go together with --fcntl"),
            (bounded && !runs, "--max-runtime needs a command"),
            (no_time, "--max-runtime takes a time longer than 0"),
            (self.kill_after.is_some() && !(bounded || terminates), "--kill-after works only with --max-runtime, or with SCHEME:// and --on-lost term"),
            (logs && !runs, "--log needs FILE, LOCKFILE and a command"),
            (logs && on_output, "--log takes the command's descriptors 1 and 2, and cannot be used with --fd 1 or --fd 2"),
            (logs_into_lock, "--log needs a file other than the lock file"),
            (installs && is_descriptor, "--install takes a lock file and a command, not a descriptor"),
            (slots && is_remote, "--slots takes a lock file, not a lock on a server"),
            (self.fcntl && is_remote, "--fcntl takes a lock file, not a lock on a server"),
            (self.hold_at_least.is_some() && !is_remote, "--hold-at-least works only with a lock on a server, SCHEME://"),
            (self.on_lost.is_some() && !is_remote, "--on-lost works only with a lock on a server, SCHEME://"),
            (self.fcntl && !sys::HAVE_RANGES, "this system has no locks for --fcntl, --start and --length"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, what)) => Err(usage(what)),
            None => Ok(()),
        }
    }
}
