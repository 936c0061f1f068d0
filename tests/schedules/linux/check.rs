//! What must hold in every schedule.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::deed::record;
use super::trace::Gravity::{Fault, Overlap, Remark};
use super::world::{VICTIM, World};

/// The status of a process that was killed, as a shell says it.
const KILLED: i32 = 128 + libc::SIGKILL;

/// What a run that was refused ends with.
const REFUSED: i32 = 1;

impl World<'_> {
    /// A contender has become the command: never more are inside than may be, and the record names it.
    pub fn entered(&mut self, who: usize) {
        self.programs[who].in_job = true;
        let Some(index) = self.programs[who].contender else {
            return;
        };
        self.contenders[index].is_inside = true;
        self.contenders[index].has_entered = true;
        let name = self.contenders[index].name.clone();
        let inside: Vec<_> = self
            .contenders
            .iter()
            .filter(|other| other.is_inside)
            .collect();
        let all_shared = inside.iter().all(|other| other.is_shared);
        let count = inside.len();
        if !self.scenario.is_recorded {
            self.trace.note(&format!("{name} is inside"));
        } else {
            let record = self.record(self.programs[who].pid.as_raw());
            self.trace
                .note(&format!("{name} is inside; the lock file {record}"));
            if record.starts_with("names") && !self.contenders[index].is_shared {
                self.trace
                    .fault(self.if_alone(), &format!("RECORD: the lock file {record}"));
            }
        }
        if !all_shared && count > self.scenario.capacity {
            self.trace
                .fault(Overlap, &format!("OVERLAP: {count} inside"));
        }
    }

    /// What the lock file says while this process enters.
    fn record(&self, own: i32) -> String {
        let path = self.folder.join("L");
        match fs::symlink_metadata(&path) {
            Err(_) => return "is gone".into(),
            Ok(state) if !state.is_file() => return "is no file".into(),
            Ok(_) => {}
        }
        let content = fs::read_to_string(path).unwrap_or_default();
        let of = |program: &&super::program::Program| content == record(program.pid.as_raw());
        match self.programs.iter().find(of) {
            _ if content == record(own) => "has its record".into(),
            Some(other) if other.is_alive() => format!("names {}, which runs", other.name),
            Some(other) => format!("names {}, which has ended", other.name),
            None if content.is_empty() => "is empty".into(),
            None => "holds something else".into(),
        }
    }

    /// Before a program writes: only into a file that it has locked, that has one name, and that is empty
    /// or holds a record.
    pub fn writes(&mut self, who: usize, file: usize, descriptor: i64) {
        let program = &self.programs[who];
        let Some(contender) = program.contender else {
            return;
        };
        if program.in_job {
            return;
        }
        let is_locked = program.locks.files().any(|locked| locked == file);
        let path = format!("/proc/{}/fd/{descriptor}", program.pid);
        self.contenders[contender].has_written = true;
        if !is_locked {
            self.trace
                .fault(Fault, "WROTE into a file that it has not locked");
        }
        let Ok(state) = fs::metadata(&path) else {
            return;
        };
        if !state.is_file() {
            self.trace
                .fault(Fault, "WROTE into something else than a file");
            return;
        }
        if state.nlink() > 1 {
            self.trace
                .fault(self.if_alone(), "WROTE into a file of two names");
        }
        let content = fs::read(path).unwrap_or_default();
        let is_record = content.len() == 11
            && content.ends_with(b"\n")
            && content.iter().all(|byte| b" 0123456789\n".contains(byte));
        if !content.is_empty() && !is_record {
            self.trace
                .fault(self.if_alone(), "WROTE over what is no record");
        }
    }

    pub fn changed_names(&mut self, who: usize, number: u64) {
        let program = &self.programs[who];
        if !program.in_job {
            let text = format!(
                "NAMES: {} made call {number}, which changes them",
                program.name
            );
            self.trace.fault(Fault, &text);
        }
    }

    /// Nobody can go on any more.
    pub fn judge(&mut self) {
        let waiting = self
            .programs
            .iter()
            .filter(|program| program.is_alive() && !program.is_doer());
        let names: Vec<_> = waiting.map(|program| program.name.clone()).collect();
        if !names.is_empty() {
            self.trace
                .fault(Fault, &format!("HANG: {} for ever", names.join(" and ")));
        }
        let was_killed = self.contenders.iter().any(|run| run.status == Some(KILLED));
        let mut failed = false;
        for run in &self.contenders {
            let Some(status) = run.status else { continue };
            let is_right = match run.has_entered {
                true => status == 0 || status == KILLED,
                false => {
                    failed |= status != REFUSED;
                    matches!(status, REFUSED | KILLED) || self.scenario.statuses.contains(&status)
                }
            };
            if !is_right {
                self.trace.fault(Fault, &format!("STATUS {status}"));
            }
            if !run.has_entered && run.has_written && status != KILLED {
                self.trace.fault(Fault, "REFUSED, but wrote");
            }
        }
        let somebody_ran = self.contenders.iter().any(|run| run.has_entered);
        if !somebody_ran && !was_killed && !failed {
            self.trace.fault(Fault, "NOBODY ran");
        }
        if !was_killed {
            self.judge_refusals();
        }
        self.judge_folder();
    }

    /// Who is refused was refused by one that ran, and that had the lock meanwhile.
    fn judge_refusals(&mut self) {
        let is_just = |refused: &super::program::Contender| {
            let mut others = self.contenders.iter().filter(|other| other.has_entered);
            others.any(|other| {
                let until = other.end.unwrap_or(usize::MAX);
                other.first_lock <= refused.end && until >= refused.first_step.unwrap_or(0)
            })
        };
        let mut refused = self
            .contenders
            .iter()
            .filter(|run| run.status == Some(REFUSED));
        if !refused.all(|run| run.has_entered || is_just(run)) {
            self.trace
                .fault(Remark, "REFUSED while none that ran had the lock");
        }
    }

    /// The folder holds what it should, and what stands beside the lock file is as it was.
    fn judge_folder(&mut self) {
        let victim = fs::read_to_string(self.folder.join(VICTIM.0)).unwrap_or_default();
        if victim != VICTIM.1 {
            self.trace
                .fault(Fault, "VICTIM: the file beside the lock file was changed");
        }
        let names = fs::read_dir(self.folder).expect("the folder").flatten();
        for name in names.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            let is_known = [VICTIM.0, "L", "L.2", "L.3"].contains(&&*name) || name.starts_with('z');
            if !is_known {
                self.trace.fault(Fault, &format!("LITTER: {name}"));
            }
        }
    }

    /// How bad it is: what somebody else does to the lock file in that moment brings it about, too.
    fn if_alone(&self) -> super::trace::Gravity {
        match self.scenario.doers.is_empty() {
            true => Fault,
            false => Remark,
        }
    }

    /// It goes on for ever.
    pub fn too_long(&mut self) {
        let text = format!("LIVELOCK: more than {} steps", self.now);
        self.trace.fault(Fault, &text);
    }

    /// How it came out, for comparing classes.
    pub fn outcome(&self) -> String {
        let of = |run: &super::program::Contender| {
            let ran = if run.has_entered { "ran, " } else { "" };
            format!("{} {ran}{}", run.name, run.status.unwrap_or(-1))
        };
        self.contenders
            .iter()
            .map(of)
            .collect::<Vec<_>>()
            .join("; ")
    }
}
