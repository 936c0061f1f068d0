//! The faults, and what they are done to.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Storm;
use crate::harness::{PATIENCE, Run, eventually, kill, state};
use crate::job::{Kind, now};
use crate::network::{ADDRESS, Namespace, Way};
use crate::server::{ADMIN, in_network_of, number};

#[derive(Clone, Copy)]
pub enum Fault {
    Cut(&'static [Way], u64),
    FreezeHost,
    Kill,
    Terminate,
    Restart(&'static str),
    KillPostmaster,
    FreezeServer,
    Gone(u64),
}

const BOTH: &[Way] = &[Way::ToServer, Way::FromServer];

/// Longer than the 27 s after which the server gives the lock of a host that is cut off away.
const LONG: u64 = 32;

/// Those that keep the holder from hearing of its loss come first: in a pair, they are put in first.
pub const FAULTS: [(&str, Fault); 13] = [
    ("cut", Fault::Cut(BOTH, LONG)),
    ("cut to the server", Fault::Cut(&[Way::ToServer], LONG)),
    ("cut from the server", Fault::Cut(&[Way::FromServer], LONG)),
    ("blip", Fault::Cut(BOTH, 2)),
    ("host frozen", Fault::FreezeHost),
    ("server frozen", Fault::FreezeServer),
    ("job killed", Fault::Kill),
    ("session terminated", Fault::Terminate),
    ("restart fast", Fault::Restart("fast")),
    ("restart immediate", Fault::Restart("immediate")),
    ("postmaster killed", Fault::KillPostmaster),
    ("server gone for 3 s", Fault::Gone(3)),
    ("server gone for 30 s", Fault::Gone(30)),
];

impl Fault {
    /// How long after it a server gives no lock.
    pub fn grace(self) -> Duration {
        match self {
            Fault::Restart(_) | Fault::KillPostmaster | Fault::Gone(_) => Duration::from_secs(21),
            _ => Duration::ZERO,
        }
    }

    pub fn is_cut(self) -> bool {
        matches!(self, Fault::Cut(..))
    }

    /// Whether the manual promises that no two plain jobs run (What is not promised): not where the
    /// host of the holder stands still while its lock is given away, since nothing there could end
    /// the job before it goes on; and not where somebody ends the holder's session on the server while
    /// its host hears nothing.
    pub fn are_covered(faults: &[Fault]) -> bool {
        let is_one = |what: fn(&Fault) -> bool| faults.iter().any(what);
        let stands_still = is_one(|it| matches!(it, Fault::FreezeHost));
        let is_ended = is_one(|it| matches!(it, Fault::Terminate));
        let hears_nothing = is_one(|it| matches!(it, Fault::Cut([.., Way::FromServer], _)));
        !(stands_still && is_one(Fault::gives_away)) && !(is_ended && hears_nothing)
    }

    /// Whether the server gives the lock of a job away that could run on: to a host that only stands
    /// still its kernel answers, and a job that is killed does not.
    fn gives_away(&self) -> bool {
        match self {
            Fault::Cut(_, seconds) => *seconds >= LONG,
            Fault::FreezeHost | Fault::FreezeServer | Fault::Kill => false,
            Fault::Terminate | Fault::Restart(_) | Fault::KillPostmaster | Fault::Gone(_) => true,
        }
    }

    /// Puts it in, and returns when it is over. It strikes the holders, or those `beside` them.
    pub fn strike(self, storm: &Storm<'_>, beside: bool) {
        let network = storm.network;
        let server = &network.server;
        let holders = storm.holders();
        let struck: BTreeSet<_> = holders.iter().map(|run| run.host).collect();
        let hosts = match beside {
            true => next_to(&struck, storm.hosts.len()),
            false => struck,
        };
        match self {
            Fault::Cut(ways, seconds) => {
                hosts.iter().for_each(|&host| storm.hosts[host].cut(ways));
                wait(seconds);
                hosts.iter().for_each(|&host| storm.hosts[host].heal());
            }
            Fault::FreezeHost => freeze_hosts(storm, &hosts),
            Fault::Kill => {
                for holder in holders {
                    kill(holder.pid, libc::SIGKILL);
                }
            }
            Fault::Terminate => {
                for kind in Kind::ALL {
                    server.psql(ADMIN, &terminate(kind.name()));
                }
            }
            Fault::Restart(mode) => {
                server.try_control(&["restart", "-m", mode]);
                start(storm);
            }
            Fault::KillPostmaster => {
                let path = server.data().join("postmaster.pid");
                let text = fs::read_to_string(path).unwrap_or_default();
                let first = text.lines().next();
                if let Some(pid) = first.and_then(|line| line.parse().ok()) {
                    kill(pid, libc::SIGKILL);
                    // Or it would look as if it ran.
                    eventually("it is gone", || state(pid).is_none());
                }
                start(storm);
            }
            Fault::FreezeServer => {
                send(storm, libc::SIGSTOP);
                wait(10);
                send(storm, libc::SIGCONT);
            }
            Fault::Gone(seconds) => {
                network.cut(ADDRESS, BOTH);
                // As of a machine without power, nothing is left of its connections that could say
                // so later.
                let mut forget = in_network_of(network.of_server.pid(), "ss");
                let port = format!(":{}", server.port);
                forget.args(["-K", "-tn", "sport", "=", &port]).run();
                send(storm, libc::SIGKILL);
                wait(seconds);
                start(storm);
                network.heal(ADDRESS);
            }
        }
    }
}

/// As many others.
fn next_to(hosts: &BTreeSet<usize>, all: usize) -> BTreeSet<usize> {
    let others = (0..all).filter(|host| !hosts.contains(host));
    others.take(hosts.len()).collect()
}

fn wait(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

fn terminate(name: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND (classid::bigint << 32) | objid::bigint = {}",
        number(name)
    )
}

/// Sends all processes of the server a signal.
fn send(storm: &Storm<'_>, signal: i32) {
    for pid in processes(&storm.network.of_server) {
        kill(pid, signal);
    }
}

/// All that run in this place, but for the one that has it.
fn processes(place: &Namespace) -> Vec<u32> {
    let network = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let here = network(place.pid());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != place.pid() && network(pid) == here)
        .collect()
}

/// Starts the server, unless it runs.
pub fn start(storm: &Storm<'_>) {
    let server = &storm.network.server;
    let begin = Instant::now();
    while server.try_control(&["status"]).code() != Some(0) {
        server.try_control(&["start"]);
        assert!(begin.elapsed() < PATIENCE, "no server: {}", server.log());
        thread::sleep(Duration::from_millis(100));
    }
}

/// The whole host: the job, its guardian, and those who try.
fn freeze_hosts(storm: &Storm<'_>, hosts: &BTreeSet<usize>) {
    storm.set_frozen(hosts, true);
    let on_them = || {
        hosts
            .iter()
            .flat_map(|&host| processes(&storm.hosts[host].place))
    };
    eventually("all of the host is stopped", || {
        let mut running = on_them()
            .filter(|&pid| !matches!(state(pid), Some('T' | 'Z') | None))
            .peekable();
        let done = running.peek().is_none();
        running.for_each(|pid| kill(pid, libc::SIGSTOP));
        done
    });
    wait(LONG + 3);
    // All at one time, as far as can be.
    let all: Vec<_> = on_them().collect();
    storm.thaws.lock().unwrap().push(now());
    all.into_iter().for_each(|pid| kill(pid, libc::SIGCONT));
    storm.set_frozen(hosts, false);
}
