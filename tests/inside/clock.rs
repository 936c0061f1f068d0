//! The clock by which the guardian tells how long a run took. Nothing that a person can see of a run tells which
//! clock it is, unless somebody sets the machine's, or has it sleep.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::sys::steady_time;

/// Set in the namespace.
const INSIDE: &str = "NONOVERLAP_TEST_IN_TIME_NAMESPACE";

/// What cannot be seen without one.
const WHAT: &str = "the clock that counts sleep: no time namespace can be made here";

/// The time since the machine's start, with that of its sleep (proc_uptime(5)), in hundredths of a second.
fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    Duration::from_secs_f64(seconds)
}

/// In a time namespace, this one clock of all is another than outside, as if the machine had slept for years.
#[test]
fn how_long_a_run_took_is_told_by_the_clock_that_counts_sleep() {
    if env::var_os(INSIDE).is_some() {
        let hundredth = Duration::from_millis(10);
        let (before, time, after) = (uptime(), steady_time(), uptime());
        assert!(before > Duration::from_secs(100_000_000));
        assert!(
            (before..=after + hundredth).contains(&time),
            "{before:?} {time:?} {after:?}"
        );
        return;
    }
    let in_namespace = || {
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--time", "--boottime", "100000000", "--fork"]);
        unshare
    };
    let works = in_namespace().arg("true").output();
    if !works.is_ok_and(|ended| ended.status.success()) {
        assert!(env::var_os("CI").is_none(), "left out in CI: {WHAT}");
        // Around the capture of the test's output.
        let mut stderr = File::options().write(true).open("/dev/stderr").unwrap();
        writeln!(stderr, "LEFT OUT: {WHAT}").unwrap();
        return;
    }
    let name = "inside::clock::how_long_a_run_took_is_told_by_the_clock_that_counts_sleep";
    let mut itself = in_namespace();
    itself.arg(env::current_exe().unwrap());
    itself.args(["--exact", name]).env(INSIDE, "1");
    let ended = itself.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
