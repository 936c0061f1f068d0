//! A lock that is our own: a job that locks once more what it was started under. It would wait for itself,
//! or be refused for ever in silence; so it is told, under cron too, and not waited for.

use std::fs;
use std::process::Command;

use crate::support::harness::{
    Ended, HOLD, Holder, IS_FOR_MACOS, NONOVERLAP, Run, Scene, has_tool, left_out, nonoverlap,
    quoted, record_of,
};
use crate::support::status_answer::realm_of_processes;

/// Every way to ask for a lock, each with the exit status of a conflict.
const WAYS: [(&str, i32); 8] = [
    ("", 1),
    ("-q", 1),
    ("-v", 1),
    ("-w 50", 1),
    ("-b", 1),
    ("-q -b", 1),
    ("-E7", 7),
    ("-qE0 -w50", 0),
];

/// What is said of a lock of our own on this descriptor.
fn said_of(target: impl std::fmt::Display, descriptor: u32) -> String {
    format!(
        "nonoverlap: {target} is held by this very job: it was started under the same lock and inherited it \
         on descriptor {descriptor}; remove one of the two nonoverlap calls; not started\n"
    )
}

/// A shell under the Scene's lock, whose `$0` is nonoverlap and `$1` the lock file. It is in the Scene's
/// folder.
#[track_caller]
fn in_job(scene: &Scene, options: &[&str], script: &str) -> Ended {
    let mut job = nonoverlap(options);
    job.arg(scene.lock()).args(["sh", "-c", script, NONOVERLAP]);
    job.arg(scene.lock()).current_dir(scene.path("")).run()
}

#[test]
fn a_job_that_locks_again_what_it_was_started_under_is_told_so_and_waits_for_nobody() {
    let scene = Scene::new();
    for (options, status) in WAYS {
        let ended = in_job(&scene, &[], &format!("\"$0\" {options} \"$1\" echo ran"));
        ended.expect(status, "", &said_of(scene.lock().display(), 60));
    }
}

#[test]
fn it_is_told_in_the_log_too() {
    let scene = Scene::new();
    let script = "\"$0\" -qb --log log \"$1\" echo ran";
    let said = said_of(scene.lock().display(), 60);
    in_job(&scene, &[], script).expect(1, "", &said);
    let log = fs::read_to_string(scene.path("log")).unwrap();
    assert!(log.ends_with(&said), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn it_is_told_whatever_has_become_of_the_lock_file() {
    for deed in [
        "rm \"$1\"",
        "rm \"$1\"; echo data >\"$1\"",
        "mv \"$1\" \"$1.old\"",
        "cp -p \"$1\" new; mv new \"$1\"",
        "rm \"$1\"; mkdir \"$1\"",
    ] {
        let scene = Scene::new();
        for (options, status) in WAYS {
            let _ = fs::remove_dir(scene.lock());
            let script = format!("{deed}; \"$0\" {options} \"$1\" echo ran");
            let ended = in_job(&scene, &[], &script);
            ended.expect(status, "", &said_of(scene.lock().display(), 60));
        }
    }
}

#[test]
fn it_is_told_of_the_lock_of_another_program_too() {
    if !has_tool("flock", "the lock of another program") {
        return;
    }
    let scene = Scene::new();
    let lock = scene.lock();
    for deed in ["", "rm lock;"] {
        for (options, status) in WAYS {
            let script =
                format!("exec 9>>lock; flock 9; {deed} exec \"$0\" {options} lock echo ran");
            let mut shell = Command::new("sh");
            shell.args(["-c", &script, NONOVERLAP]);
            let ended = shell.current_dir(scene.path("")).run();
            ended.expect(status, "", &said_of("lock", 9));
        }
    }
    let line = format!(
        "{} -b {} echo ran",
        quoted(NONOVERLAP.as_ref()),
        quoted(&lock)
    );
    let ended = Command::new("flock").arg(&lock).args(["-c", &line]).run();
    assert!(ended.stderr().contains(" by this very job: "), "{ended:?}");
    assert_eq!(ended.stdout(), "");
}

#[test]
fn a_lock_that_is_shared_twice_is_no_conflict_and_every_other_kind_is() {
    let scene = Scene::new();
    let said = said_of(scene.lock().display(), 60);
    for (outer, inner) in [("-s", "-x"), ("-x", "-s"), ("-x", "-x")] {
        let ended = in_job(
            &scene,
            &[outer],
            &format!("\"$0\" {inner} -b \"$1\" echo ran"),
        );
        ended.expect(1, "", &said);
    }
    in_job(&scene, &["-s"], "\"$0\" -s \"$1\" echo ran").expect(0, "ran\n", "");
}

#[test]
fn of_record_locks_those_that_reach_the_same_bytes_are_ours() {
    let scene = Scene::new();
    let said = said_of(scene.lock().display(), 60);
    let outer = ["--start", "10", "--length", "10"];
    for (inner, is_ours) in [
        ("--fcntl", true),
        ("--start 19", true),
        ("--start 20 --length 5", false),
        ("--start 0 --length 10", false),
        ("--start 0 --length 11", true),
        // On Linux these two kinds do not exclude each other.
        ("-x", false),
    ] {
        let ended = in_job(
            &scene,
            &outer,
            &format!("\"$0\" {inner} -b \"$1\" echo ran"),
        );
        match is_ours {
            true => ended.expect(1, "", &said),
            false => ended.expect(0, "ran\n", ""),
        }
    }
}

#[test]
fn a_descriptor_beside_another_of_ours_is_told_so_too() {
    let scene = Scene::new();
    let in_shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, NONOVERLAP]);
        shell.current_dir(scene.path("")).run()
    };
    for words in ["-b 8", "8", "-qb --fd 8 echo ran"] {
        let ended = in_shell(&format!("exec 7>lock 8>lock; \"$0\" 7; \"$0\" {words}"));
        ended.expect(1, "", &said_of("descriptor 8", 7));
    }
    // One and the same lock by two numbers is no conflict.
    in_shell("exec 7>lock 8>&7; \"$0\" 7 && \"$0\" -s 8 && \"$0\" -b 8").expect(0, "", "");
}

#[test]
fn a_conversion_that_is_refused_loses_the_shared_lock() {
    let scene = Scene::new();
    let script = "exec 7>lock 8>lock; \"$0\" -s 7; \"$0\" -s 8; \"$0\" -x 7; \
        for it in 7 8; do grep -c ^lock: /proc/$$/fdinfo/$it; done";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, NONOVERLAP]);
    let ended = shell.current_dir(scene.path("")).run();
    ended.expect(0, "0\n1\n", &said_of("descriptor 7", 8));
}

#[test]
fn of_slots_it_is_told_only_if_all_are_ours() {
    let scene = Scene::new();
    let (first, second) = (scene.lock(), scene.path("lock.2"));
    let script = "\"$0\" -j2 \"$1\" sh -c '\"$0\" -j2 \"$1\" echo ran' \"$0\" \"$1\"";
    let ended = in_job(&scene, &["-j2"], script);
    let words = |descriptor: u32| {
        format!(
            "is held by this very job: it was started under the same lock and inherited it on descriptor \
             {descriptor}; remove one of the two nonoverlap calls"
        )
    };
    let said = format!(
        "nonoverlap: {} {}, {} {}; not started\n",
        first.display(),
        words(60),
        second.display(),
        words(62)
    );
    ended.expect(1, "", &said);
    // The other one may well become free.
    let holder = Holder::of([&second]);
    in_job(&scene, &["-j2"], "\"$0\" -j2 \"$1\" echo ran").expect(1, "", "");
    holder.end();
    in_job(&scene, &["-j2"], "\"$0\" -j2 \"$1\" echo ran").expect(0, "ran\n", "");
}

#[test]
fn a_strangers_lock_is_an_ordinary_conflict_also_for_who_has_other_locks() {
    let scene = Scene::new();
    let holder = Holder::of([&scene.path("other")]);
    let script = "exec 9<other; \"$0\" -q other echo ran; \"$0\" -w 0.02 other echo ran";
    in_job(&scene, &[], script).expect(1, "", "");
    holder.end();
}

#[test]
fn under_the_name_flock_nothing_is_said_of_it() {
    let scene = Scene::new();
    let flock = quoted(&scene.flock());
    for options in ["-n", "-w 0.02"] {
        let script = format!("{flock} {options} \"$1\" echo ran");
        in_job(&scene, &[], &script).expect(1, "", "");
    }
}

/// What is said of a lock whose record names an ancestor, behind the word that it is held.
fn named(pid: &str) -> String {
    format!(
        "; this job was started by PID {pid}, which the lock file names, perhaps under the same lock: \
         then remove one of the two nonoverlap calls"
    )
}

#[test]
fn that_an_ancestor_seems_to_have_it_is_told_too() {
    for (options, status) in [("", 1), ("-q", 1), ("-v", 1), ("-E7", 7)] {
        let scene = Scene::new();
        let script = format!("echo $$; \"$0\" {options} \"$1\" echo ran");
        let ended = in_job(&scene, &["-o"], &script);
        let said = ended.stderr();
        let pid = ended.stdout().trim_end().to_owned();
        let start = format!(
            "nonoverlap: {} is held by PID {pid} (",
            scene.lock().display()
        );
        assert!(said.starts_with(&start), "{ended:?}");
        assert!(
            said.ends_with(&format!("{}; not started\n", named(&pid))),
            "{ended:?}"
        );
        assert_eq!((ended.code(), said.lines().count()), (Some(status), 1));
    }
}

#[test]
fn an_ancestors_lock_is_waited_for_and_that_is_told_once_before() {
    let scene = Scene::new();
    let script = "echo $$; \"$0\" -qw 0.05 \"$1\" echo ran";
    let ended = in_job(&scene, &["-o"], script);
    let said = |scene: &Scene, pid: &str| {
        let lock = scene.lock().display().to_string();
        format!(
            "nonoverlap: {lock} is held{}; waiting all the same\n",
            named(pid)
        )
    };
    let pid = ended.stdout().trim_end().to_owned();
    ended.expect(1, &format!("{pid}\n"), &said(&scene, &pid));
    // The job goes on without it, and ends.
    let scene = Scene::new();
    let line = "echo $$; \"$0\" -b \"$1\" sh -c 'echo ran >&2' & \
        until grep -q waiting err; do :; done; exec true";
    let script = format!("exec 2>err; {line}");
    let ended = in_job(&scene, &["-o"], &script);
    let pid = ended.stdout().trim_end().to_owned();
    assert_eq!(ended.code(), Some(0));
    let told = || fs::read_to_string(scene.path("err")).unwrap();
    crate::support::harness::eventually("it has run", || told().ends_with("ran\n"));
    assert_eq!(told(), format!("{}ran\n", said(&scene, &pid)));
}

#[test]
fn a_job_that_hands_no_descriptors_on_is_told_by_its_record() {
    if !has_tool("python3", "Python's subprocess") {
        return;
    }
    let scene = Scene::new();
    let job = "import subprocess, sys; print(__import__('os').getpid(), flush=True); \
        sys.exit(subprocess.run(sys.argv[1:], start_new_session=True).returncode)";
    let mut outer = nonoverlap([scene.lock()]);
    outer.args(["python3", "-c", job, NONOVERLAP, "-q"]);
    let ended = outer.arg(scene.lock()).args(["echo", "ran"]).run();
    let pid = ended.stdout().trim_end().to_owned();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(
        ended
            .stderr()
            .ends_with(&format!("{}; not started\n", named(&pid))),
        "{ended:?}"
    );
}

/// Only who waits looks at every ancestor.
#[test]
fn a_waiting_job_is_told_of_any_ancestor_that_its_record_names() {
    if !has_tool("python3", "Python's subprocess") {
        return;
    }
    let job = "import subprocess, sys; print(__import__('os').getpid(), flush=True); \
        sys.exit(subprocess.run(['sh', '-c', '\"$@\"; exit $?', 'sh', *sys.argv[1:]], start_new_session=True).returncode)";
    for (options, is_told) in [(&["-w", "0.02"][..], true), (&["-q"], false)] {
        let scene = Scene::new();
        let mut outer = nonoverlap([scene.lock()]);
        outer.args(["python3", "-c", job, NONOVERLAP]).args(options);
        let ended = outer.arg(scene.lock()).args(["echo", "ran"]).run();
        let pid = ended.stdout().trim_end().to_owned();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        let said = ended.stderr().contains(&named(&pid));
        assert_eq!(said, is_told, "{ended:?}");
    }
}

#[test]
fn a_job_whose_guardian_has_the_lock_is_told_so_and_waits_for_nobody() {
    for (options, status) in WAYS {
        let scene = Scene::new();
        let script = format!("exec \"$0\" {options} \"$1\" echo ran");
        let said = format!(
            "nonoverlap: {} is held by the guardian of this very job: it was started under the same lock, \
             with --close; remove one of the two nonoverlap calls; not started\n",
            scene.lock().display()
        );
        in_job(&scene, &["-o"], &script).expect(status, "", &said);
    }
}

/// Where the sessions of all processes have the number 0.
/// Who waits looks for it, whatever the lock file is: without a record, too.
#[test]
fn a_job_whose_guardian_has_the_lock_on_any_file_does_not_wait_for_itself() {
    for (make, outer, inner) in [
        ("echo data >lock", "-o lock", "-b lock echo ran"),
        ("echo data >lock", "-o lock", "-w50 lock echo ran"),
        ("true >lock; ln lock other", "-o lock", "-b lock echo ran"),
        ("true >file; ln -s file lock", "-o lock", "-b lock echo ran"),
        ("mkdir lock", "-o lock", "-b lock echo ran"),
        ("true", "-os lock", "-b lock echo ran"),
        ("true", "-o --fcntl lock", "-b --fcntl lock echo ran"),
        ("exec 7>lock", "-o --fd 7", "-b --fd 7 echo ran 7>>lock"),
    ] {
        if IS_FOR_MACOS && outer.contains("--fcntl") {
            // It does not tell who has such a lock.
            continue;
        }
        let scene = Scene::new();
        let script = format!("{make}; exec \"$0\" {outer} sh -c 'exec \"$1\" {inner}' sh \"$0\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, NONOVERLAP]);
        let ended = shell.current_dir(scene.path("")).run();
        assert_eq!((ended.code(), &*ended.stdout()), (Some(1), ""), "{ended:?}");
        let said = " is held by the guardian of this very job: ";
        assert!(ended.stderr().contains(said), "{ended:?}");
    }
}

/// The lock in the way is another's, of another kind or on other bytes.
#[test]
fn a_job_whose_guardian_has_another_lock_on_the_file_waits_for_who_is_in_its_way() {
    for (outer, stranger, inner) in [
        ("-o --fcntl", &[][..], "-w0.1"),
        ("-o", &["--fcntl"], "-w0.1 --fcntl"),
        (
            "-o --fcntl --length 1",
            &["--fcntl", "--start", "9"],
            "-w0.1 --fcntl --start 9",
        ),
    ] {
        let scene = Scene::new();
        let mut command = nonoverlap(stranger);
        let _holder = Holder::start(command.arg(scene.lock()).args(HOLD));
        let script = format!(
            "exec \"$0\" {outer} \"$1\" sh -c 'exec \"$0\" {inner} \"$1\" echo ran' \"$0\" \"$1\""
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, NONOVERLAP]).arg(scene.lock());
        shell.run().expect(1, "", "");
    }
}

#[test]
fn a_guardian_is_told_too_where_the_session_is_outside_of_the_pid_namespace() {
    let namespace = ["--pid", "--fork", "--mount-proc"];
    let ended = Command::new("unshare").args(namespace).arg("true").run();
    if ended.code() != Some(0) {
        return left_out("a PID namespace", &ended.stderr());
    }
    let scene = Scene::new();
    let mut job = Command::new("unshare");
    job.args(namespace)
        .args([NONOVERLAP, "-o"])
        .arg(scene.lock());
    job.args(["sh", "-c", "exec \"$0\" \"$1\" echo ran", NONOVERLAP]);
    let ended = job.arg(scene.lock()).run();
    let said = "is held by the guardian of this very job: ";
    assert_eq!((ended.code(), &*ended.stdout()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr().contains(said), "{ended:?}");
}

#[test]
fn an_old_record_that_names_a_relative_by_chance_is_of_a_stranger() {
    let scene = Scene::new();
    let lock = scene.lock();
    // A run that writes no record holds it, and the PID in the file has come again: it is the shell's.
    let holder = Holder::start(
        nonoverlap(["-s"])
            .arg(&lock)
            .args(crate::support::harness::HOLD),
    );
    let script = "printf '%10d\\n' $$ >\"$1\"; touch -t 200001010000 \"$1\"; \"$0\" \"$1\" echo ran; \
        \"$0\" -qw 0.02 \"$1\" echo ran; exec \"$0\" -qw 0.02 \"$1\" echo ran";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, NONOVERLAP]).arg(&lock);
    shell.run().expect(1, "", "");
    holder.end();
}

/// In a PID namespace a record has the number of the namespace, which may be an ancestor's of who is outside.
#[test]
fn a_record_from_a_pid_namespace_that_names_an_ancestor_by_chance_is_a_strangers() {
    let Some((_, realm)) = realm_of_processes() else {
        return;
    };
    for options in [&[][..], &["-o"]] {
        let scene = Scene::new();
        let lock = scene.lock();
        let ours = std::process::id();
        // The next process that is made there has our number.
        let script = format!(
            "exec 3<&0; echo {} >/proc/sys/kernel/ns_last_pid; \"$@\" <&3 3<&- & exec 3<&-; wait",
            ours - 1
        );
        let mut inside = realm.command(["sh", "-c", &script, "sh", NONOVERLAP]);
        let holder = Holder::start(inside.args(options).arg(&lock).args(HOLD));
        assert_eq!(fs::read_to_string(&lock).unwrap(), record_of(ours));
        for (options, status) in [("-n", 1), ("-q", 1), ("-w 0.02", 1), ("-E7", 7)] {
            let mut next = nonoverlap(options.split(' '));
            next.arg(&lock)
                .args(["echo", "ran"])
                .run()
                .expect(status, "", "");
        }
        holder.end();
    }
}
