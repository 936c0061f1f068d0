//! Promises about a lock that is lost while the command runs: the kernel tells the command, at once,
//! and never tells it of anything else.

// Elsewhere nothing tells (src/sys/lost/none.rs of nonoverlap).
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, Run, eventually, is_root, kill, left_out};
use crate::server::{ADMIN, ROLE, Server, nonoverlap};

/// How late a command may hear of it here. It is promised milliseconds, on a machine that has time; what
/// causes it is a program that must start first. Without a signal it would not be told at all, and
/// that the kernel gives up a silent connection takes longer.
const LATEST: Duration = Duration::from_secs(10);

/// The same, where it has happened many times: one of them is not disturbed.
const QUICKEST: Duration = Duration::from_secs(1);

/// In place of a signal: only waits for the end.
const NO_SIGNAL: i32 = 0;

#[test]
fn a_terminated_backend_ends_the_command_by_sigterm_at_once() {
    let server = Server::start();
    let lock = server.lock("job");
    let mut times = Vec::new();
    for _ in 0..20 {
        let holder = hold(&[&lock]);
        let mut terminate = server.psql_command(ADMIN, &terminate(&server));
        let (status, time) = told(holder, || terminate.run().expect(0, "t\n", ""));
        assert_eq!(status.signal(), Some(libc::SIGTERM));
        assert!(time < LATEST, "{time:?}");
        times.push(time);
        server.until_free("job");
    }
    assert!(times.iter().min() < Some(&QUICKEST), "{times:?}");
}

#[test]
fn a_server_that_stops_fast_or_immediately_ends_the_command_by_sigterm_at_once() {
    let server = Server::start();
    let lock = server.lock("job");
    for mode in ["fast", "immediate"] {
        let holder = hold(&[&lock]);
        let (status, time) = told(holder, || server.control(&["stop", "-m", mode]));
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{mode}");
        assert!(time < LATEST, "{mode}: {time:?}");
        // Nothing runs while there is no server.
        let run = nonoverlap([&*lock, "echo", "ran"]).run();
        assert_eq!((run.code(), &*run.stdout()), (Some(69), ""), "{run:?}");
        server.control(&["start"]);
    }
}

#[test]
fn a_server_that_is_restarted_ends_the_command_by_sigterm_at_once_and_has_a_free_lock() {
    let server = Server::start();
    let lock = server.lock("job");
    for mode in ["fast", "immediate"] {
        let holder = hold(&[&lock]);
        let (status, time) = told(holder, || server.control(&["restart", "-m", mode]));
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{mode}");
        assert!(time < LATEST, "{mode}: {time:?}");
        nonoverlap([&*lock, "true"]).run().expect(0, "", "");
    }
}

/// Such a stop waits for the sessions to end by themselves. So the lock is not lost.
#[test]
fn a_server_that_stops_smartly_waits_for_the_command() {
    let server = Server::start();
    let holder = hold(&[&server.lock("job")]);
    let asked = ["stop", "-m", "smart", "--no-wait"];
    server.control(&asked);
    eventually("it takes nobody any more", || {
        server.psql(ADMIN, "").code() != Some(0)
    });
    assert!(holder.end().success());
    eventually("it has stopped", || {
        !server.data().join("postmaster.pid").exists()
    });
}

/// A server tells its clients of some settings, and a byte from the server is what tells the command
/// of a loss.
#[test]
fn a_reload_with_changed_settings_is_never_told() {
    let server = Server::start();
    let holder = hold(&[&server.lock("job")]);
    for zone in ["Asia/Tokyo", "America/Lima"] {
        let settings = format!(
            "TimeZone = '{zone}'\nDateStyle = 'SQL, DMY'\nIntervalStyle = 'iso_8601'\n\
            default_transaction_read_only = on\nlog_min_messages = debug1\nlog_connections = on\n\
            log_disconnections = on\nlog_statement = all\nclient_min_messages = debug1\n\
            tcp_keepalives_idle = 1\nlock_timeout = '1ms'\n\
            statement_timeout = '1min'\n"
        );
        server.append("postgresql.conf", &settings);
        server.control(&["reload"]);
        eventually("the settings are there", || {
            server.sql("SHOW TimeZone") == zone
        });
        has_not_been_told(&server, &holder);
    }
    assert!(holder.end().success());
}

/// What else a server does to a session that does nothing.
#[test]
fn a_cancel_request_a_checkpoint_and_other_sessions_are_never_told() {
    let server = Server::start();
    let holder = hold(&[&server.lock("job")]);
    let cancel = format!("SELECT pg_cancel_backend({})", server.backend("job"));
    assert_eq!(server.sql(&cancel), "t");
    server.sql("CHECKPOINT");
    server.sql("CREATE TABLE seen (number int); NOTIFY job; DROP TABLE seen");
    server.sql("VACUUM pg_class");
    has_not_been_told(&server, &holder);
    assert!(holder.end().success());
}

/// Such as one that an administrator set for the people who forget their sessions.
#[test]
fn a_roles_time_for_idle_sessions_does_not_end_a_lock() {
    let server = Server::start();
    server.sql(&format!(
        "ALTER ROLE {ROLE} SET idle_session_timeout = '2s'"
    ));
    let holder = hold(&[&server.lock("job")]);
    // It has not our settings, and is idle after us.
    let mut idle = server.psql_command(ROLE, "SELECT 'held'");
    let idle = Holder::start(idle.args(["-f", "-"]));
    eventually("a session of psql is ended for being idle", || {
        let of_psql = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'psql' AND pid <> pg_backend_pid()";
        server.sql(of_psql) == "0"
    });
    drop(idle);
    has_not_been_told(&server, &holder);
    assert!(holder.end().success());
}

#[test]
fn on_lost_kill_reaches_a_stopped_command() {
    let server = Server::start();
    let lock = server.lock("job");
    // A SIGTERM that does not reach it would be followed by SIGKILL after 5 s.
    let is_soon = |_| {
        let holder = hold(&["--on-lost", "kill", &lock]);
        kill(holder.pid(), libc::SIGSTOP);
        eventually("it is stopped", || state(holder.pid()) == "T");
        let (status, time) = told(holder, || assert_eq!(server.sql(&terminate(&server)), "t"));
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(time < LATEST, "{time:?}");
        server.until_free("job");
        time < Duration::from_secs(3)
    };
    assert!((0..5).any(is_soon));
}

/// It is woken for that.
#[test]
fn a_stopped_command_is_ended_by_sigterm() {
    let server = Server::start();
    let mut holder = hold(&["--on-lost", "term", &server.lock("job")]);
    kill(holder.pid(), libc::SIGSTOP);
    eventually("it is stopped", || state(holder.pid()) == "T");
    assert_eq!(server.sql(&terminate(&server)), "t");
    eventually("it has ended", || holder.has_ended());
    assert_eq!(holder.end().signal(), Some(libc::SIGTERM));
}

#[test]
fn on_lost_ignore_lets_the_command_run_on_without_the_lock() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = hold(&["--on-lost", "ignore", &lock]);
    assert_eq!(server.sql(&terminate(&server)), "t");
    server.until_free("job");
    // The other one has the lock, so the first has lost it, and runs.
    let other = hold(&[&lock]);
    assert_eq!(state(holder.pid()), "S");
    assert!(holder.end().success());
    assert!(other.end().success());
}

/// A command that has something to tidy up can.
#[test]
fn a_command_that_catches_the_signal_goes_its_own_way() {
    let server = Server::start();
    let mut command = nonoverlap([server.lock("job")]);
    // A shell hears of a signal while it waits; its child ends with their stdin.
    let script = "trap 'exit 7' TERM; exec 3<&0; cat <&3 >/dev/null & echo held; wait";
    let holder = Holder::start(command.args(["sh", "-c", script]));
    assert_eq!(server.sql(&terminate(&server)), "t");
    assert_eq!(holder.kill(NO_SIGNAL).code(), Some(7));
}

/// Who asked for the signal was root, and root may.
#[test]
fn a_command_that_became_another_user_is_told_where_root_asked() {
    if !is_root() {
        return left_out("a command of another user", "only root can become one");
    }
    let server = Server::start();
    let words = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let mut command = nonoverlap([server.lock("job")]);
    let holder = Holder::start(command.args(words).args(HOLD));
    let (status, time) = told(holder, || assert_eq!(server.sql(&terminate(&server)), "t"));
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert!(time < LATEST, "{time:?}");
}

/// The command has no descriptor of the connection then, but is whom the kernel tells.
#[test]
fn a_command_without_the_descriptor_is_told_as_well() {
    let server = Server::start();
    let holder = hold(&["--close", &server.lock("job")]);
    let (status, time) = told(holder, || assert_eq!(server.sql(&terminate(&server)), "t"));
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert!(time < LATEST, "{time:?}");
}

/// nonoverlap with these arguments around a command that says that it runs and ends with its input.
fn hold(arguments: &[&str]) -> Holder {
    Holder::start(nonoverlap(arguments).args(HOLD))
}

/// What ends the session that holds the lock "job".
fn terminate(server: &Server) -> String {
    format!("SELECT pg_terminate_backend({})", server.backend("job"))
}

/// How a holder ended because of this, and how long after this had begun.
fn told(holder: Holder, cause: impl FnOnce()) -> (ExitStatus, Duration) {
    let start = Instant::now();
    let waiting = thread::spawn(move || (holder.kill(NO_SIGNAL), start.elapsed()));
    cause();
    waiting.join().unwrap()
}

/// Waits until the server's process has been woken up, after all that came before, and looks whether
/// its holder runs and has the lock.
#[track_caller]
fn has_not_been_told(server: &Server, holder: &Holder) {
    let process = server.backend("job");
    let said = format!("logging memory contexts of PID {process}");
    let before = server.log().matches(&said).count();
    let wake = format!("SELECT pg_log_backend_memory_contexts({process})");
    assert_eq!(server.sql(&wake), "t");
    eventually("it has been woken up", || {
        server.log().matches(&said).count() > before
    });
    assert_eq!(state(holder.pid()), "S");
    let pending = number(holder.pid(), "ShdPnd:");
    assert_eq!((server.holders("job"), pending), (1, 0));
}

/// The letter of a process's state in /proc/PID/stat.
fn state(pid: u32) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_the_name = line.rsplit(") ").next().unwrap_or_default();
    behind_the_name
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A set of signals in /proc/PID/status.
fn number(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}
