//! From [`Held`] to the command: this process becomes it. Never forks.

use std::borrow::Cow;
use std::convert::Infallible;
use std::env;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;

use rustix::fs::{self, Access, FileType};
use rustix::io::Errno;

use crate::lock::acquire::Held;
use crate::model::error::Error;
use crate::model::request::Command;
use crate::report::log::{Log, Stderr};
use crate::run::max_runtime::Limit;
use crate::sys::{self, Vectors};

/// Where a command is looked for if PATH is unset: what confstr(3) gives for _CS_PATH on Linux.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What runs a text that does not say itself what runs it.
const SHELL: &CStr = c"/bin/sh";

/// What the command finds beside its arguments, because an option asks for it.
pub struct Surroundings {
    /// The number of its slot, in `NONOVERLAP_SLOT`.
    pub slot: Option<u16>,
    /// The end of its time.
    pub limit: Option<Limit>,
    /// What takes its output. It leaves the place of stderr again for the message if there is no
    /// command.
    pub log: Option<Log>,
}

/// Becomes the command, as execvp(3) does, and on every C library alike. Returns only if that
/// fails.
///
/// It takes [`Held`] so that nothing runs without the lock, and keeps its descriptor open for the
/// command to inherit.
pub fn become_command(held: Held, command: Command, around: Surroundings) -> Error {
    let stderr = match around
        .log
        .as_ref()
        .map(|log| log.take_output(&held))
        .transpose()
    {
        Ok(stderr) => stderr,
        Err(reason) => return Error::Output(reason),
    };
    let error = match around.limit.iter().try_for_each(Limit::start) {
        Ok(()) => execute_command(command, around.slot),
        Err(error) => error,
    };
    stderr.into_iter().for_each(Stderr::put_back);
    error
}

fn execute_command(command: Command, slot: Option<u16>) -> Error {
    let program = program(command);
    let variable = slot.and_then(|slot| CString::new(format!("NONOVERLAP_SLOT={slot}")).ok());
    let environment = variable.as_deref().map(sys::environment_with);
    let environment = environment.as_deref();
    let reason = match command {
        Command::Words(_, words) => run(
            &program,
            Vectors {
                arguments: words.pointers(),
                environment,
            },
        ),
        Command::Line(line) => {
            let arguments = &[program.as_ptr(), c"-c".as_ptr(), line.as_ptr(), ptr::null()];
            run(
                &program,
                Vectors {
                    arguments,
                    environment,
                },
            )
        }
    };
    Error::Execute(program, reason)
}

/// The program that a command names: its first word, or the user's shell.
pub fn program(command: Command) -> Cow<'static, CStr> {
    match command {
        Command::Words(name, _) => Cow::Borrowed(name),
        Command::Line(_) => {
            match env::var_os("SHELL").and_then(|shell| CString::new(shell.into_vec()).ok()) {
                Some(shell) if !shell.is_empty() => Cow::Owned(shell),
                _ => Cow::Borrowed(SHELL),
            }
        }
    }
}

fn run(program: &CStr, vectors: Vectors<'_>) -> Errno {
    let Err(reason) = search(program, |place| {
        Err::<Infallible, _>(execute(place, vectors))
    });
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

/// Executes one file, and if the kernel does not know what it is, has the shell read it as a
/// script.
fn execute(place: &CStr, vectors: Vectors<'_>) -> Errno {
    match sys::execute(place, vectors) {
        Errno::NOEXEC => execute_by_shell(place, vectors),
        other => other,
    }
}

fn execute_by_shell(place: &CStr, vectors: Vectors<'_>) -> Errno {
    let mut of_shell = vec![SHELL.as_ptr()];
    // Found through an empty element of PATH, a name can begin with a dash or a plus, and is not to be an
    // option of the shell.
    if matches!(place.to_bytes().first(), Some(b'-' | b'+')) {
        of_shell.push(c"--".as_ptr());
    }
    of_shell.push(place.as_ptr());
    of_shell.extend(vectors.arguments.iter().skip(1));
    sys::execute(
        SHELL,
        Vectors {
            arguments: &of_shell,
            ..vectors
        },
    )
}
