//! What Linux's `/proc` tells of a process (proc_pid_stat(5), proc_pid_status(5)).

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::readlink;

use super::read::{read, read_start};
use crate::sys::guardian::GUARDIAN;
use crate::sys::observe::{Identity, Process};

/// In a process's flags, from the beginning of its exit on (the kernel's sched.h).
const PF_EXITING: u64 = 0x4;
/// In the flags of a thread of the kernel's own (the kernel's sched.h).
const PF_KTHREAD: u64 = 0x0020_0000;

/// More of a command line than this is shown nowhere, and it may have megabytes (`text/escape.rs`).
const MOST_SHOWN: usize = 1001;

/// Looks a process up in its `stat`.
pub fn process(pid: u32) -> Option<Process> {
    let stat = read(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in parentheses may hold anything, parentheses too.
    let (name, rest) = stat.rsplit_once(')')?;
    let is_guardian = name.split_once('(')?.1.as_bytes() == GUARDIAN.to_bytes();
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    let flags: u64 = words.nth(4)?.parse().ok()?;
    let ticks: u64 = words.nth(12)?.parse().ok()?;
    let since_boot =
        Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second());
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(
        u64::try_from(uptime.tv_sec).ok()?,
        u32::try_from(uptime.tv_nsec).ok()?,
    );
    Some(Process {
        parent,
        has_ended: matches!(state, "Z" | "X") || flags & PF_EXITING != 0,
        is_stopped: matches!(state, "T" | "t"),
        ward: is_guardian.then(|| ward(pid)).flatten(),
        is_kernels: flags & PF_KTHREAD != 0,
        started: SystemTime::now().checked_sub(uptime.saturating_sub(since_boot)),
    })
}

/// The process whose lock a guardian holds, as its pidfd tells, which is on 1. Nothing where that
/// process has ended, or where something else only has a guardian's name.
fn ward(guardian: u32) -> Option<u32> {
    let info = read(Path::new(&format!("/proc/{guardian}/fdinfo/1"))).ok()?;
    let info = String::from_utf8_lossy(&info);
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    number.trim().parse().ok().filter(|&pid| pid > 0)
}

/// Looks up whose a process is in its `status`.
pub fn identity(pid: u32) -> Identity {
    let status = read(Path::new(&format!("/proc/{pid}/status"))).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
    };
    Identity {
        user: numbers("Uid:").nth(1),
        inner_pid: numbers("NSpid:").skip(1).last(),
    }
}

/// Looks up the start of a command line in `cmdline`, or a name in `comm`.
pub fn command_line(pid: u32) -> Option<Vec<u8>> {
    let mut line = read_start(Path::new(&format!("/proc/{pid}/cmdline")), MOST_SHOWN).ok()?;
    while line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        let name = read(Path::new(&format!("/proc/{pid}/comm"))).ok()?;
        return Some([b"[", name.trim_ascii_end(), b"]"].concat());
    }
    line.iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b' ');
    Some(line)
}

/// Our PID in the namespace whose `/proc` this is; what getpid(2) says where we are in none.
pub fn pid_in_proc() -> u32 {
    let name = readlink("/proc/self", Vec::new()).ok();
    let number = name.and_then(|name| name.to_str().ok()?.parse().ok());
    number.unwrap_or_else(std::process::id)
}

/// Only the initial PID namespace has a number for every process; the namespace's own number is
/// fixed (PROC_PID_INIT_INO in the kernel's proc_ns.h).
pub fn knows_every_pid() -> bool {
    readlink("/proc/self/ns/pid", Vec::new())
        .is_ok_and(|name| name.as_bytes() == b"pid:[4026531836]")
}
