//! How cost grows, and what a held lock costs in memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::measure::{BARE, Case, Table};
use crate::tables::{case, lock_of, settle, timed};
use crate::tools::{Programs, Tool, quiet};

const CONTENDERS: &str = "contenders on one lock, for each of them";
const LOCK_FILES: &str = "lock files in one directory";
const ARGUMENTS: &str = "KB of arguments";
const ENVIRONMENT: &str = "KB of environment";

/// Makes a command's start vectors larger by so many kilobytes.
type Load = fn(&mut Command, usize);

pub fn all(folder: &Path, programs: &Programs, tools: &[Tool]) -> Vec<Table> {
    let few = tools.iter().filter(|tool| tool.is_typical());
    let tools: Vec<_> = few.cloned().collect();
    let mut tables = Vec::new();
    for count in [1, 10, 100, 1000] {
        tables.push(contenders(folder, count, programs, &tools));
    }
    for count in [1, 100, 10_000] {
        tables.push(lock_files(folder, count, programs, &tools));
    }
    let loads: [(_, Load); 2] = [(ARGUMENTS, add_arguments), (ENVIRONMENT, add_environment)];
    for (name, add) in loads {
        for size in [1, 10, 100, 1000] {
            tables.push(words(name, folder, size, programs, &tools, add));
        }
    }
    tables
}

/// All are started in one breath. Some run their command and the others are refused.
fn contenders(folder: &Path, count: usize, programs: &Programs, tools: &[Tool]) -> Table {
    let herd = |name: String, mut command: Command| {
        // A thousand in one turn are many runs already.
        Case::new(name, (20 / count).max(1), move || {
            let start = Instant::now();
            let herd: Vec<_> = (0..count).map(|_| command.spawn().unwrap()).collect();
            for mut child in herd {
                child.wait().unwrap();
            }
            start.elapsed() / count as u32
        })
    };
    let mut cases = vec![herd(BARE.to_owned(), quiet(&programs.trivial))];
    for tool in tools {
        cases.push(herd(
            tool.name(),
            tool.command(&lock_of(folder, tool), &programs.trivial),
        ));
    }
    Table {
        name: CONTENDERS,
        size: Some(count),
        cases,
    }
}

/// Each run takes the lock of another file than the last.
fn lock_files(folder: &Path, count: usize, programs: &Programs, tools: &[Tool]) -> Table {
    let folder = folder.join(format!("{count} lock files"));
    fs::create_dir(&folder).unwrap();
    let locks: Vec<_> = (0..count)
        .map(|number| folder.join(format!("lock{number}")))
        .collect();
    settle(&locks);
    let mut cases = vec![case(BARE, quiet(&programs.trivial))];
    for tool in tools {
        let (tool, trivial, locks) = (tool.clone(), programs.trivial.clone(), locks.clone());
        let mut next = 0;
        cases.push(Case::new(tool.name(), 20, move || {
            next = (next + 7919) % locks.len();
            timed(&mut tool.command(&locks[next], &trivial), true)
        }));
    }
    Table {
        name: LOCK_FILES,
        size: Some(count),
        cases,
    }
}

fn words(
    name: &'static str,
    folder: &Path,
    size: usize,
    programs: &Programs,
    tools: &[Tool],
    add: Load,
) -> Table {
    let loaded = |mut command: Command| {
        add(&mut command, size);
        command
    };
    let mut cases = vec![case(BARE, loaded(quiet(&programs.trivial)))];
    for tool in tools {
        let command = tool.command(&lock_of(folder, tool), &programs.trivial);
        cases.push(case(tool.name(), loaded(command)));
    }
    Table {
        name,
        size: Some(size),
        cases,
    }
}

/// Words of a kilobyte.
fn add_arguments(command: &mut Command, kilobytes: usize) {
    command.args((0..kilobytes).map(|_| "x".repeat(1023)));
}

fn add_environment(command: &mut Command, kilobytes: usize) {
    command.envs((0..kilobytes).map(|number| (format!("LOAD{number:06}"), "x".repeat(1012))));
}

/// What is there while a command runs under a lock: the command and all that is beside it.
pub struct Memory {
    pub name: String,
    pub processes: usize,
    /// What they have written into, and so have to themselves.
    pub kilobytes: usize,
}

pub fn memory(folder: &Path, programs: &Programs, tools: &[Tool]) -> Vec<Memory> {
    let mut commands = vec![(BARE.to_owned(), quiet(&programs.staying))];
    for tool in tools {
        let lock = lock_of(folder, tool);
        commands.push((tool.name(), tool.command(&lock, &programs.staying)));
        for options in [tool.closing, tool.bounding].into_iter().flatten() {
            let name = tool.name_with(options);
            commands.push((
                name.to_owned(),
                tool.command_with(options, &lock, &programs.staying),
            ));
        }
    }
    commands
        .into_iter()
        .map(|(name, command)| hold(name, command))
        .collect()
}

fn hold(name: String, mut command: Command) -> Memory {
    let mut child = command.spawn().unwrap();
    let family = loop {
        let runs = |pid: &u32| is_named(*pid, "staying");
        if family_of(child.id()).iter().any(runs) {
            // By now all are there.
            break family_of(child.id());
        }
        assert!(child.try_wait().unwrap().is_none(), "{command:?} has ended");
        std::thread::sleep(Duration::from_millis(1));
    };
    let kilobytes = family.iter().map(|pid| written_kilobytes(*pid)).sum();
    for pid in &family {
        let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
        // The last ones may have ended with the first.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    child.wait().unwrap();
    Memory {
        name,
        processes: family.len(),
        kilobytes,
    }
}

/// A process, its descendants and its guardian, that is: the bench's own child and what that has started.
fn family_of(pid: u32) -> Vec<u32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children
        .split_whitespace()
        .map(|child| child.parse().unwrap());
    let mut family = vec![pid];
    family.extend(children.flat_map(family_of));
    family.extend(guardian_of(pid));
    family
}

/// The guardian of a process, which has the process's pidfd on 1, and is no child of it.
fn guardian_of(pid: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    numbers.find(|&number| {
        is_named(number, "nonoverlap-lock")
            && fs::read_to_string(format!("/proc/{number}/fdinfo/1"))
                .is_ok_and(|info| info.contains(&format!("Pid:\t{pid}\n")))
    })
}

pub fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

fn written_kilobytes(pid: u32) -> usize {
    let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let written = sums
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    written
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
