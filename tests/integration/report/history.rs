//! Promises of `--history`: what it makes of the lines of a log.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::documents::README;
use crate::support::harness::{
    Ended, Holder, NONOVERLAP, Run, Scene, broken_pipe, nonoverlap, reason, run_on,
};

/// A log as the README has it: a run that was refused six times, a short one, and one without an end.
fn log() -> String {
    let refusal = |time: &str, pid: u32, held: &str| {
        format!(
            "{}/l is held by PID {pid} (python3 parser.py) for {held}; not started\n",
            at(time)
        )
    };
    let mut log = start("01:14:09", "/l", 21488);
    for minute in (16..=26).step_by(2) {
        let held = format!("{}m51s", minute - 15);
        log += &refusal(&format!("01:{minute}:00"), 21488, &held);
    }
    log += "what the job prints\n";
    log += &ours("01:26:12", "/l: PID 21488 ended after 12m03s, status 0");
    log += &start("01:28:00", "/l", 21500);
    log += &ours("01:28:10", "/l: PID 21500 ended after 10s, status 0");
    log += &start("01:30:00", "/l", 21600);
    for minute in (32..=50).step_by(2) {
        let held = format!("{}m00s", minute - 30);
        log += &refusal(&format!("01:{minute}:00"), 21600, &held);
    }
    log
}

/// What stands before the text of a line.
fn at(time: &str) -> String {
    format!("2026-11-28 {time} +0000 nonoverlap: ")
}

/// A line of ours.
fn ours(time: &str, text: &str) -> String {
    format!("{}{text}\n", at(time))
}

/// The line of a start.
fn start(time: &str, lock: &str, pid: u32) -> String {
    ours(
        time,
        &format!("{lock} locked by PID {pid}; starting python3 parser.py"),
    )
}

/// What is said of a log.
fn history(content: impl AsRef<[u8]>) -> Ended {
    let scene = Scene::new();
    scene.file("log", content);
    let mut command = nonoverlap(["--history", "log"]);
    command.current_dir(scene.path("")).run()
}

/// The objects that are printed of a log; the last one is the summary.
#[track_caller]
fn objects(content: impl AsRef<[u8]>) -> Vec<Value> {
    let scene = Scene::new();
    scene.file("log", content);
    objects_of(&scene.path("log"))
}

#[track_caller]
fn objects_of(path: &Path) -> Vec<Value> {
    let ended = nonoverlap(["--history", "--json"]).arg(path).run();
    assert_eq!((ended.code(), &ended.stderr[..]), (Some(0), &b""[..]));
    let said = String::from_utf8(ended.stdout).unwrap();
    let parsed = said.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

/// Of each run: how long it lasted or did at least, how it ended, and how many were refused meanwhile.
#[track_caller]
fn told(content: impl AsRef<[u8]>) -> Vec<String> {
    let mut all = objects(content);
    all.pop();
    let of_run = |run: &Value| {
        let lasted = match (&run["lasted"], &run["at_least"]) {
            (Value::Null, Value::Null) => "?".to_owned(),
            (Value::Null, least) => format!(">={least}"),
            (lasted, Value::Null) => lasted.to_string(),
            both => panic!("{both:?}"),
        };
        let known =
            |name: &str| Some(format!("{name} {}", run[name])).filter(|_| !run[name].is_null());
        let how = ["status", "signal", "ended_by", "error"];
        let how: Vec<_> = how.into_iter().filter_map(known).collect();
        format!(
            "{} {lasted} [{}] {}",
            run["pid"],
            how.join(","),
            run["refused"]
        )
    };
    all.iter().map(of_run).collect()
}

#[test]
fn a_row_for_each_run_and_what_they_come_to() {
    let ended = history(log());
    let indented: String = ended
        .stdout()
        .lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("    {line}\n"),
        })
        .collect();
    assert!(README.contains(&format!("\n\n{indented}\n")), "{indented}");
    assert_eq!((ended.code(), &ended.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn json_has_a_line_for_each_run_and_one_for_all() {
    let all = objects(log());
    assert_eq!(
        all[0],
        json!({
            "path": "/l", "pid": 21488, "began": "2026-11-28T01:14:09+00:00", "lasted": 723, "at_least": null,
            "status": 0, "signal": null, "ended_by": null, "error": null, "refused": 6,
            "command": "python3 parser.py",
        })
    );
    assert_eq!(all[2]["at_least"], 1200);
    let summary = all[3].as_object().unwrap().clone();
    let log = summary["log"].as_str().unwrap();
    assert!(log.ends_with("/log"), "{log}");
    assert_eq!(
        all[3],
        json!({
            "log": log, "complete": true, "runs": 3, "runs_per_hour": 5.02, "not_executed": 0, "refused": 16,
            "refused_per_run": 5.33, "refused_otherwise": 0, "known": 2, "shortest": 10, "median": 366,
            "longest": 723, "longest_at_least": 1200,
        })
    );
}

#[test]
fn json_may_stand_on_either_side_of_the_log() {
    let scene = Scene::new();
    scene.file("log", log());
    let said = |arguments: &[&str]| {
        let ended = nonoverlap(arguments).current_dir(scene.path("")).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended.stdout()
    };
    let expected = said(&["--history", "--json", "log"]);
    assert!(expected.starts_with("{\"path\":"), "{expected}");
    for arguments in [
        &["--json", "--history", "log"][..],
        &["--history", "log", "--json"],
        &["--history", "--json", "--", "log"],
        &["--history", "--json", "log", "--json"],
    ] {
        assert_eq!(said(arguments), expected, "{arguments:?}");
    }
    assert!(said(&["--history", "--", "log"]).starts_with("began"));
}

#[test]
fn every_way_to_end_is_told() {
    for (end, expected) in [
        (": PID 7 ended after 2m00s, status 3", "7 120 [status 3] 0"),
        (
            ": PID 7 ended after 2m00s, signal 15",
            "7 120 [signal 15] 0",
        ),
        (
            ": PID 7 ended after 2m00s, by --max-runtime 2m",
            "7 120 [ended_by \"--max-runtime 2m\"] 0",
        ),
        (
            ": PID 7 ended after 2m00s, by --max-runtime 1.5m",
            "7 120 [ended_by \"--max-runtime 1.5m\"] 0",
        ),
        (": PID 7 ended after 2m00s", "7 120 [] 0"),
        (
            ": PID 7: cannot execute x: No such file or directory",
            "7 ? [] 0",
        ),
    ] {
        let log = start("01:00:00", "/l", 7) + &ours("01:02:00", &format!("/l{end}"));
        assert_eq!(told(log), [expected], "{end}");
    }
    let failure = ours(
        "01:00:01",
        "/l: PID 7: cannot execute x: No such file or directory",
    );
    let log = start("01:00:00", "/l", 7) + &failure;
    let error = "cannot execute x: No such file or directory";
    assert_eq!(told(&log), [format!("7 ? [error {error:?}] 0")]);
    // It is not in anybody's way.
    let refusal = "/l is held by a process that cannot be seen; not started";
    let refused = log.clone() + &ours("01:00:02", refusal);
    assert_eq!(told(refused), [format!("7 ? [error {error:?}] 0")]);
    let said = history(&log).stdout();
    assert!(said.contains("  not executed  "), "{said}");
    assert!(
        said.contains("\nruns: 1, 3600.00 per hour, 1 not executed\n"),
        "{said}"
    );
    assert!(said.ends_with("\nrefused: 0, 0.00 per run\n"), "{said}");
}

/// A guardian that ends the job logs the end when all of it is gone, up to `--kill-after` later.
#[test]
fn a_late_end_by_a_guardian_tells_how_long_the_run_took() {
    let named = |time: &str, held: &str| {
        let refusal = format!("/l is held by PID 7 (x) for {held}; not started");
        ours(time, &refusal)
    };
    for how in ["--max-runtime 1m", "the loss of its lock"] {
        let end = ours(
            "01:09:00",
            &format!("/l: PID 7 ended after 1m00s, by {how}"),
        );
        let began = start("01:00:00", "/l", 7);
        let by = format!("ended_by {:?}", how);
        assert_eq!(told(began.clone() + &end), [format!("7 60 [{by}] 0")]);
        // Until then somebody held the lock, and who was refused met it, named or not.
        let unseen = ours(
            "01:07:00",
            "/l is held by a process that cannot be seen; not started",
        );
        let refused = named("01:05:00", "5m00s") + &unseen;
        let expected = [format!("7 60 [{by}] 2")];
        assert_eq!(told(began.clone() + &refused + &end), expected);
        assert_eq!(told(began.clone() + &end + &refused), expected);
        // But not afterwards.
        let later = named("01:11:00", "11m00s");
        let expected = ["7 >=660 [] 1"];
        assert_eq!(told(began.clone() + &end + &later), expected);
        assert_eq!(told(began.clone() + &later + &end), expected);
    }
    let log = start("01:00:00", "/l", 7)
        + &ours(
            "01:09:00",
            "/l: PID 7 ended after 1m00s, by --max-runtime 1m",
        );
    let said = history(log).stdout();
    assert!(said.contains("  1m00s   by --max-runtime 1m  "), "{said}");
    assert!(
        said.ends_with("\nlasted: shortest 1m00s, median 1m00s, longest 1m00s\n"),
        "{said}"
    );
}

#[test]
fn an_end_is_read_whatever_the_digits_of_the_time_that_was_given() {
    for zeros in [10, 23, 24, 100, 5000] {
        let given = format!("{}1m", "0".repeat(zeros));
        let end = ours(
            "01:01:00",
            &format!("/l: PID 7 ended after 1m00s, by --max-runtime {given}"),
        );
        let all = objects(start("01:00:00", "/l", 7) + &end);
        let by = format!("--max-runtime {given}");
        let by = &by[..by.len().min(100)];
        assert_eq!(
            (&all[0]["lasted"], &all[0]["ended_by"]),
            (&json!(60), &json!(by))
        );
    }
}

/// The job can print what looks like a line of ours.
#[test]
fn the_time_of_a_line_that_is_of_no_run_is_not_counted() {
    let runs = start("01:00:00", "/l", 7) + &start("01:30:00", "/l", 8);
    let per_hour = |log: String| objects(log).pop().unwrap()["runs_per_hour"].clone();
    assert_eq!(per_hour(runs.clone()), 4.0);
    for text in [
        "hi",
        "/l: cannot write the PID into /l: x; running all the same (PID 8)",
        "/l: PID 9 ended after 3s, status 0",
        "/l: PID 8: cannot execute x: y",
        "/k is held by PID 8 (x) for 5s; not started",
    ] {
        let line = format!("2099-11-28 01:26:12 +0000 nonoverlap: {text}\n");
        assert_eq!(per_hour(runs.clone() + &line), 4.0, "{text}");
    }
    let end = ours("02:00:00", "/l: PID 8 ended after 30m00s, status 0");
    assert_eq!(per_hour(runs + &end), 2.0);
}

#[test]
fn an_end_behind_the_next_start_is_that_of_its_own_run() {
    let log = [
        start("01:00:00", "/l", 7),
        start("01:02:00", "/l", 8),
        ours("01:02:00", "/l: PID 7 ended after 2m00s, status 0"),
        ours("01:02:01", "/l is held by PID 8 (x) for 1s; not started"),
        start("01:03:00", "/l", 9),
        ours("01:03:02", "/l: PID 9 ended after 2s, status 0"),
        ours("01:03:03", "/l: PID 8 ended after 1m00s, status 1"),
    ];
    let expected = [
        "7 120 [status 0] 0",
        "8 60 [status 1] 1",
        "9 2 [status 0] 0",
    ];
    assert_eq!(told(log.concat()), expected);
}

#[test]
fn a_pid_that_comes_again_is_another_run() {
    let log = [
        start("01:00:00", "/l", 7),
        start("02:00:00", "/l", 7),
        ours("02:00:05", "/l: PID 7 ended after 5s, status 0"),
        start("03:00:00", "/l", 7),
        ours("03:10:00", "/k: PID 7 ended after 10m00s, status 0"),
        ours(
            "03:10:00",
            "/l is held by PID 7 (x) for 10m00s; not started",
        ),
    ];
    assert_eq!(
        told(log.concat()),
        ["7 ? [] 0", "7 5 [status 0] 0", "7 >=600 [] 1"]
    );
}

#[test]
fn an_end_is_that_of_the_latest_start_that_it_fits() {
    // Both are near enough.
    let log = [
        start("01:00:00", "/l", 7),
        start("01:00:30", "/l", 7),
        ours("01:01:00", "/l: PID 7 ended after 30s, status 0"),
    ];
    assert_eq!(told(log.concat()), ["7 ? [] 0", "7 30 [status 0] 0"]);
    // The clock was set, in this one or that one.
    let log = [
        start("01:00:00", "/l", 7),
        start("02:00:00", "/l", 7),
        ours("04:00:00", "/l: PID 7 ended after 5m00s, status 0"),
    ];
    assert_eq!(told(log.concat()), ["7 ? [] 0", "7 >=300 [status 0] 0"]);
    // The time of the first one alone fits.
    let log = [
        start("01:00:00", "/l", 7),
        start("02:00:00", "/l", 7),
        ours("02:00:10", "/l: PID 7 ended after 1h00m, status 0"),
    ];
    assert_eq!(told(log.concat()), ["7 3610 [status 0] 0", "7 ? [] 0"]);
}

#[test]
fn a_time_in_two_units_is_made_exact_by_the_clock() {
    let of = |end: &str, after: &str| {
        told(start("01:00:00", "/l", 7) + &ours(end, &format!("/l: PID 7 ended after {after}")))
    };
    assert_eq!(of("03:05:23", "2h05m"), ["7 7523 [] 0"]);
    assert_eq!(of("03:06:10", "2h05m"), ["7 7559 [] 0"]);
    assert_eq!(of("03:04:50", "2h05m"), ["7 7500 [] 0"]);
    // The clock was set.
    assert_eq!(of("09:00:00", "2h05m"), ["7 >=7500 [] 0"]);
    // More than there was.
    assert_eq!(of("03:00:00", "2h05m"), ["7 ? [] 0"]);
}

#[test]
fn the_clock_of_each_line_is_read_with_its_zone() {
    let log = "\
2026-10-25 02:50:00 +0200 nonoverlap: /l locked by PID 7; starting x
2026-10-25 02:10:00 +0100 nonoverlap: /l: PID 7 ended after 20m00s, status 0
2026-10-24 20:40:00 -0430 nonoverlap: /l locked by PID 8; starting x
";
    assert_eq!(told(log), ["7 1200 [status 0] 0", "8 ? [] 0"]);
    let all = objects(log);
    assert_eq!(all[0]["began"], "2026-10-25T02:50:00+02:00");
    assert_eq!(all[1]["began"], "2026-10-24T20:40:00-04:30");
    // Two in the twenty minutes from the first start to the last line.
    assert_eq!(all[2]["runs_per_hour"], 6.0);
}

#[test]
fn lines_that_contradict_others_are_not_believed() {
    let end = |time: &str, what: &str| ours(time, &format!("/l: PID 7 ended after {what}"));
    let named = |time: &str, held: &str| {
        ours(
            time,
            &format!("/l is held by PID 7 (x) for {held}; not started"),
        )
    };
    for (what, lines, expected) in [
        (
            "no start",
            vec![ours("01:00:01", "/l: PID 8 ended after 1s, status 0")],
            "7 ? [] 0",
        ),
        (
            "too long",
            vec![end("01:05:00", "2h00m, status 0")],
            "7 ? [] 0",
        ),
        (
            "before the start",
            vec![end("00:55:00", "1s, status 0")],
            "7 ? [] 0",
        ),
        (
            "the same twice",
            vec![
                end("01:05:00", "5m00s, status 0"),
                end("01:05:00", "5m00s, status 0"),
            ],
            "7 300 [status 0] 0",
        ),
        (
            "two ends",
            vec![
                end("01:01:00", "1m00s, status 0"),
                end("01:05:00", "5m00s, status 1"),
            ],
            "7 ? [] 0",
        ),
        (
            "three ends",
            vec![
                end("01:01:00", "1m00s"),
                end("01:05:00", "5m00s"),
                end("01:05:00", "5m00s"),
            ],
            "7 ? [] 0",
        ),
        (
            "two ends, and sleep",
            vec![
                end("01:05:00", "5m00s, status 0"),
                end("03:00:00", "5m00s, status 0"),
            ],
            "7 ? [] 0",
        ),
        (
            "held after its end",
            vec![
                end("01:01:00", "1m00s, status 0"),
                named("01:05:00", "5m00s"),
            ],
            "7 >=300 [] 1",
        ),
        (
            "end before it was seen",
            vec![
                named("01:05:00", "5m00s"),
                end("01:01:00", "1m00s, status 0"),
            ],
            "7 >=300 [] 1",
        ),
        (
            "a refusal that was slow",
            vec![
                end("01:01:00", "1m00s, status 0"),
                named("01:01:02", "1m00s"),
            ],
            "7 60 [status 0] 1",
        ),
        (
            "held for an unknown time",
            vec![ours("01:05:00", "/l is held by PID 7 (x); not started")],
            "7 ? [] 1",
        ),
        (
            "held for less",
            vec![named("03:00:00", "5m00s")],
            "7 ? [] 1",
        ),
        (
            "held for more",
            vec![named("01:05:00", "3d04h")],
            "7 ? [] 1",
        ),
        (
            "a failure late",
            vec![ours("01:05:00", "/l: PID 7: cannot execute x: y")],
            "7 ? [] 0",
        ),
        (
            "an end and a failure",
            vec![
                end("01:00:10", "10s"),
                ours("01:00:10", "/l: PID 7: cannot execute x: y"),
            ],
            "7 ? [] 0",
        ),
        (
            "the start again",
            vec![start("01:00:00", "/l", 7), end("01:05:00", "5m00s")],
            "7 300 [] 0",
        ),
        (
            "no name",
            vec![end("01:05:00", "5m00s").replace("nonoverlap", "nonoverlop")],
            "7 ? [] 0",
        ),
        (
            "not at the start",
            vec![end("01:05:00", "5m00s").replace("2026", "x2026")],
            "7 ? [] 0",
        ),
    ] {
        let log = start("01:00:00", "/l", 7) + &lines.concat();
        assert_eq!(told(&log), [expected], "{what}");
        let is_contradictory = what.starts_with("two ends");
        let said = history(&log).stdout();
        assert!(
            !is_contradictory || said.contains("  contradictory  "),
            "{said}"
        );
    }
}

#[test]
fn a_run_without_an_end_lasted_at_least_up_to_the_last_refusal_that_names_it() {
    let log = [
        start("01:00:00", "/l", 7),
        ours(
            "01:28:00",
            "/l is held by PID 7 (x) for 28m00s; not started",
        ),
        // Somebody holds it, but who?
        ours(
            "01:40:00",
            "/l is held by a process that cannot be seen; not started",
        ),
        ours(
            "01:42:00",
            "/l is held by PID 70 (y) for 1m00s, longer than 1m00s; not started",
        ),
        start("02:00:00", "/l", 8),
        ours(
            "02:10:00",
            "/l is held by a process that cannot be seen; not started",
        ),
    ];
    assert_eq!(told(log.concat()), ["7 >=1680 [] 3", "8 ? [] 1"]);
    let said = history(log.concat()).stdout();
    assert!(
        said.contains("\nlasted: unknown for 2, the longest at least 28m00s\n"),
        "{said}"
    );
    assert!(
        said.contains(" at least 28m00s  not logged        3  ######"),
        "{said}"
    );
    assert!(
        said.contains(" not known        not logged        1\n"),
        "{said}"
    );
}

#[test]
fn refusals_while_no_run_is_known_are_counted_for_all() {
    let log = [
        ours("00:59:00", "/l is held by PID 6 (x) for 9m00s; not started"),
        start("01:00:00", "/l", 7),
        ours("01:01:00", "/k is held by PID 7 (x) for 9m00s; not started"),
        ours("01:02:00", "/l: PID 7 ended after 2m00s, status 0"),
        ours("01:03:00", "/l is held by PID 5 (x) for 9m00s; not started"),
        ours("01:04:00", "a://b: somebody has it; not started"),
    ];
    let all = objects(log.concat());
    assert_eq!(all[0]["refused"], 0);
    assert_eq!(
        (&all[1]["refused"], &all[1]["refused_otherwise"]),
        (&json!(4), &json!(4))
    );
    let said = history(log.concat()).stdout();
    assert!(
        said.contains("\nrefused: 4, 4.00 per run, 4 outside the runs listed\n"),
        "{said}"
    );
}

#[test]
fn of_several_lock_files_each_row_names_its_own() {
    let log = [
        start("01:00:00", "/l", 7),
        start("01:01:00", "/l.2", 8),
        ours(
            "01:02:00",
            "/l is held by PID 7 (x) for 2m00s, /l.2 is held by PID 8 (y) for 1m00s; not started",
        ),
        start("01:03:00", "postgresql://h/d#job", 9),
        ours(
            "01:04:00",
            "postgresql://h/d#job: it is held by somebody; not started",
        ),
        ours("01:05:00", "/l: PID 7 ended after 5m00s, status 0"),
    ];
    assert_eq!(
        told(log.concat()),
        ["7 300 [status 0] 1", "8 >=60 [] 1", "9 ? [] 1"]
    );
    assert_eq!(objects(log.concat())[3]["refused"], 2);
    let said = history(log.concat()).stdout();
    let rows: Vec<_> = said.lines().skip(1).take(3).collect();
    let names: Vec<_> = rows
        .iter()
        .map(|row| row.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["/l", "/l.2", "postgresql://h/d#job"]);
    let columns = rows
        .iter()
        .zip(names)
        .map(|(row, name)| row.len() - name.len());
    let columns: Vec<_> = columns.collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{said}");
    // Of one there is no name.
    assert!(!history(start("01:00:00", "/l", 7)).stdout().contains("/l"));
}

#[test]
fn the_columns_line_up_and_the_longest_bar_fits() {
    let mut log = log();
    log += &start("02:00:00", "/l", 9_999_999);
    log += &ours(
        "02:00:00",
        "/l: PID 9999999 ended after 0s, by --max-runtime 0.0001h",
    );
    log += &start("02:01:00", "/l", 3);
    log += &ours("09:00:00", "/l: PID 3 ended after 6h58m, signal 15");
    let said = history(&log).stdout();
    let rows: Vec<_> = said.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 6);
    let end_of_refused = rows[0].find("refused").unwrap() + "refused".len();
    for row in &rows {
        assert!(row.len() <= 86, "{row}");
        assert!(
            row[..end_of_refused].ends_with(|last: char| last != ' '),
            "{row}"
        );
        assert!(
            matches!(&row[end_of_refused..].get(..2), None | Some("  ")),
            "{row}"
        );
    }
    let bar = |row: &str| row[end_of_refused..].trim().len();
    assert!(bar(rows[5]) >= 12 && bar(rows[4]) == 1, "{said}");
}

#[test]
fn a_log_without_runs_says_so() {
    for (content, refused) in [
        ("", ""),
        ("\n", ""),
        ("output\n\0\n", ""),
        (
            "2026-11-28 01:00:00 +0000 nonoverlap: /l is held; not started",
            ", refused 1",
        ),
    ] {
        history(content).expect(0, &format!("log: no runs{refused}\n"), "");
        let all = objects(content);
        assert_eq!(all.len(), 1);
        assert_eq!(
            (&all[0]["runs"], &all[0]["median"]),
            (&json!(0), &Value::Null)
        );
        assert_eq!(
            (&all[0]["runs_per_hour"], &all[0]["refused_per_run"]),
            (&Value::Null, &Value::Null)
        );
    }
}

#[test]
fn what_cannot_be_read_is_66_and_hangs_nothing() {
    let scene = Scene::new();
    let fifo = scene.path("fifo");
    Command::new("mkfifo").arg(fifo).run().expect(0, "", "");
    scene.file("file", "");
    let no_file = "it is not a regular file".to_owned();
    for (log, why) in [
        ("no-log", reason(libc::ENOENT)),
        (
            "",
            reason(libc::ENOENT) + "; the word is empty, perhaps because a variable is not set",
        ),
        ("file/log", reason(libc::ENOTDIR)),
        (".", no_file.clone()),
        ("fifo", no_file.clone()),
        ("/dev/null", no_file),
    ] {
        for options in [&["--history"][..], &["--history", "--json"]] {
            let mut command = nonoverlap(options);
            let ended = command.arg(log).current_dir(scene.path("")).run();
            ended.expect(
                66,
                "",
                &format!("nonoverlap: cannot read log {log}: {why}\n"),
            );
        }
    }
    assert!(!scene.path("no-log").exists());
    // Of a shortage it says so.
    let mut shell = Command::new("sh");
    let script = "ulimit -n 3; exec \"$0\" --history file";
    let ended = shell
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""))
        .run();
    let why = reason(libc::EMFILE);
    ended.expect(
        71,
        "",
        &format!("nonoverlap: cannot read log file: {why}\n"),
    );
}

#[test]
fn nothing_of_a_log_reaches_a_terminal_raw() {
    let mut log = start("01:00:00", "/l", 7).into_bytes();
    log.extend(at("01:01:00").bytes());
    log.extend(b"/\x1b[2J\xff\xe2\x80\xae locked by PID 8; starting \x1b\xff\n");
    let said = history(&log).stdout();
    assert!(said.contains(r"/\x1b[2J\xff\u{202e}"), "{said}");
    assert!(!said.contains('\x1b'), "{said}");
    let all = objects(&log);
    assert_eq!(all[1]["path"], "/\x1b[2J\u{fffd}\u{202e}");
    assert_eq!(all[1]["command"], "\x1b\u{fffd}");
}

/// So many runs, a minute each, with output between them.
fn many(count: u32) -> String {
    (0..count)
        .map(|run| {
            let time = |second| format!("{:02}:{:02}:{second:02}", run / 60 % 24, run % 60);
            start(&time(0), "/l", run + 1)
                + "some output\n"
                + &ours(
                    &time(50),
                    &format!("/l: PID {} ended after 50s, status 0", run + 1),
                )
        })
        .collect()
}

#[test]
fn of_a_thousand_runs_the_last_hundred_are_told() {
    for (count, first, complete) in [
        (99, 1, true),
        (100, 1, true),
        (101, 2, false),
        (1000, 901, false),
    ] {
        let all = objects(many(count));
        let summary = all.last().unwrap();
        assert_eq!(all.len(), (count + 1).min(101) as usize);
        assert_eq!(
            (&all[0]["pid"], &summary["complete"]),
            (&json!(first), &json!(complete))
        );
        assert_eq!(summary["known"], summary["runs"]);
    }
    let said = history(many(1000)).stdout();
    assert!(
        said.contains("\nruns: the last 100, 60.10 per hour\n"),
        "{said}"
    );
}

#[test]
fn a_log_of_a_gigabyte_is_read_from_its_end_in_little_memory() {
    let scene = Scene::new();
    let path = scene.path("log");
    let mut log = File::create(&path).unwrap();
    log.seek(SeekFrom::Start(1 << 30)).unwrap();
    // The hole is one line, of zeros.
    log.write_all(format!("\n{}", self::log()).as_bytes())
        .unwrap();
    let all = objects_of(&path);
    let mut small = objects(self::log());
    small.last_mut().unwrap()["log"] = json!(path.to_str().unwrap());
    assert_eq!(all, small);
    #[cfg(target_os = "linux")] // Elsewhere such a limit is none.
    {
        let least = least_memory(&scene.file("small", self::log()));
        assert!(
            fits(least + 2048, &path),
            "in 2 MB more than the {least} KB of a small one"
        );
    }
}

/// Of a gigabyte that is there, and not to be read: the last runs are behind it.
#[cfg(target_os = "linux")] // strace counts the bytes.
#[test]
fn of_a_long_log_with_enough_runs_at_its_end_only_the_end_is_read() {
    use crate::support::harness::has_tool;

    if !has_tool("strace", "how much of a log is read") {
        return;
    }
    let scene = Scene::new();
    let path = scene.path("log");
    let mut log = File::create(&path).unwrap();
    log.seek(SeekFrom::Start(1 << 30)).unwrap();
    let runs = many(101);
    log.write_all(format!("\n{runs}").as_bytes()).unwrap();
    let trace = scene.path("trace");
    let mut strace = Command::new("strace");
    strace
        .arg("-o")
        .arg(&trace)
        .args(["-e", "trace=read,pread64"]);
    strace.args([NONOVERLAP, "--history"]).arg(&path);
    let said = strace.run().stdout();
    assert!(said.contains("\nruns: the last 100, "), "{said}");
    let trace = fs::read_to_string(trace).unwrap();
    let count = |line: &str| line.rsplit_once(" = ")?.1.parse::<usize>().ok();
    let read: usize = trace.lines().filter_map(count).sum();
    // Once backwards and once forwards, in whole blocks.
    let block = 64 << 10;
    assert!(
        (runs.len()..2 * (runs.len() + block)).contains(&read),
        "{read}: {trace}"
    );
}

/// How much memory, in KB, `--history` of this log needs.
#[cfg(target_os = "linux")]
fn least_memory(log: &Path) -> usize {
    let (mut less, mut enough) = (0, 1 << 20);
    assert!(fits(enough, log));
    while less + 1 < enough {
        let middle = less.midpoint(enough);
        match fits(middle, log) {
            true => enough = middle,
            false => less = middle,
        }
    }
    enough
}

/// Whether `--history` of this log comes to its end in so many KB of memory.
#[cfg(target_os = "linux")]
fn fits(kilobytes: usize, log: &Path) -> bool {
    let script = "ulimit -v \"$1\" && exec \"$0\" --history \"$2\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, NONOVERLAP, &kilobytes.to_string()]);
    shell.arg(log).run().code() == Some(0)
}

#[test]
fn lines_of_any_length_at_any_place_change_nothing() {
    let expected = told(log());
    let lengths = [
        0,
        1,
        4095,
        65_535,
        65_536,
        65_537,
        131_071,
        131_072,
        131_073,
        3 << 20,
    ];
    for length in lengths {
        let filler = "x".repeat(length) + "\n";
        // Before all of it, before each line, and behind it.
        assert_eq!(told(filler.clone() + &log()), expected, "{length}");
        assert_eq!(told(log() + &filler), expected, "{length}");
        assert_eq!(told((log() + &filler).trim_end()), expected, "{length}");
        let between = log().replace("what the job prints\n", &filler);
        assert_eq!(told(between), expected, "{length}");
    }
    // Where a block ends, at each byte of a line.
    let line = start("01:00:00", "/l", 7);
    for length in (0..=line.len() + 1).step_by(3) {
        let before = "x".repeat(65_536 - length) + "\n";
        let behind = "y".repeat(65_536 - length) + "\n";
        assert_eq!(told(before.clone() + &line + &behind).len(), 1, "{length}");
        assert_eq!(told(before + &line).len(), 1, "{length}");
    }
}

#[test]
fn a_long_command_and_a_long_refusal_are_read() {
    for length in [5000, 70_000, 200_000, 2_000_000] {
        let command = "c".repeat(length);
        let log = [
            ours(
                "01:00:00",
                &format!("/l locked by PID 7; starting {command}"),
            ),
            ours(
                "01:01:00",
                &format!("/l is held by PID 7 ({command}) for 1m00s; not started"),
            ),
            ours("01:02:00", "/l is held by PID 7 (x) for 2m00s; not started"),
        ];
        let all = objects(log.concat());
        assert_eq!(all[0]["refused"], 2, "{length}");
        assert_eq!(
            (&all[0]["at_least"], &all[1]["refused"]),
            (&json!(120), &json!(2))
        );
        assert_eq!(all[0]["command"], "c".repeat(1000));
    }
}

#[test]
fn what_real_runs_have_logged_is_told() {
    let scene = Scene::new();
    let log = scene.path("log");
    let lock = scene.lock();
    let logged = || {
        let mut command = nonoverlap(["--log"]);
        command.arg(&log).arg(&lock);
        command
    };
    let ended = logged().args(["echo", "hello"]).run();
    ended.expect(0, "", "");
    logged().arg("./no-such").run();
    // The log takes its output, so it says elsewhere when it holds.
    let holder = Holder::of([&lock]);
    logged().arg("true").run().expect(1, "", "");
    holder.end();
    let all = objects_of(&log);
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[0]["path"], lock.to_str().unwrap());
    assert_eq!(all[0]["command"], "echo hello");
    assert_eq!(all[1]["command"], "./no-such");
    assert_eq!(
        (&all[2]["runs"], &all[2]["refused"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn a_history_that_cannot_be_written_is_71_and_never_a_panic() {
    let scene = Scene::new();
    scene.file("log", log());
    let history = || {
        let mut command = nonoverlap(["--history", "log"]);
        command.current_dir(scene.path(""));
        command
    };
    let mut command = history();
    let child = command
        .stdin(Stdio::null())
        .stdout(broken_pipe())
        .stderr(Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panic"), "{stderr}");
    assert!(!output.status.success());
    let mut shell = Command::new("sh");
    let script = "exec \"$0\" --history log >&-";
    let ended = shell
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""))
        .run();
    let why = reason(libc::EBADF);
    ended.expect(
        71,
        "",
        &format!("nonoverlap: cannot write to standard output: {why}\n"),
    );
    assert!(run_on(&mut history(), Stdio::null()).status.success());
}

/// Pieces of lines of ours, and of others.
const PIECES: [&[u8]; 22] = [
    b"2026-11-28 01:14:09 +0000 nonoverlap: ",
    b"\n2026-11-28 01:14:09 +0000 nonoverlap: ",
    b"\n2026-11-28 01:14:19 +0000 nonoverlap: ",
    b"\n2026-11-28 03:14:09 -0430 nonoverlap: ",
    b"\n9999-99-28 03:14:09 -0430 nonoverlap: ",
    b"/l",
    b"/l",
    b"/l.2",
    b"a://b#c",
    b"\xff\x1b",
    b"\"\\",
    b"\n",
    b" ",
    b" locked by PID 7; starting ",
    b" locked by PID 7; starting ",
    b" locked by PID 8; starting ",
    b": PID 7 ended after 10s",
    b", status 0",
    b": PID 7 ended after 999999999999d23h, by --max-runtime 1s",
    b" is held by PID 7 (x) for 10s",
    b": PID 8: cannot execute x: y",
    b"; not started",
];

#[test]
fn whatever_a_log_holds_it_is_told_in_rows_and_json_without_a_panic() {
    let scene = Scene::new();
    let mut dice = Dice(0x6869_7374_6f72_7931);
    for _ in 0..300 {
        let count = dice.below(60);
        let pieces: Vec<_> = (0..count).map(|_| *dice.one_of(&PIECES)).collect();
        let mut content = pieces.concat();
        for _ in 0..dice.below(3) {
            content.push(dice.below(256) as u8);
        }
        fs::write(scene.path("log"), &content).unwrap();
        let mut all = objects_of(&scene.path("log"));
        let summary = all.pop().unwrap();
        assert_eq!(summary["runs"], all.len());
        let ended = nonoverlap(["--history"]).arg(scene.path("log")).run();
        assert_eq!(
            (ended.code(), &ended.stderr[..]),
            (Some(0), &b""[..]),
            "{ended:?}"
        );
        assert!(
            ended
                .stdout
                .iter()
                .all(|&byte| byte == b'\n' || !byte.is_ascii_control())
        );
        // Nothing is said of how long they lasted where none of them was executed.
        let lasted = all.iter().any(|run| run["error"].is_null());
        let rows = match all.len() {
            0 => 1,
            runs => runs + 4 + usize::from(lasted),
        };
        assert_eq!(ended.stdout().lines().count(), rows, "{ended:?}");
    }
}
