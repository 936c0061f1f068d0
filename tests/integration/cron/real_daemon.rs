//! nonoverlap under the real cron daemon: Debian's `cron`, which mails whatever a job prints.

use std::process::Command;

use crate::support::cron_daemon::{Cron, why_not};
use crate::support::harness::{Run, left_out};

/// Three minutes, in which three jobs are due at every one: `finishes` and `dies` are still running at
/// the second, `talks` prints a line. What becomes of each is read from the log, see [`Cron::expect`].
#[test]
fn under_cron_a_job_longer_than_a_minute_runs_skips_and_runs_and_nothing_is_mailed() {
    if let Some(why) = why_not() {
        return left_out("the real cron daemon", why);
    }
    let crontab = || format!("{:?}", Command::new("crontab").arg("-l").run());
    let before = crontab();

    let mut cron = Cron::start(&["finishes", "dies", "talks"]);
    cron.expect("talks", "run 0 mail:told");
    cron.expect("finishes", "run");
    cron.expect("dies", "run");

    cron.expect("talks", "run 0 mail:told run 0 mail:told");
    cron.expect("finishes", "run 1");
    cron.expect("dies", "run 1");

    cron.let_go("finishes");
    cron.let_go("dies");
    cron.expect("finishes", "run 1 0");
    cron.expect("dies", "run 1 137");

    cron.expect("talks", "run 0 mail:told run 0 mail:told run 0 mail:told");
    cron.expect("finishes", "run 1 0 run");
    cron.expect("dies", "run 1 137 run");
    drop(cron);
    assert_eq!(crontab(), before);
}
