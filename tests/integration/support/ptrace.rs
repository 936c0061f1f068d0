//! A process under the test's hand, by ptrace(2): it goes from one system call to the next, and can be
//! sent back to before a call.
//!
//! Only the thread that started it may say what it does.

use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::ptr;

use libc::{c_int, c_long, c_void, user_regs_struct};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::support::harness::{Ended, Watchdog};

/// How long the instruction is that calls the system (`syscall`).
const CALL: u64 = 2;

/// As which type ptrace(2) takes its first argument.
#[cfg(target_env = "musl")]
type Request = c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

pub struct Traced {
    /// Taken when it was let go.
    child: Option<Child>,
    watchdog: Watchdog,
    line: String,
}

impl Traced {
    /// Starts it with nothing to read; it stands before its first instruction.
    pub fn start(command: &mut Command) -> Traced {
        let line = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let put_under_our_hand = || match trace(libc::PTRACE_TRACEME, 0, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: the closure makes one system call and allocates nothing.
        let child = unsafe { command.pre_exec(put_under_our_hand) }
            .spawn()
            .unwrap();
        let traced = Traced {
            watchdog: Watchdog::over(&child),
            child: Some(child),
            line,
        };
        assert_eq!(traced.next_stop(), libc::SIGTRAP);
        traced
    }

    /// Lets it run into the next call of this number with this as its second argument, and stops it
    /// before the kernel has done anything of it.
    pub fn go_on_to_call(&self, number: c_long, second: c_int) {
        loop {
            self.go_on_to_end_or_start_of_call();
            let registers = self.registers();
            // What a call gives is this until it has been made.
            let at_start = registers.rax == (-libc::ENOSYS) as i64 as u64;
            if at_start && registers.orig_rax == number as u64 && registers.rsi == second as u64 {
                return;
            }
        }
    }

    /// The same, with any arguments.
    pub fn go_on_to_any_call(&self, number: c_long) {
        loop {
            self.go_on_to_end_or_start_of_call();
            let registers = self.registers();
            let at_start = registers.rax == (-libc::ENOSYS) as i64 as u64;
            if at_start && registers.orig_rax == number as u64 {
                return;
            }
        }
    }

    /// Has another call made in its place, which changes nothing, waits for something, and sets it back
    /// to before the call as it was.
    pub fn go_back_to_before_call(&self, and_wait_for: impl FnOnce(u32)) {
        let before = self.registers();
        self.set_registers(user_regs_struct {
            orig_rax: libc::SYS_getppid as u64,
            ..before
        });
        and_wait_for(self.pid());
        self.go_on_to_end_or_start_of_call();
        self.set_registers(user_regs_struct {
            rax: before.orig_rax,
            rip: before.rip - CALL,
            ..self.registers()
        });
    }

    /// Lets it go, and waits for its end.
    pub fn let_go(mut self) -> Ended {
        self.trace(libc::PTRACE_DETACH, ptr::null_mut());
        let child = self.child.take().unwrap();
        Ended::of(self.line.clone(), child, &self.watchdog)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Signals are handed on as they come.
    fn go_on_to_end_or_start_of_call(&self) {
        let mut signal = 0;
        loop {
            self.trace(
                libc::PTRACE_SYSCALL,
                ptr::without_provenance_mut(signal as usize),
            );
            signal = self.next_stop();
            if signal == libc::SIGTRAP {
                return;
            }
        }
    }

    /// The signal at which it stopped, or SIGTRAP for a call.
    fn next_stop(&self) -> c_int {
        let pid = Pid::from_raw(self.pid() as i32);
        let (_, status) = waitpid(pid, WaitOptions::empty()).unwrap().unwrap();
        let line = &self.line;
        status
            .stopping_signal()
            .unwrap_or_else(|| panic!("ended too soon: {line}: {status:?}"))
    }

    fn registers(&self) -> user_regs_struct {
        let mut registers = MaybeUninit::<user_regs_struct>::zeroed();
        self.trace(libc::PTRACE_GETREGS, registers.as_mut_ptr().cast());
        // SAFETY: integers, written by the call.
        unsafe { registers.assume_init() }
    }

    fn set_registers(&self, mut registers: user_regs_struct) {
        self.trace(libc::PTRACE_SETREGS, (&raw mut registers).cast());
    }

    #[track_caller]
    fn trace(&self, request: Request, data: *mut c_void) {
        let done = trace(request, self.pid(), data);
        assert_eq!(
            done,
            0,
            "{}: {}",
            self.line,
            std::io::Error::last_os_error()
        );
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn trace(request: Request, pid: u32, data: *mut c_void) -> c_long {
    let address: *mut c_void = ptr::null_mut();
    // SAFETY: `data` is what ptrace(2) says of each request that is made here: a number, or a pointer to
    // the registers.
    unsafe { libc::ptrace(request, pid as libc::pid_t, address, data) }
}
