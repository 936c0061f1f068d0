//! Promises of `--status` without a lock file: each run that `--install` has put into the crontab.

use std::fs;
use std::path::Path;

use super::install::entry;
use crate::support::crontab::Table;
use crate::support::harness::{HOLD, Holder, Run};
use crate::support::status_answer::{CANNOT_TELL, FREE, HELD, reads_json};

/// What `--status` says on stdout, and its exit status.
#[track_caller]
fn told(table: &Table, options: &[&str]) -> (i32, String) {
    let ended = table.nonoverlap(["--status"]).args(options).run();
    assert_eq!(ended.stderr(), "", "{ended:?}");
    (ended.code().unwrap(), ended.stdout())
}

#[track_caller]
fn install(table: &Table, words: &[&str]) {
    let ended = table.nonoverlap(words).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

fn holder(table: &Table, lock: &Path) -> Holder {
    let mut command = table.nonoverlap([lock]);
    Holder::start(command.args(HOLD)).settled()
}

#[test]
fn each_run_is_told_of_with_its_schedule_and_the_last_line_of_its_log() {
    for table in Table::each() {
        let nothing = "no run is installed in the crontab\n";
        assert_eq!(told(&table, &[]), (FREE, nothing.to_owned()));
        let others = b"# one\n1 2 3 4 5 nonoverlap /tmp/l true\n";
        table.set(others);
        assert_eq!(told(&table, &[]), (FREE, nothing.to_owned()));

        let log = ["--log", "logs/b's 100% log", "--alarm", "2h"];
        install(&table, &["--install", "*/2 * * * *", "a lock", "true"]);
        install(
            &table,
            &[&["--install", "@daily"], &log[..], &["b", "true"]].concat(),
        );
        let [a, b] = ["a lock", "b"].map(|name| table.work().join(name));
        let free = format!("{}: free; there is no such file", a.display());
        let second = format!("{}: free; there is no such file", b.display());
        let expected = format!(
            "{free}; scheduled */2 * * * *\n\
             {second}; scheduled @daily\n"
        );
        assert_eq!(told(&table, &[]), (FREE, expected));

        let file = table.work().join("logs/b's 100% log");
        fs::write(&file, "first\nlast \x1b[1m line\n").unwrap();
        let held = holder(&table, &a);
        let (code, said) = told(&table, &[]);
        let lines: Vec<_> = said.lines().collect();
        let start = format!("{}: held by PID {} for ", a.display(), held.pid());
        assert!(lines[0].starts_with(&start), "{said}");
        assert!(lines[0].ends_with("; scheduled */2 * * * *"), "{said}");
        let log = "; scheduled @daily; log: last \\x1b[1m line";
        assert_eq!(lines[1..], [second + log]);
        assert_eq!(code, HELD);
        assert_eq!(told(&table, &["-q"]), (HELD, String::new()));
    }
}

#[test]
fn each_is_a_json_object_with_its_schedule_and_the_last_line_of_its_log() {
    if !reads_json() {
        return;
    }
    let table = Table::stand_in();
    assert_eq!(told(&table, &["--json"]), (FREE, String::new()));
    install(&table, &["--install", "@daily", "a", "true"]);
    install(
        &table,
        &["--install", "0 4 * * 1", "--log", "log", "b", "true"],
    );
    fs::write(table.work().join("log"), "first\n\"last\"\n").unwrap();
    let (code, said) = told(&table, &["--json"]);
    let objects: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |field: &str| {
        objects
            .iter()
            .map(|it| it[field].clone())
            .collect::<Vec<_>>()
    };
    let path = |name: &str| table.work().join(name).to_str().unwrap().to_owned();
    assert_eq!(code, FREE);
    assert_eq!(of("path"), [path("a"), path("b")]);
    assert_eq!(of("state"), ["free", "free"]);
    assert_eq!(of("schedule"), ["@daily", "0 4 * * 1"]);
    let null = serde_json::Value::Null;
    assert_eq!(of("log"), [null.clone(), path("log").into()]);
    assert_eq!(of("last_line"), [null, "\"last\"".into()]);
}

#[test]
fn whatever_the_names_are_an_entry_is_read_as_it_was_written() {
    for name in [
        "l",
        "a b",
        "it's",
        "100%",
        r"back\slash",
        r"\%'",
        r"'\''",
        "'",
        "%",
        r"\",
        "$HOME",
        "`x`",
        "a;b",
        "a&&b",
        "#",
        "*",
        "-",
        "--log",
        "ü",
        "a\tb",
        "~",
    ] {
        let table = Table::stand_in();
        let (lock, log) = (format!("./{name}.lock"), format!("./{name}"));
        let words = [
            "--install",
            "@daily",
            "-l",
            &log,
            "-j",
            "2",
            &lock,
            "echo",
            "-l",
            "x",
        ];
        install(&table, &words);
        fs::write(table.work().join(name), "its line\n").unwrap();
        let (code, said) = told(&table, &[]);
        assert_eq!(code, FREE, "{name}");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{name}: {said}");
        assert!(lines[1].contains(".lock.2: free; "), "{name}: {said}");
        for line in lines {
            assert!(
                line.ends_with("; scheduled @daily; log: its line"),
                "{name}: {said}"
            );
        }
    }
}

#[test]
fn of_a_number_of_slots_that_no_run_would_take_the_lock_file_is_told() {
    for slots in ["0", "1000", "65535", "65536", "x", "''", "'0'"] {
        let table = Table::stand_in();
        install(&table, &["--install", "@daily", "-j", "2", "./l", "true"]);
        let text = String::from_utf8(table.text().unwrap()).unwrap();
        let edited = text.replace(" -j 2 ", &format!(" -j {slots} "));
        assert_ne!(edited, text);
        table.set(edited.as_bytes());
        let (code, said) = told(&table, &[]);
        assert_eq!((code, said.lines().count()), (FREE, 1), "{slots}: {said}");
    }
}

#[test]
fn of_a_line_that_was_changed_by_hand_the_state_and_the_schedule_are_told() {
    let table = Table::stand_in();
    let work = table.work();
    fs::write(work.join("log"), "a line\n").unwrap();
    install(
        &table,
        &["--install", "@daily", "--log", "log", "l", "true"],
    );
    let lock = work.join("l");
    let text = String::from_utf8(table.text().unwrap()).unwrap();
    let free = format!("{}: free; there is no such file; scheduled", lock.display());
    for (from, to, expected) in [
        (
            "@daily",
            "1 2\t3  4 5",
            format!("{free} 1 2\t3  4 5; log: a line\n").replace('\t', "\\t"),
        ),
        (" && ", " && nice ", format!("{free} @daily; log: a line\n")),
        (
            " && ",
            " && PATH=/bin ",
            format!("{free} @daily; log: a line\n"),
        ),
        (" --log ", " --log \"$HOME\"", format!("{free} @daily\n")),
        (
            "\n@",
            "\n#@",
            "no run is installed in the crontab\n".to_owned(),
        ),
        (
            "\n@",
            "\n \t# @",
            "no run is installed in the crontab\n".to_owned(),
        ),
        (
            "\n@",
            "\n\n@",
            "no run is installed in the crontab\n".to_owned(),
        ),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        table.set(changed.as_bytes());
        assert_eq!(told(&table, &[]), (FREE, expected), "{changed}");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_told_of_but_for_one_that_is_not_there_yet() {
    let table = Table::stand_in();
    install(
        &table,
        &["--install", "@daily", "--log", "log", "l", "true"],
    );
    let said = |end: &str| {
        let lock = table.work().join("l");
        let expected = format!(
            "{}: free; there is no such file; scheduled @daily{end}\n",
            lock.display()
        );
        assert_eq!(told(&table, &[]), (FREE, expected));
    };
    said("");
    fs::write(table.work().join("log"), "").unwrap();
    said("");
    fs::remove_file(table.work().join("log")).unwrap();
    fs::create_dir(table.work().join("log")).unwrap();
    said("; cannot read its log: it is not a regular file");
}

#[test]
fn where_the_crontab_cannot_be_read_it_is_4_and_says_why() {
    let table = Table::kept_by("#!/bin/sh\necho you may not use it >&2\nexit 1\n");
    for options in [
        &["--status"][..],
        &["--status", "--json"],
        &["--status", "-q"],
    ] {
        let ended = table.nonoverlap(options).run();
        let why = "nonoverlap: cannot read the crontab: you may not use it\n";
        ended.expect(CANNOT_TELL, "", why);
    }
    fs::remove_file(table.scene.path("bin/crontab")).unwrap();
    let mut command = table.nonoverlap(["--status"]);
    let ended = command.env("PATH", table.scene.path("bin")).run();
    let why = "nonoverlap: cannot run crontab: No such file or directory\n";
    ended.expect(CANNOT_TELL, "", why);
}

#[test]
fn one_that_cannot_be_told_counts_most() {
    let table = Table::stand_in();
    let entries = [
        entry(&table, "@daily", table.work().join("l").to_str().unwrap()),
        entry(
            &table,
            "@daily",
            table.work().join("file/l").to_str().unwrap(),
        ),
    ];
    fs::create_dir(table.work().join("file")).unwrap();
    table.set(&entries.concat());
    assert_eq!(told(&table, &["-q"]).0, FREE);
    let _held = holder(&table, &table.work().join("l"));
    assert_eq!(told(&table, &["-q"]).0, HELD);
    let long = "x".repeat(300);
    table.set(
        &[
            &entries[0][..],
            &entry(&table, "@daily", &format!("/{long}")),
        ]
        .concat(),
    );
    assert_eq!(told(&table, &["-q"]).0, CANNOT_TELL);
}
