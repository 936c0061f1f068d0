//! The kernel's table of locks is read in pieces, and changes between two of them: what slipped
//! through the gap is no reason to run or to say free.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// What these tests do to the table would be in each other's way.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What comes of a command where this happens before each piece of the table that it reads.
fn gated(command: &mut Command, mut before: impl FnMut(u64)) -> Ended {
    let (ended, _) = run_gated(command, libc::SYS_read, |call| {
        place_in_table(call).into_iter().for_each(&mut before);
        Answer::Pass
    });
    ended
}

/// The next run, and `--status` of its lock file.
fn run_and_status(scene: &Scene) -> [Command; 2] {
    let mut run = nonoverlap([scene.lock()]);
    run.args(["echo", "ran"]);
    let mut status = nonoverlap(["--status"]);
    status.arg(scene.lock());
    [run, status]
}

/// The next run is refused and `--status` says held, though the locks of the juggler go before any of
/// the pieces that they read.
#[track_caller]
fn is_held_though_locks_go(scene: &Scene, juggler: &mut Juggler) {
    for piece in 2..PIECES {
        let [ran, told] = run_and_status(scene).map(|mut command| {
            juggler.hold(true);
            let mut number = 0;
            let ended = gated(&mut command, |_| {
                number += 1;
                juggler.hold(number < piece);
            });
            let _ = fs::remove_file(scene.lock());
            ended
        });
        ran.expect(1, "", "");
        assert_eq!(told.code(), Some(HELD), "before piece {piece}: {told:?}");
    }
}

/// Before which pieces something is tried: a look reads some six of a short table.
const PIECES: usize = 9;

/// A process on the first processor, by a script that says "held" and reads its input to the end.
fn python(script: &str, words: &[&Path]) -> Holder {
    let script = format!("{script}\nprint('held', flush=True)\nsys.stdin.read()");
    let mut command = here("python3");
    Holder::start(command.args(["-c", &script]).args(words))
}

/// So many who wait for the lock of a file.
fn waiters(queue: &Path, count: usize) -> Holder {
    let script = format!(
        "import fcntl, sys, threading\n\
         def wait(): fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH)\n\
         for _ in range({count}): threading.Thread(target=wait, daemon=True).start()"
    );
    let waiters = python(&script, &[queue]);
    eventually("they wait", || locks_on(queue).len() == count + 1);
    waiters
}

#[test]
fn where_the_table_changes_faster_than_it_is_read_nobody_runs_and_nothing_is_called_free() {
    if !has_tool("python3", "locks that come and go") {
        return;
    }
    let _alone = alone();
    let scene = Scene::new();
    let _job = displaced(&scene);
    let mut juggler = Juggler::start(&scene, 900);
    // At the beginning of the table the job stands behind all of them, and later before the reader.
    let [ran, told] = run_and_status(&scene).map(|mut command| {
        let ended = gated(&mut command, |at| juggler.hold(at == 0));
        let _ = fs::remove_file(scene.lock());
        ended
    });
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
    let _alone = alone();
    // The lock and those who wait for it fill most of a page, and so do not fit into the page that
    // begins before them. Which page that is depends on how many stand before: the first, or a later.
    for before in [15, 90] {
        let scene = Scene::new();
        let _job = displaced(&scene);
        let queue = scene.file("queue", "");
        let _head = Holder::start(here("flock").arg("-F").arg(&queue).args(HOLD));
        let _waiters = waiters(&queue, 60);
        is_held_though_locks_go(&scene, &mut Juggler::start(&scene, before));
    }
}

#[test]
fn a_lock_that_stands_between_others_that_look_alike_is_not_passed_over() {
    if !has_tool("python3", "locks that look alike") {
        return;
    }
    let _alone = alone();
    let scene = Scene::new();
    let data = scene.file("data", "");
    // Each by an open file description of its own, so that no PID tells them apart.
    let alike = "import fcntl, struct, sys\n\
        files = [open(sys.argv[1]) for _ in range(45)]\n\
        lock = struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 1, 0)\n\
        for file in files: fcntl.fcntl(file, 37, lock)";
    let _behind = python(alike, &[&data]);
    let _job = displaced(&scene);
    let _before = python(alike, &[&data]);
    is_held_though_locks_go(&scene, &mut Juggler::start(&scene, 100));
}

#[test]
fn a_lock_that_did_not_fit_is_not_missed_where_one_before_it_goes_and_comes_back() {
    if !has_tool("flock", "locks of which others wait") || !has_tool("python3", "their lines") {
        return;
    }
    let _alone = alone();
    let scene = Scene::new();
    let hold = |name: &str, count| {
        let file = scene.file(name, "");
        let holder = Holder::start(here("flock").arg("-F").arg(&file).args(HOLD));
        let waiters = waiters(&file, count);
        (file, holder, waiters)
    };
    // A page holds the others, but not this one and those who wait for it.
    let (last, ..) = &hold("last", 16);
    let _queue = hold("queue", 50);
    let mut others = Juggler::start(&scene, 13);
    others.hold(true);
    let second = Scene::new();
    let mut first = Juggler::start(&second, 1);
    first.hold(true);
    for piece in 2..PIECES {
        let mut number = 0;
        let told = gated(nonoverlap(["--status"]).arg(last), |_| {
            number += 1;
            first.hold(number != piece);
        });
        assert_eq!(told.code(), Some(HELD), "before piece {piece}: {told:?}");
    }
}

/// Makes tables with one lock for which others wait, so many behind it, and so many before; says so of
/// each.
const SHAPES: &str = "
import fcntl, sys, threading
folder, behind = sys.argv[1], int(sys.argv[2])
def locked(name):
    file = open(folder + '/' + name, 'w')
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
older = [locked(f'behind{number}') for number in range(behind)]
queue = locked('queue')
files = [open(f'{folder}/{number}', 'w') for number in range(115)]
# Each waits for the one before, and its line is longer.
def wait(): fcntl.flock(open(folder + '/queue'), fcntl.LOCK_EX)
waiting = 0
for waiters in 0, 20, 43, 49, 50, 51, 70, 480:
    for _ in range(waiting, waiters): threading.Thread(target=wait, daemon=True).start()
    waiting = waiters
    for before in 0, 1, 20, 39, 76, 115:
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
    let _alone = alone();
    for behind in ["1", "71"] {
        let scene = Scene::new();
        let mut command = here("python3");
        command.args(["-c", SHAPES]).arg(scene.path("")).arg(behind);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shapes = pipes.spawn().unwrap();
        let mut orders = shapes.stdin.take().unwrap();
        let said = BufReader::new(shapes.stdout.take().unwrap());
        let status = |name: &str| {
            let mut status = nonoverlap(["--status", "-q"]);
            status.arg(scene.path(name)).run().code()
        };
        let mut told = Vec::new();
        for line in said
            .lines()
            .take_while(|line| line.as_ref().unwrap() == "held")
        {
            line.unwrap();
            told.push((status("free"), status("behind0")));
            writeln!(orders).unwrap();
        }
        drop(orders);
        shapes.wait().unwrap();
        assert_eq!(told, [(Some(FREE), Some(HELD)); 48]);
    }
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

#[test]
fn who_waits_is_counted_once_though_a_lock_moves_from_one_piece_into_the_next() {
    if !has_tool("python3", "locks that come and go") {
        return;
    }
    let _alone = alone();
    let scene = Scene::new();
    let queue = scene.file("queue", "");
    // Behind it in the table there is more than a piece.
    let elsewhere = Scene::new();
    let mut behind = Juggler::start(&elsewhere, 90);
    behind.hold(true);
    let _first = Holder::start(here(NONOVERLAP).arg(&queue).args(HOLD));
    let _waiters = waiters(&queue, 1);
    let mut juggler = Juggler::start(&scene, 1);
    // One of these numbers of locks before it has it stand where the first piece of half a size ends.
    let mut before = Vec::new();
    for _ in 0..30 {
        let file = scene.path(format!("before.{}", before.len()));
        before.push(Holder::start(here(NONOVERLAP).arg(&file).args(HOLD)));
        for piece in 2..PIECES {
            let mut status = nonoverlap(["--status"]);
            let mut number = 0;
            let told = gated(status.arg(&queue), |_| {
                number += 1;
                juggler.hold(number >= piece);
            });
            juggler.hold(false);
            let said = told.stdout();
            assert!(
                said.ends_with("; 1 process waits\n"),
                "piece {piece}: {told:?}"
            );
        }
    }
}
