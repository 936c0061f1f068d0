//! What a test asks of the machine, and puts back: users, mounts, disks and settings. Linux only.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::support::harness::{
    NONOVERLAP, Run, Scene, eventually, is_root, left_out, locks_on, nonoverlap,
};

/// For how long a process has run, to those who see it through [`Aged`].
const AGE: u64 = 200_000_000;

/// Processes that look as if they had run for years, to the runs that are started through this.
pub struct Aged {
    words: Vec<OsString>,
}

impl Aged {
    /// The runs have a clock of their own, by which the machine started years earlier, and mounts of their
    /// own, in which the `stat` of each process is as it is by ours.
    pub fn processes(scene: &Scene, pids: &[u32]) -> Option<Aged> {
        let what = "a process that has run for long";
        if !is_root() {
            left_out(what, "needs root to make one look so");
            return None;
        }
        if !Path::new("/proc/self/ns/time").exists() {
            left_out(what, "the kernel has no time namespaces (Linux 5.6)");
            return None;
        }
        let line = r#"until [ "$1" = -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@""#;
        let age = AGE.to_string();
        let words = ["unshare", "--mount", "--time", "--boottime", &age, "--fork"];
        let words = words.into_iter().chain(["sh", "-c", line, "sh"]);
        let mut words: Vec<_> = words.map(OsString::from).collect();
        for pid in pids {
            let place = format!("/proc/{pid}/stat");
            let stat = scene.file(&format!("stat{pid}"), fs::read(&place).unwrap());
            words.extend([stat.into(), place.into()]);
        }
        words.push("--".into());
        Some(Aged { words })
    }

    /// The same of one.
    pub fn process(scene: &Scene, pid: u32) -> Option<Aged> {
        Aged::processes(scene, &[pid])
    }

    /// nonoverlap with these arguments.
    pub fn seen_by<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg(NONOVERLAP);
        command.args(arguments);
        command
    }
}

/// nonoverlap, run by a user who may do no more than the mode of a file says.
pub fn as_ordinary_user(scene: &Scene) -> Command {
    if !is_root() {
        return nonoverlap([""; 0]);
    }
    // A copy by another process, so that no descriptor of ours is open for writing when it is
    // executed, and in a folder that everybody may search.
    let program = scene.path("nonoverlap");
    if !program.exists() {
        Command::new("cp")
            .arg(NONOVERLAP)
            .arg(&program)
            .run()
            .expect(0, "", "");
        let mode = fs::metadata(scene.path("")).unwrap().permissions().mode();
        fs::set_permissions(scene.path(""), Permissions::from_mode(mode | 0o055)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    command
}

/// A block device, which is gone when this goes out of scope.
pub struct Loop(pub PathBuf);

impl Loop {
    pub fn over(image: &Path) -> Option<Loop> {
        if !is_root() {
            left_out("a disk as lock file", "only root may make a loop device");
            return None;
        }
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image)
            .run();
        if made.code() != Some(0) {
            left_out("a disk as lock file", &made.stderr());
            return None;
        }
        let disk = Loop(made.stdout().trim_end().into());
        // udev, where it runs, looks at a new disk, and locks it for that.
        let _ = Command::new("udevadm").arg("settle").output();
        eventually("udev is done", || locks_on(&disk.0).is_empty());
        Some(disk)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .output();
    }
}

/// A setting of the kernel's for the time of a test. A lock on it keeps other suites' tests away.
pub struct Sysctl {
    _lock: File,
    before: String,
    path: &'static str,
}

impl Sysctl {
    pub fn set(path: &'static str, value: &str) -> Sysctl {
        let lock = File::open(path).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, value).unwrap();
        Sysctl {
            _lock: lock,
            before,
            path,
        }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        let _ = fs::write(self.path, &self.before);
    }
}

/// A script for sh in the scene's folder, with nonoverlap as `$0`, that may mount what it likes: it is
/// in a namespace of its own, so that nobody sees its mounts and they are gone with it.
pub fn with_mounts(scene: &Scene, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    command
}
