//! The storm: twelve hosts try to run one job, over and over, while faults are put in, each alone and
//! each two together. How often do two run at once, and for how long?
//!
//!     cargo test --bench storm                       all cases, half an hour
//!     cargo test --bench storm -- --save             and the table into benches/storm.md
//!     cargo test --bench storm -- cut 'cut + blip'   these cases
//!     cargo test --bench storm -- --list             what there is
//!     cargo test --bench storm -- --rounds 5         so often in each case
//!     cargo test --bench storm -- --at-once 2        so many cases at one time
//!
//! Hosts and the server are network namespaces, and the server is a real one. Each host has two lines
//! of a crontab: a job that dies by SIGTERM, and one that catches it and cleans up for two seconds. A
//! fault strikes whoever has the lock of the one and of the other.
//!
//! Plain jobs never run twice at once, or it fails; but where [`Fault::are_covered`] says no.
//! And it fails where the case in which nobody is told shows no overlap: it could not see any, then.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod case;
mod fault;
#[allow(dead_code)] // The tests use the rest.
#[path = "../../../tests/integration/support/harness/mod.rs"]
mod harness;
mod job;
#[allow(dead_code)] // The same.
#[path = "../../tests/integration/network.rs"]
mod network;
#[allow(dead_code)] // The same.
#[path = "../../tests/integration/server.rs"]
mod server;

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use case::{Case, HOSTS, Outcome};
use fault::{FAULTS, Fault};
use harness::Run;
use server::Server;

/// The case in which the measuring shows that it sees.
const NOBODY_IS_TOLD: &str = "cut, and nobody is told (--on-lost ignore)";

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "--job") {
        job::work(Path::new(&words[1]), &words[2], words[3].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let asked = Asked::read(words);
    if asked.list {
        asked
            .cases
            .iter()
            .for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let table = Mutex::new(vec![None; asked.cases.len()]);
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..asked.at_once {
            scope.spawn(|| {
                while let Some(case) = asked.cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(outcome) = case.run(asked.rounds) else {
                        return;
                    };
                    let row = row(case, &outcome);
                    println!("{:4} s {row}", start.elapsed().as_secs());
                    for remark in &outcome.remarks {
                        println!("       {}: {remark}", case.name);
                    }
                    let index = asked.cases.iter().position(|it| it.name == case.name);
                    table.lock().unwrap()[index.unwrap()] = Some((row, is_right(case, &outcome)));
                }
            });
        }
    });
    let rows: Vec<_> = table.into_inner().unwrap().into_iter().flatten().collect();
    let text = page(&rows);
    println!("\n{text}");
    if asked.save {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/storm.md");
        fs::write(&path, text).unwrap();
        println!("written: {}", path.display());
    }
    // Where there can be no network, that was said.
    let wrong = rows.iter().filter(|(_, is_right)| !is_right).count();
    println!("{} cases, {wrong} of them wrong", rows.len());
    ExitCode::from(u8::from(wrong > 0))
}

/// What is to be done.
struct Asked {
    cases: Vec<Case>,
    rounds: usize,
    at_once: usize,
    save: bool,
    list: bool,
}

impl Asked {
    fn read(words: Vec<String>) -> Asked {
        let (mut rounds, mut at_once, mut save, mut list) = (1, 5, false, false);
        let mut names = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().unwrap().parse().unwrap();
            match &*word {
                "--rounds" => rounds = number(),
                "--at-once" => at_once = number(),
                "--save" => save = true,
                "--list" => list = true,
                // cargo's own word.
                "--bench" => {}
                _ => names.push(word),
            }
        }
        let mut cases = cases();
        for name in &names {
            assert!(
                cases.iter().any(|case| case.name == *name),
                "no case: {name}"
            );
        }
        cases.retain(|case| names.is_empty() || names.contains(&case.name));
        Asked {
            cases,
            rounds,
            at_once,
            save,
            list,
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![Case {
        name: NOBODY_IS_TOLD.to_owned(),
        faults: vec![FAULTS[0].1],
        options: &["--on-lost", "ignore"],
    }];
    let mut add = |name, faults| {
        cases.push(Case {
            name,
            faults,
            options: &[],
        });
    };
    for (name, fault) in FAULTS {
        add(name.to_owned(), vec![fault]);
    }
    for (index, (one, first)) in FAULTS.into_iter().enumerate() {
        for (other, second) in FAULTS.into_iter().skip(index + 1) {
            add(format!("{one} + {other}"), vec![first, second]);
        }
    }
    cases
}

fn is_right(case: &Case, outcome: &Outcome) -> bool {
    let two_ran = !outcome.overlaps[0].is_empty();
    match &*case.name {
        NOBODY_IS_TOLD => two_ran,
        _ => !two_ran || !Fault::are_covered(&case.faults),
    }
}

fn row(case: &Case, outcome: &Outcome) -> String {
    let (name, attempts, runs) = (&case.name, outcome.attempts, outcome.runs);
    let served = outcome.served;
    let cells = outcome.overlaps.each_ref().map(|overlaps| {
        let longest = overlaps.iter().max().map_or(String::new(), seconds);
        format!("{} | {longest}", overlaps.len())
    });
    format!(
        "| {name} | {attempts} | {runs} | {served} | {} |",
        cells.join(" | ")
    )
}

fn seconds(time: &Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn page(rows: &[(String, bool)]) -> String {
    let version = Server::nowhere().program("postgres").arg("--version").run();
    let version = version.stdout();
    let mut page = format!(
        "# The storm\n\nMade by `cargo test --bench storm -- --save`; the source (storm/main.rs) \
         explains it. {HOSTS} hosts,\none server: {}.\n\n",
        version.trim()
    );
    page.push_str(
        "| faults | attempts | runs | begun after the fault | overlaps of plain jobs | the longest \
         | overlaps of jobs that clean up for 2 s | the longest |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (row, _) in rows {
        let _ = writeln!(page, "{row}");
    }
    page.push_str(EXPLAINED);
    page
}

const EXPLAINED: &str = "
Each case has its own hosts and its own server, which has been up for 20 s. From the first fault until its effects are
over, no job ends by itself. The second fault follows 0.5 to 6.5 s after the first. A fault strikes the hosts that have
the lock at that time; a second cut strikes another host. A cut lasts for 32 s, a blip for 2 s; a host is frozen for
35 s, a server for 10 s. A server that is gone has its cable cut and all its processes killed, and its kernel keeps no
connection.

A job overlaps with a later one if the kernel would still execute it at the moment when the later one begins and looks.
A frozen job overlaps only if it goes on before the later one has ended. A job that cleans up runs on for 2 s after it
was told to end, so overlaps of up to about 2 s are expected of it.

\\* Not promised: see What is not promised in the manual. A machine that stood still while its lock was given away goes
on where it was, until its guardian runs again, too. If somebody ends a session on the server, the lock is given away at
once, but a host that is cut off at that time hears of the loss only by the cut. The first line shows that the storm
sees overlaps: its jobs are never told of the loss.
";
