//! Promises about the company that it keeps: it excludes, and is excluded by, whatever else locks
//! with flock(2), in both ways, exclusive and shared.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use fd_lock::RwLock;

use crate::support::harness::{Ended, HOLD, Holder, Run, Scene, has_tool, nonoverlap};

/// For one or for many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Exclusive,
    Shared,
}
use Kind::{Exclusive, Shared};

/// Another program that locks with flock(2).
struct Peer {
    name: &'static str,
    /// What it starts with, to see whether it is here.
    program: &'static str,
    /// It locks the file without waiting, and then does as [`HOLD`] does. Nothing if it has no such
    /// kind of lock.
    locking: fn(&Path, Kind) -> Option<Command>,
    /// Its exit status if the lock is taken.
    refuses_with: i32,
}

const PEERS: &[Peer] = &[
    #[cfg(target_os = "linux")] // Other systems have it only if somebody ports it.
    Peer {
        name: "flock of util-linux",
        program: "flock",
        locking: by_flock,
        refuses_with: 1,
    },
    Peer {
        name: "fcntl.flock of python",
        program: "python3",
        locking: by_python,
        refuses_with: 3,
    },
    Peer {
        name: "flock of perl",
        program: "perl",
        locking: by_perl,
        refuses_with: 3,
    },
    Peer {
        name: "lockf of the BSDs",
        program: LOCKF[0],
        locking: by_lockf,
        refuses_with: 75,
    },
];

#[test]
fn it_is_refused_while_another_program_holds_the_lock_unless_both_share_it() {
    for peer in PEERS.iter().filter(|peer| peer.is_here()) {
        for theirs in [Exclusive, Shared] {
            let scene = Scene::new();
            let Some(mut command) = (peer.locking)(&scene.lock(), theirs) else {
                continue;
            };
            let holder = Holder::start(&mut command);
            for ours in [Exclusive, Shared] {
                let ran = by_nonoverlap(&scene.lock(), ours).run();
                let expected = if go_together(theirs, ours) { 0 } else { 1 };
                let case = format!("{} {theirs:?}, ours {ours:?}", peer.name);
                assert_eq!(ran.code(), Some(expected), "{case}: {ran:?}");
            }
            holder.end();
            by_nonoverlap(&scene.lock(), Exclusive)
                .run()
                .expect(0, "held\n", "");
        }
    }
}

#[test]
fn another_program_is_refused_while_it_holds_the_lock_unless_both_share_it() {
    for peer in PEERS.iter().filter(|peer| peer.is_here()) {
        for ours in [Exclusive, Shared] {
            let scene = Scene::new();
            let holder = Holder::start(&mut by_nonoverlap(&scene.lock(), ours));
            for theirs in [Exclusive, Shared] {
                let Some(ran) = peer.run(&scene.lock(), theirs) else {
                    continue;
                };
                let expected = if go_together(theirs, ours) {
                    0
                } else {
                    peer.refuses_with
                };
                let case = format!("ours {ours:?}, {} {theirs:?}", peer.name);
                assert_eq!(ran.code(), Some(expected), "{case}: {ran:?}");
            }
            holder.end();
            let ran = peer.run(&scene.lock(), Exclusive).unwrap();
            assert_eq!(
                (ran.code(), ran.stdout().as_str()),
                (Some(0), "held\n"),
                "{ran:?}"
            );
        }
    }
}

#[test]
fn it_excludes_and_is_excluded_by_the_fd_lock_crate() {
    let scene = Scene::new();
    let lock = scene.file("lock", "");
    let mut theirs = RwLock::new(File::open(&lock).unwrap());
    let ran = |kind| by_nonoverlap(&lock, kind).run().code().unwrap();

    let guard = theirs.try_write().unwrap();
    assert_eq!(
        (ran(Exclusive), ran(Shared)),
        (1, 1),
        "they hold it for one"
    );
    drop(guard);
    let guard = theirs.try_read().unwrap();
    assert_eq!((ran(Exclusive), ran(Shared)), (1, 0), "they share it");
    drop(guard);
    assert_eq!((ran(Exclusive), ran(Shared)), (0, 0), "nobody has it");

    let holder = Holder::start(&mut by_nonoverlap(&lock, Exclusive));
    assert_eq!(
        theirs.try_write().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(theirs.try_read().unwrap_err().kind(), ErrorKind::WouldBlock);
    holder.end();
    let holder = Holder::start(&mut by_nonoverlap(&lock, Shared));
    assert_eq!(
        theirs.try_write().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(theirs.try_read().unwrap());
    holder.end();
    drop(theirs.try_write().unwrap());
}

impl Peer {
    fn is_here(&self) -> bool {
        has_tool(self.program, self.name)
    }

    /// Has it lock the file and end at once.
    fn run(&self, lock: &Path, kind: Kind) -> Option<Ended> {
        Some((self.locking)(lock, kind)?.run())
    }
}

fn go_together(one: Kind, other: Kind) -> bool {
    (one, other) == (Shared, Shared)
}

fn by_nonoverlap(lock: &Path, kind: Kind) -> Command {
    let mut command = nonoverlap(kind.option());
    command.arg(lock).args(HOLD);
    command
}

fn by_flock(lock: &Path, kind: Kind) -> Option<Command> {
    let mut command = Command::new("flock");
    command.arg("-n").args(kind.option()).arg(lock).args(HOLD);
    Some(command)
}

fn by_python(lock: &Path, kind: Kind) -> Option<Command> {
    const LOCKING: &str = "
import fcntl, sys
file = open(sys.argv[1], 'a')
try:
    fcntl.flock(file, fcntl.LOCK_NB | (fcntl.LOCK_SH if '-s' in sys.argv else fcntl.LOCK_EX))
except BlockingIOError:
    sys.exit(3)
print('held', flush=True)
sys.stdin.read()
";
    let mut command = Command::new("python3");
    command.args(["-c", LOCKING]).arg(lock).args(kind.option());
    Some(command)
}

fn by_perl(lock: &Path, kind: Kind) -> Option<Command> {
    const LOCKING: &str = r#"
use Fcntl ":flock";
use Errno;
open(my $file, ">>", $ARGV[0]) or die;
flock($file, LOCK_NB | (@ARGV > 1 ? LOCK_SH : LOCK_EX)) or exit($!{EWOULDBLOCK} ? 3 : 4);
$| = 1;
print "held\n";
1 while <STDIN>;
"#;
    let mut command = Command::new("perl");
    command.args(["-e", LOCKING]).arg(lock).args(kind.option());
    Some(command)
}

fn by_lockf(lock: &Path, kind: Kind) -> Option<Command> {
    let mut command = Command::new(LOCKF[0]);
    command
        .args(&LOCKF[1..])
        .args(["-k", "-s", "-t", "0"])
        .arg(lock)
        .args(HOLD);
    (kind == Exclusive).then_some(command)
}

#[cfg(not(target_os = "linux"))]
const LOCKF: &[&str] = &["lockf"];

/// Linux has no lockf, and so this does what lockf does with these options: it opens the file with
/// O_CREAT and O_EXLOCK, which is an exclusive flock, keeps that to itself while the command runs
/// beside it, and ends with 75 if the lock is taken.
#[cfg(target_os = "linux")]
const LOCKF: &[&str] = &[
    "python3",
    "-c",
    "
import fcntl, os, subprocess, sys
assert sys.argv[1:5] == ['-k', '-s', '-t', '0']
file = os.open(sys.argv[5], os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK, 0o666)
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(75)
sys.exit(subprocess.call(sys.argv[6:], close_fds=True))
",
];

impl Kind {
    fn option(self) -> &'static [&'static str] {
        match self {
            Exclusive => &[],
            Shared => &["-s"],
        }
    }
}
