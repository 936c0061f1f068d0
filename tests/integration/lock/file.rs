//! Promises about what can be a lock file: nearly anything, and nobody waits on a trap.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::documents::MAN;
use crate::support::harness::{
    Holder, IS_FOR_MACOS, NONOVERLAP, Run, Scene, nonoverlap, reason, record_of,
};

#[test]
fn a_new_lock_file_is_made_with_0666_less_the_umask() {
    for (umask, mode) in [("0", 0o666), ("022", 0o644), ("077", 0o600), ("0666", 0)] {
        let scene = Scene::new();
        let line = format!("umask {umask}; exec \"$0\" \"$1\" echo ran");
        let mut command = Command::new("sh");
        command.args(["-c", &line, NONOVERLAP]).arg(scene.lock());
        command.run().expect(0, "ran\n", "");
        let made = fs::metadata(scene.lock()).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, mode, "umask {umask}");
    }
}

/// macOS locks neither a FIFO nor a pipe (`sys_flock` in XNU's bsd/kern/kern_descrip.c).
#[test]
fn a_fifo_as_lock_file_does_not_hang_it() {
    let scene = Scene::new();
    let made = Command::new("mkfifo").arg(scene.lock()).run();
    made.expect(0, "", "");
    if !IS_FOR_MACOS {
        return can_be_locked(&scene.lock());
    }
    let refused = |words: &[&OsStr], target: &str| {
        let reason = reason(libc::ENOTSUP);
        let message = format!("nonoverlap: cannot lock {target}: {reason}\n");
        let ended = nonoverlap(words).args(["echo", "ran"]).run();
        ended.expect(65, "", &message);
    };
    let lock = scene.lock();
    refused(&[lock.as_os_str()], lock.to_str().unwrap());
    // A pipe.
    refused(&[OsStr::new("--fd"), OsStr::new("0")], "descriptor 0");
}

#[test]
fn the_manual_tells_where_a_fifo_cannot_be_locked() {
    let said = "\nA FIFO can be locked, too, except on macOS, where it is refused with 65.\n";
    assert!(MAN.contains(said));
}

#[test]
fn a_socket_as_lock_file_does_not_hang_it() {
    let scene = Scene::new();
    let _listener = UnixListener::bind(scene.lock()).unwrap();
    let ended = nonoverlap([scene.lock()]).args(["echo", "ran"]).run();
    // What open(2) says of a socket differs between systems.
    assert_eq!((ended.code(), ended.stdout()), (Some(66), String::new()));
    let message = format!(
        "nonoverlap: cannot open lock file {}: ",
        scene.lock().display()
    );
    assert!(ended.stderr().starts_with(&message), "{ended:?}");
}

#[test]
fn a_folder_can_be_locked() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    symlink("folder", scene.path("link")).unwrap();
    for name in ["folder", "folder/", "folder/.", "link", "link/", ""] {
        can_be_locked(&scene.path(name));
    }
}

#[test]
fn a_device_can_be_locked() {
    // There is one /dev/null for everybody, so somebody else may be at it for a moment.
    crate::support::harness::eventually("the outer run holds it and refuses the inner", || {
        let mut outer = nonoverlap(["/dev/null", NONOVERLAP, "-E7", "/dev/null", "true"]);
        outer.run().code() == Some(7)
    });
}

#[test]
fn nothing_is_made_through_a_link() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder")).unwrap();
    symlink("missing", scene.path("link")).unwrap();
    symlink("folder/missing", scene.path("further")).unwrap();
    symlink("no/folder", scene.path("nowhere")).unwrap();
    symlink("link", scene.path("chain")).unwrap();
    for name in ["link", "further", "nowhere", "chain"] {
        let lock = scene.path(name);
        let message = format!(
            "nonoverlap: cannot create lock file {}: it is a symbolic link to nothing\n",
            lock.display()
        );
        let mut command = nonoverlap([&lock]);
        command.args(["echo", "ran"]).run().expect(73, "", &message);
        assert!(lock.is_symlink());
    }
    assert_eq!(fs::read_dir(scene.path("")).unwrap().count(), 5);
    assert_eq!(fs::read_dir(scene.path("folder")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_opened_is_66_with_the_file_and_the_reason() {
    let scene = Scene::new();
    scene.file("file", "");
    symlink("loop", scene.path("loop")).unwrap();
    let long = "l".repeat(300);
    let table = [
        ("missing/lock", libc::ENOENT, "; there is no folder missing"),
        (
            "",
            libc::ENOENT,
            "; the word is empty, perhaps because a variable is not set",
        ),
        ("file/lock", libc::ENOTDIR, ""),
        ("loop", libc::ELOOP, ""),
        ("loop/lock", libc::ELOOP, ""),
        (&long, libc::ENAMETOOLONG, ""),
    ];
    for (lock, errno, hint) in table {
        let reason = reason(errno);
        let message = format!("nonoverlap: cannot open lock file {lock}: {reason}{hint}\n");
        let mut command = nonoverlap([lock]);
        command.args(["echo", "ran"]).current_dir(scene.path(""));
        command.run().expect(66, "", &message);
    }
}

#[test]
fn a_path_is_taken_byte_for_byte_and_shown_escaped() {
    let names: [(&[u8], &str); 3] = [
        (b"a b\n'\"$HOME", "a b\\n'\"$HOME"),
        (b"\xff\xfe \xc3", r"\xff\xfe \xc3"),
        (
            "\u{e4}\u{1b}[2J\u{202e}".as_bytes(),
            "\u{e4}\\x1b[2J\\u{202e}",
        ),
    ];
    for (name, shown) in names {
        // The file systems of macOS take only UTF-8.
        if cfg!(target_os = "macos") && std::str::from_utf8(name).is_err() {
            continue;
        }
        let scene = Scene::new();
        let name = OsStr::from_bytes(name);
        let holder = Holder::of([scene.path(name)]);
        let record = fs::read_to_string(scene.path(name)).unwrap();
        assert_eq!(record, record_of(holder.pid()));
        let mut command = nonoverlap([scene.path(name).join("lock")]);
        let said = command.args(["echo", "ran"]).run().stderr();
        let end = format!("{shown}/lock: {}\n", reason(libc::ENOTDIR));
        assert!(said.ends_with(&end), "{said:?} does not end with {end:?}");
    }
}

/// A run holds it, another is refused, and when the first has ended it is free.
#[track_caller]
fn can_be_locked(lock: &Path) {
    let holder = Holder::of([lock]);
    #[cfg(target_os = "linux")] // It asks /proc.
    assert!(crate::support::harness::holds_lock(holder.pid(), lock));
    let ended = nonoverlap([lock]).args(["echo", "ran"]).run();
    ended.expect(1, "", "");
    assert!(holder.end().success());
    let ended = nonoverlap([lock]).args(["echo", "ran"]).run();
    ended.expect(0, "ran\n", "");
}

// Loop devices, mount namespaces, sysctls and /proc are Linux's.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, Permissions};
    use std::mem::MaybeUninit;
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::path::Path;
    use std::process::Command;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;

    use super::can_be_locked;
    use crate::support::harness::{
        NONOVERLAP, Run, Scene, Snapshot, is_root, left_out, nonoverlap, reason, record_of,
    };
    use crate::support::machine::{Loop, Sysctl, as_ordinary_user, with_mounts};
    use crate::support::terminal::Terminal;

    #[test]
    fn a_terminal_can_be_locked_and_does_not_become_the_controlling_one() {
        let terminal = Terminal::new();
        let terminal = &*terminal.path;
        can_be_locked(terminal);
        // setsid makes a session leader without a terminal, and the seventh field is the terminal.
        let leads = |under: &[&Path]| {
            let mut command = Command::new("setsid");
            command.arg("-w").args(under);
            command
                .args(["sh", "-c", "cut -d' ' -f7 /proc/$$/stat"])
                .run()
        };
        leads(&[Path::new(NONOVERLAP), terminal]).expect(0, "0\n", "");
        // That the trap is one: opened plainly, it does become the controlling terminal.
        let plainly = "exec 3<\"$0\"; exec \"$@\"".as_ref();
        let fallen = leads(&["sh".as_ref(), "-c".as_ref(), plainly, terminal]);
        assert_ne!(fallen.stdout(), "0\n", "{fallen:?}");
    }

    #[test]
    fn a_disk_is_locked_opened_for_reading_only_and_not_changed() {
        let scene = Scene::new();
        let image = scene.file("image", vec![0; 1 << 20]);
        let Some(disk) = Loop::over(&image) else {
            return;
        };
        let before = fs::read(&image).unwrap();
        // What wakes udev is the end of an open for writing, and this watches for it as udev does.
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, &disk.0, WatchFlags::CLOSE).unwrap();
        can_be_locked(&disk.0);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(watch, &mut buffer);
        let mut seen = 0;
        loop {
            match events.next() {
                Ok(event) => assert_eq!(event.events(), ReadFlags::CLOSE_NOWRITE),
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => panic!("{error}"),
            }
            seen += 1;
        }
        assert!(seen > 0, "runs have opened it and ended");
        assert!(fs::read(&image).unwrap() == before);
    }

    #[test]
    fn a_file_that_an_ordinary_user_may_only_read_is_locked_and_not_changed() {
        let scene = Scene::new();
        for content in ["", "2000000000\n", "data\n"] {
            let lock = scene.file("lock", content);
            fs::set_permissions(&lock, Permissions::from_mode(0o444)).unwrap();
            let before = Snapshot::of(&lock);
            let run = |options: &[&str]| {
                let mut command = as_ordinary_user(&scene);
                command.args(options).arg(&lock).args(["echo", "ran"]).run()
            };
            run(&[]).expect(0, "ran\n", "");
            let said = run(&["-v"]).stderr();
            let warning = format!(
                "nonoverlap: cannot write the PID into {}: {}; running all the same\n",
                lock.display(),
                reason(libc::EACCES)
            );
            assert_eq!(said.starts_with(&warning), content != "data\n", "{said:?}");
            assert_eq!(Snapshot::of(&lock), before);
            fs::remove_file(&lock).unwrap();
        }
    }

    #[test]
    fn what_an_ordinary_user_may_not_open_is_66() {
        let scene = Scene::new();
        let unreadable = scene.file("unreadable", "");
        fs::set_permissions(&unreadable, Permissions::from_mode(0o000)).unwrap();
        let folder = scene.path("folder");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
        for lock in [unreadable, folder.join("lock")] {
            let reason = reason(libc::EACCES);
            let message = format!(
                "nonoverlap: cannot open lock file {}: {reason}\n",
                lock.display()
            );
            let mut command = as_ordinary_user(&scene);
            command
                .arg(&lock)
                .args(["echo", "ran"])
                .run()
                .expect(66, "", &message);
        }
    }

    #[test]
    fn a_file_that_its_own_maker_may_not_open_again_is_locked_the_first_time() {
        let scene = Scene::new();
        fs::set_permissions(scene.path(""), Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new("sh");
        let inner = as_ordinary_user(&scene);
        command
            .args(["-c", "umask 0666; exec \"$0\" \"$@\""])
            .arg(inner.get_program());
        command
            .args(inner.get_args())
            .arg(scene.lock())
            .args(["echo", "ran"]);
        command.run().expect(0, "ran\n", "");
        assert_eq!(fs::metadata(scene.lock()).unwrap().len(), 0);
    }

    #[test]
    fn another_users_file_in_a_sticky_folder_is_locked_where_the_kernel_refuses_o_creat() {
        if !is_root() {
            return left_out("fs.protected_regular", "only root may set it");
        }
        let _setting = Sysctl::set("/proc/sys/fs/protected_regular", "2");
        let scene = Scene::new();
        fs::set_permissions(scene.path(""), Permissions::from_mode(0o1777)).unwrap();
        let lock = scene.file("lock", "");
        fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
        chown(&lock, Some(65533), None).unwrap();
        // That the trap is one: the shell opens with O_CREAT.
        let fallen = Command::new("sh")
            .args(["-c", "true >>\"$0\""])
            .arg(&lock)
            .run();
        assert_ne!(fallen.code(), Some(0), "{fallen:?}");
        for mut command in [nonoverlap([""; 0]), as_ordinary_user(&scene)] {
            let line = "printf '%10d\\n' $$; cat \"$0\"";
            let ended = command.arg(&lock).args(["sh", "-c", line]).arg(&lock).run();
            let said = ended.stdout();
            assert!(said.len() == 22 && said[..11] == said[11..], "{ended:?}");
        }
    }

    #[test]
    fn on_a_read_only_file_system_a_file_is_locked_and_a_missing_one_is_73() {
        if !is_root() {
            return left_out("a read-only file system", "only root may mount");
        }
        let scene = Scene::new();
        fs::create_dir(scene.path("ro")).unwrap();
        let script = "mount -t tmpfs tmpfs ro || exit 99
            true >ro/lock && printf '2000000000\\n' >ro/record && mount -o remount,ro ro || exit 98
            for lock in ro/lock ro/record; do \"$0\" $lock \"$0\" -E7 $lock echo wrong 2>/dev/null; echo $?; done
            \"$0\" ro/missing echo wrong; echo $?; cat ro/record; umount ro";
        let ended = with_mounts(&scene, script).run();
        let reason = reason(libc::EROFS);
        let message = format!("nonoverlap: cannot create lock file ro/missing: {reason}\n");
        ended.expect(
            0,
            &format!("7\n7\n73\n{}", record_of(2_000_000_000)),
            &message,
        );
    }

    #[test]
    fn a_full_file_system_costs_the_record_and_not_the_run() {
        let image = "truncate -s 1M image && mkfs.ext4 -q -m 0 -N 16 -O ^has_journal image";
        let table = [
            (
                "tmpfs",
                "mount -t tmpfs -o size=32k,nr_inodes=12 tmpfs full".to_owned(),
            ),
            ("ext4", format!("{image} && mount -o loop image full")),
        ];
        for (what, mount) in table {
            if !is_root() {
                left_out(&format!("a full {what}"), "only root may mount");
                continue;
            }
            let scene = Scene::new();
            fs::create_dir(scene.path("full")).unwrap();
            let script = format!(
                "{mount} || exit 99
                cd full && true >empty && printf '2000000000\\n' >record
                dd if=/dev/zero of=fill bs=1k 2>/dev/null && exit 98
                \"$0\" empty echo quiet 2>&1; \"$0\" -v empty echo ran; cat empty
                \"$0\" --log ../log empty true
                \"$0\" record sh -c 'printf \"%10d\\n\" $$; cat record'
                i=0; while true >$i; do i=$((i + 1)); done 2>/dev/null
                \"$0\" new echo wrong; echo $?; cd .. && umount full"
            );
            let ended = with_mounts(&scene, &script).run();
            let said = ended.stdout();
            let record = said.get(10..21).unwrap_or_default();
            let expected = format!("quiet\nran\n{record}{record}73\n");
            assert_eq!(said, expected, "{what}: {ended:?}");
            let no_space = reason(libc::ENOSPC);
            let no_record = format!("nonoverlap: cannot write the PID into empty: {no_space}; ");
            let log = fs::read_to_string(scene.path("log")).unwrap();
            assert!(log.contains(&no_record), "{what}: {log}");
            let no_file = format!("nonoverlap: cannot create lock file new: {no_space}\n");
            let errors = ended.stderr();
            assert!(
                errors.starts_with(&no_record) && errors.ends_with(&no_file),
                "{what}: {ended:?}"
            );
        }
    }
}
