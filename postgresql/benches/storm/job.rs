//! The job that may not run twice at once: it says when it begins, and looks who else runs.
//!
//! No overlap is missed and none is invented, however late whoever watches is: a job first writes down
//! that it runs, and then looks at all who did so before. Of two, the later one sees the other. That one
//! runs if the kernel would still execute it: neither a zombie nor one that has been killed and is not
//! yet cleared away is running. One that is stopped does not run either, and whether it does so later is
//! told by its beats: as long as a job runs, it writes the time into a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::getppid;
use rustix::time::{ClockId, clock_gettime};

/// How long a job lasts that is not told to go on.
const SHORT: Duration = Duration::from_millis(300);
/// How long a job that cleans up does so.
const CLEANING: Duration = Duration::from_secs(2);
/// How often it looks whether it is to end, and writes the time.
const BEAT: Duration = Duration::from_millis(20);

/// What a job does when it is to end.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// It is gone by SIGTERM.
    Plain,
    /// It catches SIGTERM and runs on for [`CLEANING`].
    CleansUp,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Plain, Kind::CleansUp];

    /// The name of its lock.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::CleansUp => "cleans-up",
        }
    }
}

/// A run of a job, as its first line says.
#[derive(Clone, Copy, PartialEq)]
pub struct Run {
    pub pid: u32,
    /// When the process was started, by which a number that is used again is known (proc(5), starttime).
    birth: u64,
    pub host: usize,
    /// When the job began, in nanoseconds since the machine's start.
    pub enter: u64,
}

/// Of one who runs already when another begins.
pub struct Sight {
    pub earlier: Run,
    pub later: Run,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq)]
pub enum State {
    Runs,
    Stopped,
    Over,
}

/// The files of all jobs of one kind.
pub struct Records {
    folder: PathBuf,
    kind: Kind,
}

impl Records {
    pub fn new(folder: &Path, kind: Kind) -> Records {
        let folder = folder.to_owned();
        Records { folder, kind }
    }

    fn path(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.kind.name()))
    }

    fn append(&self, what: &str, line: &str) {
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.path(what))
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    fn lines(&self, what: &str) -> Vec<Vec<u64>> {
        let text = fs::read_to_string(self.path(what)).unwrap_or_default();
        let numbers = |line: &str| line.split(' ').map(|word| word.parse().unwrap()).collect();
        text.lines().map(numbers).collect()
    }

    pub fn runs(&self) -> Vec<Run> {
        self.lines("runs").iter().map(|line| run(line)).collect()
    }

    pub fn sights(&self) -> Vec<Sight> {
        let sight = |line: &Vec<u64>| Sight {
            earlier: run(&line[..4]),
            later: run(&line[4..8]),
            state: if line[8] == 0 {
                State::Runs
            } else {
                State::Stopped
            },
        };
        self.lines("sights").iter().map(sight).collect()
    }

    /// Who runs, the latest of them.
    pub fn holder(&self) -> Option<Run> {
        let mut runs = self.runs();
        runs.reverse();
        runs.into_iter().find(|run| run.state() != State::Over)
    }

    /// When a job is known to have run last.
    pub fn last_beat(&self, run: &Run) -> u64 {
        let beat = fs::read(self.beat(run)).unwrap_or_default();
        beat.try_into().map_or(run.enter, u64::from_le_bytes)
    }

    fn beat(&self, run: &Run) -> PathBuf {
        self.path(&format!("beat.{}.{}", run.pid, run.enter))
    }
}

fn run(line: &[u64]) -> Run {
    Run {
        pid: line[0] as u32,
        birth: line[1],
        host: line[2] as usize,
        enter: line[3],
    }
}

impl Run {
    fn line(&self) -> String {
        format!("{} {} {} {}", self.pid, self.birth, self.host, self.enter)
    }

    pub fn state(&self) -> State {
        match Stat::of(self.pid) {
            Some(stat) if stat.birth == self.birth => stat.state,
            _ => State::Over,
        }
    }
}

/// What the kernel says of a process.
struct Stat {
    state: State,
    birth: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name (proc(5)), from the 3rd field on: the state, as the 9th the flags, of which
        // 4 says that it exits, and as the 31st the pending signals, of which 256 is SIGKILL, which is
        // what becomes of every one that kills.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |field: usize| fields[field - 3].parse::<u64>().unwrap();
        let state = match fields[0] {
            "Z" | "X" => State::Over,
            _ if number(9) & 4 != 0 || number(31) & 256 != 0 => State::Over,
            "T" => State::Stopped,
            _ => State::Runs,
        };
        let birth = number(22);
        Some(Stat { state, birth })
    }
}

/// The nanoseconds since the machine's start, one clock for all processes.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// As long as this file is there, jobs go on.
pub fn hold(folder: &Path) -> PathBuf {
    folder.join("hold")
}

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: i32) {
    TOLD.store(true, Ordering::Relaxed);
}

/// Is the job, on this host.
pub fn work(folder: &Path, kind: &str, host: usize) {
    let enter = now();
    let kind = Kind::ALL.into_iter().find(|it| it.name() == kind).unwrap();
    if kind == Kind::CleansUp {
        let handler = note as extern "C" fn(i32) as libc::sighandler_t;
        // SAFETY: the handler only sets a flag.
        unsafe { libc::signal(libc::SIGTERM, handler) };
    }
    let pid = process::id();
    let birth = Stat::of(pid).unwrap().birth;
    let own = Run {
        pid,
        birth,
        host,
        enter,
    };
    let records = Records::new(folder, kind);
    records.append("runs", &format!("{}\n", own.line()));
    // The latest first: it is the one who may be about to end.
    for earlier in records.runs().iter().rev().filter(|run| **run != own) {
        let state = earlier.state();
        if state != State::Over {
            let code = u8::from(state == State::Stopped);
            let line = format!("{} {} {code}\n", earlier.line(), own.line());
            records.append("sights", &line);
        }
    }
    let beats = File::create(records.beat(&own)).unwrap();
    let (parent, hold) = (getppid(), hold(folder));
    let since = |moment: u64| Duration::from_nanos(now() - moment);
    let mut told = None;
    loop {
        beats.write_at(&now().to_le_bytes(), 0).unwrap();
        thread::sleep(BEAT);
        if told.is_none() && TOLD.load(Ordering::Relaxed) {
            told = Some(now());
        }
        let is_over = match told {
            Some(told) => since(told) >= CLEANING,
            None => since(enter) >= SHORT && !hold.exists(),
        };
        // Nobody is there any more who would wait for it.
        if is_over || getppid() != parent {
            return;
        }
    }
}
