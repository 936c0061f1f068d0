//! What macOS tells of a process: libproc (XNU's bsd/sys/proc_info.h) and sysctl(3).

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::time::{Duration, UNIX_EPOCH};

use libc::{c_int, c_void};
use rustix::io::Errno;

use super::sysctl::{room_for_arguments, sysctl};
use super::{Identity, Process};
use crate::sys::errno::last_error;
use crate::sys::ourselves::own_pid;

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
        has_ended: has_ended(&info),
        is_stopped: info.pbi_status == libc::SSTOP,
        ward: ward(c_int::try_from(pid).ok()?),
        started: UNIX_EPOCH.checked_add(start),
        ..Process::default()
    })
}

/// Whether it has ended, or is about to.
fn has_ended(info: &libc::proc_bsdinfo) -> bool {
    info.pbi_status == libc::SZOMB || info.pbi_flags & IN_EXIT != 0
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

/// The kernel's flag of an open file through which flock(2) has taken a lock (XNU's bsd/sys/fcntl.h,
/// FWASLOCKED; sys_flock in bsd/kern/kern_descrip.c sets it, and only if that was granted). It stays
/// when the lock is given back without closing. proc_pidfdinfo gives it as it is (fill_fileinfo in
/// bsd/kern/proc_info.c).
const WAS_LOCKED: u32 = 0x4000;

/// The processes that have this file open by an open file through which it was locked: of one's own, and
/// for root of all. Whoever inherited it is among them.
pub fn lockers(file: BorrowedFd<'_>) -> Vec<u32> {
    let Ok(state) = rustix::fs::fstat(file) else {
        return Vec::new();
    };
    let is_it = |pid, number| {
        vnode(pid, number).is_some_and(|VnodeDescriptor { file, vnode }| {
            let vnode = vnode.vi_stat;
            file.open_flags & WAS_LOCKED != 0
                && (vnode.vst_dev, vnode.vst_ino) == (state.st_dev as u32, state.st_ino)
        })
    };
    let is_locker = |pid: &c_int| {
        // Those of a process that may not be seen are not.
        let descriptors = descriptors(*pid).unwrap_or_default();
        descriptors
            .iter()
            .filter(|descriptor| descriptor.proc_fdtype == libc::PROX_FDTYPE_VNODE as u32)
            .any(|descriptor| is_it(*pid, descriptor.proc_fd))
    };
    let pids = pids().into_iter().filter(is_locker);
    pids.filter_map(|pid| u32::try_from(pid).ok()).collect()
}

/// Every process there is.
fn pids() -> Vec<c_int> {
    listed(|place, size| {
        // SAFETY: the call writes at most `size` bytes to `place`, which has as many; and with neither it
        // only says how many processes there are.
        let count = unsafe { libc::proc_listallpids(place, size) };
        count.saturating_mul(size_of::<c_int>() as c_int)
    })
    .unwrap_or_default()
}

/// The descriptors that this process has open.
///
/// # Errors
///
/// Where a sandbox keeps us from asking.
pub fn own_descriptors() -> Result<Vec<RawFd>, Errno> {
    let pid = own_pid()?.as_raw_nonzero().get();
    let numbers = descriptors(pid)?.into_iter().map(|it| it.proc_fd);
    Ok(numbers.collect())
}

/// Whether a descriptor of this process is one through whose open file flock(2) has taken a lock.
pub fn own_was_locked(number: RawFd) -> bool {
    let Ok(pid) = own_pid() else {
        return false;
    };
    vnode(pid.as_raw_nonzero().get(), number).is_some_and(|it| it.file.open_flags & WAS_LOCKED != 0)
}

/// The descriptors of a process, which may open more meanwhile.
///
/// # Errors
///
/// EPERM where they may not be seen, ESRCH where there is no such process.
fn descriptors(pid: c_int) -> Result<Vec<libc::proc_fdinfo>, Errno> {
    listed(|place, size| {
        // SAFETY: the call writes at most `size` bytes to `place`, which has as many; and with neither it
        // only says how many there would be.
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, place, size) }
    })
}

/// What a call of libproc lists, which gives the number of bytes that it has written, or that it would
/// need: more than that are left as room for what comes meanwhile.
fn listed<T>(list: impl Fn(*mut c_void, c_int) -> c_int) -> Result<Vec<T>, Errno> {
    let needed = list(ptr::null_mut(), 0);
    if needed <= 0 {
        return Err(last_error());
    }
    let count = |bytes: c_int| usize::try_from(bytes).unwrap_or(0) / size_of::<T>();
    let mut found = Vec::<T>::with_capacity(count(needed) + 32);
    let size = found.capacity() * size_of::<T>();
    let size = c_int::try_from(size).unwrap_or(c_int::MAX);
    let written = list(found.as_mut_ptr().cast(), size);
    if written <= 0 {
        return Err(last_error());
    }
    // SAFETY: as many were written, which is no more than there is room for.
    unsafe { found.set_len(count(written).min(found.capacity())) };
    Ok(found)
}

/// `struct proc_fileinfo` of bsd/sys/proc_info.h.
#[repr(C)]
struct OpenFile {
    /// How it was opened, and what became of it.
    open_flags: u32,
    /// The rest, of which nothing is used.
    _rest: [u32; 5],
}

/// `struct vnode_fdinfo` of bsd/sys/proc_info.h.
#[repr(C)]
struct VnodeDescriptor {
    /// What was opened by it.
    file: OpenFile,
    /// `struct vnode_info`.
    vnode: libc::vnode_info,
}

/// PROC_PIDFDVNODEINFO of bsd/sys/proc_info.h.
const VNODE_INFO: c_int = 1;

/// The file of a descriptor of a process, and how it was opened.
fn vnode(pid: c_int, descriptor: c_int) -> Option<VnodeDescriptor> {
    let mut info = MaybeUninit::<VnodeDescriptor>::zeroed();
    let size = size_of::<VnodeDescriptor>() as c_int;
    let place: *mut c_void = info.as_mut_ptr().cast();
    // SAFETY: the call writes at most `size` bytes to `place`, which has as many.
    let written = unsafe { libc::proc_pidfdinfo(pid, descriptor, VNODE_INFO, place, size) };
    // SAFETY: zeroed at first, and integers throughout.
    (written == size).then(|| unsafe { info.assume_init() })
}

/// `struct kevent_extinfo` of bsd/sys/proc_info_private.h: something that a kqueue watches. The size of the
/// whole is told as what is written; nothing behind the filter is used.
#[repr(C)]
struct Watched {
    /// What is watched: for EVFILT_PROC the number of a process.
    ident: u64,
    /// What of it.
    filter: i16,
    /// The rest, of ten bytes and of eleven numbers of 64 bits.
    _rest: [u16; 47],
}

/// PROC_PIDFDKQUEUE_EXTINFO of bsd/sys/proc_info_private.h.
const KQUEUE_WATCHES: c_int = 9;

/// The process whose end a guardian waits for: the first that its kqueue on 1 watches (pid_kqueue_extinfo in
/// bsd/kern/kern_event.c). Nothing where there is no kqueue on 1, or where the process has ended.
fn ward(guardian: c_int) -> Option<u32> {
    let mut watched = MaybeUninit::<Watched>::zeroed();
    let size = size_of::<Watched>() as c_int;
    let place: *mut c_void = watched.as_mut_ptr().cast();
    // SAFETY: the call writes at most `size` bytes to `place`, which has as many.
    let count = unsafe { libc::proc_pidfdinfo(guardian, 1, KQUEUE_WATCHES, place, size) };
    // SAFETY: zeroed at first, and integers throughout.
    let watched = unsafe { watched.assume_init() };
    let is_ward = count > 0 && watched.filter == libc::EVFILT_PROC;
    let ward = u32::try_from(watched.ident).ok().filter(|_| is_ward)?;
    info(ward).filter(|info| !has_ended(info)).map(|_| ward)
}
