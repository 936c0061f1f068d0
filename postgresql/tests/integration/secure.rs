//! Promises about connections by TLS and by a Unix-domain socket: they hold the lock and tell of its
//! loss like any other.

use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{HOLD, Holder, Run, has_tool};
use crate::refusal::{RAN, nothing_is_left, refused};
use crate::server::{ROLE, Server, nonoverlap};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// Holds the lock by this connection, and loses it.
fn holds_and_is_told_of_the_loss(server: &Server, lock: &str) {
    // It is the lock that others have by TCP.
    let holder = Holder::start(nonoverlap([lock]).args(HOLD));
    let beside = server.lock("job");
    let held = nonoverlap(["-v", &beside]).args(RAN).run();
    assert_eq!((held.code(), &*held.stdout()), (Some(1), ""));
    let named = format!("PID {} (", holder.pid());
    assert!(held.stderr().contains(&named), "{held:?}");
    holder.end();
    nothing_is_left(server);
    for (option, signal) in [("term", SIGTERM), ("kill", SIGKILL)] {
        let mut command = nonoverlap(["--on-lost", option, lock]);
        let holder = Holder::start(command.args(HOLD));
        terminate(server);
        // It is awaited, and no signal is sent here.
        let ended = holder.kill(0);
        let seen = std::os::unix::process::ExitStatusExt::signal(&ended);
        assert_eq!(seen, Some(signal), "{ended:?}");
        nothing_is_left(server);
    }
    // One that hears of it no more ends as ever.
    let mut command = nonoverlap(["--on-lost", "ignore", lock]);
    let holder = Holder::start(command.args(HOLD));
    terminate(server);
    nothing_is_left(server);
    assert_eq!(holder.end().code(), Some(0));
}

fn terminate(server: &Server) {
    let statement =
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert_eq!(server.sql(statement), "t");
}

#[test]
fn a_lock_by_tls_with_verification_is_held_and_its_loss_is_told() {
    if !has_tool("openssl", "TLS") {
        return;
    }
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let server = with_tls(protocol);
        let lock = by_tls(&server, &server.scene.path("ca.crt"));
        holds_and_is_told_of_the_loss(&server, &lock);
        let by_tls = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE ssl AND application_name LIKE 'nonoverlap %'";
        let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
        assert_eq!(server.sql(by_tls), "1");
        holder.end();
    }
}

#[test]
fn a_server_whose_certificate_is_not_to_be_believed_is_69() {
    if !has_tool("openssl", "TLS") {
        return;
    }
    let server = with_tls("TLSv1.3");
    authority(&server, "other");
    let lock = by_tls(&server, &server.scene.path("other.crt"));
    refused(&lock, 69, "certificate verify failed");
    let lock = by_tls(&server, &server.scene.path("none.crt"));
    refused(&lock, 69, "does not exist");
    // The certificate is for another name than this.
    let file = server.scene.path("ca.crt");
    let lock = by_tls(&server, &file).replace("127.0.0.1", "localhost");
    refused(&lock, 69, "does not match host name \"localhost\"");
    nothing_is_left(&server);
    // It cannot be talked out of it.
    let plain = Server::start();
    let lock = by_tls(&plain, &file);
    refused(
        &lock,
        69,
        "server does not support SSL, but SSL was required",
    );
    nothing_is_left(&plain);
}

#[test]
fn a_lock_by_a_unix_domain_socket_is_held_and_its_loss_is_told() {
    let server = Server::start();
    let folder = server.scene.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let lock = format!(
        "postgresql://{ROLE}@{}/postgres?port={}#job",
        folder.replace('/', "%2F"),
        server.port
    );
    holds_and_is_told_of_the_loss(&server, &lock);
    let lock = format!("postgresql://{ROLE}@%2Fnowhere/postgres#job");
    refused(&lock, 69, "\"/nowhere/.s.PGSQL.5432\" failed: No such file");
}

/// The lock, by a connection that is verified.
fn by_tls(server: &Server, authority: &Path) -> String {
    server.lock("job").replace(
        '#',
        &format!(
            "?sslmode=verify-full&sslrootcert={}#",
            authority.to_str().unwrap()
        ),
    )
}

/// A server with a certificate for 127.0.0.1, that speaks only this.
fn with_tls(protocol: &str) -> Server {
    let server = Server::prepared(&format!(
        "ssl = on\nssl_min_protocol_version = '{protocol}'\nssl_max_protocol_version = '{protocol}'"
    ));
    authority(&server, "ca");
    let in_data = |name: &str| server.data().join(name);
    let file = |name: &str| server.scene.path(name);
    openssl(|command| {
        command.args(["req", "-newkey", "ec", "-pkeyopt"]);
        command.args(["ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-subj", "/CN=server", "-keyout"]);
        command.arg(in_data("server.key"));
        command.arg("-out").arg(file("server.csr"));
    });
    let extension = server
        .scene
        .file("extension", "subjectAltName=IP:127.0.0.1\n");
    openssl(|command| {
        command.args(["x509", "-req", "-days", "2", "-CAcreateserial"]);
        command.arg("-in").arg(file("server.csr"));
        command.arg("-CA").arg(file("ca.crt"));
        command.arg("-CAkey").arg(file("ca.key"));
        command.arg("-extfile").arg(extension);
        command.arg("-out").arg(in_data("server.crt"));
    });
    same_owner(&in_data("server.key"), &server.data());
    server.control(&["start"]);
    server.sql(&format!("CREATE ROLE {ROLE} LOGIN"));
    server
}

/// One that certifies, in NAME.key and NAME.crt.
fn authority(server: &Server, name: &str) {
    let file = |ending: &str| -> PathBuf { server.scene.path(format!("{name}.{ending}")) };
    openssl(|command| {
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
        command.args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
        command.args(["-subj", &format!("/CN={name}"), "-keyout"]);
        command.arg(file("key")).arg("-out").arg(file("crt"));
    });
}

#[track_caller]
fn openssl(with: impl FnOnce(&mut Command)) {
    let mut command = Command::new("openssl");
    with(&mut command);
    let ended = command.run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

fn same_owner(path: &Path, other: &Path) {
    let state = std::fs::metadata(other).unwrap();
    chown(path, Some(state.uid()), Some(state.gid())).unwrap();
}
