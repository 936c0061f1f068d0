//! Promises about servers that are not there, refuse or do not answer, and about a TARGET that is
//! wrong: nothing runs, the status says why, and so does one line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, Run, Scene, eventually, has_tool};
use crate::refusal::{RAN, nothing_is_left, refused, refused_by, runs};
use crate::server::{ROLE, Server, helper, nonoverlap, path, without_variables};

/// Where nobody listens: only root could.
const NOBODY: &str = "127.0.0.1:1";

/// A host that nobody knows. No name server is asked about a name with an empty label, so none has to
/// answer in time.
pub const UNKNOWN: &str = "nosuch..invalid";

/// What the whole of it may take on a busy machine, where 15 s are promised.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_refused_connection_is_69() {
    let lock = format!("postgresql://{NOBODY}/postgres#job");
    let why = "connection to server at \"127.0.0.1\", port 1 failed: Connection refused";
    refused(&lock, 69, why);
}

#[test]
fn an_unknown_host_is_69() {
    let lock = format!("postgresql://{UNKNOWN}/postgres#job");
    let why = format!("could not translate host name \"{UNKNOWN}\" to address");
    refused(&lock, 69, &why);
}

#[test]
fn several_dead_hosts_are_69_and_all_named() {
    let lock = format!("postgresql://{NOBODY},127.0.0.1:2/postgres#job");
    let ended = refused(&lock, 69, "port 1 failed: Connection refused");
    assert!(ended.stderr().contains("port 2 failed"), "{ended:?}");
}

#[test]
fn a_silent_server_is_69_after_5_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lock = format!(
        "postgresql://{}/postgres#job",
        listener.local_addr().unwrap()
    );
    let start = Instant::now();
    refused(&lock, 69, "timeout expired");
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

/// Ten ports at which nobody answers, and a lock on a server of these.
fn silent_servers() -> (Vec<TcpListener>, String) {
    let listeners: Vec<_> = (0..10)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let hosts: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    let lock = format!("postgresql://{}/postgres#job", hosts.join(","));
    (listeners, lock)
}

#[test]
fn several_silent_servers_are_69_after_15_seconds() {
    let (_listeners, lock) = silent_servers();
    let start = Instant::now();
    refused(&lock, 69, "the server did not answer in time");
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

/// Together they take more than the 15 s that a run has that does not wait.
#[test]
fn who_waits_asks_several_silent_servers_anew() {
    let (listeners, lock) = silent_servers();
    let mut waiters = [&["-w", "50"][..], &["-b"]].map(|options| {
        let mut waiter = nonoverlap(options);
        waiter.args([&*lock, "true"]).env("PGCONNECT_TIMEOUT", "2");
        waiter.stdin(Stdio::null()).spawn().unwrap()
    });
    listeners[0].set_nonblocking(true).unwrap();
    let mut asked = Vec::new();
    eventually("both come for the second time", || {
        asked.extend(listeners[0].accept());
        asked.len() == 4
    });
    for waiter in &mut waiters {
        assert_eq!(waiter.try_wait().unwrap(), None);
        waiter.kill().unwrap();
        waiter.wait().unwrap();
    }
}

#[test]
fn a_server_that_falls_silent_after_the_welcome_is_69() {
    is_69_though_it_welcomes(&[], 1);
}

/// Which may have been frozen.
#[test]
fn a_server_that_falls_silent_is_asked_anew_until_the_wait_is_over() {
    is_69_though_it_welcomes(&["-w", "20"], 2);
}

/// It hears the question on each of that many connections, and does not answer.
fn is_69_though_it_welcomes(options: &[&str], connections: u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..connections {
            let (mut client, _) = listener.accept().unwrap();
            welcome(&mut client);
            let mut asked = Vec::new();
            client.read_to_end(&mut asked).unwrap();
            assert!(String::from_utf8_lossy(&asked).contains("pg_try_advisory_lock"));
        }
    });
    // So that the first that it hears is the one that it understands.
    let lock = format!("postgresql://{address}/postgres?sslmode=disable&gssencmode=disable#job");
    let start = Instant::now();
    let mut command = nonoverlap(options);
    let why = "the server did not answer in time";
    refused_by(command.arg(&lock), &lock, 69, why);
    assert!(
        start.elapsed() < LONG * connections,
        "{:?}",
        start.elapsed()
    );
    eventually("it was asked each time", || server.is_finished());
    server.join().unwrap();
}

/// What a server says until it is ready, to somebody who needs no password (PostgreSQL's manual,
/// chapter "Frontend/Backend Protocol").
fn welcome(client: &mut TcpStream) {
    read_startup(client);
    client.write_all(b"R\0\0\0\x08\0\0\0\0").unwrap();
    client
        .write_all(b"K\0\0\0\x0c\0\0\0\x07\0\0\0\x07")
        .unwrap();
    client.write_all(b"Z\0\0\0\x05I").unwrap();
}

/// What a client begins with.
pub fn read_startup(client: &mut TcpStream) {
    let mut length = [0; 4];
    client.read_exact(&mut length).unwrap();
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - length.len()];
    client.read_exact(&mut startup).unwrap();
}

#[test]
fn the_second_host_has_the_lock_where_the_first_is_dead() {
    let server = Server::start();
    let port = server.port;
    runs(&mut nonoverlap([format!(
        "postgresql://{ROLE}@{NOBODY},127.0.0.1:{port}/postgres#job"
    )]));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let several = format!("postgresql://{ROLE}@{silent},127.0.0.1:{port}/postgres#job");
    runs(nonoverlap([&several]).env("PGCONNECT_TIMEOUT", "2"));
    // It is the same lock.
    let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    nonoverlap([&*several])
        .args(RAN)
        .env("PGCONNECT_TIMEOUT", "2")
        .run()
        .expect(1, "", "");
    holder.end();
}

#[test]
fn no_such_database_and_no_such_role_are_69() {
    let server = Server::start();
    let at = format!("127.0.0.1:{}", server.port);
    let lock = format!("postgresql://{ROLE}@{at}/nosuch#job");
    refused(&lock, 69, "database \"nosuch\" does not exist");
    let lock = format!("postgresql://nosuch@{at}/postgres#job");
    refused(&lock, 69, "role \"nosuch\" does not exist");
    nothing_is_left(&server);
}

/// Nobody would hear of a job that never runs again.
#[test]
fn with_q_what_the_server_refuses_is_said_and_that_it_is_away_is_not() {
    let server = with_password();
    let path = server.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        "host all shut 127.0.0.1/32 reject\n".to_owned() + &rules,
    )
    .unwrap();
    server.control(&["reload"]);
    let at = format!("127.0.0.1:{}", server.port);
    let wrong = [
        (
            format!("postgresql://nosuch@{at}/postgres#job"),
            "role \"nosuch\" does not exist",
        ),
        (
            format!("postgresql://admin@{at}/nosuch#job"),
            "database \"nosuch\" does not exist",
        ),
        (
            format!("postgresql://shut@{at}/postgres#job"),
            "pg_hba.conf rejects connection",
        ),
        (server.lock("job"), "no password supplied"),
    ];
    for (lock, why) in &wrong {
        eventually("the rules are read", || {
            let ended = nonoverlap(["-q", lock]).args(RAN).run();
            ended.stderr().contains(why)
        });
        refused_by(&mut nonoverlap(["-q", lock]), lock, 69, why);
    }
    let tls = server.lock("job").replace('#', "?sslmode=require#");
    let why = "server does not support SSL, but SSL was required";
    refused_by(&mut nonoverlap(["-q", &tls]), &tls, 69, why);
    let mut run = nonoverlap(["-q", &server.lock("job")]);
    let wrong = "password authentication failed";
    refused_by(run.env("PGPASSWORD", "x"), &server.lock("job"), 69, wrong);
    server.control(&["stop", "-m", "fast"]);
    let run = nonoverlap(["-q", &server.lock("job")]).args(RAN).run();
    run.expect(69, "", "");
    let unknown = format!("postgresql://{UNKNOWN}/postgres#job");
    nonoverlap(["-q", &unknown])
        .args(RAN)
        .run()
        .expect(69, "", "");
}

#[test]
fn a_lock_name_that_the_databases_encoding_lacks_is_64() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let lock = server.lock("日").replace("/postgres#", "/latin#");
    let why = "has no equivalent in encoding \"LATIN1\"";
    for options in [&[][..], &["-q"], &["-w", "5"], &["-b"]] {
        refused_by(nonoverlap(options).arg(&lock), &lock, 64, why);
    }
    let status = nonoverlap(["--status", &lock]).run();
    assert_eq!(status.code(), Some(4), "{status:?}");
}

#[test]
fn too_many_connections_are_69() {
    let server = Server::with("max_connections = 4\nsuperuser_reserved_connections = 3");
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    refused(&lock, 69, "remaining connection slots are reserved");
    holder.end();
    nothing_is_left(&server);
    server.sql(&format!("ALTER ROLE {ROLE} CONNECTION LIMIT 0"));
    refused(
        &lock,
        69,
        &format!("too many connections for role \"{ROLE}\""),
    );
}

#[test]
fn a_server_that_shuts_down_is_69_and_its_holder_is_left_in_peace() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    // This waits for the holder.
    let mut stop = server.program("pg_ctl");
    stop.arg("-D").arg(server.data());
    stop.args(["stop", "-m", "smart", "-W"]);
    assert_eq!(stop.run().code(), Some(0));
    eventually("it shuts down", || {
        let asked = server.psql(ROLE, "SELECT 1");
        asked.stderr().contains("shutting down")
    });
    refused(&lock, 69, "the database system is shutting down");
    assert_eq!(holder.end().code(), Some(0));
    let file = server.data().join("postmaster.pid");
    eventually("it has shut down", || !file.exists());
    refused(&lock, 69, "Connection refused");
}

#[test]
fn a_server_that_serves_nobody_yet_is_69() {
    let server = Server::prepared("hot_standby = off");
    let signal = server.data().join("standby.signal");
    assert_eq!(Command::new("touch").arg(signal).run().code(), Some(0));
    server.control(&["start"]);
    let lock = server.lock("job");
    refused(
        &lock,
        69,
        "the database system is not accepting connections",
    );
}

/// A server that wants the role's password, which is "secret".
fn with_password() -> Server {
    let server = Server::start();
    server.sql(&format!("ALTER ROLE {ROLE} PASSWORD 'secret'"));
    let path = server.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&path).unwrap();
    let rule = format!("host all {ROLE} 127.0.0.1/32 scram-sha-256\n");
    fs::write(&path, rule + &rules).unwrap();
    server.control(&["reload"]);
    eventually("it wants a password", || {
        server.psql(ROLE, "SELECT 1").code() != Some(0)
    });
    server
}

#[test]
fn a_wrong_password_is_69_and_a_password_file_works() {
    let server = with_password();
    let lock = server.lock("job");
    let none = server.scene.path("none");
    let by_file = |file: &std::path::Path| {
        let mut command = nonoverlap([&lock]);
        command.env("PGPASSFILE", file);
        command
    };
    refused_by(&mut by_file(&none), &lock, 69, "no password supplied");
    let wrong = format!("password authentication failed for user \"{ROLE}\"");
    let mut by_variable = nonoverlap([&lock]);
    refused_by(by_variable.env("PGPASSWORD", "wrong"), &lock, 69, &wrong);
    let file = |name, password| {
        let line = format!("127.0.0.1:{}:*:{ROLE}:{password}\n", server.port);
        let path = server.scene.file(name, line);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let ended = refused_by(&mut by_file(&file("wrong", "guess")), &lock, 69, &wrong);
    assert!(!ended.stderr().contains("guess"), "{ended:?}");
    let right = file("right", "secret");
    runs(&mut by_file(&right));
    // libpq says why it does not read one.
    fs::set_permissions(&right, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = refused_by(&mut by_file(&right), &lock, 69, "no password supplied");
    let why = "has group or world access";
    assert!(ended.stderr().contains(why), "{ended:?}");
    nothing_is_left(&server);
}

#[test]
fn a_password_in_the_target_works_and_is_shown_nowhere() {
    let server = with_password();
    let port = server.port;
    let target =
        |password: &str| format!("postgresql://{ROLE}:{password}@127.0.0.1:{port}/postgres#job");
    let shown = target("***");
    runs(&mut nonoverlap([target("secret")]));
    let wrong = "password authentication failed";
    refused_by(&mut nonoverlap([target("guess")]), &shown, 69, wrong);
    // What libpq cannot read it quotes.
    let bad = [
        ("se%zzguess", "invalid percent-encoded token"),
        ("se@guess", "write %40 for @"),
        ("se/guess", "write %40 for @ and %2F for /"),
        ("guess@[", "write %40 for @"),
        ("se#guess", wrong),
        ("se?guess", wrong),
    ];
    for (password, why) in bad {
        let status = if why == wrong { 69 } else { 64 };
        let ended = refused_by(&mut nonoverlap([target(password)]), &shown, status, why);
        assert!(!ended.stderr().contains("guess"), "{ended:?}");
    }
    // A number sign is taken for the one in front of the lock's name where there is no other.
    let nameless = format!("postgresql://{ROLE}:guess#x@127.0.0.1:{port}/postgres");
    let ended = nonoverlap([&*nameless, "true"]).run();
    assert_eq!(ended.code(), Some(64), "{ended:?}");
    assert!(!ended.stderr().contains("guess"), "{ended:?}");
    let parameter = |password: &str| {
        format!(
            "postgresql://{ROLE}@127.0.0.1:{port}/postgres?password={password}&sslmode=disable#job"
        )
    };
    let shown_parameter = parameter("***");
    runs(&mut nonoverlap([parameter("secret")]));
    refused_by(
        &mut nonoverlap([parameter("guess")]),
        &shown_parameter,
        69,
        wrong,
    );
    // Nor where it is right.
    let holder = Holder::start(nonoverlap([target("secret")]).args(HOLD));
    let held = nonoverlap(["-v", &target("secret"), "true"]).run();
    assert_eq!(held.code(), Some(1), "{held:?}");
    assert!(held.stderr().contains(&shown), "{held:?}");
    let status = nonoverlap(["--status", &target("secret"), &parameter("secret")]).run();
    assert_eq!(status.code(), Some(0), "{status:?}");
    let json = nonoverlap(["--json", "--status", &target("secret")]).run();
    for ended in [held, status, json] {
        let said = ended.stdout() + &ended.stderr();
        assert!(
            said.contains("***") && !said.contains("secret"),
            "{ended:?}"
        );
    }
    holder.end();
}

#[test]
fn a_service_file_and_variables_work() {
    let server = Server::start();
    let port = server.port.to_string();
    let content = format!("[job]\nhost=127.0.0.1\nport={port}\ndbname=postgres\nuser={ROLE}\n");
    let file = server.scene.file("services", content);
    let by_service = |lock: &str| {
        let mut command = nonoverlap([lock]);
        command.env("PGSERVICEFILE", &file);
        command
    };
    runs(&mut by_service("postgresql://?service=job#job"));
    let lock = "postgresql://?service=nosuch#job";
    let why = "definition of service \"nosuch\" not found";
    refused_by(&mut by_service(lock), lock, 64, why);
    let mut wrong = by_service("postgresql://?service=job#job");
    let wrong = wrong.env("PGSERVICEFILE", server.scene.file("wrong", "[job]\nx\n"));
    let why = "syntax error in service file";
    refused_by(wrong, "postgresql://?service=job#job", 64, why);
    let by_variables = |lock: &str| {
        let mut command = nonoverlap([lock]);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", &port);
        command.env("PGDATABASE", "postgres").env("PGUSER", ROLE);
        command
    };
    runs(&mut by_variables("postgresql://#job"));
    // All three are the same lock.
    let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD));
    for mut command in [
        by_service("postgresql://?service=job#job"),
        by_variables("postgresql://#job"),
        by_variables("postgres://#job"),
    ] {
        command.args(RAN).run().expect(1, "", "");
    }
    holder.end();
}

#[test]
fn a_wrong_target_is_64() {
    let path_too_long = format!("postgresql:///db?host=/{}#job", "x".repeat(200));
    let wrong = [
        ("postgresql://h/db", "no lock name: TARGET must end with #"),
        ("postgresql://", "no lock name: TARGET must end with #"),
        ("postgresql://h/db#", "after the #, is empty"),
        (
            "postgresql://h:99999/#job",
            "invalid port number: \"99999\"",
        ),
        (
            "postgresql://h/?nonsense=1#job",
            "invalid URI query parameter: \"nonsense\"",
        ),
        (
            "postgresql://h/?sslmode=x#job",
            "invalid sslmode value: \"x\"",
        ),
        (
            "postgresql://a,b/?port=1,2,3#job",
            "could not match 3 port numbers to 2 hosts",
        ),
        (
            "postgresql://127.0.0.1:1/?connect_timeout=5s#job",
            "invalid integer value \"...\" for connection option \"connect_timeout\"",
        ),
        (
            "postgresql://h/?port=1\"2#job",
            "invalid integer value \"...\" for connection option \"port\"",
        ),
        (
            "postgresql://127.0.0.1:1,h:99999/#job",
            "invalid port number: \"99999\"",
        ),
        (
            "postgresql://h/?hostaddr=127.0.0.300#job",
            "could not parse network address \"127.0.0.300\"",
        ),
        (&path_too_long, "is too long (maximum "),
        ("postgresql://[::1/#job", "IPv6 host address"),
        ("postgresql://h/d@b#job", "write %40 for @"),
    ];
    for (lock, why) in wrong {
        refused(lock, 64, why);
    }
    // It may be a password, where the host is forgotten.
    refused_by(
        &mut nonoverlap(["postgresql://host:porridge:x/#job"]),
        "postgresql://host:***#job",
        64,
        "invalid integer value \"...\" for connection option \"port\"",
    );
    // Nor is it shown behind what is said of another host.
    refused_by(
        &mut nonoverlap(["postgresql://127.0.0.1:1,host:porridge:x/#job"]),
        "postgresql://127.0.0.1:1,host:***#job",
        64,
        "invalid integer value \"...\" for connection option \"port\"",
    );
    let lock = OsStr::from_bytes(b"postgresql://h/db#\xff");
    refused_by(
        &mut nonoverlap([lock]),
        "postgresql://h/db#\\xff",
        64,
        "the name of the lock is not UTF-8",
    );
}

/// A server may say whatever libpq says of a wrong TARGET.
#[test]
fn what_a_server_says_is_no_wrong_target() {
    let server = Server::start();
    for name in [
        "definition of service \"x\" not found",
        "invalid integer value \"5s\" for connection option \"connect_timeout\"",
        "connection to server at \"h\", port 1 failed: invalid integer value \"5s\"",
    ] {
        for start in ["", "x\n"] {
            let role = format!("{start}{name}")
                .replace('\n', "%0A")
                .replace(' ', "%20")
                .replace(':', "%3A");
            let lock = server.lock("job").replace(ROLE, &role);
            let ended = helper(["--status", &lock]).run();
            assert_eq!(ended.code(), Some(77), "{ended:?}");
            assert!(ended.stderr().contains("FATAL:  role \""), "{ended:?}");
        }
    }
}

#[test]
fn no_helper_is_69() {
    let scene = Scene::new();
    let lock = format!("postgresql://{NOBODY}/postgres#job");
    let mut command = nonoverlap([&lock]);
    // Everything but the helper.
    let tools = scene.path("tools");
    fs::create_dir(&tools).unwrap();
    refused_by(
        command.env("PATH", &tools),
        &lock,
        69,
        "nonoverlap-postgresql",
    );
}

#[test]
fn the_helper_tells_its_usage_and_its_version() {
    let help = helper(["--help"]).run();
    assert_eq!((help.code(), &*help.stderr()), (Some(0), ""));
    assert!(help.stdout().starts_with("Usage: nonoverlap-postgresql"));
    let version = concat!("nonoverlap-postgresql ", env!("CARGO_PKG_VERSION"), "\n");
    helper(["--version"]).run().expect(0, version, "");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut version = helper(["--version"]);
    let ended = version.stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(69));
}

#[test]
fn the_helper_refuses_words_that_it_does_not_know_with_64() {
    let lock = format!("postgresql://{NOBODY}/postgres#job");
    let number = |word: &str| format!("not a number of seconds: '{word}'\n");
    for option in ["--wait", "--hold-at-least", "--kill-after"] {
        for word in ["nan", "-1", "abc", "1e400", "infinity", "", "1e20", "1s"] {
            helper([option, word, &lock])
                .run()
                .expect(64, "", &number(word));
        }
    }
    for option in ["--hold-at-least", "--kill-after"] {
        let ended = helper([option, "inf", &lock]).run();
        ended.expect(64, "", &number("inf"));
    }
    let too_long = helper(["--kill-after", "32400.1", &lock]).run();
    too_long.expect(64, "", "--kill-after: at most 9 hours\n");
    let wrong: [(&[&str], &str); 5] = [
        (&[], "no TARGET given; see --help\n"),
        (&["--nonsense", &lock], "invalid option '--nonsense'\n"),
        (&["-w", "1", &lock], "invalid option '-w'\n"),
        (&[&lock, "more"], "unexpected argument \"more\"\n"),
        (&["--wait"], "missing argument for option '--wait'\n"),
    ];
    for (words, said) in wrong {
        helper(words).run().expect(64, "", said);
    }
}

#[test]
fn the_helper_run_by_hand_is_64_and_takes_nothing() {
    let server = Server::with("log_connections = on");
    let lock = server.lock("job");
    let said =
        "standard output is not a Unix socket: only nonoverlap starts this program; see --help\n";
    helper([&lock]).run().expect(64, "", said);
    let mut to_nowhere = helper([&lock]);
    let ended = to_nowhere.stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = ended.output().unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), said);
    if has_tool("script", "the helper on a terminal") {
        let mut terminal = Command::new("script");
        terminal.args(["-qec", "nonoverlap-postgresql \"$LOCK\"", "/dev/null"]);
        terminal.env("PATH", path()).env("LOCK", &lock);
        let ended = without_variables(&mut terminal).run();
        assert_eq!(ended.code(), Some(64), "{ended:?}");
        assert!(ended.stdout().contains(said.trim_end()), "{ended:?}");
    }
    // It has not even connected; what psql does is logged.
    let connected = format!("user={ROLE} ");
    assert!(!server.log().contains(&connected), "{}", server.log());
    server.psql(ROLE, "SELECT 1").expect(0, "1\n", "");
    eventually("a connection is logged", || {
        server.log().contains(&connected)
    });
}
