//! `--close`: the command gets no lock descriptor, and a guardian that nobody meets holds the lock as
//! long as the command's process lives.
//!
//! Linux only: what is known of guardian and lock comes from `/proc`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, eventually, holds_lock, is_root, kill, left_out,
    nonoverlap, quoted, reason,
};

/// The guardian of a command: the child of its process that has the guardian's name.
pub fn guardian_of(command: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return false;
        };
        let Some((name, rest)) = stat.rsplit_once(") ") else {
            return false;
        };
        name.ends_with("(nonoverlap-lock") && rest.split(' ').nth(1) == Some(&command.to_string())
    })
}

/// What `/proc/PID/status` says of a field.
fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

#[test]
fn the_command_has_no_lock_descriptor_and_the_guardian_holds_the_lock() {
    let scene = Scene::new();
    let holder = Holder::of([Path::new("-o"), &scene.lock()]);
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    assert!(!holds_lock(holder.pid(), &scene.lock()));
    assert!(holds_lock(guardian, &scene.lock()));
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(1, "", "");
    assert!(holder.end().success());
    nonoverlap(["-w", "10"])
        .arg(scene.lock())
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

#[test]
fn the_command_is_the_process_that_was_started() {
    let scene = Scene::new();
    let mut child = nonoverlap(["--close"]);
    child
        .arg(scene.lock())
        .args(["sh", "-c", "echo $$ $PPID; exit 42"])
        .stdout(Stdio::piped());
    let child = child.spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{pid} {}\n", std::process::id()));
    assert_eq!(output.status.code(), Some(42));
    let record = fs::read_to_string(scene.lock()).unwrap();
    assert_eq!(record, format!("{pid:>10}\n"));
}

#[test]
fn death_by_a_signal_is_the_callers_to_see() {
    let scene = Scene::new();
    let ended = nonoverlap(["-o"])
        .arg(scene.lock())
        .args(["sh", "-c", "kill -TERM $$"])
        .run();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
}

/// Prints what an ordinary wait finds.
const WAIT: &str = "import os\ntry: print(os.wait())\nexcept ChildProcessError: print('ECHILD')";

#[test]
fn no_wait_of_the_command_sees_the_guardian() {
    let scene = Scene::new();
    nonoverlap(["-o"])
        .arg(scene.lock())
        .args(["python3", "-c", WAIT])
        .run()
        .expect(0, "ECHILD\n", "");
}

#[test]
fn no_wait_sees_the_guardian_in_a_child_subreaper() {
    let scene = Scene::new();
    // PR_SET_CHILD_SUBREAPER (36) is kept by exec, so it is set before as well as in the command.
    let reaper = format!("import ctypes\nctypes.CDLL(None).prctl(36, 1)\n{WAIT}");
    let before = "import ctypes, os, sys\nctypes.CDLL(None).prctl(36, 1)\nos.execv(sys.argv[1], sys.argv[1:])";
    let mut python = Command::new("python3");
    python
        .args(["-c", before, NONOVERLAP, "-o"])
        .arg(scene.lock())
        .args(["python3", "-c", &reaper]);
    python.run().expect(0, "ECHILD\n", "");
}

#[test]
fn no_wait_sees_the_guardian_in_process_1_of_a_namespace() {
    if !is_root() {
        return left_out("a PID namespace", "it takes root");
    }
    let scene = Scene::new();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--pid", "--fork", "--mount-proc", NONOVERLAP, "-o"])
        .arg(scene.lock());
    unshare.args([
        "python3",
        "-c",
        &format!("import os\nprint(os.getpid())\n{WAIT}"),
    ]);
    unshare.run().expect(0, "1\nECHILD\n", "");
}

#[test]
fn the_guardian_has_nothing_of_the_callers() {
    let scene = Scene::new();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    let mut command = nonoverlap(["-o"]);
    let holder = Holder::start(command.arg(scene.lock()).args(HOLD).current_dir(&folder));
    let guardian = guardian_of(holder.pid()).expect("a guardian");

    let descriptors = fs::read_dir(format!("/proc/{guardian}/fd"))
        .unwrap()
        .flatten();
    let mut names: Vec<_> = descriptors
        .map(|entry| {
            fs::read_link(entry.path())
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            scene.lock().to_string_lossy().as_ref(),
            "anon_inode:[pidfd]"
        ]
    );
    assert_eq!(
        fs::read_link(format!("/proc/{guardian}/cwd")).unwrap(),
        Path::new("/")
    );
    // Its session is its own: field 6 of proc_pid_stat(5).
    let stat = fs::read_to_string(format!("/proc/{guardian}/stat")).unwrap();
    let session = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(3)
        .unwrap()
        .to_owned();
    assert_eq!(session, guardian.to_string());
    // All signals but SIGKILL (9) and SIGSTOP (19).
    assert_eq!(
        status(guardian, "SigBlk"),
        format!("{:016x}", !(1_u64 << 8 | 1 << 18))
    );
}

#[test]
fn a_caller_that_reads_the_output_to_its_end_is_not_held_up() {
    let scene = Scene::new();
    // The guardian cannot end: it is stopped. Still the pipe ends with the command.
    let mut command = nonoverlap(["-o"]);
    command
        .arg(scene.lock())
        .args(["sh", "-c", "echo held; exec 2>&1; read line; exit 3"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let guardian = guardian_of(child.id()).expect("a guardian");
    kill(guardian, libc::SIGSTOP);
    drop(child.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(
        holds_lock(guardian, &scene.lock()),
        "a stopped guardian lets go when it goes on"
    );
    kill(guardian, libc::SIGCONT);
    eventually("the guardian ends", || !holds_lock(guardian, &scene.lock()));
}

#[test]
fn if_the_command_cannot_be_executed_the_lock_is_free_at_once() {
    let scene = Scene::new();
    for _ in 0..20 {
        let ended = nonoverlap(["-o"]).arg(scene.lock()).arg("/no/such").run();
        ended.expect(
            127,
            "",
            "nonoverlap: cannot execute /no/such: No such file or directory\n",
        );
        let start = Instant::now();
        nonoverlap(["-w", "10"])
            .arg(scene.lock())
            .arg("true")
            .run()
            .expect(0, "", "");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn without_a_guardian_nothing_runs() {
    let scene = Scene::new();
    let trace = scene.path("trace");
    for (call, error, errno) in [
        ("pidfd_open", "EMFILE", libc::EMFILE),
        ("pipe2", "EMFILE", libc::EMFILE),
        ("clone", "EAGAIN", libc::EAGAIN),
        ("close_range", "ENOSYS", libc::ENOSYS),
        ("setsid", "EPERM", libc::EPERM),
        ("chdir", "EACCES", libc::EACCES),
    ] {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-o"])
            .arg(&trace)
            .arg(format!("--inject={call}:error={error}"));
        strace
            .args([NONOVERLAP, "-o"])
            .arg(scene.lock())
            .args(["echo", "ran"]);
        let message = format!(
            "nonoverlap: cannot post a guardian over {}: {}\n",
            scene.lock().display(),
            reason(errno)
        );
        strace.run().expect(71, "", &message);
        nonoverlap(["-w", "10"])
            .arg(scene.lock())
            .arg("true")
            .run()
            .expect(0, "", "");
    }
}

#[test]
fn a_lock_that_the_caller_keeps_stays_the_callers() {
    let scene = Scene::new();
    let lock = quoted(&scene.lock());
    // The command does not see the descriptor; after it the shell still has the lock.
    let script = format!(
        "exec 9>{lock}\n{NONOVERLAP} -o --fd 9 sh -c 'test ! -e /proc/$$/fd/9 && echo closed'\n\
         grep -c ^lock /proc/$$/fdinfo/9\n{NONOVERLAP} -E 5 {lock} true; echo $?"
    );
    Command::new("sh")
        .args(["-c", &script])
        .run()
        .expect(0, "closed\n1\n5\n", "");
}

#[test]
fn close_changes_nothing_for_a_descriptor_without_a_command() {
    let scene = Scene::new();
    let script = format!("{NONOVERLAP} -o 9 && grep -c ^lock /proc/$$/fdinfo/9");
    let script = format!("exec 9>{}\n{script}", quoted(&scene.lock()));
    Command::new("sh")
        .args(["-c", &script])
        .run()
        .expect(0, "1\n", "");
}

#[test]
fn a_daemon_that_is_left_behind_keeps_the_lock_unless_it_is_closed() {
    let scene = Scene::new();
    // The daemon tells its PID, and runs until it is killed.
    let daemon = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let plain = nonoverlap([scene.lock()]).args(["sh", "-c", daemon]).run();
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(1, "", "");
    kill(plain.stdout().trim().parse().unwrap(), libc::SIGKILL);

    let closed = nonoverlap(["-o", "-w", "10"])
        .arg(scene.lock())
        .args(["sh", "-c", daemon])
        .run();
    let start = Instant::now();
    nonoverlap(["-w", "10"])
        .arg(scene.lock())
        .arg("true")
        .run()
        .expect(0, "", "");
    assert!(start.elapsed() < Duration::from_secs(2));
    kill(closed.stdout().trim().parse().unwrap(), libc::SIGKILL);
}

#[test]
fn status_names_the_command_and_not_its_guardian() {
    let scene = Scene::new();
    let holder = Holder::of([Path::new("-o"), &scene.lock()]).settled();
    let said = nonoverlap(["--status"]).arg(scene.lock()).run().stdout();
    let expected = format!(
        "{}: held by PID {} for ",
        scene.lock().display(),
        holder.pid()
    );
    assert!(
        said.starts_with(&expected) && said.trim_end().ends_with("s: cat"),
        "{said}"
    );
}

/// Refused runs of a thousand that follow at once.
fn refusals(scene: &Scene, options: &[&str]) -> usize {
    let refused = |_: &usize| {
        let mut command = nonoverlap(options);
        command.arg(scene.lock()).arg("/bin/true");
        command.status().unwrap().code() == Some(1)
    };
    (0..1000).filter(refused).count()
}

#[test]
fn of_a_thousand_runs_that_wait_a_second_none_is_refused() {
    let scene = Scene::new();
    assert_eq!(refusals(&scene, &["-o", "-w", "1"]), 0);
    println!(
        "of 1000 runs with -o -n that follow at once: {} refused",
        refusals(&scene, &["-o", "-n"])
    );

    let spin = || {
        Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap()
    };
    let mut spinning: Vec<_> = (0..4).map(|_| spin()).collect();
    let refused = refusals(&scene, &["-o", "-w", "1"]);
    println!(
        "beside four spinning processes: {} refused",
        refusals(&scene, &["-o", "-n"])
    );
    for child in &mut spinning {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(refused, 0);
    // Whoever started us reaps the guardians that lost their parents; none of them still runs.
    eventually("the lock is free", || {
        crate::harness::locks_on(&scene.lock()).is_empty()
    });
}
