//! A holder that let go of the lock while it still runs, as ssh and tcsh do, which close what they
//! inherit: the next run goes ahead, and a warning names that process and `--close`. Linux only:
//! system calls are traced and processes watched by its means.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::report::log::{lines_of, undated};
use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, Waiter, eventually, has_tool, is_root, kill, left_out,
    nonoverlap, quoted, record_of, settled,
};
use crate::support::machine::as_ordinary_user;
use crate::support::status_answer::{child_of, inner_pid, realm_of_processes};

#[test]
fn a_recorded_process_that_lives_is_warned_of_also_if_it_is_another_users_or_stopped() {
    let scene = Scene::new();
    let lock = scene.lock();
    let other = Sleeper::new();
    recorded(&lock, other.pid(), 0);
    warns(&mut nonoverlap([&lock]), &lock, other.pid());
    recorded(&lock, other.pid(), 0);
    warns(nonoverlap(["-b"]).arg(&lock), &lock, other.pid());
    recorded(&lock, other.pid(), 0);
    warns(nonoverlap(["-s"]).arg(&lock), &lock, other.pid());
    // Which writes no record, and so it is told again.
    warns(nonoverlap(["-s"]).arg(&lock), &lock, other.pid());

    kill(other.pid(), libc::SIGSTOP);
    recorded(&lock, other.pid(), 0);
    warns(&mut nonoverlap([&lock]), &lock, other.pid());

    if !is_root() {
        return left_out("another user's process", "only root can be another user");
    }
    recorded(&lock, other.pid(), 0);
    // This user can neither signal it nor write into the file.
    let mut user = as_ordinary_user(&scene);
    warns(user.arg(&lock), &lock, other.pid());
}

#[test]
fn no_warning_after_the_holder_has_ended() {
    let scene = Scene::new();
    let lock = scene.lock();
    assert!(Holder::of([&lock]).end().success());
    is_silent(&mut nonoverlap([&lock]));
    Holder::of([&lock]).kill(libc::SIGKILL);
    is_silent(&mut nonoverlap([&lock]));
    // Nor where the next run begins before anybody has waited for the last one.
    let zombie = Zombie::new();
    recorded(&lock, zombie.pid(), 0);
    is_silent(&mut nonoverlap([&lock]));
    recorded(&lock, i32::MAX as u32, 0);
    is_silent(&mut nonoverlap([&lock]));
}

#[test]
fn no_warning_where_the_end_of_the_holder_itself_wakes_the_next_run() {
    let scene = Scene::new();
    let lock = scene.lock();
    // A process closes its descriptors before it is gone, and for some microseconds is still there.
    for _ in 0..20 {
        let holder = Holder::of([&lock]);
        let mut command = nonoverlap(["-b"]);
        command.arg(&lock).args(["echo", "ran"]);
        let waiter = Waiter::start(&mut command, &lock);
        holder.end();
        waiter.ended().expect(0, "ran\n", "");
    }
}

#[test]
fn no_warning_of_a_process_that_started_after_the_record_was_written() {
    let scene = Scene::new();
    let lock = scene.lock();
    let reused = Sleeper::new();
    recorded(&lock, reused.pid(), 10);
    is_silent(&mut nonoverlap([&lock]));
    recorded(&lock, reused.pid(), 94_694_400);
    is_silent(&mut nonoverlap([&lock]));
}

#[test]
fn no_warning_of_ourselves_or_an_ancestor() {
    let scene = Scene::new();
    let lock = scene.lock();
    let again = "\"$0\" \"$1\" echo ran";
    for (what, script) in [
        ("ourselves", format!("exec 60>&-; exec {again}")),
        ("our parent", format!("exec 60>&-; {again}; exit $?")),
        (
            "our grandparent",
            format!("exec 60>&-; (({again}; exit $?); exit $?); exit $?"),
        ),
        (
            "another's",
            format!("exec 60>&-; setsid -w {again}; exit $?"),
        ),
    ] {
        let mut command = nonoverlap([&lock]);
        command.args(["bash", "-c", &script, NONOVERLAP]).arg(&lock);
        let ended = command.run();
        // The trap is one: with the descriptor open, the second run would be refused.
        let seen = (ended.code(), ended.stdout(), ended.stderr());
        assert_eq!(
            seen,
            (Some(0), "ran\n".into(), String::new()),
            "{what}: {ended:?}"
        );
    }
    // A script that runs two commands in turn under the same lock, and is its first holder's parent.
    let script = "\"$0\" \"$1\" true && \"$0\" \"$1\" echo ran";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, NONOVERLAP]).arg(&lock);
    shell.run().expect(0, "ran\n", "");
    // The first of all processes is everybody's ancestor.
    recorded(&lock, 1, 0);
    is_silent(&mut nonoverlap([&lock]));
}

#[test]
fn the_warning_is_not_for_q_and_for_the_log_in_any_case() {
    let scene = Scene::new();
    let lock = scene.lock();
    let other = Sleeper::new();
    for (option, is_said) in [("-q", false), ("-v", true), ("-n", true)] {
        recorded(&lock, other.pid(), 0);
        let mut command = nonoverlap([option]);
        command.arg(&lock).args(["echo", "ran"]);
        let ended = command.run();
        assert_eq!(ended.stderr().contains("--close"), is_said, "{ended:?}");

        recorded(&lock, other.pid(), 0);
        let mut command = nonoverlap([option, "--log", "log"]);
        command.current_dir(scene.path(""));
        let ended = command.arg(&lock).args(["echo", "ran"]).run();
        assert_eq!(ended.stderr().contains("--close"), is_said, "{ended:?}");
        let lines = lines_of(&scene.path("log"));
        assert_eq!(lines.len(), 3, "{lines:?}");
        is_warning(undated(&lines[0]), &lock, other.pid());
        assert!(undated(&lines[1]).contains("; starting "), "{lines:?}");
        fs::remove_file(scene.path("log")).unwrap();
    }
}

#[test]
fn in_a_pid_namespace_the_number_may_be_anothers_and_only_v_and_the_log_are_told() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let lock = scene.lock();
    let other = Holder::start(realm.command([HOLD[0]]).args(&HOLD[1..]));
    // As of another container that has the folder, too.
    let pid = inner_pid(settled(child_of(other.pid())));
    recorded(&lock, pid, 0);
    is_silent(realm.command([NONOVERLAP]).arg(&lock));
    recorded(&lock, pid, 0);
    let mut command = realm.command([NONOVERLAP, "--log"]);
    is_quiet_with_log(command.arg(scene.path("log")).arg(&lock));
    let lines = lines_of(&scene.path("log"));
    is_warning(undated(&lines[0]), &lock, pid);
    recorded(&lock, pid, 0);
    let mut command = realm.command([NONOVERLAP, "-v"]);
    let ended = command.arg(&lock).args(["echo", "ran"]).run();
    let said = ended.stderr();
    let line = said.lines().next().expect(&said);
    is_warning(line.strip_prefix("nonoverlap: ").expect(&said), &lock, pid);
}

#[track_caller]
fn is_quiet_with_log(command: &mut Command) {
    command.args(["echo", "ran"]).run().expect(0, "", "");
}

#[test]
fn what_is_no_record_of_ours_brings_no_warning() {
    let scene = Scene::new();
    let lock = scene.lock();
    let pid = Sleeper::new();
    let pid = pid.pid();
    for content in [
        format!("{pid}\n"),
        format!("{pid:<10}\n"),
        format!("{pid:>10}"),
        format!("{pid:>11}\n"),
        format!("{pid:010}\n"),
        format!("{pid:>10}\n{pid:>10}\n"),
    ] {
        fs::write(&lock, &content).unwrap();
        is_silent(&mut nonoverlap([&lock]));
        assert_eq!(fs::read_to_string(&lock).unwrap(), content);
    }
    let line = format!("\"$0\" --fd 9 echo ran 9<{}", quoted(&lock));
    recorded(&lock, pid, 0);
    is_silent(Command::new("sh").args(["-c", &line, NONOVERLAP]));
    // A record lock excludes no flock, so the process of the record may well hold its lock.
    is_silent(nonoverlap(["--fcntl"]).arg(&lock));
    is_silent(nonoverlap(["--fcntl", "-s"]).arg(&lock));
}

#[test]
fn a_run_on_a_settled_file_pays_one_call_for_it_and_looks_at_no_process() {
    let scene = Scene::new();
    if !has_tool("strace", "the system calls of a run") {
        return;
    }
    let gone = i32::MAX as u32;
    scene.settled_lock();
    let calls = calls_of(&scene, nonoverlap([scene.lock()]).arg("/bin/true"));
    let kills: Vec<_> = calls
        .iter()
        .filter(|call| call.starts_with("kill("))
        .collect();
    assert_eq!(kills.len(), 1, "{calls:#?}");
    assert!(
        kills[0].starts_with(&format!("kill({gone}, 0)")),
        "{calls:#?}"
    );
    let is_start = |call: &String| call.starts_with("open") && call.contains("/lock\"");
    let start = calls.iter().position(is_start).unwrap();
    for call in &calls[start..] {
        let name = call.split('(').next().unwrap();
        // What a run makes that looks for nobody, and F_GETFD of a debug build.
        let known = "open openat fcntl close flock newfstatat stat statx memfd_create pread64 \
            prlimit64 getpid pwrite64 kill execve";
        assert!(
            known.split(' ').any(|known| known == name),
            "{call} of {calls:#?}"
        );
        assert!(!call.contains("/proc"), "{call} of {calls:#?}");
    }
    let opened = calls.iter().filter(|call| call.starts_with("open"));
    // For the lock, and for writing.
    assert_eq!(opened.count(), 2, "{calls:#?}");

    // What makes the difference: an empty file is searched for.
    fs::write(scene.lock(), "").unwrap();
    let calls = calls_of(&scene, nonoverlap([scene.lock()]).arg("/bin/true"));
    assert!(
        calls.iter().any(|call| call.contains("/proc/locks")),
        "{calls:#?}"
    );
    assert!(
        !calls.iter().any(|call| call.starts_with("kill(")),
        "{calls:#?}"
    );
}

/// Runs a command under a lock that was free: it is let in, and told that a process still lives.
#[track_caller]
pub fn warns(command: &mut Command, lock: &Path, pid: u32) {
    let ended = command.args(["echo", "ran"]).run();
    let seen = (ended.code(), ended.stdout());
    assert_eq!(seen, (Some(0), "ran\n".to_owned()), "{ended:?}");
    let said = ended.stderr();
    let line = said.strip_prefix("nonoverlap: ").expect(&said);
    is_warning(line.strip_suffix('\n').expect(&said), lock, pid);
}

#[track_caller]
fn is_warning(line: &str, lock: &Path, pid: u32) {
    let named = format!(
        "{} was free, but PID {pid}, which its record names, ",
        lock.display()
    );
    assert!(line.starts_with(&named), "{line}");
    assert!(
        line.contains("perhaps") && line.contains("--close"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[track_caller]
pub fn is_silent(command: &mut Command) {
    command.args(["echo", "ran"]).run().expect(0, "ran\n", "");
}

/// Puts a process on record, so many seconds ago.
fn recorded(lock: &Path, pid: u32, seconds: u64) {
    fs::write(lock, record_of(pid)).unwrap();
    let time = SystemTime::now() - Duration::from_secs(seconds);
    let file = File::options().write(true).open(lock).unwrap();
    file.set_modified(time).unwrap();
}

/// The system calls of a run up to the command, a line each.
#[track_caller]
fn calls_of(scene: &Scene, command: &Command) -> Vec<String> {
    let trace = scene.path("trace");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&trace).arg(command.get_program());
    strace.args(command.get_args()).run().expect(0, "", "");
    let trace = fs::read_to_string(trace).unwrap();
    let mut calls: Vec<_> = trace.lines().map(str::to_owned).collect();
    let is_exec = |call: &String| call.starts_with("execve(\"/bin/true\"");
    calls.truncate(calls.iter().position(is_exec).unwrap() + 1);
    calls
}

/// A process that lives as long as this.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Sleeper {
        let mut command = Command::new("cat");
        Sleeper(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that has ended, and for which nobody waits as long as this lives.
struct Zombie(Child);

impl Zombie {
    fn new() -> Zombie {
        let zombie = Zombie(Command::new("true").spawn().unwrap());
        let stat = format!("/proc/{}/stat", zombie.pid());
        eventually("it has ended", || {
            fs::read_to_string(&stat).unwrap().contains(") Z ")
        });
        zombie
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Zombie {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}
