//! `--max-runtime` at a terminal: the shell there, its keys and its pipelines are as without it.

use std::fs;
use std::time::{Duration, Instant};

use super::guardian::guardian_of;
use super::max_runtime::lives;
use crate::support::at_terminal::{AtTerminal, CTRL_C, CTRL_D, CTRL_Z, PROMPT};
use crate::support::harness::{
    Orphan, Run, Scene, becomes_free, eventually, has_tool, holds_lock, state,
};

/// Whether there is a shell with job control.
fn has_shell() -> bool {
    has_tool("bash", "an interactive shell")
}

/// What is typed for nonoverlap with these options and the lock `l`.
fn typed(options: &str) -> String {
    format!("\"$NONOVERLAP\" {options} l")
}

/// The PID that the last run wrote into its lock file, once there is one.
#[track_caller]
fn pid_of_record(scene: &Scene) -> u32 {
    let read = || {
        fs::read_to_string(scene.path("l"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    eventually("there is a record", || read().is_some());
    read().unwrap()
}

/// A job of two processes that Ctrl-C ends. A sleep that is only just being forked may miss it, since dash
/// has a handler by then, and so it is a short one.
const UNTIL_CTRL_C: &str = "while :; do sleep 0.01; done";

/// A FIFO of this name.
#[track_caller]
fn fifo(scene: &Scene, name: &str) {
    let mut command = std::process::Command::new("mkfifo");
    command.arg(scene.path(name)).run().expect(0, "", "");
}

#[test]
fn a_job_of_an_interactive_shell_is_ended_with_its_group_and_the_shell_says_so() {
    if !has_shell() {
        return;
    }
    for option in ["", "--close"] {
        let scene = Scene::new();
        let mut shell = AtTerminal::shell(&scene);
        let start = Instant::now();
        let job = typed(&format!("--max-runtime 1 {option}"));
        let said = shell.line(&format!("{job} sh -c 'sleep 1000; :'"));
        assert!(start.elapsed() >= Duration::from_millis(990), "{said}");
        assert!(said.starts_with("Terminated"), "{said}");
        assert_eq!(shell.line("echo $?"), "143\r\n");
        eventually("nobody is left", || !lives(pid_of_record(&scene)));
        becomes_free(&scene.path("l"));
    }
}

/// What is stopped and not waited for is ended at its time. It is woken to hear of it, so it is not
/// killed.
#[test]
fn a_job_that_was_stopped_from_the_terminal_is_ended_at_its_time() {
    if !has_shell() {
        return;
    }
    let scene = Scene::new();
    let mut shell = AtTerminal::shell(&scene);
    // As by Ctrl-Z, but for sure before the time is over.
    let script = "trap 'exit 7' TERM; kill -TSTP 0; while :; do sleep 0.01; done";
    let said = shell.line(&format!("{} sh -c \"{script}\"", typed("--max-runtime 1")));
    assert!(said.contains("[1]+  Stopped"), "{said}");
    let pid = pid_of_record(&scene);
    eventually("nobody is left", || !lives(pid));
    let said = shell.line("wait %1; echo $?");
    assert!(said.ends_with("\r\n7\r\n"), "{said}");
    becomes_free(&scene.path("l"));
}

#[test]
fn under_max_runtime_the_keys_of_a_terminal_do_what_they_do_without() {
    if !has_shell() {
        return;
    }
    let plain = dialogue("");
    assert!(plain.contains("[1]+  Stopped"), "{plain}");
    assert_eq!(dialogue("--max-runtime 1h"), plain);
    assert_eq!(dialogue("--max-runtime 1h --close"), plain);
}

/// What is shown at a shell with jobs under nonoverlap with these options. A shell tells of a job by its
/// line, so they stand in a variable.
#[track_caller]
fn dialogue(options: &str) -> String {
    let scene = Scene::new();
    let mut shell = AtTerminal::shell(&scene);
    let run = typed("$options");
    let mut shown = shell.line(&format!("options='{options}'"));

    shell.types(&format!("{run} sh -c 'echo runs; {UNTIL_CTRL_C}'\n"));
    shown += &shell.shows("runs\r\n");
    let group = pid_of_record(&scene);
    shell.types(CTRL_C);
    shown += &shell.shows(PROMPT);
    shown += &shell.line("echo $?");
    assert!(shown.contains("130\r\n"), "{shown}");
    eventually("nobody is left", || !lives(group));
    becomes_free(&scene.path("l"));

    shell.types(&format!("{run} sh -c 'read line; echo \"<$line>\"'\n"));
    shell.types("a line\n");
    shown += &shell.shows("<a line>\r\n");
    shown += &shell.shows(PROMPT);
    becomes_free(&scene.path("l"));

    shell.types(&format!("{run} cat\n"));
    shell.types("first\n");
    shown += &shell.shows("first\r\n");
    let pid = pid_of_record(&scene);
    shell.types(CTRL_Z);
    shown += &shell.shows(PROMPT);
    assert_eq!(state(pid), Some('T'));
    if let Some(guardian) = guardian_of(pid) {
        assert_ne!(state(guardian), Some('T'));
    }
    shown += &shell.line("echo $?");
    assert!(shown.contains("148\r\n"), "{shown}");
    shell.types("fg\n");
    shell.types("second\n");
    shown += &shell.shows("second\r\n");
    shell.types(CTRL_D);
    shown += &shell.shows(PROMPT);
    shown += &shell.line("echo $?");
    assert!(
        shown.ends_with("\r\n0\r\n") || shown.ends_with("> 0\r\n"),
        "{shown}"
    );

    shell.types("exit 5\n");
    let (status, last) = shell.end();
    assert_eq!(status.code(), Some(5));
    becomes_free(&scene.path("l"));
    shown + &last
}

/// In the background a job stops when it reads from the terminal, and goes on in the foreground.
#[test]
fn under_max_runtime_a_job_in_the_background_does_not_read_from_the_terminal() {
    if !has_shell() {
        return;
    }
    let scene = Scene::new();
    let mut shell = AtTerminal::shell(&scene);
    shell.line(&format!("{} cat &", typed("--max-runtime 1h")));
    let pid = pid_of_record(&scene);
    eventually("it is stopped", || state(pid) == Some('T'));
    shell.types("fg\n");
    shell.types("a line\n");
    shell.shows("a line\r\n");
    shell.types(CTRL_D);
    shell.shows(PROMPT);
    assert_eq!(shell.line("echo $?"), "0\r\n");
    becomes_free(&scene.path("l"));
}

/// A script for sh that has a terminal and is in its foreground. Who runs under nonoverlap there leads
/// no group, and gets none.
#[track_caller]
fn script(scene: &Scene, script: &str) -> AtTerminal {
    let script = scene.file("script", script);
    AtTerminal::start(scene, ["sh".as_ref(), script.as_os_str()])
}

/// What ends is the command's own process. It could not be otherwise without taking the terminal from
/// the job, so `-v` tells, and else nothing is said.
#[test]
fn in_a_script_at_a_terminal_the_commands_process_is_ended_alone_and_v_says_so() {
    for verbose in ["", "-v"] {
        let scene = Scene::new();
        let line = format!(
            "{} sh -c 'sleep 1000 & echo $!; wait'",
            typed(&format!("--max-runtime 1 {verbose}"))
        );
        let after = "echo $?; read -r line; exit 3\n";
        let mut script = script(&scene, &format!("{line}\n{after}"));
        // The PID of its child comes first, which may end in these digits.
        let shown = script.shows("\r\n143\r\n");
        let lines: Vec<_> = shown.split("\r\n").collect();
        let said = match verbose {
            "" => 0,
            _ => {
                let expected = [
                    "nonoverlap: l: the command may have a terminal, so it gets no process group of its own: a \
                     signal to end it will reach its first process only",
                    &format!(
                        "nonoverlap: l locked by PID {}; starting sh -c sleep 1000 & echo $!; wait",
                        pid_of_record(&scene)
                    ),
                ];
                assert_eq!(lines[..2], expected);
                2
            }
        };
        let [child, "Terminated", "143", ""] = lines[said..] else {
            panic!("{shown:?}");
        };
        let child = Orphan(child.parse().unwrap());
        // That of the group that was signalled would be gone, or on its way.
        becomes_alone(&scene, &child);
        script.types("\n");
        let (status, last) = script.end();
        assert_eq!((status.code(), last.as_str()), (Some(3), ""));
        // The end of a session is told to its foreground.
        becomes_free(&scene.path("l"));
        eventually("the child has ended", || !child.runs());
    }
}

/// Waits until nobody but this process has the lock, which it has inherited.
#[track_caller]
fn becomes_alone(scene: &Scene, child: &Orphan) {
    let pid = pid_of_record(scene);
    eventually("the guardian has ended", || guardian_of(pid).is_none());
    assert!(child.runs() && holds_lock(child.0, &scene.path("l")));
}

#[test]
fn in_a_script_at_a_terminal_ctrl_c_reaches_the_job_and_the_script() {
    for options in ["", "--max-runtime 1h", "--max-runtime 1h --close"] {
        let scene = Scene::new();
        let job = "trap \"echo the job; exit 4\" INT; echo runs; while :; do sleep 0.01; done";
        let text = format!(
            "trap 'echo the script' INT\n{} sh -c '{job}'\necho $?\n",
            typed(options)
        );
        let mut script = script(&scene, &text);
        script.shows("runs\r\n");
        script.types(CTRL_C);
        let (status, last) = script.end();
        assert_eq!(last, "the job\r\nthe script\r\n4\r\n", "{options}");
        assert!(status.success());
        becomes_free(&scene.path("l"));
    }
}

#[test]
fn in_a_script_at_a_terminal_a_job_reads_from_it_and_stops_with_the_script() {
    let scene = Scene::new();
    let run = typed("--max-runtime 1h");
    let text = format!("{run} sh -c 'read -r line; echo \"<$line>\"'; echo $?\n");
    let mut script = script(&scene, &text);
    script.types("a line\n");
    assert_eq!(script.shows("0\r\n"), "<a line>\r\n0\r\n");
    assert!(script.end().0.success());
}

/// Of a pipeline whose first member leads the group, another one is ended alone: the others end as they
/// do when one of them is gone.
#[test]
fn a_pipeline_in_the_background_is_not_torn_apart() {
    if !has_shell() {
        return;
    }
    let scene = Scene::new();
    fifo(&scene, "fifo");
    let member = |name: &str, work: &str| {
        let traps =
            format!("for signal in TERM CONT HUP; do trap \"echo $signal >>{name}\" $signal; done");
        let script = format!("{traps}; {work}; echo ends >>{name}");
        scene.file(&format!("{name}.sh"), script);
        format!("sh {name}.sh")
    };
    let first = member("first", "while ! read -r line <fifo; do :; done");
    let last = member("last", "cat >/dev/null");
    let mut shell = AtTerminal::shell(&scene);
    let middle = typed("--max-runtime 1");
    shell.line(&format!("{first} | {middle} sleep 1000 | {last} &"));
    let leader: u32 = shell.line("jobs -p").trim().parse().unwrap();
    let pid = pid_of_record(&scene);
    assert_ne!(pid, leader);
    becomes_free(&scene.path("l"));
    eventually("the guardian has ended", || guardian_of(pid).is_none());
    eventually("its reader has ended", || scene.path("last").exists());
    assert!(lives(leader));
    fs::write(scene.path("fifo"), "a line\n").unwrap();
    let said = shell.line("wait %1; echo $?");
    assert!(
        said.contains("Done") && said.ends_with("\r\n0\r\n"),
        "{said}"
    );
    for name in ["first", "last"] {
        assert_eq!(
            fs::read_to_string(scene.path(name)).unwrap(),
            "ends\n",
            "{name}"
        );
    }
}

/// Who leads a pipeline's group leads its members, too: what a shell calls the job.
#[test]
fn a_pipeline_that_the_command_leads_is_ended_as_a_whole() {
    if !has_shell() {
        return;
    }
    for end in ["", "&"] {
        let scene = Scene::new();
        let mut shell = AtTerminal::shell(&scene);
        let first = typed("--max-runtime 1");
        shell.line(&format!(
            "{first} sleep 1000 | sleep 1000 | sleep 1000 {end}"
        ));
        let pid = pid_of_record(&scene);
        eventually("nobody is left", || !lives(pid));
        shell.line("wait");
        becomes_free(&scene.path("l"));
    }
}
