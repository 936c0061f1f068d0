//! The commands themselves that close what they inherit, as holders: sudo and ssh. Linux only: mounts
//! of the test's own give them other settings.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{NONOVERLAP, Run, Scene, has_tool, is_root, left_out, quoted};

/// Says "held" and ends with its input.
pub const HOLD: &str = "echo held; exec cat >/dev/null";

/// nonoverlap with these options around a sudo that does not stay beside its command, but becomes it.
pub fn sudo_that_becomes_its_command(scene: &Scene, options: &[&str]) -> Option<Command> {
    if !is_root() {
        left_out("sudo as the holder", "only root may give it other settings");
        return None;
    }
    if !has_tool("sudo", "sudo as the holder") {
        return None;
    }
    // Without these it waits for its command beside it, and does not close what it has itself.
    let settings =
        "Defaults !pam_session, !pam_setcred, !use_pty\nroot ALL=(ALL:ALL) NOPASSWD: ALL\n";
    let settings = scene.file("sudoers", settings);
    fs::set_permissions(&settings, Permissions::from_mode(0o440)).unwrap();
    // Mounted where nobody else sees them.
    let script = "mount --bind sudoers /etc/sudoers && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", NONOVERLAP]);
    command
        .args(options)
        .args(["lock", "sudo", "-n", "sh", "-c", HOLD]);
    command.current_dir(scene.path(""));
    Some(command)
}

/// Whether the sudo of this machine can be run.
pub fn sudo_runs_without_a_password() -> bool {
    if !has_tool("sudo", "sudo as the holder") {
        return false;
    }
    let runs = Command::new("sudo").args(["-n", "true"]).run().code() == Some(0);
    if !runs {
        left_out("sudo as the holder", "it wants a password");
    }
    runs
}

/// The words of an ssh that runs [`HOLD`] on this machine, by an sshd and keys of its own. It is
/// ssh that starts sshd and speaks to it through a pipe, so there is no port that somebody else
/// could have, and sshd ends with it.
pub fn ssh_to_here(scene: &Scene) -> Option<Vec<String>> {
    let sshd = Path::new("/usr/sbin/sshd");
    if !sshd.exists() {
        left_out("ssh as the holder", "there is no /usr/sbin/sshd");
        return None;
    }
    for tool in ["ssh", "ssh-keygen"] {
        if !has_tool(tool, "ssh as the holder") {
            return None;
        }
    }
    let [host, user] = ["host", "user"].map(|name| {
        let path = scene.path(name);
        let mut command = Command::new("ssh-keygen");
        let options = ["-q", "-t", "ed25519", "-N", "", "-f"];
        command.args(options).arg(&path).run().expect(0, "", "");
        path
    });
    let public = user.with_extension("pub");
    let config = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
        PidFile none\nLogLevel ERROR\nPasswordAuthentication no\n",
        host.display(),
        public.display()
    );
    let config = scene.file("sshd_config", config);
    let sshd = format!("exec /usr/sbin/sshd -e -i -f {}", quoted(&config));
    let script = match is_root() {
        // Root's sshd wants a folder that it can do nothing in, and has it among mounts of its own.
        true => format!("mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && {sshd}"),
        false => sshd,
    };
    let proxy = scene.script("proxy", &format!("#!/bin/sh\n{script}\n"));
    let proxy = match is_root() {
        true => format!("ProxyCommand=unshare -m {}", proxy.display()),
        false => format!("ProxyCommand={}", proxy.display()),
    };
    let options = [
        proxy,
        "UserKnownHostsFile=/dev/null".into(),
        "StrictHostKeyChecking=no".into(),
        "IdentitiesOnly=yes".into(),
        "BatchMode=yes".into(),
        "LogLevel=ERROR".into(),
    ];
    let mut words: Vec<String> = ["ssh", "-F", "none", "-T", "-i"].map(String::from).into();
    words.push(user.display().to_string());
    for option in options {
        words.extend(["-o".into(), option]);
    }
    words.push("here".into());
    // Not everybody has a shell to log in to.
    let tried = Command::new(&words[0]).args(&words[1..]).arg("true").run();
    if tried.code() != Some(0) {
        left_out("ssh as the holder", &tried.stderr());
        return None;
    }
    words.push(HOLD.into());
    Some(words)
}
