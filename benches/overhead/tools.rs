//! Who is measured: the floor, nonoverlap in both builds, and the peers that are installed.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Advice, fadvise};

use crate::measure::{FLOCK, FLOOR};

pub const DEFAULT: &str = "nonoverlap";
pub const MUSL: &str = "nonoverlap (musl)";
/// The same as it is after a reboot: a file that was read from the disk lies in single pages, one that
/// was written a moment ago in large pieces, which are mapped faster.
const MUSL_REREAD: &str = "nonoverlap (musl), reread";

/// A tool that takes `[options] LOCKFILE COMMAND`. Options are words with blanks between them.
#[derive(Clone)]
pub struct Tool {
    label: &'static str,
    program: PathBuf,
    /// To refuse at once if the lock is taken.
    refusing: &'static str,
    /// To wait for the lock.
    pub waiting: Option<&'static str>,
    /// To keep the lock's descriptor from the command.
    pub closing: Option<&'static str>,
    /// To end the command after an hour.
    pub bounding: Option<&'static str>,
}

/// Options to refuse, to wait and to close.
const PEERS: [(&str, &str, Option<&str>, Option<&str>); 7] = [
    ("flock", "-n", Some("-w 60"), Some("-n -o")),
    ("flock", "-n -F", Some("-w 60 -F"), None),
    ("setlock", "-n", Some(""), None),
    ("chpst", "-L", Some("-l"), None),
    ("s6-setlock", "-n", Some(""), None),
    ("lckdo", "", Some("-w"), None),
    ("with-lock-ex", "-f", Some("-w"), None),
];

/// Programs of the bench's own.
pub struct Programs {
    pub floor: PathBuf,
    /// Ends at once.
    pub trivial: PathBuf,
    /// Never ends by itself.
    pub staying: PathBuf,
}

impl Programs {
    pub fn build(folder: &Path) -> Programs {
        Programs {
            floor: build(folder, "floor", &[]),
            trivial: build(folder, "trivial", &["-DTRIVIAL"]),
            staying: build(folder, "staying", &["-DSTAYING"]),
        }
    }
}

fn build(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let program = folder.join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/overhead/floor.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-static", "-nostdlib", "-fno-builtin"]);
    compiler.arg("-fno-stack-protector").args(options);
    compiler.arg("-o").arg(&program).arg(source);
    let built = compiler.status().unwrap();
    assert!(built.success(), "cc could not build {source}");
    program
}

/// Those that are there; ours copied into this folder, which is on a disk, as install(1) does.
pub fn tools(folder: &Path, floor: &Path) -> Vec<Tool> {
    let own = |label, program: PathBuf, waiting, closing| Tool {
        label,
        program,
        refusing: "",
        waiting,
        closing,
        bounding: closing.and(Some("--max-runtime 1h")),
    };
    let ours = Path::new(env!("CARGO_BIN_EXE_nonoverlap"));
    let target = ours.ancestors().nth(2).unwrap();
    let musl = target.join("x86_64-unknown-linux-musl/release/nonoverlap");
    let mut tools = vec![own(FLOOR, floor.to_owned(), None, None)];
    for (label, program) in [(DEFAULT, ours), (MUSL, &musl)] {
        if program.exists() {
            let copy = copied(program, &folder.join(label));
            tools.push(own(label, copy, Some("-w 60"), Some("-o")));
        } else {
            left_out(
                label,
                "cargo build --release --target x86_64-unknown-linux-musl",
            );
        }
    }
    if musl.exists() {
        let copy = copied(&musl, &folder.join(MUSL_REREAD));
        forget_content(&copy);
        tools.push(own(MUSL_REREAD, copy, None, None));
    }
    for (label, refusing, waiting, closing) in PEERS {
        match find(label) {
            Some(program) => tools.push(Tool {
                label,
                program,
                refusing,
                waiting,
                closing,
                bounding: None,
            }),
            None => left_out(label, "it is not installed"),
        }
    }
    tools
}

fn copied(program: &Path, copy: &Path) -> PathBuf {
    fs::copy(program, copy).unwrap();
    copy.to_owned()
}

/// Has the kernel read a file anew when it is next used.
fn forget_content(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

/// Says that something is not measured. In CI (`CI` is set) nothing may be left out.
pub fn left_out(what: &str, why: &str) {
    assert!(env::var_os("CI").is_none(), "left out: {what}: {why}");
    println!("left out: {what}: {why}");
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

impl Tool {
    /// As it refuses.
    pub fn name(&self) -> String {
        self.name_with(self.refusing)
    }

    pub fn name_with(&self, options: &str) -> String {
        format!("{} {options}", self.label).trim_end().to_owned()
    }

    pub fn is_ours(&self) -> bool {
        [DEFAULT, MUSL].contains(&self.label)
    }

    /// One of those that stand for all where all would be too many.
    pub fn is_typical(&self) -> bool {
        [FLOOR, MUSL, FLOCK].contains(&self.name().as_str())
    }

    /// The tool with nothing behind it.
    pub fn alone(&self) -> Command {
        quiet(&self.program)
    }

    /// To run a command, or to refuse.
    pub fn command(&self, lock: &Path, command: &Path) -> Command {
        self.command_with(self.refusing, lock, command)
    }

    pub fn command_with(&self, options: &str, lock: &Path, command: &Path) -> Command {
        let mut line = self.alone();
        line.args(options.split_whitespace());
        line.arg(lock).arg(command);
        line
    }
}

/// A program with nothing to read, and with nobody to hear it.
pub fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}
