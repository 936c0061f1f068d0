//! `--max-runtime` among other users' programs, and under other programs that start or end a job.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::guardian::guardian_of;
use super::max_runtime::lives;
use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, Stopped, becomes_free, eventually, has_tool, is_root, left_out,
    nonoverlap, not_here, state,
};
use crate::support::machine::as_ordinary_user;

/// The settings of sudo: of one that becomes its command, of one that stays beside it, and of one that
/// gives it a terminal of its own.
const SUDOS: [&str; 3] = [
    "Defaults !pam_session, !pam_setcred, !use_pty",
    "Defaults !use_pty",
    "Defaults use_pty",
];

/// A command behind which sudo has these settings, and wants no password of anybody.
fn with_sudo(scene: &Scene, settings: &str, command: &Command) -> Option<Command> {
    if !is_root() {
        left_out("a job of sudo's", "only root may give it other settings");
        return None;
    }
    if !has_tool("sudo", "a job of sudo's") {
        return None;
    }
    let settings = scene.file(
        "sudoers",
        format!("{settings}\nALL ALL=(ALL:ALL) NOPASSWD: ALL\n"),
    );
    fs::set_permissions(&settings, Permissions::from_mode(0o440)).unwrap();
    // Mounted where nobody else sees them.
    let script = "mount --bind sudoers /etc/sudoers && exec \"$@\"";
    let mut behind = Command::new("unshare");
    // Without the terminal that the tests may have.
    behind.args(["-m", "sh", "-c", script, "sh", "setsid"]);
    behind.arg(command.get_program()).args(command.get_args());
    behind.current_dir(scene.path(""));
    Some(behind)
}

/// Files that everybody may write to.
fn for_everybody<const N: usize>(scene: &Scene, names: [&str; N]) {
    for name in names {
        let file = scene.file(name, "");
        fs::set_permissions(file, Permissions::from_mode(0o666)).unwrap();
    }
}

/// What an ordinary user may not end goes on, and the log says so.
#[test]
fn a_job_that_has_become_another_users_is_not_ended_and_the_log_says_so() {
    let scene = Scene::new();
    // Made before there are others in the folder.
    let mut command = as_ordinary_user(&scene);
    for_everybody(&scene, ["l", "log"]);
    let mut fifo = Command::new("mkfifo");
    fifo.arg(scene.path("fifo")).run().expect(0, "", "");
    // Its output goes to the log, but for what it says here.
    let job = "echo held >&3; read -r line <fifo\n\
        exec sudo -n sh -c 'echo begun >begun; cat; exit 6'";
    command.args(["--max-runtime", "1", "--kill-after", "0.1", "--log", "log"]);
    command.args(["l", "sh", "-c", job]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3>&1; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    let Some(mut command) = with_sudo(&scene, SUDOS[0], &shell) else {
        return;
    };
    let mut holder = Holder::start(&mut command);
    let pid = holder.pid();
    // Its time is not told to be over before sudo is another user's.
    let stopped = Stopped::new(guardian_of(pid).expect("a guardian"));
    fs::write(scene.path("fifo"), "begin\n").unwrap();
    eventually("it is root's", || scene.path("begun").exists());
    drop(stopped);

    let log = || fs::read_to_string(scene.path("log")).unwrap();
    eventually("both signals were tried", || log().lines().count() == 3);
    assert!(!holder.has_ended());
    assert_eq!(holder.end().code(), Some(6));
    eventually("its end is logged", || log().lines().count() == 4);
    let log = log();
    let lines: Vec<_> = log.lines().map(|line| &line[26..]).collect();
    let of_pid = |what: &str| format!("nonoverlap: l: PID {pid} {what}");
    for (line, signal) in [(lines[1], 15), (lines[2], 9)] {
        let what = format!("cannot send signal {signal} to PID {pid}: Operation not permitted");
        assert_eq!(line, format!("nonoverlap: l: {what}"), "{log}");
    }
    // It has not ended because of that. (How it did, the guardian may not see.)
    assert!(lines[3].starts_with(&of_pid("ended after ")), "{log}");
    assert!(!lines[3].contains("by --max-runtime"), "{log}");
    becomes_free(&scene.path("l"));
}

/// A sudo that stays beside its command keeps its caller's real user ID, so the caller's signal reaches
/// it, and it hands it on.
#[test]
fn a_sudo_beside_its_command_hands_sigterm_on_and_the_job_ends() {
    for settings in &SUDOS[1..] {
        let scene = Scene::new();
        let mut command = as_ordinary_user(&scene);
        for_everybody(&scene, ["l", "pid"]);
        let job = "echo $$ >pid; exec sleep 1000";
        command.args(["--max-runtime", "1", "l", "sudo", "-n", "sh", "-c", job]);
        let Some(mut command) = with_sudo(&scene, settings, &command) else {
            return;
        };
        let ended = command.run();
        assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
        if let Ok(pid) = fs::read_to_string(scene.path("pid"))
            .unwrap()
            .trim()
            .parse()
        {
            eventually("its command has ended", || state(pid).is_none());
        }
        becomes_free(&scene.path("l"));
    }
}

/// Root may end whatever it is.
#[test]
fn a_job_that_root_has_started_is_ended_whoevers_it_is() {
    if !is_root() {
        return left_out("a job of another user's", "only root can start one");
    }
    for settings in SUDOS {
        let scene = Scene::new();
        let mut command = nonoverlap(["--max-runtime", "1"]);
        command
            .arg(scene.lock())
            .args(["sudo", "-n", "-u", "nobody", "sleep", "1000"]);
        let Some(mut command) = with_sudo(&scene, settings, &command) else {
            return;
        };
        is_ended(&scene, &mut command);
    }
    let scene = Scene::new();
    let mut command = bounded(&scene);
    command.args([
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]);
    is_ended(&scene, command.args(["sh", "-c", "sleep 1000; :"]));

    // It makes a session for its command, and ends it when it is ended.
    let scene = Scene::new();
    let mut command = bounded(&scene);
    command.args(["su", "-s", "/bin/sh", "nobody", "-c", "exec sleep 1000"]);
    is_ended(&scene, &mut command);
}

/// What starts it in a session of its own, or with SIGHUP ignored, changes nothing.
#[test]
fn under_setsid_and_nohup_the_whole_job_is_ended() {
    for starter in [&["setsid"][..], &["setsid", "nohup"]] {
        let scene = Scene::new();
        let mut command = bounded_by_way_of(starter, &scene);
        is_ended(&scene, command.args(["sh", "-c", "sleep 1000; :"]));
    }
}

/// As a service of its own, which systemd ends when its first process has ended.
#[test]
fn under_systemd_run_the_whole_job_is_ended() {
    const WHAT: &str = "a job of systemd-run's";
    if !Path::new("/run/systemd/system").exists() {
        return not_here(WHAT, "systemd is not process 1 of this machine");
    }
    if !is_root() {
        return left_out(WHAT, "only root may start a service");
    }
    let scene = Scene::new();
    let log = scene.path("log");
    let mut run = Command::new("systemd-run");
    run.args(["--wait", "--pipe", "--quiet", "--collect", NONOVERLAP]);
    run.args(["--max-runtime", "1", "--log"]);
    run.arg(&log).arg(scene.lock());
    // How it tells of a signal is its own matter.
    let start = Instant::now();
    run.args(["sh", "-c", "sleep 1000; :"]).run();
    assert!(start.elapsed() >= Duration::from_secs(1));
    let record = fs::read_to_string(scene.lock()).unwrap();
    let pid: u32 = record.trim().parse().unwrap();
    eventually("nobody is left", || !lives(pid));
    becomes_free(&scene.lock());
    let text = || fs::read_to_string(&log).unwrap();
    eventually("its end is logged", || {
        text().ends_with(", by --max-runtime 1\n")
    });
}

/// nonoverlap that ends its job after a second, by way of this.
fn bounded_by_way_of(starter: &[&str], scene: &Scene) -> Command {
    let mut command = Command::new(starter[0]);
    command.args(&starter[1..]);
    command.args([NONOVERLAP, "--max-runtime", "1"]);
    command.arg(scene.lock());
    command
}

/// The same, without the terminal that the tests may have.
fn bounded(scene: &Scene) -> Command {
    bounded_by_way_of(&["setsid"], scene)
}

/// It ends by SIGTERM, and nobody of it is left: neither in its group, nor elsewhere with the lock that
/// all of them have inherited.
#[track_caller]
fn is_ended(scene: &Scene, command: &mut Command) {
    let ended = command.run();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    let pid: u32 = fs::read_to_string(scene.lock())
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    eventually("nobody is left", || !lives(pid));
    becomes_free(&scene.lock());
}
