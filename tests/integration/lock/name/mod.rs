//! The name stays locked: while a run holds, whatever becomes of its lock file, the next run of that
//! name in that folder is a conflict. Linux only: nowhere else do others see the mark of a run.

mod changing_table;
mod commands;
mod displaced;
mod handed_on;
mod mark;
mod realms;
mod shortage;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{NONOVERLAP, Run, Waiter, record_of};
use crate::support::status_answer::HELD;

/// What can become of a lock file, as a script for sh in its folder, with nonoverlap as `$0`; and what
/// `--status` then says of it.
#[rustfmt::skip]
const FATES: [(&str, &str); 19] = [
    ("rm lock", DELETED),
    ("rm lock; true >lock; rm lock", DELETED),
    ("rm lock; \"$0\" -q lock true; rm -f lock", DELETED),
    ("rm lock; true >lock", DELETED),
    ("rm lock; echo 4242 >lock", DELETED),
    ("echo 4242 >new; mv new lock", DELETED),
    ("true >new; mv new lock", DELETED),
    ("printf '2000000000\\n' >new; mv new lock", DELETED),
    ("sed -i s/^/x/ lock", DELETED),
    ("sed -i s/x/x/ lock", DELETED),
    ("cp lock new; mv new lock", DELETED),
    ("cp -p lock new; mv new lock", DELETED),
    ("cp -p lock new; touch -d 2001-01-01 new; mv new lock", DELETED),
    ("true >other; ln -s other new; mv new lock", DELETED),
    ("rm lock; mkfifo lock", DELETED),
    ("rm lock; mkdir lock", DELETED),
    ("mv lock old", MOVED),
    ("mv lock old; true >lock", MOVED),
    ("mv lock old; \"$0\" -q lock true; mv old lock", ""),
];

/// Some of them, for where many are to be tried in each: deleted, made anew, replaced by a record, by a
/// copy and by a link, moved away, and there and back.
fn some_fates() -> [(&'static str, &'static str); 7] {
    [0, 3, 7, 11, 13, 16, 18].map(|index: usize| FATES[index])
}

const DELETED: &str = "; its lock file was deleted";
const MOVED: &str = "; its lock file was renamed or replaced";

/// A shell script in this folder, with nonoverlap as `$0`.
#[track_caller]
fn in_folder(folder: &Path, mut command: Command, script: &str) {
    let script = format!("cd '{}' && {{ {script}\n}}", folder.display());
    let ended = command.args(["sh", "-c", &script, NONOVERLAP]).run();
    // A run in between may be refused.
    assert_eq!(ended.stderr(), "", "{ended:?}");
}

/// By what command the next run is made: nonoverlap itself, or something that becomes it.
type Maker<'a> = &'a dyn Fn() -> Command;

/// The next run of this name is refused, in every way to ask.
#[track_caller]
fn is_conflict(maker: Maker, lock: &Path) {
    // More than once: a refused run may leave a new file.
    for options in [&[][..], &[], &["-E7"], &["-w", "0.02"], &["-s"]] {
        let mut command = maker();
        command.args(options).arg(lock).args(["echo", "ran"]);
        let status = if options == ["-E7"] { 7 } else { 1 };
        command.run().expect(status, "", "");
    }
}

/// What `--status` says after the path of the lock file.
#[track_caller]
fn status_of(maker: Maker, lock: &Path) -> String {
    let ended = maker().arg("--status").arg(lock).run();
    assert_eq!(ended.code(), Some(HELD), "{ended:?}");
    ended.stdout().trim_end().to_owned()
}

/// A file that is kept open, so that it can be looked at whatever becomes of its name.
struct Pinned(File);

impl Pinned {
    fn new(path: &Path) -> Pinned {
        Pinned(File::open(path).unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// A run that waits for the holder is let in when that has ended, and its record is where the path
/// leads, if what is there can have one; it is `seen` from here.
#[track_caller]
fn runs_after(maker: Maker, lock: &Path, seen: &Path, held: &Pinned, end: impl FnOnce()) {
    let mut command = maker();
    command.arg("-b").arg(lock).args(["echo", "ran"]);
    let waiter = Waiter::start(&mut command, &held.path());
    let mut bounded = maker();
    bounded.args(["-w", "50"]).arg(lock).args(["echo", "ran"]);
    let second = Waiter::start(&mut bounded, &held.path());
    let has_room = has_room_for_record(seen);
    end();
    let pids = [waiter.pid(), second.pid()].map(record_of);
    waiter.ended().expect(0, "ran\n", "");
    second.ended().expect(0, "ran\n", "");
    if has_room {
        let record = fs::read_to_string(seen).unwrap();
        assert!(pids.contains(&record), "{record:?} of {pids:?}");
    }
}

/// There is nothing, or an empty file, or a record.
fn has_room_for_record(lock: &Path) -> bool {
    let is_record = |content: &[u8]| {
        let number = String::from_utf8_lossy(content);
        number.trim().parse().map(record_of).as_deref() == Ok(&*number)
    };
    match fs::symlink_metadata(lock) {
        Err(_) => true,
        Ok(state) if !state.is_file() => false,
        Ok(state) => state.len() == 0 || is_record(&fs::read(lock).unwrap()),
    }
}
