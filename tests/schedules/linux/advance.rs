//! From one step to the next: a program goes on by itself until it stands at a call that matters.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::call::{self, Seen};
use super::program::{Program, State};
use super::trace::Gravity;
use super::tracer::{self, Stop};
use super::world::World;

/// What clocks show at the start where time stands still.
const NOON: i64 = 1000;

/// How long those who sleep are looked at, where nobody else can move.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a program that may wait in the kernel may neither sleep nor stop: on a busy machine it waits for a
/// processor or a disk.
const TIME_TO_SLEEP: Duration = Duration::from_secs(60);

impl World<'_> {
    /// Follows a program to its next step. `seen` is where it stopped, if that is known; else it was
    /// resumed.
    pub fn go_on(&mut self, who: usize, mut seen: Option<Stop>) {
        let pid = self.programs[who].pid;
        let mut may_wait = false;
        loop {
            let stop = match seen.take() {
                Some(stop) => stop,
                None if may_wait => match stop_or_sleep(pid) {
                    Some(stop) => stop,
                    None => {
                        self.programs[who].state = State::InKernel;
                        return;
                    }
                },
                None => tracer::wait(pid),
            };
            let mut signal = None;
            match stop {
                Stop::Ended(status) => return self.ended(who, status),
                Stop::Hangs => return self.hangs(who),
                Stop::Signal(Signal::SIGSTOP) => {}
                Stop::Signal(other) => signal = Some(other),
                Stop::Executed => self.executed(who),
                Stop::Forked(child) => {
                    let child = self.programs[who].child(child);
                    self.programs.push(child);
                }
                Stop::Call => {
                    may_wait = false;
                    if self.begins_call(who) {
                        let at = tracer::registers(pid);
                        match call::decode(self, who, &at) {
                            Seen::Nothing => {}
                            Seen::Step(call) => {
                                self.programs[who].call = Some(call);
                                self.programs[who].state = State::Ready;
                                return;
                            }
                            Seen::MayWait => may_wait = true,
                            Seen::Clock(place) => {
                                let seconds = NOON + self.programs[who].gained;
                                tracer::write(pid, place, &seconds.to_ne_bytes());
                                tracer::write(pid, place + 8, &0i64.to_ne_bytes());
                                tracer::answer(pid, 0);
                            }
                            Seen::ChangesNames => self.changed_names(who, at.orig_rax),
                        }
                    }
                }
            }
            tracer::resume(pid, signal);
        }
    }

    /// Whether it has stopped at the beginning of a call, and not at the end of one.
    fn begins_call(&mut self, who: usize) -> bool {
        let program = &mut self.programs[who];
        // A new process stops first at the end of the call that has made it, or at its first own one.
        // What a call gives is ENOSYS until it has been made.
        let unknown = || tracer::registers(program.pid).rax as i64 != -i64::from(libc::ENOSYS);
        let in_call = program.in_call.unwrap_or_else(unknown);
        program.in_call = Some(!in_call);
        !in_call
    }

    fn executed(&mut self, who: usize) {
        if self.scenario.clock {
            tracer::hide_clock(self.programs[who].pid);
        }
        self.programs[who].executed += 1;
        if self.programs[who].is_main && self.programs[who].executed == 2 {
            self.entered(who);
        }
    }

    fn hangs(&mut self, who: usize) {
        let program = &self.programs[who];
        let text = format!(
            "HANG: {} stands in the kernel after {}",
            program.name,
            program.text()
        );
        self.trace.fault(Gravity::Fault, &text);
        tracer::end(program.pid);
        self.ended(who, 128 + libc::SIGKILL);
    }

    /// A process is gone.
    pub fn ended(&mut self, who: usize, status: i32) {
        let program = &mut self.programs[who];
        program.state = State::Dead;
        let (contender, is_main, in_job) = (program.contender, program.is_main, program.in_job);
        let Some(index) = contender else { return };
        let others = self
            .programs
            .iter()
            .filter(|other| other.contender == contender);
        let mut others = others.filter(|other| other.in_job && other.is_alive());
        let is_last = in_job && others.next().is_none();
        let contender = &mut self.contenders[index];
        if is_main {
            contender.status = Some(status);
        }
        if is_last || is_main && !contender.has_entered {
            contender.is_inside = false;
            contender.end = Some(self.now);
        }
    }

    /// Follows all that the last step has set going: new processes, and those that waited in the kernel.
    pub fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            let mut again = false;
            for who in 0..self.programs.len() {
                let pid = self.programs[who].pid;
                match self.programs[who].state {
                    State::New => {
                        match tracer::wait(pid) {
                            Stop::Ended(status) => self.ended(who, status),
                            Stop::Hangs => self.hangs(who),
                            _ => {
                                tracer::resume(pid, None);
                                self.go_on(who, None);
                            }
                        }
                        again = true;
                    }
                    State::InKernel => match tracer::look(pid) {
                        Some(stop) => {
                            self.go_on(who, Some(stop));
                            again = true;
                        }
                        None if tracer::is_asleep(pid) => {}
                        None if begun.elapsed() > TIME_TO_SLEEP => self.hangs(who),
                        None => {
                            thread::yield_now();
                            again = true;
                        }
                    },
                    _ => {}
                }
            }
            // Where nobody else can move, whoever sleeps does so for ever only if he still does after a while:
            // he may have been looked at in a moment in which he was about to be woken.
            let in_kernel = |program: &Program| matches!(program.state, State::InKernel);
            let may_wake = || self.programs.iter().any(in_kernel) && self.enabled().is_empty();
            if !again && (begun.elapsed() > PATIENCE || !may_wake()) {
                return;
            }
        }
    }
}

/// Where it stops, or nothing if it sleeps in the kernel.
fn stop_or_sleep(pid: nix::unistd::Pid) -> Option<Stop> {
    let begun = Instant::now();
    loop {
        if let Some(stop) = tracer::look(pid) {
            return Some(stop);
        }
        if tracer::is_asleep(pid) {
            // It may have stopped after the first look.
            return tracer::look(pid);
        }
        if begun.elapsed() > TIME_TO_SLEEP {
            return Some(Stop::Hangs);
        }
        thread::yield_now();
    }
}
