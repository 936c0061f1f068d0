//! What a program asks of others by paths: their descriptors, as `/proc` shows them.

use super::call::{Act, Seen};
use super::touch;
use super::tracer;
use super::world::World;

/// A look at what `/proc` says of a program's descriptors. `narrow` if it opens or reads but a link.
pub fn of_process(world: &mut World, who: usize, number: i64, path: &str, narrow: bool) -> Seen {
    let Some((other, rest)) = world.process_of(path) else {
        return Seen::Nothing;
    };
    let (pid, name) = (
        world.programs[other].pid,
        world.programs[other].name.clone(),
    );
    let mut things = if other == who {
        0
    } else {
        touch::process(other)
    };
    let (kind, descriptor) = rest.split_once('/').unwrap_or((rest, ""));
    let number_of = descriptor.parse::<i64>().ok();
    let file = number_of.and_then(|descriptor| {
        let target = tracer::leads_to(pid, descriptor)?;
        let is_lock = target.starts_with("/memfd:") || world.within(&target).is_some();
        is_lock.then(|| world.file_of(pid, descriptor)).flatten()
    });
    let is_link = matches!(number, libc::SYS_readlink | libc::SYS_readlinkat);
    let is_stat = !is_link && !is_open(number);
    let verb = match (kind, number_of) {
        ("fdinfo", None) if other != who && is_open(number) => "opendir",
        ("fdinfo", Some(_)) if other != who && is_open(number) => {
            things |= file.map_or(0, touch::lock);
            "read"
        }
        ("fd", Some(descriptor)) if is_link => {
            // Its name of now: whatever changes that writes it.
            let target = tracer::leads_to(pid, descriptor).unwrap_or_default();
            let path = world.within(target.trim_end_matches(" (deleted)"));
            let (above, last) = world.names(&path.unwrap_or_default());
            things |= above | last;
            "readlink"
        }
        ("fd", Some(_)) if is_stat => {
            things |= file.map_or(0, touch::file) | touch::MODES;
            "stat"
        }
        ("fd", Some(_)) => {
            things |= touch::MODES;
            "open"
        }
        _ => return Seen::Nothing,
    };
    // A descriptor of something else than a lock file tells nothing, if it is there.
    let is_there = number_of.is_none_or(|number| tracer::leads_to(pid, number).is_some());
    if number_of.is_some() && file.is_none() && is_there {
        return Seen::Nothing;
    }
    let opens = verb == "open";
    let path_only = if opens && narrow { " PATH" } else { "" };
    let text = format!("{verb}(/proc/<{name}>/{rest}{path_only})");
    Seen::step(number, text, Act::Look { things, opens })
}

fn is_open(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2
    )
}

/// A path as a call has it, made whole by the folder that the call begins at.
pub fn whole_path(world: &World, who: usize, folder: i64, address: u64) -> String {
    let pid = world.programs[who].pid;
    let path = tracer::text(pid, address);
    if path.starts_with('/') {
        return path.replacen("/proc/self/", &format!("/proc/{pid}/"), 1);
    }
    let from = match folder {
        folder if folder == i64::from(libc::AT_FDCWD) => {
            std::fs::read_link(format!("/proc/{pid}/cwd"))
                .ok()
                .map(|link| link.display().to_string())
        }
        folder => tracer::leads_to(pid, folder),
    };
    let from = from.unwrap_or_default();
    format!("{from}/{}", path.strip_prefix("./").unwrap_or(&path))
}
