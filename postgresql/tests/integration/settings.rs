//! Promises about a role that has settings of its own: they neither end the lock nor cut a wait, and
//! what they are was not our user's choice.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::harness::{HOLD, Holder, Run, eventually, has_tool};
use crate::refusal::{RAN, nothing_is_left, runs};
use crate::server::{ADMIN, ROLE, Server, nonoverlap, psql_at};

/// A server whose role has these settings.
fn with(settings: &[&str]) -> Server {
    let server = Server::with("log_connections = on");
    for setting in settings {
        server.sql(&format!("ALTER ROLE {ROLE} SET {setting}"));
    }
    server
}

/// A session of the role's that does nothing, ended when this goes out of scope.
struct Idler(Child);

impl Idler {
    fn start(server: &Server) -> Idler {
        let mut psql = psql_at(ROLE, server.port);
        psql.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = psql.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        Idler(child)
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that waits for a lock, ended when this goes out of scope.
struct Waiting(Option<Child>);

impl Waiting {
    /// Returns when it has been refused once.
    fn start(server: &Server, wait: &str) -> Waiting {
        let mut command = nonoverlap(["-w", wait, &server.lock("job")]);
        command
            .args(RAN)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = child.id();
        let waiting = Waiting(Some(child));
        eventually("it waits", || server.waits(pid));
        waiting
    }

    fn end(mut self) -> (Option<i32>, String, String) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn an_idle_session_timeout_does_not_end_the_lock() {
    let server = with(&["idle_session_timeout = '500ms'"]);
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    // It began later, and is ended.
    let _idler = Idler::start(&server);
    eventually("the idle session is ended", || {
        server
            .log()
            .contains("terminating connection due to idle-session timeout")
    });
    nonoverlap([&*lock]).args(RAN).run().expect(1, "", "");
    assert_eq!(holder.end().code(), Some(0));
    runs(&mut nonoverlap([&lock]));
}

#[test]
fn a_short_lock_timeout_or_statement_timeout_does_not_cut_a_wait() {
    for setting in ["lock_timeout", "statement_timeout"] {
        let server = with(&[&format!("{setting} = '300ms'")]);
        for wait in ["50", "inf"] {
            let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
            let waiting = Waiting::start(&server, wait);
            // It began to wait later, and is cut.
            let statement = "SELECT pg_advisory_lock(hashtextextended('nonoverlap:job', 0))";
            let cut = server.psql(ROLE, statement);
            assert!(
                cut.stderr().contains("canceling statement due to"),
                "{cut:?}"
            );
            holder.end();
            let ran = (Some(0), "ran\n".to_owned(), String::new());
            assert_eq!(waiting.end(), ran, "{setting}");
        }
        nothing_is_left(&server);
    }
}

#[test]
fn a_wait_is_as_long_as_it_was_asked_for_whatever_the_role_has() {
    let server = with(&["lock_timeout = '1h'", "statement_timeout = '1h'"]);
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    nonoverlap(["-w", "0.2", &lock])
        .args(RAN)
        .run()
        .expect(1, "", "");
    holder.end();
}

#[test]
fn a_role_that_may_only_read_and_has_a_name_for_its_sessions_has_the_lock_under_ours() {
    let server = with(&[
        "default_transaction_read_only = on",
        "application_name = 'elsewhere'",
        "default_transaction_isolation = 'serializable'",
        "search_path = ''",
        "row_security = off",
        "client_encoding = 'LATIN1'",
        "DateStyle = 'German'",
        "IntervalStyle = 'iso_8601'",
        "bytea_output = 'escape'",
    ]);
    let lock = server.lock("Jöb");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let refused = nonoverlap(["-v", &lock]).args(RAN).run();
    assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
    let named = format!("PID {} (", holder.pid());
    assert!(refused.stderr().contains(&named), "{refused:?}");
    holder.end();
    // Nor has the caller's environment or TARGET another one.
    let lock = lock.replace('#', "?application_name=mine#");
    let mut command = nonoverlap([&lock]);
    let holder = Holder::start(command.args(HOLD).env("PGAPPNAME", "mine"));
    let refused = nonoverlap(["-v", &lock]).args(RAN).run();
    let named = format!("PID {} (", holder.pid());
    assert!(refused.stderr().contains(&named), "{refused:?}");
    // The name has the same letters for a role that has nothing of all this.
    let other = lock.replacen(ROLE, ADMIN, 1);
    nonoverlap([&*other]).args(RAN).run().expect(1, "", "");
    holder.end();
    nothing_is_left(&server);
}

#[test]
fn the_server_looks_after_us_though_the_role_has_it_wait_for_hours() {
    if !has_tool("ss", "how long the server's timers are") {
        return;
    }
    let server = with(&["tcp_keepalives_idle = 7200", "tcp_keepalives_interval = 75"]);
    // A command that may live on for long when it has been told has the server wait for as long.
    let times = [
        (&[][..], 0.0..=6.0),
        (&["--kill-after", "11"], 0.0..=6.0),
        (&["--kill-after", "59.5"], 45.0..=55.0),
    ];
    for (options, time) in times {
        let mut holder = nonoverlap(options);
        let holder = Holder::start(holder.arg(server.lock("job")).args(HOLD));
        let mut sockets = Command::new("ss");
        let filter = format!("sport = :{}", server.port);
        sockets.args(["-tnoH", "state", "established", &filter]);
        // It is the time left, as in "5.2sec" or "119min"; another timer runs while an answer is on its
        // way.
        eventually("the server asks after that time", || {
            let seen = sockets.run().stdout();
            let timer = seen.split("timer:(keepalive,").nth(1);
            let left = timer.and_then(|timer| timer.split(',').next());
            let left = left.and_then(|left| left.strip_suffix("sec")?.parse().ok());
            left.is_some_and(|left: f64| time.contains(&left))
        });
        holder.end();
        server.until_free("job");
    }
}

#[test]
fn a_run_that_succeeds_says_nothing_though_the_server_warns_of_something() {
    let server = with(&[&format!("role = '{ADMIN}'")]);
    let warned = server.psql(ROLE, "SELECT 1");
    let warning = "permission denied to set role";
    assert!(warned.stderr().contains(warning), "{warned:?}");
    let lock = server.lock("job");
    runs(&mut nonoverlap([&lock]));
    let status = nonoverlap(["--status", &lock]).run();
    assert_eq!((status.code(), &*status.stderr()), (Some(3), ""));
}
