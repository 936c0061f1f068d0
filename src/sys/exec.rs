//! execve(2), and the environment that it hands on.

use std::ffi::{CStr, c_char};
use std::ptr;

use rustix::io::Errno;

use super::errno::last_error;
use super::timer::keep_over_exec;

unsafe extern "C" {
    /// The environment that execve(2) hands on (environ(7)). Nothing in this program changes it.
    static environ: *const *const c_char;
}

/// The environment of this process with this variable, if there is one, in place of any that begins
/// with `name`, which is a name and the sign behind it: pointers to C strings, the last of them null.
pub fn environment_with(name: &CStr, variable: Option<&CStr>) -> Vec<*const c_char> {
    let mut list = Vec::new();
    // SAFETY: reading a pointer that the C library set before `main` and that nothing here changes.
    let mut place = unsafe { environ };
    // A process can be started with no environment at all.
    while !place.is_null() {
        // SAFETY: `place` points into the list, at its null pointer at the latest.
        let entry = unsafe { *place };
        if entry.is_null() {
            break;
        }
        // SAFETY: the list's entries are C strings that live as long as the process.
        let text = unsafe { CStr::from_ptr(entry) };
        if !text.to_bytes().starts_with(name.to_bytes()) {
            list.push(entry);
        }
        place = place.wrapping_add(1);
    }
    list.extend(variable.map(CStr::as_ptr));
    list.push(ptr::null());
    list
}

/// What a program is started with: pointers to C strings, the last of them null.
#[derive(Clone, Copy)]
pub struct ExecArgs<'a> {
    /// Its name, and its arguments.
    pub arguments: &'a [*const c_char],
    /// Its environment, if it is not the one of this process, byte for byte.
    pub environment: Option<&'a [*const c_char]>,
}

/// execve(2): this process becomes the program at `path`. Returns only the error.
pub fn execute(path: &CStr, args: ExecArgs<'_>) -> Errno {
    // SAFETY: reading a pointer that the C library set before `main` and that nothing here changes.
    let inherited = unsafe { environ };
    let ends = |list: &[*const c_char]| list.last().is_some_and(|last| last.is_null());
    if !ends(args.arguments) || !args.environment.is_none_or(ends) {
        return Errno::INVAL;
    }
    let environment = args.environment.map_or(inherited, <[_]>::as_ptr);
    keep_over_exec();
    // SAFETY: `path` is a C string; the lists end with a null pointer (looked at above; the C
    // library's own does), and all before it are strings of argv, of the environment, or in the
    // caller's frame.
    let _ = unsafe { libc::execve(path.as_ptr(), args.arguments.as_ptr(), environment) };
    last_error() // It has returned, so it has failed.
}
