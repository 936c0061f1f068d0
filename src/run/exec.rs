//! From [`Held`] to the command: this process becomes it. Never forks.

use std::borrow::Cow;
use std::env;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use rustix::io::Errno;

use crate::lock::held::Held;
use crate::lock::lines::FENCE;
use crate::model::command::CommandLine;
use crate::model::error::Error;
use crate::model::target::LockTarget;
use crate::report::log::Log;
use crate::sys::{self, ExecArgs, SHELL};

/// What the command finds beside its arguments, because an option asks for it.
pub struct ExecContext<'a> {
    /// The number of its slot, in `NONOVERLAP_SLOT`.
    pub slot: Option<u16>,
    /// What takes its output. It leaves the place of stderr again for the message if there is no
    /// command.
    pub log: Option<&'a Log>,
}

/// Becomes the command, as execvp(3) does, and on every C library alike. Returns only if that
/// fails.
///
/// It takes [`Held`] so that nothing runs without the lock, and keeps its descriptor open for the
/// command to inherit.
pub fn become_command(
    held: Held,
    command: CommandLine,
    program: Cow<'static, CStr>,
    context: ExecContext<'_>,
) -> Error {
    let stderr = context.log.map(|log| log.take_output(&held)).transpose();
    let stderr = match stderr {
        Ok(stderr) => stderr,
        Err(reason) => return Error::RedirectOutput(reason),
    };
    let file = held.file();
    let reason = match (file.target(), context.slot) {
        (LockTarget::Remote(_), _) => {
            let fence = held.remarks.fence.as_deref();
            execute_command(command, &program, Some((FENCE, fence)))
        }
        (_, Some(slot)) => {
            let variable = CString::new(format!("NONOVERLAP_SLOT={slot}")).ok();
            execute_command(command, &program, Some((SLOT, variable.as_deref())))
        }
        (_, None) => execute_command(command, &program, None),
    };
    if let (Some(log), Some(stderr)) = (context.log, stderr) {
        stderr.put_back(log);
    }
    Error::Execute {
        program,
        reason,
        lock: file.target(),
        made_lock: file.is_new(),
    }
}

/// What the variable of a slot begins with.
const SLOT: &CStr = c"NONOVERLAP_SLOT=";

/// Searches the program and executes it, with one variable in place of any that begins so, or without
/// it: an outer run's is no news of ours. Returns only the reason why that fails.
fn execute_command(
    command: CommandLine,
    program: &CStr,
    variable: Option<(&CStr, Option<&CStr>)>,
) -> Errno {
    let environment = variable.map(|(name, variable)| sys::environment_with(name, variable));
    let environment = environment.as_deref();
    match command {
        CommandLine::Words(_, words) => sys::search_and_execute(
            program,
            ExecArgs {
                arguments: words.pointers(),
                environment,
            },
        ),
        CommandLine::Line(line) => {
            let arguments = &[program.as_ptr(), c"-c".as_ptr(), line.as_ptr(), ptr::null()];
            sys::search_and_execute(
                program,
                ExecArgs {
                    arguments,
                    environment,
                },
            )
        }
    }
}

/// The program that a command names: its first word, or the user's shell.
pub fn program(command: CommandLine) -> Cow<'static, CStr> {
    match command {
        CommandLine::Words(name, _) => Cow::Borrowed(name),
        CommandLine::Line(_) => {
            match env::var_os("SHELL").and_then(|shell| CString::new(shell.into_vec()).ok()) {
                Some(shell) if !shell.is_empty() => Cow::Owned(shell),
                _ => Cow::Borrowed(SHELL),
            }
        }
    }
}
