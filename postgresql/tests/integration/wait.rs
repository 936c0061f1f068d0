//! Promises about those who wait: what they leave alone, and when they ask.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, eventually};
use crate::refusal::{nothing_is_left, refused_by};
use crate::refused::UNKNOWN;
use crate::server::{ADMIN, ROLE, Server, nonoverlap};

/// Runs that wait for the lock "job", ended when this goes out of scope.
struct Waiters(Vec<Child>);

impl Waiters {
    #[track_caller]
    fn start(server: &Server, all_options: &[&[&str]]) -> Waiters {
        let mut waiters = Waiters(Vec::new());
        for options in all_options {
            let mut run = nonoverlap(*options);
            run.arg(server.lock("job")).arg("true").stdin(Stdio::null());
            let child = run.spawn().unwrap();
            let pid = child.id();
            waiters.0.push(child);
            eventually("it waits", || server.waits(pid));
        }
        waiters
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        for waiter in &mut self.0 {
            let _ = waiter.kill();
            let _ = waiter.wait();
        }
    }
}

/// It waits for the end of every snapshot that is older than itself.
#[test]
fn an_index_that_the_job_builds_concurrently_is_not_held_up_by_who_waits() {
    let server = Server::start();
    server.sql("CREATE TABLE seen (number int)");
    let psql = server.psql_command(ADMIN, "CREATE INDEX CONCURRENTLY ON seen (number)");
    let mut job = nonoverlap([server.lock("job")]);
    job.args(["sh", "-c", "echo held; read -r go; exec \"$@\"", "sh"]);
    job.arg(psql.get_program()).args(psql.get_args());
    let job = Holder::start(&mut job);
    let waiters = Waiters::start(&server, &[&["-w", "12"], &["-b"], &["-s", "-b"]]);
    let start = Instant::now();
    assert!(job.end().success());
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    drop(waiters);
}

#[test]
fn who_waits_has_no_snapshot_no_transaction_and_no_lock() {
    let server = Server::start();
    let _holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    let waiters = Waiters::start(&server, &[&["-b"], &["-w", "50"]]);
    let (mut asleep, mut looks) = (0, 0);
    while looks < 40 {
        for waiter in &waiters.0 {
            let seen = server.sql(&format!(
                "SELECT state, backend_xmin, backend_xid, xact_start,
                    (SELECT count(*) FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid)
                FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap % {} %'",
                waiter.id()
            ));
            looks += 1;
            // Now and then it asks.
            match seen.starts_with("idle|") {
                true => {
                    assert_eq!(seen, "idle||||0");
                    asleep += 1;
                }
                false => assert!(seen.starts_with("active|"), "{seen}"),
            }
        }
    }
    assert!(asleep > 30, "{asleep} of {looks}");
}

#[test]
fn who_waits_has_the_lock_about_a_second_after_it_is_free() {
    let server = Server::start();
    let lock = server.lock("job");
    let mut times = Vec::new();
    for _ in 0..4 {
        let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
        let mut waiters = Waiters::start(&server, &[&["-b"]]);
        let start = Instant::now();
        assert!(holder.end().success());
        assert!(waiters.0[0].wait().unwrap().success());
        times.push(start.elapsed());
        server.until_free("job");
    }
    // A second, the end of two programs, and a machine that has more to do.
    assert!(
        times.iter().all(|time| *time < Duration::from_millis(2500)),
        "{times:?}"
    );
    times.sort();
    println!("free to served: {times:?}");
}

/// At once, after a part of a second, each second after that, and at the deadline.
#[test]
fn who_waits_asks_once_a_second_and_once_at_the_deadline() {
    let server = Server::with("log_statement = all\nlog_line_prefix = '%n %a|'");
    let _holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    let mut refused = nonoverlap(["-w", "2.5", &server.lock("job")]);
    let start = Instant::now();
    let mut refused = refused.arg("true").spawn().unwrap();
    let pid = refused.id();
    assert_eq!(refused.wait().unwrap().code(), Some(1));
    let time = start.elapsed().as_secs_f64();
    assert!((2.5..4.0).contains(&time), "{time}");
    let log = server.log();
    let of_it = format!(" {pid} ");
    let asked = log.lines().filter(|line| {
        line.contains(" nonoverlap ") && line.contains(&of_it) && line.contains("execute ")
    });
    let moments: Vec<f64> = asked
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // The last two are of the deadline: the lock, and who has it.
    let (_, moments) = moments.split_last().unwrap();
    let pauses: Vec<_> = moments.windows(2).map(|it| it[1] - it[0]).collect();
    assert!((3..=4).contains(&pauses.len()), "{pauses:?}");
    assert!(pauses[0] < 1.5, "{pauses:?}");
    assert!((0.9..1.5).contains(&pauses[1]), "{pauses:?}");
    let all: f64 = pauses.iter().sum();
    assert!((2.45..2.8).contains(&all), "{pauses:?}");
}

/// It is a restart that somebody has planned, and the wait is not over.
#[test]
fn a_restart_costs_who_waits_nothing_but_time() {
    let server = Server::start();
    for mode in ["fast", "immediate"] {
        let holder = Holder::start(nonoverlap([&server.lock("job")]).args(HOLD));
        let waiters = Waiters::start(&server, &[&["-w", "50"], &["-b"]]);
        server.control(&["stop", "-m", mode]);
        // The job is ended, too.
        drop(holder);
        assert_eq!(away_for_two_turns(waiters, &server), [Some(0), Some(0)]);
        nothing_is_left(&server);
    }
}

/// How those end who wait while nobody listens for two turns, and then somebody does.
fn away_for_two_turns(mut waiters: Waiters, server: &Server) -> [Option<i32>; 2] {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        for waiter in &mut waiters.0 {
            let ended = waiter.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    server.control(&["start"]);
    [0, 1].map(|index| waiters.0[index].wait().unwrap().code())
}

#[test]
fn a_wait_that_begins_while_the_server_is_away_is_one_for_the_server_too() {
    let server = Server::start();
    server.control(&["stop", "-m", "fast"]);
    let mut waiters = Waiters(Vec::new());
    for options in [&["-w", "50"][..], &["-b"]] {
        let mut run = nonoverlap(options);
        run.arg(server.lock("job")).arg("true").stdin(Stdio::null());
        waiters.0.push(run.spawn().unwrap());
    }
    assert_eq!(away_for_two_turns(waiters, &server), [Some(0), Some(0)]);
    nothing_is_left(&server);
}

#[test]
fn a_wait_for_a_server_that_stays_away_is_69_at_its_end() {
    let nobody = "postgresql://127.0.0.1:1/postgres#job";
    let start = Instant::now();
    let mut run = nonoverlap(["-w", "1.5", nobody]);
    refused_by(&mut run, nobody, 69, "Connection refused");
    let time = start.elapsed().as_secs_f64();
    assert!((1.5..6.0).contains(&time), "{time}");
}

/// It is what the server does to all sessions when it stops, and the same for who asks.
#[test]
fn who_waits_asks_again_after_somebody_has_ended_its_session() {
    let server = Server::start();
    let holder = Holder::start(nonoverlap([&server.lock("job")]).args(HOLD));
    let mut waiters = Waiters::start(&server, &[&["-w", "50"], &["-b"]]);
    let ended = server.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE query ~ 'set_config'
            AND pid <> pg_backend_pid() AND pid NOT IN
                (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    );
    assert_eq!(ended, "2");
    for waiter in &waiters.0 {
        eventually("it waits again", || server.waits(waiter.id()));
    }
    holder.end();
    for waiter in &mut waiters.0 {
        assert_eq!(waiter.wait().unwrap().code(), Some(0));
    }
    nothing_is_left(&server);
}

#[test]
fn who_waits_is_refused_at_once_by_what_does_not_pass() {
    let server = Server::start();
    let lock = server.lock("job");
    let start = Instant::now();
    let wrong = [
        (
            lock.replace(ROLE, "nosuch"),
            69,
            "role \"nosuch\" does not exist",
        ),
        (
            lock.replace("/postgres", "/nosuch"),
            69,
            "database \"nosuch\" does not exist",
        ),
        (
            format!("postgresql://{UNKNOWN}/#job"),
            69,
            "could not translate host name",
        ),
    ];
    for (lock, status, why) in wrong {
        for options in [&["-w", "50"][..], &["-b"]] {
            refused_by(nonoverlap(options).arg(&lock), &lock, status, why);
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
