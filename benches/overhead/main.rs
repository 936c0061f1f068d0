//! What it costs to start a command under a lock, beside the peers: whole processes, from start to
//! end, one after the other in every round, so that a machine that gets slower slows all alike.
//!
//!     cargo bench                        100 rounds, some minutes
//!     cargo bench -- --rounds 3          a short run
//!     cargo bench -- --save              and its results into benches/, where README.md shows them
//!
//! The overhead of a tool is its time less that of the bare command in the same round; the ratio is
//! to the floor, a program that makes the five system calls without which there is no lock, no PID
//! record and no command (`floor.c`). Only ratios of one run mean anything. No time fails.
//!
//! Linux only: the floor is in assembly, and waiters are found in `/proc/locks`.

#![allow(
    clippy::missing_docs_in_private_items,
    clippy::too_many_lines,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod chart;
mod crowd;
mod growth;
mod measure;
mod report;
mod tables;
mod tools;

use std::env;
use std::path::Path;

use tools::Programs;

fn main() {
    let words: Vec<_> = env::args().collect();
    let folder = tempfile::tempdir().unwrap();
    // In the target folder, which is on a disk.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let memory = tables::memory_folder();
    let programs = Programs::build(folder.path());
    let tools = tools::tools(disk.path(), &programs.floor);

    let places = [("on a disk", Some(&disk)), ("in memory", memory.as_ref())];
    let mut tables = tables::all(folder.path(), &places, &programs, &tools);
    tables.extend(growth::all(folder.path(), &programs, &tools));
    let rounds = rounds(&words);
    measure::measure(&mut tables, rounds);
    tables.extend(crowd::all(folder.path(), &programs, &tools, rounds.min(20)));
    let memory = growth::memory(folder.path(), &programs, &tools);

    report::print(&tables, &memory, rounds);
    let results = match words.iter().any(|word| word == "--save") {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("benches"),
        false => Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
    };
    report::save(&results.join("overhead.json"), &tables, &memory, rounds);
    chart::draw(&results.join("overhead.svg"), &tables[0], rounds);
    println!(
        "\nwritten: overhead.json and overhead.svg in {}",
        results.display()
    );
}

fn rounds(words: &[String]) -> usize {
    let named = words.iter().position(|word| word == "--rounds");
    named
        .and_then(|index| words.get(index + 1))
        .map_or(100, |number| number.parse().unwrap())
}
