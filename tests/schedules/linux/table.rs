//! The table of locks, as the programs of a run find it in `/proc/locks`.
//!
//! The kernel's own has the record locks of the whole machine in it, in every namespace; beside a busy
//! neighbour no reading of it comes out like another, and one in pieces may miss what stands there. So a
//! file of ours lies over it, which is written anew before each reading: what `fdinfo` says of the
//! descriptors of the programs of this run, in the same words.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::world::World;

/// What programs read.
pub const TABLE: &str = "/proc/locks";

/// What lies over it, beside the folder of the lock file.
fn ours(folder: &Path) -> PathBuf {
    folder.with_file_name("locks")
}

/// Lays it over the kernel's.
pub fn cover(folder: &Path) -> Result<(), String> {
    let table = ours(folder);
    fs::write(&table, "").map_err(|reason| format!("{}: {reason}", table.display()))?;
    let none = None::<&str>;
    mount(Some(&table), TABLE, none, MsFlags::MS_BIND, none)
        .map_err(|reason| format!("{TABLE}: {reason}"))
}

/// Has it say what is so now.
pub fn write(world: &World) {
    let mut lines: Vec<String> = Vec::new();
    for program in world
        .programs
        .iter()
        .filter(|program| program.is_alive() && !program.is_doer())
    {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fdinfo", program.pid)) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
            let locks = text.lines().filter_map(|line| line.strip_prefix("lock:"));
            let locks = locks
                .filter_map(|lock| lock.split_once(": "))
                .map(|(_, lock)| lock);
            // A child has the lock of its parent, and that is one. Whose taker has ended is not in the table
            // of a PID namespace.
            let is_told = |lock: &&str| lock.split_whitespace().nth(3) != Some("0");
            for lock in locks.filter(is_told) {
                if lines.iter().all(|line| line != lock) {
                    lines.push(lock.to_owned());
                }
            }
        }
    }
    let lines = lines
        .iter()
        .enumerate()
        .map(|(index, line)| format!("{}: {line}\n", index + 1));
    fs::write(ours(world.folder), lines.collect::<String>()).expect("the table of locks");
}
