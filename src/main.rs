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
mod dialect;
mod escape;
mod exec;
mod flags;
mod help;
mod lockfile;
mod number;
mod outcome;
mod record;
mod request;
mod sys;

use acquire::Attempt;
use dialect::Dialect;
use lockfile::{Access, LockFile};
use outcome::{Error, Manner, Notice, Outcome};
use request::{Api, Place, Request, Run, Terms};
use sys::Words;

/// The whole program: what was asked for, done, and told. Returns the exit status, if it returns.
fn main(words: Words) -> u8 {
    let dialect = Dialect::of(words);
    outcome::report(dialect, request::read(words, dialect).and_then(carry_out))
}

fn carry_out(request: Request) -> Result<Outcome, Error> {
    match request {
        Request::Show(page) => Ok(Outcome::Page(help::text(page))),
        Request::Unlock(number, api, manner) => unlock(Place::Descriptor(number), api, manner),
        Request::Lock(number, terms, manner) => lock(Place::Descriptor(number), &terms, manner),
        Request::Run(run) => run_locked(&run),
    }
}

fn unlock(place: Place, api: Api, manner: Manner) -> Result<Outcome, Error> {
    let watch = manner.watch();
    acquire::release(&LockFile::open(place, Access::Read)?, api)?;
    manner.tell(&Notice::Unlocked(place, watch));
    Ok(Outcome::Done)
}

fn lock(place: Place, terms: &Terms, manner: Manner) -> Result<Outcome, Error> {
    let watch = manner.watch();
    match acquire::acquire(LockFile::open(place, terms.access())?, terms)? {
        Attempt::Held(_) => manner.tell(&Notice::Locked(place, watch)),
        Attempt::Busy(busy) => return Ok(Outcome::Busy(busy, manner)),
    }
    Ok(Outcome::Done)
}

fn run_locked(run: &Run) -> Result<Outcome, Error> {
    let file = LockFile::open(run.place, run.terms.access())?;
    let watch = run.manner.watch();
    let held = match acquire::acquire(file, &run.terms)? {
        Attempt::Held(held) => held,
        Attempt::Busy(busy) => return Ok(Outcome::Busy(busy, run.manner)),
    };
    if let Err(reason) = record::write(&held, &run.terms) {
        run.manner.tell(&Notice::NoRecord(run.place, reason));
    }
    run.manner
        .tell(&Notice::Starting(run.place, run.command, watch));
    Err(exec::become_command(held, run.command))
}
