//! `--max-runtime` where a process group can only be named by its number, as on macOS, the BSDs and before
//! Linux 6.9: nobody is signalled to whom the number came later, and who is left is not taken for gone.

use std::fs;
use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use seccompiler::apply_filter;

use super::guardian::guardian_of;
use super::max_runtime::without_a_terminal;
use crate::support::harness::{
    Holder, IS_FOR_MACOS, NONOVERLAP, Orphan, Run, Scene, Stopped, becomes_free, eventually,
    has_tool, kill, state,
};
use crate::support::probe::in_child;
use crate::support::refused_call::Call;

/// Has the kernel know no PIDFD_SIGNAL_PROCESS_GROUP, as before Linux 6.9. A pidfd still tells whether its
/// process is there.
fn by_number(command: &mut Command) {
    const FLAGS: u8 = 3;
    const PIDFD_SIGNAL_PROCESS_GROUP: i32 = 4;
    let call = Call::with(
        &[libc::SYS_pidfd_send_signal],
        FLAGS,
        PIDFD_SIGNAL_PROCESS_GROUP,
    );
    let filter = call.refused_with(libc::EINVAL);
    in_child(command, move || {
        apply_filter(&filter).map_err(io::Error::other)
    });
}

/// strace of a guardian's signals, into `trace`, on a kernel that does not know groups, or on this one.
fn traced(scene: &Scene, is_by_number: bool) -> Command {
    let mut strace = Command::new("strace");
    without_a_terminal(&mut strace);
    if is_by_number {
        by_number(&mut strace);
    }
    strace
        .args(["-f", "-e", "trace=kill,pidfd_send_signal", "-o"])
        .arg(scene.path("trace"));
    strace.arg(NONOVERLAP);
    strace
}

#[test]
fn a_group_is_signalled_by_number_where_the_kernel_cannot_by_pidfd() {
    if !has_tool("strace", "what the guardian sends") {
        return;
    }
    for (job, signals) in [
        ("sleep 1000; :", ["TERM", "CONT"].as_slice()),
        (
            "trap '' TERM; sleep 1000; sleep 1000; :",
            &["TERM", "CONT", "KILL"],
        ),
    ] {
        let scene = Scene::new();
        let mut strace = traced(&scene, true);
        strace.args(["--max-runtime", "0.5", "--kill-after", "0.5"]);
        let ended = strace.arg(scene.lock()).args(["sh", "-c", job]).run();
        assert!(ended.signal().is_some(), "{ended:?}");
        becomes_free(&scene.lock());
        let trace = fs::read_to_string(scene.path("trace")).unwrap();
        for signal in signals {
            let sent = format!(", SIG{signal}");
            let is_it = |line: &str| line.contains("kill(-") && line.contains(&sent);
            assert!(trace.lines().any(is_it), "{signal}: {trace}");
        }
    }
}

/// After the last of the group is gone, its number is not used again.
#[test]
fn a_group_that_is_gone_is_sent_nothing_more() {
    if !has_tool("strace", "what the guardian sends") {
        return;
    }
    for is_by_number in [false, true] {
        let scene = Scene::new();
        let mut strace = traced(&scene, is_by_number);
        strace.args(["--max-runtime", "0.3", "--kill-after", "60"]);
        let ended = strace.arg(scene.lock()).args(["sleep", "1000"]).run();
        assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
        let trace = fs::read_to_string(scene.path("trace")).unwrap();
        assert!(
            trace.contains("SIGTERM") && !trace.contains("SIGKILL"),
            "{trace}"
        );
        let sends_by_number = is_by_number || IS_FOR_MACOS;
        assert_eq!(trace.contains("kill(-"), sends_by_number, "{trace}");
        // It asks whether anybody is left, and that nobody is ends it.
        let last = trace
            .lines()
            .rfind(|line| line.contains("kill(") || line.contains("(1, 0,"));
        let last = last.unwrap();
        assert!(last.contains(", 0") && last.contains("ESRCH"), "{trace}");
    }
}

/// A job of whose group somebody is left that SIGTERM does not end, and the guardian that holds the lock.
struct Left {
    scene: Scene,
    start: Instant,
    /// The first process, which SIGTERM has ended. Nobody has reaped it yet.
    first: Holder,
    rest: Orphan,
    guardian: u32,
}

impl Left {
    fn after(kill_after: &str) -> Left {
        let scene = Scene::new();
        let job = "sh -c 'trap \"\" TERM; echo $$ >rest; echo held >&3; exec sleep 1000' & wait";
        let mut shell = Command::new("sh");
        without_a_terminal(&mut shell);
        by_number(&mut shell);
        shell.args(["-c", "exec 3>&1; exec \"$@\"", "sh", NONOVERLAP, "-o"]);
        shell.args(["--max-runtime", "1", "--kill-after", kill_after]);
        shell.args(["--log", "log", "lock", "sh", "-c", job]);
        let start = Instant::now();
        let first = Holder::start(shell.current_dir(scene.path("")));
        let pid = first.pid();
        let guardian = guardian_of(pid).expect("a guardian");
        let rest = fs::read_to_string(scene.path("rest")).unwrap();
        let rest = Orphan(rest.trim().parse().unwrap());
        eventually("its first process has ended", || state(pid) == Some('Z'));
        Left {
            scene,
            start,
            first,
            rest,
            guardian,
        }
    }

    /// The guardian is not run for longer than a number is its own.
    fn are_not_looked_after(&self) {
        let stopped = Stopped::new(self.guardian);
        sleep(Duration::from_millis(1500));
        drop(stopped);
    }

    /// What the log says between the start and the end, when that is there.
    fn log(&self) -> Vec<String> {
        let log = || fs::read_to_string(self.scene.path("log")).unwrap();
        eventually("its end is logged", || {
            log().ends_with(", by --max-runtime 1\n")
        });
        let log = log();
        let lines: Vec<_> = log.lines().map(|line| line[26..].to_owned()).collect();
        lines[1..lines.len() - 1].to_vec()
    }
}

/// It has been reaped, and its number could be another's by now.
#[test]
fn a_number_that_may_be_anothers_is_sent_nothing_and_the_lock_is_held_as_long_as_somebody_has_it() {
    let mut left = Left::after("3");
    assert!(left.first.has_ended());
    left.are_not_looked_after();
    becomes_free(&left.scene.path("lock"));
    assert!(left.start.elapsed() >= Duration::from_secs(1 + 3));
    assert!(left.rest.runs());
    let what = format!(
        "nonoverlap: lock: cannot send signal 9 to PID {}: it has ended, and the number of its group may be \
         another's",
        left.first.pid()
    );
    assert_eq!(left.log(), [what]);

    // Nobody has it any more: that needs no signal.
    let mut left = Left::after("1h");
    assert!(left.first.has_ended());
    left.are_not_looked_after();
    kill(left.rest.0, libc::SIGKILL);
    becomes_free(&left.scene.path("lock"));
    assert_eq!(left.log(), [""; 0]);
}

/// Until it is reaped, its number is its own. (A kqueue does not tell when it is.)
#[test]
fn a_number_whose_process_is_not_reaped_is_signalled_however_late() {
    if IS_FOR_MACOS {
        return;
    }
    let left = Left::after("3");
    left.are_not_looked_after();
    eventually("the rest is killed", || !left.rest.runs());
    assert_eq!(left.log(), [""; 0]);
}

/// That its first process is there is enough to know the number, however long that takes.
#[test]
fn who_is_left_is_killed_although_the_first_process_took_long_to_end() {
    if !has_tool("perl", "a caller that ignores SIGCHLD") {
        return;
    }
    let scene = Scene::new();
    let job =
        "sh -c 'trap \"\" TERM; echo $$ >rest; exec sleep 1000' & trap : TERM; wait; sleep 1.5";
    let mut perl = Command::new("perl");
    without_a_terminal(&mut perl);
    by_number(&mut perl);
    // The kernel reaps it at once.
    let script = "$SIG{CHLD} = 'IGNORE'; fork or exec @ARGV; wait";
    perl.args(["-e", script, NONOVERLAP, "-o", "--max-runtime", "1"]);
    perl.args(["--kill-after", "3", "--log", "log", "lock", "sh", "-c", job]);
    perl.current_dir(scene.path("")).run();
    let rest = fs::read_to_string(scene.path("rest")).unwrap();
    let rest = Orphan(rest.trim().parse().unwrap());
    eventually("the rest is killed", || !rest.runs());
    becomes_free(&scene.path("lock"));
    let log = || fs::read_to_string(scene.path("log")).unwrap();
    eventually("its end is logged", || log().contains(" ended after "));
    assert_eq!(log().lines().count(), 2, "{}", log());
}
