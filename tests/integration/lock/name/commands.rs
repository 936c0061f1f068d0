//! What commands and files there are that a mark or a record could be in the way of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, has_tool, is_root, left_out, nonoverlap, record_of,
};

/// Commands in Python that lock the whole of the file that is their argument, as dpkg does with
/// `/var/lib/dpkg/lock`, a daemon with its PID file, and Java.
const LOCK_ALL: [&str; 4] = [
    "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "fcntl.lockf(file, fcntl.LOCK_EX)",
    "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))",
    "fcntl.fcntl(file, 38, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))",
];

#[test]
fn a_command_that_locks_the_whole_of_its_own_lock_file_works_as_without_nonoverlap() {
    if !has_tool("python3", "a command that locks its own lock file") {
        return;
    }
    let scene = Scene::new();
    for call in LOCK_ALL {
        let program = format!(
            "import fcntl, struct, sys\nfile = open(sys.argv[1], 'r+')\n{call}\nprint('locked')"
        );
        let lock = scene.file("lock", "");
        // On a new file, and on one with a record.
        for options in [&[][..], &[], &["-s"], &["--close"]] {
            // A guardian ends a moment after its command.
            let mut command = nonoverlap(["-w50"]);
            command.args(options).arg(&lock);
            command.args(["python3", "-c", &program]);
            let ended = command.arg(&lock).run();
            ended.expect(0, "locked\n", "");
        }
    }
}

#[test]
fn a_database_may_be_the_lock_file_of_what_writes_into_it() {
    if !has_tool("python3", "a database as lock file") {
        return;
    }
    let reads = Command::new("python3").args(["-c", "import sqlite3"]).run();
    if reads.code() != Some(0) {
        return left_out("a database as lock file", "python3 has no sqlite3");
    }
    let scene = Scene::new();
    let database = scene.path("database");
    let make = "create table t(n); insert into t values (0);";
    let program = "import sqlite3, sys
it = sqlite3.connect(sys.argv[1], timeout=0)
it.executescript(sys.argv[2])
print(it.execute('select count(*) from t').fetchone()[0])";
    let python = |command: &mut Command, script: &str| {
        command.args(["python3", "-c", program]).arg(&database);
        command.arg(script).run()
    };
    python(&mut Command::new("env"), make).expect(0, "1\n", "");
    for (before, options) in [&[][..], &["-s"], &["-v", "-q"], &["--close"]]
        .iter()
        .enumerate()
    {
        let mut command = nonoverlap(["-w50"]);
        command.args(*options);
        let insert = "begin exclusive; insert into t values (1); commit;";
        let ended = python(command.arg(&database), insert);
        ended.expect(0, &format!("{}\n", before + 2), "");
    }
}

#[test]
fn a_setting_of_the_kernels_is_not_set() {
    if !is_root() {
        return left_out("a setting of the kernel's", "only root may set one");
    }
    for (namespace, path) in [
        ("--uts", "/proc/sys/kernel/hostname"),
        ("--uts", "/proc/sys/kernel/domainname"),
        ("--net", "/proc/sys/net/ipv4/tcp_fin_timeout"),
        ("--ipc", "/proc/sys/kernel/shmmni"),
    ] {
        if !Path::new(path).exists() {
            left_out(path, "the kernel has no such setting");
            continue;
        }
        let script = format!("cat {path}; \"$0\" {path} echo ran; cat {path}");
        let mut command = Command::new("unshare");
        command.args([namespace, "sh", "-c", &script, NONOVERLAP]);
        let ended = command.run();
        let said = ended.stdout();
        let (before, after) = said.split_once("ran\n").expect(&said);
        assert_eq!(before, after, "{ended:?}");
        assert_eq!(ended.stderr(), "", "{ended:?}");
    }
}

#[test]
fn a_file_that_moves_processes_between_control_groups_moves_none() {
    let Some(group) = Group::new() else {
        return;
    };
    let processes = group.0.join("cgroup.procs");
    let own = |command: &mut Command| command.args(["cat", "/proc/self/cgroup"]).run().stdout();
    let without = own(&mut Command::new("env"));
    let with = own(&mut nonoverlap([&processes]));
    assert_eq!(with, without);
    assert_eq!(fs::read_to_string(&processes).unwrap(), "");
}

/// A control group of the test's own.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let what = "a control group";
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        let mount = mounts.find_map(|mut words| {
            let place = words.nth(1)?;
            (words.next() == Some("cgroup2")).then_some(place)
        });
        let Some(mount) = mount else {
            left_out(what, "no cgroup2 is mounted");
            return None;
        };
        let group = Path::new(mount).join(format!("nonoverlap-test-{}", std::process::id()));
        match fs::create_dir(&group) {
            Ok(()) => Some(Group(group)),
            Err(error) => {
                left_out(what, &error.to_string());
                None
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_thousand_runs_back_to_back_are_let_in() {
    let scene = Scene::new();
    let script = |count: u32, line: &str| {
        let script = format!("i=0; while [ $i -lt {count} ]; do {line}; i=$((i + 1)); done");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, NONOVERLAP]);
        shell.current_dir(scene.path("")).run().expect(0, "", "");
    };
    script(1000, "\"$0\" lock true || echo refused");
    // On a new file each time.
    script(100, "rm -f lock; \"$0\" lock true || echo refused");
    // By children that outlive their parents, whose end each run waits for.
    script(
        150,
        "\"$0\" -w50 lock sh -c 'sleep 0.001 &' || echo refused",
    );
    script(
        100,
        "rm -f lock; \"$0\" -w50 lock sh -c 'sleep 0.001 &' || echo refused",
    );
    let count = fs::read_dir(scene.path("")).unwrap().count();
    assert_eq!(count, 1);
}

#[test]
fn a_script_that_lets_go_of_the_lock_itself_is_not_in_the_way_where_its_file_is_in_place() {
    let scene = Scene::new();
    let lock = scene.lock();
    // The mark stays.
    let hold = "exec 60>&-; echo held; exec cat >/dev/null";
    let job = Holder::start(nonoverlap([&lock]).args(["bash", "-c", hold]));
    let ended = nonoverlap([&lock]).args(["echo", "ran"]).run();
    assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "ran\n"));
    let named = format!("PID {}, ", job.pid());
    assert!(ended.stderr().contains(&named), "{ended:?}");
    assert_ne!(fs::read_to_string(&lock).unwrap(), record_of(job.pid()));
    // Nobody can tell such a run from one that holds another file.
    fs::rename(&lock, scene.path("old")).unwrap();
    nonoverlap([&lock]).arg("true").run().expect(1, "", "");
    job.end();
    nonoverlap([&lock]).arg("true").run().expect(0, "", "");
}
