//! One run of a scenario: its folder, its programs, and what they can do next.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::unistd::Pid;

use super::deed::Victim;
use super::program::{Contender, Program, State};
use super::scenario::Scenario;
use super::touch::{self, Things, Touch};
use super::trace::Trace;
use super::tracer;

/// Beside the lock file in every scenario. No schedule may change it.
pub const VICTIM: (&str, &str) = ("victim", "precious bytes\n");

/// The first process of a run has the number after this.
const FIRST_PID: u32 = 100;

/// Longer than a tick of the clock that files get their times from.
pub const TICK: Duration = Duration::from_millis(9);

pub struct World<'a> {
    pub scenario: &'a Scenario,
    pub folder: &'a Path,
    pub programs: Vec<Program>,
    pub contenders: Vec<Contender>,
    pub trace: Trace,
    /// How many steps were made.
    pub now: usize,
    /// The file whose birth is told as an earlier one.
    pub old: Option<usize>,
    /// Devices and inodes, and names in the folder, in the order in which they came up.
    files: Vec<(u64, u64)>,
    names: Vec<String>,
}

impl<'a> World<'a> {
    /// Starts it anew: an empty folder, the same numbers for processes.
    pub fn start(scenario: &'a Scenario, folder: &'a Path) -> World<'a> {
        tracer::begin();
        empty(folder);
        fs::write(folder.join(VICTIM.0), VICTIM.1).expect("a file beside the lock file");
        for deed in &scenario.setup {
            deed.apply(folder).expect("a deed before the start");
        }
        if scenario.is_old {
            thread::sleep(TICK);
        }
        number_from(FIRST_PID);
        let mut world = World {
            scenario,
            folder,
            programs: Vec::new(),
            contenders: Vec::new(),
            trace: Trace::default(),
            now: 0,
            old: None,
            files: Vec::new(),
            names: Vec::new(),
        };
        if scenario.is_old {
            world.old = world.file_at("L", false);
        }
        for (index, run) in scenario.runs.iter().enumerate() {
            let name = char::from(b'A' + index as u8).to_string();
            let words: Vec<_> = run
                .words
                .iter()
                .map(|word| CString::new(word.as_str()))
                .collect();
            let words = words
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .expect("words");
            let pid = tracer::start(&words);
            if scenario.clock {
                tracer::hide_clock(pid);
            }
            world.contenders.push(Contender {
                name: name.clone(),
                is_shared: run.is_shared,
                ..Contender::default()
            });
            world.programs.push(Program {
                contender: Some(index),
                is_main: true,
                in_call: Some(false),
                ..Program::new(name, pid)
            });
        }
        for (index, deeds) in scenario.doers.iter().enumerate() {
            let name = char::from(b'X' + index as u8).to_string();
            world.programs.push(Program::doer(name, deeds));
        }
        for who in 0..scenario.runs.len() {
            tracer::resume(world.programs[who].pid, None);
            world.go_on(who, None);
        }
        world.settle();
        if let Some(low) = scenario.low_pid {
            number_from(low);
        }
        world
    }

    /// Which of the programs can make a step now.
    pub fn enabled(&self) -> Vec<usize> {
        let all = 0..self.programs.len();
        let can: Vec<_> = all.clone().filter(|who| self.can_go_on(*who)).collect();
        // Time goes by where nobody can move.
        match can.is_empty() {
            true => all.filter(|who| self.programs[*who].sleeps()).collect(),
            false => can,
        }
    }

    fn can_go_on(&self, who: usize) -> bool {
        let program = &self.programs[who];
        match program.state {
            State::Waits { woken } => woken,
            State::Ready if program.sleeps() => program.is_behind,
            State::Ready => match program.deeds.last().map(|deed| deed.victim()) {
                Some(Victim::Killed(name)) => self
                    .named(name)
                    .is_some_and(|it| self.programs[it].is_alive()),
                Some(Victim::TimedOut(name)) => {
                    self.named(name).is_some_and(|it| self.programs[it].waits())
                }
                Some(Victim::Folder) | None => true,
            },
            _ => false,
        }
    }

    /// What its next step would touch.
    pub fn next_touch(&mut self, who: usize) -> Touch {
        if let Some(deed) = self.programs[who].deeds.last().cloned() {
            let own = touch::life(who);
            let Touch { reads, writes } = match deed.victim() {
                Victim::Folder => deed.touch(self),
                Victim::Killed(name) => match self.named(name) {
                    Some(other) => Touch::writing(touch::life(other) | self.lost_at_end(other)),
                    None => Touch::default(),
                },
                Victim::TimedOut(name) => match self.named(name) {
                    Some(other) => Touch {
                        reads: self.next_touch(other).all(),
                        writes: touch::life(other),
                    },
                    None => Touch::default(),
                },
            };
            return Touch {
                reads,
                writes: writes | own,
            };
        }
        match self.programs[who].call.clone() {
            Some(call) => call.touch(self, who),
            None => Touch::default(),
        }
    }

    /// What the end of a process changes for others: nothing if it has no lock and no record. Who looks
    /// into it before finds no lock, and after finds no process, and that says the same.
    pub fn lost_at_end(&self, who: usize) -> Things {
        let program = &self.programs[who];
        let has_written = program
            .contender
            .is_some_and(|it| self.contenders[it].has_written);
        if !program.in_job && !has_written && program.locks.files().next().is_none() {
            return 0;
        }
        let locks = program.locks.files().map(touch::lock);
        let inside = if program.in_job { touch::INSIDE } else { 0 };
        locks.fold(touch::process(who) | inside, |all, one| all | one)
    }

    /// The program of this name, if there is one by now.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.programs
            .iter()
            .position(|program| program.name == name)
    }

    pub fn program_of(&self, pid: i32) -> Option<usize> {
        let is_it = |program: &Program| !program.is_doer() && program.pid.as_raw() == pid;
        self.programs.iter().position(is_it)
    }

    /// The program of a path `/proc/PID/REST`, and that rest.
    pub fn process_of<'b>(&self, path: &'b str) -> Option<(usize, &'b str)> {
        let (pid, rest) = path.strip_prefix("/proc/")?.split_once('/')?;
        Some((
            self.program_of(pid.parse().ok()?)?,
            rest.trim_end_matches('/'),
        ))
    }

    /// A path as it reads in the folder, empty for the folder itself.
    pub fn within(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.folder.to_str()?)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(rest.trim_start_matches('/').to_owned()),
            None => rest.is_empty().then(String::new),
        }
    }

    /// The names above the last one of a path, and that.
    pub fn names(&mut self, path: &str) -> (Things, Things) {
        let slashes = path.match_indices('/');
        let above = slashes.fold(0, |all, (end, _)| {
            all | touch::name(self.name(&path[..end]))
        });
        (above, touch::name(self.name(path)))
    }

    fn name(&mut self, name: &str) -> usize {
        index_of(&mut self.names, name.to_owned())
    }

    /// Where a symbolic link in the folder leads to in it.
    pub fn target_of(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.folder.join(path)).ok()?;
        self.within(target.to_str()?)
    }

    /// The file that a path leads to.
    pub fn file_at(&mut self, path: &str, follows: bool) -> Option<usize> {
        let path: PathBuf = self.folder.join(path);
        let state = match follows {
            true => fs::metadata(path),
            false => fs::symlink_metadata(path),
        };
        let state = state.ok()?;
        Some(index_of(&mut self.files, (state.dev(), state.ino())))
    }

    /// The file that a descriptor leads to.
    pub fn file_of(&mut self, pid: Pid, descriptor: i64) -> Option<usize> {
        let identity = tracer::identity(pid, descriptor)?;
        Some(index_of(&mut self.files, identity))
    }

    /// Ends all that runs.
    pub fn end(&mut self) {
        for program in &mut self.programs {
            if program.is_alive() && !program.is_doer() {
                tracer::end(program.pid);
            }
            program.state = State::Dead;
        }
        tracer::reap();
    }
}

fn index_of<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    match all.iter().position(|other| *other == one) {
        Some(index) => index,
        None => {
            all.push(one);
            all.len() - 1
        }
    }
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = match is_folder {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        gone.expect("an empty folder");
    }
}

/// The next process is to have the number after this.
fn number_from(last: u32) {
    fs::write("/proc/sys/kernel/ns_last_pid", last.to_string()).expect("ns_last_pid");
}
