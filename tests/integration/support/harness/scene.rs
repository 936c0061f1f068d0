//! A folder of the test's own, and what is in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;

use super::proc::eventually;
use super::run::{NONOVERLAP, Run, record_of};

/// A folder of the test's own, which is gone when the test ends.
pub struct Scene {
    folder: TempDir,
}

static APART: Once = Once::new();

/// What the caller of the tests left open or ignores is not to reach what they start: a descriptor 10
/// of the caller's would have the lock on 11, and under nohup(1) SIGHUP would end nothing.
fn forget_the_caller() {
    for number in 3..1024 {
        // SAFETY: F_SETFD touches no memory, and says EBADF for what is not open.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // These are what nohup(1) and a shell's `&` ignore.
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: the default action is no function of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

impl Scene {
    pub fn new() -> Scene {
        APART.call_once(forget_the_caller);
        Scene {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the folder, whether or not there is anything.
    pub fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.folder.path().join(name.as_ref())
    }

    /// Where most tests have their lock file. Nothing is there yet.
    pub fn lock(&self) -> PathBuf {
        self.path("lock")
    }

    /// A link to nonoverlap that is called flock, in a folder that PATH may name.
    pub fn flock(&self) -> PathBuf {
        let link = self.path("bin/flock");
        if !link.exists() {
            fs::create_dir(self.path("bin")).unwrap();
            symlink(NONOVERLAP, &link).unwrap();
        }
        link
    }

    /// Makes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A lock file as a run that ended long ago leaves it: its record, of a process that is gone, is the
    /// last thing that happened to it, more than a second after it was made. Nobody looks for another
    /// holder of such a file's name.
    #[track_caller]
    pub fn settled_lock(&self) -> PathBuf {
        let lock = self.file("lock", "");
        let born = fs::metadata(&lock).unwrap().modified().unwrap();
        // Files beside it have their times from the same clock.
        eventually("it is more than a second old", || {
            let now = fs::metadata(self.file("clock", "")).unwrap();
            now.modified().unwrap() > born + Duration::from_millis(1100)
        });
        fs::remove_file(self.path("clock")).unwrap();
        self.file("lock", record_of(i32::MAX as u32))
    }

    /// Makes a file that can be executed. It is written by another process: a descriptor open for
    /// writing that a child of a parallel test inherited would make executing it fail with ETXTBSY.
    pub fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        let mut writer = Command::new("dd");
        writer.arg("status=none").arg({
            let mut of = OsString::from("of=");
            of.push(&path);
            of
        });
        assert_eq!(writer.run_with_input(content).code(), Some(0));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// A path as an argument of a shell command line.
pub fn quoted(path: &Path) -> String {
    let text = std::str::from_utf8(path.as_os_str().as_bytes()).unwrap();
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What of a file would show a write, a truncation, a replacement or a change of mode. A symbolic
/// link is itself what is looked at.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    head: String,
    content: u64,
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Snapshot {
    /// Whether the content begins with this, escaped as for a terminal.
    pub fn starts_with(&self, text: &str) -> bool {
        self.head.starts_with(text)
    }

    #[track_caller]
    pub fn of(path: &Path) -> Snapshot {
        let state = fs::symlink_metadata(path).unwrap();
        // Reading a FIFO or a terminal would wait.
        let content = if state.is_file() {
            fs::read(path).unwrap()
        } else {
            Vec::new()
        };
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Snapshot {
            head: content
                .iter()
                .take(40)
                .copied()
                .collect::<Vec<_>>()
                .escape_ascii()
                .to_string(),
            content: hasher.finish(),
            inode: state.ino(),
            mode: state.mode(),
            size: state.size(),
            modified: (state.mtime(), state.mtime_nsec()),
            changed: (state.ctime(), state.ctime_nsec()),
        }
    }
}
