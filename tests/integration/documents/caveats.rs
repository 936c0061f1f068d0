//! Caveats of the man page that belong to no other family: which programs keep the lock for what they
//! start and which do not, and whom the lock does not keep out.

// Descriptors are seen through /proc.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, Watchdog, becomes_free, eventually, has_tool, is_root,
    locks_on, nonoverlap, quoted,
};

/// Tells the open files of the process.
const OPEN_FILES: &str = "ls -l /proc/$$/fd; :";

/// What starts another program, and keeps the descriptor for it.
#[rustfmt::skip] // A row a line is how a table is read.
const KEEPERS: &[&[&str]] = &[
    &["dash", "-c", OPEN_FILES],
    &["bash", "-c", OPEN_FILES],
    &["zsh", "-fc", OPEN_FILES],
    &["ksh", "-c", OPEN_FILES],
    &["env", "sh", "-c", OPEN_FILES],
    &["nice", "sh", "-c", OPEN_FILES],
    &["nohup", "sh", "-c", OPEN_FILES],
    &["setsid", "-w", "sh", "-c", OPEN_FILES],
    &["timeout", "60", "sh", "-c", OPEN_FILES],
    &["setpriv", "--no-new-privs", "sh", "-c", OPEN_FILES],
    &["fish", "--no-config", "-c", "sh -c 'ls -l /proc/$$/fd; :'"],
    &["perl", "-e", "system @ARGV", "sh", "-c", OPEN_FILES],
    &["python3", "-c", "import os, sys; os.system(sys.argv[1])", OPEN_FILES],
    &["python3", "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], close_fds=False)", "sh", "-c", OPEN_FILES],
];

#[test]
fn what_these_programs_start_holds_the_lock() {
    let su: &[&str] = &["su", "-c", OPEN_FILES];
    for command in KEEPERS.iter().chain(is_root().then_some(&su)) {
        if has_tool(command[0], "a program that keeps the lock") {
            assert!(is_kept_by(command), "{command:?}");
        }
    }
}

#[test]
fn what_pythons_subprocess_starts_does_not_hold_the_lock() {
    const RUN: &str = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)";
    if has_tool("python3", "subprocess of Python") {
        let command = ["python3", "-c", RUN, "sh", "-c", OPEN_FILES];
        assert!(!is_kept_by(&command));
    }
}

/// What ksh93 and mksh open by exec is close-on-exec, which a redirection of the command undoes. mksh
/// is not tried: mksh(1) says so under exec.
#[test]
fn a_descriptor_that_ksh_has_opened_by_exec_is_passed_on_where_it_is_named() {
    if !has_tool("ksh", "descriptors of its exec") {
        return;
    }
    let scene = Scene::new();
    let status = |passed: &str| {
        let script = format!(
            "exec 9>job.lock\n{} 9 {passed}",
            quoted(NONOVERLAP.as_ref())
        );
        let mut ksh = Command::new("ksh");
        ksh.args(["-c", &script]).current_dir(scene.path(""));
        ksh.run().code()
    };
    assert_eq!(status(""), Some(65));
    assert_eq!(status("9>&9"), Some(0));
}

/// As tmux, screen and docker do: their server has been there before, and starts what they ask for.
#[test]
fn what_is_handed_to_a_server_runs_without_the_lock() {
    let scene = Scene::new();
    let fifo = scene.path("orders");
    Command::new("mkfifo").arg(&fifo).run().expect(0, "", "");
    let mut server = Command::new("sh");
    server
        .arg("-c")
        .arg("exec sh <orders")
        .current_dir(scene.path(""));
    let server = server.stdout(Stdio::piped()).spawn().unwrap();
    let _watchdog = Watchdog::over(&server);
    let order = format!("echo '{OPEN_FILES}' >{}", quoted(&fifo));
    let ended = nonoverlap([scene.lock()]).args(["sh", "-c", &order]).run();
    ended.expect(0, "", "");
    let server = server.wait_with_output().unwrap();
    let said = String::from_utf8(server.stdout).unwrap();
    assert!(said.contains(" 1 -> "), "{said}");
    assert!(!said.contains(scene.lock().to_str().unwrap()), "{said}");
}

/// A tmux whose socket is in the scene, and which is gone at the end.
struct Tmux(Scene);

impl Tmux {
    fn sh(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.0.path(""));
        shell.env("TERM", "dumb").env_remove("TMUX");
        shell
    }

    fn command(&self, words: &str) -> Command {
        self.sh(&format!("exec tmux -S server -f /dev/null {words}"))
    }

    fn under_lock(&self, words: &str) {
        let program = quoted(NONOVERLAP.as_ref());
        let lock = quoted(&self.0.lock());
        let line = format!("exec {program} {lock} tmux -S server -f /dev/null {words}");
        self.sh(&line).run().expect(0, "", "");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command("kill-server").output();
    }
}

#[test]
fn what_is_handed_to_tmux_has_the_lock_only_if_tmux_is_started_for_it() {
    if !has_tool("tmux", "a server that starts commands") {
        return;
    }
    let tmux = Tmux(Scene::new());
    let new = "new-session -d 'exec cat'";
    // The server that the job starts inherits the lock, and keeps it when the job has ended.
    tmux.under_lock(new);
    let is_locked = || !locks_on(&tmux.0.lock()).is_empty();
    eventually("the server has the lock", is_locked);
    tmux.command("kill-server").run().expect(0, "", "");
    becomes_free(&tmux.0.lock());
    // One that was there before does not have it, and neither does what it starts.
    eventually("the server is gone", || {
        tmux.command("list-sessions").run().code() == Some(1)
    });
    tmux.command(new).run().expect(0, "", "");
    tmux.under_lock(new);
    becomes_free(&tmux.0.lock());
    // What is in the session holds it, if it is nonoverlap that is started there.
    let lock = quoted(&tmux.0.lock());
    let command = format!("{} {lock} cat", quoted(NONOVERLAP.as_ref()));
    tmux.command(&format!("new-session -d {}", quoted(command.as_ref())))
        .run()
        .expect(0, "", "");
    eventually("it is held", || !locks_on(&tmux.0.lock()).is_empty());
    tmux.command("kill-server").run().expect(0, "", "");
    becomes_free(&tmux.0.lock());
}

#[test]
fn what_follows_the_command_in_a_line_of_the_shell_runs_without_the_lock() {
    let scene = Scene::new();
    let (program, lock) = (quoted(Path::new(NONOVERLAP)), quoted(&scene.lock()));
    let holds = |line: &str| {
        let line =
            format!("{program} {lock} {line}").replace("FILES", "sh -c 'ls -l /proc/$$/fd; :'");
        let ended = Command::new("sh").args(["-c", &line]).run();
        assert!(ended.stdout().contains(" 1 -> "), "{ended:?}");
        ended.stdout().contains(scene.lock().to_str().unwrap())
    };
    assert!(holds("FILES"));
    for between in ["&&", ";", "|"] {
        assert!(!holds(&format!("true {between} FILES")), "{between}");
    }
    assert!(holds(r#"-c "true && sh -c 'ls -l /proc/\$\$/fd; :'""#));
}

#[test]
fn the_shell_empties_the_output_file_of_a_refused_run_and_a_log_is_kept() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let (out, data, log) = (
        scene.file("out", "earlier\n"),
        scene.file("data", "earlier\n"),
        scene.file("log", "earlier\n"),
    );
    let refused = |rest: &str| {
        let (program, lock) = (quoted(Path::new(NONOVERLAP)), quoted(&scene.lock()));
        let line = format!("{program} {}", rest.replace("LOCK", &lock));
        Command::new("sh")
            .args(["-c", &line])
            .run()
            .expect(1, "", "");
    };
    refused(&format!("LOCK echo new >{}", quoted(&out)));
    assert_eq!(fs::read(&out).unwrap(), b"");
    refused(&format!("--log {} LOCK echo new", quoted(&log)));
    let kept = fs::read_to_string(&log).unwrap();
    assert!(kept.starts_with("earlier\n"), "{kept}");
    // The shell that nonoverlap starts empties it, if it starts one.
    let into_data = format!("echo new >{}", quoted(&data));
    refused(&format!("LOCK -c {}", quoted(Path::new(&into_data))));
    assert_eq!(fs::read(&data).unwrap(), b"earlier\n");
    holder.end();
    let mut command = nonoverlap([scene.lock()]);
    command.args(["-c", &into_data]).run().expect(0, "", "");
    assert_eq!(fs::read(&data).unwrap(), b"new\n");
}

/// Whether the program that tells its open files has the lock file open.
fn is_kept_by(command: &[&str]) -> bool {
    let scene = Scene::new();
    let ended = nonoverlap([scene.lock()]).args(command).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout().contains(" 0 -> "), "{ended:?}");
    ended.stdout().contains(scene.lock().to_str().unwrap())
}

#[test]
fn who_does_not_ask_for_the_lock_reads_and_writes_the_file_as_ever() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    fs::write(scene.lock(), "from somebody").unwrap();
    assert_eq!(fs::read(scene.lock()).unwrap(), b"from somebody");
}
