//! nonoverlap under the real cron daemon: Debian's `cron`, which mails whatever a job prints.

use std::fs;
use std::process::Command;

use crate::support::cron_daemon::{Cron, why_not};
use crate::support::harness::{Run, becomes_free, eventually, left_out};

/// Three minutes, in which four jobs are due at every one: `finishes` and `dies` are still running at
/// the second, `talks` prints a line, and `overruns` takes longer than it may. What becomes of each is read from the log, see [`Cron::expect`].
#[test]
fn under_cron_a_job_longer_than_a_minute_runs_skips_and_runs_and_nothing_is_mailed() {
    if let Some(why) = why_not() {
        return left_out("the real cron daemon", why);
    }
    let crontab = || format!("{:?}", Command::new("crontab").arg("-l").run());
    let before = crontab();

    let mut cron = Cron::start(&[
        ("finishes", ""),
        ("dies", ""),
        ("talks", ""),
        ("overruns", "--max-runtime 1 --log FOLDER/overruns.log"),
    ]);
    cron.expect("talks", "run 0 mail:told");
    cron.expect("finishes", "run");
    cron.expect("dies", "run");
    cron.expect("overruns", "run 143");
    was_ended(&cron, 1);

    cron.expect("talks", "run 0 mail:told run 0 mail:told");
    cron.expect("finishes", "run 1");
    cron.expect("dies", "run 1");
    cron.expect("overruns", "run 143 run 143");

    cron.let_go("finishes");
    cron.let_go("dies");
    cron.expect("finishes", "run 1 0");
    cron.expect("dies", "run 1 137");

    cron.expect("talks", "run 0 mail:told run 0 mail:told run 0 mail:told");
    cron.expect("finishes", "run 1 0 run");
    cron.expect("dies", "run 1 137 run");
    cron.expect("overruns", "run 143 run 143 run 143");
    was_ended(&cron, 3);
    drop(cron);
    assert_eq!(crontab(), before);
}

/// Each of so many runs of `overruns` was ended when its time was over: the script, and its sleep, which
/// has inherited the lock.
#[track_caller]
fn was_ended(cron: &Cron, runs: usize) {
    let scene = &cron.table.scene;
    let lock = scene.path("overruns.lock");
    becomes_free(&lock);
    let record = fs::read_to_string(&lock).unwrap();
    let pid = record.trim();
    let end = format!(": PID {pid} ended after ");
    let log = || fs::read_to_string(scene.path("overruns.log")).unwrap();
    // On a busy machine it takes more than a second.
    let is_end = |line: &&str| line.ends_with("s, by --max-runtime 1");
    let is_its = |line: &str| line.contains(&end) && is_end(&line);
    eventually("its end is logged", || {
        log().lines().last().is_some_and(is_its)
    });
    let ends = log().lines().filter(is_end).count();
    assert_eq!(ends, runs, "{}", log());
}
