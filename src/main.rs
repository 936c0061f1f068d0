//! nonoverlap runs a command under a lock, so that it never runs twice at once.
//!
//! ```text
//! argv --request--> Request --lockfile--> LockFile --acquire--> Held --record--> Held --exec--> (the command)
//!                                                      \--> Busy
//! Result<Outcome, Error> --outcome--> stderr and the exit status
//! ```
//!
//! Each arrow is a function in the file of that name, and each noun is a type that only the step
//! before can make. This file is the order of the steps and nothing else.

// Rust's own start-up would ignore SIGPIPE, install two signal handlers and poll three descriptors,
// all of which the command would inherit or wait for. The C `main` is in `sys/entry.rs`.
#![no_main]
#![deny(unsafe_code)]

mod acquire;
mod escape;
mod exec;
mod flags;
mod help;
mod lockfile;
mod outcome;
mod record;
mod request;
mod sys;

use acquire::Attempt;
use lockfile::LockFile;
use outcome::{Error, Notice, Outcome};
use request::{Request, Run};
use sys::Words;

/// The whole program: what was asked for, done, and told. Returns the exit status, if it returns.
fn main(words: Words) -> u8 {
    outcome::report(request::read(words).and_then(carry_out))
}

fn carry_out(request: Request) -> Result<Outcome, Error> {
    match request {
        Request::Show(page) => Ok(Outcome::Page(help::text(page))),
        Request::Run(run) => run_locked(run),
    }
}

fn run_locked(run: Run) -> Result<Outcome, Error> {
    let file = LockFile::open(run.path)?;
    let held = match acquire::acquire(file)? {
        Attempt::Held(held) => held,
        Attempt::Busy(file) => {
            return Ok(Outcome::Busy {
                file,
                status: run.conflict,
                voice: run.voice,
            });
        }
    };
    if let Err(reason) = record::write(&held) {
        outcome::notice(run.voice, &Notice::NoRecord(run.path, reason));
    }
    outcome::notice(run.voice, &Notice::Starting(run.path, run.command));
    Err(exec::become_command(held, run.command))
}
