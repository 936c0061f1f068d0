//! libpq (PostgreSQL's manual, chapter "libpq"), as far as it is wanted here.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::BorrowedFd;
use std::ptr;

use pq_sys::{ConnStatusType, ExecStatusType, PGconn, PGresult, PQconninfoOption};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::process::LATE;
use crate::failure::reason;

/// Why there is no answer.
pub enum Trouble {
    /// The server says no: its SQLSTATE, and its words.
    Refused {
        /// Five letters and digits (PostgreSQL's manual, Appendix A).
        state: String,
        /// The words.
        said: String,
    },
    /// The connection has failed.
    Broken(String),
    /// The one who wanted to know has hung up.
    HungUp,
}

/// How long a server may be silent that is to answer. After that it may be frozen, and a new connection
/// may be answered.
const SILENCE: Timespec = Timespec {
    tv_sec: 15,
    tv_nsec: 0,
};

/// Fields, each a text or null.
pub type Row = Vec<Option<String>>;

/// Looks whether libpq can read a connection string, and gives the passwords and keys in it.
///
/// # Errors
///
/// Its words.
pub fn secrets(server: &CStr) -> Result<Vec<String>, String> {
    let mut said: *mut c_char = ptr::null_mut();
    // SAFETY: a C string, and a place for a pointer to another.
    let options = unsafe { pq_sys::PQconninfoParse(server.as_ptr(), &mut said) };
    if !options.is_null() {
        let secrets = secrets_of(options);
        // SAFETY: what libpq has just given for us to free.
        unsafe { pq_sys::PQconninfoFree(options) };
        return Ok(secrets);
    }
    let words = text(said).unwrap_or("out of memory".to_owned());
    // SAFETY: null, or what libpq has just given for us to free.
    unsafe { pq_sys::PQfreemem(said.cast()) };
    Err(words)
}

/// What libpq says is to be hidden where it is shown (`*` and `D`), and all that is called a secret.
fn secrets_of(mut option: *const PQconninfoOption) -> Vec<String> {
    let mut secrets = Vec::new();
    loop {
        // SAFETY: one of an array of options, or the one at its end, which has no keyword.
        let this = unsafe { &*option };
        let Some(keyword) = text(this.keyword) else {
            return secrets;
        };
        let is_shown = text(this.dispchar).is_some_and(|how| how.is_empty());
        if !is_shown || keyword.contains("secret") {
            secrets.extend(text(this.val).filter(|value| !value.is_empty()));
        }
        // SAFETY: this was not the one at the end.
        option = unsafe { option.add(1) };
    }
}

/// A connection that is open. It is not finished when it is dropped: the session is to live on in
/// whoever got its descriptor.
pub struct Connection(*mut PGconn);

impl Connection {
    /// Connects. The value of `dbname` may be a whole connection string, and what comes after it
    /// overrides what it says.
    ///
    /// # Errors
    ///
    /// libpq's words.
    pub fn new(parameters: &[(&CStr, &CStr)]) -> Result<Connection, String> {
        let ends = |pointers: Vec<*const c_char>| [&pointers[..], &[ptr::null()]].concat();
        let keywords = ends(
            parameters
                .iter()
                .map(|(keyword, _)| keyword.as_ptr())
                .collect(),
        );
        let values = ends(parameters.iter().map(|(_, value)| value.as_ptr()).collect());
        const EXPAND: c_int = 1;
        // SAFETY: two lists of C strings of one length, each with a null pointer at its end.
        let connection =
            unsafe { pq_sys::PQconnectdbParams(keywords.as_ptr(), values.as_ptr(), EXPAND) };
        if connection.is_null() {
            return Err("out of memory".to_owned());
        }
        let connection = Connection(connection);
        // SAFETY: a connection that libpq has given and nobody has finished.
        match unsafe { pq_sys::PQstatus(connection.0) } {
            ConnStatusType::CONNECTION_OK => {
                connection.hear_no_notices();
                Ok(connection)
            }
            _ => {
                let words = connection.words();
                connection.finish();
                Err(words)
            }
        }
    }

    /// Ends the session.
    pub fn finish(self) {
        // SAFETY: a connection that libpq has given and nobody has finished, nor can any more.
        unsafe { pq_sys::PQfinish(self.0) };
    }

    /// The process that serves us, as the server said when we connected.
    pub fn server_process(&self) -> i32 {
        // SAFETY: a connection that libpq has given and nobody has finished.
        unsafe { pq_sys::PQbackendPID(self.0) }
    }

    /// Which server this is: the host that was reached, its port, and the database.
    pub fn place(&self) -> String {
        // SAFETY: a connection that libpq has given and nobody has finished.
        let host = unsafe { pq_sys::PQhost(self.0) };
        // SAFETY: the same.
        let port = unsafe { pq_sys::PQport(self.0) };
        // SAFETY: the same.
        let database = unsafe { pq_sys::PQdb(self.0) };
        let [host, port, database] =
            [host, port, database].map(|word| text(word).unwrap_or_default());
        format!("{host}, port {port}, database {database}")
    }

    /// The user's name under which this has connected.
    pub fn user(&self) -> String {
        // SAFETY: a connection that libpq has given and nobody has finished.
        text(unsafe { pq_sys::PQuser(self.0) }).unwrap_or_default()
    }

    /// The socket, if there is a connection.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: a connection that libpq has given and nobody has finished.
        let socket = unsafe { pq_sys::PQsocket(self.0) };
        // SAFETY: it is not negative, and open as long as libpq is not asked for anything: the
        // borrow is of us, and asking takes all of us.
        (socket >= 0).then(|| unsafe { BorrowedFd::borrow_raw(socket) })
    }

    /// Asks one statement with parameters. Where `caller` hangs up meanwhile, the answer is not waited
    /// for: no statement of ours takes long where the server lives, and the end of the session undoes it.
    ///
    /// # Errors
    ///
    /// [`Trouble`].
    pub fn ask(
        &mut self,
        statement: &str,
        parameters: &[&CStr],
        caller: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<Row>, Trouble> {
        let statement = CString::new(statement).unwrap_or_default();
        let values: Vec<_> = parameters.iter().map(|value| value.as_ptr()).collect();
        let count = c_int::try_from(values.len()).unwrap_or(0);
        const AS_TEXT: c_int = 0;
        // SAFETY: the connection is open; the statement is a C string; there are `count` pointers to
        // C strings; the null pointers mean types by inference, and texts.
        let sent = unsafe {
            pq_sys::PQsendQueryParams(
                self.0,
                statement.as_ptr(),
                count,
                ptr::null(),
                values.as_ptr(),
                ptr::null(),
                ptr::null(),
                AS_TEXT,
            )
        };
        if sent == 0 {
            return Err(Trouble::Broken(self.words()));
        }
        self.wait(caller)?;
        let mut first = None;
        loop {
            // SAFETY: a connection that libpq has given and nobody has finished.
            let answer = Answer(unsafe { pq_sys::PQgetResult(self.0) });
            if answer.0.is_null() {
                break;
            }
            let rows = answer.rows(self);
            first.get_or_insert(rows);
        }
        first.unwrap_or_else(|| Err(Trouble::Broken(self.words())))
    }

    /// Waits for the answer.
    fn wait(&mut self, caller: Option<BorrowedFd<'_>>) -> Result<(), Trouble> {
        loop {
            // SAFETY: a connection that libpq has given and nobody has finished.
            if unsafe { pq_sys::PQconsumeInput(self.0) } == 0 {
                return Err(Trouble::Broken(self.words()));
            }
            // SAFETY: the same.
            if unsafe { pq_sys::PQisBusy(self.0) } == 0 {
                return Ok(());
            }
            let Some(socket) = self.socket() else {
                return Err(Trouble::Broken(self.words()));
            };
            // Of the caller only a hang-up is news, which is always told (poll(2)).
            let mut awaited = vec![PollFd::from_borrowed_fd(socket, PollFlags::IN)];
            awaited
                .extend(caller.map(|caller| PollFd::from_borrowed_fd(caller, PollFlags::empty())));
            let polled = retry_on_intr(|| poll(&mut awaited, Some(&SILENCE)));
            let polled = polled
                .map_err(|error| Trouble::Broken(format!("cannot wait: {}", reason(error))))?;
            if polled == 0 {
                return Err(Trouble::Broken(LATE.to_owned()));
            }
            if awaited
                .get(1)
                .is_some_and(|caller| !caller.revents().is_empty())
            {
                return Err(Trouble::HungUp);
            }
        }
    }

    /// Has notices and warnings of the server's dropped: stderr is for what becomes of the lock.
    fn hear_no_notices(&self) {
        unsafe extern "C" fn drop_it(_: *mut std::ffi::c_void, _: *const c_char) {}
        // SAFETY: a function of the type that is wanted, which touches nothing.
        unsafe { pq_sys::PQsetNoticeProcessor(self.0, Some(drop_it), ptr::null_mut()) };
    }

    /// What libpq says is wrong.
    fn words(&self) -> String {
        // SAFETY: a connection that libpq has given and nobody has finished.
        let words = text(unsafe { pq_sys::PQerrorMessage(self.0) }).unwrap_or_default();
        match words.trim() {
            "" => "the connection is lost".to_owned(),
            words => words.to_owned(),
        }
    }
}

/// What came back, freed on drop.
struct Answer(*mut PGresult);

impl Answer {
    fn rows(&self, connection: &Connection) -> Result<Vec<Row>, Trouble> {
        // SAFETY: a result that libpq has given and nobody has cleared.
        match unsafe { pq_sys::PQresultStatus(self.0) } {
            ExecStatusType::PGRES_TUPLES_OK => {}
            _ => return Err(self.trouble(connection)),
        }
        // SAFETY: the same.
        let rows = unsafe { pq_sys::PQntuples(self.0) };
        // SAFETY: the same.
        let fields = unsafe { pq_sys::PQnfields(self.0) };
        let row = |row| (0..fields).map(|field| self.field(row, field)).collect();
        Ok((0..rows).map(row).collect())
    }

    fn field(&self, row: c_int, field: c_int) -> Option<String> {
        // SAFETY: a result that libpq has given, and a row and a field that it has.
        if unsafe { pq_sys::PQgetisnull(self.0, row, field) } != 0 {
            return None;
        }
        // SAFETY: the same.
        text(unsafe { pq_sys::PQgetvalue(self.0, row, field) })
    }

    fn trouble(&self, connection: &Connection) -> Trouble {
        // SAFETY: a result that libpq has given and nobody has cleared.
        let state = unsafe { pq_sys::PQresultErrorField(self.0, SQLSTATE) };
        // SAFETY: the same.
        let said = unsafe { pq_sys::PQresultErrorField(self.0, WORDS) };
        match (text(state), text(said)) {
            (Some(state), Some(said)) => Trouble::Refused { state, said },
            _ => Trouble::Broken(connection.words()),
        }
    }
}

/// Which part of an error is asked for (PG_DIAG_SQLSTATE, postgres_ext.h).
const SQLSTATE: c_int = b'C' as c_int;

/// The same (PG_DIAG_MESSAGE_PRIMARY): one line that says it. The others show a statement that our
/// user has not written.
const WORDS: c_int = b'M' as c_int;

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: null, or a result that libpq has given and that nobody looks at any more.
        unsafe { pq_sys::PQclear(self.0) };
    }
}

/// A C string of libpq's, copied.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, so a C string, which lives as long as what libpq gave it for.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_string_lossy().into_owned())
}
