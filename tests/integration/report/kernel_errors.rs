//! Errors that no file brings about on demand, by a filter that answers in the kernel's place. Linux only: seccomp(2).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;

use libc::{c_long, *};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::support::harness::{NONOVERLAP, Run, Scene};
use crate::support::probe::exactly;

#[test]
fn every_error_of_the_kernels_has_its_status_and_its_message() {
    const EXECUTE: &str = "cannot execute /bin/true";
    const LOCK: &str = "cannot lock LOCK";
    const OPEN: &str = "cannot open lock file LOCK";
    const MOVE: &str = "cannot keep lock file LOCK on a descriptor from 10 up";
    let execve = Call::any(&[SYS_execve]);
    let flock = Call::any(&[SYS_flock]);
    let open = Call::any(OPENING);
    let dupfd = Call::with(&[SYS_fcntl], 1, F_DUPFD);
    let table = [
        (execve, ENOMEM, 71, EXECUTE),
        (execve, EAGAIN, 71, EXECUTE),
        (execve, EMFILE, 71, EXECUTE),
        (execve, ENFILE, 71, EXECUTE),
        (execve, E2BIG, 126, EXECUTE),
        (execve, EPERM, 126, EXECUTE),
        (execve, EACCES, 126, EXECUTE),
        (execve, EIO, 126, EXECUTE),
        (execve, ETXTBSY, 126, EXECUTE),
        (execve, ENOEXEC, 126, EXECUTE),
        (execve, ENOENT, 127, EXECUTE),
        (execve, ENOTDIR, 127, EXECUTE),
        (flock, ENOLCK, 71, LOCK),
        (flock, ENOMEM, 71, LOCK),
        (flock, EINVAL, 65, LOCK),
        (flock, ENOSYS, 65, LOCK),
        (flock, EOPNOTSUPP, 65, LOCK),
        (flock, EBADF, 65, LOCK),
        (flock, EIO, 65, LOCK),
        (flock, EACCES, 65, LOCK),
        (open, EMFILE, 71, OPEN),
        (open, ENFILE, 71, OPEN),
        (open, ENOMEM, 71, OPEN),
        (open, EACCES, 66, OPEN),
        (open, EIO, 66, OPEN),
        (open, ENXIO, 66, OPEN),
        (dupfd, EMFILE, 71, MOVE),
        (dupfd, EINVAL, 71, MOVE),
    ];
    for (call, errno, status, what) in table {
        let scene = Scene::new();
        let lock = scene.lock().into_os_string().into_string().unwrap();
        let argv = [&b"nonoverlap"[..], lock.as_bytes(), b"/bin/true"];
        let filter = call.refused_with(errno);
        let refuse = move || apply_filter(&filter).map_err(|_| io::ErrorKind::Other.into());
        let ended = exactly(NONOVERLAP, &argv, &[], refuse).run();
        // EINVAL of F_DUPFD is the limit of descriptors, in other words.
        let errno = if (what, errno) == (MOVE, EINVAL) {
            EMFILE
        } else {
            errno
        };
        let message = format!(
            "nonoverlap: {}: {}\n",
            what.replace("LOCK", &lock),
            reason(errno)
        );
        ended.expect(status, "", &message);
    }
}

#[test]
fn a_search_in_path_ends_with_an_error_that_the_next_folder_would_not_change() {
    let table = [
        (ENOMEM, 71, ENOMEM),
        (EAGAIN, 71, EAGAIN),
        (E2BIG, 126, E2BIG),
        (EIO, 126, EIO),
        // These can be otherwise in the next folder, and as long as nothing is found, nothing is what is said.
        (EACCES, 126, EACCES),
        (ENOENT, 127, ENOENT),
        (ENOTDIR, 127, ENOENT),
        (ENAMETOOLONG, 127, ENOENT),
        (ENODEV, 127, ENOENT),
        (ESTALE, 127, ENOENT),
        (ETIMEDOUT, 127, ENOENT),
    ];
    for (errno, status, said) in table {
        let scene = Scene::new();
        let lock = scene.lock();
        let argv: [&[u8]; 3] = [b"nonoverlap", lock.as_os_str().as_bytes(), b"true"];
        let filter = Call::any(&[SYS_execve]).refused_with(errno);
        let refuse = move || apply_filter(&filter).map_err(|_| io::ErrorKind::Other.into());
        let ended = exactly(NONOVERLAP, &argv, &[b"PATH=/bin:/usr/bin"], refuse).run();
        let message = format!("nonoverlap: cannot execute true: {}\n", reason(said));
        ended.expect(status, "", &message);
    }
}

/// strerror(3) in the words of the C library at hand.
pub fn reason(errno: c_int) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split_once(" (os error").unwrap().0.to_owned()
}

/// The calls that open a file by its path; newer processors have only one.
#[cfg(target_arch = "x86_64")]
const OPENING: &[c_long] = &[SYS_open, SYS_openat];
#[cfg(not(target_arch = "x86_64"))]
const OPENING: &[c_long] = &[SYS_openat];

/// A system call, or those of it that have this value as an argument.
#[derive(Clone, Copy)]
pub struct Call {
    numbers: &'static [c_long],
    argument: Option<(u8, c_int)>,
}

impl Call {
    pub fn any(numbers: &'static [c_long]) -> Call {
        Call {
            numbers,
            argument: None,
        }
    }

    pub fn with(numbers: &'static [c_long], place: u8, value: c_int) -> Call {
        Call {
            numbers,
            argument: Some((place, value)),
        }
    }

    /// The filter under which it fails so, and every other call goes through.
    pub fn refused_with(self, errno: c_int) -> BpfProgram {
        let rule = |(place, value): (u8, c_int)| {
            let equal = SeccompCondition::new(
                place,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Eq,
                value as u64,
            );
            SeccompRule::new(vec![equal.unwrap()]).unwrap()
        };
        let rules: Vec<SeccompRule> = self.argument.map(rule).into_iter().collect();
        let rules: BTreeMap<_, _> = self
            .numbers
            .iter()
            .map(|&number| (number, rules.clone()))
            .collect();
        let refuse = SeccompAction::Errno(errno as u32);
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
        filter.unwrap().try_into().unwrap()
    }
}
