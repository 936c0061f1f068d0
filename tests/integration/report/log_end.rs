//! The end of a run in its log, which a guardian writes where one stands beside the job; and why a run
//! never began. Linux only: `/proc` and pidfds tell of the end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use seccompiler::apply_filter;

use crate::report::log::{lines_of, undated};
use crate::run::guardian::guardian_of;
use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, Stopped, becomes_free, eventually, has_tool, is_root, left_out,
    nonoverlap, reason, state, waits_for_lock,
};
use crate::support::machine::as_ordinary_user;
use crate::support::probe::in_child;
use crate::support::refused_call::Call;

/// Options that have a guardian stand beside the job.
const GUARDED: [&[&str]; 3] = [
    &["-o"],
    &["--max-runtime", "1h"],
    &["-o", "--max-runtime", "1h"],
];

/// A run that logs into `log`.
fn logged(scene: &Scene, options: &[&str]) -> Command {
    let mut command = nonoverlap(options);
    command
        .args(["--log", "log", "lock"])
        .current_dir(scene.path(""));
    command
}

/// Starts it, and leaves its end to whom it concerns.
fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// What the log says of how the run of this PID ended, as soon as it does: what stands behind the time.
#[track_caller]
fn end_of(log: &Path, pid: u32) -> String {
    let start = format!("lock: PID {pid} ended after ");
    let mut end = None;
    eventually("the end is logged", || {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let of_pid = lines.iter().find(|line| line.contains(&start));
        end = of_pid.map(|line| undated(line).strip_prefix(&start).unwrap().to_owned());
        end.is_some()
    });
    end.unwrap()
}

#[test]
fn the_end_is_logged_with_how_long_and_how() {
    for (script, how) in [
        (":", "0s, status 0"),
        ("exit 3", "0s, status 3"),
        ("exit 255", "0s, status 255"),
        ("kill -TERM $$", "0s, signal 15"),
        ("kill -KILL $$", "0s, signal 9"),
        ("exec sh -c 'exec sh -c \"exit 4\"'", "0s, status 4"),
        ("sleep 0.01 & sleep 0.02; wait; exit 5", "0s, status 5"),
        ("sleep 0.1 & exit 6", "0s, status 6"),
        ("sleep 1.1; exit 7", "1s, status 7"),
    ] {
        for options in GUARDED {
            let scene = Scene::new();
            let mut child = started(logged(&scene, options).args(["sh", "-c", script]));
            child.wait().unwrap();
            let end = end_of(&scene.path("log"), child.id());
            // A second may have begun meanwhile.
            let (_, end) = end.split_once(", ").expect(&end);
            assert!(
                how.ends_with(&format!(", {end}")),
                "{script}: {end}, not {how}"
            );
        }
    }
}

#[test]
fn without_a_guardian_no_end_is_logged_and_no_guardian_stands_there_for_it() {
    let scene = Scene::new();
    let mut command = logged(&scene, &["-n"]);
    let mut sh = Command::new("sh");
    sh.args(["-c", "exec 3>&1; exec \"$@\"", "sh"])
        .current_dir(scene.path(""));
    sh.arg(command.get_program()).args(
        command
            .args(["sh", "-c", "echo held >&3; read end; :"])
            .get_args(),
    );
    let holder = Holder::start(&mut sh);
    assert_eq!(guardian_of(holder.pid()), None);
    holder.end();
    assert_eq!(lines_of(&scene.path("log")).len(), 1);
}

/// The caller has not reaped it when the guardian looks: `/proc` tells, and nothing else can.
#[test]
fn of_a_command_that_nobody_reaps_the_end_is_known() {
    let scene = Scene::new();
    let mut child = started(logged(&scene, &["-o"]).args(["sh", "-c", "exit 3"]));
    assert!(end_of(&scene.path("log"), child.id()).ends_with("s, status 3"));
    assert_eq!(state(child.id()), Some('Z'));
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// A caller that ignores SIGCHLD has the kernel reap it at once: then only the pidfd tells, and before
/// Linux 6.15 nobody does.
#[test]
fn of_a_command_that_is_reaped_at_once_the_pidfd_tells_or_nobody() {
    if !has_tool("perl", "a caller that ignores SIGCHLD") {
        return;
    }
    let scene = Scene::new();
    let mut reaper = Command::new("perl");
    let script = "$SIG{CHLD} = 'IGNORE'; fork or exec @ARGV; wait";
    reaper.args(["-e", script, NONOVERLAP, "-o", "--log", "log", "lock"]);
    reaper
        .args(["sh", "-c", "echo $$; exit 3"])
        .current_dir(scene.path(""));
    reaper.run();
    let log = scene.path("log");
    let pid = || lines_of(&log)[1].parse().unwrap();
    assert!(end_of(&log, pid()).ends_with("s, status 3"));
    fs::remove_file(&log).unwrap();

    in_child(&mut reaper, || {
        let filter = Call::any(&[libc::SYS_ioctl]).refused_with(libc::ENOTTY);
        apply_filter(&filter).map_err(io::Error::other)
    });
    reaper.run();
    let end = end_of(&log, pid());
    assert!(end.ends_with('s') && !end.contains(','), "{end}");
}

/// As sudo's: while it is a zombie, `/proc` says 0 to whoever may not look into it, which is no status.
#[test]
fn of_a_command_of_another_users_the_end_is_true_or_not_told() {
    if !is_root() {
        return left_out("a setuid program", "only root can make one");
    }
    let scene = Scene::new();
    let copy = "cp /bin/sh shell && chmod 4755 shell";
    let mut sh = Command::new("sh");
    sh.args(["-c", copy])
        .current_dir(scene.path(""))
        .run()
        .expect(0, "", "");
    as_ordinary_user(&scene);
    let (lock, log) = (scene.file("lock", ""), scene.file("log", ""));
    for file in [&lock, &log] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let start = || {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "./nonoverlap",
        ]);
        command.args([
            "-o", "--log", "log", "lock", "./shell", "-p", "-c", "exit 3",
        ]);
        started(command.current_dir(scene.path("")))
    };
    let mut child = start();
    let end = end_of(&log, child.id());
    assert_eq!(state(child.id()), Some('Z'));
    assert!(end.ends_with('s') && !end.contains(','), "{end}");
    assert_eq!(child.wait().unwrap().code(), Some(3));

    // Reaped in time, it is known.
    let mut child = start();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(end_of(&log, child.id()).ends_with("s, status 3"));
}

#[test]
fn a_run_whose_command_cannot_be_executed_has_no_end() {
    for options in GUARDED {
        let scene = Scene::new();
        let mut child = started(logged(&scene, options).arg("./none").stderr(Stdio::null()));
        assert_eq!(child.wait().unwrap().code(), Some(127));
        // Whoever would write it is gone when the lock is free: the guardian lets go, and the end is not
        // logged in front of that. So wait for the guardian itself.
        eventually("no guardian is left", || guardian_of(child.id()).is_none());
        let lines = lines_of(&scene.path("log"));
        let said: Vec<_> = lines.iter().map(|line| undated(line)).collect();
        let pid = child.id();
        let start = format!("lock locked by PID {pid}; starting ./none");
        let error = format!(
            "lock: PID {pid}: cannot execute ./none: {}; this run made the file lock",
            reason(libc::ENOENT)
        );
        assert_eq!(said, [start, error], "{options:?}");
    }
}

/// Everything that keeps a run from starting is in the log, but for a wrong command line.
#[test]
fn why_nothing_was_run_is_in_the_log() {
    let scene = Scene::new();
    for (target, status, said) in [
        (
            "none/l",
            66,
            format!(
                "cannot open lock file none/l: {}; there is no folder none",
                reason(libc::ENOENT)
            ),
        ),
        (
            "log/l",
            66,
            format!("cannot open lock file log/l: {}", reason(libc::ENOTDIR)),
        ),
    ] {
        let mut command = nonoverlap(["-v", "--log", "log", target, "true"]);
        let ended = command.current_dir(scene.path("")).run();
        ended.expect(status, "", &format!("nonoverlap: {said}\n"));
        let lines = lines_of(&scene.path("log"));
        assert_eq!(undated(lines.last().unwrap()), said);
    }
    let before = lines_of(&scene.path("log")).len();
    let mut command = nonoverlap(["--log", "log", "--max-runtime", "x", "l", "true"]);
    assert_eq!(command.current_dir(scene.path("")).run().code(), Some(64));
    let mut command = nonoverlap(["--log", "log", "./log", "true"]);
    assert_eq!(command.current_dir(scene.path("")).run().code(), Some(64));
    assert_eq!(lines_of(&scene.path("log")).len(), before);
}

#[test]
fn a_guardian_that_cannot_be_started_is_in_the_log() {
    if !has_tool("strace", "a guardian that cannot stand") {
        return;
    }
    let scene = Scene::new();
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-o",
        "trace",
        "--inject=clone:error=EAGAIN",
        NONOVERLAP,
    ]);
    strace
        .args(["-o", "--log", "log", "lock", "true"])
        .current_dir(scene.path(""));
    let said = format!(
        "cannot start the guardian process for lock: {}",
        reason(libc::EAGAIN)
    );
    strace
        .run()
        .expect(71, "", &format!("nonoverlap: {said}\n"));
    let lines = lines_of(&scene.path("log"));
    let line = undated(&lines[0]);
    assert!(
        lines.len() == 1 && line.starts_with("lock: PID ") && line.ends_with(&said),
        "{line}"
    );
}

/// A line of ours never stands behind what a job has begun to write.
#[test]
fn a_line_of_ours_begins_where_a_line_begins() {
    let scene = Scene::new();
    let log = scene.path("log");
    for (script, lines) in [
        ("printf abc", 4),
        ("printf 'abc\\n'", 8),
        ("printf '\\n'", 12),
    ] {
        let mut child = started(logged(&scene, &["-o"]).args(["sh", "-c", script]));
        child.wait().unwrap();
        end_of(&log, child.id());
        let mut child = started(logged(&scene, &["-n"]).args(["sh", "-c", script]));
        child.wait().unwrap();
        let mut plain = started(logged(&scene, &["-n"]).arg("true"));
        plain.wait().unwrap();
        // Start, output, end; start, output; start.
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches(" nonoverlap: lock").count(), lines, "{text}");
        let whole = |line: &&str| line.starts_with("20") && line.contains(" nonoverlap: ");
        assert_eq!(text.lines().filter(whole).count(), lines, "{text}");
        assert!(text.ends_with("starting true\n"), "{text}");
    }
}

#[test]
fn a_refusal_stands_in_a_line_of_its_own_while_the_job_writes_one() {
    let scene = Scene::new();
    let mut command = logged(&scene, &["-n"]);
    command.args(["sh", "-c", "printf abc; echo held >&3; read end; echo def"]);
    let mut sh = Command::new("sh");
    sh.args(["-c", "exec 3>&1; exec \"$@\"", "sh"])
        .current_dir(scene.path(""));
    let holder = Holder::start(sh.arg(command.get_program()).args(command.get_args()));
    logged(&scene, &["-n"]).arg("true").run().expect(1, "", "");
    assert!(holder.end().success());
    let text = fs::read_to_string(scene.path("log")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        (lines.len(), lines[1], lines[3]),
        (4, "abc", "def"),
        "{text}"
    );
    assert!(undated(lines[2]).ends_with("; not started"), "{text}");
}

/// Who may not read it cannot look, and writes all the same.
#[test]
fn a_log_that_cannot_be_read_is_written_to() {
    if !is_root() {
        return left_out("a log that cannot be read", "the tests run as its owner");
    }
    let scene = Scene::new();
    let mut command = as_ordinary_user(&scene);
    let log = scene.file("log", "before");
    let mut chmod = Command::new("chmod");
    chmod.arg("222").arg(&log).run().expect(0, "", "");
    let lock = scene.file("lock", "");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    command
        .arg("--log")
        .arg(&log)
        .arg(lock)
        .arg("true")
        .run()
        .expect(0, "", "");
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.starts_with("before20") && text.lines().count() == 1,
        "{text}"
    );
}

/// What does not go in at once is lost, and nobody waits: not the guardian, and not who wants the lock.
#[test]
fn a_fifo_that_is_full_and_that_nobody_reads_holds_nothing_up() {
    let scene = Scene::new();
    let log = scene.path("log");
    Command::new("mkfifo").arg(&log).run().expect(0, "", "");
    let open = |options: &mut fs::OpenOptions| options.custom_flags(libc::O_NONBLOCK).open(&log);
    let _reader = open(File::options().read(true)).unwrap();
    let mut writer = open(File::options().write(true)).unwrap();
    while writer.write(&[b'x'; 512]).is_ok() {}
    for options in GUARDED {
        let mut child = started(logged(&scene, options).arg("true"));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        becomes_free(&scene.lock());
        eventually("the guardian ends", || guardian_of(child.id()).is_none());
        // Nor what a run says when there is no command.
        let mut command = logged(&scene, options);
        let mut child = started(command.arg("./none").stderr(Stdio::null()));
        assert_eq!(child.wait().unwrap().code(), Some(127));
        // With --close the guardian lets go, a moment later.
        becomes_free(&scene.lock());
    }
}

/// It is let go of first.
#[test]
fn the_lock_is_not_held_for_the_log() {
    if !has_tool("strace", "the order of the guardian's calls") {
        return;
    }
    let scene = Scene::new();
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-y",
        "-s",
        "300",
        "-o",
        "trace",
        "-e",
        "trace=close,write,read",
        NONOVERLAP,
    ]);
    strace
        .args(["-o", "--log", "log", "lock", "true"])
        .current_dir(scene.path(""));
    strace.run().expect(0, "", "");
    let trace = fs::read_to_string(scene.path("trace")).unwrap();
    let end = trace
        .lines()
        .position(|line| line.contains("ended after"))
        .expect(&trace);
    let guardian = trace.lines().nth(end).unwrap().split(' ').next().unwrap();
    let closed = |file: &str| {
        let is_it = |line: &str| {
            line.starts_with(guardian) && line.contains("close(") && line.contains(file)
        };
        trace.lines().position(is_it).expect(&trace)
    };
    assert!(
        closed("/lock>") < end && closed("memfd:nonoverlap") < end,
        "{trace}"
    );
}

#[test]
fn a_full_disk_holds_nothing_up() {
    if !is_root() {
        return left_out("a full file system", "only root may mount one");
    }
    let scene = Scene::new();
    let script = "mkdir full && mount -t tmpfs -o size=4k tmpfs full && : >full/log && \
                  (cat /dev/zero >full/fill || :) 2>err; \"$0\" -o --log full/log lock sh -c 'echo $$; exit 3'; echo $?; \
                  wc -c <full/log; \"$0\" -w 5 lock echo free";
    let mut unshare = Command::new("unshare");
    unshare
        .args(["-m", "sh", "-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    let ended = unshare.run();
    // Its command cannot write its PID there either.
    let said: Vec<_> = ended.stdout().lines().map(str::to_owned).collect();
    assert_eq!(said[1..], ["0", "free"], "{ended:?}");
}

/// Logs are rotated by renaming them. Each run goes on in the file that it began.
#[test]
fn the_end_stands_in_the_file_that_the_run_began() {
    let scene = Scene::new();
    let mut command = logged(&scene, &["-o"]);
    command.args(["sh", "-c", "echo held >&3; read end; echo last"]);
    let mut sh = Command::new("sh");
    sh.args(["-c", "exec 3>&1; exec \"$@\"", "sh"])
        .current_dir(scene.path(""));
    let holder = Holder::start(sh.arg(command.get_program()).args(command.get_args()));
    let pid = holder.pid();
    let rotated = scene.path("log.1");
    fs::rename(scene.path("log"), &rotated).unwrap();
    logged(&scene, &["-n"]).arg("true").run().expect(1, "", "");
    assert!(holder.end().success());
    assert!(end_of(&rotated, pid).ends_with("s, status 0"));
    let lines = lines_of(&rotated);
    assert_eq!((lines.len(), &*lines[1]), (3, "last"));
    assert_eq!(lines_of(&scene.path("log")).len(), 1);
}

/// A run may wait for long before it begins, and its log be rotated meanwhile.
#[test]
fn the_end_stands_where_the_start_does_though_the_log_was_renamed_before() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let mut command = logged(&scene, &["-w", "60", "-o"]);
    let mut waiter = started(command.args(["sh", "-c", "echo out; exit 3"]));
    eventually("it waits", || waits_for_lock(waiter.id(), &scene.lock()));
    let rotated = scene.path("log.1");
    fs::rename(scene.path("log"), &rotated).unwrap();
    assert!(holder.end().success());
    assert_eq!(waiter.wait().unwrap().code(), Some(3));
    assert!(end_of(&rotated, waiter.id()).ends_with("s, status 3"));
    assert_eq!(lines_of(&rotated).len(), 3);
    assert!(!scene.path("log").exists());
}

/// The next run may begin while the guardian of the last one has not written yet.
#[test]
fn a_start_may_stand_before_the_end_of_the_run_before() {
    let scene = Scene::new();
    let mut command = logged(&scene, &["--max-runtime", "1h"]);
    command.args(["sh", "-c", "echo held >&3; read end; :"]);
    let mut sh = Command::new("sh");
    sh.args(["-c", "exec 3>&1; exec \"$@\"", "sh"])
        .current_dir(scene.path(""));
    let holder = Holder::start(sh.arg(command.get_program()).args(command.get_args()));
    let pid = holder.pid();
    let guardian = Stopped::new(guardian_of(pid).expect("a guardian"));
    assert!(holder.end().success());
    logged(&scene, &["-n"]).arg("true").run().expect(0, "", "");
    drop(guardian);
    assert!(end_of(&scene.path("log"), pid).ends_with("s, status 0"));
    assert!(lines_of(&scene.path("log"))[1].ends_with("starting true"));
}
