//! Promises about who gets the lock, who waits for it, and what those hear who do not get it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, NONOVERLAP, Run, Scene, Watchdog, eventually, kill};
use crate::server::{
    ADMIN, ROLE, Server, helper, host, nonoverlap, number, path, without_variables,
};

#[test]
fn a_taken_lock_refuses_with_1_and_names_the_holder() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = hold(&[&lock]);
    nonoverlap([&*lock, "echo", "ran"]).run().expect(1, "", "");
    let refused = nonoverlap(["-v", &lock, "echo", "ran"]).run();
    assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
    let named = format!("held by {}, PID {} (", host(), holder.pid());
    assert!(refused.stderr().contains(&named), "{refused:?}");
    holder.end();
    nonoverlap([&*lock, "echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

#[test]
fn of_30_at_one_instant_one_runs_and_29_are_refused_with_its_name() {
    let server = Server::start();
    let lock = server.lock("job");
    let mut crowd = Crowd::gather(30, &["-v", &lock]);
    crowd.release();
    let refused = crowd.refused();
    assert_eq!((refused.len(), crowd.contenders.len()), (29, 1));
    let winner = crowd.contenders[0].child.id();
    let named = format!("held by {}, PID {winner} (", host());
    for (status, stdout, stderr) in refused {
        assert_eq!((status, &*stdout), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(&named), "not {named:?} in {stderr:?}");
    }
    assert_eq!(server.holders("job"), 1);
    crowd.open_the_way_out();
    let (status, stdout, _) = crowd.contenders.remove(0).ended();
    assert_eq!((status, &*stdout), (Some(0), "in\nout\n"));
    server.until_free("job");
    assert_eq!(nonoverlap([&*lock, "true"]).run().code(), Some(0));
}

#[test]
fn of_200_runs_back_to_back_none_is_refused() {
    let server = Server::start();
    let lock = server.lock("job");
    for _ in 0..200 {
        nonoverlap([&*lock, "true"]).run().expect(0, "", "");
    }
}

/// The server must see the end of the connection before the next run has connected and asks. It has
/// the time of two programs' starts and of its own new process for that.
#[test]
fn after_kill_9_the_next_run_has_the_lock_at_its_first_attempt() {
    let server = Server::start();
    let lock = server.lock("job");
    for _ in 0..20 {
        let status = hold(&[&lock]).kill(libc::SIGKILL);
        assert_eq!(status.code(), None);
        nonoverlap([&*lock, "true"]).run().expect(0, "", "");
    }
}

/// The server's process is held up here, so that it is sure not to have seen it. The next run does not
/// wait long, and this machine may be slow, so there are several tries.
#[test]
fn the_next_run_waits_a_moment_for_a_server_that_has_not_seen_the_end() {
    let server = Server::start();
    let lock = server.lock("job");
    let has_the_lock = || {
        let holder = hold(&[&lock]);
        let held_up = HeldUp::new(server.backend("job").parse().unwrap());
        assert_eq!(holder.kill(libc::SIGKILL).code(), None);
        let mut next = nonoverlap([&*lock, "true"]).spawn().unwrap();
        let waits = |next: &mut Child| {
            eventually("it waits or has ended", || {
                server.waits(next.id()) || next.try_wait().unwrap().is_some()
            });
            next.try_wait().unwrap().is_none()
        };
        let waits = waits(&mut next);
        drop(held_up);
        let status = next.wait().unwrap();
        server.until_free("job");
        waits && status.success()
    };
    assert!((0..10).any(|_| has_the_lock()));
}

/// A process that is stopped, and goes on when this goes out of scope.
struct HeldUp(u32);

impl HeldUp {
    fn new(pid: u32) -> HeldUp {
        kill(pid, libc::SIGSTOP);
        HeldUp(pid)
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        kill(self.0, libc::SIGCONT);
    }
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_ends_or_is_killed() {
    let server = Server::start();
    let lock = server.lock("job");
    for options in [
        &["-w", "50"][..],
        &["-b"],
        &["-s", "-w", "50"],
        &["-s", "-b"],
    ] {
        for signal in [None, Some(libc::SIGKILL)] {
            let holder = hold(&[&lock]);
            let waiter = Waiter::start(&server, options, &["echo", "ran"]);
            match signal {
                None => assert!(holder.end().success()),
                Some(signal) => assert!(!holder.kill(signal).success()),
            }
            assert_eq!(waiter.ended(), (Some(0), "ran\n".to_owned()), "{options:?}");
            server.until_free("job");
        }
    }
}

#[test]
fn a_wait_that_ends_too_soon_ends_with_1_and_the_holders_name() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = hold(&[&lock]);
    let start = Instant::now();
    let refused = nonoverlap(["-v", "-w", "0.2", &lock, "echo", "ran"]).run();
    assert!(start.elapsed() >= Duration::from_millis(200), "{refused:?}");
    assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
    let named = format!("held by {}, PID {} (", host(), holder.pid());
    assert!(refused.stderr().contains(&named), "{refused:?}");
    assert_eq!(server.holders("job"), 1);
    eventually("its session has ended", || server.sessions() == 1);
    nonoverlap(["-q", "-w", "0.01", &lock, "echo", "ran"])
        .run()
        .expect(1, "", "");
}

/// Somebody who waits without end must not ask when nobody waits any more: it would be given the
/// lock, for nobody.
#[test]
fn a_killed_waiter_leaves_no_process_and_no_session() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = hold(&[&lock]);
    for options in [&["-b"][..], &["-w", "50"]] {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            let waiter = Waiter::start(&server, options, &["echo", "ran"]);
            assert_eq!((server.sessions(), server.helpers().len()), (2, 1));
            kill(waiter.pid(), signal);
            assert_eq!(waiter.ended(), (None, String::new()));
            eventually("the helper has ended", || server.helpers().is_empty());
            eventually("its session has ended", || server.sessions() == 1);
        }
    }
    holder.end();
    server.until_free("job");
    nonoverlap([&*lock, "true"]).run().expect(0, "", "");
}

#[test]
fn a_killed_helper_is_a_run_that_fails_and_leaves_no_session() {
    let server = Server::start();
    let lock = server.lock("job");
    let _holder = hold(&[&lock]);
    let waiter = Waiter::start(&server, &["-b"], &["echo", "ran"]);
    for helper in server.helpers() {
        kill(helper, libc::SIGKILL);
    }
    assert_eq!(waiter.ended(), (Some(69), String::new()));
    eventually("its session has ended", || server.sessions() == 1);
}

/// Such as one that an administrator set against statements that take for ever.
#[test]
fn a_roles_time_for_statements_does_not_end_a_wait() {
    let server = Server::start();
    server.sql(&format!("ALTER ROLE {ROLE} SET statement_timeout = '2s'"));
    let holder = hold(&[&server.lock("job")]);
    let waiter = Waiter::start(&server, &["-b"], &["echo", "ran"]);
    // It begins after the waiter, and has the same role's time.
    let asleep = server.psql(ROLE, "SELECT pg_sleep(60)");
    assert_eq!(asleep.code(), Some(1), "{asleep:?}");
    eventually("it waits", || server.waits(waiter.pid()));
    holder.end();
    assert_eq!(waiter.ended(), (Some(0), "ran\n".to_owned()));
}

#[test]
fn shared_locks_share_and_exclude_exclusive_ones() {
    let server = Server::start();
    let lock = server.lock("job");
    let ran = |options: &[&str]| nonoverlap(options).args([&*lock, "true"]).run().code();
    let readers = [hold(&["-s", &lock]), hold(&["-s", &lock])];
    assert_eq!(server.holders("job"), 2);
    assert_eq!(
        (ran(&["-s"]), ran(&["-x"]), ran(&[])),
        (Some(0), Some(1), Some(1))
    );
    let refused = nonoverlap(["-v", &lock, "true"]).run().stderr();
    for reader in &readers {
        let named = format!("{}, PID {} (", host(), reader.pid());
        assert!(refused.contains(&named), "{refused}");
    }
    drop(readers);
    server.until_free("job");
    let _writer = hold(&["-x", &lock]);
    assert_eq!((ran(&["-s"]), ran(&[])), (Some(1), Some(1)));
}

/// The last one is the most that 200 bytes can hold of letters that take two each.
#[test]
fn any_name_is_a_lock_of_its_own_with_the_number_that_the_manual_has() {
    let server = Server::start();
    let (long, long_umlauts) = ("n".repeat(200), "ü".repeat(100));
    let names = [
        "job",
        "Job",
        "job ",
        " job",
        "two words",
        "a\tb",
        "it's",
        "\"quoted\"",
        "\\'",
        "$1",
        "%s",
        "?x=y",
        "@host/db",
        "a:b",
        "Größe",
        "日本",
        "👻",
        "\u{1}",
        &long,
        &long_umlauts,
    ];
    let mut holders = Vec::new();
    for (index, name) in names.iter().enumerate() {
        // Nobody of those before excludes it.
        holders.push(hold(&[&server.lock(name)]));
        assert_eq!(server.holders(name), 1, "{name:?}");
        assert_eq!(server.sessions(), index + 1);
    }
    for (name, holder) in names.iter().zip(&holders) {
        let refused = nonoverlap(["-v", &server.lock(name), "true"]).run();
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        let named = format!("PID {} (", holder.pid());
        assert!(refused.stderr().contains(&named), "{refused:?}");
    }
}

#[test]
fn the_name_is_what_follows_the_last_number_sign() {
    let server = Server::start();
    server.sql("CREATE DATABASE \"a#b\"");
    let lock = format!("postgresql://{ROLE}@127.0.0.1:{}/a#b#job", server.port);
    let _holder = hold(&[&lock]);
    assert_eq!(nonoverlap([&*lock, "true"]).run().code(), Some(1));
    let seen = "SELECT datname FROM pg_locks JOIN pg_database ON oid = database
        WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = ";
    assert_eq!(server.sql(&format!("{seen}{}", number("job"))), "a#b");
}

#[test]
fn the_same_name_in_another_database_is_another_lock() {
    let server = Server::start();
    server.sql("CREATE DATABASE other");
    let other = format!("postgresql://{ROLE}@127.0.0.1:{}/other#job", server.port);
    let here = server.lock("job");
    let holder = hold(&[&here]);
    let _other = hold(&[&other]);
    // Each is refused by the one in its own database, and names it.
    let refused = nonoverlap(["-v", &here, "true"]).run();
    let named = format!("held by {}, PID {} (", host(), holder.pid());
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr().contains(&named), "{refused:?}");
    assert!(!refused.stderr().contains("and by"), "{refused:?}");
    holder.end();
    server.until_free("job");
    assert_eq!(nonoverlap([&*here, "true"]).run().code(), Some(0));
    assert_eq!(nonoverlap([&*other, "true"]).run().code(), Some(1));
}

#[test]
fn a_psql_that_takes_the_number_excludes_us_and_is_named() {
    let server = Server::start();
    let lock = server.lock("job");
    for role in [ROLE, ADMIN] {
        let take = format!("SELECT 'held' FROM pg_advisory_lock({})", number("job"));
        let psql = Holder::start(server.psql_command(role, &take).args(["-f", "-"]));
        let refused = nonoverlap(["-v", &lock, "echo", "ran"]).run();
        assert_eq!((refused.code(), &*refused.stdout()), (Some(1), ""));
        // When it last asked something, which may be later than when it took the lock, is not told.
        let named = format!("held by 'psql', server process {};", server.backend("job"));
        assert!(refused.stderr().contains(&named), "{refused:?}");
        psql.end();
        server.until_free("job");
        nonoverlap([&*lock, "echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
    }
}

/// The server keeps 63 bytes of a session's name, so a long command is cut.
#[test]
fn the_server_shows_host_pid_and_command_to_a_role_that_may_only_connect() {
    let server = Server::start();
    server.sql(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON DATABASE postgres FROM PUBLIC",
    );
    server.sql(&format!(
        "GRANT CONNECT ON DATABASE postgres TO {ROLE}; CREATE ROLE other LOGIN"
    ));
    server.sql("GRANT CONNECT ON DATABASE postgres TO other");
    let holder = hold(&[&server.lock("job")]);
    let statement = "SELECT application_name, query_start <= now() FROM pg_stat_activity
        WHERE application_name LIKE 'nonoverlap %'";
    let command = HOLD.join(" ");
    let mut name = format!("nonoverlap {} {} {command}", host(), holder.pid());
    name.truncate(63);
    let seen = server.psql(ROLE, statement);
    assert_eq!(seen.stdout(), format!("{name}|t\n"), "{seen:?}");
    // Another role sees who it is, but the server does not let it see for how long.
    let seen = server.psql("other", statement);
    assert_eq!(seen.stdout(), format!("{name}|\n"), "{seen:?}");
    let lock = server.lock("job").replace(ROLE, "other");
    let refused = nonoverlap(["-v", &lock, "true"]).run();
    let named = format!("held by {}, PID {} (sh -c ", host(), holder.pid());
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr().contains(&named), "{refused:?}");
}

/// cron would mail it.
#[test]
fn a_long_command_is_cut_and_nothing_is_said_of_it() {
    let server = Server::start();
    let lock = server.lock("job");
    for letter in ["x", "ü", "日", "👻"] {
        let long = letter.repeat(100);
        let mut run = nonoverlap([&*lock, "sh", "-c", "echo ran", &long]);
        run.run().expect(0, "ran\n", "");
        server.until_free("job");
    }
}

/// A database that was made with another version of the C library brings a warning at each connection,
/// which cron would mail at each run.
#[test]
fn a_warning_of_the_servers_at_the_connection_is_not_shown() {
    let server = Server::start();
    server.sql("UPDATE pg_database SET datcollversion = 'another'");
    // There is one: psql shows it.
    let psql = server.psql(ROLE, "SELECT 1");
    assert!(psql.stderr().contains("WARNING: "), "{psql:?}");
    let lock = server.lock("job");
    nonoverlap([&*lock, "true"]).run().expect(0, "", "");
    let status = nonoverlap(["--status", &lock]).run();
    assert_eq!((status.code(), &*status.stderr()), (Some(3), ""));
}

/// Such as that the file with the password is not read since others could read it, too.
#[test]
fn what_libpq_warns_of_is_shown_with_the_failure() {
    let server = Server::start();
    let file = server.scene.file("passwords", "*:*:*:*:x");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let lock = format!("postgresql://{ROLE}@127.0.0.1:{}/nowhere#job", server.port);
    let run = nonoverlap([&*lock, "true"]).env("PGPASSFILE", &file).run();
    assert_eq!(run.code(), Some(69), "{run:?}");
    for why in [
        "has group or world access",
        "database \"nowhere\" does not exist",
    ] {
        assert!(run.stderr().contains(why), "{run:?}");
    }
    assert_eq!(run.stderr().lines().count(), 1, "{run:?}");
}

/// Not since when it was there: it may have waited for hours.
#[test]
fn a_holder_that_had_waited_is_shown_since_it_has_the_lock() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = hold(&[&lock]);
    let waiter = Waiter::start(&server, &["-b"], &HOLD);
    let of_it = format!(
        "FROM pg_stat_activity WHERE application_name LIKE 'nonoverlap % {} %'",
        waiter.pid()
    );
    eventually("it has waited for a while", || {
        let a_while = "SELECT clock_timestamp() > backend_start + interval '3 s'";
        server.sql(&format!("{a_while} {of_it}")) == "t"
    });
    let moment = server.sql("SELECT clock_timestamp()");
    holder.end();
    eventually("the other has the lock", || {
        let state = format!("SELECT count(*) {of_it} AND query LIKE '%pg_walfile_name%'");
        server.holders("job") == 1 && server.sql(&state) == "1"
    });
    let told = helper(["--status", &lock]).run();
    let since = told.stdout();
    let since = since.lines().find_map(|line| line.strip_prefix("since="));
    let since: f64 = since.unwrap().parse().unwrap();
    let passed = format!("SELECT extract(epoch FROM clock_timestamp() - '{moment}')");
    let passed: f64 = server.sql(&passed).parse().unwrap();
    assert!((0.0..=passed).contains(&since), "{passed}: {told:?}");
}

/// nonoverlap with these arguments around a command that says that it runs and ends with its input.
fn hold(arguments: &[&str]) -> Holder {
    Holder::start(nonoverlap(arguments).args(HOLD))
}

/// A run that waits for the lock. What is left of it when this goes out of scope is killed.
struct Waiter {
    /// Taken when it has ended.
    child: Option<Child>,
    _watchdog: Watchdog,
}

impl Waiter {
    /// Starts one with these options and returns when it waits for the lock "job".
    #[track_caller]
    fn start(server: &Server, options: &[&str], command: &[&str]) -> Waiter {
        let mut waiter = nonoverlap(options);
        waiter.arg(server.lock("job")).args(command);
        waiter.stdin(Stdio::piped());
        waiter.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = waiter.spawn().unwrap();
        let waiter = Waiter {
            _watchdog: Watchdog::over(&child),
            child: Some(child),
        };
        eventually("it waits", || server.waits(waiter.pid()));
        waiter
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for its end, and gives its exit status and what it said.
    fn ended(mut self) -> (Option<i32>, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a contender runs: it waits at the gate, which is its stdin.
const CONTENDER: &str = r#"echo ready; read -r gate; exec "$@""#;

/// What the one that gets in runs: it stays until somebody opens the FIFO that is its argument.
const INSIDE: &str = r#"echo in; read -r leave <"$1"; echo out"#;

/// Contenders that stand at one gate.
struct Crowd {
    /// Whoever is inside leaves when this FIFO is opened for writing.
    way_out: PathBuf,
    contenders: Vec<Contender>,
    gate: UnixStream,
    _scene: Scene,
}

struct Contender {
    child: Child,
    is_over: bool,
    stdout: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts them, and returns when all are ready.
    #[track_caller]
    fn gather(count: usize, arguments: &[&str]) -> Crowd {
        let scene = Scene::new();
        let way_out = scene.path("way out");
        Command::new("mkfifo").arg(&way_out).run().expect(0, "", "");
        let (gate, theirs) = UnixStream::pair().unwrap();
        let mut crowd = Crowd {
            way_out,
            contenders: Vec::new(),
            gate,
            _scene: scene,
        };
        for _ in 0..count {
            let mut contender = Command::new("sh");
            contender
                .args(["-c", CONTENDER, "sh", NONOVERLAP])
                .args(arguments)
                .args(["sh", "-c", INSIDE, "sh"])
                .arg(&crowd.way_out)
                .env("PATH", path())
                .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = without_variables(&mut contender).spawn().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            crowd.contenders.push(Contender {
                child,
                is_over: false,
                stdout,
            });
        }
        for contender in &mut crowd.contenders {
            assert_eq!(contender.line(), "ready\n");
        }
        crowd
    }

    /// Lets them all go at once.
    fn release(&self) {
        self.gate.shutdown(Shutdown::Both).unwrap();
    }

    /// Waits until all but one have ended, and gives their statuses and what they said.
    #[track_caller]
    fn refused(&mut self) -> Vec<(Option<i32>, String, String)> {
        let all_but_one = self.contenders.len() - 1;
        eventually("all but one have ended", || {
            for it in &mut self.contenders {
                it.is_over = it.child.try_wait().unwrap().is_some();
            }
            let over = self.contenders.iter().filter(|it| it.is_over);
            over.count() >= all_but_one
        });
        let all = mem::take(&mut self.contenders);
        let (ended, inside): (Vec<_>, _) = all.into_iter().partition(|it| it.is_over);
        self.contenders = inside;
        ended.into_iter().map(Contender::ended).collect()
    }

    /// Lets whoever is inside leave. Where nobody is, this does not wait for one.
    fn open_the_way_out(&self) {
        let mut writer = OpenOptions::new();
        writer.write(true).custom_flags(libc::O_NONBLOCK);
        eventually("somebody is inside", || writer.open(&self.way_out).is_ok());
    }
}

impl Contender {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end, and gives its status, and the rest of what it said.
    fn ended(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        let mut stream = self.child.stderr.take().unwrap();
        stream.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for contender in &mut self.contenders {
            let _ = contender.child.kill();
            let _ = contender.child.wait();
        }
    }
}
