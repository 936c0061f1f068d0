//! Files on which a program has a lease, as Samba and NFS servers take them (fcntl(2), F_SETLEASE).

use std::path::Path;
use std::process::Command;

use crate::support::harness::{Holder, Run, Scene, has_tool, nonoverlap, record_of};

/// What is said of such a file.
const LEASED: &str = "a program has a lease on it, such as Samba or an NFS server; the kernel has asked for \
    the lease back, so try again";

/// Has a lease on a file of this kind, F_RDLCK or F_WRLCK, and does not give it back before it ends. The
/// kernel would take it after 45 s.
fn holder(path: &Path, kind: &str) -> Holder {
    let script = r#"
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
path, kind = sys.argv[1], getattr(fcntl, sys.argv[2])
file = os.open(path, os.O_RDONLY if kind == fcntl.F_RDLCK else os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, kind)
print("held", flush=True)
sys.stdin.read()
"#;
    let mut python = Command::new("python3");
    Holder::start(python.args(["-c", script]).arg(path).arg(kind))
}

#[test]
fn a_lease_on_the_lock_file_is_65_and_named() {
    if !has_tool("python3", "a lease") {
        return;
    }
    let scene = Scene::new();
    let lock = scene.file("lock", "");
    let holder = holder(&lock, "F_WRLCK");
    let said = format!("nonoverlap: cannot lock {}: {LEASED}\n", lock.display());
    for options in [&[][..], &["-q"], &["-b"], &["-s"], &["--fcntl"], &["-j2"]] {
        let mut command = nonoverlap(options);
        command.arg(&lock).args(["echo", "ran"]);
        command.run().expect(65, "", &said);
    }
    holder.end();
    let mut command = nonoverlap([&lock]);
    command.args(["echo", "ran"]).run().expect(0, "ran\n", "");
}

#[test]
fn under_a_lease_for_reading_a_run_has_the_lock_and_no_record_and_says_so() {
    if !has_tool("python3", "a lease") {
        return;
    }
    let scene = Scene::new();
    let lock = scene.file("lock", record_of(2_000_000_000));
    let holder = holder(&lock, "F_RDLCK");
    let ended = nonoverlap(["-v"]).arg(&lock).arg("true").run();
    let said = format!(
        "nonoverlap: cannot write the PID into {}: {LEASED}; running all the same\n",
        lock.display()
    );
    assert!(ended.stderr().starts_with(&said), "{ended:?}");
    assert_eq!(ended.code(), Some(0));
    holder.end();
}

#[test]
fn a_lease_on_the_log_is_73_or_66_and_named() {
    if !has_tool("python3", "a lease") {
        return;
    }
    let scene = Scene::new();
    let log = scene.file("log", "");
    let holder = holder(&log, "F_RDLCK");
    let mut command = nonoverlap(["--log".as_ref(), log.as_os_str()]);
    let said = format!("nonoverlap: cannot open log {}: {LEASED}\n", log.display());
    command.arg(scene.lock()).args(["echo", "ran"]);
    command.run().expect(73, "", &said);
    assert!(!scene.lock().exists());
    holder.end();
    let holder = self::holder(&log, "F_WRLCK");
    let mut command = nonoverlap(["--history".as_ref(), log.as_os_str()]);
    let said = format!("nonoverlap: cannot read log {}: {LEASED}\n", log.display());
    command.run().expect(66, "", &said);
    let mut command = nonoverlap(["--status".as_ref(), "--log".as_ref(), log.as_os_str()]);
    let ended = command.arg(scene.lock()).run();
    let said = format!("\n{}: cannot read the log: {LEASED}\n", log.display());
    assert!(ended.stdout().ends_with(&said), "{ended:?}");
    holder.end();
}
