//! `--close`: the command gets no lock descriptor, and a guardian that nobody meets holds the lock as
//! long as the command's process lives.
//!
//! Linux only: what is known of guardian and lock comes from `/proc`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Orphan, PATIENCE, Run, Scene, Stopped, becomes_free,
    eventually, has_tool, holds_lock, is_root, kill, left_out, locks_on, nonoverlap, quoted,
    reason,
};
use crate::support::machine::as_ordinary_user;

/// The guardian of a command: the process that has the guardian's name, and the command's pidfd on 1. Or, where
/// the program for macOS is tested (`tests/darwin/kqueue.c`), the one whose kqueue on 1 watches the command.
pub fn guardian_of(command: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let read = |pid: u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let ward = format!("Pid:\t{command}");
    // EVFILT_PROC is -5.
    let watched = format!("data: {:16x} ", 0xfffb << 32 | u64::from(command));
    pids.find(|&pid| {
        let info = read(pid, "fdinfo/1").unwrap_or_default();
        let is_named = || read(pid, "comm").as_deref() == Some("nonoverlap-lock\n");
        info.lines().any(|line| line == ward) && is_named() || info.contains(&watched)
    })
}

/// The parent of a process.
fn parent(pid: u32) -> u32 {
    status(pid, "PPid").parse().unwrap()
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

#[test]
fn the_command_finds_its_signals_as_the_caller_left_them() {
    if !has_tool("perl", "signals of the caller's") {
        return;
    }
    let scene = Scene::new();
    let left = "use POSIX; $SIG{USR2} = 'IGNORE';\
        sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1, SIGTERM)); exec @ARGV";
    let signals = ["grep", "^Sig[BIC]", "/proc/self/status"];
    let caller = || {
        let mut perl = Command::new("perl");
        perl.args(["-e", left]);
        perl
    };
    let bare = caller().args(signals).run().stdout();
    let mut closed = caller();
    closed.args([NONOVERLAP, "-o"]).arg(scene.lock());
    closed.args(signals).run().expect(0, &bare, "");
}

/// Prints what an ordinary wait finds.
const WAIT: &str = "import os\ntry: print(os.wait())\nexcept ChildProcessError: print('ECHILD')";

#[test]
fn no_wait_of_the_command_sees_the_guardian() {
    if !has_tool("python3", "what a wait of the command sees") {
        return;
    }
    let scene = Scene::new();
    nonoverlap(["-o"])
        .arg(scene.lock())
        .args(["python3", "-c", WAIT])
        .run()
        .expect(0, "ECHILD\n", "");
}

/// A script that waits for the last of its children, by `pgrep -P $$`, comes to an end.
#[test]
fn the_guardian_is_no_child_of_the_commands() {
    let scene = Scene::new();
    let mut command = nonoverlap(["-o"]);
    let holder = Holder::start(command.arg(scene.lock()).args(HOLD));
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    let children = format!("/proc/{0}/task/{0}/children", holder.pid());
    assert_eq!(fs::read_to_string(children).unwrap(), "");
    assert!(![holder.pid(), std::process::id()].contains(&parent(guardian)));
    assert!(holder.end().success());
    becomes_free(&scene.lock());

    if !has_tool("pgrep", "a script that waits for its children") {
        return;
    }
    let script =
        "while pgrep -P $$ >pids; do if kill -0 $(cat pids); then exit 1; fi; done; echo alone";
    let mut command = nonoverlap(["-o"]);
    command.arg(scene.lock()).args(["bash", "-c", script]);
    command
        .current_dir(scene.path(""))
        .run()
        .expect(0, "alone\n", "");
}

#[test]
fn no_wait_sees_the_guardian_in_a_child_subreaper() {
    if !has_tool("python3", "what a wait of the command sees") {
        return;
    }
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
    if !has_tool("python3", "what a wait of the command sees") {
        return;
    }
    if !is_root() {
        return left_out("a PID namespace", "it takes root");
    }
    let scene = Scene::new();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args([NONOVERLAP, "-o"])
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

    let folder = format!("/proc/{guardian}/fd");
    let of_its_word = Path::new(&folder).join("2");
    eventually("its pipe is closed", || !of_its_word.exists());
    let descriptors = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = descriptors
        .map(|entry| fs::read_link(entry.path()).unwrap())
        .collect();
    names.sort();
    let mark = "/memfd:nonoverlap (deleted)";
    assert_eq!(
        names,
        [mark.into(), scene.lock(), "anon_inode:[pidfd]".into()]
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
    // A socket and not a pipe, because reading it need not wait for ever.
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = nonoverlap(["-o"]);
    command
        .arg(scene.lock())
        .args(["sh", "-c", "echo held; read line; exit 3"]);
    command.stdin(Stdio::piped());
    command.stdout(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut child = command.stderr(OwnedFd::from(theirs)).spawn().unwrap();
    drop(command);
    let mut output = BufReader::new(ours);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    // The guardian cannot end: it is stopped. Still the output ends with the command.
    let guardian = Stopped::new(guardian_of(child.id()).expect("a guardian"));
    drop(child.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(holds_lock(guardian.0, &scene.lock()));
    let pid = guardian.0;
    drop(guardian);
    eventually("the guardian ends", || !holds_lock(pid, &scene.lock()));
}

#[test]
fn if_the_command_cannot_be_executed_the_lock_is_free_at_once() {
    let scene = Scene::new();
    let message = "nonoverlap: cannot execute /no/such: No such file or directory\n";
    // Of a lock file that the run makes it would say so.
    scene.file("lock", "");
    for _ in 0..20 {
        let ended = nonoverlap(["-o"]).arg(scene.lock()).arg("/no/such").run();
        ended.expect(127, "", message);
        becomes_free(&scene.lock());
    }
}

/// So the lock is free as soon as the command has ended, however busy the machine is.
#[test]
fn the_guardian_waits_for_the_commands_end_and_for_no_time() {
    let scene = Scene::new();
    let holder = Holder::of([Path::new("-o"), &scene.lock()]);
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    // The number of the call in which it sleeps, and its arguments: of poll(2) the third is a time in
    // milliseconds, of ppoll(2) it is where the time lies.
    let is_endless = |call: &str| {
        let words: Vec<_> = call.split(' ').collect();
        let number = words[0].parse().ok()?;
        let time = words.get(3)?.strip_prefix("0x")?;
        let time = u64::from_str_radix(time, 16).unwrap();
        match number {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => Some(time as i32 == -1),
            libc::SYS_ppoll => Some(time == 0),
            _ => None,
        }
    };
    let path = format!("/proc/{guardian}/syscall");
    let mut call = String::new();
    eventually("it sleeps in poll", || {
        call = fs::read_to_string(&path).unwrap();
        is_endless(&call).is_some()
    });
    assert_eq!(is_endless(&call), Some(true), "{call}");
    assert!(holder.end().success());
    becomes_free(&scene.lock());
}

/// Held up at its last step but one, it holds up the command.
#[test]
fn the_guardian_watches_before_the_command_is_executed() {
    let scene = Scene::new();
    if !has_tool("strace", "the order of their system calls") {
        return;
    }
    let trace = scene.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&trace);
    strace.args(["-e", "trace=write,execve,close_range"]);
    strace.arg("--inject=close_range:delay_enter=300000:when=1");
    strace
        .args([NONOVERLAP, "-o"])
        .arg(scene.lock())
        .arg("/bin/true");
    strace.run().expect(0, "", "");
    let trace = fs::read_to_string(trace).unwrap();
    let place = |call: &str| trace.lines().position(|line| line.contains(call));
    let word = place(r#"write(2, "\0\0\0\0", 4)"#).expect(&trace);
    let start = place(r#"execve("/bin/true""#).expect(&trace);
    assert!(word < start, "{trace}");
}

#[test]
fn without_a_guardian_nothing_runs() {
    if !has_tool("strace", "a guardian that cannot stand") {
        return;
    }
    let scene = Scene::new();
    // A settled file: reads that fail are none of a look for other holders.
    scene.settled_lock();
    let trace = scene.path("trace");
    for (call, fault, errno) in [
        ("pidfd_open", "error=EMFILE", libc::EMFILE),
        ("socketpair", "error=EMFILE", libc::EMFILE),
        ("clone", "error=EAGAIN", libc::EAGAIN),
        ("close_range", "error=EINVAL", libc::EINVAL),
        ("setsid", "error=EPERM", libc::EPERM),
        ("chdir", "error=EACCES", libc::EACCES),
        ("prctl", "error=EPERM", libc::EPERM),
        ("/^dup[23]$", "error=EBUSY", libc::EBUSY),
        // It is killed before it has said a word.
        ("chdir", "signal=KILL", libc::ECHILD),
        // In the caller, when the guardian stands there already.
        ("read", "error=EIO", libc::EIO),
    ] {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-o"])
            .arg(&trace)
            .arg(format!("--inject={call}:{fault}"));
        strace
            .args([NONOVERLAP, "-o"])
            .arg(scene.lock())
            .args(["echo", "ran"]);
        let message = format!(
            "nonoverlap: cannot start the guardian process for {}: {}\n",
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
    let held = format!(
        "nonoverlap: {} is held by this very job: it was started under the same lock and inherited it on \
         descriptor 9; remove one of the two nonoverlap calls; not started\n",
        scene.lock().display()
    );
    Command::new("sh")
        .args(["-c", &script])
        .run()
        .expect(0, "closed\n1\n5\n", &held);
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
    let daemon = ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"];
    let plain = nonoverlap([scene.lock()]).args(daemon).run();
    let plain = orphan(&plain);
    assert!(holds_lock(plain.0, &scene.lock()));
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(1, "", "");
    drop(plain);
    becomes_free(&scene.lock());

    let closed = nonoverlap(["-o"]).arg(scene.lock()).args(daemon).run();
    becomes_free(&scene.lock());
    assert!(orphan(&closed).runs());
}

/// The process that a run says the PID of.
#[track_caller]
fn orphan(ended: &Ended) -> Orphan {
    Orphan(ended.stdout().trim().parse().unwrap())
}

/// As the manual says, and why plain is the safer way for shells: there the child keeps the lock.
#[test]
fn the_child_of_a_shell_that_is_killed_runs_on_without_the_lock() {
    let scene = Scene::new();
    for (option, is_locked) in [("-n", true), ("-o", false)] {
        let mut command = nonoverlap([option]);
        let script = "sleep 60 >/dev/null & echo $! >\"$0\"; echo held; wait; :";
        command.arg(scene.lock()).args(["sh", "-c", script]);
        let holder = Holder::start(command.arg(scene.path("pid")));
        let child = Orphan(
            fs::read_to_string(scene.path("pid"))
                .unwrap()
                .trim()
                .parse()
                .unwrap(),
        );
        holder.kill(libc::SIGKILL);
        if is_locked {
            assert!(holds_lock(child.0, &scene.lock()));
        } else {
            becomes_free(&scene.lock());
        }
        assert!(child.runs());
        drop(child);
        becomes_free(&scene.lock());
    }
}

#[test]
fn the_guardian_stays_as_long_as_any_thread_of_the_command_lives() {
    if !has_tool("python3", "a command of several threads") {
        return;
    }
    let scene = Scene::new();
    // The first thread ends and another one runs on; or another one executes the next program, which
    // then has the PID of the first.
    let end = "ctypes.CDLL(None).pthread_exit(None)";
    let hold = "print('held', flush=True); sys.stdin.read(); os._exit(0)";
    let exec = "os.execvp('sh', ['sh', '-c', 'echo held; exec cat'])";
    for (first, other) in [(end, hold), (end, exec), ("thread.join()", exec)] {
        let script = format!(
            "import ctypes, os, sys, threading, time\n\
             main = threading.main_thread().native_id\n\
             def has_ended(): return ') Z ' in open(f'/proc/self/task/{{main}}/stat').read()\n\
             def other():\n \
             while {} and not has_ended(): time.sleep(0.002)\n \
             {other}\n\
             thread = threading.Thread(target=other)\nthread.start()\n{first}",
            if first == end { "True" } else { "False" },
        );
        let mut command = nonoverlap(["-o"]);
        command.arg(scene.lock()).args(["python3", "-c", &script]);
        let holder = Holder::start(&mut command);
        let guardian = guardian_of(holder.pid()).expect("a guardian");
        // What would end it would have come by the time that it has gone round once more.
        drop(Stopped::new(guardian));
        assert!(holds_lock(guardian, &scene.lock()), "{script}");
        assert!(holder.end().success());
        becomes_free(&scene.lock());
    }
}

/// As sudo is, whose user may not look into it.
#[test]
fn a_command_that_runs_as_another_user_is_watched_to_its_end() {
    if !is_root() {
        return left_out("a setuid program", "only root can make one");
    }
    let scene = Scene::new();
    // Made before there are others in the folder.
    let mut command = as_ordinary_user(&scene);
    let script = "cp /bin/sh \"$0\" && chmod 4755 \"$0\"";
    let shell = scene.path("shell");
    let mut copy = Command::new("sh");
    copy.args(["-c", script])
        .arg(&shell)
        .run()
        .expect(0, "", "");
    let lock = scene.file("lock", "");
    let hold = "echo held; exec cat >/dev/null";
    command.arg("-o").arg(&lock).arg(&shell);
    let holder = Holder::start(command.args(["-p", "-c", hold])).settled();
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    let effective = |pid| {
        status(pid, "Uid")
            .split_whitespace()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(effective(holder.pid()), "0");
    assert_eq!(effective(guardian), "65534");
    assert!(holds_lock(guardian, &lock));
    assert!(holder.end().success());
    becomes_free(&scene.lock());
}

#[test]
fn a_job_that_is_stopped_from_the_terminal_stops_and_its_guardian_does_not() {
    let scene = Scene::new();
    let mut command = nonoverlap(["-o"]);
    command.arg(scene.lock()).args(HOLD).process_group(0);
    let holder = Holder::start(&mut command).settled();
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    let group = holder.pid().wrapping_neg();
    let is = |pid: u32, state: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(&format!(") {state} "))
    };
    kill(group, libc::SIGTSTP);
    eventually("it is stopped", || is(holder.pid(), "T"));
    assert!(!is(guardian, "T"));
    // Ctrl-C and the end of the session do not reach it either.
    kill(group, libc::SIGCONT);
    eventually("it goes on", || is(holder.pid(), "S"));
    assert!(holder.end().success());
    becomes_free(&scene.lock());
}

#[test]
fn a_caller_that_waits_for_no_child_changes_nothing() {
    if !has_tool("perl", "signals of the caller's") {
        return;
    }
    let scene = Scene::new();
    let lock = quoted(&scene.lock());
    // The kernel reaps the command itself. The second run starts while the first one still runs.
    let ignored = "$SIG{CHLD} = 'IGNORE'; exec @ARGV";
    let script =
        format!("{NONOVERLAP} -o {lock} sleep 0.1 & {NONOVERLAP} -o -w 10 {lock} echo ran");
    let mut perl = Command::new("perl");
    perl.args(["-e", ignored, "sh", "-c", &script])
        .run()
        .expect(0, "ran\n", "");
    becomes_free(&scene.lock());
}

/// Fifty runs in a process that gets what loses its parent, as init does: each guardian is an ordinary
/// child by then, that has ended well, and nothing else is left.
#[test]
fn no_guardian_no_zombie_and_no_descriptor_is_left() {
    if !has_tool("python3", "what a wait of the command sees") {
        return;
    }
    let scene = Scene::new();
    let script = "\
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
descriptors = lambda: sorted(os.listdir('/proc/self/fd'))
before, left = descriptors(), []
for _ in range(50):
    command = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
    while True:
        child, status = os.wait()
        if child == command:
            break
        left.append(status)
    assert status == 0, status
while True:
    try: left.append(os.wait()[1])
    except ChildProcessError: break
assert left == [0] * 50, left
assert descriptors() == before
";
    let mut python = Command::new("python3");
    python.args(["-c", script, NONOVERLAP, "-o", "-w", "10"]);
    let ended = python.arg(scene.lock()).arg("true").run();
    ended.expect(0, "", "");
    assert_eq!(locks_on(&scene.lock()), [""; 0]);
}

/// With any of the standard streams closed, the guardian has its two descriptors, and the command those
/// that it would have without a lock.
#[test]
fn closed_standard_streams_stay_closed_and_the_guardian_stands() {
    // The descriptor that a folder is read by is gone when it is looked at. (Interpreters of other
    // languages open what they find closed.)
    let script = "\
guardian=$(grep -ls \"^Pid:[[:space:]]*$$\\$\" /proc/[0-9]*/fdinfo/1 | cut -d/ -f3)
for file in /proc/$$/fd/*; do test ! -e \"$file\" || said=\"$said${file##*/} \"; done
while test -e /proc/$guardian/fd/2; do sleep 0.01; done # It has just said its word there.
for file in /proc/$guardian/fd/*; do said=\"$said$(readlink \"$file\") \"; done
echo \"$said\" >\"$0\"
";
    for closed in 0..8 {
        let scene = Scene::new();
        let streams = (0..3).filter(|stream| closed & 1 << stream != 0);
        let close: String = streams.map(|stream| format!(" {stream}>&-")).collect();
        let mut shell = Command::new("sh");
        let line = format!("exec \"$@\"{close}");
        shell.args(["-c", &line, "sh", NONOVERLAP, "-o"]);
        shell.arg(scene.lock()).args(["sh", "-c", script]);
        let ended = shell.arg(scene.path("said")).run();
        ended.expect(0, "", "");
        let said = fs::read_to_string(scene.path("said")).unwrap();
        let open = (0..3).filter(|stream| closed & 1 << stream == 0);
        let open: String = open.map(|stream| format!("{stream} ")).collect();
        let expected = format!(
            "{open}anon_inode:[pidfd] {} /memfd:nonoverlap (deleted) \n",
            scene.lock().display()
        );
        assert_eq!(said, expected, "closed: {close}");
    }
}

#[test]
fn a_shared_lock_a_record_lock_and_a_slot_have_guardians_too() {
    for options in [&["-s"][..], &["--fcntl"], &["-j2"]] {
        let scene = Scene::new();
        let mut command = nonoverlap(["-o"]);
        let holder = Holder::start(command.args(options).arg(scene.lock()).args(HOLD));
        let guardian = guardian_of(holder.pid()).expect("a guardian");
        assert!(!holds_lock(holder.pid(), &scene.lock()));
        assert!(holds_lock(guardian, &scene.lock()), "{options:?}");
        assert!(holder.end().success());
        becomes_free(&scene.lock());
    }
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

/// Whoever has the guardian when its command is gone has nothing to do with the lock.
#[test]
fn status_names_a_guardian_that_is_left_and_not_who_adopts_it() {
    let scene = Scene::new();
    let holder = Holder::of([Path::new("-o"), &scene.lock()]).settled();
    let guardian = guardian_of(holder.pid()).expect("a guardian");
    let _stopped = Stopped::new(guardian);
    holder.kill(libc::SIGKILL);
    let said = nonoverlap(["--status"]).arg(scene.lock()).run().stdout();
    let expected = format!(": held by PID {guardian} (stopped) for ");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn status_takes_no_command_for_a_guardian_because_of_its_name() {
    let scene = Scene::new();
    let watch = scene.path("nonoverlap-lockwatch");
    let mut copy = Command::new("cp");
    copy.arg("/bin/sh").arg(&watch).run().expect(0, "", "");
    let mut command = nonoverlap([scene.lock()]);
    let holder = Holder::start(command.arg(watch).args(["-c", "echo held; read end; :"]));
    let said = nonoverlap(["--status"]).arg(scene.lock()).run().stdout();
    let expected = format!(": held by PID {} for ", holder.pid());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn of_a_thousand_runs_that_follow_at_once_none_is_refused_and_hardly_one_waits_a_second() {
    let scene = Scene::new();
    assert!(late(&scene) <= MOST_LATE, "idle");
    let spinning = Spinning::new(4);
    assert!(late(&scene) <= MOST_LATE, "beside spinning processes");
    drop(spinning);
    becomes_free(&scene.lock());
}

/// How many may be: nothing keeps a guardian from the processor for so long but the machine.
const MOST_LATE: usize = 10;

/// Runs of a thousand that take a second or more, since the guardian of the one before does. Each comes to
/// its end.
fn late(scene: &Scene) -> usize {
    let is_late = |_: &usize| {
        let mut command = nonoverlap(["-o", "-w", "50"]);
        command.arg(scene.lock()).arg("/bin/true");
        let start = Instant::now();
        assert_eq!(command.status().unwrap().code(), Some(0));
        start.elapsed() >= Duration::from_secs(1)
    };
    (0..1000).filter(is_late).count()
}

/// Processes that want all of the processors as long as this lives.
struct Spinning(Vec<Child>);

impl Spinning {
    fn new(number: usize) -> Spinning {
        let mut spin = Command::new("sh");
        spin.args(["-c", "while :; do :; done"]);
        Spinning((0..number).map(|_| spin.spawn().unwrap()).collect())
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
