//! A line of a log, taken apart. What the job printed is no line of ours, unless it looks like one.

use crate::text::escape::position;
use crate::text::stamp::{Rounded, Stamp, number};

/// The longest name of a lock that is believed: a path of 4,095 bytes, each of them escaped.
const LONGEST_NAME: usize = 4 * 4096;

/// What a line of ours tells.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// A run has the lock and begins.
    Start {
        /// The lock.
        lock: &'a [u8],
        /// Its PID.
        pid: i64,
        /// The command that it becomes.
        command: &'a [u8],
    },
    /// A run has ended.
    End {
        /// The lock.
        lock: &'a [u8],
        /// Its PID.
        pid: i64,
        /// How long it ran.
        after: Rounded,
        /// How it ended, where that is known.
        how: Option<How<'a>>,
    },
    /// A run had the lock, and its command could not be executed.
    Failure {
        /// The lock.
        lock: &'a [u8],
        /// Its PID.
        pid: i64,
        /// Why.
        reason: &'a [u8],
    },
    /// Nothing was started, since the lock was taken. [`Blamed`] tells by whom.
    Refusal(&'a [u8]),
    /// Something else.
    Other,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How<'a> {
    /// With an exit status.
    Status(i64),
    /// By a signal.
    Signal(i64),
    /// By its guardian: `--max-runtime 2h`, `the loss of its lock`.
    By(&'a [u8]),
}

/// The stamp of a line of ours, and what stands behind our name.
pub fn ours(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = Stamp::read(line)?;
    Some((stamp, rest.strip_prefix(b" nonoverlap: ")?))
}

/// What the text of a line of ours tells. `is_refusal` says how the line ends, which `text` may not
/// reach to.
///
/// A name may itself hold such words as stand behind it. What follows the name of an end has a form up
/// to the end of the line, so one place fits at the most; of others the first place is taken. A command may
/// end as a refusal does, and a refusal may show the command line of a holder.
pub fn event(text: &[u8], is_refusal: bool) -> Event<'_> {
    let start = start(text);
    match start {
        Some(Event::Start { lock, .. }) if is_refusal && has_words_of_refusal(lock) => {}
        Some(start) => return start,
        None => {}
    }
    if is_refusal {
        return Event::Refusal(text);
    }
    let event = end(text).or_else(|| failure(text));
    event.unwrap_or(Event::Other)
}

/// Whether what stands before a start has the words that a refusal has behind its lock.
fn has_words_of_refusal(text: &[u8]) -> bool {
    position(text, b" is held").is_some() || position(text, b": ").is_some()
}

/// `LOCK locked by PID 21488; starting COMMAND`
fn start(text: &[u8]) -> Option<Event<'_>> {
    places(text, b" locked by PID ").find_map(|(lock, rest)| {
        let (pid, rest) = number(rest)?;
        let command = rest.strip_prefix(b"; starting ")?;
        Some(Event::Start { lock, pid, command })
    })
}

/// `LOCK: PID 21488 ended after 12m03s, status 0`
fn end(text: &[u8]) -> Option<Event<'_>> {
    places(text, b": PID ").find_map(|(lock, rest)| {
        let (pid, rest) = number(rest)?;
        let (after, rest) = Rounded::read(rest.strip_prefix(b" ended after ")?)?;
        let how = match rest {
            b"" => None,
            rest => Some(how(rest.strip_prefix(b", ")?)?),
        };
        Some(Event::End {
            lock,
            pid,
            after,
            how,
        })
    })
}

/// `status 0`, `signal 15`, `by --max-runtime 2h`, `by the loss of its lock`
fn how(text: &[u8]) -> Option<How<'_>> {
    let all = |digits| number(digits).filter(|(value, rest)| rest.is_empty() && *value < 256);
    if let Some(digits) = text.strip_prefix(b"status ") {
        return Some(How::Status(all(digits)?.0));
    }
    if let Some(digits) = text.strip_prefix(b"signal ") {
        return Some(How::Signal(all(digits)?.0));
    }
    let reason = text.strip_prefix(b"by ")?;
    if reason == b"the loss of its lock" {
        return Some(How::By(reason));
    }
    let value = reason.strip_prefix(b"--max-runtime ")?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
    let is_value = !value.is_empty() && value.iter().all(is_plain);
    is_value.then_some(How::By(reason))
}

/// `LOCK: PID 21488: cannot execute COMMAND: reason`
fn failure(text: &[u8]) -> Option<Event<'_>> {
    places(text, b": PID ").find_map(|(lock, rest)| {
        let (pid, rest) = number(rest)?;
        let reason = rest.strip_prefix(b": ")?;
        reason.strip_prefix(b"cannot ")?;
        Some(Event::Failure { lock, pid, reason })
    })
}

/// The places of some words that a name can stand before, each with that name and what follows.
fn places<'a>(text: &'a [u8], words: &'static [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + position(text.get(from..)?, words)?;
        from = at + 1;
        Some((text.get(..at)?, text.get(at + words.len()..)?))
    })
    .take_while(|(name, _)| name.len() <= LONGEST_NAME)
}

/// What a refusal says of one lock.
#[derive(Clone, Copy)]
pub struct Blamed<'a>(&'a [u8]);

impl<'a> Blamed<'a> {
    /// What a refusal says of this lock, if it names it: of several slots each is named.
    pub fn of(refusal: &'a [u8], lock: &[u8]) -> Option<Blamed<'a>> {
        let named = |text: &'a [u8]| text.strip_prefix(lock);
        let held = |text: &'a [u8]| text.strip_prefix(b" is held");
        if let Some(rest) = named(refusal) {
            if let Some(rest) = held(rest) {
                return Some(Blamed(rest));
            }
            // The words of a server's helper.
            if rest.starts_with(b": ") && position(lock, b"://").is_some() {
                return Some(Blamed(b""));
            }
        }
        let mut behind_commas = places_of(refusal, b", ");
        behind_commas.find_map(|rest| held(named(rest)?).map(Blamed))
    }

    /// Whether it is said to be held by this process, among others perhaps.
    pub fn names(self, pid: i64) -> bool {
        let is_it = |rest| number(rest).is_some_and(|(named, _)| named == pid);
        let first = self.0.strip_prefix(b" by PID ");
        first.is_some_and(is_it) || places_of(self.0, b", PID ").any(is_it)
    }

    /// For how long it is said to have been held: with several slots, and with commands that hold such
    /// words themselves, one of these.
    pub fn held_for(self) -> impl Iterator<Item = Rounded> {
        places_of(self.0, b" for ").filter_map(|rest| {
            let (time, rest) = Rounded::read(rest)?;
            (rest.starts_with(b"; ") || rest.starts_with(b", ")).then_some(time)
        })
    }
}

/// What follows some words, at each of their places.
fn places_of<'a>(text: &'a [u8], words: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.get(position(rest, words)? + words.len()..)?;
        Some(rest)
    })
}
