//! Where all of it happens: a namespace of processes and of mounts of our own, of which this is the first
//! process, and a folder in memory. With it goes everything that a run left behind.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{geteuid, getgid, getuid};

use super::{job, table, tracer};

/// The first word of the process in the namespace; then comes the folder.
pub const INSIDE: &str = "--in-its-own-namespace";

/// Runs this program again, with its words, as the first process of a namespace, and gives how it ended.
/// The folder is there outside, too, and empty.
pub fn enter(words: &[String]) -> Result<ExitStatus, String> {
    let cannot = |what: &str, reason: &dyn std::fmt::Display| format!("{what}: {reason}");
    let mut flags = CloneFlags::CLONE_NEWPID;
    let (user, group) = (getuid(), getgid());
    let is_root = geteuid().is_root();
    if !is_root {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|reason| cannot("a namespace of processes", &reason))?;
    if !is_root {
        // In it we are root.
        let write = |name, text: String| {
            let file = format!("/proc/self/{name}");
            fs::write(&file, text).map_err(|reason| cannot(&file, &reason))
        };
        write("setgroups", "deny".into())?;
        write("uid_map", format!("0 {} 1", user.as_raw()))?;
        write("gid_map", format!("0 {} 1", group.as_raw()))?;
    }
    let folder = tempfile::tempdir().map_err(|reason| cannot("a folder", &reason))?;
    let program = std::env::current_exe().map_err(|reason| cannot("ourselves", &reason))?;
    let mut command = Command::new(program);
    command.arg(INSIDE).arg(folder.path()).args(words);
    let end_with_us = || set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from);
    // SAFETY: the closure makes one system call and allocates nothing.
    let status = unsafe { command.pre_exec(end_with_us) }.status();
    status.map_err(|reason| cannot("ourselves", &reason))
}

/// What there is in the namespace.
pub struct Realm {
    /// The folder of the lock file, in memory.
    pub folder: PathBuf,
    /// The command under the lock.
    pub job: PathBuf,
}

impl Realm {
    /// Makes it, in this folder.
    pub fn make(outer: PathBuf) -> Result<Realm, String> {
        let cannot = |what: &str, reason: &dyn std::fmt::Display| format!("{what}: {reason}");
        // Not shared with the process outside, which is to find its folder as it was.
        unshare(CloneFlags::CLONE_NEWNS).map_err(|reason| cannot("mounts", &reason))?;
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).map_err(|reason| cannot("mounts", &reason))?;
        let proc = Some("proc");
        mount(proc, "/proc", proc, MsFlags::empty(), none)
            .map_err(|reason| cannot("/proc", &reason))?;
        let memory = Some("tmpfs");
        mount(memory, &outer, memory, MsFlags::empty(), none)
            .map_err(|reason| cannot("tmpfs", &reason))?;
        let realm = Realm {
            folder: outer.join("w"),
            job: outer.join("job"),
        };
        fs::create_dir(&realm.folder).map_err(|reason| cannot("a folder", &reason))?;
        job::write(&realm.job);
        table::cover(&realm.folder)?;
        let last = "/proc/sys/kernel/ns_last_pid";
        fs::write(last, "100").map_err(|reason| cannot(last, &reason))?;
        // SAFETY: it sets a number, and gives the one before.
        unsafe { libc::umask(0o022) };
        stay_on_one_processor();
        tracer::start_ticking();
        tracer::try_out(&realm.job)?;
        Ok(realm)
    }
}

/// A step is a switch from one process to another, and on one processor that costs the least.
fn stay_on_one_processor() {
    let own = Pid::from_raw(0);
    let may = sched_getaffinity(own).unwrap_or_default();
    let last = (0..CpuSet::count())
        .rev()
        .find(|one| may.is_set(*one) == Ok(true));
    let mut one = CpuSet::new();
    if last.is_some_and(|last| one.set(last).is_ok()) {
        let _ = sched_setaffinity(own, &one);
    }
}

/// How a process ended, for exit(3).
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
