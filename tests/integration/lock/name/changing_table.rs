//! The kernel's table of locks is read in pieces, and changes between two of them: what slipped
//! through the gap is no reason to run or to say free.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, Waiter, eventually, has_tool, holds_lock, is_root,
    left_out, locks_on, nonoverlap,
};
use crate::support::seccomp::{Answer, Call, run_gated};
use crate::support::status_answer::{CANNOT_TELL, FREE, HELD};

/// Takes so many flocks when it reads "+", drops them when it reads "-", and then says so.
const JUGGLE: &str = "
import fcntl, os, sys
folder, many = sys.argv[1], int(sys.argv[2])
os.mkdir(folder)
files = [os.open(f'{folder}/{number}', os.O_RDWR | os.O_CREAT) for number in range(many)]
for line in sys.stdin:
    for file in files: fcntl.flock(file, fcntl.LOCK_EX if line == '+\\n' else fcntl.LOCK_UN)
    print('done', flush=True)";

/// It, running.
struct Juggler {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    has_them: bool,
}

impl Juggler {
    fn start(scene: &Scene, many: usize) -> Juggler {
        let mut command = here("python3");
        command.args(["-c", JUGGLE]).arg(scene.path("juggled"));
        command.arg(many.to_string());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        Juggler {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            has_them: false,
        }
    }

    /// Has it take them all, or drop them.
    fn hold(&mut self, is_to_have: bool) {
        if self.has_them != is_to_have {
            self.has_them = is_to_have;
            let order = if is_to_have { "+" } else { "-" };
            writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
            self.answers.read_line(&mut String::new()).unwrap();
        }
    }
}

impl Drop for Juggler {
    fn drop(&mut self) {
        self.orders.take();
        let _ = self.child.wait();
    }
}

/// A command on the first processor: each has a list of its own in the table, the newest first.
fn here(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

/// A run whose lock file was renamed, so that nothing but its mark in the table tells of it.
fn displaced(scene: &Scene) -> Holder {
    let job = Holder::start(here(NONOVERLAP).arg(scene.lock()).args(HOLD));
    fs::rename(scene.lock(), scene.path("renamed")).unwrap();
    job
}

/// At which byte of the table a call reads on, if it does.
fn place_in_table(call: &Call) -> Option<u64> {
    let [descriptor, ..] = call.arguments;
    let path = |kind: &str| format!("/proc/{}/{kind}/{descriptor}", call.pid);
    if fs::read_link(path("fd")).ok()? != Path::new("/proc/locks") {
        return None;
    }
    let info = fs::read_to_string(path("fdinfo")).ok()?;
    let at = info.lines().find_map(|line| line.strip_prefix("pos:"))?;
    at.trim().parse().ok()
}

/// What the next run and `--status` do where this happens before each piece of the table that a process
/// reads.
fn asked(scene: &Scene, mut before: impl FnMut(u32, u64)) -> [Ended; 2] {
    let mut run = nonoverlap([scene.lock()]);
    run.args(["echo", "ran"]);
    let mut status = nonoverlap(["--status"]);
    status.arg(scene.lock());
    [run, status].map(|mut command| {
        let (ended, _) = run_gated(&mut command, libc::SYS_read, |call| {
            if let Some(at) = place_in_table(call) {
                before(call.pid, at);
            }
            Answer::Pass
        });
        let _ = fs::remove_file(scene.lock());
        ended
    })
}

#[test]
fn where_the_table_changes_faster_than_it_is_read_nobody_runs_and_nothing_is_called_free() {
    if !has_tool("python3", "locks that come and go") {
        return;
    }
    let scene = Scene::new();
    let _job = displaced(&scene);
    let mut juggler = Juggler::start(&scene, 900);
    // At the beginning of the table the job stands behind all of them, and later before the reader.
    let [ran, told] = asked(&scene, |_, at| juggler.hold(at == 0));
    assert_eq!(ran.stdout(), "", "{ran:?}");
    assert!(matches!(ran.code(), Some(1 | 71)), "{ran:?}");
    if ran.code() == Some(71) {
        let why = format!(
            "nonoverlap: cannot look for other holders of {}: Resource temporarily unavailable\n",
            scene.lock().display()
        );
        assert_eq!(ran.stderr(), why);
    }
    let code = told.code();
    assert!(matches!(code, Some(HELD | CANNOT_TELL)), "{told:?}");
}

#[test]
fn a_lock_that_many_wait_for_hides_none_behind_it() {
    if !has_tool("flock", "a lock of which others wait") || !has_tool("python3", "their lines") {
        return;
    }
    // The lock and those who wait for it fill most of a page, and so do not fit into the page that
    // begins before them. Which page that is depends on how many stand before: the first, or a later.
    for before in [15, 90] {
        let scene = Scene::new();
        let _job = displaced(&scene);
        let queue = scene.file("queue", "");
        let _head = Holder::start(here("flock").arg("-F").arg(&queue).args(HOLD));
        let script = "import fcntl, sys, threading\n\
            def wait(): fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH)\n\
            for _ in range(60): threading.Thread(target=wait, daemon=True).start()\n\
            print('held', flush=True)\n\
            sys.stdin.read()";
        let mut waiters = here("python3");
        let _waiters = Holder::start(waiters.args(["-c", script]).arg(&queue));
        eventually("sixty wait", || locks_on(&queue).len() == 61);
        let mut juggler = Juggler::start(&scene, before);
        let mut dropped_for = 0;
        let [ran, told] = asked(&scene, |pid, at| {
            // All that stand before it go when a piece has ended before it.
            if at > if before < 20 { 0 } else { 4400 } {
                dropped_for = pid;
            }
            juggler.hold(dropped_for != pid);
        });
        ran.expect(1, "", "");
        assert_eq!(told.code(), Some(HELD), "{told:?}");
    }
}

/// Makes tables with one lock for which others wait, and so many before it; says so of each.
const SHAPES: &str = "
import fcntl, sys, threading
folder = sys.argv[1]
first = open(folder + '/first', 'w')
fcntl.flock(first, fcntl.LOCK_EX)
queue = open(folder + '/queue', 'w')
fcntl.flock(queue, fcntl.LOCK_EX)
files = [open(f'{folder}/{number}', 'w') for number in range(115)]
def wait(): fcntl.flock(open(folder + '/queue'), fcntl.LOCK_SH)
waiting = 0
for waiters in 0, 20, 60, 74, 75, 100:
    for _ in range(waiting, waiters): threading.Thread(target=wait, daemon=True).start()
    waiting = waiters
    for before in 1, 2, 20, 39, 40, 76, 77, 115:
        for number, file in enumerate(files):
            fcntl.flock(file, fcntl.LOCK_EX if number < before else fcntl.LOCK_UN)
        print('held', flush=True)
        if not sys.stdin.readline(): sys.exit()
print('end', flush=True)";

#[test]
fn a_table_that_does_not_change_is_read_whole_whatever_its_locks_and_waiters() {
    if !has_tool("python3", "tables of many shapes") {
        return;
    }
    let scene = Scene::new();
    let mut command = here("python3");
    command.args(["-c", SHAPES]).arg(scene.path(""));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shapes = pipes.spawn().unwrap();
    let mut orders = shapes.stdin.take().unwrap();
    let said = BufReader::new(shapes.stdout.take().unwrap());
    let mut asked = Vec::new();
    for line in said
        .lines()
        .take_while(|line| line.as_ref().unwrap() == "held")
    {
        line.unwrap();
        let mut status = nonoverlap(["--status", "-q"]);
        asked.push(status.arg(scene.path("free")).run().code());
        writeln!(orders).unwrap();
    }
    drop(orders);
    shapes.wait().unwrap();
    assert_eq!(asked, [Some(FREE); 48]);
}

#[test]
fn a_lock_on_a_deleted_file_that_goes_to_its_waiter_meanwhile_is_found() {
    if !has_tool("flock", "another program's lock") {
        return;
    }
    let scene = Scene::new();
    let lock = scene.lock();
    let flock = || {
        let mut command = Command::new("flock");
        command.arg("-F").arg(&lock);
        command
    };
    let mut job = Some(Holder::start(flock().args(HOLD)));
    let held = super::Pinned::new(&lock);
    let next = Waiter::start(flock().args(["sleep", "1000"]), &lock);
    fs::remove_file(&lock).unwrap();
    let mut run = nonoverlap([&lock]);
    // The table has been read when the first folder is.
    let (ran, _) = run_gated(run.args(["echo", "ran"]), libc::SYS_getdents64, |_| {
        if let Some(job) = job.take() {
            job.kill(libc::SIGKILL);
            eventually("the next has it", || holds_lock(next.pid(), &held.path()));
        }
        Answer::Pass
    });
    ran.expect(1, "", "");
}

/// Holds the lock in a thread that is not the first, which has ended.
const THREAD: &str = "
import ctypes, fcntl, os, sys, threading
file = open(sys.argv[1], 'w')
fcntl.flock(file, fcntl.LOCK_EX)
def hold():
    while open('/proc/self/stat').read().rsplit(') ')[-1][0] != 'Z': pass
    print('held', flush=True)
    os.read(0, 1)
    os._exit(0)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall(int(sys.argv[2]), 0)";

#[test]
fn a_holder_among_other_mounts_whose_first_thread_has_ended_is_found() {
    if !has_tool("python3", "a process whose first thread has ended") {
        return;
    }
    if !is_root() {
        return left_out("a holder among other mounts", "only root may make them");
    }
    let scene = Scene::new();
    let lock = scene.lock();
    let mut holder = Command::new("unshare");
    holder.args(["-m", "python3", "-c", THREAD]).arg(&lock);
    let _holder = Holder::start(holder.arg(libc::SYS_exit.to_string()));
    fs::remove_file(&lock).unwrap();
    let ran = nonoverlap([&lock]).args(["echo", "ran"]).run();
    ran.expect(1, "", "");
    let told = nonoverlap(["--status"]).arg(&lock).run();
    assert_eq!(told.code(), Some(HELD), "{told:?}");
}
