//! One step: a program makes the call at which it stands, or somebody does a deed.

use std::fs;
use std::io::Error;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::thread;

use libc::user_regs_struct;

use super::call::{Act, Call};
use super::deed::Victim;
use super::lock_call::without_waiting;
use super::program::State;
use super::table;
use super::touch::{self, Touch};
use super::tracer::{self, Stop};
use super::world::{TICK, World};

/// The length of the instruction that calls the system.
const INSTRUCTION: u64 = 2;

/// In seconds.
const HOUR: i64 = 3600;

/// What a program gains whose time is up, in seconds.
const LONG: i64 = 100_000;

impl World<'_> {
    /// Makes it, and gives what it has touched.
    pub fn step(&mut self, who: usize) -> Touch {
        let mut touch = self.next_touch(who);
        let line = self.trace.step(who);
        if let Some(contender) = self.programs[who].contender {
            self.contenders[contender]
                .first_step
                .get_or_insert(self.now);
        }
        let takes = self.takes(who);
        let (text, is_done) = match self.programs[who].call.clone() {
            Some(call) if self.programs[who].is_doer() => self.deed(who, &call.text),
            Some(call) => self.call(who, line, &call),
            None => (String::new(), true),
        };
        let name = &self.programs[who].name;
        self.trace.say(line, format!("  {name:<4} {text}"));
        if !is_done {
            let own = touch::life(who);
            touch = Touch {
                writes: own,
                ..touch.in_vain()
            };
        }
        self.wake(who, touch, takes);
        self.settle();
        self.now += 1;
        touch
    }

    /// Its next step takes a lock, and lets go of none.
    fn takes(&self, who: usize) -> bool {
        let program = &self.programs[who];
        match program.call.as_ref().map(|call| &call.act) {
            Some(Act::Lock {
                drops: false,
                descriptor,
                ..
            }) => program.locks.of(*descriptor).is_none(),
            _ => false,
        }
    }

    /// Others may go on that waited for what this step has changed.
    fn wake(&mut self, by: usize, touch: Touch, takes: bool) {
        let seen = touch::locks() | touch::processes() | touch::names();
        for who in (0..self.programs.len()).filter(|who| *who != by) {
            if touch.writes & seen != 0 {
                self.programs[who].is_behind = true;
            }
            let Some(Call {
                act: Act::Lock { file, .. },
                ..
            }) = self.programs[who].call
            else {
                continue;
            };
            if let State::Waits { woken } = &mut self.programs[who].state {
                *woken |= !takes && touch.writes & touch::lock(file) != 0;
            }
        }
    }

    fn deed(&mut self, who: usize, text: &str) -> (String, bool) {
        let Some(deed) = self.programs[who].deeds.pop() else {
            return (String::new(), true);
        };
        if self.scenario.is_old {
            thread::sleep(TICK);
        }
        let done = match deed.victim() {
            Victim::Folder => deed.apply(self.folder),
            Victim::Killed(name) => {
                if let Some(other) = self.named(name) {
                    tracer::end(self.programs[other].pid);
                    self.ended(other, 128 + libc::SIGKILL);
                }
                Ok(())
            }
            Victim::TimedOut(name) => {
                if let Some(other) = self.named(name) {
                    self.programs[other].gained += LONG;
                    let pid = self.programs[other].pid;
                    tracer::answer(pid, -i64::from(libc::EINTR));
                    tracer::resume(pid, None);
                    self.go_on(other, None);
                }
                Ok(())
            }
        };
        self.programs[who].next_deed();
        match done {
            Ok(()) => (format!("{text} = ok"), true),
            Err(reason) => (format!("{text} = {}", said(&reason)), false),
        }
    }

    /// The text of the line, and whether the call has done what it was for.
    fn call(&mut self, who: usize, line: usize, call: &Call) -> (String, bool) {
        let pid = self.programs[who].pid;
        let text = call.text.clone();
        let mut at = tracer::registers(pid);
        match &call.act {
            Act::Execute | Act::Exit | Act::Fork => {
                let name = &self.programs[who].name;
                self.trace.say(line, format!("  {name:<4} {text}"));
                tracer::resume(pid, None);
                self.go_on(who, None);
                return (text, true);
            }
            Act::Sleep { polls } => {
                match polls {
                    true => {
                        at.orig_rax = libc::SYS_poll as u64;
                        at.rdx = 0;
                        tracer::set_registers(pid, at);
                    }
                    false => tracer::answer(pid, 0),
                }
                self.programs[who].is_behind = false;
                tracer::resume(pid, None);
                self.go_on(who, None);
                return ("sleep() ends".into(), true);
            }
            Act::Table => {
                self.programs[who].is_behind = false;
                table::write(self);
            }
            Act::Write { file, descriptor } => self.writes(who, *file, *descriptor),
            Act::Lock { waits: true, .. } => {
                tracer::set_registers(
                    pid,
                    user_regs_struct {
                        rsi: without_waiting(call.number, at.rsi),
                        ..at
                    },
                );
            }
            _ => {}
        }
        tracer::resume(pid, None);
        loop {
            match tracer::wait(pid) {
                Stop::Call => break,
                Stop::Signal(signal) => tracer::resume(pid, Some(signal)),
                other => {
                    self.go_on(who, Some(other));
                    return (format!("{text} = (ended)"), true);
                }
            }
        }
        let after = tracer::registers(pid);
        let result = after.rax as i64;
        let is_taken = matches!(-result as i32, libc::EWOULDBLOCK | libc::EACCES);
        if is_taken && matches!(call.act, Act::Lock { waits: true, .. }) {
            // It is set back to before the call as it was.
            let back = user_regs_struct {
                rax: after.orig_rax,
                rip: after.rip - INSTRUCTION,
                rsi: at.rsi,
                ..after
            };
            tracer::set_registers(pid, back);
            self.programs[who].in_call = Some(false);
            tracer::resume(pid, None);
            self.go_on(who, None);
            if self.programs[who].state == State::Ready {
                self.programs[who].state = State::Waits { woken: false };
            }
            return (format!("{text} = (somebody has it)"), false);
        }
        if call.number == libc::SYS_statx && result == 0 {
            self.tell_birth(who, &call.act, at.r8);
        }
        self.account(who, call, result);
        let text = format!("{text} = {}", self.result(who, call, result));
        self.programs[who].in_call = Some(false);
        tracer::resume(pid, None);
        self.go_on(who, None);
        (text, result >= 0)
    }

    /// Makes the file that has long been there an hour older in what statx(2) has said of it.
    fn tell_birth(&mut self, who: usize, act: &Act, place: u64) {
        let file = match act {
            Act::Stat { path, follows } => self.file_at(path, *follows),
            Act::Read { file } => Some(*file),
            _ => None,
        };
        if file.is_some() && file == self.old {
            let pid = self.programs[who].pid;
            let birth = place + mem::offset_of!(libc::statx, stx_btime) as u64;
            let earlier = tracer::number(pid, birth) - HOUR;
            tracer::write(pid, birth, &earlier.to_ne_bytes());
        }
    }

    /// Who has which lock now.
    fn account(&mut self, who: usize, call: &Call, result: i64) {
        let program = &mut self.programs[who];
        match call.act {
            Act::Lock {
                descriptor,
                drops: true,
                ..
            } if result == 0 => program.locks.drop(descriptor),
            Act::Lock {
                file, descriptor, ..
            } if result == 0 => {
                program.locks.take(descriptor, file);
                if let Some(contender) = program.contender {
                    self.contenders[contender]
                        .first_lock
                        .get_or_insert(self.now);
                }
            }
            Act::Close { descriptor, .. } => program.locks.drop(descriptor),
            _ => {}
        }
    }

    /// What a call gave, and of a file what was seen of it.
    fn result(&mut self, who: usize, call: &Call, result: i64) -> String {
        if result < 0 {
            return said(&Error::from_raw_os_error(-result as i32));
        }
        let pid = self.programs[who].pid;
        match &call.act {
            Act::Open { .. } => match self.file_of(pid, result) {
                Some(file) => format!("{result} (#{file})"),
                None => result.to_string(),
            },
            Act::Stat { path, follows } => {
                let place = self.folder.join(path);
                let state = match follows {
                    true => fs::metadata(place),
                    false => fs::symlink_metadata(place),
                };
                let file = self.file_at(path, *follows);
                match (state, file) {
                    (Ok(state), Some(file)) => {
                        format!("#{file}, {} bytes, {} names", state.len(), state.nlink())
                    }
                    _ => result.to_string(),
                }
            }
            _ => result.to_string(),
        }
    }
}

/// The name of an errno.
fn said(reason: &Error) -> String {
    let errno = reason.raw_os_error().map(nix::errno::Errno::from_raw);
    errno.map_or_else(|| reason.to_string(), |errno| format!("{errno:?}"))
}
