//! The session on the server: the lock, and who has it.

use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::age::Age;
use crate::aside::Aside;
use crate::cut::{PARAMETERS, grace, server_timers};
use crate::failure::Failure;
use crate::holder::Holders;
use crate::look::{Look, field, read, why_not};
use crate::pass::hangs_up_within;
use crate::request::{Patience, Target, Terms};
use crate::statements;
use crate::sys::{self, Connection, Row, Trouble};
use crate::words::{no_answer, no_connection, unsuitable};

/// How long one host of several may take, in seconds, where nobody says otherwise.
const TIME_OF_A_HOST: (&CStr, &CStr) = (c"PGCONNECT_TIMEOUT", c"5");

/// How long a server may take to see the end of a connection whose process has ended. It took 0.2 ms as
/// a rule, and 31 ms at worst on a machine with more to do than it can.
const A_MOMENT: Duration = Duration::from_millis(250);

/// How often somebody who waits asks.
pub const A_TURN: Duration = Duration::from_secs(1);

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
    /// [`Failure::Usage`] where libpq does not take something of TARGET; [`Failure::Away`],
    /// [`Failure::Refused`] and [`Failure::Unavailable`] where it cannot connect.
    pub fn connect(target: &Target, application: &str) -> Result<Session, Failure> {
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

    /// Takes the lock, or finds it taken, waiting to this end if the terms say so. Ends early where
    /// `caller` hangs up, since nobody would have the lock then.
    ///
    /// # Errors
    ///
    /// [`Failure::Unsuitable`] where the server cannot hold the lock, [`Failure::Usage`] where it cannot
    /// have such a name, [`Failure::Away`] where the connection has ended, [`Failure::Unavailable`] for
    /// any other trouble.
    pub fn lock(
        &mut self,
        terms: &Terms,
        end: Option<Instant>,
        caller: BorrowedFd<'_>,
    ) -> Result<Answer, Failure> {
        let attempt = match (self.attempt(terms, caller)?, terms.patience) {
            (Attempt::Locked, _) => Attempt::Locked,
            (Attempt::Held, Patience::None) => {
                // Who holds it is news; whether that can be told changes nothing.
                let holders = self.holders();
                if !holders.as_ref().is_some_and(Holders::have_ended) {
                    return Ok(Answer::Held(holders));
                }
                let deadline = Instant::now().checked_add(A_MOMENT);
                self.attempts(terms, caller, A_MOMENT / 10, deadline)?
            }
            (refused, Patience::None) => refused,
            (_, Patience::For(_) | Patience::Endless) => {
                self.attempts(terms, caller, A_TURN, end)?
            }
        };
        match attempt {
            Attempt::Locked => self.confirm().map(Answer::Locked),
            Attempt::Held => Ok(Answer::Held(self.holders())),
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
        let row = first(self.ask_for_lock(&statement, terms.kill_after, Some(caller))?);
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

    /// Asks what takes the lock, or has the server get ready for that.
    fn ask_for_lock(
        &mut self,
        statement: &str,
        kill_after: Duration,
        caller: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<Row>, Failure> {
        let process = text(self.connection.server_process());
        let (idle, user_timeout) = server_timers(kill_after);
        let (idle, user_timeout) = (text(idle), text(user_timeout));
        // It is at least as old as our connection, whatever its clock says.
        let grace = grace(kill_after);
        let is_over = self.start.elapsed() >= grace;
        let grace = text(if is_over {
            f64::NEG_INFINITY
        } else {
            grace.as_secs_f64()
        });
        let parameters = [&*self.name, &process, &idle, &user_timeout, &grace];
        let asked = self.connection.ask(statement, &parameters, caller);
        asked.map_err(no_answer)
    }

    /// Looks whether the server would do all that a run asks of it, without a lock.
    ///
    /// # Errors
    ///
    /// As for [`Session::lock`].
    fn rehearse(&mut self) -> Result<(), Failure> {
        let attempt = statements::rehearsal(&statements::attempt(false));
        self.ask_for_lock(&attempt, Duration::ZERO, None)?;
        let confirm = statements::rehearsal(&statements::confirm());
        let asked = self.connection.ask(&confirm, &[&self.name], None);
        asked.map(drop).map_err(no_answer)
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

    /// Looks what the server is, whether it can hold the lock, and who has it.
    pub fn look(&mut self) -> Look {
        let connected = self.connection.place();
        match self.rows() {
            Ok(rows) => {
                let row = rows.first().cloned().unwrap_or_default();
                let version = field(&row, 2).split(' ').next().unwrap_or_default();
                let role = field(&row, 3);
                Look {
                    lock: read(&rows).and_then(|lock| self.rehearse().map(|()| lock)),
                    place: format!("PostgreSQL {version} at {connected}, as role {role}"),
                }
            }
            Err(why) => Look {
                lock: Err(why),
                place: format!(
                    "PostgreSQL at {connected}, as role {}",
                    self.connection.user()
                ),
            },
        }
    }

    /// Who has the lock, where that can be told.
    fn holders(&mut self) -> Option<Holders> {
        let rows = self.rows().ok()?;
        read(&rows).ok().map(|(holders, _)| holders)
    }

    /// What [`statements::look`] gives.
    fn rows(&mut self) -> Result<Vec<Row>, Failure> {
        let process = text(self.connection.server_process());
        let parameters = [&*self.name, &process];
        let asked = match self
            .connection
            .ask(&statements::look(true), &parameters, None)
        {
            // A run needs no names, either.
            Err(Trouble::Refused { .. }) => {
                let without = statements::look(false);
                self.connection.ask(&without, &parameters, None)
            }
            asked => asked,
        };
        asked.map_err(no_answer)
    }

    /// Ends it, and with it the lock.
    pub fn finish(self) {
        self.connection.finish();
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
