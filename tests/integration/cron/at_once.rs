//! Promises of changes of a crontab that are made at once: each of them stands, and nobody but the next
//! change waits for one. With Debian's crontab(1) as well as a stand-in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};

use super::install::entry;
use crate::support::crontab::Table;
use crate::support::harness::{Ended, Holder, Run, Waiter, Watchdog, eventually};
use crate::support::status_answer::{FREE, HELD};

/// How often what happens at once is tried.
const TIMES: usize = 5;

/// What crontab(1) does where the test says when it writes: it tells that it is about to, and waits
/// until somebody has opened the FIFO.
const SLOW: &str = "#!/bin/sh\n\
    [ \"$1\" = -l ] && exec cat FOLDER/crontab\n\
    echo $PPID >>FOLDER/writing; : <FOLDER/go\n\
    cat >FOLDER/new && mv FOLDER/new FOLDER/crontab\n";

fn slow() -> Table {
    let table = Table::kept_by(SLOW);
    table.set(b"# mine\n");
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(table.scene.path("go")).run().done("");
    table
}

/// Waits until so many were about to write, and lets the last one.
#[track_caller]
fn let_write(table: &Table, number: usize) {
    is_writing(table, number);
    drop(File::options().write(true).open(table.scene.path("go")));
}

#[track_caller]
fn is_writing(table: &Table, number: usize) {
    eventually("crontab is about to write", || {
        let noted = fs::read_to_string(table.scene.path("writing")).unwrap_or_default();
        noted.lines().count() == number
    });
}

fn install(table: &Table, lock: &str) -> Command {
    table.nonoverlap(["--install", "@daily", lock, "true"])
}

/// A run that goes on beside the test.
struct Beside(String, Child, Watchdog);

impl Beside {
    fn start(mut command: Command) -> Beside {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        Beside(format!("{command:?}"), child, watchdog)
    }

    #[track_caller]
    fn ended(self) -> Ended {
        Ended::of(self.0, self.1, &self.2)
    }

    #[track_caller]
    fn succeeds(self) {
        let ended = self.ended();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
}

/// The marks in the crontab. There is nothing else but the lines below them.
#[track_caller]
fn locks(table: &Table) -> BTreeSet<String> {
    let text = String::from_utf8(table.text().unwrap()).unwrap();
    let marks = text.lines().step_by(2);
    let locks = marks.map(|mark| mark.strip_prefix("# nonoverlap --install: ").expect(&text));
    locks.map(str::to_owned).collect()
}

#[test]
fn eight_installed_at_once_all_stand() {
    for table in Table::each() {
        for time in 0..TIMES {
            table.set(b"");
            let names: Vec<_> = (0..8).map(|it| format!("/tmp/l.{time}.{it}")).collect();
            let started: Vec<_> = names
                .iter()
                .map(|lock| Beside::start(install(&table, lock)))
                .collect();
            started.into_iter().for_each(Beside::succeeds);
            assert_eq!(locks(&table), names.into_iter().collect());
        }
    }
}

#[test]
fn what_is_installed_and_taken_out_at_once_is_in_and_out() {
    for table in Table::each() {
        for _ in 0..TIMES {
            let before: Vec<_> = (0..4).map(|it| format!("/tmp/out.{it}")).collect();
            let text: Vec<_> = before
                .iter()
                .map(|it| entry(&table, "@daily", it))
                .collect();
            table.set(&text.concat());
            let wanted: Vec<_> = (0..4).map(|it| format!("/tmp/in.{it}")).collect();
            let started: Vec<_> = wanted
                .iter()
                .map(|lock| install(&table, lock))
                .zip(
                    before
                        .iter()
                        .map(|it| table.nonoverlap(["--uninstall", it])),
                )
                .flat_map(|(one, other)| [Beside::start(one), Beside::start(other)])
                .collect();
            started.into_iter().for_each(Beside::succeeds);
            assert_eq!(locks(&table), wanted.into_iter().collect());
        }
    }
}

#[test]
fn a_change_waits_until_the_one_before_it_is_written() {
    let table = slow();
    let home = table.scene.path("");
    let first = Beside::start(install(&table, "/tmp/a"));
    is_writing(&table, 1);
    let second = Waiter::start(&mut install(&table, "/tmp/b"), &home);
    let third = Waiter::start(&mut table.nonoverlap(["--uninstall", "/tmp/a"]), &home);
    let_write(&table, 1);
    first.succeeds();
    let_write(&table, 2);
    let_write(&table, 3);
    for waiter in [second, third] {
        let ended = waiter.ended();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
    let expected = [b"# mine\n", &entry(&table, "@daily", "/tmp/b")[..]].concat();
    assert_eq!(table.text().unwrap(), expected);
}

#[test]
fn neither_a_run_nor_status_nor_a_dry_run_waits_for_a_change() {
    let table = slow();
    let lock = table.work().join("l");
    let before = entry(&table, "@daily", lock.to_str().unwrap());
    table.set(&before);
    let change = Beside::start(install(&table, "/tmp/a"));
    is_writing(&table, 1);
    let run = |arguments: &[&str]| table.nonoverlap(arguments).run();
    run(&["l", "echo", "ran"]).expect(0, "ran\n", "");
    assert_eq!(run(&["-b", "l", "true"]).code(), Some(0));
    assert_eq!(run(&["--status"]).code(), Some(FREE));
    assert_eq!(run(&["--status", "l"]).code(), Some(FREE));
    let dry = ["--dry-run", "--install", "@daily", "/tmp/b", "true"];
    assert_eq!(run(&dry).code(), Some(0));
    assert_eq!(run(&["--dry-run", "--uninstall", "l"]).code(), Some(0));
    let holder = Holder::of([&lock]);
    assert_eq!(run(&["--status"]).code(), Some(HELD));
    drop(holder);
    let_write(&table, 1);
    change.succeeds();
}

#[test]
fn who_waits_for_long_for_a_change_is_told_of_it() {
    let table = Table::stand_in();
    let home = table.scene.path("home");
    fs::create_dir(&home).unwrap();
    let said = format!(
        "nonoverlap: waiting for another --install or --uninstall, which has {} locked\n",
        home.display()
    );
    for (arguments, said) in [
        (&["--install", "@daily", "/tmp/l", "true"][..], &*said),
        (&["--install", "@daily", "-q", "/tmp/l", "true"], ""),
        (&["--uninstall", "/tmp/l"], &said),
    ] {
        let holder = Holder::of([&home]);
        let mut change = table.nonoverlap(arguments);
        let heard = File::create(table.scene.path("said")).unwrap();
        change.env("HOME", &home).stdin(Stdio::null()).stderr(heard);
        let mut change = change.spawn().unwrap();
        let _watchdog = Watchdog::over(&change);
        let heard = || fs::read_to_string(table.scene.path("said")).unwrap();
        match said {
            "" => drop(Waiter::start(
                table.nonoverlap(arguments).env("HOME", &home),
                &home,
            )),
            said => eventually("it is said", || heard() == said),
        }
        holder.end();
        assert!(change.wait().unwrap().success());
        let heard = heard();
        let waits = heard.lines().filter(|line| line.contains(" waiting "));
        assert_eq!(waits.count(), said.lines().count(), "{heard}");
    }
}

#[test]
fn without_a_home_of_the_users_own_a_change_is_made_all_the_same() {
    let table = Table::stand_in();
    table.scene.file("text", "");
    symlink("nothing", table.scene.path("dangling")).unwrap();
    let closed = table.scene.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let places = ["text", "dangling", "closed", "no-such"].map(|name| table.scene.path(name));
    let others = ["", ".", "/dev/null", "/proc/1"].map(Into::into);
    for home in places.into_iter().chain(others).map(Some).chain([None]) {
        let mut change = install(&table, "/tmp/l");
        match &home {
            Some(home) => change.env("HOME", home),
            None => change.env_remove("HOME"),
        };
        assert_eq!(change.run().code(), Some(0), "{home:?}");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn crontab_does_not_inherit_the_lock() {
    let table = Table::kept_by(
        "#!/bin/sh\nls -l /proc/self/fd >>FOLDER/open 2>/dev/null\n\
         [ \"$1\" = -l ] && exec cat FOLDER/crontab\ncat >FOLDER/crontab\n",
    );
    table.set(b"");
    let home = table.scene.path("home");
    fs::create_dir(&home).unwrap();
    let mut change = install(&table, "/tmp/l");
    assert_eq!(change.env("HOME", &home).run().code(), Some(0));
    let open = fs::read_to_string(table.scene.path("open")).unwrap();
    assert!(!open.contains("/home\n"), "{open}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "litter");
}
