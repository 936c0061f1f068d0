//! Promises about what the command finds: its own process, the one descriptor of the connection, and
//! all else as its caller left it, although a helper was started and has ended in between.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::signals::seen_in_proc::{self, PENDING, STATES};
use crate::support::harness::{NONOVERLAP, Run, eventually, run_on};
use crate::support::probe::{PROBE, in_child, sight};
use crate::support::remote_server::{Server, text_of};

/// Writes which descriptors below 64 are open, and what they are, into the file that is its argument.
const DESCRIPTORS: &str = r#"
import os, stat, sys
found = []
for number in range(64):
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        continue
    kinds = [stat.S_ISSOCK, stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISREG]
    found.append(str(number) + "-sfcr"[1 + next((n for n, is_it in enumerate(kinds) if is_it(mode)), -1)])
open(sys.argv[1], "w").write(" ".join(found))
"#;

#[test]
fn the_command_has_the_connection_from_60_up_and_no_other_descriptor() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    let found = server.scene.path("found");
    let log = server.scene.path("log");
    let run = |options: &[&str], caller: &str| {
        let mut sh = server.program("sh");
        sh.args(["-c", &format!("exec \"$@\" {caller}"), "sh", NONOVERLAP]);
        sh.args(options).arg(server.word());
        sh.args(["python3", "-c", DESCRIPTORS]).arg(&found);
        let ended = sh.run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        text_of(&found)
    };
    assert_eq!(run(&[], ""), "0f 1f 2f 60s");
    assert_eq!(
        run(&["-v", "-w", "5", "--max-runtime", "1h"], ""),
        "0f 1f 2f 60s"
    );
    assert_eq!(run(&["--log", log.to_str().unwrap()], ""), "0f 1r 2r 60s");
    assert_eq!(run(&["--close"], ""), "0f 1f 2f");
    assert_eq!(run(&[], "3</dev/null 9</dev/null"), "0f 1f 2f 3c 9c 60s");
    let mut bash = server.program("bash");
    bash.args(["-c", "exec 60</dev/null; exec \"$@\"", "bash", NONOVERLAP]);
    bash.arg(server.word())
        .args(["python3", "-c", DESCRIPTORS])
        .arg(&found);
    assert_eq!(bash.run().code(), Some(0));
    assert_eq!(text_of(&found), "0f 1f 2f 60c 61s");
}

#[test]
fn closed_streams_stay_closed_and_the_helper_has_all_three() {
    let helper = r#"
import stat
modes = [os.fstat(number).st_mode for number in range(3)]
is_right = stat.S_ISCHR(modes[0]) and stat.S_ISSOCK(modes[1]) and stat.S_ISFIFO(modes[2])
say("hello")
give(connect())
open("FOLDER/helper", "w").write("%s %s" % (bool(is_right), sys.stdin.read()))"#;
    let Some(server) = Server::with(helper) else {
        return;
    };
    let (found, seen) = (server.scene.path("found"), server.scene.path("helper"));
    for combination in 0..8 {
        let closed = |stream| combination >> stream & 1 == 1;
        let names = ["<&-", ">&-", "2>&-"];
        let redirections = (0..3).filter(|&it| closed(it)).map(|it| names[it]);
        let redirections = redirections.collect::<Vec<_>>().join(" ");
        let run = |starter: &[&str]| {
            let mut sh = server.program("sh");
            sh.args(["-c", &format!("exec \"$@\" {redirections}"), "sh"]);
            sh.args(starter).args(["python3", "-c", DESCRIPTORS]);
            let ended = sh.arg(&found).run();
            assert_eq!(ended.code(), Some(0), "{redirections}: {ended:?}");
            let descriptors = text_of(&found);
            fs::remove_file(&found).unwrap();
            (descriptors, ended)
        };
        let (alone, _) = run(&[]);
        for options in [&["-n"][..], &["-v", "-w", "9"]] {
            let (under, ended) = run(&[&[NONOVERLAP], options, &[&*server.word()]].concat());
            assert_eq!(
                under,
                format!("{alone} 60s").trim(),
                "{redirections}: {ended:?}"
            );
            assert_eq!(text_of(&seen), "True ", "{redirections}: {ended:?}");
            assert_eq!(ended.stderr().contains("hello"), !closed(2), "{ended:?}");
            fs::remove_file(&seen).unwrap();
        }
    }
}

#[test]
fn the_command_is_the_process_that_was_started_and_has_no_child() {
    // The helper lives on for a while when it has said all.
    let lines = "give(connect()); os.close(1); os.close(2); time.sleep(0.3); os._exit(0)";
    let Some(server) = Server::with(lines) else {
        return;
    };
    // It sees no child, has none to wait for, and none has been counted.
    let script = r#"
import os, resource
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none")
print(repr(open("/proc/self/task/%d/children" % os.getpid()).read()), os.getpid())
"#;
    let mut command = server.nonoverlap([&*server.word(), "python3", "-c", script]);
    let shown = run_on(&mut command, Stdio::null());
    let expected = format!("none\n'' {}\n", shown.pid);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), expected);
}

#[test]
fn a_child_that_the_caller_left_and_its_signal_are_still_the_commands() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    // It has ended before nonoverlap begins, and nobody else may take its exit status, or its signal,
    // by which the command knows whose end it was.
    let script = r#"
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
child = os.fork()
if child == 0:
    os._exit(7)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
os.execv(sys.argv[1], sys.argv[1:3] + [sys.executable] + sys.argv[3:])
"#;
    let wait = r#"
import os, signal
signalled = signal.sigtimedwait([signal.SIGCHLD], 0)
child, status = os.waitpid(-1, 0)
print(signalled and signalled.si_pid == child, os.waitstatus_to_exitcode(status))
print(signal.sigtimedwait([signal.SIGCHLD], 0))
"#;
    let mut python = server.program("python3");
    python.args(["-c", script, NONOVERLAP, &server.word(), "-c", wait]);
    python.run().expect(0, "True 7\nNone\n", "");
}

#[test]
fn the_command_finds_dispositions_mask_and_pending_signals_as_the_caller_left_them() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    let of_children: &[(seen_in_proc::Step, &str, u64)] = &[
        (|| seen_in_proc::ignore(CHLD), "SigIgn", CHLD),
        (|| seen_in_proc::block(CHLD), "SigBlk", CHLD),
        (
            || seen_in_proc::ignore(CHLD).and_then(|()| seen_in_proc::block(CHLD)),
            "SigBlk",
            CHLD,
        ),
        (pend_child, "ShdPnd", CHLD),
        (
            || seen_in_proc::ignore(CHLD).and_then(|()| pend_child()),
            "ShdPnd",
            CHLD,
        ),
    ];
    for &(state, field, bits) in STATES.iter().chain(PENDING).chain(of_children) {
        let word = server.word();
        // With a loss to be told of it has a process group of its own.
        let under = [NONOVERLAP, "--on-lost=ignore", "-w", "60", &word];
        let [alone, under] = [&[][..], &under].map(|starter| {
            let words = [starter, PROBE].concat();
            let mut command = server.program(words[0]);
            command.args(&words[1..]);
            in_child(&mut command, state);
            sight(&mut command, Stdio::null())
        });
        assert_eq!(
            seen_in_proc::set_in(&alone, field) & bits,
            bits,
            "{alone:#?}"
        );
        assert_eq!(alone, under, "{field} {bits:x}");
    }
}

const CHLD: u64 = 1 << (libc::SIGCHLD - 1);

fn pend_child() -> std::io::Result<()> {
    seen_in_proc::pend(CHLD, seen_in_proc::PROCESS)
}

#[test]
fn a_helper_can_wait_for_children_of_its_own_where_the_caller_ignores_theirs() {
    let lines = r#"
import subprocess
say(str(subprocess.run(["sh", "-c", "exit 7"]).returncode))
give(connect())"#;
    let Some(server) = Server::with(lines) else {
        return;
    };
    let mut run = server.nonoverlap([&*server.word(), "true"]);
    in_child(&mut run, || seen_in_proc::ignore(CHLD));
    let said = format!("nonoverlap: {}: 7\n", server.word());
    run.run().expect(0, "", &said);
}

#[test]
fn a_refused_run_leaves_no_process() {
    let lines = "open('FOLDER/pid', 'w').write(str(os.getpid())); say('held'); sys.exit(75)";
    let Some(server) = Server::with(lines) else {
        return;
    };
    server.run(&[], &["true"]).expect(1, "", "");
    let pid = text_of(&server.scene.path("pid"));
    assert!(!pid.is_empty() && !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn what_gives_up_other_descriptors_keeps_the_lock() {
    let Some(server) = Server::start() else {
        return;
    };
    let hold = "echo held; exec cat >/dev/null";
    for command in [
        &[
            "sh",
            "-c",
            "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo held; exec cat >/dev/null",
        ][..],
        &["setsid", "-w", "sh", "-c", hold],
        &["nohup", "sh", "-c", hold],
    ] {
        let (holder, mut connection) = server.holder_of(&[], command);
        assert!(connection.is_open(), "{command:?}");
        assert!(holder.end().success());
        connection.ends();
    }
}

#[test]
fn a_run_that_is_killed_while_its_helper_waits_starts_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut run: Command = server.nonoverlap(["-b", &*server.word(), "touch"]);
    run.arg(server.scene.path("ran"));
    let mut child = run.stdin(Stdio::null()).spawn().unwrap();
    let mut connection = server.accept();
    child.kill().unwrap();
    child.wait().unwrap();
    // Its helper hears of it at the latest when it would pass the lock on.
    connection.send(b"yours");
    connection.ends();
    eventually("all is over", || !connection.is_open());
    assert!(!server.scene.path("ran").exists());
}
