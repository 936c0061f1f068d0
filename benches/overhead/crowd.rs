//! How the cost of a run that has to look for others grows with what there is to look at: processes
//! with many descriptors, and locks. A crowd is there only while its own table is measured.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::dup;

use crate::growth::is_named;
use crate::measure::{BARE, Case, Table, measure};
use crate::tables::{case, settle, timed};
use crate::tools::{Programs, Tool, quiet};

const PROCESSES: &str = "processes with 100 descriptors each";
const LOCKS: &str = "locks on other files";

/// How many descriptors each process of a crowd has.
const DESCRIPTORS: usize = 100;

/// How often a case runs in its turn.
const RUNS: usize = 5;

/// Measures with crowds of several sizes.
pub fn all(folder: &Path, programs: &Programs, tools: &[Tool], rounds: usize) -> Vec<Table> {
    let Some(ours) = tools
        .iter()
        .rfind(|tool| tool.is_ours() && tool.is_typical())
    else {
        return Vec::new();
    };
    let mut tables = Vec::new();
    for size in [10, 200, 2000] {
        let _crowd = Processes::start(programs, size);
        tables.push(measured(folder, (PROCESSES, size), programs, ours, rounds));
    }
    for size in [10, 1000, 10_000] {
        let _crowd = locks(folder, size);
        tables.push(measured(folder, (LOCKS, size), programs, ours, rounds));
    }
    tables
}

fn measured(
    folder: &Path,
    (name, size): (&'static str, usize),
    programs: &Programs,
    ours: &Tool,
    rounds: usize,
) -> Table {
    let lock = |what: &str| folder.join(format!("{what} beside {size} {name}"));
    let run = |what: &str, option: &str, lock: &Path| {
        let mut command = ours.command_with(option, lock, &programs.trivial);
        Case::new(what, RUNS, move || timed(&mut command, true))
    };
    let (settled, empty) = (lock("settled"), lock("empty"));
    settle([&settled]);
    File::create(&empty).unwrap();
    let (tool, trivial, new) = (ours.clone(), programs.trivial.clone(), lock("new"));
    let mut number = 0;
    let mut cases = vec![
        case(BARE, quiet(&programs.trivial)),
        run("a plain run", "", &settled),
        Case::new("a new file", RUNS, move || {
            number += 1;
            let file = PathBuf::from(format!("{} {number}", new.display()));
            timed(&mut tool.command(&file, &trivial), true)
        }),
        run("-s", "-s", &empty),
        run("--fcntl", "--fcntl", &empty),
    ];
    // Held by a process of its own, since whoever looks for the holder looks into that.
    let holder = Holder::start(ours, &lock("taken"), programs);
    let mut told = ours.command_with("-v", &lock("taken"), &programs.trivial);
    let mut status = ours.alone();
    status.arg("--status").arg(lock("taken"));
    cases.push(Case::new("a told conflict", RUNS, move || {
        let _ = &holder;
        timed(&mut told, false)
    }));
    cases.push(Case::new("--status", RUNS, move || {
        timed(&mut status, true)
    }));
    let mut table = Table {
        name,
        size: Some(size),
        cases,
    };
    measure(std::slice::from_mut(&mut table), rounds);
    table
}

/// Whoever has a lock. It ends with this.
struct Holder(Child);

impl Holder {
    fn start(ours: &Tool, lock: &Path, programs: &Programs) -> Holder {
        let mut child = ours.command(lock, &programs.staying).spawn().unwrap();
        while !is_named(child.id(), "staying") {
            assert!(child.try_wait().unwrap().is_none(), "the holder has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It has no end of its own.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes that are there and do nothing. They end with this.
struct Processes(Vec<Child>);

impl Processes {
    fn start(programs: &Programs, count: usize) -> Processes {
        let null = File::open("/dev/null").unwrap();
        // Inherited by all, and closed here when all are started.
        let _descriptors: Vec<_> = (0..DESCRIPTORS).map(|_| dup(&null).unwrap()).collect();
        let start = |_| quiet(&programs.staying).spawn().unwrap();
        Processes((0..count).map(start).collect())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It has no end of its own, so it is there to be killed and waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Locked files, held by the bench itself.
fn locks(folder: &Path, count: usize) -> Vec<File> {
    let locked = |number| {
        let file = File::create(folder.join(format!("lock {number} of {count}"))).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file
    };
    raise_limit();
    (0..count).map(locked).collect()
}

/// Lets the bench have as many files open as it may.
fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
