//! The tables in the README and in DESIGN.md that set nonoverlap beside its peers: each cell is seen by
//! running the tool of its column. Not run are lockf, which Linux does not have, and the PID file.

// The peers are Debian's.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::documents::{DESIGN, readme_section, section};
use crate::support::harness::{NONOVERLAP, Run, Scene, Watchdog, eventually, has_tool, kill};

/// A column: its head, the words before the lock file, and those with which it shares the lock.
struct Tool {
    head: &'static str,
    words: &'static [&'static str],
    shared: &'static [&'static str],
}

#[rustfmt::skip] // A row a line is how a table is read.
const TOOLS: &[Tool] = &[
    Tool { head: "nonoverlap", words: &[NONOVERLAP], shared: &[NONOVERLAP, "-s"] },
    Tool { head: "`flock -n`", words: &["flock", "-n"], shared: &["flock", "-n", "-s"] },
    Tool { head: "`flock -n -F`", words: &["flock", "-n", "-F"], shared: &["flock", "-n", "-F", "-s"] },
    Tool { head: "`setlock -n`", words: &["setlock", "-n"], shared: &[] },
    Tool { head: "`chpst -L`", words: &["chpst", "-L"], shared: &[] },
    Tool { head: "`lckdo`", words: &["lckdo"], shared: &["lckdo", "-s"] },
    Tool { head: "`with-lock-ex -f`", words: &["with-lock-ex", "-f"], shared: &[] },
];

type Cell = fn(&Tool) -> String;

const ROWS: &[(&str, Cell)] = &[
    ("`exec 3>log` in the job", opened_three),
    ("the job closes all its descriptors", closed_all),
    ("a daemon is left behind", left_a_daemon),
    ("it is killed with -9", killed),
    ("the lock file is deleted meanwhile", deleted),
    ("keeps out `flock(2)`", keeps_out_flock),
    ("shared lock", shares),
    ("a directory as lock file", locks_a_folder),
    ("a FIFO as lock file", locks_a_fifo),
    ("PID in the file", writes_its_pid),
    ("processes beside the job", beside),
    ("status on conflict", on_conflict),
    ("status if there is no such command", no_such_command),
];

#[test]
fn each_cell_of_the_two_tables_is_what_is_seen() {
    if !has_tool("python3", "the table") {
        return;
    }
    let tables = [readme_section("Compared"), section(DESIGN, "Other tools")];
    let lines = || tables.iter().flat_map(|table| table.lines());
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let heads: Vec<_> = lines().filter(|line| line.starts_with("| |")).collect();
    assert!(heads.len() == 2 && heads[0] == heads[1], "{heads:#?}");
    let head = cells(heads[0]);
    for tool in TOOLS {
        if !has_tool(tool.words[0], tool.head) {
            continue;
        }
        let column = head.iter().position(|cell| *cell == tool.head).unwrap();
        for (label, cell) in ROWS {
            let start = format!("| {label} |");
            let row = lines().find(|line| line.starts_with(&start));
            let row = cells(row.unwrap_or_else(|| panic!("no row {label}")));
            let said = row[column].replace("**", "");
            assert_eq!(said, cell(tool), "{label}: {}", tool.head);
        }
    }
}

fn opened_three(tool: &Tool) -> String {
    kept_by(tool, &["sh", "-c", "exec 3>log; echo $$; exec cat"])
}

fn closed_all(tool: &Tool) -> String {
    const CLOSE: &str =
        "import os; os.closerange(3, 256); print(os.getpid(), flush=True); os.read(0, 1)";
    kept_by(tool, &["python3", "-c", CLOSE])
}

fn kept_by(tool: &Tool, job: &[&str]) -> String {
    let scene = Scene::new();
    let _job = Job::start(&scene, tool, job);
    if_refused(&scene, tool, ["keeps it", "drops it"])
}

fn left_a_daemon(tool: &Tool) -> String {
    let scene = Scene::new();
    let daemon = ["sh", "-c", "exec 9<&0; cat <&9 >/dev/null & echo $!"];
    let mut job = Job::start(&scene, tool, &daemon);
    job.child.wait().unwrap();
    if_refused(&scene, tool, ["held", "free"])
}

fn killed(tool: &Tool) -> String {
    let scene = Scene::new();
    let mut job = Job::start(&scene, tool, JOB);
    kill(job.child.id(), libc::SIGKILL);
    job.child.wait().unwrap();
    if job.pid == job.child.id() {
        return if_refused(&scene, tool, ["gone, held", "gone, free"]);
    }
    // It hears nothing of it, and ends when its stdin does.
    assert!(fs::exists(format!("/proc/{}", job.pid)).unwrap());
    if_refused(&scene, tool, ["runs on, held", "runs on, free"])
}

fn deleted(tool: &Tool) -> String {
    let scene = Scene::new();
    let _job = Job::start(&scene, tool, JOB);
    fs::remove_file(scene.lock()).unwrap();
    if_refused(&scene, tool, ["refused on Linux", "two run"])
}

fn keeps_out_flock(tool: &Tool) -> String {
    let scene = Scene::new();
    let _job = Job::start(&scene, tool, JOB);
    let flock = Command::new("flock")
        .arg("-n")
        .arg(scene.lock())
        .arg("true")
        .run();
    yes(flock.code() == Some(1))
}

fn shares(tool: &Tool) -> String {
    let scene = Scene::new();
    let sharing = Tool {
        words: tool.shared,
        ..*tool
    };
    if tool.shared.is_empty() {
        return yes(false);
    }
    let _job = Job::start(&scene, &sharing, JOB);
    yes(run(&scene, &sharing, &["true"]) == Some(0) && run(&scene, tool, &["true"]) != Some(0))
}

fn locks_a_folder(tool: &Tool) -> String {
    let scene = Scene::new();
    fs::create_dir(scene.lock()).unwrap();
    yes(run(&scene, tool, &["true"]) == Some(0))
}

fn locks_a_fifo(tool: &Tool) -> String {
    let scene = Scene::new();
    Command::new("mkfifo")
        .arg(scene.lock())
        .run()
        .expect(0, "", "");
    let mut command = started_by(&scene, tool, &["true"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut ended = None;
    eventually("it ends or hangs", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || sleeps_in_open(child.id())
    });
    match ended {
        // The cell is for every system, and macOS locks no FIFO.
        Some(status) if status.success() && tool.words == [NONOVERLAP] => {
            "yes, but not on macOS".into()
        }
        Some(status) => yes(status.success()),
        None => {
            child.kill().unwrap();
            child.wait().unwrap();
            "hangs".into()
        }
    }
}

/// Whether a process waits for somebody to open the other end of a FIFO: for nothing else does it sleep
/// in open(2).
fn sleeps_in_open(pid: u32) -> bool {
    let seen = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let call = seen("syscall");
    let is = |number: &str| call.starts_with(&format!("{number} "));
    let opens = is(&libc::SYS_openat.to_string()) || cfg!(target_arch = "x86_64") && is("2");
    opens && seen("stat").contains(") S ")
}

fn writes_its_pid(tool: &Tool) -> String {
    let scene = Scene::new();
    let job = Job::start(&scene, tool, JOB);
    let file = fs::read_to_string(scene.lock()).unwrap();
    yes(file.trim() == job.pid.to_string())
}

fn beside(tool: &Tool) -> String {
    let scene = Scene::new();
    let job = Job::start(&scene, tool, JOB);
    let none = job.pid == job.child.id();
    if none { "none" } else { "one" }.into()
}

fn on_conflict(tool: &Tool) -> String {
    let scene = Scene::new();
    let _job = Job::start(&scene, tool, JOB);
    run(&scene, tool, &["true"]).unwrap().to_string()
}

fn no_such_command(tool: &Tool) -> String {
    let code = run(&Scene::new(), tool, &["no-such-command"]);
    code.unwrap().to_string()
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.into()
}

/// The first of two words if another run is refused, and else the second.
fn if_refused(scene: &Scene, tool: &Tool, [refused, runs]: [&str; 2]) -> String {
    let code = run(scene, tool, &["true"]);
    if code == Some(0) { runs } else { refused }.into()
}

fn run(scene: &Scene, tool: &Tool, command: &[&str]) -> Option<i32> {
    started_by(scene, tool, command).run().code()
}

fn started_by(scene: &Scene, tool: &Tool, command: &[&str]) -> Command {
    let mut started = Command::new(tool.words[0]);
    started
        .args(&tool.words[1..])
        .arg(scene.lock())
        .args(command);
    started.current_dir(scene.path(""));
    started
}

/// Tells its PID, and ends when its stdin does.
const JOB: &[&str] = &["sh", "-c", "echo $$; exec cat"];

/// A job under a tool. It ends with this, also if the tool is gone.
struct Job {
    child: Child,
    /// That of the job itself.
    pid: u32,
    _stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
    _watchdog: Watchdog,
}

impl Job {
    fn start(scene: &Scene, tool: &Tool, job: &[&str]) -> Job {
        let mut command = started_by(scene, tool, job);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let watchdog = Watchdog::over(&child);
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut pid = String::new();
        stdout.read_line(&mut pid).unwrap();
        Job {
            pid: pid
                .trim()
                .parse()
                .unwrap_or_else(|_| panic!("{command:?}: {pid}")),
            child,
            _stdin: stdin,
            _stdout: stdout,
            _watchdog: watchdog,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
