//! execvp(3), the same on every C library: musl's does not run a script without `#!`.

use std::convert::Infallible;
use std::env;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, Access, FileType};
use rustix::io::Errno;

use super::exec::{self, ExecArgs};

/// Where a command is looked for if PATH is unset: what confstr(3) gives for _CS_PATH on Linux.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What runs a script without `#!`.
pub const SHELL: &CStr = c"/bin/sh";

/// Executes the program of this name. Returns only the reason why that fails.
pub fn search_and_execute(program: &CStr, args: ExecArgs<'_>) -> Errno {
    let Err(reason) = search(program, |place| Err::<Infallible, _>(execute(place, args)));
    reason
}

/// Where the program of this name is, as far as that can be said without executing it.
///
/// # Errors
///
/// As execvp(3).
pub fn find(name: &CStr) -> Result<CString, Errno> {
    search(name, |place| {
        if FileType::from_raw_mode(fs::stat(place)?.st_mode).is_dir() {
            return Err(Errno::ACCESS);
        }
        fs::access(place, Access::EXEC_OK).map(|()| place.to_owned())
    })
}

/// Tries a name that has a slash, or else each folder of PATH in turn. One that cannot be searched,
/// or holds the name but not to be executed, does not end the search, and is the reason only if
/// nothing else is found (execvp(3)).
fn search<T>(
    program: &CStr,
    mut attempt: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let name = program.to_bytes();
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.contains(&b'/') {
        return attempt(program);
    }
    let path = env::var_os("PATH");
    let folders = path.as_ref().map_or(DEFAULT_PATH, |path| path.as_bytes());
    let mut reason = Errno::NOENT;
    let mut candidate = Vec::new();
    for folder in folders.split(|&byte| byte == b':') {
        candidate.clear();
        // An empty element is the working directory.
        if !folder.is_empty() {
            candidate.extend_from_slice(folder);
            candidate.push(b'/');
        }
        candidate.extend_from_slice(name);
        candidate.push(0);
        let Ok(place) = CStr::from_bytes_with_nul(&candidate) else {
            continue;
        };
        match attempt(place) {
            Err(Errno::ACCESS) => reason = Errno::ACCESS,
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::NAMETOOLONG
                | Errno::STALE
                | Errno::NODEV
                | Errno::TIMEDOUT,
            ) => {}
            other => return other,
        }
    }
    Err(reason)
}

/// Executes one file. If the kernel does not know its format, the shell runs it as a script.
fn execute(place: &CStr, args: ExecArgs<'_>) -> Errno {
    match exec::execute(place, args) {
        Errno::NOEXEC => execute_by_shell(place, args),
        other => other,
    }
}

/// Has the shell read a file as a script.
fn execute_by_shell(place: &CStr, args: ExecArgs<'_>) -> Errno {
    let mut of_shell = vec![SHELL.as_ptr()];
    // A name found through an empty element of PATH can begin with a dash or a plus, and is not to
    // become an option of the shell.
    if matches!(place.to_bytes().first(), Some(b'-' | b'+')) {
        of_shell.push(c"--".as_ptr());
    }
    of_shell.push(place.as_ptr());
    of_shell.extend(args.arguments.iter().skip(1));
    exec::execute(
        SHELL,
        ExecArgs {
            arguments: &of_shell,
            ..args
        },
    )
}
