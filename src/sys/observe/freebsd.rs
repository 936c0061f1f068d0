//! What FreeBSD tells of a process: sysctl(3), and sys/user.h of its source for what that gives.
//! Only type-checked, never run.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::slice;
use std::time::{Duration, UNIX_EPOCH};

use libc::c_int;

use super::sysctl::{room_for_arguments, sysctl};
use super::{Identity, Process};

/// A process of the kernel's own (sys/proc.h, P_KPROC).
const KERNELS: libc::c_long = 0x4;

/// Looks a process up by KERN_PROC_PID.
pub fn process(pid: u32) -> Option<Process> {
    let info = info(pid)?;
    let start = Duration::new(
        u64::try_from(info.ki_start.tv_sec).ok()?,
        u32::try_from(info.ki_start.tv_usec)
            .ok()?
            .checked_mul(1000)?,
    );
    Some(Process {
        parent: u32::try_from(info.ki_ppid).ok()?,
        has_ended: info.ki_stat == libc::SZOMB
            || info.ki_flag & libc::c_long::from(libc::P_WEXIT) != 0,
        is_stopped: info.ki_stat == libc::SSTOP,
        is_kernels: info.ki_flag & KERNELS != 0,
        started: UNIX_EPOCH.checked_add(start),
        ..Process::default()
    })
}

/// What the kernel has of a process.
fn info(pid: u32) -> Option<libc::kinfo_proc> {
    let pid = c_int::try_from(pid).ok()?;
    let mut info = MaybeUninit::<libc::kinfo_proc>::zeroed();
    let size = size_of::<libc::kinfo_proc>();
    // SAFETY: zeroed, so that all bytes have a value, and used no longer than `info` lives.
    let place = unsafe { slice::from_raw_parts_mut(info.as_mut_ptr().cast::<u8>(), size) };
    let name = &mut [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, pid];
    let written = sysctl(name, place)?.len();
    // SAFETY: zeroed at first; integers and pointers of the kernel's that nobody follows.
    let info = unsafe { info.assume_init() };
    // Another release's would be of another length.
    (written == size && info.ki_structsize as usize == size).then_some(info)
}

/// Looks up whose a process is by KERN_PROC_PID.
pub fn identity(pid: u32) -> Identity {
    Identity {
        user: info(pid).map(|info| info.ki_uid),
        inner_pid: None,
    }
}

/// Looks up a command line by KERN_PROC_ARGS.
pub fn command_line(pid: u32) -> Option<Vec<u8>> {
    let pid = c_int::try_from(pid).ok()?;
    let mut place = room_for_arguments()?;
    let name = &mut [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_ARGS, pid];
    let line = sysctl(name, &mut place)?;
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    let words: Vec<_> = line.split(|&byte| byte == 0).collect();
    Some(words.join(&b' '))
}

/// It is what getpid(2) says.
pub fn pid_in_proc() -> u32 {
    std::process::id()
}

/// In a jail, a PID may be that of a process outside of it.
pub fn knows_every_pid() -> bool {
    let mut jailed = [0; size_of::<c_int>()];
    let name = c"security.jail.jailed";
    let mut number = [0; 4];
    let mut length = number.len();
    // SAFETY: `name` ends with a NUL, and `number` has room for `length` numbers.
    let found =
        unsafe { libc::sysctlnametomib(name.as_ptr(), number.as_mut_ptr(), &raw mut length) };
    let number = number.get_mut(..length).filter(|_| found == 0);
    number.is_some_and(|number| sysctl(number, &mut jailed).is_some_and(|jailed| jailed == [0; 4]))
}

/// Unknown: the list of a process's descriptors (KERN_PROC_FILEDESC) has a form of its own in each
/// release.
pub fn lockers(_: BorrowedFd<'_>) -> Vec<u32> {
    Vec::new()
}
