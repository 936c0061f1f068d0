//! What is said of TARGET and of the server, without what is secret.

use crate::failure::Failure;
use crate::request::Target;
use crate::sys::{self, Trouble};

/// Looks whether libpq can read the connection string, so that a wrong one is no matter of the server.
/// Gives the passwords in it, which libpq or a server may repeat: no word of them is to be shown.
///
/// What it cannot read may be a password, or part of one, and is shown nowhere. A raw `@` in a
/// password would make the rest of it a host, whose name libpq shows, and a raw `#` what is in front of
/// it a port, where the word has no name of a lock.
///
/// # Errors
///
/// [`Failure::Usage`].
pub fn check(target: &Target) -> Result<Vec<String>, Failure> {
    let text = target.server.to_string_lossy();
    let place = text.split_once("//").map_or("", |(_, rest)| rest);
    let place = place.split('?').next().unwrap_or_default();
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if authority.matches('@').count() > 1 || path.contains('@') {
        let why = "in the user, the password and the database, write %40 for @ and %2F for /";
        return Err(Failure::Usage(why.to_owned()));
    }
    // That is what other programs take: no URI, whose `password=` would be a part of a host's name.
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = user.split(':').next().unwrap_or_default();
    if [user, hosts]
        .iter()
        .any(|it| it.contains(['=', ' ', '\t', '\n']))
    {
        let why = "after postgresql://, write USER:PASSWORD@HOST:PORT/DATABASE, with %3D for = and \
                   %20 for a blank, or parameters behind a ?";
        return Err(Failure::Usage(why.to_owned()));
    }
    let is_cut = place.contains(':') && !place.contains(['@', '/']);
    if is_cut && target.name.to_bytes().contains(&b'@') {
        let why = "in a password, write %23 for #; before a lock name that contains @, write /#";
        return Err(Failure::Usage(why.to_owned()));
    }
    sys::secrets(&target.server).map_err(|words| match words.split_once(": \"") {
        // Behind another parameter, it may be the rest of a password with a raw `&`.
        Some((what, _)) if what != UNKNOWN_PARAMETER || text.contains('&') => {
            Failure::Usage(what.to_owned())
        }
        _ => Failure::Usage(words),
    })
}

/// What libpq says of a parameter that it does not know, which is no secret; its value is not said.
const UNKNOWN_PARAMETER: &str = "invalid URI query parameter";

/// Why there is no connection, and what was said besides. A value that libpq does not take is found
/// only when it connects; it speaks English to a program that does not call setlocale(3).
pub fn no_connection(words: &str, said: &str) -> Failure {
    let words = &without_numbers(words);
    let all = format!("{words}\n{said}");
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    let is_refusal = |line: &str| {
        let is_of_the_server = line.contains(OF_SERVER);
        let passes = AWAY.iter().chain(&PASSES).any(|sign| line.contains(sign));
        is_of_the_server && !passes || line.contains(NO_PASSWORD)
    };
    if is_wrong_target(words) {
        Failure::Usage(all)
    } else if words.lines().any(is_refusal) {
        Failure::Refused(all)
    } else if has(&AWAY) {
        Failure::Away(all)
    } else if has(&PASSES) {
        Failure::Unavailable(all)
    } else {
        Failure::Refused(all)
    }
}

/// What libpq took for the number of a port may be a password, where TARGET has no name of a lock and the
/// password a `#`. It may have quotes in it.
fn without_numbers(words: &str) -> String {
    let shown = words.split_once(NO_NUMBER).and_then(|(before, rest)| {
        let (_, option) = rest.rsplit_once(OF_OPTION)?;
        Some(format!("{before}{NO_NUMBER}...{OF_OPTION}{option}"))
    });
    shown.unwrap_or_else(|| words.to_owned())
}

/// Whether libpq does not take what TARGET says, be it by a variable or a service. It says so of the
/// whole before it connects, and of one of several hosts behind what became of those before, in its
/// last line. What a server says has a FATAL in front of it.
fn is_wrong_target(words: &str) -> bool {
    let last = words.lines().last().unwrap_or_default();
    let of_host = last
        .strip_prefix("connection to server ")
        .and_then(|rest| rest.split_once(" failed: "))
        .map_or(last, |(_, what)| what);
    WRONG.iter().any(|sign| words.starts_with(sign))
        || !words.contains(OF_SERVER) && WRONG_HOST.iter().any(|sign| of_host.starts_with(sign))
}

/// What libpq says of a connection string that it does not take, and of a service.
const WRONG: [&str; 6] = [
    "invalid ",
    "could not match ",
    "definition of service \"",
    "service file \"",
    "syntax error in service file \"",
    "nested service specifications ",
];

/// What it says of what it does not take of one host.
const WRONG_HOST: [&str; 4] = [
    NO_NUMBER,
    "invalid port number: \"",
    "could not parse network address \"",
    "Unix-domain socket path \"",
];

/// What stands in front of the words of a server that lets nobody in.
const OF_SERVER: &str = "FATAL:  ";

/// What libpq says where nobody listens or the connection ends, and a server that stops, starts or is
/// not ready. Of a failed connection there is no SQLSTATE (libpq's manual, PQerrorMessage), and what a
/// server says in another language than English is taken for a refusal.
const AWAY: [&str; 9] = [
    "Is the server running",
    "timeout expired",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send ",
    "SSL SYSCALL error",
    "the database system is ",
    "terminating connection due to ",
    "Connection reset by peer",
];

/// What is said of a server that has no room just now, of names that nobody knows just now, and of
/// servers of which one is yet to be promoted.
const PASSES: [&str; 6] = [
    "could not translate host name",
    "session is ",
    "hot standby mode",
    "too many clients already",
    "connection slots are reserved",
    "too many connections for ",
];

/// What libpq says where the server wants a password.
const NO_PASSWORD: &str = "no password supplied";

/// What libpq says of a number that is none, in front of it and behind it.
const NO_NUMBER: &str = "invalid integer value \"";
const OF_OPTION: &str = "\" for connection option \"";

/// Why there is no answer.
pub fn no_answer(trouble: Trouble) -> Failure {
    match trouble {
        // Something that PostgreSQL has is not there, or not supported (Appendix A, classes 42, 0A).
        Trouble::Refused { state, said } if state.starts_with("42") || state.starts_with("0A") => {
            unsuitable(&said)
        }
        // The name of the lock has a letter that the database cannot have (class 22).
        Trouble::Refused { state, said } if state.starts_with("22") => Failure::Usage(said),
        // The server stops, or somebody has ended the session (class 57).
        Trouble::Refused { state, said } if state.starts_with("57P") => Failure::Away(said),
        Trouble::Broken(said) => Failure::Away(said),
        Trouble::Refused { said, .. } => Failure::Unavailable(said),
        Trouble::HungUp => Failure::Unavailable("nobody waits for the lock any more".to_owned()),
    }
}

/// Why the server cannot hold the lock.
pub fn unsuitable(why: &str) -> Failure {
    Failure::Unsuitable(format!("the server cannot hold such a lock: {why}"))
}
