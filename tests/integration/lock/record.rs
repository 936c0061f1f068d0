//! Promises about the PID record: eleven bytes, only where they belong, and never at the cost of a run.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::harness::{Holder, Run, Scene, Snapshot, nonoverlap, quoted, record_of};

#[test]
fn the_record_is_the_commands_own_pid_and_stays_when_it_has_ended() {
    let scene = Scene::new();
    let line = format!("echo $$; cat {}", quoted(&scene.lock()));
    let ended = nonoverlap([scene.lock()]).args(["sh", "-c", &line]).run();
    let said = ended.stdout();
    let (pid, record) = said.split_once('\n').unwrap();
    assert_eq!(record, record_of(pid.parse().unwrap()), "{ended:?}");
    assert_eq!(record.len(), 11);
    assert_eq!(fs::read_to_string(scene.lock()).unwrap(), record);
}

#[test]
fn a_record_replaces_another_in_place_whatever_its_pid() {
    let scene = Scene::new();
    let lock = scene.lock();
    for old in [
        "         1\n",
        "    123456\n",
        "1234567890\n",
        "2147483647\n",
    ] {
        fs::write(&lock, old).unwrap();
        let inode = fs::metadata(&lock).unwrap().ino();
        let holder = Holder::of([&lock]);
        let pid = holder.pid();
        assert!(holder.end().success());
        assert_eq!(fs::read_to_string(&lock).unwrap(), record_of(pid));
        assert_eq!(fs::metadata(&lock).unwrap().ino(), inode);
    }
}

#[test]
fn the_modification_time_is_when_this_run_began() {
    let scene = Scene::new();
    let lock = scene.file("lock", record_of(1));
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    make_old(&lock);
    // The times of files beside it are read from the same clock.
    let before = modified(&scene.file("before", ""));
    let holder = Holder::of([&lock]);
    let began = modified(&lock);
    assert!(before <= began && began <= modified(&scene.file("after", "")));
    nonoverlap([&lock]).arg("true").run().expect(1, "", "");
    assert!(holder.end().success());
    assert_eq!(modified(&lock), began);
}

#[test]
fn the_modification_time_is_new_although_the_pid_is_the_same_as_last_time() {
    // In containers a job often has the same PID every time.
    let scene = Scene::new();
    let lock = scene.file("lock", "");
    make_old(&lock);
    let line =
        "printf '%10d\\n' $$ >\"$1\" && touch -t 200001010000 \"$1\" && exec \"$0\" \"$1\" true";
    std::process::Command::new("sh")
        .args(["-c", line, crate::support::harness::NONOVERLAP])
        .arg(&lock)
        .run()
        .expect(0, "", "");
    let age = fs::metadata(&lock).unwrap().modified().unwrap().elapsed();
    assert!(age.unwrap_or_default() < Duration::from_secs(3600));
}

#[test]
fn a_refused_attempt_changes_no_file() {
    let scene = Scene::new();
    for content in ["", "       123\n", "4242\n", "data\n"] {
        let lock = scene.file("lock", content);
        let _holder = Holder::of([&lock]);
        let before = aged(&lock);
        for options in [&[][..], &["-v"], &["-q"], &["-n", "-E9"]] {
            let mut command = nonoverlap(options);
            let ended = command.arg(&lock).args(["echo", "ran"]).run();
            assert_eq!(ended.stdout(), "", "{ended:?}");
            assert_eq!(Snapshot::of(&lock), before, "{ended:?}");
        }
    }
}

#[test]
fn runs_and_refusals_never_replace_or_remove_the_file() {
    let scene = Scene::new();
    for content in ["", "       123\n", "data\n"] {
        let lock = scene.file("lock", content);
        let before = fs::metadata(&lock).unwrap();
        for _ in 0..3 {
            let holder = Holder::of([&lock]);
            nonoverlap([&lock]).arg("true").run().expect(1, "", "");
            holder.kill(libc::SIGKILL);
            nonoverlap([&lock]).arg("true").run().expect(0, "", "");
        }
        let after = fs::metadata(&lock).unwrap();
        assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
    }
}

#[test]
fn what_only_resembles_a_record_is_locked_and_not_changed() {
    let table = [
        "4242\n",
        "      4242",
        "      4242\n\n",
        "      4242\n\0",
        "      4242\r\n",
        "     4242\r\n",
        "     4242 \n",
        "    4242\n\n\n",
        "0000004242\n",
        "     04242\n",
        "4242      \n",
        " 4242     \n",
        "      42 2\n",
        "     +4242\n",
        "     -4242\n",
        "    0x4242\n",
        "    4242.0\n",
        "\t\t\t\t\t\t4242\n",
        "\x00\x00\x00\x00\x00\x004242\n",
        "          \n",
        "         0\n",
        "        -1\n",
        "2147483648\n",
        "4294967297\n",
        "9999999999\n",
        "       \u{ff11}\n",
        "\n      4242",
        "           ",
        "      4242 ",
        "\0\0\0\0\0\0\0\0\0\0\0",
        "      4242\n      4242\n",
        "#!/bin/true",
    ];
    for content in table {
        let scene = Scene::new();
        runs_and_leaves_unchanged(&scene.file("lock", content));
    }
}

#[test]
fn that_the_pid_is_not_written_is_said_with_v_and_in_the_log() {
    let scene = Scene::new();
    symlink("lock", scene.path("link")).unwrap();
    let said = |name: &str, why: &str| {
        let path = scene.path(name);
        format!(
            "{} {why}, so the PID is not written into it",
            path.display()
        )
    };
    let other = "holds something other than a PID record";
    for (content, name, why) in [
        ("4242\n", "lock", other),
        ("      4242 ", "lock", other),
        ("      42 2\n", "lock", other),
        ("#!/bin/sh\nexec sleep 5\n", "lock", other),
        ("", "link", "is a symbolic link"),
        ("4242\n", "link", "is a symbolic link"),
        ("", "second", "has several hard links"),
    ] {
        scene.file("lock", content);
        if name == "second" {
            fs::hard_link(scene.lock(), scene.path(name)).unwrap();
        }
        let run = |options: &[&str]| {
            let mut command = nonoverlap(options);
            command.arg(scene.path(name)).args(["echo", "ran"]);
            command.current_dir(scene.path("")).run()
        };
        run(&[]).expect(0, "ran\n", "");
        let ended = run(&["-v"]);
        let line = format!("nonoverlap: {}\n", said(name, why));
        assert!(ended.stderr().starts_with(&line), "{ended:?}");
        run(&["--log", "log"]).expect(0, "", "");
        let log = fs::read_to_string(scene.path("log")).unwrap();
        assert!(
            log.contains(&format!(" nonoverlap: {} (PID ", said(name, why))),
            "{log}"
        );
        fs::remove_file(scene.path("log")).unwrap();
        // A shared run writes no PID, and a folder never has one.
        for options in [&["-v", "-s"][..], &["-v", "--fcntl"]] {
            if cfg!(target_os = "linux") {
                assert!(!run(options).stderr().contains("PID is not written"));
            }
        }
    }
    let mut command = nonoverlap(["-v"]);
    let ended = command.arg(scene.path("")).args(["echo", "ran"]).run();
    assert!(!ended.stderr().contains("PID is not written"), "{ended:?}");
}

#[cfg(any(target_os = "linux", target_os = "macos"))] // Elsewhere holders are not seen.
#[test]
fn of_a_held_file_with_something_else_in_it_status_says_so() {
    let scene = Scene::new();
    let lock = scene.file("lock", "4242\n");
    let _holder = Holder::of([&lock]);
    let ended = nonoverlap(["--status"]).arg(&lock).run();
    let end = "; its lock file holds something other than a PID record\n";
    assert!(ended.stdout().ends_with(end), "{ended:?}");
    // A run that has written its PID, and one that writes none.
    for options in [&[][..], &["-s"]] {
        let other = scene.path("other");
        let _holder = Holder::start(
            nonoverlap(options)
                .arg(&other)
                .args(crate::support::harness::HOLD),
        );
        let ended = nonoverlap(["--status"]).arg(&other).run();
        assert!(!ended.stdout().contains("something other"), "{ended:?}");
    }
    // Also when nobody has it.
    let free = scene.file("free", "4242\n");
    let ended = nonoverlap(["--status"]).arg(&free).run();
    let said = format!("{}: free{end}", free.display());
    ended.expect(3, &said, "");
    let ended = nonoverlap(["--status", "--json"]).arg(&free).run();
    assert!(
        ended
            .stdout()
            .contains(r#","occupied":true,"record":null,"#),
        "{ended:?}"
    );
}

#[test]
fn a_data_file_is_locked_and_not_changed() {
    let scene = Scene::new();
    let data: Vec<u8> = (0..1_000_003_u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    runs_and_leaves_unchanged(&scene.file("data", data));
}

#[test]
fn a_script_locks_itself_and_is_not_changed() {
    let scene = Scene::new();
    let script = scene.script("job", "#!/bin/sh\necho held && cat\n");
    let before = aged(&script);
    let holder = Holder::start(nonoverlap([&script]).arg(&script));
    nonoverlap([&script]).arg(&script).run().expect(1, "", "");
    assert!(holder.end().success());
    assert_eq!(Snapshot::of(&script), before);
}

// The PID of these records is beyond every kernel's largest, so that no process can have it: one that
// lives would be told on.
#[test]
fn a_file_with_two_names_is_locked_and_not_changed() {
    for content in ["", "2000000000\n"] {
        let scene = Scene::new();
        let lock = scene.file("lock", content);
        fs::hard_link(&lock, scene.path("other")).unwrap();
        runs_and_leaves_unchanged(&lock);
        // It is one file and so one lock.
        let _holder = Holder::of([scene.path("other")]);
        nonoverlap([&lock]).arg("true").run().expect(1, "", "");
    }
}

#[test]
fn a_file_reached_through_a_link_is_locked_and_not_changed() {
    for content in ["", "2000000000\n"] {
        let scene = Scene::new();
        let file = scene.file("file", content);
        symlink("file", scene.path("link")).unwrap();
        symlink(scene.path("link"), scene.path("chain")).unwrap();
        for name in ["link", "chain"] {
            runs_and_leaves_unchanged(&scene.path(name));
            let before = aged(&file);
            let holder = Holder::of([scene.path(name)]);
            nonoverlap([&file]).arg("true").run().expect(1, "", "");
            assert!(holder.end().success());
            assert_eq!(Snapshot::of(&file), before, "{name}");
            assert!(scene.path(name).is_symlink());
        }
    }
}

#[test]
fn a_linked_folder_on_the_way_is_no_obstacle_to_the_record() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    symlink("folder", scene.path("link")).unwrap();
    for lock in ["link/lock", "link/../link/./lock"] {
        let holder = Holder::of([scene.path(lock)]);
        let record = fs::read_to_string(scene.path("folder/lock")).unwrap();
        assert_eq!(record, record_of(holder.pid()));
    }
}

/// Whatever is written from now on can be told by the time.
fn make_old(path: &Path) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_modified(then);
    File::open(path).unwrap().set_times(times).unwrap();
}

fn aged(path: &Path) -> Snapshot {
    make_old(path);
    Snapshot::of(path)
}

#[track_caller]
fn runs_and_leaves_unchanged(path: &Path) {
    let before = aged(path);
    let mut command = nonoverlap([path]);
    command.args(["echo", "ran"]).run().expect(0, "ran\n", "");
    assert_eq!(Snapshot::of(path), before);
    // That there is no record is as it should be, and no warning.
    let mut command = nonoverlap(["-v".as_ref(), path.as_os_str()]);
    let said = command.args(["echo", "ran"]).run().stderr();
    assert!(!said.contains("cannot"), "{said}");
}

// seccomp, prlimit, mount namespaces and /proc are Linux's.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;

    use super::aged;
    use crate::support::harness::{
        Holder, NONOVERLAP, Run, Scene, Snapshot, eventually, nonoverlap, quoted, reason, record_of,
    };
    use crate::support::seccomp::{Answer, run_gated};

    #[test]
    fn a_program_that_is_running_locks_itself_and_is_not_changed() {
        let scene = Scene::new();
        let program = scene.path("program");
        // By another process, so that no descriptor of ours is open for writing when it is executed.
        let copied = Command::new("sh")
            .args(["-c", "cp \"$(command -v cat)\" \"$0\""])
            .arg(&program)
            .run();
        copied.expect(0, "", "");
        let before = aged(&program);
        let line = format!("echo held; exec {}", quoted(&program));
        let running = Holder::start(Command::new("sh").args(["-c", &line]));
        let image = format!("/proc/{}/exe", running.pid());
        eventually("it runs", || fs::read_link(&image).unwrap() == program);
        nonoverlap([&program])
            .arg(&program)
            .run_with_input("ran\n")
            .expect(0, "ran\n", "");
        assert_eq!(Snapshot::of(&program), before);
    }

    #[test]
    fn a_file_that_takes_the_place_of_the_locked_one_gets_no_record() {
        /// What happens at the instant between the lock and the record.
        type Change = fn(&Path);
        let table: [(&str, Change); 5] = [
            ("another file", |lock| {
                fs::write(lock.with_extension("new"), "data").unwrap();
                fs::rename(lock.with_extension("new"), lock).unwrap();
            }),
            ("a link", |lock| {
                fs::rename(lock, lock.with_extension("old")).unwrap();
                symlink(lock.with_extension("old"), lock).unwrap();
            }),
            ("a FIFO that nobody reads", |lock| {
                fs::remove_file(lock).unwrap();
                Command::new("mkfifo").arg(lock).run().expect(0, "", "");
            }),
            ("a second name", |lock| {
                fs::hard_link(lock, lock.with_extension("second")).unwrap();
            }),
            ("more content", |lock| {
                fs::write(lock, "a few words more").unwrap()
            }),
        ];
        for (what, change) in table {
            let scene = Scene::new();
            let lock = scene.file("lock", record_of(2_000_000_000));
            let mut changed = None;
            let mut command = nonoverlap([&lock]);
            command.args(["echo", "ran"]);
            // It has locked the file, and not yet seen whether the path leads to it still.
            let (ended, _) = run_gated(&mut command, libc::SYS_memfd_create, |_| {
                if changed.is_none() {
                    change(&lock);
                    changed = Some(files_in(&scene));
                }
                Answer::Pass
            });
            ended.expect(0, "ran\n", "");
            assert_eq!(Some(files_in(&scene)), changed, "{what}");

            // It has seen a record that is its to replace, and asks for the file size limit.
            let scene = Scene::new();
            let lock = scene.file("lock", record_of(2_000_000_000));
            let mut others = None;
            let mut command = nonoverlap([&lock]);
            command.args(["echo", "ran"]);
            let is_other = |file: &Snapshot| !file.starts_with("2000000000\\n");
            let (ended, _) = run_gated(&mut command, libc::SYS_prlimit64, |call| {
                if call.arguments[1] == libc::RLIMIT_FSIZE as u64 && others.is_none() {
                    change(&lock);
                    let mut files = files_in(&scene);
                    files.retain(is_other);
                    others = Some(files);
                }
                Answer::Pass
            });
            ended.expect(0, "ran\n", "");
            // The record goes into the locked file, wherever that is, and nothing else is changed.
            let after = files_in(&scene);
            for other in others.expect("the limit was asked for") {
                assert!(after.contains(&other), "{what}: {other:?} of {after:?}");
            }
        }
    }

    #[test]
    fn what_takes_the_place_of_the_locked_file_and_is_a_lock_file_gets_the_record() {
        for content in ["", "2000000000\n"] {
            let scene = Scene::new();
            let lock = scene.file("lock", record_of(2_000_000_000));
            let mut command = nonoverlap([&lock]);
            command.args(["sh", "-c", "cat \"$0\""]).arg(&lock);
            let (ended, calls) = run_gated(&mut command, libc::SYS_memfd_create, |call| {
                if call.number == 1 {
                    fs::rename(&lock, scene.path("old")).unwrap();
                    fs::write(&lock, content).unwrap();
                }
                Answer::Pass
            });
            assert_eq!((ended.code(), calls), (Some(0), 2), "{ended:?}");
            assert_eq!(fs::read_to_string(&lock).unwrap(), ended.stdout());
            assert_ne!(ended.stdout(), record_of(2_000_000_000));
            let old = fs::read_to_string(scene.path("old")).unwrap();
            assert_eq!(old, record_of(2_000_000_000));
        }
    }

    #[test]
    fn what_somebody_writes_between_the_lock_and_the_record_stays() {
        for before in ["", "2000000000\n"] {
            for written in ["4242\n", "a few words more", "      4242 ", "x"] {
                for gate in [libc::SYS_prlimit64, libc::SYS_getpid] {
                    let scene = Scene::new();
                    let lock = scene.file("lock", before);
                    let mut was_written = false;
                    let mut command = nonoverlap([&lock]);
                    command.args(["echo", "ran"]);
                    let (ended, _) = run_gated(&mut command, gate, |call| {
                        let is_it = gate == libc::SYS_getpid
                            || call.arguments[1] == libc::RLIMIT_FSIZE as u64;
                        if is_it && !was_written {
                            fs::write(&lock, written).unwrap();
                            was_written = true;
                        }
                        Answer::Pass
                    });
                    ended.expect(0, "ran\n", "");
                    assert!(was_written, "{ended:?}");
                    let after = fs::read_to_string(&lock).unwrap();
                    assert_eq!(after, written, "{before:?}: {ended:?}");
                }
            }
        }
    }

    /// What is in the scene's folder, in the order of the names.
    fn files_in(scene: &Scene) -> Vec<Snapshot> {
        let entries = fs::read_dir(scene.path("")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| Snapshot::of(path)).collect()
    }

    #[test]
    fn a_record_that_cannot_be_written_costs_a_warning_and_not_the_run() {
        let scene = Scene::new();
        let lock = scene.lock();
        for errno in [
            libc::ENOSPC,
            libc::EDQUOT,
            libc::EFBIG,
            libc::EIO,
            libc::EPERM,
        ] {
            for options in [&[][..], &["-q"], &["-v"]] {
                let mut command = nonoverlap(options);
                command.arg(&lock).args(["echo", "ran"]);
                let fail = |_: &_| Answer::Fail(errno);
                let (ended, calls) = run_gated(&mut command, libc::SYS_pwrite64, fail);
                assert_eq!(
                    (ended.code(), ended.stdout().as_str()),
                    (Some(0), "ran\n"),
                    "{ended:?}"
                );
                assert_eq!(calls, 1);
                if options == ["-v"] {
                    assert!(
                        ended.stderr().starts_with(&warning(&lock, errno)),
                        "{ended:?}"
                    );
                } else {
                    assert_eq!(ended.stderr(), "");
                }
                assert_eq!(fs::read_to_string(&lock).unwrap(), "");
            }
        }
    }

    #[test]
    fn a_file_size_limit_brings_neither_a_signal_nor_half_a_record() {
        for (limit, old) in [(0, ""), (5, ""), (10, ""), (10, "2000000000\n"), (11, "")] {
            let scene = Scene::new();
            let lock = scene.file("lock", old);
            let before = aged(&lock);
            // stderr is a file too, and the limit cuts our messages short.
            let line = "exec 2>\"$1\"; shift; exec \"$@\"";
            let ended = Command::new("sh")
                .args(["-c", line, "sh"])
                .arg(scene.path("stderr"))
                .args(["prlimit", &format!("--fsize={limit}"), NONOVERLAP, "-v"])
                .arg(&lock)
                .args(["grep", "-E", "^(SigPnd|ShdPnd|SigBlk)", "/proc/self/status"])
                .run();
            let none = "0000000000000000\n";
            ended.expect(
                0,
                &format!("SigPnd:\t{none}ShdPnd:\t{none}SigBlk:\t{none}"),
                "",
            );
            let said = fs::read_to_string(scene.path("stderr")).unwrap();
            assert_eq!(said, "nonoverlap: "[..limit], "{ended:?}");
            if limit < 11 {
                assert_eq!(Snapshot::of(&lock), before, "{ended:?}");
            } else {
                assert_eq!(fs::metadata(&lock).unwrap().len(), 11, "{ended:?}");
            }
        }
    }

    fn warning(lock: &Path, errno: i32) -> String {
        let reason = reason(errno);
        let lock = lock.display();
        format!("nonoverlap: cannot write the PID into {lock}: {reason}; running all the same\n")
    }
}
