//! The ends of the process that nobody above could report: there is no more memory, or the system refuses
//! what cannot fail. Nothing was run, and the exit status says so.

use libc::c_int;
use rustix::stdio::stderr;

/// Of the machine (EX_OSERR of sysexits(3)).
const OF_THE_MACHINE: c_int = 71;

/// Says why in a line, and ends the process at once. In a guardian nobody may hear it.
///
/// It asks for no memory, and leaves signals as they are: a pipe that nobody reads ends it as well.
#[cold]
pub fn end(line: &[u8]) -> ! {
    let _ = rustix::io::write(stderr(), line);
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(OF_THE_MACHINE) }
}
