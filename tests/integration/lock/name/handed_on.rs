//! A lock that is handed on from process to process, while others look for it.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::harness::{
    HOLD, Holder, Run, Scene, eventually, has_tool, is_root, kill, left_out, nonoverlap,
    waits_for_lock,
};
use crate::support::seccomp::{Answer, run_gated};
use crate::support::status_answer::FREE;

/// Forks and ends again and again, each time after so many seconds, until there is a file `stop`. What
/// is left at last has the lock and nothing else of the first one.
const RELAY: &str = "
import os, sys, time
print('held', flush=True)
end = time.monotonic() + 50
os.close(1)
while not os.path.exists('stop') and time.monotonic() < end:
    if os.fork():
        os._exit(0)
    time.sleep(float(sys.argv[1]))";

#[test]
fn nobody_gets_in_beside_a_holder_that_hands_on_to_a_child_again_and_again() {
    if !has_tool("python3", "a holder that hands on") {
        return;
    }
    for (pause, tries) in [("0.001", 40), ("0.01", 30), ("0.1", 20)] {
        for fate in ["rm lock", "mv lock old"] {
            let scene = Scene::new();
            let lock = scene.lock();
            let mut command = nonoverlap([&lock]);
            command.args(["python3", "-c", RELAY, pause]);
            let mut job = Relay(
                Some(Holder::start(command.current_dir(scene.path("")))),
                &scene,
            );
            super::in_folder(&scene.path(""), Command::new("env"), fate);
            for number in 0..tries {
                // On no file, on a new one that a refused run has left, and while it is waited for.
                if number % 3 == 0 {
                    let _ = fs::remove_file(&lock);
                }
                let options = if number % 5 == 4 {
                    ["-w", "0.01"]
                } else {
                    ["-n", "-q"]
                };
                let mut command = nonoverlap(options);
                let ended = command.arg(&lock).args(["echo", "ran"]).run();
                ended.expect(1, "", "");
            }
            job.stop();
            let mut command = nonoverlap(["-w50"]);
            let ended = command.arg(&lock).args(["echo", "ran"]).run();
            ended.expect(0, "ran\n", "");
        }
    }
}

/// Whatever happens, it comes to an end.
struct Relay<'a>(Option<Holder>, &'a Scene);

impl Relay<'_> {
    fn stop(&mut self) {
        self.1.file("stop", "");
        if let Some(job) = self.0.take() {
            job.end();
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn another_programs_lock_on_a_deleted_file_is_found_and_waited_for() {
    if !has_tool("flock", "another program's lock") {
        return;
    }
    for fork in [&[][..], &["-F"]] {
        let scene = Scene::new();
        let lock = scene.lock();
        let mut command = Command::new("flock");
        command.args(fork).arg(&lock);
        let job = Holder::start(command.args(HOLD));
        let held = super::Pinned::new(&lock);
        fs::remove_file(&lock).unwrap();
        let plain = || nonoverlap([""; 0]);
        super::is_conflict(&plain, &lock);
        let status = super::status_of(&plain, &lock);
        assert!(status.ends_with(super::DELETED), "{status}");
        super::runs_after(&plain, &lock, &lock, &held, || drop(job));
    }
}

#[test]
fn where_nothing_else_is_locked_on_the_file_system_no_process_is_searched() {
    if !is_root() {
        return left_out("a file system", "only root may mount one");
    }
    if !has_tool("strace", "the system calls of a run") {
        return;
    }
    if fs::read_link("/proc/self/ns/pid").unwrap().as_os_str() != "pid:[4026531836]" {
        let why = "this is not the initial PID namespace";
        return left_out("a run that searches nobody", why);
    }
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    let script = "mount -t tmpfs none folder || exit
        strace -o trace \"$0\" folder/lock echo ran
        flock -F folder/other strace -o beside \"$0\" folder/new echo ran
        exec 3>folder/held; rm folder/held; flock 3
        strace -o deleted \"$0\" folder/held echo ran 3>&-";
    let mut command = crate::support::machine::with_mounts(&scene, script);
    let ended = command.run();
    assert_eq!(ended.stdout(), "ran\nran\n", "{ended:?}");
    let searches = |name: &str| {
        let trace = fs::read_to_string(scene.path(name)).unwrap();
        assert!(trace.contains("/proc/locks"), "{trace}");
        trace.contains("\"/proc\"")
    };
    assert!(!searches("trace"));
    // Of a lock beside it, whoever took it is looked into, and nobody else.
    assert!(!searches("beside"));
    // The process is dead that took this one, and the command of the search is to be seen.
    assert!(searches("deleted"));
}

/// The file that a mark names is found by its number. By then the run may have ended, and whoever has a
/// file of that number be of another name.
#[test]
fn another_names_job_whose_file_has_the_number_of_a_mark_that_is_gone_is_no_holder() {
    let ran = ["-w50", "lock", "echo", "ran"];
    let told = ["--status", "lock"];
    for (words, status, said) in [
        (&ran[..], 0, "ran\n"),
        (&told, FREE, "lock: free; there is no such file\n"),
    ] {
        let scene = Scene::new();
        let (lock, other) = (scene.lock(), scene.file("other", ""));
        fs::hard_link(&other, &lock).unwrap();
        let mut marked = Some(Holder::of([&lock]));
        fs::remove_file(&lock).unwrap();
        let mut job = None;
        let mut command = nonoverlap(words);
        command.current_dir(scene.path(""));
        let (ended, _) = run_gated(&mut command, libc::SYS_getdents64, |_| {
            // It has read the table, and is about to look into processes.
            if let Some(marked) = marked.take() {
                marked.end();
                job = Some(Holder::of([&other]));
            }
            Answer::Pass
        });
        assert!(job.is_some(), "it looked into no process");
        ended.expect(status, said, "");
    }
}

/// A mark goes on where the command has closed its descriptor with the lock. The file that it names is
/// anybody's then.
#[test]
fn a_command_that_has_let_go_makes_nobody_wait_for_another_names_job_with_its_file() {
    if !has_tool("bash", "descriptor 60 in a shell") {
        return;
    }
    let scene = Scene::new();
    let (lock, other) = (scene.lock(), scene.file("other", ""));
    fs::hard_link(&other, &lock).unwrap();
    let mut marked = nonoverlap([&lock]);
    let marked = Holder::start(marked.args(["bash", "-c", "exec 60>&-; echo held; exec cat"]));
    fs::remove_file(&lock).unwrap();
    let _job = Holder::of([&other]);
    let said = super::status_of(&|| nonoverlap([""; 0]), &lock);
    let expected = ": held by a nonoverlap that cannot be seen; its lock file was deleted, renamed or replaced";
    assert_eq!(said, format!("{}{expected}", lock.display()));

    let mut command = nonoverlap(["-w50"]);
    command.arg(&lock).args(["echo", "ran"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    eventually("it waits, or has ended", || {
        let sleeps = fs::read_to_string(format!("/proc/{}/wchan", child.id()));
        let sleeps = sleeps.is_ok_and(|name| name.contains("poll"));
        sleeps || waits_for_lock(child.id(), &other) || child.try_wait().unwrap().is_some()
    });
    marked.end();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.stdout, b"ran\n", "{ended:?}");
}

/// Locks a file, deletes it, and says so; at a signal, has another locked file under the same number.
const EXCHANGE: &str = "
import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
mine, other = (os.open(path, os.O_RDWR | os.O_CREAT) for path in sys.argv[1:])
os.dup2(mine, 60)
os.close(mine)
fcntl.flock(60, fcntl.LOCK_EX)
fcntl.flock(other, fcntl.LOCK_EX)
os.remove(sys.argv[1])
print('held', flush=True)
signal.sigwait({signal.SIGUSR1})
os.dup2(other, 60)
sys.stdin.read()";

#[test]
fn what_another_program_has_opened_where_the_deleted_file_was_is_no_holder() {
    if !has_tool("python3", "a program that opens another file") {
        return;
    }
    let told = "lock: free; there is no such file\n";
    for (words, status, said) in [
        (&["-w50", "lock", "echo", "ran"][..], 0, "ran\n"),
        (&["--status", "lock"], FREE, told),
    ] {
        let scene = Scene::new();
        let (lock, other) = (scene.lock(), scene.path("other"));
        let mut program = Command::new("python3");
        let program = Holder::start(program.args(["-c", EXCHANGE]).arg(&lock).arg(&other));
        let place = format!("/proc/{}/fd/60", program.pid());
        let name = format!("{} (deleted)", lock.display());
        let mut command = nonoverlap(words);
        command.current_dir(scene.path(""));
        let mut was_opened = false;
        let (ended, _) = run_gated(&mut command, libc::SYS_newfstatat, |call| {
            // It has seen that name in the process, and is about to open what has it.
            if !was_opened && call.text(1) == name.as_bytes() {
                was_opened = true;
                kill(program.pid(), libc::SIGUSR1);
                eventually("the other file is there", || {
                    fs::read_link(&place).is_ok_and(|there| there == other)
                });
            }
            Answer::Pass
        });
        assert!(was_opened, "it found no deleted file");
        ended.expect(status, said, "");
    }
}
