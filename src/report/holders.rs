//! Who holds a lock, in words.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::SystemTime;

use crate::inspect::state::{Holder, Holders};
use crate::model::error::Reason;
use crate::sys::{self, WhyUnknown};
use crate::text::escape::command_line;
use crate::text::time::{Elapsed, since};

/// `held by PID 21488 for 12m03s: python3 parser.py`
pub struct Sentence<'a>(pub &'a Holders);

impl Display for Sentence<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0;
        match &all.confirmed[..] {
            [] => write!(out, "held {}", By(all)),
            [one] => {
                write!(out, "held by {}{}", ProcessName(one), For(all.since))?;
                if !one.command.is_empty() {
                    write!(out, ": {}", command_line(&one.command))?;
                }
                also(out, &all.takers)
            }
            many => {
                let time = For(all.since);
                write!(
                    out,
                    "held by {} processes{time}: {}",
                    many.len(),
                    List(many)
                )?;
                also(out, &all.takers)
            }
        }
    }
}

/// Who holds it, for a sentence about the conflict: `by PID 21488 (python3 parser.py) for 12m03s`
pub struct By<'a>(pub &'a Holders);

impl Display for By<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0;
        match (&all.confirmed[..], &all.takers[..]) {
            ([], []) if all.by_mark => out.write_str("by a nonoverlap that cannot be seen"),
            ([], []) => out.write_str("by a process that cannot be seen"),
            ([], takers) => write!(
                out,
                "by a process that cannot be inspected, perhaps {}",
                List(takers)
            ),
            (confirmed, takers) => {
                write!(out, "by {}{}", List(confirmed), For(all.since))?;
                also(out, takers)
            }
        }
    }
}

/// Those of whom it is not certain.
fn also(out: &mut fmt::Formatter<'_>, takers: &[Holder]) -> fmt::Result {
    match takers {
        [] => Ok(()),
        takers => write!(out, "; perhaps also by {}", List(takers)),
    }
}

/// `PID 1 (one), PID 2 (two)`
struct List<'a>(&'a [Holder]);

impl Display for List<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, holder) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{}", ProcessName(holder))?;
            if !holder.command.is_empty() {
                write!(out, " ({})", command_line(&holder.command))?;
            }
        }
        Ok(())
    }
}

/// A process, and what is not as one would expect: `PID 21488 of user 33 (stopped)`
struct ProcessName<'a>(&'a Holder);

impl Display for ProcessName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.0;
        write!(out, "PID {}", holder.pid)?;
        if let Some(pid) = holder.inner_pid {
            write!(out, " (PID {pid} in its own PID namespace)")?;
        }
        let ours = sys::own_user();
        if let Some(user) = holder.user.filter(|&user| user != ours) {
            write!(out, " of user {user}")?;
        }
        if holder.is_stopped {
            out.write_str(" (stopped)")?;
        }
        Ok(())
    }
}

/// ` for 12m03s`, or nothing where that is not known.
pub struct For(pub Option<SystemTime>);

impl Display for For {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |start| {
            write!(out, " for {}", Elapsed(since(start)))
        })
    }
}

/// What is known although it cannot be told whether anybody holds a lock: that no run of ours does, if its
/// mark would be seen here. It would not if it were on another machine.
pub fn but_no_nonoverlap(why: WhyUnknown, marked: Option<bool>) -> &'static str {
    match (marked, why) {
        (_, WhyUnknown::LocksElsewhere | WhyUnknown::Failed(_) | WhyUnknown::ChangesTooFast) => "",
        (Some(false), _) => "; no nonoverlap holds it",
        _ => "",
    }
}

/// Why it cannot be told who holds it, or whether anybody does.
pub fn why_unknown(why: WhyUnknown) -> Cow<'static, str> {
    Cow::Borrowed(match why {
        WhyUnknown::Failed(reason) => return Cow::Owned(Reason(reason).to_string()),
        WhyUnknown::OtherPidNamespace => "processes outside of this PID namespace cannot be seen",
        WhyUnknown::ProcHidden => "/proc hides processes",
        WhyUnknown::NoTable => "/proc/locks cannot be read",
        WhyUnknown::NoNumber => "/proc does not show the number of its file system",
        WhyUnknown::SharedNumber => {
            "a file of another subvolume has the same inode number, and one of the two is locked"
        }
        WhyUnknown::LocksElsewhere => {
            "the file system may have locks that the kernel does not list"
        }
        WhyUnknown::ChangesTooFast => "it changes hands too fast",
        WhyUnknown::NotTold => "the system does not list its locks",
    })
}
