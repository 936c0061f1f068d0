//! What the guardian of Linux sees of its ward, and does to it. The ward's pidfd is on 1.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use libc::{c_int, c_uint};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::readlink;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;
use rustix::stdio::stdout;

use super::super::{End, Event, Group, Reach};
use crate::sys::clock::pause;
use crate::sys::errno::check;

/// The process that a guardian was started by, whatever it is by now.
pub struct Ward {
    /// Its number, which stays its own as long as it is not reaped.
    pid: Pid,
    /// Its process group, if it leads one.
    group: Group,
    /// What tells of the end of its connection.
    connection: Option<OwnedFd>,
}

impl Ward {
    /// Our ward, whose pidfd is on 1.
    pub(super) fn new(pid: Pid, connection: Option<OwnedFd>) -> Ward {
        let group = Group::of(pid);
        Ward {
            pid,
            group,
            connection,
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for what happens first. A moment of `None` never comes.
    ///
    /// A pidfd can be read when its process has ended (pidfd_open(2)); poll(2) does not count the time in
    /// which the machine sleeps.
    pub fn wait(&mut self, until: Option<Instant>) -> Event {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec::try_from(left).unwrap_or(LONGEST));
            let connection = self.connection.as_ref().map_or(stdout(), AsFd::as_fd);
            let mut heard =
                [stdout(), connection].map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN));
            // An error is no answer: it is asked again.
            let count = poll(&mut heard, timeout.as_ref()).unwrap_or(0);
            let [ward, connection] = heard.map(|it| count > 0 && !it.revents().is_empty());
            if ward {
                return Event::Ended;
            }
            if connection {
                self.connection = None;
                return Event::Lost;
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Event::Due;
            }
        }
    }

    /// Sends it a signal, or its group.
    ///
    /// By the pidfd, which is never another process's, nor the number of another group's. Before
    /// Linux 6.9 a group has to be named by its number, see [`Group`].
    ///
    /// # Errors
    ///
    /// As pidfd_send_signal(2): ESRCH where nobody is left, EPERM where nobody may be sent it. And
    /// [`NUMBER_IS_OLD`](super::super::NUMBER_IS_OLD).
    pub fn signal(&self, reach: Reach, signal: c_int) -> Result<(), Errno> {
        match reach {
            Reach::Process => pidfd_send_signal(signal, 0),
            Reach::Group => match pidfd_send_signal(signal, PIDFD_SIGNAL_PROCESS_GROUP) {
                Err(Errno::INVAL) => {
                    let is_there = pidfd_send_signal(0, 0) != Err(Errno::SRCH);
                    self.group.signal(is_there, signal)
                }
                sent => sent,
            },
        }
    }

    /// How it ended, once it has: from `/proc` while its parent has not reaped it yet, and else by
    /// the pidfd, if the kernel (6.15) tells that. Waits for its reaping for a second.
    pub fn end(&self) -> Option<End> {
        for _ in 0..100 {
            if let Some(status) = self.status_of_zombie() {
                return Some(End::of(status));
            }
            match status_of_reaped() {
                Ok(Some(status)) => return Some(End::of(status)),
                Ok(None) => {
                    let _ = pause(Duration::from_millis(10));
                }
                Err(_) => return None,
            }
        }
        None
    }

    /// The 52nd field of its stat (proc_pid_stat(5)), which is 0 for whoever may not know: that is told
    /// by a link under the same condition, PTRACE_MODE_READ_FSCREDS. And the number is still
    /// its own if a signal can reach it afterwards.
    fn status_of_zombie(&self) -> Option<c_int> {
        let folder = format!("/proc/{}", self.pid());
        let stat = std::fs::read(format!("{folder}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name in parentheses may hold anything, parentheses too.
        let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = words.next()?;
        let status = words.nth(48)?.parse().ok()?;
        readlink(format!("{folder}/ns/user"), Vec::new()).ok()?;
        let is_there = pidfd_send_signal(0, 0) != Err(Errno::SRCH);
        (state == "Z" && is_there).then_some(status)
    }
}

/// The longest time that poll(2) is asked to wait: after it, it is asked again.
const LONGEST: Timespec = Timespec {
    tv_sec: 1 << 30,
    tv_nsec: 0,
};

/// What tells of the end of a connection, as something to read, without keeping it open: the set of
/// epoll(7) refers to the open file, and loses it when the last descriptor of it is closed.
///
/// # Errors
///
/// As epoll_ctl(2): EPERM for what has no end.
pub(super) fn look_out(connection: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    // Not on a number that is to be another's in the guardian.
    let set = super::above_the_streams(set)?;
    let end = epoll::EventFlags::RDHUP;
    epoll::add(&set, connection, epoll::EventData::new_u64(0), end)?;
    Ok(set)
}

/// Whether the other end of a connection is closed. Bytes that it has sent are no end.
///
/// # Errors
///
/// As poll(2), and EBADF.
pub fn has_ended(connection: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut ended = [PollFd::from_borrowed_fd(connection, PollFlags::RDHUP)];
    let now = Timespec::default();
    retry_on_intr(|| poll(&mut ended, Some(&now)))?;
    let [ended] = ended.map(|it| it.revents());
    Ok(ended.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR))
}

/// The signal goes to the process group that the process leads (linux/pidfd.h).
const PIDFD_SIGNAL_PROCESS_GROUP: c_uint = 1 << 2;

/// Sends a signal by the ward's pidfd; 0 only asks whether it is there.
fn pidfd_send_signal(signal: c_int, flags: c_uint) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    let pidfd = stdout().as_raw_fd();
    // SAFETY: with no siginfo_t the kernel reads no memory of ours.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, none, flags) };
    check(sent as c_int).map(drop)
}

/// What a pidfd tells of its process (linux/pidfd.h), as far as the kernel of 6.13 has it.
#[repr(C)]
struct PidfdInfo {
    /// What is asked for, and what is told.
    mask: u64,
    /// The number of the control group.
    cgroup: u64,
    /// Numbers of processes, users and groups.
    numbers: [u32; 11],
    /// As of wait(2), since 6.15.
    exit_code: i32,
}

/// In the mask: the exit code (linux/pidfd.h).
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xff, 11, struct pidfd_info)` (linux/pidfd.h).
const PIDFD_GET_INFO: rustix::ioctl::Opcode =
    rustix::ioctl::opcode::read_write::<PidfdInfo>(0xff, 11);

/// The status of a ward that was reaped. None if it is not reaped yet.
///
/// # Errors
///
/// Where the kernel does not tell it: ENOTTY, EINVAL, ESRCH.
fn status_of_reaped() -> Result<Option<c_int>, Errno> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        cgroup: 0,
        numbers: [0; 11],
        exit_code: 0,
    };
    let pidfd = stdout().as_raw_fd();
    // SAFETY: the kernel writes no more to `info` than the size that is part of the number.
    check(unsafe { libc::ioctl(pidfd, PIDFD_GET_INFO as _, &raw mut info) })?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}
