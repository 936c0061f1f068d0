//! From [`Held`] to the command: this process becomes it. Never forks.

use std::env;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use rustix::io::Errno;

use crate::acquire::Held;
use crate::outcome::Error;
use crate::request::Command;
use crate::sys;

/// Where a command is looked for if PATH is unset: what confstr(3) gives for _CS_PATH on Linux.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What runs a text that does not say itself what runs it.
const SHELL: &CStr = c"/bin/sh";

/// Becomes the command, as execvp(3) does, and on every C library alike. Returns only if that
/// fails.
///
/// It takes [`Held`] so that nothing runs without the lock, and keeps its descriptor open for the
/// command to inherit.
pub fn become_command(_held: Held, command: Command) -> Error {
    let reason = if command.name.to_bytes().contains(&b'/') {
        execute(command.name, command)
    } else {
        search(command)
    };
    Error::Execute(command.name, reason)
}

/// Tries each folder of PATH in turn. One that cannot be searched, or holds the name but not to be
/// executed, does not end the search, and is the reason only if nothing else is found (execvp(3)).
fn search(command: Command) -> Errno {
    let name = command.name.to_bytes();
    if name.is_empty() {
        return Errno::NOENT;
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
        match execute(place, command) {
            Errno::ACCESS => reason = Errno::ACCESS,
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::STALE
            | Errno::NODEV
            | Errno::TIMEDOUT => {}
            other => return other,
        }
    }
    reason
}

/// Executes one file, and if the kernel does not know what it is, has the shell read it as a
/// script.
fn execute(place: &CStr, command: Command) -> Errno {
    match sys::execute(place, command.words.pointers()) {
        Errno::NOEXEC => execute_by_shell(place, command),
        other => other,
    }
}

fn execute_by_shell(place: &CStr, command: Command) -> Errno {
    let mut arguments = vec![SHELL.as_ptr()];
    // Found through an empty element of PATH, a name can begin with a dash, and is not to be an
    // option of the shell.
    if place.to_bytes().starts_with(b"-") {
        arguments.push(c"--".as_ptr());
    }
    arguments.push(place.as_ptr());
    arguments.extend_from_slice(command.words.from(1).pointers());
    debug_assert_eq!(arguments.last(), Some(&ptr::null()));
    sys::execute(SHELL, &arguments)
}
