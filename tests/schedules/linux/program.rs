//! The programs of a run, as the schedule sees them: where each stands, and what it has done so far.

use nix::unistd::Pid;

use super::call::{Act, Call};
use super::deed::Deed;
use super::lock_call::Locks;

pub struct Program {
    /// A, B, C; with a tick for a process that it has made; X and Y are those who do deeds.
    pub name: String,
    pub pid: Pid,
    /// To which contender it belongs.
    pub contender: Option<usize>,
    /// It is that contender's first process.
    pub is_main: bool,
    /// It runs the command, or was made by it.
    pub in_job: bool,
    /// How many programs it has been.
    pub executed: u32,
    pub locks: Locks,
    pub state: State,
    /// The call at which it stands.
    pub call: Option<Call>,
    /// Whether that has begun. Unknown of a process that has just been made.
    pub in_call: Option<bool>,
    /// Something has changed since it last looked.
    pub is_behind: bool,
    /// What its clock has gained, in seconds.
    pub gained: i64,
    /// What it is still to do, the next one last.
    pub deeds: Vec<Deed>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has just been made, and has not begun.
    New,
    /// It stands at a call.
    Ready,
    /// It stands at a call for a lock that somebody has; `woken` when somebody has let go since.
    Waits {
        woken: bool,
    },
    /// It waits in the kernel for another program.
    InKernel,
    Dead,
}

impl Program {
    pub fn new(name: String, pid: Pid) -> Program {
        Program {
            name,
            pid,
            contender: None,
            is_main: false,
            in_job: false,
            executed: 1,
            locks: Locks::default(),
            state: State::New,
            call: None,
            in_call: None,
            is_behind: true,
            gained: 0,
            deeds: Vec::new(),
        }
    }

    /// A process that this one has made.
    pub fn child(&self, pid: Pid) -> Program {
        Program {
            contender: self.contender,
            in_job: self.in_job,
            locks: self.locks.clone(),
            gained: self.gained,
            ..Program::new(format!("{}'", self.name), pid)
        }
    }

    /// Somebody who does deeds.
    pub fn doer(name: String, deeds: &[Deed]) -> Program {
        let mut doer = Program::new(name, Pid::from_raw(0));
        doer.deeds = deeds.iter().rev().cloned().collect();
        doer.state = State::Ready;
        doer.next_deed();
        doer
    }

    pub fn is_doer(&self) -> bool {
        self.pid.as_raw() == 0
    }

    /// Stands it at its next deed.
    pub fn next_deed(&mut self) {
        match self.deeds.last() {
            Some(deed) => {
                self.call = Some(Call {
                    number: 0,
                    text: deed.text.clone(),
                    act: Act::Deed,
                });
            }
            None => self.state = State::Dead,
        }
    }

    pub fn is_alive(&self) -> bool {
        self.state != State::Dead
    }

    /// It stands at a call, or waits for a lock, and could be chosen now or later.
    pub fn has_next(&self) -> bool {
        matches!(self.state, State::Ready | State::Waits { .. })
    }

    pub fn sleeps(&self) -> bool {
        let act = self.call.as_ref().map(|call| &call.act);
        self.state == State::Ready && matches!(act, Some(Act::Sleep { .. }))
    }

    /// It waits for somebody else, with or without a deadline.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Waits { .. }) || self.sleeps()
    }

    pub fn text(&self) -> &str {
        self.call.as_ref().map_or("", |call| &call.text)
    }
}

/// A run of the program and of the command under its lock. Moments are numbers of steps.
#[derive(Default)]
pub struct Contender {
    pub name: String,
    pub is_shared: bool,
    pub is_inside: bool,
    pub has_entered: bool,
    pub first_step: Option<usize>,
    pub first_lock: Option<usize>,
    pub end: Option<usize>,
    pub status: Option<i32>,
    pub has_written: bool,
}
