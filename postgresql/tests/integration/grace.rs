//! Promises about a server that has just started: it has forgotten its locks, and gives none while a
//! holder may not know that yet. Most servers of the tests say that they are older than they are.

use std::time::{Duration, Instant};

use crate::harness::{Ended, Run};
use crate::refusal::{refused_by, runs};
use crate::server::{ROLE, Server, helper, nonoverlap};

/// How old a server has to be, in seconds.
const GRACE: f64 = 20.0;

/// What a command says in place of "ran": how old the server is.
fn tells_the_age(server: &Server, options: &[&str]) -> f64 {
    let mut psql = server.psql_command(
        ROLE,
        "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())",
    );
    let mut run = nonoverlap(options);
    run.arg(server.lock("job"));
    run.arg(psql.get_program()).args(psql.get_args());
    // It can be asked without nonoverlap.
    assert_eq!(psql.run().code(), Some(0));
    let ended = run.run();
    assert_eq!((ended.code(), &*ended.stderr()), (Some(0), ""), "{ended:?}");
    ended.stdout().trim_end().parse().unwrap()
}

/// For how many seconds there is no lock, by what was said.
fn left(ended: &Ended) -> u32 {
    let said = ended.stdout() + &ended.stderr();
    let left = said.split("no lock for ").nth(1).unwrap_or_default();
    let left = left.split_once("s more").unwrap_or_default().0;
    left.parse().unwrap_or_else(|_| panic!("{ended:?}"))
}

#[test]
fn a_server_that_has_just_started_gives_no_lock_for_20_s_and_who_waits_gets_it_then() {
    let server = Server::start();
    server.tell_the_true_age();
    server.control(&["restart", "-m", "immediate"]);
    let lock = server.lock("job");
    let start = "the server started ";
    let ended = refused_by(&mut nonoverlap([&lock]), &lock, 69, start);
    assert!((10..=20).contains(&left(&ended)), "{ended:?}");
    // Its jobs end later, so its locks have to be forgotten for longer.
    let mut longer = nonoverlap(["--kill-after", "34.5", &lock]);
    let ended = refused_by(&mut longer, &lock, 69, start);
    assert!((40..=50).contains(&left(&ended)), "{ended:?}");
    let mut waits = nonoverlap(["-w", "0.3", &lock]);
    let ended = refused_by(&mut waits, &lock, 69, start);
    assert!((10..=20).contains(&left(&ended)), "{ended:?}");
    let status = nonoverlap(["--status", &lock]).run();
    assert_eq!(status.code(), Some(3), "{status:?}");
    assert!((10..=20).contains(&left(&status)), "{status:?}");
    let age = tells_the_age(&server, &["-w", "50"]);
    assert!((GRACE..GRACE + 10.0).contains(&age), "{age}");
    server.until_free("job");
    runs(&mut nonoverlap([&lock]));
    let status = helper(["--status", &lock]).run();
    assert!(!status.stdout().contains("no lock for"), "{status:?}");
}

#[test]
fn a_wait_without_end_waits_for_the_end_of_it_too() {
    let server = Server::start();
    server.tell_the_true_age();
    server.control(&["restart"]);
    let age = tells_the_age(&server, &["-b"]);
    assert!((GRACE..GRACE + 10.0).contains(&age), "{age}");
}

/// It started in the time to come. Whoever waits for long enough has seen itself that it is old.
#[test]
fn a_server_whose_clock_was_set_back_refuses_but_not_for_ever() {
    let server = Server::start();
    server.sql(
        "SET allow_system_table_mods = on;
        CREATE OR REPLACE FUNCTION pg_catalog.pg_postmaster_start_time() RETURNS timestamptz
            LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + '1 day' $$",
    );
    let lock = server.lock("job");
    let why = "the server's clock was set back to before its start: no lock for 1d00h more, except for a \
               run that waits for 20s";
    refused_by(&mut nonoverlap([&lock]), &lock, 69, why);
    refused_by(&mut nonoverlap(["-w", "1", &lock]), &lock, 69, why);
    let start = Instant::now();
    runs(&mut nonoverlap(["-w", "50", &lock]));
    assert!(start.elapsed() >= Duration::from_secs_f64(GRACE));
    refused_by(&mut nonoverlap([&lock]), &lock, 69, why);
}
