//! Who holds the lock, as pg_stat_activity shows it: the name under which a session connects says
//! which host, which process, and which command.

use std::env;
use std::fmt::{self, Display};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};
use rustix::system::uname;

use crate::age::Elapsed;

/// What the name of a session begins with.
const TOOL: &str = "nonoverlap";

/// How many bytes of a session's name the server keeps. Of a longer one it would say, each time, that
/// it has cut it.
const LONGEST: usize = 63;

/// The longest host that is shown whole.
const LONGEST_HOST: usize = 32;

/// The name of our session: `nonoverlap HOST PID COMMAND`, in ASCII, as the server keeps it. The
/// process is the one that started us, since it becomes the command.
pub fn ourselves() -> String {
    let process = getppid().map_or(0, |process| process.as_raw_nonzero().get());
    let command = env::var_os("NONOVERLAP_COMMAND").unwrap_or_default();
    let command = command.to_string_lossy();
    let name = format!("{TOOL} {} {process} {command}", host());
    name.chars().map(as_kept).take(LONGEST).collect()
}

fn as_kept(letter: char) -> char {
    match letter {
        ' '..='~' => letter,
        _ => '?',
    }
}

/// What this host calls itself, in one word.
fn host() -> String {
    let system = uname();
    let host = system.nodename().to_string_lossy();
    let host: String = host.split_whitespace().collect();
    host.chars().map(as_kept).take(LONGEST_HOST).collect()
}

/// A session that has the lock.
pub struct Holder {
    /// Its process on the server.
    process: String,
    /// The name of the session; empty where it may not be seen.
    application: String,
    /// For how long, if that may be seen.
    time: Option<Duration>,
}

impl Holder {
    /// As pg_locks and pg_stat_activity have it: its process, its session's name, and how many seconds
    /// ago the session last asked something.
    ///
    /// Of a session of ours, that is when it got the lock. Somebody else's may have asked later.
    pub fn new(process: &str, application: &str, seconds: &str) -> Holder {
        let is_ours = application.split(' ').next() == Some(TOOL);
        // A clock that was set back gives less than nothing.
        let seconds = seconds.parse().ok().map(|seconds: f64| seconds.max(0.0));
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let in_a_line = |letter: char| if letter.is_control() { '?' } else { letter };
        Holder {
            process: process.to_owned(),
            application: application.chars().map(in_a_line).collect(),
            time: time.filter(|_| is_ours),
        }
    }

    /// Whether its process was of this host and has ended, so that the server is about to see the end
    /// of the connection, if nobody has inherited it.
    fn has_ended(&self) -> bool {
        let mut words = self.application.splitn(4, ' ');
        let is_ours = words.next() == Some(TOOL) && words.next() == Some(&host());
        let process = words.next().and_then(|word| word.parse().ok());
        match process.and_then(Pid::from_raw) {
            Some(process) if is_ours => test_kill_process(process) == Err(Errno::SRCH),
            _ => false,
        }
    }
}

impl Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.application.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(TOOL), Some(host), Some(process), command) => {
                write!(out, "{host}, PID {process}")?;
                match command.unwrap_or_default() {
                    "" => Ok(()),
                    command => write!(out, " ({command})"),
                }
            }
            // Somebody else's program, or a psql.
            _ => write!(
                out,
                "'{}', server process {}",
                self.application, self.process
            ),
        }
    }
}

/// Those who have the lock.
#[derive(Default)]
pub struct Holders(Vec<Holder>);

impl Holders {
    /// One more.
    pub fn add(&mut self, holder: Holder) {
        self.0.push(holder);
    }

    /// Whether nobody has it.
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the lock is or will be free in a moment.
    pub fn have_ended(&self) -> bool {
        self.0.iter().all(Holder::has_ended)
    }

    /// For how long the oldest has had it, as far as that may be seen: a line for nonoverlap.
    pub fn since(&self) -> Option<String> {
        let time = self.0.iter().filter_map(|holder| holder.time).max();
        time.map(|time| format!("since={}", time.as_secs_f64()))
    }

    /// For somebody who was refused: the holder may have ended since.
    pub fn of_refusal(&self) -> String {
        match self.is_free() {
            false => self.in_words(|holder| holder.to_string()),
            true => "held until a moment ago".to_owned(),
        }
    }

    /// For somebody who asks.
    pub fn of_status(&self) -> String {
        match self.is_free() {
            false => self.in_words(|holder| match holder.time {
                Some(time) => format!("{holder} for {}", Elapsed(time)),
                None => holder.to_string(),
            }),
            true => "free".to_owned(),
        }
    }

    /// A line for nonoverlap for each of them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|holder| format!("holder={holder}"))
    }

    fn in_words(&self, words: impl Fn(&Holder) -> String) -> String {
        let words: Vec<_> = self.0.iter().map(words).collect();
        format!("held by {}", words.join(" and by "))
    }
}
