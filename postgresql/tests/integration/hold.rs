//! Promises about `--hold-at-least`: the lock is kept that long though the command has ended, by a
//! process that has nothing else of the caller's.

// Processes are seen through /proc.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{HOLD, Holder, Run, Scene, eventually, kill, locks_on, nonoverlap as local};
use crate::server::{Server, host, nonoverlap, path};

/// How many hosts have the same crontab line. Their clocks differ by more than the job takes, so each
/// begins when the one before has ended.
const HOSTS: usize = 4;

/// How often the job runs where each host runs this at its own idea of the same minute.
#[track_caller]
fn times_run(server: &Server, options: &[&str]) -> usize {
    let scene = Scene::new();
    let log = scene.path("log");
    for host in 0..HOSTS {
        let mut run = nonoverlap(options);
        run.arg(server.lock("job"))
            .args(["sh", "-c", "echo ran >>\"$1\"", "sh"]);
        let ended = run.arg(&log).run();
        let refused = !options.is_empty() && host > 0;
        assert_eq!(ended.code(), Some(i32::from(refused)), "{ended:?}");
        if options.is_empty() {
            server.until_free("job");
        }
    }
    fs::read_to_string(log).unwrap().lines().count()
}

#[test]
fn hosts_whose_clocks_differ_run_a_short_job_once_each_without_it() {
    assert_eq!(times_run(&Server::start(), &[]), HOSTS);
}

#[test]
fn hosts_whose_clocks_differ_run_a_short_job_once_with_it() {
    let server = Server::start();
    assert_eq!(times_run(&server, &["--hold-at-least", "30"]), 1);
    // And the next day's run is another one.
    kill(passive(&server), libc::SIGKILL);
    server.until_free("job");
    assert_eq!(times_run(&server, &["--hold-at-least", "30"]), 1);
}

#[test]
fn the_time_is_kept_and_then_the_lock_is_free_and_nobody_is_left() {
    let server = Server::start();
    let lock = server.lock("job");
    let start = Instant::now();
    let run = nonoverlap(["--hold-at-least", "1", &lock, "echo", "ran"]).run();
    run.expect(0, "ran\n", "");
    // The command has ended, and whoever is refused hears who it was.
    let refused = nonoverlap(["-v", &lock, "true"]).run();
    if start.elapsed() < Duration::from_millis(900) {
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        let named = format!("held by {}, PID ", host());
        assert!(refused.stderr().contains(&named), "{refused:?}");
    }
    server.until_free("job");
    assert!(start.elapsed() >= Duration::from_secs(1));
    eventually("nobody is left", || server.helpers().is_empty());
    nonoverlap([&*lock, "true"]).run().expect(0, "", "");
}

#[test]
fn a_command_that_takes_longer_keeps_the_lock_to_its_end() {
    let server = Server::start();
    let lock = server.lock("job");
    let mut command = nonoverlap(["--hold-at-least", "1", &lock]);
    let holder = Holder::start(command.args(HOLD));
    eventually("the time is over", || server.helpers().is_empty());
    assert_eq!(server.holders("job"), 1);
    nonoverlap([&*lock, "true"]).run().expect(1, "", "");
    holder.end();
    server.until_free("job");
}

#[test]
fn who_is_refused_leaves_nobody_to_hold_anything() {
    let server = Server::start();
    let lock = server.lock("job");
    let holder = Holder::start(nonoverlap([&lock]).args(HOLD));
    for options in [
        &["--hold-at-least", "30"][..],
        &["--hold-at-least", "30", "-w", "0.1"],
    ] {
        let refused = nonoverlap(options).args([&*lock, "true"]).run();
        refused.expect(1, "", "");
    }
    assert_eq!((server.helpers(), server.holders("job")), (vec![], 1));
    holder.end();
}

#[test]
fn the_passive_process_has_nothing_of_its_callers() {
    let server = Server::start();
    let scene = Scene::new();
    let lock = server.lock("job");
    // It is started with descriptors open, in a folder, and with output that somebody reads.
    let run = nonoverlap(["--hold-at-least", "60", &lock, "true"]);
    let mut shell = Command::new("sh");
    let script = "exec 3</dev/zero 8</dev/zero; exec \"$@\"";
    shell
        .args(["-c", script, "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    shell.env("PATH", path()).current_dir(scene.path(""));
    shell.run().expect(0, "", "");
    let passive = passive(&server);
    let mut open: Vec<_> = fs::read_dir(format!("/proc/{passive}/fd"))
        .unwrap()
        .map(|entry| {
            let to = fs::read_link(entry.unwrap().path()).unwrap();
            let to = to.to_string_lossy().into_owned();
            to.split('[').next().unwrap().to_owned()
        })
        .collect();
    open.sort();
    assert_eq!(open, ["/dev/null", "/dev/null", "/dev/null", "socket:"]);
    let folder = fs::read_link(format!("/proc/{passive}/cwd")).unwrap();
    assert_eq!(folder.to_str(), Some("/"));
    // It leads a session and a process group of its own, and has no terminal (proc(5): 0).
    let stat = fs::read_to_string(format!("/proc/{passive}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let own = passive.to_string();
    assert_eq!(fields[2..5], [&*own, &*own, "0"]);
}

/// cron waits for the end of a job's output, and mails it then.
#[test]
fn the_passive_process_does_not_keep_the_output_open() {
    let server = Server::start();
    let start = Instant::now();
    let mut run = nonoverlap(["--hold-at-least", "40", &server.lock("job"), "echo", "ran"]);
    // This reads both streams to their ends.
    run.run().expect(0, "ran\n", "");
    assert!(start.elapsed() < Duration::from_secs(30));
    passive(&server);
}

#[test]
fn the_passive_process_keeps_no_lock_around_it() {
    let server = Server::start();
    let scene = Scene::new();
    let inner = nonoverlap(["--hold-at-least", "30", &server.lock("job"), "true"]);
    let mut outer = local([scene.lock()]);
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("PATH", path());
    outer.run().expect(0, "", "");
    passive(&server);
    assert_eq!(locks_on(&scene.lock()), [""; 0]);
    local([scene.lock()]).arg("true").run().expect(0, "", "");
}

#[test]
fn the_command_has_no_child_that_it_does_not_know() {
    let server = Server::start();
    let lock = server.lock("job");
    let script = "read -r children </proc/$$/task/$$/children; echo \"<$children>\"; wait";
    let run = nonoverlap(["--hold-at-least", "30", &lock, "sh", "-c", script]).run();
    run.expect(0, "<>\n", "");
    let passive = passive(&server);
    let status = fs::read_to_string(format!("/proc/{passive}/status")).unwrap();
    assert!(
        !status.contains(&format!("PPid:\t{}\n", std::process::id())),
        "{status}"
    );
}

#[test]
fn it_does_not_matter_to_it_that_the_server_has_gone() {
    let server = Server::start();
    // So long that it is still there when it is looked for.
    let mut run = nonoverlap(["--hold-at-least", "15", &server.lock("job"), "true"]);
    run.run().expect(0, "", "");
    let passive = passive(&server);
    server.control(&["stop", "-m", "fast"]);
    eventually("it ends in its time", || {
        !fs::exists(format!("/proc/{passive}")).unwrap()
    });
}

/// The process that keeps the lock of this server. There is one.
#[track_caller]
fn passive(server: &Server) -> u32 {
    let helpers = server.helpers();
    assert_eq!((helpers.len(), server.holders("job")), (1, 1));
    helpers[0]
}
