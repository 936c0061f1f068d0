//! Who holds the lock, as pg_stat_activity shows it: the name under which a session connects says
//! which host, which process, and which command.

use std::env;
use std::fmt::{self, Display};

use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};
use rustix::system::uname;

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
    /// Since when, if that may be seen.
    since: Option<String>,
}

impl Holder {
    /// As pg_locks and pg_stat_activity have it.
    pub fn new(
        process: Option<String>,
        application: Option<String>,
        since: Option<String>,
    ) -> Holder {
        Holder {
            process: process.unwrap_or_default(),
            application: application.unwrap_or_default(),
            since,
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
                if let Some(since) = &self.since {
                    write!(out, ", since {since}")?;
                }
                match command.unwrap_or_default() {
                    "" => Ok(()),
                    command => write!(out, ": {command}"),
                }
            }
            // Somebody else's program, or a psql. When it last asked something is not when it took
            // the lock.
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
pub struct Holders {
    holders: Vec<Holder>,
    waiters: usize,
}

impl Holders {
    /// One more.
    pub fn add(&mut self, holder: Holder) {
        self.holders.push(holder);
    }

    /// One more that waits.
    pub fn add_waiter(&mut self) {
        self.waiters += 1;
    }

    /// Whether nobody has it.
    pub fn is_free(&self) -> bool {
        self.holders.is_empty()
    }

    /// Whether the lock is or will be free in a moment.
    pub fn have_ended(&self) -> bool {
        self.holders.iter().all(Holder::has_ended)
    }

    /// For somebody who was refused: the holder may have ended since.
    pub fn of_refusal(&self) -> String {
        match self.is_free() {
            false => self.to_string(),
            true => "held until a moment ago".to_owned(),
        }
    }
}

impl Display for Holders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holders.is_empty() {
            return out.write_str("free");
        }
        for (index, holder) in self.holders.iter().enumerate() {
            out.write_str(if index == 0 { "held by " } else { "; and by " })?;
            write!(out, "{holder}")?;
        }
        match self.waiters {
            0 => Ok(()),
            1 => out.write_str("; 1 waits"),
            count => write!(out, "; {count} wait"),
        }
    }
}
