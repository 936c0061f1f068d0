//! `--max-runtime`: the job ends, and not only its shell.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::harness::{
    Holder, NONOVERLAP, Orphan, Run, Scene, Stopped, becomes_free, eventually, has_tool,
    holds_lock, is_root, kill, left_out, locks_on, nonoverlap, state,
};

use rustix::process::setsid;

use super::guardian::guardian_of;
use crate::support::probe::in_child;

/// Has a command run without a terminal, also where the tests are run at one: in a session of its own,
/// as the leader of a group.
pub fn without_a_terminal(command: &mut Command) {
    if File::open("/dev/tty").is_ok() {
        in_session_of_its_own(command);
    }
}

/// Has a command run as the leader of a session, which has no terminal.
fn in_session_of_its_own(command: &mut Command) {
    in_child(command, || Ok(setsid().map(drop)?));
}

/// nonoverlap that ends its job after a second, and what is left of it half a second later.
fn bounded(scene: &Scene, options: &[&str]) -> Command {
    let mut command = nonoverlap(["--max-runtime", "1", "--kill-after", "0.5"]);
    without_a_terminal(&mut command);
    command.args(options).arg(scene.lock());
    command
}

/// Whether anybody is in a process group, other than zombies.
pub fn lives(group: u32) -> bool {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut stats = pids.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    stats.any(|stat| {
        let words: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        words[2] == group.to_string() && !["Z", "X"].contains(&words[0])
    })
}

/// Whatever the job is made of, its group is gone and the lock is free. What is said of the caller is
/// what the command's own process does at SIGTERM.
#[test]
fn the_whole_job_is_ended() {
    const KILLED: Result<i32, i32> = Err(libc::SIGKILL);
    const ENDED: Result<i32, i32> = Err(libc::SIGTERM);
    for (job, end) in [
        ("exec sleep 1000", ENDED),
        // A script of two processes, which without a group would leave one that holds the lock.
        ("sleep 1000; :", ENDED),
        ("sleep 1000 & sleep 1000 & wait", ENDED),
        ("sleep 1000 | sleep 1000 | sleep 1000", ENDED),
        ("trap '' TERM; while :; do sleep 0.01; done", KILLED),
        ("(trap '' TERM; sleep 1000; sleep 1000; :) & wait", ENDED),
        ("trap 'exit 7' TERM; while :; do sleep 0.01; done", Ok(7)),
        // What is stopped hears nothing until it is woken.
        ("kill -STOP $$", ENDED),
        ("sleep 1000 & kill -STOP $!; wait", ENDED),
    ] {
        for options in [&[][..], &["--close"]] {
            let scene = Scene::new();
            // On a busy machine it takes its time to end by itself.
            let after = if end.is_ok() { "50" } else { "0.5" };
            let mut child = bounded(&scene, &[options, &["--kill-after", after]].concat());
            let mut child = child.args(["sh", "-c", job]).spawn().unwrap();
            let group = child.id();
            let start = Instant::now();
            let status = child.wait().unwrap();
            assert!(start.elapsed() >= Duration::from_millis(990), "{job}");
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            let ended = signal.map_or_else(|| Ok(status.code().unwrap()), Err);
            assert_eq!(ended, end, "{job} {options:?}");
            eventually("nobody is left", || !lives(group));
            becomes_free(&scene.lock());
        }
    }
}

#[test]
fn a_command_that_is_quicker_hears_nothing() {
    let scene = Scene::new();
    for options in [&[][..], &["-o"], &["-s"], &["-j", "2"], &["-w", "5"]] {
        let mut command = nonoverlap(["--max-runtime", "1h"]);
        command.args(options).arg(scene.lock());
        command.args(["echo", "ran"]).run().expect(0, "ran\n", "");
        becomes_free(&scene.lock());
    }
}

/// Who has left the group is not the job any more. He keeps the lock that he has inherited.
#[test]
fn who_left_the_group_runs_on_and_status_names_it() {
    let scene = Scene::new();
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!; wait";
    let ended = bounded(&scene, &[]).args(["sh", "-c", script]).run();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    let left = Orphan(ended.stdout().trim().parse().unwrap());
    assert!(left.runs() && holds_lock(left.0, &scene.lock()));
    let said = nonoverlap(["--status"]).arg(scene.lock()).run().stdout();
    assert!(
        said.contains(&format!(": held by PID {} for ", left.0)),
        "{said}"
    );
    drop(left);
    becomes_free(&scene.lock());
}

/// Of three that have made groups of their own, as a shell with job control does, all three.
#[test]
fn jobs_of_a_shell_with_job_control_are_groups_of_their_own_and_run_on() {
    let scene = Scene::new();
    let script = "set -m; for i in 1 2 3; do sleep 1000 >/dev/null 2>&1 & echo $!; done; wait";
    let ended = bounded(&scene, &[]).args(["bash", "-c", script]).run();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    let left: Vec<_> = ended
        .stdout()
        .lines()
        .map(|pid| Orphan(pid.parse().unwrap()))
        .collect();
    assert_eq!(left.len(), 3);
    let said = nonoverlap(["--status"]).arg(scene.lock()).run().stdout();
    assert!(said.contains(": held by 3 processes for "), "{said}");
    assert!(
        left.iter()
            .all(|it| said.contains(&format!("PID {} ", it.0))),
        "{said}"
    );
    drop(left);
    becomes_free(&scene.lock());
}

#[test]
fn the_caller_and_its_group_hear_nothing() {
    let scene = Scene::new();
    let script = "trap 'echo told' TERM CONT; (trap 'echo told too' TERM CONT; read line; read line) &\n\
                  \"$0\" --max-runtime 0.2 lock sleep 1000; echo $?; wait";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    in_session_of_its_own(&mut shell);
    let ended = shell.run();
    assert_eq!(ended.stdout(), "143\n", "{ended:?}");
}

#[test]
fn the_time_counts_from_the_command_and_not_from_the_wait() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut waiter = nonoverlap(["-w", "60", "--max-runtime", "1"]);
    without_a_terminal(&mut waiter);
    waiter
        .arg(scene.lock())
        .args(["sh", "-c", "echo began; exec sleep 1000"]);
    let mut waiter = waiter.stdout(Stdio::piped()).spawn().unwrap();
    eventually("it waits", || {
        locks_on(&scene.lock())
            .iter()
            .any(|line| line.contains("->"))
    });
    std::thread::sleep(Duration::from_millis(1200)); // Longer than the command's time: that is the point.
    let start = Instant::now();
    assert!(holder.end().success());
    let status = waiter.wait().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGTERM)
    );
}

/// With `--close` the guardian holds the lock until nobody is left.
#[test]
fn with_close_the_lock_is_held_as_long_as_anybody_of_the_job_lives() {
    let scene = Scene::new();
    let mut command = nonoverlap(["-o", "--max-runtime", "2", "--kill-after", "60"]);
    without_a_terminal(&mut command);
    // The shell ends by SIGTERM, and its child goes on until somebody closes the FIFO.
    Command::new("mkfifo")
        .arg(scene.path("fifo"))
        .run()
        .expect(0, "", "");
    let script = "(trap '' TERM; echo held; read line <fifo) & wait";
    command
        .arg(scene.lock())
        .args(["sh", "-c", script])
        .current_dir(scene.path(""));
    let holder = Holder::start(&mut command);
    let pid = holder.pid();
    let guardian = guardian_of(pid).expect("a guardian");
    eventually("the shell has ended", || state(pid) == Some('Z'));
    assert!(holds_lock(guardian, &scene.lock()));
    // What would end it would have come by the time that it has gone round once more.
    drop(Stopped::new(guardian));
    assert!(lives(pid) && holds_lock(guardian, &scene.lock()));
    fs::write(scene.path("fifo"), "end\n").unwrap();
    drop(holder);
    becomes_free(&scene.lock());
}

#[test]
fn sigalrm_is_the_commands_own() {
    if !has_tool("perl", "what the caller set and the command finds") {
        return;
    }
    let scene = Scene::new();
    let mut perl = Command::new("perl");
    perl.args([
        "-e",
        "alarm 100; exec @ARGV",
        NONOVERLAP,
        "--max-runtime",
        "2h",
    ]);
    let ended = perl
        .arg(scene.lock())
        .args(["perl", "-e", "print alarm 0"])
        .run();
    let seconds: u32 = ended.stdout().parse().unwrap();
    assert!((90..=100).contains(&seconds), "{ended:?}");
    // Not one of our own is set either.
    let mut command = nonoverlap(["--max-runtime", "2h"]);
    command
        .arg(scene.lock())
        .args(["perl", "-e", "print alarm 0"]);
    command.run().expect(0, "0", "");
}

/// It leads a group of its own, in the session and with the parent that it had.
#[test]
fn without_a_terminal_the_command_leads_a_group() {
    let scene = Scene::new();
    let fields = "read -r pid name state parent group session rest </proc/$$/stat; echo $pid $group $session $parent";
    let script = "\"$0\" lock sh -c \"$1\"; \"$0\" --max-runtime 1h lock sh -c \"$1\"";
    let mut shell = Command::new("sh");
    in_session_of_its_own(&mut shell);
    shell.args(["-c", script, NONOVERLAP, fields]);
    let ended = shell.current_dir(scene.path("")).run();
    let said = ended.stdout();
    let words: Vec<u32> = said
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [pid, group, session, parent, bounded, its_group, rest @ ..] = &words[..] else {
        panic!("{ended:?}");
    };
    assert_ne!(pid, group);
    assert_eq!((its_group, rest), (bounded, &[*session, *parent][..]));
    assert_ne!(group, its_group);
}

#[test]
fn in_process_1_of_a_namespace_nothing_runs() {
    if !is_root() {
        return left_out("a PID namespace", "it takes root");
    }
    let scene = Scene::new();
    let log = scene.path("log");
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        NONOVERLAP,
    ]);
    unshare
        .args(["--max-runtime", "1m", "--log"])
        .arg(&log)
        .arg(scene.lock());
    let message = format!(
        "nonoverlap: cannot end the job of {}: it would be process 1, to which the kernel delivers no such signal\n",
        scene.lock().display()
    );
    unshare.args(["echo", "ran"]).run().expect(71, "", &message);
    assert!(!scene.lock().exists());
    let logged = fs::read_to_string(log).unwrap();
    assert_eq!(logged.split_at(26).1, message);
}

/// Its group is one of who is outside, and has no number there.
#[test]
fn in_a_namespace_whose_group_is_outside_it_leads_a_group_of_its_own() {
    if !is_root() {
        return left_out("a PID namespace", "it takes root");
    }
    let scene = Scene::new();
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
    ]);
    in_session_of_its_own(&mut unshare);
    let script = "\"$0\" --max-runtime 0.2 lock sleep 1000; echo $?";
    let ended = unshare
        .args([script, NONOVERLAP])
        .current_dir(scene.path(""))
        .run();
    assert_eq!(ended.stdout(), "143\n", "{ended:?}");
}

#[test]
fn a_guardian_that_is_killed_ends_nothing() {
    let scene = Scene::new();
    let log = scene.path("log");
    let mut command = nonoverlap(["--max-runtime", "2", "--log"]);
    command.arg(&log).arg(scene.lock());
    command.args(["sh", "-c", "echo held >&3; read end; exit 5"]);
    let mut child = {
        let mut shell = Command::new("sh");
        without_a_terminal(&mut shell);
        shell.args(["-c", "exec 3>&1; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        Holder::start(&mut shell)
    };
    let guardian = guardian_of(child.pid()).expect("a guardian");
    kill(guardian, libc::SIGKILL);
    eventually("the guardian is gone", || {
        state(guardian).is_none_or(|it| it == 'Z')
    });
    std::thread::sleep(Duration::from_millis(2200)); // The time that it would have had.
    assert!(!child.has_ended());
    assert!(holds_lock(child.pid(), &scene.lock()));
    assert_eq!(child.end().code(), Some(5));
    let logged = fs::read_to_string(log).unwrap();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    becomes_free(Path::new(&scene.lock()));
}

#[test]
fn what_it_does_not_go_together_with_is_refused() {
    let scene = Scene::new();
    for (arguments, message) in [
        (
            &["--max-runtime", "1", "9"][..],
            "--max-runtime needs a command",
        ),
        (
            &["--max-runtime", "1", "-u", "9"],
            "--max-runtime needs a command",
        ),
        (
            &["--max-runtime", "0", "l", "true"],
            "--max-runtime takes a time longer than 0",
        ),
        (
            &["--max-runtime", "1w", "l", "true"],
            "--max-runtime takes a duration, such as 90, 90s, 1.5m, 2h or 1d, not '1w'",
        ),
        (
            &["-F", "--max-runtime", "1", "l", "true"],
            "-F cannot be used with --max-runtime, which needs a guardian",
        ),
        (
            &["-oF", "l", "true"],
            "-F cannot be used with -o, which needs a guardian",
        ),
        (
            &["-F", "x://y", "true"],
            "-F works with a lock on a server only with --on-lost ignore, which needs no guardian",
        ),
        (
            &["--kill-after", "1", "l", "true"],
            "--kill-after works only with --max-runtime, or with SCHEME:// and --on-lost term",
        ),
        (
            &["--kill-after", "1", "--on-lost", "kill", "x://y", "true"],
            "--kill-after works only with --max-runtime, or with SCHEME:// and --on-lost term",
        ),
    ] {
        let ended = nonoverlap(arguments).current_dir(scene.path("")).run();
        ended.expect(64, "", &format!("nonoverlap: {message}\n"));
        assert!(fs::read_dir(scene.path("")).unwrap().next().is_none());
    }
}
