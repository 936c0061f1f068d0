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
mod holders;
mod lockfile;
mod log;
mod number;
mod outcome;
mod record;
mod request;
mod status;
mod sys;
mod time;

use acquire::Attempt;
use dialect::Dialect;
use lockfile::{Access, LockFile};
use log::Log;
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
        Request::Show(page) => Ok(Outcome::Told(help::text(page), 0)),
        Request::Status(asked) => {
            let (text, status) =
                status::report(asked.paths.iter(), asked.form, asked.log.as_deref());
            Ok(Outcome::Told(text, status))
        }
        Request::Unlock(number, api, manner) => unlock(Place::Descriptor(number), api, manner),
        Request::Lock(number, terms, manner) => lock(Place::Descriptor(number), &terms, manner),
        Request::Run(run) => run_locked(&run),
    }
}

fn unlock(place: Place, api: Api, manner: Manner) -> Result<Outcome, Error> {
    let watch = manner.watch();
    acquire::release(&LockFile::open(place, Access::Read)?, api)?;
    manner.tell(None, &Notice::Unlocked(place, watch));
    Ok(Outcome::Done)
}

fn lock(place: Place, terms: &Terms, manner: Manner) -> Result<Outcome, Error> {
    let watch = manner.watch();
    match acquire::acquire(LockFile::open(place, terms.access())?, terms)? {
        Attempt::Held(_) => manner.tell(None, &Notice::Locked(place, watch)),
        Attempt::Busy(busy) => return Ok(Outcome::Busy(busy, manner, None)),
    }
    Ok(Outcome::Done)
}

fn run_locked(run: &Run) -> Result<Outcome, Error> {
    let log = run.log.as_deref().map(Log::open).transpose()?;
    let file = LockFile::open(run.place, run.terms.access())?;
    log.iter().try_for_each(|log| log.is_not(&file))?;
    let watch = run.manner.watch();
    let held = match acquire::acquire(file, &run.terms)? {
        Attempt::Held(held) => held,
        Attempt::Busy(busy) => return Ok(Outcome::Busy(busy, run.manner, log)),
    };
    let tell = |notice| run.manner.tell(log.as_ref(), &notice);
    let found = record::found(&held, &run.terms);
    if let Err(reason) = record::write(&held, &run.terms, found.as_ref()) {
        tell(Notice::NoRecord(run.place, reason));
    }
    if let Some(record) = found.filter(holders::has_let_go) {
        tell(Notice::LetGo(run.place, record.pid));
    }
    tell(Notice::Starting(run.place, run.command, watch));
    Err(exec::become_command(held, run.command, log))
}
