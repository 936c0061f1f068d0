//! Errors that no file brings about on demand, by a filter that answers in the kernel's place. Linux only: seccomp(2).

use std::io;
use std::os::unix::ffi::OsStrExt;

use libc::{c_long, *};
use seccompiler::apply_filter;

use crate::support::harness::{NONOVERLAP, Run, Scene, reason};
use crate::support::probe::exactly;
use crate::support::refused_call::Call;

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
        // Of a new one it would be said that it is new.
        let lock = scene.file("lock", "").into_os_string();
        let lock = lock.into_string().unwrap();
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
        let lock = scene.file("lock", "");
        let argv: [&[u8]; 3] = [b"nonoverlap", lock.as_os_str().as_bytes(), b"true"];
        let filter = Call::any(&[SYS_execve]).refused_with(errno);
        let refuse = move || apply_filter(&filter).map_err(|_| io::ErrorKind::Other.into());
        let ended = exactly(NONOVERLAP, &argv, &[b"PATH=/bin:/usr/bin"], refuse).run();
        let message = format!("nonoverlap: cannot execute true: {}\n", reason(said));
        ended.expect(status, "", &message);
    }
}

/// The calls that open a file by its path; newer processors have only one.
#[cfg(target_arch = "x86_64")]
const OPENING: &[c_long] = &[SYS_open, SYS_openat];
#[cfg(not(target_arch = "x86_64"))]
const OPENING: &[c_long] = &[SYS_openat];
