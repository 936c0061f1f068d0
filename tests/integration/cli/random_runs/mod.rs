//! Runs of chance: options, lock files, descriptors and streams that nobody would bring together. Whatever
//! they are, a command that runs has the lock, and what did not run says why.
//!
//! What is expected is worked out here from the manual's words and not from the program's.
//!
//! Linux only: who has a lock is read in `/proc`.
#![cfg(target_os = "linux")]

mod draw;
mod looked;
mod options;

use std::env;

use crate::support::dice::Dice;
use crate::support::harness::has_tool;
use options::Options;

/// What the command ends with.
const RAN: i32 = 41;

/// How many command lines there are, unless `NONOVERLAP_COMMAND_LINES` says another number.
const COMMAND_LINES: usize = 500;

#[test]
fn whatever_the_options_are_a_command_that_runs_has_the_lock_and_what_does_not_run_says_why() {
    if !has_tool("bash", "descriptors from 10 up") {
        return;
    }
    let rounds = env::var("NONOVERLAP_COMMAND_LINES");
    let rounds = rounds.map_or(COMMAND_LINES, |number| number.parse().unwrap());
    let mut dice = Dice(0x7261_6e64_6f6d_2121);
    let mut seen = [0; 5];
    for _ in 0..rounds {
        let draw = Draw::new(&mut dice);
        let outcome = draw.outcome();
        seen[match outcome {
            Outcome::Runs | Outcome::GoesOn => 0,
            Outcome::Waits => 1,
            Outcome::Conflict => 2,
            Outcome::Fails(64) => 3,
            Outcome::Fails(_) => 4,
        }] += 1;
        draw.try_out(outcome, &mut dice);
    }
    // Or the dice have come to throw one thing only.
    let enough = rounds / 100;
    assert!(
        seen.iter().all(|&times| times >= enough),
        "runs, waits, conflicts, refusals, failures: {seen:?}"
    );
}

/// A run as it was drawn.
#[derive(Debug)]
struct Draw {
    as_flock: bool,
    options: Options,
    form: Form,
    ends_options: bool,
    command: What,
    name: &'static str,
    file: File,
    /// How the shell opens descriptors on the lock file.
    opened: &'static str,
    streams: [Stream; 3],
    /// Who has a lock on the file, by the options of that run.
    holder: Option<&'static [&'static str]>,
}

/// Where the lock is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// LOCKFILE COMMAND.
    File,
    /// `--fd FD COMMAND`, and whether it is open.
    Descriptor(u32, bool),
    /// FD, and the shell then becomes the command.
    Lone(u32, bool),
}

/// The command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Words,
    Line,
    /// It is not there.
    Missing,
    /// A word that begins with a dash and is not there.
    Dash,
}

/// What the lock file is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum File {
    Empty,
    Record,
    Data,
    Folder,
    Link,
    Twin,
    Missing,
    Dangling,
    NoFolder,
}

/// Where a standard stream leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stream {
    Null,
    Closed,
    File,
    /// To the lock file, by a descriptor of its own.
    Lock,
    /// To the lock file, by the descriptor that is to be locked.
    Same,
}

/// What comes of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Runs,
    /// It runs when the holder has ended.
    Waits,
    /// The shell goes on without the lock, as it asked for.
    GoesOn,
    Conflict,
    Fails(i32),
}
