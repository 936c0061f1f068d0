//! From `SCHEME://` to [`Held`]: a lock that a server keeps, bound to a connection whose descriptor
//! the command inherits. Knows no scheme: the program `nonoverlap-SCHEME` does, the helper.
//!
//! The helper is a child of ours for a moment and has ended before exec, so the command never meets
//! it. What it leaves undone is our failure, and nothing runs.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::getpeername;

use super::file::LockFile;
use super::held::{Attempt, Busy, Held, Remarks};
use super::helper::{self, Limit, NoHelper};
use super::lines;
use crate::model::error::{Error, Reason};
use crate::model::lock::{KILL_AFTER_LOSS, LockMode, OnLost, Wait};
use crate::model::request::Run;
use crate::model::target::LockTarget;
use crate::sys;
use crate::text::time::seconds;

/// No server, or no helper (sysexits(3), EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

/// Somebody else has the lock (sysexits(3), EX_TEMPFAIL). Not 1, by which programs end that crash.
const HELD: i32 = 75;

/// Takes the lock through its helper, or finds it taken.
///
/// # Errors
///
/// [`Error::NoHelper`]; [`Error::NoServer`] for no answer in time, or exit status 69 and no connection; [`Error::Helper`] for
/// anything else but 0 and exactly one connection that is open, or 75 and none;
/// [`Error::Descriptor`].
pub fn acquire(word: &'static CStr, run: &Run) -> Result<Attempt, Error> {
    let target = LockTarget::Remote(word);
    let limit = match run.options.wait {
        Wait::No => Limit::After(helper::TIME),
        Wait::For(time) => Limit::After(time.saturating_add(helper::TIME_TO_ASK)),
        Wait::Forever => Limit::UntilItWaits,
    };
    let mut output = helper::ask(&options(run), word, Some(run.command), limit)
        .map_err(|NoHelper(name, reason)| Error::NoHelper(target, name, reason))?;
    if output.is_late {
        return Err(Error::NoServer(target, output.why()));
    }
    let last = output.descriptors.pop();
    let passed = (last, output.descriptors.len());
    let (status, why) = match (output.status.code(), passed) {
        (Some(0), (Some(connection), 0)) => {
            let file = LockFile::connection(connection, target)?;
            let fence = lines::fence(&output.text).map_err(|why| why.as_bytes().to_vec());
            return match fence.and_then(|fence| is_open(&file).map(|()| fence)) {
                Ok(fence) => {
                    let remarks = Remarks {
                        helper_text: output.said,
                        fence,
                        ..Remarks::default()
                    };
                    Ok(Attempt::Held(Held::new(file, None, remarks)))
                }
                Err(why) => Err(Error::Helper(target, UNAVAILABLE, why)),
            };
        }
        (Some(HELD), (None, _)) => {
            return Ok(Attempt::Busy(Busy {
                target,
                waited: !matches!(run.options.wait, Wait::No),
                kin: None,
                since: lines::since(&output.text),
                helper_text: output.said,
            }));
        }
        (Some(69), (None, _)) => return Err(Error::NoServer(target, output.why())),
        (Some(status @ (64 | 78)), (None, _)) => (status as u8, output.why()),
        (Some(0), (None, _)) => (UNAVAILABLE, b"its helper passed no connection".to_vec()),
        (Some(0), _) => (
            UNAVAILABLE,
            b"its helper passed several descriptors".to_vec(),
        ),
        _ => (UNAVAILABLE, output.why()),
    };
    Err(Error::Helper(target, status, why))
}

/// What the helper is told of the run.
fn options(run: &Run) -> Vec<String> {
    let wait = match run.options.wait {
        Wait::No => None,
        Wait::For(time) => Some(seconds(time)),
        Wait::Forever => Some("inf".to_owned()),
    };
    let shared = (run.options.mode == LockMode::Shared).then(|| vec!["--shared".to_owned()]);
    let wait = wait.map(|time| vec!["--wait".to_owned(), time]);
    let hold = run
        .hold_at_least
        .map(|time| vec!["--hold-at-least".to_owned(), seconds(time)]);
    let kill_after = vec!["--kill-after".to_owned(), seconds(kill_after(run))];
    [shared, wait, hold, Some(kill_after)]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

/// How long a job that has lost its lock goes on until it is killed: no time where that is at once, nor
/// where it never is, which nobody can be in time for.
fn kill_after(run: &Run) -> Duration {
    match run.on_lost {
        OnLost::Term => run.kill_after.unwrap_or(KILL_AFTER_LOSS),
        OnLost::Kill | OnLost::Ignore => Duration::ZERO,
    }
}

/// Looks whether the connection has ended already. A guardian hears of its end later.
fn is_open(connection: &LockFile) -> Result<(), Vec<u8>> {
    let cannot = |reason| {
        let reason = Reason(reason);
        format!("its helper passed no connection that can be watched: {reason}").into_bytes()
    };
    match sys::has_ended(connection.as_fd()) {
        Ok(true) => Err(b"the server has closed the connection".to_vec()),
        // A socket for datagrams that has no other end never ends.
        Ok(false) => getpeername(connection).map(drop).map_err(cannot),
        Err(reason) => Err(cannot(reason)),
    }
}
