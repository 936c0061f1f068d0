//! What a process sees of all that execve(2) hands on, so that a run under nonoverlap can be held against the same run
//! without it, and ways to start a run in states that `Command` cannot make. Linux only: it looks into `/proc/self`.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::support::harness::{NONOVERLAP, Scene, run_on};

/// Shows its own state, as `cat` changes none of it: neither a signal nor a descriptor nor a timer.
pub const PROBE: &[&str] = &[
    "cat",
    "/proc/self/status",
    "/proc/self/stat",
    "/proc/self/limits",
    "/proc/self/oom_score_adj",
    "/proc/self/timerslack_ns",
    "/proc/self/personality",
    "/proc/self/coredump_filter",
    "/proc/self/cgroup",
    "/proc/self/timers",
];

/// What [`PROBE`] shows, without what differs from run to run. Its own PID reads `itself`, and must be the one that was
/// started.
#[track_caller]
pub fn sight(command: &mut Command, stderr: Stdio) -> Vec<String> {
    let shown = run_on(command, stderr);
    assert_eq!(shown.status.code(), Some(0), "{command:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let pid = shown.pid.to_string();
    assert!(
        text.contains(&format!("\nPid:\t{pid}\n")),
        "not PID {pid}: {text}"
    );
    text.lines().filter_map(|line| steady(line, &pid)).collect()
}

/// A line without what differs from run to run: its PID, sizes of memory, counts of context switches, and `SigQ`, which
/// counts other processes' signals. Of `/proc/self/stat` the numbers of proc_pid_stat(5) that nobody but the caller sets.
fn steady(line: &str, pid: &str) -> Option<String> {
    const UNSTEADY: [&str; 7] = ["State", "FDSize", "Vm", "Rss", "Hugetlb", "SigQ", "THP"];
    // Any other number can be the same by chance.
    const PIDS: [&str; 3] = ["Tgid", "Pid", "NS"];
    let unless_own = |word| if word == pid { "itself" } else { word };
    if let Some((_, numbers)) = line.rsplit_once(") ") {
        // The first number behind the name is the third of all.
        let number = |place: usize| numbers.split(' ').nth(place - 3).unwrap_or("?");
        // Its group, its session and its terminal's foreground group; its parent, its terminal and the rest.
        let groups = [5, 6, 8].map(|place| unless_own(number(place)));
        let others = [4, 7, 18, 19, 20, 21, 38, 40, 41].map(number);
        return Some([&groups[..], &others].concat().join(" "));
    }
    let is_of = |names: &[&str]| names.iter().any(|name| line.starts_with(name));
    if is_of(&UNSTEADY) || line.contains("ctxt_switches") {
        return None;
    }
    let words = line.split_ascii_whitespace();
    let words = words.map(|word| if is_of(&PIDS) { unless_own(word) } else { word });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The same run without nonoverlap and with it: `starter` is what comes before it, `prepare` what is done to the child.
#[track_caller]
pub fn both(
    starter: &[&str],
    options: &[&str],
    prepare: impl Fn(&mut Command),
    stderr: impl Fn() -> Stdio,
) -> [Vec<String>; 2] {
    let scene = Scene::new();
    let lock = scene.lock();
    let lock = lock.to_str().unwrap();
    let under = [starter, &[NONOVERLAP], options, &[lock], PROBE].concat();
    [[starter, PROBE].concat(), under].map(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        prepare(&mut command);
        sight(&mut command, stderr())
    })
}

/// Has the child do something between fork and exec. Only calls that are safe there: no memory, no lock.
pub fn in_child(command: &mut Command, step: impl Fn() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: every step in these tests is system calls only, which are async-signal-safe.
    unsafe { command.pre_exec(step) };
}

/// A command with exactly this argv and this environment, which `Command` would change (doubled names, entries without
/// `=`, no argv[0]). It starts by execveat(2), so that a filter may refuse execve(2) to what is started; `last` is done
/// just before, in the child, and makes system calls only.
pub fn exactly(
    program: &str,
    argv: &[&[u8]],
    environment: &[&[u8]],
    last: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    let strings = |words: &[&[u8]]| -> Vec<CString> {
        words.iter().map(|&w| CString::new(w).unwrap()).collect()
    };
    let path = CString::new(program).unwrap();
    let (argv, environment) = (strings(argv), strings(environment));
    // As numbers, because pointers are not Send. The strings that they point to move into the closure, too.
    let pointers = |strings: &[CString]| -> Vec<usize> {
        let addresses = strings
            .iter()
            .map(|string| string.as_ptr().expose_provenance());
        addresses.chain([0]).collect()
    };
    let lists = (pointers(&argv), pointers(&environment));
    let mut command = Command::new(program);
    let start = move || {
        let _owners = (&argv, &environment);
        last()?;
        let list = |addresses: &Vec<usize>| addresses.as_ptr();
        // SAFETY: `path` is a C string, both lists are pointers to C strings with a null pointer behind them, and all
        // of them live as long as this closure.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                libc::AT_FDCWD,
                path.as_ptr(),
                list(&lists.0),
                list(&lists.1),
                0,
            )
        };
        Err(io::Error::last_os_error())
    };
    // SAFETY: `start` makes system calls only; its memory was made before the fork.
    unsafe { command.pre_exec(start) };
    command
}
