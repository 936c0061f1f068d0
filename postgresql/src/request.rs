//! From argv to a [`Request`].

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::failure::Failure;

/// What the caller wants.
pub enum Request {
    /// A page on standard output.
    Show(&'static str),
    /// Something of a lock.
    Ask(Target, Task),
}

/// What is to be done.
pub enum Task {
    /// Take it.
    Lock(Terms),
    /// Tell who has it.
    Status,
}

/// How a lock is taken.
pub struct Terms {
    /// Whether it excludes exclusive locks only.
    pub shared: bool,
    /// What to do if it is taken.
    pub patience: Patience,
    /// How long it is kept at least.
    pub hold_at_least: Option<Duration>,
    /// How long the command may live on when it has been told that the lock is lost.
    pub kill_after: Duration,
}

/// What nonoverlap's own default is.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// The longest that the server's timers are stretched for: Linux takes 32,767 s for TCP_KEEPIDLE
/// (net/tcp.h, MAX_TCP_KEEPIDLE), and a server that cannot set one goes on with another.
const LONGEST_KILL_AFTER: Duration = Duration::from_secs(9 * 3600);

/// What to do if the lock is taken.
#[derive(Clone, Copy, PartialEq)]
pub enum Patience {
    /// Refuse.
    None,
    /// Wait for so long.
    For(Duration),
    /// Wait as long as it takes.
    Endless,
}

/// A lock on a server.
pub struct Target {
    /// How to connect, for libpq: all in front of the last `#`.
    pub server: CString,
    /// What the lock is called: all behind it.
    pub name: CString,
}

const HELP: &str = "\
Usage: nonoverlap-postgresql [options] TARGET

nonoverlap starts this program for a lock on a PostgreSQL server:
       nonoverlap 'postgresql://HOST/DATABASE#NAME' COMMAND [ARG...]

Takes the advisory lock NAME, and passes the connection that holds it through
the Unix socket on standard output. TARGET is a connection string of libpq,
followed by # and the name of the lock. postgresql://#NAME takes everything
else from the PG* variables.

Options:
  --shared                 take a shared lock
  --wait SECS              wait at most SECS seconds; inf: as long as it takes
  --hold-at-least SECS     keep the lock at least that long, even if the command
                           has exited
  --kill-after SECS        how long the command may run on after it is told that
                           the lock is lost: 5 by default, at most 9 hours
  --status                 show who holds the lock and which server it is on;
                           take no lock
  --help                   show this help
  --version                show the version

Exit status:
  0     the lock was taken and passed on; with --status: it is held
  3     with --status: it is free
  64    the command line or TARGET is wrong
  69    there is no server, or it does not answer, has just started, or is full
  75    somebody else holds the lock, or the wait timed out
  77    the server refuses the role, the password, the host, the database or the
        kind of connection, such as TLS
  78    the server cannot hold such a lock: it is a standby, is behind a pooler,
        or lacks what the lock needs

The manual: man nonoverlap-postgresql";

const VERSION: &str = concat!("nonoverlap-postgresql ", env!("CARGO_PKG_VERSION"));

/// Reads the command line.
///
/// # Errors
///
/// [`Failure::Usage`].
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Request, Failure> {
    let wrong = |error: lexopt::Error| usage(error.to_string());
    let mut parser = Parser::from_iter(words);
    let (mut shared, mut status, mut patience) = (false, false, Patience::None);
    let (mut hold_at_least, mut kill_after, mut target) = (None, KILL_AFTER, None);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Arg::Long("shared") => shared = true,
            Arg::Long("status") => status = true,
            Arg::Long("wait") => patience = self::patience(&parser.value().map_err(wrong)?)?,
            Arg::Long("hold-at-least") => {
                hold_at_least = Some(seconds(&parser.value().map_err(wrong)?)?);
            }
            Arg::Long("kill-after") => {
                kill_after = self::kill_after(&parser.value().map_err(wrong)?)?;
            }
            Arg::Long("help") => return Ok(Request::Show(HELP)),
            Arg::Long("version") => return Ok(Request::Show(VERSION)),
            Arg::Value(word) if target.is_none() => target = Some(split(word)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let target = target.ok_or_else(|| usage("no TARGET given; see --help".to_owned()))?;
    let terms = Terms {
        shared,
        patience,
        hold_at_least,
        kill_after,
    };
    let task = if status {
        Task::Status
    } else {
        Task::Lock(terms)
    };
    Ok(Request::Ask(target, task))
}

fn usage(what: String) -> Failure {
    Failure::Usage(what)
}

fn patience(word: &OsStr) -> Result<Patience, Failure> {
    match word.to_str() {
        Some("inf") => Ok(Patience::Endless),
        _ => seconds(word).map(|time| match time {
            Duration::ZERO => Patience::None,
            time => Patience::For(time),
        }),
    }
}

fn kill_after(word: &OsStr) -> Result<Duration, Failure> {
    let time = seconds(word)?;
    match time <= LONGEST_KILL_AFTER {
        true => Ok(time),
        false => Err(usage("--kill-after: at most 9 hours".to_owned())),
    }
}

/// A number that is too large is no infinite one: only a word says that.
fn seconds(word: &OsStr) -> Result<Duration, Failure> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| {
            let word = word.to_string_lossy();
            usage(format!("not a number of seconds: '{word}'"))
        })
}

/// Splits a TARGET at its last `#`.
fn split(word: OsString) -> Result<Target, Failure> {
    let mut server = word.into_vec();
    let Some(mark) = server.iter().rposition(|&byte| byte == b'#') else {
        let what = "no lock name: TARGET must end with # and the name of the lock";
        return Err(usage(what.to_owned()));
    };
    let name = server.split_off(mark + 1);
    server.pop();
    if name.is_empty() {
        return Err(usage(
            "the name of the lock, after the #, is empty".to_owned(),
        ));
    }
    if std::str::from_utf8(&name).is_err() {
        return Err(usage("the name of the lock is not UTF-8".to_owned()));
    }
    // Words have no zero byte.
    match (CString::new(server), CString::new(name)) {
        (Ok(server), Ok(name)) => Ok(Target { server, name }),
        _ => Err(usage("TARGET has a zero byte".to_owned())),
    }
}
