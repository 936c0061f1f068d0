//! What the lines of a log say together: its runs, and how they ended.
//!
//! A job can print what looks like a line of ours. Such lines are not believed where they contradict
//! others, as the manual says.

use super::line::{Blamed, Event, How, event, ours};
use super::marks::Marks;
use super::run::{End, Ending, NEAR, Run};
use crate::text::stamp::{Rounded, Stamp};

/// How much of a command is kept, in bytes.
const MOST_OF_COMMAND: usize = 1000;

/// What a log tells of its runs.
#[derive(Default)]
pub struct History {
    /// The locks of the runs.
    pub locks: Vec<Vec<u8>>,
    /// The runs, in the order of their starts in the log.
    pub runs: Vec<Run>,
    /// How many refusals there are.
    pub refused: u64,
    /// How many of them are of no run here.
    pub refused_otherwise: u64,
    /// When the last line of one of the runs was written.
    last: Option<i64>,
}

impl History {
    /// Takes in the next line of the log.
    pub fn take(&mut self, line: &[u8], is_refusal: bool) {
        let Some((stamp, text)) = ours(line) else {
            return;
        };
        let is_of_a_run = match event(text, is_refusal) {
            Event::Start { lock, pid, command } => self.start(stamp, lock, pid, command),
            Event::End {
                lock,
                pid,
                after,
                how,
            } => self.end(stamp.seconds, lock, pid, after, how),
            Event::Failure { lock, pid, reason } => self.failure(stamp.seconds, lock, pid, reason),
            Event::Refusal(text) => self.refusal(stamp.seconds, text),
            Event::Other => false,
        };
        if is_of_a_run {
            self.last = Some(stamp.seconds);
        }
    }

    /// The lock of a run.
    pub fn lock(&self, run: &Run) -> &[u8] {
        self.locks.get(run.lock).map_or(&[], Vec::as_slice)
    }

    /// How long it took from the first start to the last line of a run, if it took any time.
    pub fn span(&self) -> Option<i64> {
        let span = self.last? - self.runs.first()?.began.seconds;
        (span > 0).then_some(span)
    }

    /// A run begins. The same start once more is a copy, such as of a job that shows the log.
    ///
    /// This and what follows give whether the line is of a run here.
    fn start(&mut self, began: Stamp, lock: &[u8], pid: i64, command: &[u8]) -> bool {
        let number = self.locks.iter().position(|known| known == lock);
        let lock = number.unwrap_or_else(|| {
            self.locks.push(lock.to_vec());
            self.locks.len() - 1
        });
        let is_same =
            |run: &Run| (run.lock, run.pid, run.began.seconds) == (lock, pid, began.seconds);
        if !self.runs.iter().any(is_same) {
            let command = command.get(..MOST_OF_COMMAND).unwrap_or(command).to_vec();
            self.runs.push(Run {
                lock,
                pid,
                began,
                command,
                end: End::Unknown,
                seen: None,
                refused: 0,
                marks: Marks::default(),
            });
        }
        true
    }

    /// The last run of this lock and PID that began when `fits` says.
    fn last_of(&mut self, lock: &[u8], pid: i64, fits: &dyn Fn(&Run) -> bool) -> Option<&mut Run> {
        let lock = self.locks.iter().position(|known| known == lock)?;
        let is_it = |run: &&mut Run| (run.lock, run.pid) == (lock, pid) && fits(run);
        self.runs.iter_mut().rev().find(is_it)
    }

    /// A run has ended. The line may stand behind the start of the next one.
    fn end(
        &mut self,
        now: i64,
        lock: &[u8],
        pid: i64,
        after: Rounded,
        how: Option<How<'_>>,
    ) -> bool {
        let how = how.map(Ending::of);
        let took = |run: &Run| now - run.began.seconds;
        let is_long_enough = |run: &Run| after.seconds - NEAR <= took(run);
        let is_near = |run: &Run| took(run) < after.seconds + after.unit + NEAR;
        if let Some(run) = self.last_of(lock, pid, &|run| is_long_enough(run) && is_near(run)) {
            // What the line leaves out is told by the clock, if that agrees.
            let lasted = took(run).clamp(after.seconds, after.seconds + after.unit - 1);
            run.ended(End::Ended {
                lasted,
                is_least: false,
                gone: lasted,
                how,
            });
            return true;
        }
        let Some(run) = self.last_of(lock, pid, &is_long_enough) else {
            return false;
        };
        // A guardian that ends the job logs the end when all of the job is gone.
        let is_late = matches!(how, Some(Ending::By(_)));
        run.ended(End::Ended {
            lasted: after.seconds,
            is_least: !is_late,
            gone: if is_late { took(run) } else { after.seconds },
            how,
        });
        true
    }

    /// The command of a run could not be executed.
    fn failure(&mut self, now: i64, lock: &[u8], pid: i64, reason: &[u8]) -> bool {
        let is_near = |run: &Run| (now - run.began.seconds).abs() <= NEAR;
        let Some(run) = self.last_of(lock, pid, &is_near) else {
            return false;
        };
        let reason = reason.get(..MOST_OF_COMMAND).unwrap_or(reason);
        run.ended(End::NotExecuted(reason.to_vec()));
        true
    }

    /// Somebody was refused: once for the log, and once for each run that was in the way.
    fn refusal(&mut self, now: i64, text: &[u8]) -> bool {
        self.refused += 1;
        let mut is_of_a_run = false;
        for (lock, name) in self.locks.iter().enumerate() {
            let Some(blamed) = Blamed::of(text, name) else {
                continue;
            };
            let held: Vec<_> = blamed.held_for().collect();
            let runs = self.runs.iter().enumerate().rev();
            let mut of_lock = runs.filter(|(_, run)| run.lock == lock);
            let last = of_lock.clone().next();
            let named = of_lock.find(|(_, run)| run.is_named_by(blamed, &held, now));
            let is_named = named.is_some();
            let found = named.or(last.filter(|(_, run)| run.goes_on(now)));
            let found = found.map(|(index, _)| index);
            if let Some(run) = found.and_then(|index| self.runs.get_mut(index)) {
                is_of_a_run = true;
                run.refused += 1;
                let took = now - run.began.seconds;
                run.marks.set(took);
                if is_named {
                    run.was_seen(took);
                }
            }
        }
        if !is_of_a_run {
            self.refused_otherwise += 1;
        }
        is_of_a_run
    }
}
