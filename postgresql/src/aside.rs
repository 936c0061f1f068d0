//! What libpq says by itself while it connects, such as a server's warning that a collation has
//! another version, or its own that it does not read a password file which others may read. On a run
//! that succeeds it is no news, and cron would send it each time; on one that fails it may be why.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::stdio;

use crate::sys;

/// Standard error while something else stands in its place.
pub struct Aside {
    stderr: OwnedFd,
    said: UnixStream,
}

impl Aside {
    /// Puts something else there. Where that cannot be, all is shown as it comes.
    pub fn begin() -> Option<Aside> {
        let (said, place) = UnixStream::pair().ok()?;
        // What is too long for it is dropped, and nobody waits for a reader.
        place.set_nonblocking(true).ok()?;
        said.set_nonblocking(true).ok()?;
        let stderr = stdio::stderr().try_clone_to_owned().ok()?;
        stdio::dup2_stderr(place.as_fd()).ok()?;
        sys::complain_on(stderr.as_raw_fd());
        Some(Aside { stderr, said })
    }

    /// Puts standard error back, and gives what was said.
    pub fn end(mut self) -> String {
        let _ = stdio::dup2_stderr(self.stderr.as_fd());
        sys::complain_on(libc::STDERR_FILENO);
        let mut said = Vec::new();
        // It ends where nobody can say more, or, in a nonblocking way, where nobody has.
        let _ = self.said.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }
}
