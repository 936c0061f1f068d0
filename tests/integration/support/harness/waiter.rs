//! A run that waits for a lock.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::proc::{eventually, waits_for_lock};
use super::run::{Ended, Watchdog};

/// A run that sleeps in the queue of a lock. What is left of it when this goes out of scope is
/// killed.
pub struct Waiter {
    line: String,
    /// Taken when it has ended.
    child: Option<Child>,
    watchdog: Watchdog,
}

impl Waiter {
    /// Starts it with nothing to read, and returns when it waits for this lock, or has ended
    /// already. The command is nonoverlap or becomes it by exec.
    #[track_caller]
    pub fn start(command: &mut Command, lock: &Path) -> Waiter {
        let line = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let watchdog = Watchdog::over(&child);
        let pid = child.id();
        eventually(&format!("waits: {line}"), || {
            waits_for_lock(pid, lock) || child.try_wait().unwrap().is_some()
        });
        Waiter {
            line,
            child: Some(child),
            watchdog,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let child = self.child.take().unwrap();
        Ended::of(self.line.clone(), child, &self.watchdog)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
