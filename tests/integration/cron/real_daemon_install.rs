//! What `--install` has put into the crontab, run by the real cron daemon, and taken out again.

use std::fs;

use crate::support::cron_daemon::{Cron, why_not};
use crate::support::crontab::Table;
use crate::support::harness::{Run, left_out};

/// Notes where it runs and with which words, each on a line, and says something for the log.
const JOB: &str = r#"#!/bin/sh
    echo said
    printf '%s\n' "$PWD" "$@" >new && mv new ran
"#;

/// What is due in the same minute as the job has run by then.
const TICK: &str = "#!/bin/sh\nsleep 5\necho tick >>ticks\n";

#[test]
fn an_installed_entry_with_relative_paths_is_run_by_cron_until_it_is_uninstalled() {
    if let Some(why) = why_not() {
        return left_out("the real cron daemon", why);
    }
    let table = Table::real().unwrap();
    let scene = &table.scene;
    scene.script("work/job", JOB);
    scene.script("work/tick", TICK);
    let words = [
        "it's",
        "50%",
        r"\%",
        r"a\\b",
        "$HOME \"x\"",
        "",
        "caf\u{e9}",
    ];
    let mut install = table.nonoverlap(["--install", "* * * * *", "--log", "log/job"]);
    install.args(["job.lock", "./job"]).args(words);
    assert_eq!(install.run().code(), Some(0));
    let tick = ["--install", "* * * * *", "tick.lock", "./tick"];
    table.nonoverlap(tick).run().done("");
    let both = String::from_utf8(table.text().unwrap()).unwrap();

    let mut cron = Cron::with(table);
    let ran = cron.table.work().join("ran");
    cron.within_a_minute("the job ran", |_| ran.exists());
    let work = cron.table.work();
    let expected = [&[work.to_str().unwrap()], &words[..]].concat().join("\n");
    assert_eq!(fs::read_to_string(&ran).unwrap(), expected + "\n");
    let log = fs::read_to_string(work.join("log/job")).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert!(
        matches!(lines[..], [start, "said"] if start.contains(" nonoverlap: ")),
        "{log}"
    );
    assert!(work.join("job.lock").exists());

    let uninstall = ["--uninstall", "job.lock"];
    cron.table.nonoverlap(uninstall).run().done("");
    let left: Vec<_> = both.lines().skip(2).collect();
    let text = String::from_utf8(cron.table.text().unwrap()).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), left);
    fs::remove_file(&ran).unwrap();
    let ticks = || fs::read_to_string(work.join("ticks")).unwrap_or_default();
    let before = ticks();
    cron.within_a_minute("a tick", |_| ticks().len() > before.len());
    let before = ticks();
    cron.within_a_minute("another tick", |_| ticks().len() > before.len());
    assert!(!ran.exists(), "it ran once more");
    assert_eq!(cron.log(), "", "mailed");
}
