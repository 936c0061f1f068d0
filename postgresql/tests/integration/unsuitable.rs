//! Promises about servers that cannot hold the lock: a standby, a pooler, and those that lack what it
//! takes or say yes and lock nothing. Nothing runs, with 78, and nothing of the attempt stays there.

use std::env;
use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::harness::{HOLD, Holder, Run, eventually, is_root, left_out};
use crate::refusal::{RAN, nothing_is_left, refused, refused_by, runs};
use crate::server::{ADMIN, ROLE, Server, free_port, nonoverlap, psql_at, without_variables};

/// What every one of them is told to be.
const CANNOT: &str = "the server cannot hold such a lock: ";

/// A hot standby of a server, running.
#[track_caller]
pub fn standby_of(primary: &Server) -> Server {
    let standby = Server::nowhere();
    let from = format!("host=127.0.0.1 port={} user={ADMIN}", primary.port);
    let mut copy = standby.program("pg_basebackup");
    copy.args(["-R", "-c", "fast", "--no-sync", "-d", &from, "-D"]);
    let ended = without_variables(copy.arg(standby.data())).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let folder = standby.scene.path("");
    let own = format!(
        "port = {}\nunix_socket_directories = '{}'\n",
        standby.port,
        folder.display()
    );
    standby.append("postgresql.conf", &own);
    standby.control(&["start"]);
    standby
}

#[test]
fn a_standby_is_78_and_its_primary_serves() {
    let primary = Server::start();
    let standby = standby_of(&primary);
    let lock = standby.lock("job");
    refused(&lock, 78, &format!("{CANNOT}it is a standby"));
    for options in [["-w", "5"], ["-w", "inf"], ["--shared", "-v"]] {
        let mut command = nonoverlap(options);
        refused_by(command.arg(&lock), &lock, 78, "it is a standby");
    }
    nothing_is_left(&standby);
    // libpq finds the primary where it is asked to, and it is the primary's lock.
    let either = format!(
        "postgresql://{ROLE}@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=primary#job",
        standby.port, primary.port
    );
    runs(&mut nonoverlap([&either]));
    let holder = Holder::start(nonoverlap([primary.lock("job")]).args(HOLD));
    nonoverlap([&*either]).args(RAN).run().expect(1, "", "");
    holder.end();
    // It is the standby that is refused, not the place.
    standby.control(&["promote"]);
    runs(&mut nonoverlap([&lock]));
}

/// A PgBouncer with one connection to a server, which is stopped when this goes out of scope.
struct Pooler {
    child: Child,
    port: u16,
}

impl Pooler {
    fn start(server: &Server, mode: &str) -> Pooler {
        let port = free_port();
        // It does not clean a session up, so that it would be seen what was left there.
        let content = format!(
            "[databases]\n\
            postgres = host=127.0.0.1 port={} dbname=postgres user={ROLE}\n\
            [pgbouncer]\n\
            listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
            auth_type = any\npool_mode = {mode}\ndefault_pool_size = 1\nserver_reset_query =\n",
            server.port
        );
        let file = server.scene.file(&format!("{mode}.ini"), content);
        let log = File::create(server.scene.path(format!("{mode}.log"))).unwrap();
        let mut command = match is_root() {
            false => Command::new("pgbouncer"),
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "postgres", "--regid", "postgres"]);
                command.args(["--clear-groups", "pgbouncer"]);
                command
            }
        };
        command.env("PATH", path_of_administrators()).arg(file);
        command.stdin(Stdio::null()).stderr(log);
        let pooler = Pooler {
            child: command.spawn().unwrap(),
            port,
        };
        eventually("the pooler listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        pooler
    }

    fn lock(&self) -> String {
        format!("postgresql://{ROLE}@127.0.0.1:{}/postgres#job", self.port)
    }

    /// What its one session has set.
    fn settings(&self) -> String {
        let mut psql = psql_at(ROLE, self.port);
        psql.arg("-c").arg(
            "SELECT pg_backend_pid(), string_agg(name || '=' || setting, ' ' ORDER BY name)
            FROM pg_settings WHERE name ~ 'timeout|keepalive|check_interval|client_encoding'",
        );
        let ended = psql.run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended.stdout()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian puts PgBouncer where only root's PATH leads.
fn path_of_administrators() -> String {
    format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default())
}

fn a_pooler_is_78(mode: &str) {
    let mut look = Command::new("sh");
    look.args(["-c", "command -v pgbouncer"]);
    if look.env("PATH", path_of_administrators()).run().code() != Some(0) {
        return left_out("a pooler", "pgbouncer is not installed");
    }
    let server = Server::start();
    // What would be seen if we had set it there.
    server.sql(&format!("ALTER ROLE {ROLE} SET statement_timeout = '77s'"));
    server.sql(&format!("ALTER ROLE {ROLE} SET lock_timeout = '88s'"));
    server.sql(&format!(
        "ALTER ROLE {ROLE} SET idle_session_timeout = '99s'"
    ));
    let pooler = Pooler::start(&server, mode);
    let before = pooler.settings();
    assert!(before.contains("idle_session_timeout=99000"), "{before}");
    assert!(before.contains("tcp_keepalives_idle="), "{before}");
    let lock = pooler.lock();
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let options: [&[&str]; 5] = [
        &[],
        &["-v"],
        &["--shared"],
        &["-w", "5"],
        &["-w", "inf", "--hold-at-least", "9"],
    ];
    for options in options {
        let mut command = nonoverlap(options);
        let why = format!("{CANNOT}there is a pooler in between");
        refused_by(command.arg(&lock), &lock, 78, &why);
        assert_eq!(server.sql(locks), "0");
        assert_eq!(pooler.settings(), before);
    }
    // Asking is no better than running.
    let status = nonoverlap(["--status", &lock]).run();
    assert_eq!(status.code(), Some(4), "{status:?}");
    let said = status.stdout();
    let why = format!("{CANNOT}there is a pooler in between");
    assert!(said.contains(&why), "{status:?}");
    let place = format!("127.0.0.1, port {}, database postgres", pooler.port);
    assert!(said.contains(&place), "{status:?}");
    assert!(said.ends_with(&format!("as role {ROLE}\n")), "{status:?}");
    // It does not wait there, either.
    let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    let mut waiting = nonoverlap(["-w", "inf", &lock]);
    refused_by(&mut waiting, &lock, 78, "there is a pooler in between");
    assert_eq!(server.sql(locks), "1");
    holder.end();
    assert_eq!(pooler.settings(), before);
    eventually("no lock is left", || server.sql(locks) == "0");
}

#[test]
fn a_pooler_in_transaction_mode_is_78_and_nothing_leaks_there() {
    a_pooler_is_78("transaction");
}

#[test]
fn a_pooler_in_session_mode_is_78_and_nothing_leaks_there() {
    a_pooler_is_78("session");
}

#[test]
fn a_pooler_in_statement_mode_is_78_and_nothing_leaks_there() {
    a_pooler_is_78("statement");
}

/// A server whose own functions were tampered with, as another one that speaks PostgreSQL's language
/// may have them.
fn tampered(statement: &str) -> Server {
    let server = Server::start();
    tamper(&server, statement);
    server
}

fn tamper(server: &Server, statement: &str) {
    server.sql(&format!("SET allow_system_table_mods = on; {statement}"));
}

#[test]
fn a_server_that_says_yes_and_locks_nothing_is_78() {
    // A function of the server's own is called by its number, whatever was put in its place.
    let liar = |function: &str, gives: &str, says: &str| {
        format!(
            "ALTER FUNCTION pg_catalog.{function}(bigint) RENAME TO {function}_gone;
            CREATE FUNCTION pg_catalog.{function}(bigint) RETURNS {gives}
            LANGUAGE plpgsql VOLATILE AS 'BEGIN {says} END';"
        )
    };
    let liars = [
        liar("pg_try_advisory_lock", "boolean", "RETURN true;"),
        liar("pg_try_advisory_lock_shared", "boolean", "RETURN true;"),
        liar("pg_advisory_lock", "void", ""),
        liar("pg_advisory_lock_shared", "void", ""),
    ];
    let server = Server::start();
    let lock = server.lock("job");
    // Somebody has it in truth.
    let taken = server.lock("taken");
    let holder = Holder::start(nonoverlap([&taken]).args(HOLD));
    tamper(&server, &liars.concat());
    let why = format!("{CANNOT}it reported that the lock was taken, but does not have it");
    let options: [&[&str]; 4] = [&[], &["--shared"], &["-w", "5"], &["-w", "inf", "--shared"]];
    for options in options {
        refused_by(nonoverlap(options).arg(&lock), &lock, 78, &why);
    }
    refused(&taken, 78, &why);
    holder.end();
    nothing_is_left(&server);
}

#[test]
fn a_server_that_locks_another_number_is_78() {
    let server = tampered(
        "CREATE FUNCTION pg_catalog.other(bigint) RETURNS boolean
            LANGUAGE internal STRICT AS 'pg_try_advisory_lock_int8';
        CREATE OR REPLACE FUNCTION pg_catalog.pg_try_advisory_lock(bigint) RETURNS boolean
            LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.other($1 + 1)';",
    );
    let why = format!("{CANNOT}it reported that the lock was taken, but does not have it");
    refused(&server.lock("job"), 78, &why);
    nothing_is_left(&server);
}

#[test]
fn a_server_without_the_functions_is_78() {
    let server =
        tampered("ALTER FUNCTION pg_catalog.hashtextextended(text, bigint) RENAME TO gone;");
    let lock = server.lock("job");
    let why =
        format!("{CANNOT}function pg_catalog.hashtextextended(text, bigint) does not exist\n");
    refused(&lock, 78, &why);
    refused_by(&mut nonoverlap(["-w", "5", &lock]), &lock, 78, &why);
    nothing_is_left(&server);
    let may_not = Server::start();
    may_not.sql("REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) FROM public");
    let lock = may_not.lock("job");
    let why = format!("{CANNOT}permission denied for function pg_try_advisory_lock\n");
    refused(&lock, 78, &why);
    nothing_is_left(&may_not);
}

/// The functions of pg_catalog that a run's statements call, by the server's log.
fn called(log: &str) -> Vec<String> {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let after = log.split("pg_catalog.").skip(1);
    let mut names: Vec<_> = after
        .filter_map(|rest| {
            let (name, _) = rest.split_once('(')?;
            let is_name = !name.is_empty() && name.chars().all(is_of_a_name);
            is_name.then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn status_is_4_where_a_run_is_78_for_a_function_that_may_not_be_executed_and_only_there() {
    let server = Server::with("log_statement = all");
    let lock = server.lock("job");
    runs(&mut nonoverlap([&lock]));
    let mut names = called(&server.log());
    assert!(names.contains(&"set_config".to_owned()), "{names:?}");
    assert!(names.contains(&"pg_walfile_name".to_owned()), "{names:?}");
    // What operators and views call, and what a plain run does not.
    let more = ["float8lt", "int4ne", "pg_lock_status"];
    names.extend(more.map(str::to_owned));
    let not_needed = ["pg_stat_get_activity", "pg_try_advisory_lock_shared"];
    names.extend(not_needed.map(str::to_owned));
    for name in &names {
        let all = |what: &str| {
            server.sql(&format!(
                "DO $$ DECLARE call regprocedure; BEGIN FOR call IN SELECT oid FROM pg_proc
                    WHERE proname = '{name}' AND pronamespace = 'pg_catalog'::regnamespace
                LOOP EXECUTE format('{what} public', call); END LOOP; END $$"
            ));
        };
        all("REVOKE EXECUTE ON ROUTINE %s FROM");
        let run = nonoverlap([&lock]).args(RAN).run();
        let status = nonoverlap(["--status", &lock]).run();
        let is_needed = !not_needed.contains(&&**name);
        let codes = if is_needed { (78, 4) } else { (0, 3) };
        let seen = (run.code().unwrap(), status.code().unwrap());
        assert_eq!(seen, codes, "{name}: {run:?}{status:?}");
        if is_needed {
            // Of one it is said that it is an aggregate.
            let is_said = |said: String| {
                let what = said.split_once("permission denied for ");
                what.is_some_and(|(_, what)| what.split_whitespace().nth(1) == Some(name))
            };
            let told = status.stdout().replace(';', "");
            assert!(is_said(run.stderr()) && is_said(told), "{run:?}{status:?}");
            let place = format!(
                "127.0.0.1, port {}, database postgres, as role {ROLE}\n",
                server.port
            );
            assert!(status.stdout().ends_with(&place), "{status:?}");
        }
        all("GRANT EXECUTE ON ROUTINE %s TO");
    }
    // A shared lock is another function's.
    server.sql("REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock_shared(bigint) FROM public");
    let why = "permission denied for function pg_try_advisory_lock_shared";
    refused_by(&mut nonoverlap(["-s", &lock]), &lock, 78, why);
    nothing_is_left(&server);
}

/// A run takes a lock without them, too.
#[test]
fn status_needs_no_names_of_sessions() {
    let server = Server::start();
    server.sql("REVOKE SELECT ON pg_stat_activity FROM public");
    let lock = server.lock("job");
    let free = nonoverlap(["--status", &lock]).run();
    assert_eq!(free.code(), Some(3), "{free:?}");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    let held = nonoverlap(["--status", &lock]).run();
    assert_eq!(held.code(), Some(0), "{held:?}");
    let process = server.backend("job");
    let named = format!("held by '', server process {process}; ");
    assert!(held.stdout().contains(&named), "{held:?}");
    holder.end();
}
