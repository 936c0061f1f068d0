//! One case: a server, the hosts, and the faults, from beginning to end.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Fault, start};
use crate::harness::{Scene, eventually};
use crate::job::{Kind, Records, Run, Sight, State, hold, now};
use crate::network::{Host, Network};

pub const HOSTS: usize = 12;

/// What a case is.
pub struct Case {
    pub name: String,
    pub faults: Vec<Fault>,
    pub options: &'static [&'static str],
}

/// What came of it.
#[derive(Clone, Default)]
pub struct Outcome {
    pub attempts: usize,
    pub runs: usize,
    /// Of them, those that began between the first fault and the end of what came of it, when no job
    /// ends by itself.
    pub served: usize,
    /// How long each overlap was, of each kind of jobs.
    pub overlaps: [Vec<Duration>; 2],
    /// What may tell why.
    pub remarks: Vec<String>,
}

/// What goes on in one case.
pub struct Storm<'a> {
    pub network: &'a Network,
    pub hosts: &'a [Host<'a>],
    folder: &'a Path,
    options: &'a [&'static str],
    is_over: AtomicBool,
    frozen: Mutex<BTreeSet<usize>>,
    pub thaws: Mutex<Vec<u64>>,
    /// The process of each attempt, and when it was seen to have ended.
    ends: Mutex<Vec<(u32, u64)>>,
    /// From the first fault to the end of what came of it, and when there was a second one.
    rounds: Mutex<Vec<(u64, u64, u64)>>,
}

impl Case {
    pub fn run(&self, rounds: usize) -> Option<Outcome> {
        let network = Network::new()?;
        let hosts: Vec<_> = (0..HOSTS).map(|_| network.host()).collect();
        let scene = Scene::new();
        let folder = scene.path("");
        let storm = Storm {
            network: &network,
            hosts: &hosts,
            folder: &folder,
            options: self.options,
            is_over: AtomicBool::new(false),
            frozen: Mutex::default(),
            thaws: Mutex::default(),
            ends: Mutex::default(),
            rounds: Mutex::default(),
        };
        network.server.tell_the_true_age();
        thread::sleep(Duration::from_secs(20));
        thread::scope(|scope| {
            let over = Over(&storm);
            for host in 0..HOSTS {
                let storm = &storm;
                for kind in Kind::ALL {
                    scope.spawn(move || storm.attempts(host, kind));
                }
            }
            thread::sleep(Duration::from_secs(2));
            for _ in 0..rounds {
                storm.round(&self.faults);
            }
            drop(over);
        });
        Some(storm.outcome())
    }
}

/// Nobody tries any more, and no job goes on, whatever comes.
struct Over<'a>(&'a Storm<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        let _ = fs::remove_file(hold(self.0.folder));
    }
}

impl Storm<'_> {
    /// A host tries, over and over. One of three would rather wait.
    fn attempts(&self, host: usize, kind: Kind) {
        let place = &self.hosts[host];
        let lock = self.network.lock(kind.name());
        let program = env::current_exe().unwrap();
        while !self.is_over.load(Ordering::Relaxed) {
            let mut attempt = place.nonoverlap(self.options);
            if host % 3 == 0 {
                attempt.args(["-w", "5"]);
            }
            attempt.arg(&lock).arg(&program).arg("--job");
            attempt.arg(self.folder).arg(kind.name());
            attempt.arg(host.to_string());
            attempt
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut attempt = attempt.spawn().unwrap();
            attempt.wait().unwrap();
            let end = now();
            self.ends.lock().unwrap().push((attempt.id(), end));
            let pause = Duration::from_millis(500 + random() % 1500);
            thread::sleep(pause);
            while self.frozen.lock().unwrap().contains(&host) {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// The faults, the second one some seconds after the first, and what comes of them.
    fn round(&self, faults: &[Fault]) {
        fs::write(hold(self.folder), "").unwrap();
        eventually("there is a holder of each lock", || {
            self.holders().len() == Kind::ALL.len()
        });
        let (begin, first) = (Instant::now(), now());
        let mut second = first;
        thread::scope(|scope| {
            let mut delay = Duration::ZERO;
            let mut cut = false;
            for &fault in faults {
                let beside = cut && fault.is_cut();
                scope.spawn(move || {
                    thread::sleep(delay);
                    fault.strike(self, beside);
                });
                second = first + delay.as_nanos() as u64;
                delay = Duration::from_millis(500 + random() % 6000);
                cut |= fault.is_cut();
            }
        });
        start(self);
        let grace = faults.iter().map(|fault| fault.grace()).max();
        let least = Duration::from_secs(32).saturating_sub(begin.elapsed());
        thread::sleep(grace.unwrap_or_default().max(least));
        thread::sleep(Duration::from_secs(6));
        self.rounds.lock().unwrap().push((first, now(), second));
        fs::remove_file(hold(self.folder)).unwrap();
        thread::sleep(Duration::from_secs(1));
    }

    /// Who runs, of each kind the latest.
    pub fn holders(&self) -> Vec<Run> {
        let records = Kind::ALL.map(|kind| Records::new(self.folder, kind));
        records.iter().filter_map(Records::holder).collect()
    }

    pub fn set_frozen(&self, hosts: &BTreeSet<usize>, frozen: bool) {
        let mut all = self.frozen.lock().unwrap();
        for &host in hosts {
            if frozen {
                all.insert(host);
            } else {
                all.remove(&host);
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome {
            attempts: self.ends.lock().unwrap().len(),
            ..Outcome::default()
        };
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let records = Records::new(self.folder, kind);
            let runs = records.runs();
            outcome.runs += runs.len();
            let served = runs.iter().filter(|run| self.round_of(run.enter).is_some());
            outcome.served += served.count();
            for sight in records.sights() {
                let Some(time) = self.overlap(&records, &sight) else {
                    continue;
                };
                outcome.overlaps[index].push(time);
                outcome.remarks.push(self.remark(kind, &sight, time));
            }
        }
        outcome
    }

    /// The round in which this moment was.
    fn round_of(&self, moment: u64) -> Option<(u64, u64, u64)> {
        let rounds = self.rounds.lock().unwrap();
        let mut rounds = rounds.iter();
        rounds
            .find(|round| round.0 < moment && moment < round.1)
            .copied()
    }

    /// For how long these two ran, if the earlier one did so at all.
    fn overlap(&self, records: &Records, sight: &Sight) -> Option<Duration> {
        let (earlier, later) = (&sight.earlier, &sight.later);
        let until = self.end(earlier).min(self.end(later));
        let from = match sight.state {
            State::Stopped => {
                let thaws = self.thaws.lock().unwrap();
                let thaw = *thaws.iter().find(|&&thaw| thaw > later.enter)?;
                let ran = records.last_beat(earlier) > later.enter;
                (ran && thaw < until).then_some(thaw)?
            }
            _ => later.enter,
        };
        Some(Duration::from_nanos(until.saturating_sub(from)))
    }

    /// When it was seen to have ended.
    fn end(&self, run: &Run) -> u64 {
        let ends = self.ends.lock().unwrap();
        let of_it = ends
            .iter()
            .filter(|end| end.0 == run.pid && end.1 > run.enter);
        of_it.map(|end| end.1).min().unwrap_or_else(now)
    }

    fn remark(&self, kind: Kind, sight: &Sight, time: Duration) -> String {
        let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
        let (kind, later) = (kind.name(), &sight.later);
        let when = match self.round_of(later.enter) {
            Some((first, _, second)) => format!(
                "{:.3} s after the first fault, {:.3} s after the last one",
                seconds(later.enter - first),
                seconds(later.enter) - seconds(second),
            ),
            None => "in no round".to_owned(),
        };
        let (a, b) = (sight.earlier.host, later.host);
        let stopped = if sight.state == State::Stopped {
            ", which was stopped"
        } else {
            ""
        };
        format!("{kind}: host {b} began {when}, beside host {a}{stopped}: {time:?}")
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
