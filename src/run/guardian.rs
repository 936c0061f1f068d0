//! The guardian and its duties: what the command cannot do for itself, because it is somebody else's
//! program. It holds the lock (`--close`), ends the job (`--max-runtime`), watches the connection of a
//! lock on a server, and, where it stands anyway, logs the end. Without one of the first three there
//! is no guardian. Prints nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, setpgid};

use super::job::Job;
use crate::lock::held::Held;
use crate::model::error::Error;
use crate::model::lock::{KILL_AFTER_LOSS, Keeper, OnLost};
use crate::model::request::{MaxRuntime, Run};
use crate::model::target::LockTarget;
use crate::report::log::Log;
use crate::report::notice::{HowEnded, Notice};
use crate::sys::{self, Duty, Event, Guardian, Reach, Ward};

/// How long after SIGTERM a job is killed that has had its time.
const KILL_AFTER_TIME: Duration = Duration::from_secs(10);

/// Looks whether a job that is to be ended can be, before anything is done.
///
/// # Errors
///
/// [`Error::CannotEnd`].
pub fn check(run: &Run) -> Result<(), Error> {
    if !ends_job(run) {
        return Ok(());
    }
    // What is not handled there is dropped, and SIGKILL too (pid_namespaces(7)).
    if sys::own_pid().is_ok_and(Pid::is_init) {
        let why = "it would be process 1, to which the kernel delivers no such signal";
        return Err(Error::CannotEnd(run.target, why));
    }
    // It may be the only word that the command hears before another has the lock.
    if on_lost(run) == OnLost::Term && !sys::reaches_us(libc::SIGTERM) {
        let why = "SIGTERM is ignored or blocked here";
        return Err(Error::CannotEnd(run.target, why));
    }
    Ok(())
}

/// What becomes of the job if its lock is lost, which only a server's can be.
fn on_lost(run: &Run) -> OnLost {
    match run.target {
        LockTarget::Remote(_) => run.on_lost,
        LockTarget::File(_) | LockTarget::Descriptor(_) => OnLost::Ignore,
    }
}

/// Whether a run has a reason to end its job.
fn ends_job(run: &Run) -> bool {
    run.max_runtime.is_some() || on_lost(run) != OnLost::Ignore
}

/// Whether a run needs a guardian.
fn is_needed(run: &Run) -> bool {
    ends_job(run) || run.keeper == Keeper::Guardian
}

/// The guardian's own log, if there is to be one: another open file than the command's, since its lines do
/// not wait, and opened as early, so that it is the same log.
///
/// # Errors
///
/// [`Error::Log`].
pub fn log(run: &Run) -> Result<Option<Log>, Error> {
    let path = run.log.as_deref().filter(|_| is_needed(run));
    path.map(Log::open).transpose()
}

/// What a guardian is to do for one run.
pub struct Duties<'a> {
    /// The lock and its mark, where it holds them in the command's place.
    kept: Vec<OwnedFd>,
    /// When it ends the job.
    max_runtime: Option<&'a MaxRuntime>,
    /// The connection that it watches.
    connection: Option<BorrowedFd<'a>>,
    /// What it does when that is lost.
    on_lost: OnLost,
    /// How long after SIGTERM it sends SIGKILL, if that was said.
    kill_after: Option<Duration>,
    /// Whom it sends a signal.
    reach: Reach,
    /// Where it logs what it did: an open file of its own, which does not block.
    log: Option<Log>,
    /// Of which lock.
    target: LockTarget,
}

impl<'a> Duties<'a> {
    /// The duties of this run, if it has any. Where the job is to be ended, our process leads a process
    /// group from here on, if it can.
    ///
    /// # Errors
    ///
    /// [`Error::Guardian`].
    pub fn of(held: &'a Held, run: &'a Run, log: Option<Log>) -> Result<Option<Duties<'a>>, Error> {
        match is_needed(run) {
            true => Duties::new(held, run, log).map(Some),
            false => Ok(None),
        }
    }

    /// What a guardian has to do, be it to hold the lock or to end the job.
    #[cold]
    fn new(held: &'a Held, run: &'a Run, log: Option<Log>) -> Result<Duties<'a>, Error> {
        let target = held.file().target();
        let cannot = |reason| Error::Guardian(target, reason);
        let kept = match run.keeper {
            Keeper::Guardian => held.descriptors().map(keep).collect(),
            Keeper::Command => Ok(Vec::new()),
        };
        let reach = match ends_job(run) {
            true => lead_a_group(),
            false => Ok(Reach::Process),
        };
        let on_lost = on_lost(run);
        Ok(Duties {
            kept: kept.map_err(cannot)?,
            max_runtime: run.max_runtime.as_ref(),
            connection: (on_lost != OnLost::Ignore).then(|| held.file().as_fd()),
            on_lost,
            kill_after: run.kill_after,
            reach: reach.map_err(cannot)?,
            log,
            target,
        })
    }

    /// Whether it is to end the job and reaches its first process only.
    pub fn reach_one_process(&self) -> bool {
        let ends = self.max_runtime.is_some() || self.connection.is_some();
        ends && self.reach == Reach::Process
    }

    /// Starts the guardian. Until exec we hold the lock as well, and from the guardian's first word on
    /// it does: there is no moment at which nobody does.
    ///
    /// # Errors
    ///
    /// [`Error::Guardian`]; nothing is left then.
    #[cold]
    pub fn start(self) -> Result<Guardian, Error> {
        let target = self.target;
        sys::start_guardian(self).map_err(|reason| Error::Guardian(target, reason))
    }
}

/// Has exec take a descriptor away from the command, and gives the guardian one in its place.
fn keep(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    fcntl_dupfd_cloexec(descriptor, 10)
}

/// Makes our process the leader of a process group, so that a signal reaches all of the job and nobody
/// else: unless it is one already, as an interactive shell's job is, or has a terminal, where a group of
/// its own would be one in the background, without keys and without Ctrl-C.
fn lead_a_group() -> Result<Reach, Errno> {
    if sys::leads_group() {
        return Ok(Reach::Group);
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match fs::open("/dev/tty", flags, Mode::empty()) {
        // There is no terminal (tty(4)).
        Err(Errno::NXIO) => setpgid(None, None).map(|()| Reach::Group),
        _ => Ok(Reach::Process),
    }
}

impl Duty for Duties<'_> {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let kept = self.kept.iter().map(AsFd::as_fd);
        kept.chain(self.log.iter().flat_map(Log::descriptors))
            .collect()
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection
    }

    /// Waits for the end of the command's process, and ends the job if there is a reason to. What is held
    /// is let go of before the end is logged: nobody waits for a log.
    #[cold]
    fn carry_out(self, ward: Ward) {
        let mut job = Job::of(ward);
        let limit = self.max_runtime.map(|limit| limit.after);
        let due = limit.and_then(|after| Instant::now().checked_add(after));
        let reason = match (job.wait(due), self.max_runtime) {
            (Event::Due, Some(limit)) => {
                self.end_job(&mut job, KILL_AFTER_TIME, None);
                Some(HowEnded::ByMaxRuntime(&limit.given))
            }
            (Event::Lost, _) => {
                let signal = match self.on_lost {
                    OnLost::Kill => "SIGKILL",
                    _ => "SIGTERM",
                };
                let lost = Notice::Lost(self.target, job.ward.pid(), Some((signal, self.reach)));
                match self.on_lost {
                    OnLost::Kill => self.kill_job(&mut job, Some(&lost)),
                    _ => self.end_job(&mut job, KILL_AFTER_LOSS, Some(&lost)),
                }
                Some(HowEnded::ByLoss)
            }
            _ => None,
        };
        drop(self.kept);
        if let Some(log) = &self.log {
            // What nobody could be sent is no reason.
            let reason = reason.filter(|_| job.was_told);
            let how = reason.or_else(|| job.ward.end().map(HowEnded::Itself));
            let lasted = job.lasted.unwrap_or_default();
            log.line(&Notice::Ended(self.target, job.ward.pid(), lasted, how));
        }
    }
}

impl Duties<'_> {
    /// SIGTERM to the job, and after this time, if no other was said, SIGKILL to what is left of it.
    /// SIGCONT, since what is stopped hears nothing else. Why is logged when it is sent. Returns when the
    /// command's process has ended and either nobody is left or SIGKILL was sent.
    fn end_job(&self, job: &mut Job, kill_after: Duration, why: Option<&Notice<'_>>) {
        self.send(job, libc::SIGTERM);
        let _ = job.ward.signal(self.reach, libc::SIGCONT);
        why.into_iter().for_each(|why| self.log(why));
        let kill_at =
            |after: Duration| Instant::now().checked_add(self.kill_after.unwrap_or(after));
        let mut deadline = kill_at(kill_after);
        // Nothing tells that a group is empty, so it is asked, at first often. Well under a second, so that
        // its number is not too old for SIGKILL on a busy machine.
        let mut pause = Duration::from_millis(5);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            if job.pause(left.map_or(pause, |left| pause.min(left))) == Event::Lost {
                let kills = self.on_lost == OnLost::Kill;
                let sent = kills.then_some(("SIGKILL", self.reach));
                self.log(&Notice::Lost(self.target, job.ward.pid(), sent));
                if kills {
                    break;
                }
                // From now on somebody else may have the lock soon.
                let sooner = kill_at(KILL_AFTER_LOSS);
                deadline = [deadline, sooner].into_iter().flatten().min();
            }
            if job.is_over(self.reach) {
                return;
            }
            pause = (pause * 2).min(Duration::from_millis(250));
        }
        self.kill_job(job, None);
    }

    /// SIGKILL to the job. Why is logged when it is sent. Returns when the command's process has ended.
    fn kill_job(&self, job: &mut Job, why: Option<&Notice<'_>>) {
        self.send(job, libc::SIGKILL);
        why.into_iter().for_each(|why| self.log(why));
        while job.wait(None) != Event::Ended {}
    }

    /// Sends the job a signal, and logs if nobody could be reached.
    fn send(&self, job: &mut Job, signal: libc::c_int) {
        let sent = job.ward.signal(self.reach, signal);
        job.was_told |= sent.is_ok();
        if let Err(reason) = sent {
            self.log(&Notice::Unreached(
                self.target,
                job.ward.pid(),
                signal,
                reason,
            ));
        }
    }

    /// Logs something, if there is a log.
    fn log(&self, notice: &Notice<'_>) {
        if let Some(log) = &self.log {
            log.line(notice);
        }
    }
}
