//! The call at which a program stands: whether it is a step of a schedule, how it reads, and what it
//! touches.
//!
//! What is simplified. A descriptor that is opened and moved up is one step, since nobody looks at low
//! ones. To open and to list the descriptors of one process is one step, and so is to open and to read
//! what `/proc` says of one of them; what else is asked of a process there goes with the step before it.
//! A program that searches sees itself without steps. The folder that holds the lock file is there all
//! the time. A lock that is waited for is tried again whenever somebody lets go, so any waiter may win,
//! and a newcomer before it. Who sleeps goes on when something has changed, or when nobody else can move.
//! A protocol that uses other calls (sockets, extended attributes) needs a case here.

use libc::{c_int, user_regs_struct};

use super::look::{of_process, whole_path};
use super::table::TABLE;
use super::touch::{self, Things};
use super::tracer;
use super::world::World;

/// A call that is a step.
#[derive(Clone)]
pub struct Call {
    pub number: i64,
    pub text: String,
    pub act: Act,
}

#[derive(Clone)]
pub enum Act {
    /// A path in the folder is opened.
    Open {
        path: String,
        flags: c_int,
    },
    /// A path in the folder is asked for.
    Stat {
        path: String,
        follows: bool,
    },
    /// A file in the folder, open, is read or asked for.
    Read {
        file: usize,
    },
    /// It is written.
    Write {
        file: usize,
        descriptor: i64,
    },
    /// A lock is asked about, taken or dropped.
    AskLock {
        file: usize,
    },
    Lock {
        file: usize,
        descriptor: i64,
        waits: bool,
        drops: bool,
    },
    /// A descriptor that has a lock is closed.
    Close {
        file: usize,
        descriptor: i64,
    },
    /// The table of locks is read.
    Table,
    /// It looks into a process, or into all, and at these things through it.
    Look {
        things: Things,
        opens: bool,
    },
    Execute,
    Fork,
    Exit,
    /// It sleeps; `polls` if it waits for descriptors meanwhile.
    Sleep {
        polls: bool,
    },
    /// A deed of somebody's.
    Deed,
}

/// What to do with a program at the beginning of a call.
pub enum Seen {
    /// Nothing that concerns others: it goes on at once.
    Nothing,
    Step(Call),
    /// It may wait in the kernel for another program.
    MayWait,
    /// It asks for the time, and is to have it written there.
    Clock(u64),
    /// It changes names, which it never may.
    ChangesNames,
}

impl Seen {
    pub fn step(number: i64, text: String, act: Act) -> Seen {
        Seen::Step(Call { number, text, act })
    }
}

/// What a program is about to do.
pub fn decode(world: &mut World, who: usize, at: &user_regs_struct) -> Seen {
    let number = at.orig_rax as i64;
    let pid = world.programs[who].pid;
    let descriptor = at.rdi as c_int as i64;
    let step = |text: String, act| Seen::step(number, text, act);
    match number {
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 => {
            let (folder, path, flags) = match number {
                libc::SYS_open => (libc::AT_FDCWD.into(), at.rdi, at.rsi as c_int),
                libc::SYS_openat => (descriptor, at.rsi, at.rdx as c_int),
                _ => (descriptor, at.rsi, tracer::number(pid, at.rdx) as c_int),
            };
            let path = whole_path(world, who, folder, path);
            match world.within(&path) {
                Some(path) => step(opening(&path, flags), Act::Open { path, flags }),
                None => of_process(world, who, number, &path, flags & libc::O_PATH != 0),
            }
        }
        libc::SYS_stat | libc::SYS_lstat | libc::SYS_newfstatat | libc::SYS_statx => {
            let (folder, path, flags) = match number {
                libc::SYS_stat => (libc::AT_FDCWD.into(), at.rdi, 0),
                libc::SYS_lstat => (libc::AT_FDCWD.into(), at.rdi, libc::AT_SYMLINK_NOFOLLOW),
                libc::SYS_newfstatat => (descriptor, at.rsi, at.r10 as c_int),
                _ => (descriptor, at.rsi, at.rdx as c_int),
            };
            if flags & libc::AT_EMPTY_PATH != 0 && tracer::text(pid, path).is_empty() {
                return on_file(world, who, number, "fstat", folder);
            }
            let path = whole_path(world, who, folder, path);
            match world.within(&path) {
                Some(path) if path.is_empty() => Seen::Nothing,
                Some(path) => {
                    let follows = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
                    let verb = if follows { "stat" } else { "lstat" };
                    step(format!("{verb}({path})"), Act::Stat { path, follows })
                }
                None => of_process(world, who, number, &path, false),
            }
        }
        libc::SYS_fstat => on_file(world, who, number, "fstat", descriptor),
        libc::SYS_pwrite64 => on_file(world, who, number, "pwrite", descriptor),
        libc::SYS_write => on_file(world, who, number, "write", descriptor),
        libc::SYS_ftruncate => on_file(world, who, number, "ftruncate", descriptor),
        libc::SYS_read | libc::SYS_pread64 => match tracer::leads_to(pid, descriptor) {
            Some(path) if path == TABLE => step("read(/proc/locks)".into(), Act::Table),
            Some(path) if path.starts_with("pipe:") || path.starts_with("socket:") => Seen::MayWait,
            _ if number == libc::SYS_read => on_file(world, who, number, "read", descriptor),
            _ => on_file(world, who, number, "pread", descriptor),
        },
        libc::SYS_getdents64 => match tracer::leads_to(pid, descriptor) {
            Some(path) if path == "/proc" => {
                let things = touch::processes();
                step(
                    "getdents(/proc)".into(),
                    Act::Look {
                        things,
                        opens: false,
                    },
                )
            }
            _ => Seen::Nothing,
        },
        libc::SYS_readlink | libc::SYS_readlinkat => {
            let (folder, path) = match number {
                libc::SYS_readlink => (libc::AT_FDCWD.into(), at.rdi),
                _ => (descriptor, at.rsi),
            };
            let path = whole_path(world, who, folder, path);
            of_process(world, who, number, &path, true)
        }
        libc::SYS_flock | libc::SYS_fcntl => super::lock_call::decode(world, who, at),
        libc::SYS_close => super::lock_call::closing(world, who, number, descriptor),
        libc::SYS_dup | libc::SYS_dup2 | libc::SYS_dup3 => {
            world.programs[who].locks.copied(descriptor);
            Seen::Nothing
        }
        libc::SYS_kill => match world.program_of(at.rdi as i32) {
            Some(other) => {
                let text = format!("kill({}, {})", world.programs[other].name, at.rsi);
                let things = if at.rsi == 0 {
                    touch::process(other)
                } else {
                    touch::ALL
                };
                step(
                    text,
                    Act::Look {
                        things,
                        opens: false,
                    },
                )
            }
            None => Seen::Nothing,
        },
        libc::SYS_execve if world.programs[who].executed > 0 => {
            let path = tracer::text(pid, at.rdi);
            let word = path.rsplit('/').next().unwrap_or_default();
            step(format!("execve({word})"), Act::Execute)
        }
        libc::SYS_exit | libc::SYS_exit_group => step(format!("exit({})", at.rdi), Act::Exit),
        libc::SYS_clone | libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone3 => {
            step("fork()".into(), Act::Fork)
        }
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => {
            step("sleep()".into(), Act::Sleep { polls: false })
        }
        libc::SYS_poll | libc::SYS_ppoll => {
            let milliseconds = match (number, at.rdx) {
                (libc::SYS_poll, _) => i64::from(at.rdx as c_int),
                (_, 0) => -1,
                (_, place) => tracer::number(pid, place) | tracer::number(pid, place + 8),
            };
            match milliseconds {
                0 => Seen::Nothing,
                ..0 => Seen::MayWait,
                _ => step("sleep()".into(), Act::Sleep { polls: at.rsi > 0 }),
            }
        }
        libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_futex | libc::SYS_epoll_wait => {
            Seen::MayWait
        }
        libc::SYS_recvmsg | libc::SYS_recvfrom => Seen::MayWait,
        libc::SYS_clock_gettime if world.scenario.clock => Seen::Clock(at.rsi),
        libc::SYS_unlink
        | libc::SYS_unlinkat
        | libc::SYS_rename
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_symlink
        | libc::SYS_symlinkat
        | libc::SYS_link
        | libc::SYS_linkat
        | libc::SYS_chmod
        | libc::SYS_fchmod
        | libc::SYS_fchmodat
        | libc::SYS_truncate => Seen::ChangesNames,
        _ => Seen::Nothing,
    }
}

/// A call on an open file.
fn on_file(world: &mut World, who: usize, number: i64, verb: &str, descriptor: i64) -> Seen {
    let pid = world.programs[who].pid;
    let path = tracer::leads_to(pid, descriptor).unwrap_or_default();
    // A folder, such as the one that holds the lock file, is there all the time.
    if world.within(&path).is_none_or(|path| path.is_empty()) {
        return Seen::Nothing;
    }
    let Some(file) = world.file_of(pid, descriptor) else {
        return Seen::Nothing;
    };
    let act = match verb {
        "fstat" | "pread" | "read" => Act::Read { file },
        _ => Act::Write { file, descriptor },
    };
    Seen::step(number, format!("{verb}(#{file})"), act)
}

fn opening(path: &str, flags: c_int) -> String {
    let mut text = format!("open({path}");
    text += match flags & libc::O_ACCMODE {
        libc::O_WRONLY => " W",
        libc::O_RDWR => " RW",
        _ => "",
    };
    for (flag, word) in [
        (libc::O_CREAT, " CREAT"),
        (libc::O_EXCL, " EXCL"),
        (libc::O_TRUNC, " TRUNC"),
        (libc::O_PATH, " PATH"),
    ] {
        if flags & flag != 0 {
            text += word;
        }
    }
    text + ")"
}
