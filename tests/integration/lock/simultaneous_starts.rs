//! Many at one instant: however they fall, one gets in.
//!
//! 200 contenders are started, each says that it is ready, and all wait for the same event. Released,
//! each tries to get into a critical section. All that they say comes back as lines on one stream:
//! whoever is inside says "in" first and "out" last, so an "in" between the two is a second one
//! inside, and no clock and no lock is looked at to see it. How each contender ends is said there,
//! too, so that every one of them is accounted for.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::harness::{NONOVERLAP, PATIENCE, Run, Scene, nonoverlap, record_of};

const CONTENDERS: usize = 200;
const ROUNDS: usize = 20;

#[test]
fn of_200_at_one_instant_exactly_one_gets_in() {
    let scene = Scene::new();
    for round in 0..ROUNDS {
        // Each lock file sees two rounds: one must make it, the next finds the record of the first.
        let lock = scene.path(format!("lock{}", round / 2));
        let storm = Crowd::around(&[NONOVERLAP.as_ref(), lock.as_ref()], 1)
            .release(Stay::UntilAllHaveDecided(&lock));
        let counts = (storm.entered.len(), storm.seconds, storm.refused);
        assert_eq!(counts, (1, 0, CONTENDERS - 1), "round {round}: {storm:?}");
        assert_eq!(storm.file, record_of(storm.entered[0]), "round {round}");
    }
}

#[test]
fn a_lock_that_changes_hands_among_200_never_has_two_inside() {
    let scene = Scene::new();
    let mut entered = 0;
    for round in 0..ROUNDS {
        let storm =
            Crowd::around(&[NONOVERLAP.as_ref(), scene.lock().as_ref()], 4).release(Stay::NotAtAll);
        assert!(!storm.entered.is_empty(), "round {round}: {storm:?}");
        assert_eq!(storm.seconds, 0, "round {round}: {storm:?}");
        entered += storm.entered.len();
    }
    assert!(entered > ROUNDS, "it did not change hands in any round");
}

/// With a guardian the lock is free a little after whoever was inside has left, and never before.
#[test]
fn of_200_with_guardians_never_are_two_inside() {
    let scene = Scene::new();
    let lock = scene.lock();
    let words = [NONOVERLAP.as_ref(), "--close".as_ref(), lock.as_ref()];
    for round in 0..5 {
        let storm = Crowd::around(&words, 1).release(Stay::UntilAllHaveDecided(&lock));
        let counts = (storm.entered.len(), storm.seconds, storm.refused);
        assert_eq!(counts, (1, 0, CONTENDERS - 1), "round {round}: {storm:?}");
        wait_until_free(&lock);
    }
    for round in 0..5 {
        let storm = Crowd::around(&words, 4).release(Stay::NotAtAll);
        assert!(!storm.entered.is_empty(), "round {round}: {storm:?}");
        assert_eq!(storm.seconds, 0, "round {round}: {storm:?}");
        wait_until_free(&lock);
    }
}

/// A run that waits, since on no other system a table tells it.
fn wait_until_free(lock: &Path) {
    let mut waiter = nonoverlap(["-w", "60"]);
    waiter.arg(lock).arg("true").run().expect(0, "", "");
}

/// The same on a wrapper of the old kind, which must be caught, or the storm proves nothing.
#[test]
fn a_pid_file_wrapper_is_caught_with_two_inside() {
    let scene = Scene::new();
    let wrapper = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/integration/lock/pidfile.sh"
    );
    let file = scene.path("pid");
    let caught = (0..ROUNDS).any(|_| {
        let storm = Crowd::around(&["sh".as_ref(), wrapper.as_ref(), file.as_ref()], 1)
            .release(Stay::UntilAllHaveDecided(&file));
        storm.seconds > 0
    });
    assert!(caught, "one at a time in {ROUNDS} rounds");
}

/// Starts the contenders: `sh -c CROWD sh NUMBER TRIES COMMAND [ARG...]`. The gate is the shell's
/// stdin. What a shell runs in the background has another one, so it is carried over on descriptor 3.
const CROWD: &str = r#"
    exec 3<&0
    number=$1 tries=$2
    shift 2
    while [ "$number" -gt 0 ]; do
        {
            echo ready
            read -r gate
            status=1
            while [ "$status" -eq 1 ] && [ "$tries" -gt 0 ]; do
                tries=$((tries - 1))
                "$@"
                status=$?
            done
            echo "ended $status"
        } <&3 &
        number=$((number - 1))
    done
    wait
"#;

/// The critical section. Its stdout is a socket, which it also reads, and at the end of that it leaves.
const INSIDE: &str = r#"
    echo "in $$"
    read -r leave <&1
    echo out
"#;

/// How long whoever gets in stays inside.
enum Stay<'a> {
    NotAtAll,
    /// Nobody leaves before each of the others has got in or has been refused. Then this file is read.
    UntilAllHaveDecided(&'a Path),
}

/// What became of the contenders.
#[derive(Debug, Default)]
struct Storm {
    /// The PIDs of those that got in.
    entered: Vec<u32>,
    /// How many are inside at this moment.
    inside: usize,
    /// How many got in while somebody was inside.
    seconds: usize,
    /// How many ended with 1.
    refused: usize,
    /// How many ended with 0.
    left: usize,
    /// What the file said while those that had got in were inside.
    file: String,
}

impl Storm {
    #[track_caller]
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("in", pid)) => {
                self.entered.push(pid.parse().unwrap());
                self.seconds += usize::from(self.inside > 0);
                self.inside += 1;
            }
            None if line == "out" => self.inside -= 1,
            Some(("ended", "0")) => self.left += 1,
            Some(("ended", "1")) => self.refused += 1,
            _ => panic!("unforeseen: {line:?} in {self:?}"),
        }
    }

    /// Each has got in or has been refused, and nobody has left.
    fn is_decided(&self) -> bool {
        self.inside == self.entered.len() && self.inside + self.refused == CONTENDERS
    }
}

/// Contenders that are ready and wait.
struct Crowd {
    shell: Child,
    report: BufReader<UnixStream>,
}

impl Crowd {
    /// Starts them, and returns when all are ready. `lock` is the words in front of a command; who is
    /// refused tries again, up to that many `tries`.
    fn around(lock: &[&OsStr], tries: usize) -> Crowd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let shell = Command::new("sh")
            .args(["-c", CROWD, "sh"])
            .args([CONTENDERS, tries].map(|number| number.to_string()))
            .args(lock)
            .args(["sh", "-c", INSIDE])
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(theirs.try_clone().unwrap()))
            .stderr(OwnedFd::from(theirs))
            .process_group(0)
            .spawn()
            .unwrap();
        let report = BufReader::new(ours);
        let mut crowd = Crowd { shell, report };
        for _ in 0..CONTENDERS {
            assert_eq!(crowd.line(), "ready");
        }
        crowd
    }

    /// Lets them all go at once, and returns when all have ended. Anything unforeseen fails.
    fn release(mut self, stay: Stay) -> Storm {
        let mut storm = Storm::default();
        if let Stay::NotAtAll = stay {
            self.let_out();
        }
        self.shell.stdin.take();
        while storm.left + storm.refused < CONTENDERS {
            storm.hear(&self.line());
            if let (Stay::UntilAllHaveDecided(file), true) = (&stay, storm.is_decided()) {
                storm.file = fs::read_to_string(file).unwrap();
                self.let_out();
            }
        }
        assert_eq!(storm.entered.len(), storm.left, "{storm:?}");
        storm
    }

    fn let_out(&self) {
        self.report.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.report.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Crowd {
    /// Without gate and stream the contenders end by themselves; a failing test does not wait for it.
    fn drop(&mut self) {
        self.shell.stdin.take();
        let group = rustix::process::Pid::from_child(&self.shell);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        self.shell.wait().unwrap();
    }
}
