//! The calls that take, drop and ask about locks, on whatever file: the lock file, or an anonymous one
//! whose lock says to readers of `/proc/locks` that somebody is there.

use libc::{c_int, user_regs_struct};

use super::call::{Act, Call, Seen};
use super::tracer;
use super::world::World;

/// The locks of a process: which descriptor has one, and on which file.
#[derive(Clone, Default)]
pub struct Locks {
    by_descriptor: Vec<(i64, usize)>,
    /// Files of which a descriptor was copied: a copy may keep the lock when the first is closed.
    copied: Vec<usize>,
}

impl Locks {
    pub fn take(&mut self, descriptor: i64, file: usize) {
        self.drop(descriptor);
        self.by_descriptor.push((descriptor, file));
    }

    pub fn drop(&mut self, descriptor: i64) {
        self.by_descriptor.retain(|(other, _)| *other != descriptor);
    }

    /// The file whose lock this descriptor has.
    pub fn of(&self, descriptor: i64) -> Option<usize> {
        let found = self
            .by_descriptor
            .iter()
            .find(|(other, _)| *other == descriptor);
        found.map(|(_, file)| *file)
    }

    pub fn copied(&mut self, descriptor: i64) {
        self.copied.extend(self.of(descriptor));
    }

    /// Every file that it may have a lock on.
    pub fn files(&self) -> impl Iterator<Item = usize> {
        let kept = self.by_descriptor.iter().map(|(_, file)| *file);
        kept.chain(self.copied.iter().copied())
    }
}

/// flock(2), or one of the locks of fcntl(2).
pub fn decode(world: &mut World, who: usize, at: &user_regs_struct) -> Seen {
    let number = at.orig_rax as i64;
    let pid = world.programs[who].pid;
    let descriptor = at.rdi as c_int as i64;
    let order = at.rsi as c_int;
    if number == libc::SYS_fcntl {
        match order {
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => world.programs[who].locks.copied(descriptor),
            libc::F_GETLK
            | libc::F_OFD_GETLK
            | libc::F_SETLK
            | libc::F_SETLKW
            | libc::F_OFD_SETLK
            | libc::F_OFD_SETLKW => {}
            _ => return Seen::Nothing,
        }
    }
    if number == libc::SYS_fcntl && matches!(order, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
        return Seen::Nothing;
    }
    let Some(file) = world.file_of(pid, descriptor) else {
        return Seen::Nothing;
    };
    let (kind, waits, drops, asks) = if number == libc::SYS_flock {
        let kind = match order & !libc::LOCK_NB {
            libc::LOCK_SH => "SH",
            libc::LOCK_UN => "UN",
            _ => "EX",
        };
        (
            kind,
            order & libc::LOCK_NB == 0,
            order & libc::LOCK_UN != 0,
            false,
        )
    } else {
        // struct flock begins with the kind of lock.
        let kind = match tracer::number(pid, at.rdx) as i16 as c_int {
            libc::F_RDLCK => "RD",
            libc::F_UNLCK => "UN",
            _ => "WR",
        };
        let waits = matches!(order, libc::F_SETLKW | libc::F_OFD_SETLKW);
        let asks = matches!(order, libc::F_GETLK | libc::F_OFD_GETLK);
        (kind, waits, kind == "UN", asks)
    };
    let what = match (number, order) {
        (libc::SYS_flock, _) => "flock",
        (_, libc::F_GETLK) => "F_GETLK",
        (_, libc::F_OFD_GETLK) => "F_OFD_GETLK",
        (_, libc::F_SETLK | libc::F_SETLKW) => "F_SETLK",
        _ => "F_OFD_SETLK",
    };
    let waiting = if waits && !drops { ", waits" } else { "" };
    let act = match asks {
        true => Act::AskLock { file },
        false => Act::Lock {
            file,
            descriptor,
            waits: waits && !drops,
            drops,
        },
    };
    let text = format!("{what}(#{file}, {kind}{waiting})");
    Seen::Step(Call { number, text, act })
}

/// The same call, but it does not wait.
pub fn without_waiting(number: i64, order: u64) -> u64 {
    match number {
        libc::SYS_flock => order | libc::LOCK_NB as u64,
        // F_SETLKW follows upon F_SETLK, and F_OFD_SETLKW upon F_OFD_SETLK.
        _ => order - 1,
    }
}

/// close(2), which matters if the descriptor has a lock.
pub fn closing(world: &mut World, who: usize, number: i64, descriptor: i64) -> Seen {
    let Some(file) = world.programs[who].locks.of(descriptor) else {
        return Seen::Nothing;
    };
    let text = format!("close({descriptor} = #{file}, which is locked)");
    Seen::Step(Call {
        number,
        text,
        act: Act::Close { file, descriptor },
    })
}
