//! nonoverlap-postgresql takes an advisory lock on a PostgreSQL server, and passes the connection
//! that the lock is bound to.
//!
//! ```text
//! argv --request--> Request --session--> Session --wait--> Locked --pass--> (nonoverlap)
//!                                                    \--> Held
//! ```
//!
//! nonoverlap starts it, with a Unix socket as its standard output, and what it says on standard
//! error is shown. Its contract is in nonoverlap-helper(7).
//!
//! The connection is never finished here: that would end the session, and the lock with it. The
//! descriptor lives on in who got it, and the kernel closes it when the last of them has ended.

#![deny(unsafe_code)]

mod age;
mod aside;
mod cut;
mod failure;
mod holder;
mod look;
mod pass;
mod request;
mod session;
mod statements;
mod sys;
mod wait;
mod words;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use failure::Failure;
use request::{Request, Target, Task, Terms};
use session::{Answer, Session};

/// Somebody else has the lock (sysexits(3), EX_TEMPFAIL).
const CONFLICT: u8 = 75;

/// Exit statuses of `--status`.
const HELD: u8 = 0;
const FREE: u8 = 3;

fn main() -> ExitCode {
    match request::read(env::args_os()).and_then(carry_out) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // Where nobody hears it, the exit status is left.
            let _ = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn carry_out(request: Request) -> Result<u8, Failure> {
    match request {
        Request::Show(page) => tell(page).map(|()| 0),
        Request::Ask(target, task) => {
            let secrets = words::check(&target)?;
            let done = match task {
                Task::Status => status(&target),
                Task::Lock(terms) => lock(&target, &terms),
            };
            done.map_err(|failure| failure.without(&secrets))
        }
    }
}

fn status(target: &Target) -> Result<u8, Failure> {
    sys::end_after(wait::TIME);
    let mut session = Session::connect(target, "nonoverlap --status")?;
    let look = session.look();
    let (holders, age) = look.lock.map_err(|failure| failure.at(&look.place))?;
    // The first 4,096 bytes are heard, and holders may be many.
    let lines = [
        holders.since(),
        Some(holders.of_status()),
        age.remark(),
        Some(look.place),
    ];
    for line in lines.into_iter().flatten().chain(holders.lines()) {
        tell(&line)?;
    }
    Ok(if holders.is_free() { FREE } else { HELD })
}

fn lock(target: &Target, terms: &Terms) -> Result<u8, Failure> {
    let stdout = pass::stdout()?;
    let (session, answer) = wait::lock(target, terms, stdout)?;
    match answer {
        Answer::Locked(fence) => {
            pass::pass(session.socket()?, &fence, stdout)?;
            // If that fails, so do we, and nonoverlap drops what it got.
            if let Some(time) = terms.hold_at_least {
                pass::hold(session.socket()?, time)?;
            }
            Ok(0)
        }
        Answer::Held(holders) => {
            if let Some(holders) = holders {
                holders.since().map_or(Ok(()), |since| tell(&since))?;
                let _ = writeln!(io::stderr(), "{}", holders.of_refusal());
            }
            Ok(CONFLICT)
        }
    }
}

fn tell(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::Unavailable(format!("cannot write to standard output: {error}")))
}
