//! `--slots`: at most N copies at once, each with a lock of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, nonoverlap, record_of};
#[cfg(target_os = "linux")]
use crate::support::machine::Aged;

fn slot_file(scene: &Scene, number: u32) -> std::path::PathBuf {
    match number {
        1 => scene.lock(),
        _ => scene.path(format!("lock.{number}")),
    }
}

/// A holder of the first free of so many slots.
fn holder(scene: &Scene, slots: &str) -> Holder {
    Holder::of([Path::new("-j"), Path::new(slots), &scene.lock()])
}

#[test]
fn the_first_free_slot_is_taken_and_its_number_told() {
    let scene = Scene::new();
    let tell = ["sh", "-c", "echo $NONOVERLAP_SLOT"];
    let first = holder(&scene, "3");
    let second = holder(&scene, "3");
    nonoverlap(["-j", "3"])
        .arg(scene.lock())
        .args(tell)
        .run()
        .expect(0, "3\n", "");
    let third = holder(&scene, "3");
    nonoverlap(["-j", "3"])
        .arg(scene.lock())
        .args(tell)
        .run()
        .expect(1, "", "");
    second.end();
    nonoverlap(["-j", "3"])
        .arg(scene.lock())
        .args(tell)
        .run()
        .expect(0, "2\n", "");
    drop((first, third));
}

#[test]
fn each_slot_has_a_record() {
    let scene = Scene::new();
    let holders: Vec<_> = (0..3).map(|_| holder(&scene, "3")).collect();
    for (holder, number) in holders.iter().zip(1..) {
        let record = fs::read_to_string(slot_file(&scene, number)).unwrap();
        assert_eq!(record, record_of(holder.pid()));
    }
}

#[test]
fn the_rest_of_the_environment_is_as_it_was() {
    let scene = Scene::new();
    let mut command = nonoverlap(["-j", "1"]);
    command.arg(scene.lock()).arg("/usr/bin/env").env_clear();
    command
        .env("B", "2")
        .env("NONOVERLAP_SLOT", "77")
        .env("NONOVERLAP_SLOTS", "x")
        .env("A", "1");
    command
        .run()
        .expect(0, "A=1\nB=2\nNONOVERLAP_SLOTS=x\nNONOVERLAP_SLOT=1\n", "");
}

#[test]
fn without_slots_the_callers_variable_is_left() {
    let scene = Scene::new();
    let mut command = nonoverlap([scene.lock()]);
    command.arg("/usr/bin/env").env_clear();
    command.env("NONOVERLAP_SLOT", "77");
    command.run().expect(0, "NONOVERLAP_SLOT=77\n", "");
}

#[test]
fn from_1_to_999_slots_and_a_shell_command_line_are_taken() {
    for slots in ["1", "999"] {
        let scene = Scene::new();
        let mut command = nonoverlap(["--slots", slots]);
        command
            .arg(scene.lock())
            .args(["-c", "echo $NONOVERLAP_SLOT"]);
        command.run().expect(0, "1\n", "");
    }
}

#[cfg(target_os = "linux")] // Elsewhere a deleted lock file is not seen.
#[test]
fn a_slot_whose_file_was_deleted_is_not_free() {
    let scene = Scene::new();
    let (first, second) = (holder(&scene, "2"), holder(&scene, "2"));
    fs::remove_file(slot_file(&scene, 2)).unwrap();
    let run = || nonoverlap(["-j2"]).arg(scene.lock()).arg("true").run();
    run().expect(1, "", "");
    second.end();
    run().expect(0, "", "");
    drop(first);
}

#[test]
fn status_shows_every_slot() {
    let scene = Scene::new();
    let holder = holder(&scene, "2");
    let ended = nonoverlap(["--status", "--slots", "3"])
        .arg(scene.lock())
        .run();
    let said = ended.stdout();
    let lines: Vec<_> = said.lines().collect();
    let lock = scene.lock();
    assert_eq!(ended.code(), Some(0));
    assert!(
        lines[0].starts_with(&format!(
            "{}: held by PID {} ",
            lock.display(),
            holder.pid()
        )),
        "{said}"
    );
    assert_eq!(
        lines[1],
        format!("{}.2: free; there is no such file", lock.display())
    );
    assert_eq!(
        lines[2],
        format!("{}.3: free; there is no such file", lock.display())
    );
    holder.end();
    assert_eq!(
        nonoverlap(["--status", "-qj3"])
            .arg(scene.lock())
            .run()
            .code(),
        Some(3)
    );
}

#[cfg(target_os = "linux")] // It waits for its holders through /proc.
#[test]
fn a_conflict_names_the_holders_of_all_slots() {
    let scene = Scene::new();
    let (first, second) = (holder(&scene, "2").settled(), holder(&scene, "2").settled());
    let ended = nonoverlap(["-v", "-j2"])
        .arg(scene.lock())
        .arg("true")
        .run();
    let lock = scene.lock().display().to_string();
    let said = ended.stderr();
    assert_eq!(ended.code(), Some(1));
    assert!(
        said.starts_with(&format!(
            "nonoverlap: {lock} is held by PID {} (cat)",
            first.pid()
        )),
        "{said}"
    );
    assert!(
        said.contains(&format!(", {lock}.2 is held by PID {} (cat)", second.pid())),
        "{said}"
    );
    assert!(said.ends_with("; not started\n"), "{said}");
}

#[test]
#[cfg(target_os = "linux")] // What ages them is.
fn an_alarm_speaks_only_if_every_holder_is_older() {
    let scene = Scene::new();
    let holders = [holder(&scene, "2"), holder(&scene, "2")];
    let Some(aged) = Aged::processes(&scene, &holders.each_ref().map(Holder::pid)) else {
        return;
    };
    let hour = std::time::Duration::from_secs(3600);
    let age = |number| {
        let file = fs::File::options()
            .append(true)
            .open(slot_file(&scene, number))
            .unwrap();
        file.set_modified(std::time::SystemTime::now() - hour)
            .unwrap();
    };
    let run = || {
        aged.seen_by(["-j2", "--alarm", "30m"])
            .arg(scene.lock())
            .arg("true")
            .run()
    };
    age(1);
    run().expect(1, "", "");
    age(2);
    let ended = run();
    assert!(
        ended
            .stderr()
            .ends_with("for 1h00m, longer than 30m00s; not started\n"),
        "{ended:?}"
    );
    drop(holders);
}

#[test]
fn a_slot_that_cannot_be_opened_fails_closed() {
    let scene = Scene::new();
    let holder = holder(&scene, "1");
    std::os::unix::fs::symlink("/no/such/target", scene.path("lock.2")).unwrap();
    let ended = nonoverlap(["-j3"])
        .arg(scene.lock())
        .args(["echo", "ran"])
        .run();
    let file = scene.path("lock.2");
    let message = format!(
        "nonoverlap: cannot create lock file {}: it is a symbolic link to nothing\n",
        file.display()
    );
    ended.expect(73, "", &message);
    drop(holder);
}

#[test]
fn many_slots_need_no_more_descriptors_than_one() {
    let scene = Scene::new();
    let holders: Vec<_> = (0..40).map(|_| holder(&scene, "40")).collect();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 12; exec \"$@\"";
    shell
        .args(["-c", script, "sh", NONOVERLAP, "-j", "40"])
        .arg(scene.lock())
        .arg("true");
    shell.run().expect(1, "", "");
    drop(holders);
}

#[test]
fn what_slots_do_not_go_together_with_is_refused() {
    let scene = Scene::new();
    for arguments in [
        &["-j2", "-w", "1", "l", "true"][..],
        &["-j2", "-b", "l", "true"],
        &["-j2", "-s", "l", "true"],
        &["-j2", "-u", "9"],
        &["-j2", "9"],
        &["-j2", "--fd", "9", "true"],
        &["-j2", "--fcntl", "l", "true"],
        &["-j0", "l", "true"],
        &["-j1000", "l", "true"],
        &["-jx", "l", "true"],
        &["-j", "", "l", "true"],
    ] {
        let ended = nonoverlap(arguments).current_dir(scene.path("")).run();
        assert_eq!(
            (ended.code(), ended.stdout()),
            (Some(64), String::new()),
            "{ended:?}"
        );
        assert!(
            fs::read_dir(scene.path("")).unwrap().next().is_none(),
            "{ended:?}"
        );
    }
}

#[test]
fn of_200_contenders_for_7_slots_7_run() {
    let scene = Scene::new();
    let gate = scene.path("gate");
    Command::new("mkfifo").arg(&gate).run().expect(0, "", "");
    // Open for both, so that opening it waits for nobody, and reading it waits for a line.
    let mut gate_keeper = fs::File::options()
        .read(true)
        .write(true)
        .open(&gate)
        .unwrap();
    let contend = "exec 3<\"$1\"; shift; echo ready; read line <&3; exec \"$@\" 3<&-";
    // A slot's number is told, and held until all that got one are told to go.
    let mut contenders: Vec<_> = (0..200)
        .map(|_| {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", contend, "sh"])
                .arg(&gate)
                .args([NONOVERLAP, "-j7"]);
            shell
                .arg(scene.lock())
                .args(["sh", "-c", "echo $NONOVERLAP_SLOT; exec cat"]);
            let mut child = shell
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            (child, output)
        })
        .collect();
    let mut said = String::new();
    for (_, output) in &mut contenders {
        said.clear();
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
    }
    // A line for each, at one instant.
    gate_keeper.write_all(&[b'\n'; 200]).unwrap();
    let mut outputs = Vec::new();
    let mut refused = 0;
    for (child, output) in &mut contenders {
        said.clear();
        output.read_line(&mut said).unwrap();
        match said.as_str() {
            "" => refused += usize::from(child.wait().unwrap().code() == Some(1)),
            number => outputs.push(number.trim().parse::<u32>().unwrap()),
        }
    }
    // None of those inside has been let go yet.
    for (child, _) in &mut contenders {
        child.stdin.take();
        child.wait().unwrap();
    }
    let unique: BTreeSet<_> = outputs.iter().copied().collect();
    assert_eq!((outputs.len(), refused), (7, 193));
    assert_eq!(unique, (1..=7).collect());
}
