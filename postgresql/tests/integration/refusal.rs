//! What it looks like when nothing runs.

use std::process::Command;

use crate::harness::{Ended, Run, eventually};
use crate::server::{ROLE, Server, nonoverlap};

/// What every command here would print.
pub const RAN: [&str; 2] = ["echo", "ran"];

/// Has nonoverlap run a command that prints something under this lock, and expects that nothing runs.
#[track_caller]
pub fn refused(lock: &str, status: i32, why: &str) -> Ended {
    refused_by(&mut nonoverlap([lock]), lock, status, why)
}

/// The same with more of a command line, which ends where the command begins.
#[track_caller]
pub fn refused_by(command: &mut Command, shown: &str, status: i32, why: &str) -> Ended {
    let ended = command.args(RAN).run();
    let stderr = ended.stderr();
    assert_eq!(
        (ended.code(), &*ended.stdout()),
        (Some(status), ""),
        "{ended:?}"
    );
    let start = format!("nonoverlap: cannot lock {shown}: ");
    let said = stderr.strip_prefix(&start);
    assert!(said.is_some_and(|said| said.contains(why)), "{ended:?}");
    assert_eq!(stderr.matches('\n').count(), 1, "{ended:?}");
    ended
}

/// Expects that the command runs.
#[track_caller]
pub fn runs(command: &mut Command) {
    command.args(RAN).run().expect(0, "ran\n", "");
}

/// Waits until no session of the role's is left, and no lock of anybody's.
#[track_caller]
pub fn nothing_is_left(server: &Server) {
    let statement = format!(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}')
            + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    );
    eventually("no session and no lock is left", || {
        server.sql(&statement) == "0"
    });
}
