//! A server and hosts that are network namespaces, and a switch between them all whose links can be
//! cut. The namespaces have no names, and each is gone with the process that was started for it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::harness::{HOLD, Run, has_tool, is_root, left_out};
use crate::server::{ROLE, Server, in_network_of, nonoverlap};

/// Which packets are dropped.
#[derive(Clone, Copy)]
pub enum Way {
    ToServer,
    FromServer,
}

impl Way {
    /// The set in which the switch has whose packets these are.
    fn set(self) -> &'static str {
        match self {
            Way::ToServer => "from",
            Way::FromServer => "to",
        }
    }
}

/// A server, and a switch that it and all hosts have a cable to.
pub struct Network {
    pub server: Server,
    switch: Namespace,
    pub of_server: Namespace,
    /// How many cables there are.
    cables: AtomicU8,
}

/// Where the server is, and which cable it has.
pub const ADDRESS: u8 = 1;

impl Network {
    /// None where this cannot be had, which is said.
    pub fn new() -> Option<Network> {
        let what = "what a cut link does";
        if !is_root() {
            left_out(what, "only root can make a network");
            return None;
        }
        let tools = ["unshare", "nsenter", "ip", "ss", "tc", "nft"];
        if !tools.iter().all(|tool| has_tool(tool, what)) {
            return None;
        }
        let possible =
            "ip link add port1 type veth peer name eth0 && ip link add switch type bridge &&
            nft add table bridge cut";
        let trial = Command::new("unshare")
            .args(["--net", "sh", "-c", possible])
            .run();
        if trial.code() != Some(0) {
            left_out(what, &trial.stderr());
            return None;
        }
        let (switch, of_server) = (Namespace::new(), Namespace::new());
        switch.shell(
            "ip link add switch type bridge
            ip link set switch up
            nft -f - <<'END'
            table bridge cut {
                set from { type ifname; }
                set to { type ifname; }
                chain forward {
                    type filter hook forward priority 0;
                    iifname @from drop
                    oifname @to drop
                }
            }
END",
        );
        let cables = AtomicU8::new(ADDRESS);
        cable(&switch, &of_server, cables.fetch_add(1, Ordering::Relaxed));
        let server = Server::inside(of_server.pid(), "");
        Some(Network {
            server,
            switch,
            of_server,
            cables,
        })
    }

    /// One more host.
    pub fn host(&self) -> Host<'_> {
        let place = Namespace::new();
        let number = self.cables.fetch_add(1, Ordering::Relaxed);
        cable(&self.switch, &place, number);
        Host {
            network: self,
            place,
            number,
        }
    }

    pub fn lock(&self, name: &str) -> String {
        let port = self.server.port;
        format!("postgresql://{ROLE}@10.0.0.{ADDRESS}:{port}/postgres#{name}")
    }

    /// Cuts this cable.
    pub fn cut(&self, number: u8, ways: &[Way]) {
        let element = |way: &Way| {
            let set = way.set();
            format!("add element bridge cut {set} {{ port{number} }}\n")
        };
        self.switch_rules(&ways.iter().map(element).collect::<String>());
    }

    /// Ends every cut of this cable, if there is one.
    pub fn heal(&self, number: u8) {
        let element = |set| {
            // Adding what is there is no error, but taking away what is not would be one.
            let element = format!("element bridge cut {set} {{ port{number} }}\n");
            format!("add {element}delete {element}")
        };
        self.switch_rules(&["from", "to"].map(element).concat());
    }

    fn switch_rules(&self, rules: &str) {
        let mut nft = in_network_of(self.switch.pid(), "nft");
        let ended = nft.args(["-f", "-"]).run_with_input(rules);
        ended.expect(0, "", "");
    }

    pub fn set_server(&self, state: &str) {
        self.of_server.shell(&format!("ip link set eth0 {state}"));
    }
}

/// Connects a namespace with the switch.
fn cable(switch: &Namespace, place: &Namespace, number: u8) {
    let pid = place.pid();
    switch.shell(&format!(
        "ip link add port{number} type veth peer name eth0 netns {pid}
        ip link set port{number} master switch up"
    ));
    place.shell(&format!(
        "ip link set lo up
        ip address add 10.0.0.{number}/24 dev eth0
        ip link set eth0 up"
    ));
}

pub struct Host<'a> {
    network: &'a Network,
    pub place: Namespace,
    pub number: u8,
}

impl Host<'_> {
    /// nonoverlap with these arguments, on this host.
    pub fn nonoverlap(&self, arguments: &[&str]) -> Command {
        let outside = nonoverlap(arguments);
        let mut inside = in_network_of(self.place.pid(), outside.get_program());
        inside.args(outside.get_args());
        for (name, value) in outside.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    pub fn cut(&self, ways: &[Way]) {
        self.network.cut(self.number, ways);
    }

    /// Ends every cut of this host, if there is one.
    pub fn heal(&self) {
        self.network.heal(self.number);
    }
}

/// A network namespace, which lives as long as the process that has it.
pub struct Namespace {
    process: Child,
}

impl Namespace {
    fn new() -> Namespace {
        let mut command = Command::new("unshare");
        command.arg("--net").args(HOLD);
        Namespace {
            process: held(&mut command),
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Does this here, and all of it.
    #[track_caller]
    pub fn shell(&self, script: &str) {
        let ended = in_network_of(self.pid(), "sh")
            .args(["-e", "-c", script])
            .run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its standard input is closed by that, too.
        let _ = self.process.wait();
    }
}

/// Starts [`HOLD`], and returns when it says that it runs.
#[track_caller]
pub fn held(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut said);
    if said != "held\n" {
        panic!("{command:?} said {said:?} and ended: {:?}", child.wait());
    }
    child
}
