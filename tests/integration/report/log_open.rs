//! Opening the file of `--log`, before the lock, and what of it reaches the command.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use crate::report::log::{lines_of, logged, logged_with, undated};
use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, nonoverlap, reason, record_of};

#[test]
fn a_log_that_cannot_be_opened_is_73_and_nothing_runs_nor_is_the_lock_asked_for() {
    let scene = Scene::new();
    let held = scene.path("held");
    let _job = Holder::of([&held]);
    let _socket = UnixListener::bind(scene.path("socket")).unwrap();
    make_fifo(&scene.path("fifo"));
    symlink("loop", scene.path("loop")).unwrap();
    scene.file("file", "");
    for (log, error) in [
        (".", libc::EISDIR),
        ("no/log", libc::ENOENT),
        ("", libc::ENOENT),
        ("file/log", libc::ENOTDIR),
        ("loop", libc::ELOOP),
        // Nobody reads it.
        ("fifo", libc::ENXIO),
        (
            "socket",
            if cfg!(target_os = "linux") {
                libc::ENXIO
            } else {
                libc::EOPNOTSUPP
            },
        ),
    ] {
        let hint = match log {
            "" => "; the word is empty, perhaps because a variable is not set",
            "no/log" => "; there is no folder no",
            "fifo" => "; nobody reads this FIFO",
            _ => "",
        };
        for lock in ["held", "lock"] {
            let mut command = nonoverlap(["--log", log, lock, "echo", "ran"]);
            let reason = reason(error);
            let said = format!("nonoverlap: cannot open log {log}: {reason}{hint}\n");
            command
                .current_dir(scene.path(""))
                .run()
                .expect(73, "", &said);
        }
        assert!(!scene.lock().exists(), "{log}");
    }
}

/// The log may be opened under the number of a descriptor that is not open.
#[test]
fn a_descriptor_that_is_not_open_is_not_taken_for_the_logs_own() {
    for number in 3..9 {
        for option in ["-n", "-o", "-s"] {
            let scene = Scene::new();
            let number = number.to_string();
            let mut command = nonoverlap([option, "--log", "log", "--fd", &number, "echo", "ran"]);
            let refused = command.current_dir(scene.path("")).run();
            let reason = reason(libc::EBADF);
            let said = format!("cannot lock descriptor {number}: {reason}");
            refused.expect(65, "", &format!("nonoverlap: {said}\n"));
            let lines = lines_of(&scene.path("log"));
            let lines: Vec<_> = lines.iter().map(|line| undated(line)).collect();
            assert_eq!(lines, [said], "{option}");
        }
    }
}

/// The log takes the place of what has the lock.
#[test]
fn no_log_where_the_lock_is_on_the_commands_output() {
    let said = "nonoverlap: --log takes the command's descriptors 1 and 2, and cannot be used with --fd 1 or --fd 2\n";
    for number in [1, 2] {
        for option in ["", "-o", "--fcntl", "--max-runtime 1h"] {
            let scene = Scene::new();
            let script = format!(
                "exec 9>&2; \"$0\" {option} --log log --fd {number} echo ran 3>&1 {number}>lock; echo $? >&9"
            );
            let mut shell = Command::new("sh");
            shell.args(["-c", &script, NONOVERLAP]);
            let ended = shell.current_dir(scene.path("")).run();
            let lock = fs::read_to_string(scene.path("lock")).unwrap();
            assert!(!scene.path("log").exists(), "{number} {option}");
            let told = format!("{}{lock}", ended.stderr());
            let in_order = [format!("{said}64\n"), format!("64\n{said}")];
            assert!(in_order.contains(&told), "{number} {option}: {told}");
        }
    }
}

#[test]
fn no_log_without_a_command_and_none_in_the_lock_file_itself() {
    let scene = Scene::new();
    let in_scene = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, NONOVERLAP]);
        shell.current_dir(scene.path("")).run()
    };
    let other = "nonoverlap: --log needs a file other than the lock file";
    let no_command = "nonoverlap: --log needs FILE, LOCKFILE and a command\n";
    for (words, message) in [
        ("--log log lock", no_command),
        ("--log log 9 9<.", no_command),
        ("-l lock lock true", other),
        ("--log=./lock -E0 -q ./lock true", other),
        ("-nqllock lock -c true", other),
    ] {
        let ended = in_scene(&format!("\"$0\" {words}"));
        assert_eq!((ended.code(), &ended.stdout[..]), (Some(64), &b""[..]));
        assert!(ended.stderr().starts_with(message), "{ended:?}");
        let left = fs::read_dir(scene.path("")).unwrap().count();
        assert_eq!(left, 0, "{words}: something was made");
    }
    // However it is spelled.
    fs::create_dir(scene.path("sub")).unwrap();
    symlink("sub", scene.path("linked")).unwrap();
    let folder = scene.path("");
    let folder = folder.display();
    let spelled = [
        "--log ./lock lock".to_owned(),
        "--log lock .//lock".to_owned(),
        "--log sub/../lock lock".to_owned(),
        "--log sub/./lock sub//lock".to_owned(),
        "--log linked/lock sub/lock".to_owned(),
        "--log sub/lock linked/./lock".to_owned(),
        format!("--log lock {folder}/lock"),
        format!("--log {folder}/sub/lock linked/lock"),
        // A slot's, which this run would not even open.
        "-j2 --log lock.2 lock".to_owned(),
        "-j 12 --log ./lock.12 lock".to_owned(),
        "-j2 --log ./lock lock".to_owned(),
        format!("-j2 --log {folder}//lock.2 ./lock"),
    ];
    for words in spelled {
        let ended = in_scene(&format!("\"$0\" {words} echo ran"));
        assert_eq!((ended.code(), &ended.stdout[..]), (Some(64), &b""[..]));
        assert!(ended.stderr().starts_with(other), "{words}: {ended:?}");
        let left = fs::read_dir(scene.path("")).unwrap().count();
        assert_eq!(left, 2, "{words}: something was made");
        assert_eq!(fs::read_dir(scene.path("sub")).unwrap().count(), 0);
    }
    // These are others.
    for words in [
        "--log lock.2 lock",
        "-j2 --log lock.3 lock",
        "--log sub/lock lock",
        "--log .lock lock",
    ] {
        in_scene(&format!("\"$0\" {words} true")).expect(0, "", "");
    }
    fs::remove_file(scene.path("sub/lock")).unwrap();
    // Of a slot, by another name.
    scene.file("lock.2", record_of(4242));
    fs::hard_link(scene.path("lock.2"), scene.path("hard.2")).unwrap();
    symlink("lock.2", scene.path("link.2")).unwrap();
    for words in [
        "-j2 --log hard.2 lock",
        "-j2 --log link.2 lock",
        "-j2 --log hard.2 ./lock",
    ] {
        let ended = in_scene(&format!("\"$0\" {words} echo ran"));
        assert_eq!((ended.code(), &ended.stdout[..]), (Some(64), &b""[..]));
        assert!(ended.stderr().starts_with(other), "{words}: {ended:?}");
        assert_eq!(
            fs::read_to_string(scene.path("lock.2")).unwrap(),
            record_of(4242)
        );
    }
    // By another name it is known when both are open, and not written to.
    scene.file("lock", record_of(4242));
    symlink("lock", scene.path("link")).unwrap();
    fs::hard_link(scene.lock(), scene.path("hard")).unwrap();
    for words in [
        "./lock lock",
        "hard lock",
        "link lock",
        "lock link",
        "lock --fd 9",
    ] {
        let ended = in_scene(&format!("exec 9<lock; \"$0\" --log {words} echo ran"));
        assert_eq!((ended.code(), &ended.stdout[..]), (Some(64), &b""[..]));
        assert!(ended.stderr().starts_with(other), "{words}: {ended:?}");
        assert_eq!(fs::read_to_string(scene.lock()).unwrap(), record_of(4242));
    }
}

#[test]
fn a_fifo_hangs_neither_a_refusal_nor_a_start_also_when_it_is_full() {
    let scene = Scene::new();
    let fifo = scene.path("log");
    make_fifo(&fifo);
    let mut options = File::options();
    let options = options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    // Open for reading as well, it has a reader who does not read.
    let mut pipe = options.open(&fifo).unwrap();
    logged(&scene).arg("true").run().expect(0, "", "");
    let full = loop {
        if let Err(error) = pipe.write(&[b'x'; 512]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    logged(&scene).arg("true").run().expect(0, "", "");
    let _job = Holder::of([scene.lock()]);
    logged(&scene).arg("true").run().expect(1, "", "");
}

#[cfg(target_os = "linux")] // The flags of a descriptor stand in fdinfo.
#[test]
fn the_command_finds_a_fifo_in_blocking_mode_and_open_for_appending() {
    use std::process::Stdio;

    use crate::report::log::undated;

    let scene = Scene::new();
    make_fifo(&scene.path("log"));
    let mut reader = Command::new("cat");
    reader.arg(scene.path("log")).stdout(Stdio::piped());
    let reader = reader.spawn().unwrap();
    // The shell waits for the reader, as nonoverlap does not.
    let script = "exec 9>log; exec \"$0\" --log log lock cat /proc/self/fdinfo/1";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, NONOVERLAP]);
    shell.current_dir(scene.path("")).run().expect(0, "", "");
    let read = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
    let (start, info) = read.split_once('\n').unwrap();
    assert!(undated(start).contains(" locked by PID "), "{read}");
    let mut lines = info.lines();
    let flags = lines.find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
    let mode = flags & (libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK);
    assert_eq!(mode, libc::O_WRONLY | libc::O_APPEND);
}

#[cfg(target_os = "linux")]
#[test]
fn the_command_finds_the_lock_its_mark_and_no_other_descriptor_whatever_of_0_to_2_was_closed() {
    for (closed, stdin) in [
        ("", "open"),
        ("0<&-", "closed"),
        ("1>&-", "open"),
        ("2>&-", "open"),
        ("0<&- 1>&- 2>&-", "closed"),
    ] {
        let scene = Scene::new();
        let script = "test -e /proc/$$/fd/0 && echo open || echo closed; echo err >&2; \
            for it in /proc/$$/fd/*; do case $(readlink $it) in \
            */lock | */log | /memfd:*) echo ${it##*/};; esac; done";
        let mut shell = Command::new("sh");
        let outer = format!("exec \"$0\" --log log lock bash -c '{script}' {closed}");
        shell
            .args(["-c", &outer, NONOVERLAP])
            .current_dir(scene.path(""));
        shell.run().expect(0, "", "");
        let lines = lines_of(&scene.path("log"));
        assert_eq!(lines[1..], [stdin, "err", "1", "2", "60", "61"], "{closed}");
        assert_eq!(fs::metadata(scene.lock()).unwrap().len(), 11, "{closed}");
    }
}

#[test]
fn why_a_command_cannot_be_executed_is_said_to_the_caller_and_nothing_is_lost() {
    let scene = Scene::new();
    scene.file("plain", "not to be executed");
    scene.file("lock", "");
    for (command, status, error) in [
        ("./none", 127, libc::ENOENT),
        ("no-such-command", 127, libc::ENOENT),
        ("./plain", 126, libc::EACCES),
        (".", 126, libc::EACCES),
        ("./plain/x", 127, libc::ENOTDIR),
    ] {
        for option in [&[][..], &["-q"]] {
            let ended = logged_with(&scene, option).arg(command).run();
            let said = format!("nonoverlap: cannot execute {command}: {}\n", reason(error));
            ended.expect(status, "", &said);
            let lines = lines_of(&scene.path("log"));
            assert!(
                lines[0].ends_with(&format!("; starting {command}")),
                "{lines:?}"
            );
            let (target, error) = said_under_a_pid(&lines[1]);
            let lock = scene.lock().display().to_string();
            assert_eq!(
                (target, &*format!("nonoverlap: {error}\n")),
                (&*lock, &*said)
            );
            assert_eq!(lines.len(), 2, "{command}");
            fs::remove_file(scene.path("log")).unwrap();
        }
        // Where the caller has no stderr, the log has it all the same, and once.
        let mut shell = Command::new("sh");
        let script = "exec \"$0\" --log log lock \"$1\" 2>&-";
        shell
            .args(["-c", script, NONOVERLAP, command])
            .current_dir(scene.path(""));
        shell.run().expect(status, "", "");
        let lines = lines_of(&scene.path("log"));
        let said = format!("cannot execute {command}: {}", reason(error));
        assert_eq!(
            (lines.len(), said_under_a_pid(&lines[1])),
            (2, ("lock", &*said))
        );
        fs::remove_file(scene.path("log")).unwrap();
    }
}

#[cfg(target_os = "linux")] // The setting is Linux's.
#[test]
fn another_users_log_in_a_sticky_folder_is_appended_to_where_the_kernel_refuses_o_creat() {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    use crate::support::harness::{is_root, left_out};
    use crate::support::machine::Sysctl;

    if !is_root() {
        return left_out("fs.protected_regular", "only root may set it");
    }
    let _setting = Sysctl::set("/proc/sys/fs/protected_regular", "2");
    let scene = Scene::new();
    fs::set_permissions(scene.path(""), Permissions::from_mode(0o1777)).unwrap();
    let log = scene.file("log", "");
    fs::set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
    chown(&log, Some(65533), None).unwrap();
    // That the trap is one: the shell opens with O_CREAT.
    let mut shell = Command::new("sh");
    let fallen = shell.args(["-c", "true >>\"$0\""]).arg(&log).run();
    assert_ne!(fallen.code(), Some(0), "{fallen:?}");
    logged(&scene).args(["echo", "ran"]).run().expect(0, "", "");
    assert_eq!(lines_of(&log)[1..], ["ran"]);
}

fn make_fifo(path: &PathBuf) {
    Command::new("mkfifo").arg(path).run().expect(0, "", "");
}

/// The lock file and the words of a line that names a PID.
#[track_caller]
fn said_under_a_pid(line: &str) -> (&str, &str) {
    let (target, rest) = undated(line).split_once(": PID ").expect(line);
    let (pid, said) = rest.split_once(": ").expect(line);
    pid.parse::<u32>().expect(line);
    (target, said)
}
