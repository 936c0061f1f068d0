//! The example of a helper whose lock is a lease, `examples/nonoverlap-etcd`, against a real etcd.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::crontab::path_with;
use crate::support::documents::{ROOT, between};
use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, Watchdog, eventually, has_tool, kill, left_out,
};

/// A server, stopped and forgotten at the end.
struct Etcd {
    scene: Scene,
    address: String,
    server: Child,
}

impl Etcd {
    /// Starts one that answers.
    #[track_caller]
    fn start() -> Option<Etcd> {
        let helper = Path::new(ROOT).join("examples/nonoverlap-etcd");
        let tools = ["etcd", "etcdctl", "python3"];
        if !tools
            .iter()
            .all(|tool| has_tool(tool, "a lock that is a lease"))
        {
            return None;
        }
        // The package that is published has no examples.
        if !helper.exists() {
            left_out(
                "a lock that is a lease",
                "its helper is not in this package",
            );
            return None;
        }
        // Somebody else may take a port before etcd does, which ends then.
        let started = (0..10).find_map(|_| Etcd::on_free_ports(&helper));
        Some(started.expect("etcd starts"))
    }

    /// One on two ports at which nobody listens. Nothing where somebody does when it comes to it.
    #[track_caller]
    fn on_free_ports(helper: &Path) -> Option<Etcd> {
        let scene = Scene::new();
        fs::create_dir(scene.path("bin")).unwrap();
        symlink(helper, scene.path("bin/nonoverlap-etcd")).unwrap();
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [clients, peers] = ports.map(|port| port.local_addr().unwrap().to_string());
        let mut etcd = Command::new("etcd");
        etcd.args([&*format!("--listen-client-urls=http://{clients}")])
            .arg(format!("--advertise-client-urls=http://{clients}"))
            .arg(format!("--listen-peer-urls=http://{peers}"))
            .arg("--data-dir")
            .arg(scene.path("data"))
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = etcd.spawn().unwrap();
        let mut etcd = Etcd {
            scene,
            address: clients,
            server,
        };
        let mut answers = false;
        eventually("etcd answers, or has ended", || {
            answers = etcd.status() == (Some(3), "free".to_owned());
            answers || etcd.server.try_wait().unwrap().is_some()
        });
        answers.then_some(etcd)
    }

    fn word(&self) -> String {
        format!("etcd://{}/#job", self.address)
    }

    /// nonoverlap with these words, which finds the helper.
    fn nonoverlap<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Command {
        let mut command = Command::new(NONOVERLAP);
        command
            .env("PATH", path_with(&self.scene.path("bin")))
            .args(words);
        command
    }

    /// Who has the lock, without what every line begins with.
    fn status(&self) -> (Option<i32>, String) {
        let word = self.word();
        let ended = self.nonoverlap(["--status", &word]).run();
        let said = ended.stdout().replace(&format!("{word}: "), "");
        (ended.code(), said.trim_end().to_owned())
    }

    /// How long the one lease that there is will last, in seconds.
    fn remaining(&self) -> u32 {
        let etcdctl = |words: &[&str]| {
            let mut etcdctl = Command::new("etcdctl");
            etcdctl.arg("--endpoints").arg(&self.address).args(words);
            etcdctl.env("ETCDCTL_API", "3").run().stdout()
        };
        let leases = etcdctl(&["lease", "list"]);
        let lease = leases.lines().last().unwrap();
        let said = etcdctl(&["lease", "timetolive", lease]);
        between(&said, "remaining(", "s)").parse().unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn one_runs_and_the_next_is_refused_with_its_name() {
    let Some(etcd) = Etcd::start() else { return };
    let word = etcd.word();
    let fence = || {
        let mut run = etcd.nonoverlap(["-w", "9", &word]);
        let ended = run.args(["sh", "-c", "echo $NONOVERLAP_FENCE"]).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended.stdout()
    };
    let first = fence();
    let holder = Holder::start(etcd.nonoverlap([&*word]).args(HOLD));
    let ended = etcd.nonoverlap(["-v", &word, "true"]).run();
    let host = Command::new("uname").arg("-n").run().stdout();
    let held = format!("held by {}, PID {}", host.trim_end(), holder.pid());
    ended.expect(1, "", &format!("nonoverlap: {word}: {held}; not started\n"));
    assert_eq!(etcd.status(), (Some(0), held));
    assert!(holder.end().success());
    let second = fence();
    assert!(first.len() == 21 && first.len() == second.len() && first < second);
}

#[test]
fn after_kill_9_of_the_command_the_lock_is_free() {
    let Some(etcd) = Etcd::start() else { return };
    let holder = Holder::start(etcd.nonoverlap([etcd.word()]).args(HOLD));
    assert_eq!(holder.kill(libc::SIGKILL).signal(), Some(libc::SIGKILL));
    eventually("the lease is given back", || etcd.status().0 == Some(3));
}

#[test]
fn a_server_that_is_silent_ends_the_command_before_the_lease_expires() {
    let Some(etcd) = Etcd::start() else { return };
    let word = etcd.word();
    let mut command = etcd.nonoverlap(["--kill-after", "1", &word, "sleep", "1000"]);
    let mut holder = command.spawn().unwrap();
    let _watchdog = Watchdog::over(&holder);
    eventually("it holds the lock", || etcd.status().0 == Some(0));
    let mut least = u32::MAX;
    eventually("the lease is renewed", || {
        let remaining = etcd.remaining();
        least = least.min(remaining);
        remaining > least
    });
    kill(etcd.server.id(), libc::SIGSTOP);
    let ended = holder.wait().unwrap();
    assert_eq!(ended.signal(), Some(libc::SIGTERM));
    kill(etcd.server.id(), libc::SIGCONT);
    // Nobody gave the lease back.
    eventually("the server answers", || etcd.status().0 == Some(0));
    eventually("the lease expires", || etcd.status().0 == Some(3));
}
