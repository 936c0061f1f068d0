//! System calls of a run that the test sees before the kernel does, and lets pass or fails: what else
//! is between two calls of a program becomes an event.
//!
//! A seccomp filter hands each call of one kind to a listener, and the caller sleeps until that has
//! answered (seccomp_unotify(2)). A filter belongs to the thread that installs it and to what that
//! starts, so neither the test nor any test beside it is touched.

use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::support::harness::{Ended, Run};

/// A call that waits for its answer.
pub struct Call {
    /// Its number in the run, from 1.
    pub number: usize,
    /// The process that makes it.
    pub pid: u32,
    pub arguments: [u64; 6],
}

impl Call {
    /// The text that its argument of this number, from 0, points to, such as a path.
    pub fn text(&self, number: usize) -> Vec<u8> {
        let memory = File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        let mut text = vec![0; libc::PATH_MAX as usize];
        // Behind the text, the memory may end.
        let length = memory.read_at(&mut text, self.arguments[number]).unwrap();
        let end = text[..length].iter().position(|&byte| byte == 0);
        text.truncate(end.expect("it has an end"));
        text
    }
}

pub enum Answer {
    /// The kernel does what was asked for.
    Pass,
    /// The call fails with this errno and does nothing.
    Fail(i32),
}

/// Runs the command to its end and asks `answer` about each of its calls of the kind `kind`
/// (`libc::SYS_flock`). Gives how often it asked, too.
pub fn run_gated(
    command: &mut Command,
    kind: libc::c_long,
    mut answer: impl FnMut(&Call) -> Answer,
) -> (Ended, usize) {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let runner = scope.spawn(move || {
            sender.send(hand_over(kind)).unwrap();
            command.run()
        });
        // If `answer` panics, the listener goes with it, and the kernel fails whatever still waits.
        let listener = receiver.recv().unwrap();
        let mut number = 0;
        while let Some(request) = next(&listener) {
            number += 1;
            let call = Call {
                number,
                pid: request.pid,
                arguments: request.data.args,
            };
            reply(&listener, request.id, &answer(&call));
        }
        (runner.join().unwrap(), number)
    })
}

/// Has this thread, and all it starts, ask the listener about each call of this kind.
fn hand_over(kind: libc::c_long) -> File {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let unless_equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, skip, k| libc::sock_filter {
        code,
        jt: 0,
        jf: skip,
        k,
    };
    // The number of the call is the first field of what the filter is shown (struct seccomp_data).
    let mut filter = [
        step(load, 0, 0),
        step(unless_equal, 1, kind as u32),
        step(give, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(give, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // Without it only root may install a filter.
    // SAFETY: this prctl takes integers and touches no memory.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "{}", Error::last_os_error());
    // SAFETY: the program and its four steps live until the call is done, and the kernel copies them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &program,
        )
    };
    assert!(listener >= 0, "{}", Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor, so nobody else owns it.
    unsafe { File::from_raw_fd(listener as RawFd) }
}

/// The next call that waits, or nothing when all that could make one have ended.
fn next(listener: &File) -> Option<libc::seccomp_notif> {
    loop {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, as the count says.
        unsafe { libc::poll(&mut poll, 1, -1) };
        if poll.revents & libc::POLLIN != 0 {
            // SAFETY: integers throughout, for which zeroes are valid, and which the kernel demands.
            let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            let number = libc::SECCOMP_IOCTL_NOTIF_RECV;
            // SAFETY: this ioctl writes one seccomp_notif.
            let got = unsafe { libc::ioctl(listener.as_raw_fd(), number, &mut request) };
            // It fails if the caller has died in the meantime.
            if got == 0 {
                return Some(request);
            }
        } else if poll.revents != 0 {
            return None;
        }
    }
}

fn reply(listener: &File, id: u64, answer: &Answer) {
    let (error, flags) = match answer {
        Answer::Pass => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Fail(errno) => (-errno, 0),
    };
    let mut response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags,
    };
    let number = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // SAFETY: this ioctl reads one seccomp_notif_resp.
    unsafe { libc::ioctl(listener.as_raw_fd(), number, &mut response) };
}
