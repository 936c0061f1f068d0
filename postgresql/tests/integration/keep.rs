//! Promises about how long the lock is kept: as long as anybody has the connection's descriptor,
//! whatever the command is.

// Descriptors are seen through /proc.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Read;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::harness::{
    HOLD, Holder, PATIENCE, Run, Watchdog, eventually, has_tool, is_root, left_out,
};
use crate::server::{Server, nonoverlap};

/// Says "held" and ends with its input.
const LINE: &str = "echo held; exec cat >/dev/null";

/// The same, after it has used the descriptors that scripts use.
const LINE_OF_SCRIPT: &str = "
    exec 3>/dev/null 4>/dev/null 5>/dev/null 6>/dev/null 7>/dev/null 8>/dev/null 9>/dev/null
    exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    echo held; exec cat >/dev/null";

/// What starts another program, and keeps the lock until that has ended.
#[rustfmt::skip] // A row a line is how a table is read.
const KEEPERS: &[&[&str]] = &[
    &["sh", "-c", LINE_OF_SCRIPT],
    &["bash", "-c", LINE_OF_SCRIPT],
    &["env", "sh", "-c", LINE],
    &["nice", "sh", "-c", LINE],
    &["setsid", "-w", "sh", "-c", LINE],
    &["setpriv", "--no-new-privs", "sh", "-c", LINE],
    &["timeout", "60", "sh", "-c", LINE],
    &["python3", "-c", "import os, sys; os.system(sys.argv[1])", LINE],
    &["python3", "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", "sh", "-c", LINE],
];

#[rustfmt::skip]
const KEEPERS_OF_ROOTS: &[&[&str]] = &[
    &["su", "-c", LINE],
    &["su", "-s", "/bin/sh", "-c", LINE, "nobody"],
    &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", LINE],
];

#[test]
fn these_programs_keep_the_lock_until_they_end() {
    let server = Server::start();
    for command in KEEPERS {
        if has_tool(command[0], "a program that keeps the lock") {
            keeps_the_lock(&server, command);
        }
    }
    match is_root() {
        true => KEEPERS_OF_ROOTS
            .iter()
            .for_each(|command| keeps_the_lock(&server, command)),
        false => left_out("su and setpriv that become another user", "only root can"),
    }
}

/// It closes what it has inherited, but for its command only: it waits for it, and has the lock.
#[test]
fn sudo_keeps_the_lock_until_its_command_ends() {
    if !has_tool("sudo", "sudo as the holder") {
        return;
    }
    let tried = Command::new("sudo").args(["-n", "true"]).run();
    if tried.code() != Some(0) {
        return left_out("sudo as the holder", &tried.stderr());
    }
    keeps_the_lock(&Server::start(), &["sudo", "-n", "sh", "-c", LINE]);
}

#[track_caller]
fn keeps_the_lock(server: &Server, command: &[&str]) {
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(command));
    assert_eq!(server.holders("job"), 1, "{command:?}");
    nonoverlap([&*lock, "true"]).run().expect(1, "", "");
    assert!(holder.end().success(), "{command:?}");
    server.until_free("job");
    eventually("its session has ended", || server.sessions() == 0);
}

/// From 60 up, where no script looks, and one only: more would be more to keep the lock.
#[test]
fn the_command_has_one_descriptor_more() {
    let server = Server::start();
    let holder = Holder::start(nonoverlap([server.lock("job")]).args(HOLD)).settled();
    assert_eq!(sockets(holder.pid()), [60]);
}

#[test]
fn a_child_that_outlives_the_command_keeps_the_lock() {
    let server = Server::start();
    let lock = server.lock("job");
    let child = Outliving::start(&server, &[]);
    assert_eq!(server.holders("job"), 1);
    nonoverlap([&*lock, "true"]).run().expect(1, "", "");
    child.end();
    server.until_free("job");
    nonoverlap([&*lock, "true"]).run().expect(0, "", "");
}

#[test]
fn with_close_a_child_that_outlives_the_command_does_not_keep_the_lock() {
    let server = Server::start();
    let child = Outliving::start(&server, &["-o"]);
    server.until_free("job");
    nonoverlap([&*server.lock("job"), "true"])
        .run()
        .expect(0, "", "");
    child.end();
}

#[test]
fn with_close_a_guardian_has_the_lock_as_long_as_the_command_lives() {
    let server = Server::start();
    let lock = server.lock("job");
    for signal in [None, Some(libc::SIGKILL)] {
        let holder = Holder::start(nonoverlap(["-o", &lock]).args(HOLD)).settled();
        assert_eq!(sockets(holder.pid()), [] as [u32; 0]);
        assert_eq!(server.holders("job"), 1);
        let refused = nonoverlap(["-v", &lock, "true"]).run();
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        let named = format!("PID {} (", holder.pid());
        assert!(refused.stderr().contains(&named), "{refused:?}");
        match signal {
            None => assert!(holder.end().success()),
            Some(signal) => assert!(!holder.kill(signal).success()),
        }
        server.until_free("job");
        eventually("its session has ended", || server.sessions() == 0);
    }
}

/// A child that has its parent's stdin, so that it ends with that, and its parent's descriptors.
struct Outliving {
    stdin: ChildStdin,
    pid: u32,
}

impl Outliving {
    /// Runs a command that leaves such a child behind, and returns when the command has ended.
    #[track_caller]
    fn start(server: &Server, options: &[&str]) -> Outliving {
        let script = "exec 4<&0; cat <&4 >/dev/null 2>&1 & echo $!";
        let mut command = nonoverlap(options);
        command.arg(server.lock("job")).args(["sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command: Child = command.spawn().unwrap();
        let watchdog = Watchdog::over(&command);
        let stdin = command.stdin.take().unwrap();
        let mut said = String::new();
        let mut stdout = command.stdout.take().unwrap();
        stdout.read_to_string(&mut said).unwrap();
        assert!(command.wait().unwrap().success());
        assert!(!watchdog.has_bitten(), "took longer than {PATIENCE:?}");
        let pid = said.trim_end().parse().unwrap();
        assert!(lives(pid));
        Outliving { stdin, pid }
    }

    /// Lets it end.
    #[track_caller]
    fn end(self) {
        assert!(lives(self.pid));
        drop(self.stdin);
        eventually("it has ended", || !lives(self.pid));
    }
}

fn lives(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

/// The numbers of a process's descriptors that are sockets.
fn sockets(pid: u32) -> Vec<u32> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let is_socket = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    let sockets = descriptors.filter(is_socket);
    let mut numbers: Vec<u32> = sockets
        .map(|entry| entry.file_name().to_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}
