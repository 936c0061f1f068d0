//! Promises about `nonoverlap --status` of a lock on a server: who has it, and that asking takes none.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Ended, HOLD, Holder, Run, eventually};
use crate::refusal::{RAN, nothing_is_left, runs};
use crate::server::{ROLE, Server, helper, nonoverlap, without_variables};
use crate::unsuitable::standby_of;

/// Exit statuses of `--status`.
const HELD: i32 = 0;
const FREE: i32 = 3;
const CANNOT_TELL: i32 = 4;

fn status(lock: &str) -> Ended {
    nonoverlap(["--status", lock]).run()
}

fn host() -> String {
    let said = Command::new("uname").arg("-n").run();
    said.stdout().trim().to_owned()
}

/// What is said of the server, and as whom we are there.
fn place(server: &Server, role: &str) -> String {
    let version = server.sql("SHOW server_version");
    let version = version.split(' ').next().unwrap();
    let at = format!("127.0.0.1, port {}", server.port);
    format!("PostgreSQL {version} at {at}, database postgres, as role {role}")
}

/// Whether this is what is left of [`HOLD`] where a session's name has 63 bytes and begins with a
/// host's.
fn is_hold(said: &str) -> bool {
    said.starts_with("sh -c") && HOLD.join(" ").starts_with(said)
}

/// The lock, asked about by another role.
fn as_other(lock: &str) -> String {
    lock.replace(&format!("//{ROLE}@"), "//other@")
}

#[test]
fn a_free_lock_is_3_and_a_held_one_0_with_its_holder() {
    let server = Server::start();
    let lock = server.lock("job");
    let place = place(&server, ROLE);
    status(&lock).expect(FREE, &format!("{lock}: free; {place}\n"), "");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let ended = status(&lock);
    assert_eq!((ended.code(), &*ended.stderr()), (Some(HELD), ""));
    let said = ended.stdout();
    let start = format!("{lock}: held by {}, PID {} (", host(), holder.pid());
    let rest = said.strip_prefix(&start).unwrap_or_default();
    let (command, rest) = rest.split_once(") for ").unwrap_or_default();
    let (time, at) = rest.split_once("; ").unwrap_or_default();
    assert!(is_hold(command), "{ended:?}");
    assert!(time.ends_with('s'), "{ended:?}");
    assert_eq!(at, format!("{place}\n"), "{ended:?}");
    // Another name is another lock, and so is another database.
    assert_eq!(status(&server.lock("other")).code(), Some(FREE));
    server.sql("CREATE DATABASE elsewhere");
    let elsewhere = lock.replace("/postgres#", "/elsewhere#");
    assert_eq!(status(&elsewhere).code(), Some(FREE));
    holder.end();
    eventually("it is free", || status(&lock).code() == Some(FREE));
    nothing_is_left(&server);
}

#[test]
fn all_holders_are_named_in_words_and_in_lines_for_nonoverlap() {
    let server = Server::start();
    let lock = server.lock("job");
    let shared = || Holder::start(nonoverlap(["--shared", &lock]).args(HOLD));
    let holders = [shared(), shared(), shared()];
    let ended = helper(["--status", &lock]).run();
    assert_eq!((ended.code(), &*ended.stderr()), (Some(HELD), ""));
    let said = ended.stdout();
    let lines: Vec<_> = said.lines().collect();
    let beginning_with = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines.len(), 6, "{said}");
    assert_eq!(lines[1].matches(" and by ").count(), 2, "{said}");
    for holder in &holders {
        let named = format!("{}, PID {} (", host(), holder.pid());
        assert!(lines[1].contains(&named), "{said}");
        assert_eq!(beginning_with(&format!("holder={named}")), 1, "{said}");
    }
    let since = lines[0].strip_prefix("since=").unwrap();
    let first =
        server.sql("SELECT min(backend_start) FROM pg_stat_activity WHERE datname = 'postgres'");
    let passed = format!("SELECT extract(epoch FROM clock_timestamp() - '{first}')");
    let passed: f64 = server.sql(&passed).parse().unwrap();
    let since: f64 = since.parse().unwrap();
    assert!((0.0..=passed).contains(&since), "{passed}: {said}");
    assert_eq!(lines[2], place(&server, ROLE));
    for holder in holders {
        holder.end();
    }
    nothing_is_left(&server);
}

#[test]
fn a_holder_that_is_not_ours_is_named_by_its_own_name() {
    let server = Server::start();
    let lock = server.lock("job");
    let takes = format!("SELECT pg_advisory_lock({NUMBER})");
    let holder = psql_holder(&server, &takes, "a report of theirs, 7");
    let process = server.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory'");
    let place = place(&server, ROLE);
    let named = format!("'a report of theirs, 7', server process {process}");
    status(&lock).expect(HELD, &format!("{lock}: held by {named}; {place}\n"), "");
    // When it last asked something is not when it took the lock.
    let lines = helper(["--status", &lock]).run();
    lines.expect(
        HELD,
        &format!("held by {named}\n{place}\nholder={named}\n"),
        "",
    );
    holder.end();
}

#[test]
fn a_lock_of_two_numbers_is_another_lock() {
    let server = Server::start();
    let lock = server.lock("job");
    let takes = format!("SELECT pg_advisory_lock(({NUMBER} >> 32)::int, {NUMBER}::bit(32)::int)");
    let holder = psql_holder(&server, &takes, "psql");
    assert_eq!(status(&lock).code(), Some(FREE));
    runs(&mut nonoverlap([&lock]));
    holder.end();
}

/// The number of the lock "job".
const NUMBER: &str = "hashtextextended('nonoverlap:job', 0)";

/// A psql that has run a statement under this name, and goes on until it is to end.
fn psql_holder(server: &Server, statement: &str, name: &str) -> Holder {
    let mut shell = Command::new("sh");
    // What the psql reads ends when the holder is to end.
    shell.args([
        "-c",
        "{ printf '%s' \"$0\"; exec cat; } | exec psql -XAtq -h 127.0.0.1 -d postgres \"$@\"",
    ]);
    shell.arg(format!("{statement} \\g /dev/null\n\\echo held\n"));
    shell.args([
        "-U",
        ROLE,
        "-v",
        "ON_ERROR_STOP=1",
        "-p",
        &server.port.to_string(),
    ]);
    Holder::start(without_variables(&mut shell).env("PGAPPNAME", name))
}

#[test]
fn a_role_that_may_not_see_since_when_sees_who() {
    let server = Server::start();
    server.sql("CREATE ROLE other LOGIN");
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let asked = as_other(&lock);
    let ended = status(&asked);
    let named = format!("{}, PID {}", host(), holder.pid());
    assert_eq!((ended.code(), &*ended.stderr()), (Some(HELD), ""));
    let said = ended.stdout();
    let rest = said.strip_prefix(&format!("{asked}: held by {named} ("));
    let command = rest
        .and_then(|rest| rest.split_once("); "))
        .unwrap_or_default();
    assert!(is_hold(command.0), "{ended:?}");
    assert_eq!(command.1, format!("{}\n", place(&server, "other")));
    let refused = nonoverlap(["-v", &asked]).args(RAN).run();
    assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
    assert!(refused.stderr().contains(&named), "{refused:?}");
    holder.end();
}

#[test]
fn what_cannot_be_told_is_4_with_the_reason() {
    let server = Server::start();
    let standby = standby_of(&server);
    let locks = [
        (standby.lock("job"), "it is a standby"),
        (
            "postgresql://127.0.0.1:1/#job".to_owned(),
            "Connection refused",
        ),
        ("postgresql://127.0.0.1:1/".to_owned(), "no lock name"),
        (
            server.lock("job").replace(ROLE, "nosuch"),
            "role \"nosuch\" does not exist",
        ),
    ];
    for (lock, why) in &locks {
        let ended = status(lock);
        let said = ended.stdout();
        assert_eq!((ended.code(), &*ended.stderr()), (Some(CANNOT_TELL), ""));
        let start = format!("{lock}: cannot tell: ");
        let told = said.strip_prefix(&start).unwrap_or_default();
        assert!(told.contains(why), "{ended:?}");
        assert_eq!(said.matches('\n').count(), 1, "{ended:?}");
        let ended = nonoverlap(["--json", "--status", lock]).run();
        assert_eq!(ended.code(), Some(CANNOT_TELL), "{ended:?}");
        assert!(ended.stdout().contains("\"told\":null,\"error\":\""));
    }
    // It is one of several hosts, perhaps.
    let place = place(&standby, ROLE);
    for options in [&["--status"][..], &["--json", "--status"]] {
        let ended = nonoverlap(options).arg(&locks[0].0).run();
        assert!(ended.stdout().contains(&format!("; {place}")), "{ended:?}");
    }
    // Held somewhere else, the standby still does not know.
    let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    assert_eq!(status(&locks[0].0).code(), Some(CANNOT_TELL));
    holder.end();
    nothing_is_left(&server);
    nothing_is_left(&standby);
}

#[test]
fn json_has_the_state_and_the_words() {
    let server = Server::start();
    let lock = server.lock("job");
    let json = || nonoverlap(["--json", "--status", &lock]).run();
    let free = json();
    assert_eq!((free.code(), &*free.stderr()), (Some(FREE), ""));
    let start = format!("{{\"path\":\"{lock}\",\"state\":\"free\",");
    assert!(free.stdout().starts_with(&start), "{free:?}");
    let told = format!("\"told\":\"free; {}\"", place(&server, ROLE));
    assert!(free.stdout().contains(&told), "{free:?}");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let held = json();
    assert_eq!((held.code(), &*held.stderr()), (Some(HELD), ""));
    let start = format!("{{\"path\":\"{lock}\",\"state\":\"held\",");
    assert!(held.stdout().starts_with(&start), "{held:?}");
    let named = format!("{}, PID {} (", host(), holder.pid());
    for part in [
        format!("\"holders\":[{{\"told\":\"{named}"),
        format!(",\"told\":\"held by {named}"),
        "\"held_for\":".to_owned(),
    ] {
        assert!(held.stdout().contains(&part), "{part}: {held:?}");
    }
    assert!(!held.stdout().contains("\"held_for\":null"), "{held:?}");
    holder.end();
}

#[test]
fn asking_takes_no_lock_and_refuses_nobody() {
    let server = Server::start();
    let lock = server.lock("job");
    let is_over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                let ended = status(&lock);
                assert!(matches!(ended.code(), Some(HELD | FREE)), "{ended:?}");
                times += 1;
            }
            times
        });
        let runs = (0..100).map(|_| {
            let ended = nonoverlap(["-v", &lock]).args(RAN).run();
            // The server hears of a run's end when it looks, which is later on a busy machine.
            let by_us = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                WHERE locktype = 'advisory' AND application_name NOT LIKE '%--status%'";
            eventually("it is free", || server.sql(by_us) == "0");
            ended
        });
        let refused: Vec<_> = runs.filter(|ended| ended.code() != Some(0)).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(refused.is_empty(), "{refused:?}");
        asker.join().unwrap()
    });
    assert!(asked > 10, "{asked}");
    runs(&mut nonoverlap([&lock]));
    nothing_is_left(&server);
}
