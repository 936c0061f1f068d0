//! nonoverlap runs a command under a lock, so that it never runs twice at once.
//!
//! ```text
//! argv --cli--> Request --lock--> Held --run--> (the command)
//!                         \--> Busy --report--> stderr, the log and the exit status
//! ```
//!
//! Each arrow is a folder, each noun a type. Only `lock/` can make a `Held`, and what needs the lock
//! asks for one: so a run without it cannot be written down. This file is the order of the steps and
//! nothing else.
//!
//! The system calls of a run, on a lock file that has a record, and why each is there. The test
//! `cost/budget.rs` holds the list.
//!
//! | call | where | why |
//! |---|---|---|
//! | open | lock/file | without O_CREAT: there is a lock file as a rule, and a link is not followed |
//! | fcntl | lock/file | to a descriptor that scripts leave alone |
//! | close | lock/file | the number that open gave |
//! | flock | lock/take | decides who runs |
//! | statx | lock/acquire | which file is locked |
//! | stat | lock/mark | which folder its name is in |
//! | memfd_create | lock/mark | a file for the mark, which nobody else has open |
//! | fcntl | lock/mark | to a descriptor that scripts leave alone |
//! | close | lock/mark | the number that memfd_create gave |
//! | fcntl | lock/mark | announces the lock to every other run of this name |
//! | open | lock/verify | by the path, for writing: the lock's own descriptor never is |
//! | statx | lock/verify | the locked file still? and when was it made and changed? |
//! | pread | lock/verify | whose run was the last one? |
//! | kill | lock/verify | a run that lives may hold the name by another file: then it is looked for |
//! | getrlimit | lock/record | a record that does not fit would bring SIGXFSZ |
//! | getpid | lock/record | |
//! | pread | lock/record | is it a record still, which alone may be written over? |
//! | pwrite | lock/record | |
//! | close | lock/record | the command gets the lock and its mark, and no more |
//! | execve | run/exec | |
//!
//! A page fault costs more than most of these calls. So waiting, which a plain run does not reach and
//! which would be drawn into what it does reach, is marked `#[cold]`.

// Rust's own start-up would ignore SIGPIPE, install two signal handlers and poll three descriptors,
// all of which the command would inherit or wait for. The C `main` is in `sys/entry.rs`.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code))] // The C main is left out there, so nothing calls most of this.
#![deny(unsafe_code)]

mod cli;
mod cron;
#[cfg(test)]
#[path = "../tests/inside/mod.rs"]
mod inside;
mod inspect;
mod lock;
mod model;
mod report;
mod run;
mod sys;
mod text;

use std::convert::Infallible;
use std::time::Instant;

use lock::acquire;
use lock::file::{Access, LockFile};
use lock::held::{Attempt, Held};
use lock::remote;
use model::dialect::Dialect;
use model::error::Error;
use model::lock::{LockApi, LockOptions};
use model::reporting::Reporting;
use model::request::{Request, Run};
use model::target::{self, LockTarget};
use report::log::{self, Log};
use report::notice::Notice;
use report::outcome::{Answer, Outcome};
use run::exec::{self, ExecContext};
use run::guardian::{self, Duties};
use sys::{Guardian, Words};

sys::entry_point!(main);

/// The whole program: what was asked for, done, and told. Returns the exit status, if it returns.
fn main(words: Words) -> u8 {
    let dialect = Dialect::of(words);
    report::report(dialect, cli::read(words, dialect).and_then(carry_out))
}

/// Does what was asked for.
fn carry_out(request: Request) -> Result<Outcome, Error> {
    match request {
        Request::Show(page) => Ok(Outcome::Output(Answer {
            text: cli::help::text(page).into_bytes(),
            status: 0,
        })),
        Request::Status(asked) => Ok(Outcome::Output(report::status::report(&asked))),
        Request::StatusOfInstalled(format) => Ok(cron::status(format)),
        Request::History(log, format) => report::history::report(log, format).map(Outcome::Output),
        Request::Install(asked) => cron::install(&asked),
        Request::Uninstall(target, apply) => cron::uninstall(target, apply),
        Request::Unlock(number, api, reporting) => {
            unlock(LockTarget::Descriptor(number), api, reporting)
        }
        Request::Lock(number, options, reporting) => {
            lock_descriptor(LockTarget::Descriptor(number), &options, reporting)
        }
        Request::Run(run) => run_locked(&run),
    }
}

/// `-u`: drops the lock of a descriptor.
fn unlock(target: LockTarget, api: LockApi, reporting: Reporting) -> Result<Outcome, Error> {
    let stopwatch = reporting.stopwatch();
    acquire::release(&LockFile::open(target, Access::Read)?, api)?;
    Ok(reporting.finished(&Notice::Unlocked(target, stopwatch)))
}

/// Locks a descriptor that the caller keeps.
fn lock_descriptor(
    target: LockTarget,
    options: &LockOptions,
    reporting: Reporting,
) -> Result<Outcome, Error> {
    let stopwatch = reporting.stopwatch();
    let file = LockFile::open(target, Access::wanted_by(options))?;
    let before_waiting = |target, kin| reporting.tell(None, &Notice::WaitsForKin(target, kin));
    Ok(match acquire::acquire(file, options, &before_waiting)? {
        Attempt::Held(_) => reporting.finished(&Notice::Locked(target, stopwatch)),
        Attempt::Busy(busy) => Outcome::Busy(vec![busy], reporting, None),
    })
}

/// Takes the lock, or the first free slot, and becomes the command.
///
/// The log is opened before the lock, so that what is wrong with it is told before anybody is kept
/// out, and so that it hears why nothing was run.
fn run_locked(run: &Run) -> Result<Outcome, Error> {
    // A descriptor that is not open may be the log's in a moment.
    let is_open = match (&run.log, run.target) {
        (Some(_), LockTarget::Descriptor(_)) => LockFile::open(run.target, Access::Read).map(drop),
        _ => Ok(()),
    };
    let log = run.log.as_deref().map(|path| {
        log::check_name(path, run.target, run.slots)?;
        let log = Log::open(path)?;
        log.is_no_slot(run.target, run.slots).map(|()| log)
    });
    let log = log.transpose()?;
    let hear = |target| {
        let log = log.as_ref();
        move |error: &Error| log.into_iter().for_each(|log| log.error(target, error))
    };
    is_open.inspect_err(hear(run.target))?;
    guardian::check(run).inspect_err(hear(run.target))?;
    let guardians_log = guardian::log(run).inspect_err(hear(run.target))?;
    let stopwatch = run.reporting.stopwatch();
    let mut busy = Vec::new();
    for (slot, target) in target::slots(run.target, run.slots) {
        let attempt = match take(target, run, log.as_ref()).inspect_err(hear(target)) {
            Err(error) if run.reporting.leaves_to_log(&error) => {
                return Ok(Outcome::Unsaid(error));
            }
            attempt => attempt?,
        };
        match attempt {
            Attempt::Held(held) => {
                let log = log.as_ref();
                let context = ExecContext { slot, log };
                let error = start(run, held, stopwatch, context, guardians_log);
                return error.inspect_err(hear(target)).map(|never| match never {});
            }
            Attempt::Busy(lock) => busy.push(lock),
        }
    }
    Ok(Outcome::Busy(busy, run.reporting, log))
}

/// Takes one lock, or finds it taken.
fn take(target: LockTarget, run: &Run, log: Option<&Log>) -> Result<Attempt, Error> {
    match target {
        LockTarget::Remote(word) => remote::acquire(word, run),
        LockTarget::File(_) | LockTarget::Descriptor(_) => {
            let file = LockFile::open(target, Access::wanted_by(&run.options))?;
            log.into_iter().try_for_each(|log| log.is_not(&file))?;
            let tell = |target, kin| run.reporting.tell(log, &Notice::WaitsForKin(target, kin));
            acquire::acquire(file, &run.options, &tell)
        }
    }
}

/// From the lock to the command. Returns only an error.
///
/// What there is to say comes after our PID is written, so that whoever looks meanwhile finds the new
/// holder; and a guardian is started after that, with only the line that the command starts behind
/// it, because it is the one step that can fail and must then leave nothing behind.
fn start(
    run: &Run,
    held: Held,
    stopwatch: Option<Instant>,
    context: ExecContext<'_>,
    guardians_log: Option<Log>,
) -> Result<Infallible, Error> {
    let target = held.file().target();
    let tell = |notice| run.reporting.tell(context.log, &notice);
    let remarks = &held.remarks;
    if !remarks.helper_text.is_empty() {
        tell(Notice::Helper(target, &remarks.helper_text));
    }
    if let Some(reason) = remarks.unmarked {
        tell(Notice::NoMark(target, reason));
    }
    if let Some(reason) = remarks.unrecorded {
        tell(Notice::NoRecord(target, reason));
    }
    if let Some(record) = remarks.previous.filter(inspect::has_let_go) {
        tell(Notice::LetGo(target, record.pid));
    }
    let duties = Duties::of(&held, run, guardians_log)?;
    if duties.as_ref().is_some_and(Duties::reach_one_process) {
        tell(Notice::OneProcess(target));
    }
    let guardian = duties.map(Duties::start).transpose()?;
    let program = exec::program(run.command);
    tell(Notice::Starting(target, run.command, &program, stopwatch));
    let error = exec::become_command(held, run.command, program, context);
    guardian.into_iter().for_each(Guardian::dismiss);
    Err(error)
}
