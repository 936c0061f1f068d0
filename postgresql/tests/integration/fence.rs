//! Promises about NONOVERLAP_FENCE: a number that grows from holder to holder, whatever becomes of the
//! server, and what it writes to can refuse the late one by.

use std::fs;
use std::path::Path;

use crate::harness::{Holder, Run};
use crate::server::{ROLE, Server, nonoverlap};
use crate::unsuitable::standby_of;

/// Says the fence.
const TELL: [&str; 3] = ["sh", "-c", "echo \"$NONOVERLAP_FENCE\""];

/// The fence of a run with these options.
#[track_caller]
fn fence(server: &Server, options: &[&str]) -> String {
    let mut run = nonoverlap(options);
    let ended = run.arg(server.lock("job")).args(TELL).run();
    assert_eq!((ended.code(), &*ended.stderr()), (Some(0), ""), "{ended:?}");
    let fence = ended.stdout().trim_end().to_owned();
    let is_digits = fence.bytes().all(|byte| byte.is_ascii_digit());
    assert!(fence.len() == 30 && is_digits, "{ended:?}");
    server.until_free("job");
    fence
}

#[track_caller]
fn assert_grows(fences: &[String]) {
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:#?}");
    let numbers: Vec<u128> = fences.iter().map(|fence| fence.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{fences:#?}");
}

#[test]
fn the_fence_grows_from_holder_to_holder_and_is_timeline_and_transaction() {
    let server = Server::start();
    let before: u64 = server.sql("SELECT txid_current()").parse().unwrap();
    let options: [&[&str]; 5] = [&[], &["-w", "5"], &["-b"], &["--shared"], &["--close"]];
    let fences: Vec<_> = options.iter().map(|it| fence(&server, it)).collect();
    let after: u64 = server.sql("SELECT txid_current()").parse().unwrap();
    assert_grows(&fences);
    for fence in &fences {
        let (timeline, number) = fence.split_at(10);
        assert_eq!(timeline, "0000000001");
        let number = number.parse().unwrap();
        assert!((before + 1..after).contains(&number), "{fence}");
    }
}

/// A crash forgets what was not written yet. A role may have asked for that.
#[test]
fn the_fence_grows_over_a_restart_and_a_crash_right_after() {
    let server = Server::start();
    server.sql(&format!("ALTER ROLE {ROLE} SET synchronous_commit = off"));
    let mut fences = Vec::new();
    for mode in ["fast", "immediate", "immediate", "immediate", "fast"] {
        let mut run = nonoverlap([&server.lock("job")]);
        let ended = run.args(TELL).run();
        server.control(&["restart", "-m", mode]);
        fences.push(ended.stdout().trim_end().to_owned());
    }
    assert_grows(&fences);
}

/// A role that may only read has one, too.
#[test]
fn a_role_that_may_only_read_has_a_fence() {
    let server = Server::start();
    server.sql(&format!(
        "ALTER ROLE {ROLE} SET default_transaction_read_only = on"
    ));
    server.sql(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON DATABASE postgres FROM PUBLIC",
    );
    server.sql(&format!("GRANT CONNECT ON DATABASE postgres TO {ROLE}"));
    assert_grows(&[fence(&server, &[]), fence(&server, &[])]);
}

/// The standby had not heard of the last transactions, so it gives their numbers once more.
#[test]
fn the_fence_grows_over_a_failover_to_a_standby_that_was_behind() {
    let primary = Server::start();
    let standby = standby_of(&primary);
    standby.control(&["stop"]);
    let mut fences: Vec<_> = (0..5).map(|_| fence(&primary, &[])).collect();
    primary.control(&["stop", "-m", "immediate"]);
    standby.control(&["start"]);
    standby.control(&["promote"]);
    fences.push(fence(&standby, &[]));
    let number = |fence: &String| fence.split_at(10).1.to_owned();
    assert!(number(&fences[4]) > number(&fences[5]), "{fences:#?}");
    assert_grows(&fences);
}

#[test]
fn what_cannot_have_a_fence_has_no_lock() {
    let server = Server::start();
    server.sql("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM public");
    let lock = server.lock("job");
    let why = "the server cannot hold such a lock: permission denied for function pg_walfile_name";
    crate::refusal::refused(&lock, 78, why);
    crate::refusal::nothing_is_left(&server);
}

/// The first holder has lost its lock and does not care.
#[test]
fn by_the_manuals_recipe_a_table_refuses_the_late_one() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man/nonoverlap-postgresql.1");
    let manual = fs::read_to_string(manual).unwrap();
    let recipe = |start: &str| {
        let from = manual.find(start).unwrap_or_else(|| panic!("no {start}"));
        manual[from..]
            .split(".Ed")
            .next()
            .unwrap()
            .replace("\\e", "\\")
    };
    let server = Server::start();
    server.sql(&recipe("CREATE TABLE public.report"));
    server.sql(&format!("GRANT SELECT, UPDATE ON report TO {ROLE}"));
    let file = server
        .scene
        .file("report.sql", recipe("UPDATE public.report"));
    let psql = server.psql_command(ROLE, "SELECT 1");
    let writes = |total: &str| {
        let script = "echo held; read -r go
            exec \"$@\" -v fence=\"$NONOVERLAP_FENCE\"";
        let mut run = nonoverlap(["--on-lost", "ignore", &server.lock("job")]);
        run.args(["sh", "-c", script, "sh"]).arg(psql.get_program());
        run.args(psql.get_args()).arg("-f").arg(&file);
        run.args(["-v", &format!("total={total}")]);
        Holder::start(&mut run)
    };
    let total = || server.sql("SELECT total FROM report");
    let late = writes("1");
    let ended = server.sql(&format!(
        "SELECT pg_terminate_backend({})",
        server.backend("job")
    ));
    assert_eq!(ended, "t");
    server.until_free("job");
    let in_time = writes("2");
    assert!(in_time.end().success());
    assert_eq!(total(), "2");
    assert!(late.end().success());
    assert_eq!(total(), "2");
    // The next one is later than both.
    server.until_free("job");
    assert!(writes("3").end().success());
    assert_eq!(total(), "3");
}
