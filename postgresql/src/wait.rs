//! Taking the lock over more than one session, where a wait outlives the server's restart.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::holder::ourselves;
use crate::pass::hangs_up_within;
use crate::request::{Patience, Target, Terms};
use crate::session::{A_TURN, Answer, Session};
use crate::sys::{self, Trouble};
use crate::tell;
use crate::words::no_answer;

/// How long connecting and asking may take together where nobody waits, in seconds.
pub const TIME: u32 = 15;

/// How long this may take where somebody waits that long, and to the beginning of an endless wait: a
/// second less than nonoverlap gives it (nonoverlap-helper(7), Time).
fn time_with(wait: Duration) -> u32 {
    const LEAST: u32 = 29;
    let wait = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    wait.saturating_add(14).max(LEAST)
}

/// Takes the lock, or finds it taken. Whoever waits connects again where the server was away, as long as
/// the wait lasts.
///
/// # Errors
///
/// As for [`Session::connect`] and [`Session::lock`].
pub fn lock(
    target: &Target,
    terms: &Terms,
    caller: BorrowedFd<'_>,
) -> Result<(Session, Answer), Failure> {
    sys::end_after(match terms.patience {
        Patience::None => TIME,
        Patience::For(time) => time_with(time),
        Patience::Endless => time_with(Duration::ZERO),
    });
    let name = ourselves();
    let mut connected = Session::connect(target, &name);
    let end = match terms.patience {
        Patience::None => Some(Instant::now()),
        // An end that no clock can tell is none.
        Patience::For(time) => Instant::now().checked_add(time),
        Patience::Endless => None,
    };
    // From here on it is a wait, be it for the lock or for the server.
    if terms.patience == Patience::Endless && matches!(connected, Ok(_) | Err(Failure::Away(_))) {
        tell("waiting")?;
        // libpq gives up a silent host by itself, and we a silent session.
        sys::end_after(0);
    }
    loop {
        let why = match connected.and_then(|session| on(session, terms, end, caller)) {
            Err(Failure::Away(why)) => why,
            done => return done,
        };
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Failure::Away(why));
        }
        if hangs_up_within(caller, left.map_or(A_TURN, |left| left.min(A_TURN)))? {
            return Err(no_answer(Trouble::HungUp));
        }
        connected = Session::connect(target, &name);
    }
}

/// Takes the lock in this session, which is ended where that fails: it might have it all the same.
fn on(
    mut session: Session,
    terms: &Terms,
    end: Option<Instant>,
    caller: BorrowedFd<'_>,
) -> Result<(Session, Answer), Failure> {
    match session.lock(terms, end, caller) {
        Ok(answer) => Ok((session, answer)),
        Err(failure) => {
            session.finish();
            Err(failure)
        }
    }
}
