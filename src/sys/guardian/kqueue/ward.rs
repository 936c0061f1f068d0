//! What the guardian of macOS and the BSDs sees of its ward, and does to it. The kqueue is on 1.
//!
//! NOTE_EXIT may be asked for of any process, not only of a child (kqueue(2)), and a process that
//! is gone already is ESRCH. It comes when no instruction of the process is executed any more and
//! its descriptors are closed: on FreeBSD before the parent is told (exit1 in
//! sys/kern/kern_exit.c), on macOS even before the process can be waited for (proc_exit in
//! bsd/kern/kern_exit.c). With it comes the status of wait(2): on the BSDs always, on macOS if
//! NOTE_EXITSTATUS asks for it, which it may of a process of the same user (EACCES otherwise).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::time::{Duration, Instant};

use libc::c_int;
use rustix::event::kqueue::{Event as Heard, EventFilter, EventFlags, ProcessEvents, kevent};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::Pid;
use rustix::stdio::stdout;

use super::super::{End, Event, Group, Reach};
use crate::sys::errno::check;

/// The process that a guardian was started by, whatever it is by now.
pub struct Ward {
    /// Its number, which stays its own as long as it is not reaped.
    pid: Pid,
    /// Its process group, if it leads one.
    group: Group,
    /// Whether the kernel tells how it ends.
    tells_status: bool,
    /// It has ended, with this status if that was told: the kernel says it once.
    ended: Option<Option<c_int>>,
}

impl Ward {
    /// Has this queue tell of the ward's end, and of that of its connection.
    ///
    /// # Errors
    ///
    /// As kevent(2).
    pub(super) fn watch(
        pid: Pid,
        connection: Option<BorrowedFd<'_>>,
        queue: impl AsFd,
    ) -> Result<Ward, Errno> {
        let end = |flags| {
            let filter = EventFilter::Proc { pid, flags };
            add(&queue, filter, EventFlags::ADD)
        };
        let tells_status = match end(ProcessEvents::EXIT | WITH_STATUS) {
            Err(Errno::ACCESS) => end(ProcessEvents::EXIT).map(|()| false),
            added => added.map(|()| true),
        }?;
        if let Some(connection) = connection {
            // By its edges: bytes that are there stay there, and are no end.
            let filter = EventFilter::Read(connection.as_raw_fd());
            add(&queue, filter, EventFlags::ADD | EventFlags::CLEAR)?;
        }
        Ok(Ward {
            pid,
            group: Group::of(pid),
            tells_status,
            ended: None,
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for what happens first. A moment of `None` never comes.
    pub fn wait(&mut self, until: Option<Instant>) -> Event {
        loop {
            if self.ended.is_some() {
                return Event::Ended;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match hear(left.map(|left| left.min(LONGEST))) {
                Some(heard) => match heard.filter() {
                    EventFilter::Proc { .. } => {
                        let status = c_int::try_from(heard.data()).ok();
                        self.ended = Some(status.filter(|_| self.tells_status));
                    }
                    _ if heard.flags().contains(EventFlags::EOF) => return Event::Lost,
                    _ => {}
                },
                None if left.is_some_and(|left| left.is_zero()) => return Event::Due,
                None => {}
            }
        }
    }

    /// Sends it a signal, or its group, by its number, see [`Group`].
    ///
    /// # Errors
    ///
    /// As kill(2): ESRCH where nobody is left, EPERM where nobody may be sent it. And
    /// [`NUMBER_IS_OLD`](super::super::NUMBER_IS_OLD).
    pub fn signal(&self, reach: Reach, signal: c_int) -> Result<(), Errno> {
        match (reach, self.ended) {
            (Reach::Group, ended) => self.group.signal(ended.is_none(), signal),
            (Reach::Process, Some(_)) => Err(Errno::SRCH),
            (Reach::Process, None) => {
                let pid = self.pid.as_raw_nonzero().get();
                // SAFETY: kill(2) touches no memory of ours.
                check(unsafe { libc::kill(pid, signal) }).map(drop)
            }
        }
    }

    /// How it ended, once it has, if the kernel told.
    pub fn end(&self) -> Option<End> {
        self.ended.flatten().map(End::of)
    }
}

/// With the end of a process comes its status (sys/event.h of macOS).
#[cfg(target_vendor = "apple")]
const WITH_STATUS: ProcessEvents = ProcessEvents::from_bits_retain(libc::NOTE_EXITSTATUS);
/// It comes unasked.
#[cfg(not(target_vendor = "apple"))]
const WITH_STATUS: ProcessEvents = ProcessEvents::empty();

/// The longest time that the kernel is asked to wait: after it, it is asked again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Has a queue tell of something.
fn add(queue: impl AsFd, filter: EventFilter, flags: EventFlags) -> Result<(), Errno> {
    let change = Heard::new(filter, flags, ptr::null_mut());
    let mut none: [MaybeUninit<Heard>; 0] = [];
    // SAFETY: a descriptor that the change is about stays open as long as this process lives: the
    // guardian closes nothing that its duty needs.
    unsafe { kevent(&queue, &[change], &mut none, None) }?;
    Ok(())
}

/// What the queue on 1 tells, within this time.
fn hear(timeout: Option<Duration>) -> Option<Heard> {
    let mut heard = Vec::with_capacity(1);
    let room = rustix::buffer::spare_capacity(&mut heard);
    // SAFETY: no change is registered, so no descriptor in one can be closed too early.
    let _ = unsafe { kevent(stdout(), &[], room, timeout) };
    heard.pop()
}

/// Whether the other end of a connection is closed. Bytes that it has sent are no end, and while they
/// are there, an end behind them is not seen.
///
/// # Errors
///
/// As recv(2).
pub fn has_ended(connection: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut byte = [0];
    match recv(connection, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, length)) => Ok(length == 0),
        Err(Errno::AGAIN) => Ok(false),
        Err(Errno::CONNRESET) => Ok(true),
        Err(reason) => Err(reason),
    }
}
