//! The session on the server, and all that is asked there.
//!
//! Every function, operator, type and table is asked for in pg_catalog: others may be able to create
//! things in the database, in the schema `public` everybody up to PostgreSQL 14, and what fits better
//! or comes earlier in the role's search_path would be run in our session, with its rights. LIKE, IN,
//! BETWEEN, USING and IS DISTINCT FROM look operators up like that, too, and are not used. All
//! OPERATOR() have one precedence.
//!
//! No search_path is asked for when connecting: that is `options`, which a pooler refuses or drops and
//! which our user may have set.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::aside::Aside;
use crate::failure::Failure;
use crate::holder::{Holder, Holders};
use crate::request::{Patience, Target, Terms};
use crate::sys::{self, Connection, Trouble};

/// How long connecting and asking may take together, but for a wait that was asked for, in seconds.
const TIME: u32 = 15;

/// How long one host of several may take, in seconds, where nobody says otherwise.
const TIME_OF_A_HOST: (&CStr, &CStr) = (c"PGCONNECT_TIMEOUT", c"5");

/// What libpq is told, whatever TARGET says.
///
/// A connection that is cut without a word ends on this side after 4 + 2 * 5 = 14 s of silence, and
/// on the server's after 6 + 4 * 5 = 26 s ([`SETTINGS`]): the command hears of the loss before its
/// lock is given away.
///
/// Where there is TCP_USER_TIMEOUT, the kernel ends it at the first question after 13 s, which is the
/// same one, and does not count (tcp(7)): questions that this host's own full queue has dropped do
/// not count, and without it the command would not hear of the loss at all.
///
/// Where only the way from the server is cut, there is no time between the two: the kernel that gives
/// up says so to the server, which hears it, and then tells the command.
const PARAMETERS: [(&CStr, &CStr); 6] = [
    (c"client_encoding", c"UTF8"),
    (c"keepalives", c"1"),
    (c"keepalives_idle", c"4"),
    (c"keepalives_interval", c"2"),
    (c"keepalives_count", c"5"),
    (c"tcp_user_timeout", c"13000"),
];

/// What the server is told for this session, as far as it has heard of it. A role or a database may
/// have other values: neither the lock nor a wait is to end because it takes long, and a waiter that
/// was killed is not to stay in the queue.
const SETTINGS: &str = "
    ('idle_session_timeout', '0'),
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('tcp_keepalives_idle', '6'),
    ('tcp_keepalives_interval', '4'),
    ('tcp_keepalives_count', '5'),
    ('tcp_user_timeout',
        CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~~) '%linux%' THEN '25s' ELSE '0' END),
    ('client_connection_check_interval',
        CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~~) '%linux%' THEN '1s' END)";

/// The number that a lock of this name has.
const KEY: &str = "pg_catalog.hashtextextended(
    'nonoverlap:' OPERATOR(pg_catalog.||) $1::pg_catalog.text, 0::pg_catalog.int8)";

/// The rows of pg_locks that are of this lock. A lock of one number has its halves in classid and
/// objid, and 1 in objsubid.
const ROWS: &str = "pg_locks.locktype OPERATOR(pg_catalog.=) 'advisory'
    AND pg_locks.objsubid OPERATOR(pg_catalog.=) 1
    AND pg_locks.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND ((pg_locks.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
        OPERATOR(pg_catalog.|) pg_locks.objid::pg_catalog.int8)";

/// Lock not available: the wait timed out (PostgreSQL's Appendix A).
const TIMED_OUT: &str = "55P03";

/// Query cancelled (the same).
const CANCELLED: &str = "57014";

/// Why a standby is of no use.
const STANDBY: &str = "it is a standby, whose locks no other server knows of";

/// In place of taking the lock. A server looks whether its client is still there
/// (client_connection_check_interval), and lets a statement take its time, only in statements that
/// begin after the setting. So a wait is a statement of its own.
const NOT_YET: &str = "false";

/// How long a server may take to see the end of a connection whose process has ended. It took 0.2 ms as
/// a rule, and 31 ms at worst on a machine with more to do than it can.
const A_MOMENT: Duration = Duration::from_millis(250);

/// What an attempt comes to.
pub enum Answer {
    /// The lock is ours.
    Locked,
    /// Somebody else has it: who, if that can be told.
    Held(Option<Holders>),
}

/// A session on the server that TARGET names.
pub struct Session {
    connection: Connection,
    name: CString,
}

impl Session {
    /// Connects, under this name.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] where libpq cannot read TARGET, [`Failure::Unavailable`] where it cannot
    /// connect.
    pub fn connect(target: &Target, application: &str) -> Result<Session, Failure> {
        sys::end_after(TIME);
        check(&target.server)?;
        sys::set_default(TIME_OF_A_HOST.0, TIME_OF_A_HOST.1);
        let application = CString::new(application).unwrap_or_default();
        let mut parameters = vec![(c"dbname", target.server.as_c_str())];
        parameters.extend(PARAMETERS);
        parameters.push((c"application_name", &application));
        let aside = Aside::begin();
        let connected = Connection::new(&parameters);
        let said = aside.map(Aside::end).unwrap_or_default();
        let connection = connected.map_err(|words| no_connection(&words, &said))?;
        Ok(Session {
            connection,
            name: target.name.clone(),
        })
    }

    /// Takes the lock, or finds it taken. Ends early where `caller` hangs up, since nobody would
    /// have the lock then.
    ///
    /// One statement looks and takes: between two, a pooler could give us another session, with the
    /// lock or the settings left in the first.
    ///
    /// # Errors
    ///
    /// [`Failure::Unsuitable`] where the server cannot hold the lock, [`Failure::Unavailable`] for
    /// any other trouble.
    pub fn lock(&mut self, terms: &Terms, caller: BorrowedFd<'_>) -> Result<Answer, Failure> {
        let kind = if terms.shared { "_shared" } else { "" };
        // It gives nothing, which is not null.
        let wait = format!("pg_catalog.pg_advisory_lock{kind}({KEY}) IS NOT NULL");
        let is_ours = match terms.patience {
            Patience::None => {
                let take = format!("pg_catalog.pg_try_advisory_lock{kind}({KEY})");
                if self.attempt(&take, terms.patience, caller)? {
                    true
                } else {
                    // Who holds it is news; whether that can be told changes nothing.
                    let holders = self.holders().ok();
                    if !holders.as_ref().is_some_and(Holders::have_ended) {
                        return Ok(Answer::Held(holders));
                    }
                    self.attempt(&wait, Patience::For(A_MOMENT), caller)?
                }
            }
            patience => {
                self.attempt(NOT_YET, patience, caller)?;
                sys::end_after(latest_end(patience));
                let is_ours = self.attempt(&wait, patience, caller)?;
                sys::end_after(TIME);
                is_ours
            }
        };
        if is_ours {
            self.confirm().map(|()| Answer::Locked)
        } else {
            Ok(Answer::Held(self.holders().ok()))
        }
    }

    /// The statement that looks, and takes by this expression. Tells whether the lock is ours.
    fn attempt(
        &mut self,
        take: &str,
        patience: Patience,
        caller: BorrowedFd<'_>,
    ) -> Result<bool, Failure> {
        let statement = format!(
            "SELECT CASE
                WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) $2::pg_catalog.int4
                    THEN 'pooler'
                WHEN pg_catalog.pg_is_in_recovery() THEN 'standby'
                WHEN (SELECT pg_catalog.count(pg_catalog.set_config(name, value, false))
                      FROM (VALUES ('lock_timeout', $3::pg_catalog.text), {SETTINGS})
                          AS settings (name, value)
                      WHERE value IS NOT NULL
                          AND pg_catalog.current_setting(name, true) IS NOT NULL)
                    OPERATOR(pg_catalog.=) 0
                    THEN 'settings'
                WHEN {take} THEN 'locked'
                ELSE 'held'
            END, $1::pg_catalog.text"
        );
        let process = number(self.connection.server_process());
        let timeout = number(milliseconds(patience));
        let parameters = [self.name.as_c_str(), &process, &timeout];
        let answer = match self.connection.ask(&statement, &parameters, Some(caller)) {
            Err(Trouble::Refused { state, .. }) if state == TIMED_OUT => return Ok(false),
            Err(Trouble::Refused { state, said }) if state == CANCELLED => {
                let why = format!("the server has ended the wait: {said}");
                return Err(Failure::Unavailable(why));
            }
            answer => one(answer.map_err(failure)?),
        };
        match &answer[..] {
            "locked" => Ok(true),
            "held" => Ok(false),
            "standby" => unsuitable(STANDBY),
            "pooler" => unsuitable(
                "there is a pooler in between, which gives one session to several clients: connect \
                 to the server itself",
            ),
            _ => unsuitable("it did not say whether the lock was taken"),
        }
    }

    /// Looks whether the server has the lock: one that only speaks PostgreSQL's language may have
    /// said yes and locked nothing.
    fn confirm(&mut self) -> Result<(), Failure> {
        let statement = format!(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
            WHERE {ROWS} OPERATOR(pg_catalog.=) {KEY}
                AND granted AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
        );
        let rows = self.connection.ask(&statement, &[&self.name], None);
        match &one(rows.map_err(failure)?)[..] {
            "1" => Ok(()),
            _ => unsuitable("it said that the lock was taken, and does not have it"),
        }
    }

    /// Those who have the lock, and how many wait for it.
    ///
    /// # Errors
    ///
    /// As for [`Session::lock`].
    pub fn holders(&mut self) -> Result<Holders, Failure> {
        let statement = format!(
            "SELECT granted, pg_locks.pid, application_name,
                pg_catalog.to_char(query_start, 'YYYY-MM-DD HH24:MI:SSOF'),
                pg_catalog.pg_is_in_recovery()
            FROM (SELECT) AS always
                LEFT JOIN pg_catalog.pg_locks ON {ROWS} OPERATOR(pg_catalog.=) {KEY}
                LEFT JOIN pg_catalog.pg_stat_activity
                    ON pg_stat_activity.pid OPERATOR(pg_catalog.=) pg_locks.pid
            ORDER BY query_start"
        );
        let rows = self
            .connection
            .ask(&statement, &[&self.name], None)
            .map_err(failure)?;
        let mut holders = Holders::default();
        for row in rows {
            let Ok([granted, process, application, since, in_recovery]) =
                <[Option<String>; 5]>::try_from(row)
            else {
                continue;
            };
            if in_recovery.as_deref() != Some("f") {
                return unsuitable(STANDBY);
            }
            match granted.as_deref() {
                Some("t") => holders.add(Holder::new(process, application, since)),
                Some(_) => holders.add_waiter(),
                None => {}
            }
        }
        Ok(holders)
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

/// Looks whether libpq can read the connection string, so that a wrong one is no matter of the server.
///
/// What it cannot read may be a password, or part of one, and is shown nowhere. A raw `@` in a
/// password would make the rest of it a host, whose name libpq shows.
fn check(server: &CStr) -> Result<(), Failure> {
    let text = server.to_string_lossy();
    let place = text.split_once("//").map_or("", |(_, rest)| rest);
    let place = place.split('?').next().unwrap_or_default();
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if authority.matches('@').count() > 1 || path.contains('@') {
        let why = "in a user, a password and a database, write %40 for @ and %2F for /";
        return Err(Failure::Usage(why.to_owned()));
    }
    sys::check(server).map_err(|words| match words.split_once(": \"") {
        Some((what, _)) if what != UNKNOWN_PARAMETER => Failure::Usage(what.to_owned()),
        _ => Failure::Usage(words),
    })
}

/// What libpq says of a parameter that it does not know, which is no secret.
const UNKNOWN_PARAMETER: &str = "invalid URI query parameter";

/// Why there is no connection, and what was said besides. A value that libpq does not take is found
/// only when it connects; it speaks English to a program that does not call setlocale(3).
///
/// What it took for the number of a port may be a password, where TARGET has no name of a lock and the
/// password a `#`.
fn no_connection(words: &str, said: &str) -> Failure {
    let words = match words
        .strip_prefix(NO_NUMBER)
        .and_then(|rest| rest.split_once('"'))
    {
        Some((_, of_what)) => format!("{NO_NUMBER}...\"{of_what}"),
        None => words.to_owned(),
    };
    let all = format!("{words}\n{said}");
    match words.starts_with("invalid ") || words.starts_with("could not match ") {
        true => Failure::Usage(all),
        false => Failure::Unavailable(all),
    }
}

/// What libpq says of a number that is none, in front of it.
const NO_NUMBER: &str = "invalid integer value \"";

/// No end, to alarm(2).
const NEVER: u32 = 0;

/// When a wait has ended, in seconds from now.
fn latest_end(patience: Patience) -> u32 {
    match patience {
        Patience::None => TIME,
        Patience::For(time) => TIME.saturating_add(whole_seconds(time)),
        Patience::Endless => NEVER,
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// lock_timeout for a wait, in milliseconds: 0 is no end, and stands for more than the 24 days that it
/// takes.
fn milliseconds(patience: Patience) -> i32 {
    match patience {
        Patience::None | Patience::Endless => 0,
        Patience::For(time) => i32::try_from(time.as_millis()).map_or(0, |time| time.max(1)),
    }
}

fn number(number: i32) -> CString {
    CString::new(number.to_string()).unwrap_or_default()
}

/// The first field of the first row.
fn one(rows: Vec<Vec<Option<String>>>) -> String {
    let first = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next());
    first.flatten().unwrap_or_default()
}

fn failure(trouble: Trouble) -> Failure {
    match trouble {
        // Something that PostgreSQL has is not there, or not supported (Appendix A, classes 42, 0A).
        Trouble::Refused { state, said } if state.starts_with("42") || state.starts_with("0A") => {
            Failure::Unsuitable(format!("the server cannot hold such a lock: {said}"))
        }
        Trouble::Refused { said, .. } | Trouble::Broken(said) => Failure::Unavailable(said),
        Trouble::HungUp => Failure::Unavailable("nobody waits for the lock any more".to_owned()),
    }
}

fn unsuitable<T>(why: &str) -> Result<T, Failure> {
    Err(Failure::Unsuitable(format!(
        "the server cannot hold such a lock: {why}"
    )))
}
