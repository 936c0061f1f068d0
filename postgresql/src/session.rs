//! The session on the server: the lock, and who has it.

use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::age::Age;
use crate::aside::Aside;
use crate::cut::{PARAMETERS, grace, server_timers};
use crate::failure::Failure;
use crate::holder::{Holder, Holders};
use crate::pass::hangs_up_within;
use crate::request::{Patience, Target, Terms};
use crate::statements;
use crate::sys::{self, Connection, Row, Trouble};
use crate::words::{no_answer, no_connection, unsuitable};

/// How long connecting and asking may take together, and each further attempt, in seconds.
const TIME: u32 = 15;

/// How long one host of several may take, in seconds, where nobody says otherwise.
const TIME_OF_A_HOST: (&CStr, &CStr) = (c"PGCONNECT_TIMEOUT", c"5");

/// How long a server may take to see the end of a connection whose process has ended. It took 0.2 ms as
/// a rule, and 31 ms at worst on a machine with more to do than it can.
const A_MOMENT: Duration = Duration::from_millis(250);

/// How often somebody who waits asks.
const A_TURN: Duration = Duration::from_secs(1);

/// What becomes of the wish to have the lock.
pub enum Answer {
    /// The lock is ours, and this is its fence: timeline and transaction number.
    Locked(String),
    /// Somebody else has it: who, if that can be told.
    Held(Option<Holders>),
}

/// What one attempt comes to.
enum Attempt {
    Locked,
    Held,
    Young(Age),
}

/// What the server is, and who has the lock there.
pub struct Look {
    /// Those who have it.
    pub holders: Holders,
    /// How old the server is.
    pub age: Age,
    /// Which server it is, and as whom we are there.
    pub place: String,
}

/// A session on the server that TARGET names.
pub struct Session {
    connection: Connection,
    name: CString,
    /// When there was a connection.
    start: Instant,
}

impl Session {
    /// Connects, under this name.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] where libpq does not take something of TARGET, [`Failure::Unavailable`]
    /// where it cannot connect.
    pub fn connect(target: &Target, application: &str) -> Result<Session, Failure> {
        sys::end_after(TIME);
        sys::set_default(TIME_OF_A_HOST.0, TIME_OF_A_HOST.1);
        let application = text(application);
        let mut parameters = vec![(c"dbname", target.server.as_c_str())];
        parameters.push((c"client_encoding", c"UTF8"));
        parameters.extend(PARAMETERS);
        parameters.push((c"application_name", &application));
        let aside = Aside::begin();
        let connected = Connection::new(&parameters);
        let said = aside.map(Aside::end).unwrap_or_default();
        let connection = connected.map_err(|words| no_connection(&words, &said))?;
        Ok(Session {
            connection,
            name: target.name.clone(),
            start: Instant::now(),
        })
    }

    /// Takes the lock, or finds it taken. Ends early where `caller` hangs up, since nobody would
    /// have the lock then.
    ///
    /// # Errors
    ///
    /// [`Failure::Unsuitable`] where the server cannot hold the lock, [`Failure::Unavailable`] for
    /// any other trouble.
    pub fn lock(&mut self, terms: &Terms, caller: BorrowedFd<'_>) -> Result<Answer, Failure> {
        let start = Instant::now();
        let attempt = match (self.attempt(terms, caller)?, terms.patience) {
            (Attempt::Locked, _) => Attempt::Locked,
            (Attempt::Held, Patience::None) => {
                // Who holds it is news; whether that can be told changes nothing.
                let holders = self.look().ok().map(|look| look.holders);
                if !holders.as_ref().is_some_and(Holders::have_ended) {
                    return Ok(Answer::Held(holders));
                }
                let deadline = Instant::now().checked_add(A_MOMENT);
                self.attempts(terms, caller, A_MOMENT / 10, deadline)?
            }
            (refused, Patience::None) => refused,
            // An end that no clock can tell is none.
            (_, Patience::For(time)) => {
                self.attempts(terms, caller, A_TURN, start.checked_add(time))?
            }
            (_, Patience::Endless) => self.attempts(terms, caller, A_TURN, None)?,
        };
        match attempt {
            Attempt::Locked => self.confirm().map(Answer::Locked),
            Attempt::Held => Ok(Answer::Held(self.look().ok().map(|look| look.holders))),
            Attempt::Young(age) => {
                let why = age.why_no_lock(grace(terms.kill_after));
                Err(Failure::Unavailable(why))
            }
        }
    }

    /// Asks again and again, and once more at the deadline. In between nothing is open on the server:
    /// a session that waits inside a statement has a snapshot, for whose end VACUUM and `CREATE INDEX
    /// CONCURRENTLY` wait, and the latter may be the holder's job.
    ///
    /// Those who began to wait at one time, as by cron, do not all ask at one time.
    fn attempts(
        &mut self,
        terms: &Terms,
        caller: BorrowedFd<'_>,
        turn: Duration,
        deadline: Option<Instant>,
    ) -> Result<Attempt, Failure> {
        let mut pause = turn.mul_f64(part_of_one());
        loop {
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            let is_last = left.is_some_and(|left| left <= pause);
            sys::end_after(TIME);
            if hangs_up_within(caller, left.map_or(pause, |left| left.min(pause)))? {
                return Err(no_answer(Trouble::HungUp));
            }
            let attempt = self.attempt(terms, caller)?;
            if is_last || matches!(attempt, Attempt::Locked) {
                return Ok(attempt);
            }
            pause = turn;
        }
    }

    /// Looks, and takes the lock where that can be.
    fn attempt(&mut self, terms: &Terms, caller: BorrowedFd<'_>) -> Result<Attempt, Failure> {
        let statement = statements::attempt(terms.shared);
        let process = text(self.connection.server_process());
        let (idle, user_timeout) = server_timers(terms.kill_after);
        let (idle, user_timeout) = (text(idle), text(user_timeout));
        // It is at least as old as our connection, whatever its clock says.
        let grace = grace(terms.kill_after);
        let is_over = self.start.elapsed() >= grace;
        let grace = text(if is_over {
            f64::NEG_INFINITY
        } else {
            grace.as_secs_f64()
        });
        let parameters = [&*self.name, &process, &idle, &user_timeout, &grace];
        let asked = self.connection.ask(&statement, &parameters, Some(caller));
        let row = first(asked.map_err(no_answer)?);
        if let Some(why) = why_not(&row) {
            return Err(unsuitable(why));
        }
        match (field(&row, 0), Age::read(field(&row, 1))) {
            ("locked", _) => Ok(Attempt::Locked),
            ("held", _) => Ok(Attempt::Held),
            ("young", Some(age)) => Ok(Attempt::Young(age)),
            _ => Err(unsuitable("it did not say whether the lock was taken")),
        }
    }

    /// Looks whether the server has the lock, and gives the fence.
    fn confirm(&mut self) -> Result<String, Failure> {
        let asked = self
            .connection
            .ask(&statements::confirm(), &[&self.name], None);
        let row = first(asked.map_err(no_answer)?);
        if field(&row, 0) != "1" {
            let why = "it reported that the lock was taken, but does not have it";
            return Err(unsuitable(why));
        }
        fence(field(&row, 2), field(&row, 1))
            .ok_or_else(|| unsuitable("it does not report its timeline and transaction number"))
    }

    /// Looks what the server is, and who has the lock.
    ///
    /// # Errors
    ///
    /// As for [`Session::lock`].
    pub fn look(&mut self) -> Result<Look, Failure> {
        let process = text(self.connection.server_process());
        let parameters = [&*self.name, &process];
        let asked = self.connection.ask(&statements::look(), &parameters, None);
        let rows = asked.map_err(no_answer)?;
        let mut holders = Holders::default();
        for row in &rows {
            if let Some(process) = row.get(4).and_then(Option::as_ref) {
                holders.add(Holder::new(process, field(row, 5), field(row, 6)));
            }
        }
        let row = first(rows);
        if let Some(why) = why_not(&row) {
            return Err(unsuitable(why));
        }
        let Some(age) = Age::read(field(&row, 1)) else {
            return Err(unsuitable("it does not report when it started"));
        };
        let version = field(&row, 2).split(' ').next().unwrap_or_default();
        let (connected, role) = (self.connection.place(), field(&row, 3));
        let place = format!("PostgreSQL {version} at {connected}, as role {role}");
        Ok(Look {
            holders,
            age,
            place,
        })
    }

    /// The connection's descriptor.
    ///
    /// # Errors
    ///
    /// [`Failure::Unavailable`] where there is none any more.
    pub fn socket(&self) -> Result<BorrowedFd<'_>, Failure> {
        let socket = self.connection.socket();
        socket.ok_or_else(|| Failure::Unavailable("the connection is lost".to_owned()))
    }
}

/// Why the server cannot hold the lock, by the first word of its answer.
fn why_not(row: &Row) -> Option<&'static str> {
    match field(row, 0) {
        "standby" => Some("it is a standby, and no other server knows its locks"),
        "pooler" => Some(
            "there is a pooler in between, which gives one session to several clients: connect to \
             the server itself",
        ),
        "denied" => Some("permission denied for function pg_try_advisory_lock"),
        _ => None,
    }
}

/// The timeline in 10 digits, of the name of a file, and the transaction's number in 20: as text and
/// as a number it grows from holder to holder, and over a promotion.
fn fence(file: &str, number: &str) -> Option<String> {
    let timeline = u32::from_str_radix(file.get(..8)?, 16).ok()?;
    let number: u64 = number.parse().ok()?;
    Some(format!("{timeline:010}{number:020}"))
}

/// At least 0, less than 1, another one in every process.
fn part_of_one() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from((random >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

fn text(what: impl ToString) -> CString {
    CString::new(what.to_string()).unwrap_or_default()
}

fn first(rows: Vec<Row>) -> Row {
    rows.into_iter().next().unwrap_or_default()
}

/// What stands there; nothing for null.
fn field(row: &Row, index: usize) -> &str {
    row.get(index).and_then(Option::as_deref).unwrap_or("")
}
