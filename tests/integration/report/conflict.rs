//! What a refused run says: who holds the lock, since when, and that nothing was started; and
//! `--alarm`, which says it under cron, too. Linux only, as holders are named nowhere else.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::harness::{
    Ended, Holder, NONOVERLAP, Run, Scene, Stopped, eventually, has_tool, holds_lock, is_root,
    left_out, nonoverlap, quoted,
};
use crate::support::machine::{Aged, as_ordinary_user};
use crate::support::terminal::Terminal;

/// A job that is one process with one command line from its first moment to its last: the shell
/// itself reads.
const JOB: [&str; 4] = ["sh", "-c", "echo held; read line", "parser.py"];

/// How it is shown.
const SHOWN: &str = "sh -c echo held; read line parser.py";

#[test]
fn a_conflict_tells_the_holder_its_command_since_when_and_that_nothing_was_started() {
    let scene = Scene::new();
    let (lock, job) = (scene.lock(), job(&scene));
    let Some(aged) = Aged::process(&scene, job.pid()) else {
        return;
    };
    for (age, shown) in [
        (0, "0s"),
        (59, "59s"),
        (60, "1m00s"),
        (723, "12m03s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (7500, "2h05m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (273_600, "3d04h"),
        (94_694_400, "1096d00h"),
    ] {
        let expected = format!(
            "nonoverlap: {} is held by PID {} ({SHOWN}) for {shown}; not started\n",
            lock.display(),
            job.pid()
        );
        // The clock may come to the next second before it is looked at. Then it is done again.
        let mut said = String::new();
        for _ in 0..20 {
            set_back(&lock, age);
            said = refused(aged.seen_by(["-v"]).arg(&lock), 1);
            if said == expected {
                break;
            }
        }
        assert_eq!(said, expected);
    }
}

#[test]
fn a_conflict_is_told_on_a_terminal_and_with_v_and_nowhere_else() {
    let scene = Scene::new();
    let _job = job(&scene);
    for (options, told, told_on_terminal) in [
        (&[][..], false, true),
        (&["-q"], false, false),
        (&["-v"], true, true),
        (&["-v", "-q"], false, false),
        (&["-q", "-v"], true, true),
        (&["-E", "0"], false, true),
        (&["-a", "1h"], false, true),
    ] {
        let status = if options.contains(&"0") { 0 } else { 1 };
        let run = || {
            let mut command = nonoverlap(options);
            command.arg(scene.lock());
            command
        };
        assert_eq!(!refused(&mut run(), status).is_empty(), told, "{options:?}");
        let said = said_on_terminal(run().args(["echo", "ran"]));
        assert_eq!(!said.is_empty(), told_on_terminal, "{options:?}: {said:?}");
        assert!(!said.contains("ran"), "{options:?}: {said:?}");
    }
}

#[test]
fn each_of_several_shared_holders_is_named() {
    let scene = Scene::new();
    let lock = scene.lock();
    // What an earlier run left there says nothing of these: a shared run writes no record.
    scene.file("lock", "2147483647\n");
    set_back(&lock, 86400);
    let jobs = [(); 3].map(|()| Holder::start(nonoverlap(["-s"]).arg(&lock).args(JOB)));
    let said = refused(nonoverlap(["-v"]).arg(&lock), 1);
    for job in &jobs {
        let named = format!("PID {} ({SHOWN})", job.pid());
        assert_eq!(said.matches(&named).count(), 1, "{said}");
    }
    assert_eq!(said.matches("PID").count(), 3, "{said}");
    assert!(held_for(&said).ends_with('s'), "{said}");
}

#[test]
fn a_holder_that_is_util_linuxs_flock_is_named_in_both_of_its_modes() {
    if !has_tool("flock", "flock as the holder") {
        return;
    }
    let scene = Scene::new();
    let lock = scene.lock();
    let flock = |options: &[&str]| {
        let mut command = Command::new("flock");
        Holder::start(command.args(options).arg(&lock).args(JOB))
    };

    let job = flock(&["-F"]);
    let said = refused(nonoverlap(["-v"]).arg(&lock), 1);
    let expected = format!("is held by PID {} ({SHOWN}) for ", job.pid());
    assert!(said.contains(&expected), "{said}");
    job.end();

    // It has a child, which has the lock as well.
    let job = flock(&[]);
    let said = refused(nonoverlap(["-v"]).arg(&lock), 1);
    let parent = format!("PID {} (flock {} {SHOWN})", job.pid(), lock.display());
    let child = format!(" ({SHOWN})");
    assert!(said.contains(&parent) && said.contains(&child), "{said}");
    assert_eq!(said.matches("PID").count(), 2, "{said}");
}

#[test]
fn a_child_that_holds_on_after_its_parents_death_is_named_with_its_own_time() {
    let scene = Scene::new();
    let lock = scene.lock();
    let line = "exec 3<&0; sh -c 'echo held; read line <&3' orphan &";
    let parent = Holder::start(nonoverlap([&lock]).args(["sh", "-c", line]));
    eventually("the parent has ended", || !holds_lock(parent.pid(), &lock));
    // The record is the dead parent's, and so is its time.
    set_back(&lock, 86400);
    let said = refused(nonoverlap(["-v"]).arg(&lock), 1);
    let (_, rest) = said.split_once(" is held by PID ").unwrap();
    let (child, rest) = rest.split_once(' ').unwrap();
    assert!(holds_lock(child.parse().unwrap(), &lock), "{said}");
    let command = "(sh -c echo held; read line <&3 orphan) for ";
    assert!(rest.starts_with(command), "{said}");
    assert!(held_for(&said).ends_with('s'), "{said}");
    refused(nonoverlap(["--alarm", "1h"]).arg(&lock), 1);
}

#[test]
fn a_holder_that_cannot_be_looked_into_is_told_as_what_it_is_and_sounds_no_alarm() {
    if !is_root() {
        return left_out("another user's holder", "only root can be another user");
    }
    let scene = Scene::new();
    let lock = scene.file("lock", "");
    fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
    let asked = |options: &[&str]| {
        refused(
            as_ordinary_user(&scene).args(options).arg(&lock),
            if options.contains(&"-E9") { 9 } else { 1 },
        )
    };
    let name = lock.display();

    let job = Holder::start(Command::new("flock").arg("-F").arg(&lock).args(JOB));
    let perhaps = format!(
        "cannot be inspected, perhaps PID {} of user 0 ({SHOWN})",
        job.pid()
    );
    let expected = format!("nonoverlap: {name} is held by a process that {perhaps}; not started\n");
    assert_eq!(asked(&["-v"]), expected);
    assert_eq!(asked(&["--alarm", "0", "-E9"]), "");
    job.end();

    // The kernel gives no PID for a record lock on an open file description.
    let job = Holder::start(nonoverlap(["--fcntl"]).arg(&lock).args(JOB));
    let expected =
        format!("nonoverlap: {name} is held by a process that cannot be seen; not started\n");
    assert_eq!(asked(&["--fcntl", "-v"]), expected);
    assert_eq!(asked(&["--fcntl", "--alarm", "0"]), "");
    job.end();

    // The kernel says that this one took the lock, and it lives and has written the record.
    let job = Holder::start(nonoverlap([&lock]).args(JOB));
    let said = asked(&["--alarm", "0"]);
    let known = format!(
        "{name} is held by PID {} of user 0 ({SHOWN}) for ",
        job.pid()
    );
    assert!(said.contains(&known), "{said}");
    assert!(said.ends_with(", longer than 0s; not started\n"), "{said}");
}

#[test]
fn an_alarm_after_a_part_of_a_second_says_which() {
    let scene = Scene::new();
    let _job = job(&scene);
    for (given, shown) in [("0.25", "0.25s"), ("0.5s", "0.5s"), ("0", "0s")] {
        let ends = format!(", longer than {shown}; not started\n");
        eventually("it is held for longer", || {
            let ended = nonoverlap(["--alarm", given])
                .arg(scene.lock())
                .arg("true")
                .run();
            ended.stderr().ends_with(&ends)
        });
    }
}

#[test]
fn bytes_of_a_command_line_are_escaped_and_stay_on_one_line() {
    let scene = Scene::new();
    let evil = OsStr::from_bytes(b"a\nb\r\x1b[31m\x07\xff\xe2\x80\xaetxt \xc2\x9b7m");
    let command = ["sh", "-c", "echo held; read line"];
    let _job = Holder::start(nonoverlap([scene.lock()]).args(command).arg(evil));
    let said = refused(nonoverlap(["-v"]).arg(scene.lock()), 1);
    let shown = r"(sh -c echo held; read line a\nb\r\x1b[31m\x07\xff\u{202e}txt \u{9b}7m) for ";
    assert!(said.contains(shown), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_holder_that_is_stopped_is_said_to_be() {
    let scene = Scene::new();
    let job = job(&scene);
    let stopped = Stopped::new(job.pid());
    let said = refused(nonoverlap(["-v"]).arg(scene.lock()), 1);
    let expected = format!("held by PID {} (stopped) ({SHOWN}) for ", job.pid());
    assert!(said.contains(&expected), "{said}");
    drop(stopped);
}

#[test]
fn a_conflict_over_a_descriptor_tells_the_same() {
    let scene = Scene::new();
    let job = job(&scene);
    let with_descriptor = |words: &str| {
        let line = format!("\"$0\" {words} 9<{}", quoted(&scene.lock()));
        Command::new("sh").args(["-c", &line, NONOVERLAP]).run()
    };
    for words in ["-v 9", "-v --fd 9 echo ran"] {
        let ended = with_descriptor(words);
        let expected = format!("nonoverlap: descriptor 9 is held by PID {} (", job.pid());
        assert!(ended.stderr().starts_with(&expected), "{ended:?}");
        assert_eq!((ended.code(), &ended.stdout[..]), (Some(1), &b""[..]));
    }
    with_descriptor("9").expect(1, "", "");
    let ended = with_descriptor("-q --alarm 0 9");
    assert!(ended.stderr().contains(", longer than 0s; "), "{ended:?}");
}

#[test]
fn an_alarm_goes_off_in_every_form_of_its_duration_if_the_lock_was_held_for_longer() {
    let scene = Scene::new();
    let (lock, job) = (scene.lock(), job(&scene));
    let Some(aged) = Aged::process(&scene, job.pid()) else {
        return;
    };
    for (form, seconds, shown) in [
        ("90", 90, "1m30s"),
        ("90s", 90, "1m30s"),
        ("30m", 30 * 60, "30m00s"),
        ("2h", 2 * 3600, "2h00m"),
        ("1d", 86400, "1d00h"),
        ("007d", 7 * 86400, "7d00h"),
        ("1.5h", 90 * 60, "1h30m"),
        (".5m", 30, "30s"),
        ("90.", 90, "1m30s"),
    ] {
        set_back(&lock, seconds + 1);
        let said = refused(aged.seen_by(["--alarm", form]).arg(&lock), 1);
        let before = format!(
            "nonoverlap: {} is held by PID {} (",
            lock.display(),
            job.pid()
        );
        let behind = format!(", longer than {shown}; not started\n");
        assert!(said.starts_with(&before), "{form}: {said}");
        assert!(said.ends_with(&behind), "{form}: {said}");
        set_back(&lock, seconds * 3 / 4);
        let said = refused(aged.seen_by(["--alarm", form]).arg(&lock), 1);
        assert_eq!(said, "", "{form}");
    }
    set_back(&lock, 94_694_400);
    for endless in ["18446744073709551615", "213503982334601d"] {
        assert_eq!(refused(aged.seen_by(["-a", endless]).arg(&lock), 1), "");
    }
}

#[test]
fn what_is_no_duration_is_refused_before_a_file_is_touched() {
    let scene = Scene::new();
    let too_long = "99999999999999999999d";
    let too_many_seconds = "213503982334602d";
    for bad in [
        "",
        "x",
        "s",
        "1w",
        "-1",
        ".",
        ".h",
        "1.5.h",
        "1.5w",
        "1e1h",
        "+1",
        "inf",
        "5 m",
        "5M",
        "1h30m",
        "0x10",
        "\u{664}s",
        too_long,
        too_many_seconds,
    ] {
        let rule = "--alarm takes a duration, such as 90, 90s, 1.5m, 2h or 1d, not";
        let expected = format!("nonoverlap: {rule} '{bad}'\n");
        for option in [["--alarm", bad], ["-a", bad]] {
            let mut command = nonoverlap(option);
            let ended = command.arg(scene.lock()).args(["echo", "ran"]).run();
            ended.expect(64, "", &expected);
        }
        assert!(!scene.lock().exists());
    }
}

#[test]
fn an_alarm_goes_off_where_cron_listens_and_changes_no_exit_status() {
    let scene = Scene::new();
    let (lock, job) = (scene.lock(), job(&scene));
    let Some(aged) = Aged::process(&scene, job.pid()) else {
        return;
    };
    let shown = format!(
        "nonoverlap: {} is held by PID {}",
        lock.display(),
        job.pid()
    );
    for (options, status) in [
        (&["-a", "10m"][..], 1),
        (&["-q", "-a10m"], 1),
        (&["-v", "--alarm=10m"], 1),
        (&["-E75", "-a", "10m"], 75),
        (&["-E", "0", "-qa", "10m"], 0),
        (&["-w", "0.02", "-a", "10m"], 1),
        (&["-qw.02", "-E9", "-a600"], 9),
        (&["-a1d", "-a10m"], 1),
    ] {
        set_back(&lock, 3600);
        let said = refused(aged.seen_by(options).arg(&lock), status);
        assert!(said.starts_with(&shown), "{options:?}: {said}");
        assert!(said.contains(", longer than 10m00s; "), "{said}");
        assert_eq!(said.lines().count(), 1, "{options:?}: {said}");
    }
    job.end();
    let mut command = nonoverlap(["--alarm", "0"]);
    command.arg(&lock).args(["echo", "ran"]);
    command.run().expect(0, "ran\n", "");
}

#[test]
fn a_time_before_the_holders_start_or_in_the_future_sounds_no_alarm_and_silences_none() {
    let scene = Scene::new();
    let (lock, job) = (scene.lock(), job(&scene));
    let now = SystemTime::now();
    let long = Duration::from_secs(94_694_400);
    // As by touch(1), or by a clock that was set meanwhile: by an hour, or at boot, by decades.
    for time in [
        now - Duration::from_secs(2 * 3600 + 1),
        now - long,
        SystemTime::UNIX_EPOCH,
        now + Duration::from_secs(3600),
        now + long,
    ] {
        modified(&lock, time);
        assert_eq!(refused(nonoverlap(["-a2h"]).arg(&lock), 1), "", "{time:?}");
        let said = refused(nonoverlap(["-a0"]).arg(&lock), 1);
        assert!(said.ends_with(", longer than 0s; not started\n"), "{said}");
        let told = held_for(&said);
        assert!(told.ends_with('s') && !told.contains('m'), "{said}");
    }
    // As long as it runs, by far, and no longer.
    let Some(aged) = Aged::process(&scene, job.pid()) else {
        return;
    };
    for time in [now - Duration::from_secs(1_000_000_000), now + long] {
        modified(&lock, time);
        let said = refused(aged.seen_by(["-a2000d"]).arg(&lock), 1);
        assert!(said.contains(" for 2314d"), "{said}");
        assert!(
            said.ends_with(", longer than 2000d00h; not started\n"),
            "{said}"
        );
    }
}

#[test]
fn a_script_that_is_its_own_lock_file_is_not_held_since_it_was_written() {
    let scene = Scene::new();
    let script = scene.script("job", "#!/bin/sh\necho held\nread line\n");
    set_back(&script, 94_694_400);
    let _job = Holder::start(nonoverlap([&script]).arg(&script));
    let said = refused(nonoverlap(["-v"]).arg(&script), 1);
    assert!(held_for(&said).ends_with('s'), "{said}");
    assert_eq!(refused(nonoverlap(["-a", "1d"]).arg(&script), 1), "");
}

/// [`JOB`] under the Scene's lock.
fn job(scene: &Scene) -> Holder {
    Holder::start(nonoverlap([scene.lock()]).args(JOB))
}

/// What a run says that a lock refuses, with this status. Nothing was started.
#[track_caller]
fn refused(command: &mut Command, status: i32) -> String {
    let ended: Ended = command.args(["echo", "ran"]).run();
    let seen = (ended.code(), ended.stdout());
    assert_eq!(seen, (Some(status), String::new()), "{ended:?}");
    ended.stderr()
}

/// For how long it is held, of a conflict that says it last: `12m03s`.
#[track_caller]
fn held_for(said: &str) -> String {
    let (_, rest) = said.rsplit_once(" for ").expect(said);
    rest.split([';', ',']).next().unwrap().to_owned()
}

/// Lets the run that holds this lock have begun so many seconds ago.
fn set_back(lock: &Path, seconds: u64) {
    modified(lock, SystemTime::now() - Duration::from_secs(seconds));
}

fn modified(lock: &Path, time: SystemTime) {
    let file = File::options().write(true).open(lock).unwrap();
    file.set_modified(time).unwrap();
}

/// What a command says if its stdout and stderr are a terminal.
#[track_caller]
fn said_on_terminal(command: &mut Command) -> String {
    let terminal = Terminal::new();
    command.stdin(Stdio::null());
    command.stdout(terminal.open()).stderr(terminal.open());
    command.status().unwrap();
    // It has the terminal open, too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    terminal.read()
}
