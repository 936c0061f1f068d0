//! What is measured at one size: a start, a refusal, `--close`, `--max-runtime`, waking, `--status`, file systems.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use tempfile::TempDir;

use crate::measure::{BARE, Case, Table};
use crate::tools::{Programs, Tool, find, left_out, quiet};

/// How often a quick case runs in its turn.
pub const RUNS: usize = 20;

/// Runs it to its end, and expects that it succeeds, or that it refuses.
pub fn timed(command: &mut Command, succeeds: bool) -> Duration {
    let start = Instant::now();
    let ended = command.status().unwrap();
    let time = start.elapsed();
    assert_eq!(ended.success(), succeeds, "{command:?}: {ended}");
    time
}

/// A command that is run as it is.
pub fn case(name: impl Into<String>, mut command: Command) -> Case {
    Case::new(name, RUNS, move || timed(&mut command, true))
}

fn table(name: &'static str, cases: Vec<Case>) -> Table {
    Table {
        name,
        size: None,
        cases,
    }
}

/// A lock file of its own for each tool.
pub fn lock_of(folder: &Path, tool: &Tool) -> PathBuf {
    folder.join(format!("lock of {}", tool.name()))
}

/// A folder on a file system in memory, if there is one.
pub fn memory_folder() -> Option<TempDir> {
    let made = tempfile::tempdir_in("/dev/shm").ok();
    if made.is_none() {
        left_out("a lock file in memory", "nothing can be made in /dev/shm");
    }
    made
}

/// `places` are folders on different file systems, and what these are.
pub fn all(
    folder: &Path,
    places: &[(&str, Option<&TempDir>)],
    programs: &Programs,
    tools: &[Tool],
) -> Vec<Table> {
    vec![
        start(folder, programs, tools),
        refusal(folder, programs, tools),
        closing(folder, programs, tools),
        bounding(folder, programs, tools),
        waking(folder, programs, tools),
        status(folder, tools),
        file_systems(places, programs, tools),
    ]
}

fn start(folder: &Path, programs: &Programs, tools: &[Tool]) -> Table {
    let mut cases = vec![case(BARE, quiet(&programs.trivial))];
    for tool in tools {
        cases.push(case(
            tool.name(),
            tool.command(&lock_of(folder, tool), &programs.trivial),
        ));
    }
    table("a start", cases)
}

fn file_systems(places: &[(&str, Option<&TempDir>)], programs: &Programs, tools: &[Tool]) -> Table {
    let mut cases = vec![case(BARE, quiet(&programs.trivial))];
    for tool in tools.iter().filter(|tool| tool.is_typical()) {
        for (place, folder) in places {
            if let Some(folder) = folder {
                let command = tool.command(&lock_of(folder.path(), tool), &programs.trivial);
                cases.push(case(format!("{} {place}", tool.name()), command));
            }
        }
    }
    table("a start, by where the lock file is", cases)
}

/// The lock is held all the time, by whichever system call the tool may ask with.
fn refusal(folder: &Path, programs: &Programs, tools: &[Tool]) -> Table {
    let case = |tool: &Tool| {
        let lock = folder.join(format!("taken lock of {}", tool.name()));
        let taken = Taken::new(&lock);
        taken.take();
        let mut command = tool.command(&lock, &programs.trivial);
        Case::new(tool.name(), RUNS, move || {
            let _ = &taken;
            timed(&mut command, false)
        })
    };
    table("a refusal", tools.iter().map(case).collect())
}

/// Makes lock files that look at nobody: each holds the record of a run that has ended, no process has
/// such a PID, and it was written more than a second after the file was made.
pub fn settle<'a>(locks: impl IntoIterator<Item = &'a PathBuf>) {
    let files: Vec<_> = locks
        .into_iter()
        .map(|lock| File::create(lock).unwrap())
        .collect();
    // There is no event to wait for but the time itself.
    std::thread::sleep(Duration::from_millis(1100));
    for mut file in files {
        file.write_all(b"2000000000\n").unwrap();
    }
}

/// A lock file that the bench itself holds or lets go.
struct Taken(File);

impl Taken {
    fn new(path: &Path) -> Taken {
        Taken(
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap(),
        )
    }

    pub fn take(&self) {
        flock(&self.0, FlockOperation::NonBlockingLockExclusive).unwrap();
        fcntl_lock(&self.0, FlockOperation::NonBlockingLockExclusive).unwrap();
    }

    pub fn let_go(&self) {
        flock(&self.0, FlockOperation::Unlock).unwrap();
        fcntl_lock(&self.0, FlockOperation::Unlock).unwrap();
    }
}

/// Each run has another lock file than the last, because its guardian may need a moment more than
/// the caller to see the command's end.
fn closing(folder: &Path, programs: &Programs, tools: &[Tool]) -> Table {
    let mut cases = vec![case(BARE, quiet(&programs.trivial))];
    for tool in tools {
        let Some(options) = tool.closing else {
            continue;
        };
        let name = tool.name_with(options);
        let lock = |number| folder.join(format!("lock {number} of {name}"));
        let commands = (0..8 * RUNS)
            .map(|number| tool.command_with(options, &lock(number), &programs.trivial));
        let mut commands: Vec<_> = commands.collect();
        let mut next = 0;
        cases.push(Case::new(name, RUNS, move || {
            next = (next + 1) % commands.len();
            timed(&mut commands[next], true)
        }));
    }
    table("--close", cases)
}

/// A start of what would be ended after an hour: by a guardian, or by timeout(1) in between.
fn bounding(folder: &Path, programs: &Programs, tools: &[Tool]) -> Table {
    let mut cases = vec![case(BARE, quiet(&programs.trivial))];
    let timeout = find("timeout");
    if let Some(timeout) = &timeout {
        let mut command = quiet(timeout);
        command.args(TIMEOUT).arg(&programs.trivial);
        cases.push(case("timeout", command));
    } else {
        left_out("timeout", "it is not installed");
    }
    for tool in tools {
        let lock = lock_of(folder, tool);
        if let Some(options) = tool.bounding {
            let command = tool.command_with(options, &lock, &programs.trivial);
            cases.push(case(tool.name_with(options), command));
        }
        if let (true, Some(timeout)) = (tool.is_typical(), &timeout) {
            let mut command = tool.command(&lock, timeout);
            command.args(TIMEOUT).arg(&programs.trivial);
            cases.push(case(format!("{} timeout", tool.name()), command));
        }
    }
    table("a start with --max-runtime", cases)
}

/// As the manual has it beside --max-runtime.
const TIMEOUT: [&str; 3] = ["-k", "10", "1h"];

/// From the moment when the lock becomes free to the end of the command that waited for it.
fn waking(folder: &Path, programs: &Programs, tools: &[Tool]) -> Table {
    let case = |tool: &Tool| {
        let options = tool.waiting?;
        let name = tool.name_with(options);
        let lock = folder.join(format!("awaited lock of {name}"));
        let taken = Taken::new(&lock);
        let mut command = tool.command_with(options, &lock, &programs.trivial);
        Some(Case::new(name, 3, move || {
            taken.take();
            let mut waiter = command.spawn().unwrap();
            until_it_waits(&waiter);
            let start = Instant::now();
            taken.let_go();
            let ended = waiter.wait().unwrap();
            let time = start.elapsed();
            assert!(ended.success(), "{command:?}: {ended}");
            time
        }))
    };
    table(
        "waking from a wait",
        tools.iter().filter_map(case).collect(),
    )
}

/// Until the kernel's table of locks names it as one who waits, and it sleeps.
fn until_it_waits(waiter: &Child) {
    let pid = waiter.id().to_string();
    let waits = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == pid);
    let status = format!("/proc/{pid}/stat");
    loop {
        let table = fs::read_to_string("/proc/locks").unwrap();
        let is_asleep = fs::read_to_string(&status).is_ok_and(|stat| stat.contains(") S "));
        if is_asleep && table.lines().any(waits) {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn status(folder: &Path, tools: &[Tool]) -> Table {
    let mut cases = Vec::new();
    for tool in tools.iter().filter(|tool| tool.is_ours()) {
        for (state, succeeds) in [("held", true), ("free", false)] {
            let lock = folder.join(format!("{state} lock of {}", tool.name()));
            let taken = Taken::new(&lock);
            if succeeds {
                taken.take();
            }
            let mut command = tool.alone();
            command.arg("--status").arg(&lock);
            cases.push(Case::new(
                format!("{}, {state}", tool.name()),
                RUNS / 10,
                move || {
                    let _ = &taken;
                    timed(&mut command, succeeds)
                },
            ));
        }
    }
    table("--status", cases)
}
