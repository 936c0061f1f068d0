//! One process under ptrace(2): going on, stopping, and what its memory and descriptors hold.
//!
//! It is stopped at the beginning and at the end of every call (PTRACE_SYSCALL). A filter of seccomp
//! would stop it at some calls only, and cost less; but after some hundred thousand filters, one for
//! each program of each run, a kernel (6.18) came to a standstill in its memory for them.

use std::ffi::CString;
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// So many ticks of half a second may go by while a program that can go on does not: then it hangs. On a busy
/// machine it waits for a processor or a disk.
const PATIENCE: u32 = 120;

/// Why a traced process stands still.
#[derive(Debug)]
pub enum Stop {
    /// At the beginning or the end of a call.
    Call,
    /// It has become another program.
    Executed,
    /// It has made a process, which stands still, too.
    Forked(Pid),
    /// It is to get this signal.
    Signal(Signal),
    /// It is gone, with this status as a shell says it.
    Ended(i32),
    /// It has not stopped in all that time.
    Hangs,
}

/// How many ticks one run may take. Nothing of it takes a hundredth of that.
const LIFE: u32 = 480;

static TICKS: AtomicU32 = AtomicU32::new(0);

/// The run that begins now has its time before it.
pub fn begin() {
    TICKS.store(0, Ordering::Relaxed);
}

/// Has the kernel interrupt every wait from time to time, and end it all where a run does not end.
pub fn start_ticking() {
    extern "C" fn tick(_: libc::c_int) {
        if TICKS.fetch_add(1, Ordering::Relaxed) == LIFE {
            let said = b"schedules: a run does not end, and cannot be ended\n";
            // SAFETY: it reads as many bytes as there are.
            unsafe { libc::write(2, said.as_ptr().cast(), said.len()) };
            // SAFETY: it ends the process, and with it, as the first one, the whole namespace.
            unsafe { libc::_exit(70) };
        }
    }
    let action = SigAction::new(SigHandler::Handler(tick), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler counts, and makes two calls that may be made in a handler.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("a handler");
    let half = libc::timeval {
        tv_sec: 0,
        tv_usec: 500_000,
    };
    let every = libc::itimerval {
        it_interval: half,
        it_value: half,
    };
    // SAFETY: it reads one itimerval, and may be told to write none.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &every, std::ptr::null_mut()) };
}

/// Sees that this machine lets us: that a program can be started and stops.
pub fn try_out(program: &Path) -> Result<(), String> {
    let word = CString::new(program.as_os_str().as_bytes()).map_err(|reason| reason.to_string())?;
    let pid = try_start(&[word])?;
    resume(pid, None);
    let stop = wait(pid);
    end(pid);
    match stop {
        Stop::Call => Ok(()),
        other => Err(format!("ptrace: {other:?}")),
    }
}

/// Starts a program that stands before its first instruction. It has no descriptor open.
pub fn start(words: &[CString]) -> Pid {
    try_start(words).expect("a program")
}

fn try_start(words: &[CString]) -> Result<Pid, String> {
    let environment = [c"PATH=/bin:/usr/bin", c"LC_ALL=C"];
    let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
    // SAFETY: there is one thread, so nobody else can hold a lock that the child needs.
    let child = match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let traced = ptrace::traceme();
            let kind = libc::CLOSE_RANGE_CLOEXEC;
            // SAFETY: it marks descriptors, which nobody uses from here on.
            unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, kind) };
            if traced.is_ok() {
                let _ = nix::unistd::execve(words[0], &words, &environment);
            }
            // SAFETY: it ends the process and nothing else.
            unsafe { libc::_exit(98) }
        }
    };
    match wait(child) {
        Stop::Signal(Signal::SIGTRAP) => {}
        other => return Err(format!("cannot start {words:?} under ptrace: {other:?}")),
    }
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(child, options).map_err(|reason| format!("ptrace: {reason}"))?;
    Ok(child)
}

/// Lets it go on to the beginning or the end of its next call.
pub fn resume(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Waits for its next stop.
pub fn wait(pid: Pid) -> Stop {
    let mut ticks = 0;
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => ticks += 1,
            other => return stop(pid, other),
        }
        if ticks == PATIENCE {
            return Stop::Hangs;
        }
    }
}

/// Its next stop, if it stands still by now.
pub fn look(pid: Pid) -> Option<Stop> {
    match waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
        other => Some(stop(pid, other)),
    }
}

fn stop(pid: Pid, seen: Result<WaitStatus, Errno>) -> Stop {
    match seen {
        Ok(WaitStatus::PtraceSyscall(_)) => Stop::Call,
        Ok(WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC)) => Stop::Executed,
        Ok(WaitStatus::PtraceEvent(..)) => {
            let child = ptrace::getevent(pid).unwrap_or(0);
            Stop::Forked(Pid::from_raw(child as libc::pid_t))
        }
        Ok(WaitStatus::Stopped(_, signal)) => Stop::Signal(signal),
        Ok(WaitStatus::Exited(_, status)) => Stop::Ended(status),
        Ok(WaitStatus::Signaled(_, signal, _)) => Stop::Ended(128 + signal as i32),
        other => panic!("waitpid: {other:?}"),
    }
}

/// Kills it and waits until it is gone.
pub fn end(pid: Pid) {
    let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    while !matches!(
        waitpid(pid, Some(WaitPidFlag::__WALL)),
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD)
    ) {}
}

pub fn registers(pid: Pid) -> user_regs_struct {
    ptrace::getregs(pid).expect("PTRACE_GETREGS")
}

pub fn set_registers(pid: Pid, registers: user_regs_struct) {
    ptrace::setregs(pid, registers).expect("PTRACE_SETREGS");
}

/// Has the call at whose beginning it stands not be made, but give this.
pub fn answer(pid: Pid, result: i64) {
    set_registers(
        pid,
        user_regs_struct {
            orig_rax: u64::MAX,
            rax: result as u64,
            ..registers(pid)
        },
    );
}

/// What its memory holds there, as far as it can be read.
pub fn bytes(pid: Pid, address: u64, length: usize) -> Vec<u8> {
    let mut found = vec![0; length];
    let remote = [RemoteIoVec {
        base: address as usize,
        len: length,
    }];
    let count = process_vm_readv(pid, &mut [IoSliceMut::new(&mut found)], &remote).unwrap_or(0);
    found.truncate(count);
    found
}

/// A number in its memory.
pub fn number(pid: Pid, address: u64) -> i64 {
    let found = bytes(pid, address, 8);
    found.try_into().map_or(0, i64::from_ne_bytes)
}

pub fn write(pid: Pid, address: u64, bytes: &[u8]) {
    let remote = [RemoteIoVec {
        base: address as usize,
        len: bytes.len(),
    }];
    let _ = process_vm_writev(pid, &[IoSlice::new(bytes)], &remote);
}

/// A text in its memory.
pub fn text(pid: Pid, address: u64) -> String {
    const PAGE: u64 = 4096;
    let mut found = bytes(pid, address, 300);
    if found.is_empty() {
        // The next page may not be there.
        found = bytes(pid, address, (PAGE - address % PAGE) as usize);
    }
    let end = found.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&found[..end.unwrap_or(found.len())]).into_owned()
}

/// What a descriptor of its leads to, as /proc says it, or nothing.
pub fn leads_to(pid: Pid, descriptor: i64) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// The device and the inode of a descriptor.
pub fn identity(pid: Pid, descriptor: i64) -> Option<(u64, u64)> {
    let state = fs::metadata(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    Some((state.dev(), state.ino()))
}

/// Whether it sleeps in the kernel until somebody wakes it.
pub fn is_asleep(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" S"))
}

/// Hides from a program that has just been executed that it could ask the time without a call.
pub fn hide_clock(pid: Pid) {
    const WORD: u64 = 8;
    let mut place = registers(pid).rsp;
    place += WORD * (number(pid, place) as u64 + 2);
    while number(pid, place) != 0 {
        place += WORD;
    }
    place += WORD;
    loop {
        match number(pid, place) as u64 {
            libc::AT_NULL => return,
            libc::AT_SYSINFO_EHDR => {
                write(pid, place, &libc::AT_IGNORE.to_ne_bytes());
                return;
            }
            _ => place += 2 * WORD,
        }
    }
}

/// Takes in all that have ended and belong to nobody else.
pub fn reap() {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    while matches!(waitpid(None, Some(flags)), Ok(status) if status != WaitStatus::StillAlive) {}
}
