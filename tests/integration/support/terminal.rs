//! A terminal of the test's own, which nobody sits at.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a parallel test starts is not to have it. macOS has no such flag.
#[cfg(not(target_os = "macos"))]
const SEALED: OpenptFlags = OpenptFlags::CLOEXEC;
#[cfg(target_os = "macos")]
const SEALED: OpenptFlags = OpenptFlags::empty();

/// It is hung up when this goes out of scope.
pub struct Terminal {
    pub keyboard: OwnedFd,
    pub path: PathBuf,
}

impl Terminal {
    pub fn new() -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | SEALED).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let path = OsStr::from_bytes(name.as_bytes()).into();
        Terminal { keyboard, path }
    }

    /// It, as a stream for a command.
    pub fn open(&self) -> OwnedFd {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty()).unwrap()
    }

    /// All that was written to it. Nobody has it open any more, which on Linux is an error of the read
    /// that comes last.
    pub fn read(self) -> String {
        let mut text = Vec::new();
        let _ = File::from(self.keyboard).read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }
}
