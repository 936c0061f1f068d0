//! What it costs to start a command under a lock, beside the peers: whole processes, from start to
//! end, one after the other in every round, so that a machine that gets slower slows all alike.
//!
//!     cargo bench                       200 rounds of 20 runs each
//!     cargo bench -- --rounds 10        a short run
//!
//! The overhead of a tool is its time less that of the bare command in the same round; the ratio is
//! to the floor, a program that makes the five system calls without which there is no lock, no PID
//! record and no command. Only ratios of one run mean anything.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each tool runs in a round; the round's time is the fastest, which no interruption hit.
const RUNS: usize = 20;

struct Tool {
    name: &'static str,
    command: Vec<OsString>,
    /// Its time in each round.
    times: Vec<Duration>,
}

fn main() {
    let rounds = rounds();
    let folder = tempfile::tempdir().unwrap();
    let floor = build_floor(folder.path());
    let mut tools = tools(folder.path(), &floor);
    for tool in &mut tools {
        // The lock file has a record from here on, and all files are in the page cache.
        tool.run();
    }
    for _ in 0..rounds {
        for tool in &mut tools {
            let time = (0..RUNS).map(|_| tool.run()).min().unwrap();
            tool.times.push(time);
        }
    }
    print(&tools, rounds);
}

fn rounds() -> usize {
    let words: Vec<_> = env::args().collect();
    let named = words
        .iter()
        .position(|word| word == "--rounds")
        .and_then(|index| words.get(index + 1));
    named.map_or(200, |number| number.parse().unwrap())
}

fn build_floor(folder: &Path) -> PathBuf {
    let floor = folder.join("floor");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-O2",
        "-static",
        "-nostdlib",
        "-fno-builtin",
        "-fno-stack-protector",
        "-o",
    ]);
    let built = compiler.arg(&floor).arg(source).status().unwrap();
    assert!(built.success(), "cc could not build {source}");
    floor
}

/// Those that are installed, each with a lock file of its own.
fn tools(folder: &Path, trivial: &Path) -> Vec<Tool> {
    let tool = |name: &'static str, program: &Path, options: &[&str]| {
        let mut command: Vec<OsString> = vec![program.into()];
        command.extend(options.iter().map(OsString::from));
        command.push(folder.join(name.replace(' ', "_")).into());
        command.push(trivial.into());
        Tool {
            name,
            command,
            times: Vec::new(),
        }
    };
    let bare = Tool {
        name: "the bare command",
        command: vec![trivial.into()],
        times: Vec::new(),
    };
    let mut tools = vec![bare, tool("the floor", trivial, &[])];
    let ours = Path::new(env!("CARGO_BIN_EXE_nonoverlap"));
    tools.push(tool("nonoverlap", ours, &[]));
    let target = ours.ancestors().nth(2).unwrap();
    let musl = target.join("x86_64-unknown-linux-musl/release/nonoverlap");
    if musl.exists() {
        tools.push(tool("nonoverlap, musl", &musl, &[]));
    } else {
        println!(
            "left out: nonoverlap, musl (cargo build --release --target x86_64-unknown-linux-musl)"
        );
    }
    for (name, program, options) in [
        ("flock -n", "flock", &["-n"][..]),
        ("flock -n -F", "flock", &["-n", "-F"]),
        ("setlock -n", "setlock", &["-n"]),
        ("chpst -L", "chpst", &["-L"]),
        ("s6-setlock -n", "s6-setlock", &["-n"]),
        ("lckdo", "lckdo", &[]),
        ("with-lock-ex -f", "with-lock-ex", &["-f"]),
    ] {
        match find(program) {
            Some(path) => tools.push(tool(name, &path, options)),
            None => println!("left out: {name} is not installed"),
        }
    }
    tools
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

impl Tool {
    fn run(&self) -> Duration {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null());
        let start = Instant::now();
        let ended = command.status().unwrap();
        let time = start.elapsed();
        assert!(ended.success(), "{}: {ended}", self.name);
        time
    }
}

/// Median, and the middle half, of the overhead in microseconds.
fn print(tools: &[Tool], rounds: usize) {
    let bare = &tools[0].times;
    let overhead = |tool: &Tool| {
        let mut over: Vec<f64> = tool
            .times
            .iter()
            .zip(bare)
            .map(|(time, bare)| time.as_secs_f64() * 1e6 - bare.as_secs_f64() * 1e6)
            .collect();
        over.sort_by(f64::total_cmp);
        let at = |share: f64| over[((over.len() - 1) as f64 * share) as usize];
        (at(0.25), at(0.5), at(0.75))
    };
    let floor = overhead(&tools[1]).1;
    let flock = tools
        .iter()
        .find(|tool| tool.name == "flock -n")
        .map(|tool| overhead(tool).1);
    let kernel = fs::read_to_string("/proc/version").unwrap_or_default();
    println!("{rounds} rounds; {}", kernel.trim_end());
    println!(
        "{:<18} {:>10} {:>17} {:>9} {:>12}",
        "", "overhead", "middle half", "/ floor", "/ flock -n"
    );
    for tool in &tools[1..] {
        let (low, median, high) = overhead(tool);
        let to_flock = flock.map_or(String::new(), |flock| format!("{:.3}", median / flock));
        let spread = format!("{low:.0} to {high:.0}");
        println!(
            "{:<18} {median:>7.0} us {spread:>14} us {:>9.2} {to_flock:>12}",
            tool.name,
            median / floor
        );
    }
}
