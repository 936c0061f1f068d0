//! What a call touches if it is made now: what things are is in `touch.rs`.

use libc::c_int;

use super::call::{Act, Call};
use super::touch::{self, Things, Touch};
use super::world::World;

impl Call {
    /// What it touches if it is made now by this program.
    pub fn touch(&self, world: &mut World, who: usize) -> Touch {
        let mut touch = match &self.act {
            Act::Open { path, flags } => open(world, who, path, *flags),
            Act::Stat { path, follows } => {
                let (_, reads) = named(world, path, *follows);
                Touch::reading(reads | touch::MODES)
            }
            Act::Read { file } => Touch::reading(touch::file(*file) | touch::MODES),
            Act::Write { file, .. } => Touch::writing(touch::file(*file)),
            Act::AskLock { file } => Touch::reading(touch::lock(*file)),
            Act::Lock { file, .. } => Touch::writing(touch::lock(*file)),
            Act::Close { file, .. } => {
                let leaves = if world.programs[who].in_job {
                    touch::INSIDE
                } else {
                    0
                };
                Touch::writing(touch::lock(*file) | touch::process(who) | leaves)
            }
            Act::Table => Touch::reading(touch::locks() | touch::processes()),
            Act::Look { things, opens } => Touch {
                reads: *things,
                writes: if *opens { touch::process(who) } else { 0 },
            },
            Act::Execute => Touch::reading(touch::INSIDE),
            Act::Fork => Touch::writing(touch::processes()),
            Act::Exit => Touch::writing(world.lost_at_end(who)),
            Act::Sleep { .. } => {
                Touch::reading(touch::locks() | touch::processes() | touch::names())
            }
            Act::Deed => unreachable!("deeds are done by somebody else"),
        };
        touch.writes |= touch::life(who);
        touch
    }
}

/// Of a path: the name that would be made if there is none, and all that is read on the way to the file.
fn named(world: &mut World, path: &str, follows: bool) -> (Things, Things) {
    let (above, mut last) = world.names(path);
    let mut reads = above | last;
    let target = follows.then(|| world.target_of(path)).flatten();
    if let Some(target) = target {
        let (above, name) = world.names(&target);
        reads |= above | name;
        last = name;
    }
    reads |= world.file_at(path, follows).map_or(0, touch::file);
    (last, reads)
}

fn open(world: &mut World, who: usize, path: &str, flags: c_int) -> Touch {
    let follows = flags & (libc::O_NOFOLLOW | libc::O_EXCL) == 0;
    let (last, reads) = named(world, path, follows);
    let there = world.file_at(path, follows);
    let mut writes = touch::process(who);
    if there.is_none() && flags & libc::O_CREAT != 0 {
        writes |= last;
    }
    if flags & libc::O_TRUNC != 0 {
        writes |= there.map_or(0, touch::file);
    }
    // Its bytes and times are not read, nor its number of names.
    let reads = reads & touch::names() | touch::MODES;
    Touch { reads, writes }
}
