//! What macOS tells of a process: libproc (XNU's bsd/sys/proc_info.h) and sysctl(3). Only
//! type-checked and linked, never run.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::time::{Duration, UNIX_EPOCH};

use libc::{c_int, c_void};

use super::sysctl::{room_for_arguments, sysctl};
use super::{Identity, Process};

/// It is exiting (XNU's bsd/sys/proc_info.h, PROC_FLAG_INEXIT).
const IN_EXIT: u32 = 0x4;

/// Looks a process up by PROC_PIDTBSDINFO.
pub fn process(pid: u32) -> Option<Process> {
    let info = info(pid)?;
    let start = Duration::new(
        info.pbi_start_tvsec,
        u32::try_from(info.pbi_start_tvusec)
            .ok()?
            .checked_mul(1000)?,
    );
    Some(Process {
        parent: info.pbi_ppid,
        has_ended: info.pbi_status == libc::SZOMB || info.pbi_flags & IN_EXIT != 0,
        is_stopped: info.pbi_status == libc::SSTOP,
        started: UNIX_EPOCH.checked_add(start),
        ..Process::default()
    })
}

/// Those that have ended and were not waited for, too (XNU's bsd/kern/proc_info.c).
const ZOMBIES: u64 = 1;

/// It is told of one's own processes, and to root of all.
fn info(pid: u32) -> Option<libc::proc_bsdinfo> {
    let pid = c_int::try_from(pid).ok()?;
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = size_of::<libc::proc_bsdinfo>() as c_int;
    let place: *mut c_void = info.as_mut_ptr().cast();
    // SAFETY: the call writes at most `size` bytes to `place`, which has as many.
    let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, ZOMBIES, place, size) };
    // SAFETY: zeroed at first, and integers throughout.
    (written == size).then(|| unsafe { info.assume_init() })
}

/// Looks up whose a process is by PROC_PIDTBSDINFO.
pub fn identity(pid: u32) -> Identity {
    Identity {
        user: info(pid).map(|info| info.pbi_uid),
        inner_pid: None,
    }
}

/// KERN_PROCARGS2 gives argc, the path of the program, some NULs, and then the words, each with a
/// NUL behind it (XNU's bsd/kern/kern_sysctl.c, sysctl_procargsx).
pub fn command_line(pid: u32) -> Option<Vec<u8>> {
    let pid = c_int::try_from(pid).ok()?;
    let mut place = room_for_arguments()?;
    let name = &mut [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let (count, rest) = sysctl(name, &mut place)?.split_first_chunk()?;
    let count = usize::try_from(c_int::from_ne_bytes(*count)).ok()?;
    let mut rest = rest.splitn(2, |&byte| byte == 0).nth(1)?;
    while let Some((0, behind)) = rest.split_first() {
        rest = behind;
    }
    let words: Vec<_> = rest.split(|&byte| byte == 0).take(count).collect();
    Some(words.join(&b' '))
}

/// It is what getpid(2) says.
pub fn pid_in_proc() -> u32 {
    std::process::id()
}

/// There is one list of them.
pub fn knows_every_pid() -> bool {
    true
}

/// Whether a process certainly has this file open, by its list of descriptors.
pub fn has_open(pid: u32, file: BorrowedFd<'_>) -> bool {
    let (Ok(pid), Ok(state)) = (c_int::try_from(pid), rustix::fs::fstat(file)) else {
        return false;
    };
    let is_it = |descriptor: &libc::proc_fdinfo| {
        vnode(pid, descriptor.proc_fd).is_some_and(|vnode| {
            (vnode.vst_dev, vnode.vst_ino) == (state.st_dev as u32, state.st_ino)
        })
    };
    descriptors(pid)
        .iter()
        .filter(|descriptor| descriptor.proc_fdtype == libc::PROX_FDTYPE_VNODE as u32)
        .any(is_it)
}

/// The descriptors of a process, which may open more meanwhile; none where they may not be seen.
fn descriptors(pid: c_int) -> Vec<libc::proc_fdinfo> {
    let list = |place: *mut c_void, size: c_int| {
        // SAFETY: the call writes at most `size` bytes to `place`, which has as many; and with
        // neither it only says how many there would be.
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, place, size) }
    };
    let size = list(std::ptr::null_mut(), 0);
    let Ok(room) = usize::try_from(size) else {
        return Vec::new();
    };
    let mut found = Vec::<libc::proc_fdinfo>::with_capacity(room / size_of::<libc::proc_fdinfo>());
    let size = found.capacity() * size_of::<libc::proc_fdinfo>();
    let written = list(
        found.as_mut_ptr().cast(),
        c_int::try_from(size).unwrap_or(0),
    );
    let count = usize::try_from(written).unwrap_or(0) / size_of::<libc::proc_fdinfo>();
    // SAFETY: as many were written, which is no more than there is room for.
    unsafe { found.set_len(count.min(found.capacity())) };
    found
}

/// `struct vnode_fdinfo` of bsd/sys/proc_info.h.
#[repr(C)]
struct VnodeDescriptor {
    /// `struct proc_fileinfo`: two numbers of 32 bits, one of 64, two of 32.
    file: [u64; 3],
    /// `struct vnode_info`.
    vnode: libc::vnode_info,
}

/// PROC_PIDFDVNODEINFO of bsd/sys/proc_info.h.
const VNODE_INFO: c_int = 1;

/// The file of a descriptor of a process.
fn vnode(pid: c_int, descriptor: c_int) -> Option<libc::vinfo_stat> {
    let mut info = MaybeUninit::<VnodeDescriptor>::zeroed();
    let size = size_of::<VnodeDescriptor>() as c_int;
    let place: *mut c_void = info.as_mut_ptr().cast();
    // SAFETY: the call writes at most `size` bytes to `place`, which has as many.
    let written = unsafe { libc::proc_pidfdinfo(pid, descriptor, VNODE_INFO, place, size) };
    // SAFETY: zeroed at first, and integers throughout.
    (written == size).then(|| unsafe { info.assume_init() }.vnode.vi_stat)
}
