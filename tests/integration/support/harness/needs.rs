//! What a test needs and the machine may not have.

use std::env;
use std::fs::File;
use std::io::Write;
use std::process::Command;

use super::run::Run;

/// Whether this runs as root, as some tests must.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly that a test, or a part of it, was left out, and why. In CI (`CI` is set) nothing may
/// be left out, so there it fails.
#[track_caller]
pub fn left_out(what: &str, why: &str) {
    assert!(env::var_os("CI").is_none(), "left out in CI: {what}: {why}");
    not_here(what, why);
}

/// Says it as loudly of what only another kind of machine can show, and does not fail in CI either.
pub fn not_here(what: &str, why: &str) {
    // Around the capture of the test's output, so that it is seen when the test passes.
    let line = format!("LEFT OUT: {what}: {why}\n");
    let mut stderr = File::options().write(true).open("/dev/stderr").unwrap();
    let _ = stderr.write_all(line.as_bytes());
}

/// Whether a tool that a test needs is there. If not, what needs it is left out, which is said.
#[track_caller]
pub fn has_tool(tool: &str, what: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", tool])
        .run()
        .code()
        == Some(0);
    if !found {
        left_out(what, &format!("{tool} is not installed"));
    }
    found
}

/// Whether perl is there with its module for timers, which Debian's smallest perl lacks.
#[track_caller]
pub fn has_perl_timers(what: &str) -> bool {
    if !has_tool("perl", what) {
        return false;
    }
    let loads = Command::new("perl").args(["-MTime::HiRes", "-e", ""]).run();
    let found = loads.code() == Some(0);
    if !found {
        left_out(what, "perl has no Time::HiRes");
    }
    found
}
