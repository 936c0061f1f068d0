//! Promises about those who wait: what they leave alone, and when they ask.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, Stopped, eventually};
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
    let waiters = Waiters::start(&server, &[&["-w", "50"], &["-b"], &["-s", "-b"]]);
    let start = Instant::now();
    assert!(job.end().success());
    assert!(
        start.elapsed() < Duration::from_secs(20),
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
            let session = format!(
                "FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap % {} %'",
                waiter.id()
            );
            let seen = server.sql(&format!(
                "SELECT state_change, state, backend_xmin, backend_xid, xact_start,
                    (SELECT count(*) FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid)
                {session}"
            ));
            let (since, seen) = seen.split_once('|').unwrap();
            // It may have begun to ask between two parts of one look.
            let is_of_one_moment =
                || server.sql(&format!("SELECT state_change {session}")) == since;
            if seen.starts_with("idle|") && seen != "idle||||0" && !is_of_one_moment() {
                continue;
            }
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
    let server =
        Server::with("log_statement = all\nlog_disconnections = on\nlog_line_prefix = '%a|'");
    let lock = server.lock("job");
    let mut times = Vec::new();
    for _ in 0..4 {
        let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
        let mut waiters = Waiters::start(&server, &[&["-b"]]);
        let [of_holder, of_waiter] =
            [holder.pid(), waiters.0[0].id()].map(|pid| format!(" {pid} "));
        let start = Instant::now();
        assert!(holder.end().success());
        assert!(waiters.0[0].wait().unwrap().success());
        times.push(start.elapsed());
        server.until_free("job");
        // A session that has gone has no lock. So the first question after that is the last one,
        // but for the one whether the lock is there.
        eventually("the holder's session has gone", || {
            is_said(&server.log(), &of_holder, "disconnection: ")
        });
        let log = server.log();
        let free = log
            .lines()
            .skip_while(|line| !is_said(line, &of_holder, "disconnection: "));
        let asked = free.filter(|line| is_said(line, &of_waiter, "execute "));
        assert!(asked.count() <= 2, "{log}");
    }
    times.sort();
    println!("free to served: {times:?}");
    // A second and the end of two programs. Some have to be in time on a machine that has more to do.
    assert!(times[1] < Duration::from_millis(2500), "{times:?}");
    assert!(times[3] < Duration::from_secs(10), "{times:?}");
}

/// Whether a line of a server's log is of the session of this process, and says this.
fn is_said(log: &str, of_process: &str, what: &str) -> bool {
    log.lines().any(|line| {
        let (name, said) = line.split_once('|').unwrap_or_default();
        name.contains(of_process) && said.contains(what)
    })
}

/// At once, after a part of a second, each second after that, and at the deadline.
///
/// A question may come late on a machine that has more to do, and others are left out then. So there
/// are several tries, of which one has to show it all, and each that none comes early.
#[test]
fn who_waits_asks_once_a_second_and_once_at_the_deadline() {
    let server = Server::with("log_statement = all\nlog_line_prefix = '%n %a|'");
    let _holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    let mut tries = Vec::new();
    while !tries.iter().any(is_in_time) {
        assert!(tries.len() < 10, "{tries:?}");
        let pauses = pauses_of_a_wait(&server);
        assert!(pauses.1.len() <= 4, "{pauses:?}");
        let turns = pauses.1.len().saturating_sub(2);
        let mut turns = pauses.1.iter().skip(1).take(turns);
        assert!(turns.all(|turn| *turn >= 0.9), "{pauses:?}");
        tries.push(pauses);
    }
}

/// Whether these are the questions of a wait of 2.5 s. The last pause is shorter than a turn, so the
/// last question is the one of the deadline.
fn is_in_time((time, pauses): &(f64, Vec<f64>)) -> bool {
    let all: f64 = pauses.iter().sum();
    (2.5..4.0).contains(time)
        && (3..=4).contains(&pauses.len())
        && pauses[0] < 1.5
        && (0.9..1.5).contains(&pauses[1])
        && pauses[pauses.len() - 1] < 0.9
        && (2.45..2.8).contains(&all)
}

/// How long a refused run with `-w 2.5` took, and the pauses between its questions, by the server's log.
#[track_caller]
fn pauses_of_a_wait(server: &Server) -> (f64, Vec<f64>) {
    let mut refused = nonoverlap(["-w", "2.5", &server.lock("job")]);
    let start = Instant::now();
    let mut refused = refused.arg("true").spawn().unwrap();
    let pid = refused.id();
    assert_eq!(refused.wait().unwrap().code(), Some(1));
    let time = start.elapsed().as_secs_f64();
    assert!(time >= 2.5, "{time}");
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
    (time, moments.windows(2).map(|it| it[1] - it[0]).collect())
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
    assert!((1.5..12.0).contains(&time), "{time}");
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

/// As where its machine is paused.
#[test]
fn who_waits_asks_anew_where_a_session_does_not_answer() {
    let server = Server::start();
    let holder = Holder::start(nonoverlap([&server.lock("job")]).args(HOLD));
    let mut waiters = Waiters::start(&server, &[&["-w", "50"], &["-b"]]);
    let sessions = server.sql(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap %'
            AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    );
    let sessions = sessions.lines().map(|pid| pid.parse().unwrap());
    let stopped: Vec<_> = sessions.map(Stopped::new).collect();
    assert_eq!(stopped.len(), 2);
    holder.end();
    for waiter in &mut waiters.0 {
        assert_eq!(waiter.wait().unwrap().code(), Some(0));
    }
    drop(stopped);
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
