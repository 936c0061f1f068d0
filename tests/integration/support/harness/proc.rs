//! Processes and locks, as the kernel tells of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
#[cfg(not(target_os = "linux"))]
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::run::PATIENCE;
#[cfg(not(target_os = "linux"))]
use super::run::Run;

pub fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// A process that is stopped as long as this lives. Linux only.
pub struct Stopped(pub u32);

impl Stopped {
    #[track_caller]
    pub fn new(pid: u32) -> Stopped {
        kill(pid, libc::SIGSTOP);
        let stopped = Stopped(pid);
        eventually("it is stopped", || state(pid) == Some('T'));
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, libc::SIGCONT);
    }
}

/// A process that somebody has left behind, by its PID. It is killed when this goes out of scope.
pub struct Orphan(pub u32);

impl Orphan {
    /// Whether it is there, and no zombie. Linux only.
    pub fn runs(&self) -> bool {
        state(self.0).is_some_and(|state| state != 'Z')
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        kill(self.0, libc::SIGKILL);
    }
}

/// The state of a process, if it is there, by `/proc/PID/stat`: the letter behind its name.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until this process has become `cat`, as the command of [`super::HOLD`] does after it has said
/// "held", so that its command line changes no more. Linux only.
#[track_caller]
pub fn settled(pid: u32) -> u32 {
    eventually("it has become cat", || {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"cat\0")
    });
    pid
}

/// Waits, in short looks, until something is so that no event tells of.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// The lines of `/proc/locks` about this file, waiters' (with "->") among them: the kernel's own word
/// on who has a lock and who waits for one, and nobody's lock is touched by asking. It may leave a line
/// out while other locks come and go, so one look is not enough to find one. Linux only.
pub fn locks_on(path: &Path) -> Vec<String> {
    let inode = fs::metadata(path).unwrap().ino().to_string();
    let device = device_in_table(path);
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace();
        let place = words.find(|word| word.matches(':').count() == 2);
        let place = place.and_then(|place| place.rsplit_once(':'));
        let is_on = |there: &str| device.as_ref().is_none_or(|device| device == there);
        place.is_some_and(|(there, number)| number == inode && is_on(there))
    };
    let table = fs::read_to_string("/proc/locks").unwrap();
    table.lines().filter(is_it).map(str::to_owned).collect()
}

/// The number that the table has for a file's file system, if it is the one of stat(2).
#[cfg(target_os = "linux")]
fn device_in_table(path: &Path) -> Option<String> {
    let device = fs::metadata(path).unwrap().dev();
    let kind = rustix::fs::statfs(path).unwrap().f_type;
    let has_its_own = [libc::BTRFS_SUPER_MAGIC, libc::OVERLAYFS_SUPER_MAGIC].contains(&kind);
    let (major, minor) = (libc::major(device), libc::minor(device));
    (!has_its_own).then(|| format!("{major:02x}:{minor:02x}"))
}

#[cfg(not(target_os = "linux"))]
fn device_in_table(_: &Path) -> Option<String> {
    None
}

/// Waits until nobody has a lock on this file. Linux only.
#[track_caller]
pub fn becomes_free(path: &Path) {
    // One look may miss it.
    let is_free = || (0..8).all(|_| locks_on(path).is_empty());
    eventually("the lock is free", is_free);
}

/// Whether a process has a lock on this file through one of its descriptors: the `lock:` lines of
/// `/proc/PID/fdinfo`. Linux only.
pub fn holds_lock(pid: u32, path: &Path) -> bool {
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|info| {
            info.lines()
                .any(|line| line.starts_with("lock:") && line.contains(&inode))
        })
}

/// Whether a process waits for a lock on this file, by the kernel's table of locks. Record locks
/// have no PID there but -1.
#[cfg(target_os = "linux")]
pub fn waits_for_lock(pid: u32, path: &Path) -> bool {
    let is_its = |word: &str| word == pid.to_string() || word == "-1";
    locks_on(path)
        .iter()
        .any(|line| line.contains("->") && line.split_whitespace().any(is_its))
}

/// Whether a process waits for a lock. No table tells it here, but nonoverlap sleeps for nothing
/// else.
#[cfg(not(target_os = "linux"))]
pub fn waits_for_lock(pid: u32, _: &Path) -> bool {
    let ended = Command::new("ps")
        .args(["-o", "state=,comm=", "-p", &pid.to_string()])
        .run();
    let seen = ended.stdout();
    seen.trim_start().starts_with(['S', 'I']) && seen.trim_end().ends_with("nonoverlap")
}
