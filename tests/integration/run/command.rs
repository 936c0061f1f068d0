//! The command cannot tell that nonoverlap was there, but for one descriptor, and its end is the caller's to see.
//! Signals and timers are in `signals.rs`, the search in PATH in `search.rs`.

use std::process::Command;

use crate::support::harness::{NONOVERLAP, Run, Scene, nonoverlap};

#[test]
fn every_exit_status_of_the_command_is_the_callers_to_see() {
    let scene = Scene::new();
    for status in 0..=255 {
        nonoverlap([scene.lock()])
            .args(["sh", "-c", &format!("exit {status}")])
            .run()
            .expect(status, "", "");
    }
}

#[test]
fn the_commands_death_by_a_signal_is_the_callers_to_see() {
    use libc::*;
    let scene = Scene::new();
    let deadly = [
        SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1,
        SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGSYS,
    ];
    let mut deaths = 0;
    for signal in deadly {
        let kill = format!("ulimit -c 0; kill -{signal} $$");
        let mut alone = Command::new("sh");
        let alone = alone.args(["-c", &kill]).run();
        let under = nonoverlap([scene.lock()]).args(["sh", "-c", &kill]).run();
        assert_eq!(alone.status, under.status, "{under:?}");
        deaths += usize::from(under.signal() == Some(signal));
    }
    // The tests' own caller may have ignored some, as nohup does.
    assert!(deaths > deadly.len() / 2, "{deaths}");
}

#[test]
fn the_streams_of_the_command_are_the_callers() {
    let scene = Scene::new();
    nonoverlap([scene.lock()])
        .args(["sh", "-c", "cat; echo to stderr >&2"])
        .run_with_input("to stdin\n")
        .expect(0, "to stdin\n", "to stderr\n");
}

#[test]
fn the_working_directory_is_the_callers_even_if_it_has_been_deleted() {
    let scene = Scene::new();
    let folder = scene.path("folder");
    let inside = |script: &str| {
        std::fs::create_dir(&folder).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", NONOVERLAP]);
        shell
            .arg(scene.lock())
            .args(["sh", "-c", "pwd -P; ls -d ."]);
        shell.current_dir(&folder).run()
    };
    let here = std::fs::canonicalize(scene.path(".")).unwrap();
    let expected = format!("{}/folder\n.\n", here.display());
    inside("\"$@\"").expect(0, &expected, "");
    std::fs::remove_dir(&folder).unwrap();
    let ended = inside("rmdir ../folder; exec \"$@\"");
    assert!(ended.stdout().ends_with(".\n"), "{ended:?}");
}

/// Other systems do not show all this of a process.
#[cfg(target_os = "linux")]
mod seen_in_proc {
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use rustix::process::{ioctl_tiocsctty, setsid};

    use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, nonoverlap, record_of, run_on};
    use crate::support::probe::{both, exactly, in_child};
    use crate::support::terminal::Terminal;

    /// What a caller can set for the command, a program for each. `prlimit` sets all the limits that there are.
    const STARTERS: &[&[&str]] = &[
        &["sh", "-c", "umask 0137; exec \"$@\"", "sh"],
        &["setsid"],
        &["nice", "-n", "7"],
        &["chrt", "--batch", "0"],
        &["choom", "-n", "700", "--"],
        &["setarch", "--addr-no-randomize"],
        &["setpriv", "--no-new-privs"],
        &[
            "prlimit",
            "--core=11:12",
            "--cpu=1000:2000",
            "--data=16777216:33554432",
        ],
        &[
            "prlimit",
            "--fsize=4096:8192",
            "--locks=100:200",
            "--memlock=4096:8192",
        ],
        &[
            "prlimit",
            "--msgqueue=1000:2000",
            "--nice=0:0",
            "--nofile=60:70",
            "--nproc=3000:4000",
        ],
        &[
            "prlimit",
            "--rss=1000000:2000000",
            "--rtprio=0:0",
            "--rttime=1000:2000",
        ],
        &[
            "prlimit",
            "--sigpending=100:200",
            "--stack=1048576:2097152",
            "--as=1000000000:2000000000",
        ],
    ];

    #[test]
    fn the_command_is_the_process_that_the_caller_made_and_set_up() {
        let [plain, under] = both(&[], &[], |_| {}, Stdio::null);
        assert_eq!(plain, under);
        for starter in STARTERS {
            let [alone, under] = both(starter, &[], |_| {}, Stdio::null);
            assert_ne!(plain, alone, "{starter:?} does nothing that can be seen");
            assert_eq!(alone, under, "{starter:?}");
        }
    }

    #[test]
    fn the_terminal_and_its_foreground_are_the_callers() {
        let terminal = Terminal::new();
        // Anew for each run: the end of a session hangs its terminal up.
        let open = || terminal.open().into();
        let make_it_ours = |command: &mut Command| {
            in_child(command, || {
                setsid()?;
                Ok(ioctl_tiocsctty(rustix::stdio::stderr())?)
            });
        };
        let [plain, _] = both(&[], &[], |_| {}, Stdio::null);
        let [alone, under] = both(&[], &[], make_it_ours, open);
        assert_ne!(plain, alone);
        assert_eq!(alone, under);
    }

    #[test]
    fn every_argument_arrives_byte_for_byte() {
        let every_byte: Vec<u8> = (1..=255).collect();
        let odd: [&[u8]; 9] = [
            b"",
            b"-v",
            b"--",
            b"",
            b"lock",
            b"\xff\xfe",
            b"a\nb",
            &every_byte,
            b"",
        ];
        let large = vec![b'x'; 125_000];
        let (large, many) = (vec![&large[..]; 12], vec![&b"y"[..]; 60_000]);
        for arguments in [&odd[..], &large, &many, &[]] {
            let scene = Scene::new();
            // `:` keeps the shell from becoming `cat`.
            let shell: [&[u8]; 4] = [b"sh", b"-c", b"cat /proc/$$/cmdline; :", b"the shell"];
            let words = [&shell, arguments].concat();
            let lock = scene.lock();
            let options: [&[u8]; 2] = [b"nonoverlap", lock.as_os_str().as_encoded_bytes()];
            let argv = [&options, &words[..]].concat();
            let path: &[&[u8]] = &[b"PATH=/bin:/usr/bin"];
            let ended = exactly(NONOVERLAP, &argv, path, || Ok(())).run();
            let expected: Vec<u8> = words
                .iter()
                .flat_map(|word| [word, &b"\0"[..]].concat())
                .collect();
            assert!(
                ended.stdout == expected,
                "{} arguments: {}",
                arguments.len(),
                ended.stderr()
            );
        }
    }

    #[test]
    fn the_name_of_the_command_stays_as_it_was_given() {
        let scene = Scene::new();
        for name in ["sh", "/bin/sh", "/bin/../bin//sh"] {
            nonoverlap([scene.lock()])
                .args([name, "-c", "tr '\\0' ' ' </proc/$$/cmdline | cut -d' ' -f1"])
                .run()
                .expect(0, &format!("{name}\n"), "");
        }
    }

    #[test]
    fn the_environment_arrives_byte_for_byte() {
        let large = [&b"LARGE="[..], &[b'x'; 120_000]].concat();
        let odd: [&[u8]; 10] = [
            b"A=1",
            b"no equals",
            b"A=2",
            b"=",
            b"",
            b"\xff=\xfe\n",
            b"PATH=/nowhere",
            b"PATH=/bin",
            b"NONOVERLAP_SLOT=7",
            &large,
        ];
        for environment in [&odd[..], &[]] {
            let scene = Scene::new();
            let lock = scene.lock();
            let argv: [&[u8]; 4] = [
                b"nonoverlap",
                lock.as_os_str().as_encoded_bytes(),
                b"/bin/cat",
                b"/proc/self/environ",
            ];
            let ended = exactly(NONOVERLAP, &argv, environment, || Ok(())).run();
            let expected: Vec<u8> = environment
                .iter()
                .flat_map(|entry| [entry, &b"\0"[..]].concat())
                .collect();
            assert!(ended.stdout == expected, "{ended:?}");
        }
    }

    #[test]
    fn the_command_has_two_descriptors_more_from_60_up_and_no_other() {
        // What the caller has open besides the three streams, and where the lock and the mark of its name
        // must then be.
        for (callers, lock_is, mark_is) in [
            (&[][..], 60, 61),
            (&[3, 4, 10], 60, 61),
            (&[5, 60, 61, 63], 62, 64),
        ] {
            let scene = Scene::new();
            let lock = scene.lock();
            // High up, where it is none of the numbers that it is going to have.
            let file = File::open(scene.file("open", "")).unwrap();
            let file = rustix::io::fcntl_dupfd_cloexec(file, 100).unwrap();
            let number = file.as_raw_fd();
            let [alone, mut under] =
                [&[][..], &[NONOVERLAP, lock.to_str().unwrap()]].map(|first| {
                    let words = [first, &["sh", "-c", "echo held; read line"]].concat();
                    let mut command = Command::new(words[0]);
                    command.args(&words[1..]);
                    in_child(&mut command, move || only_these_open(number, callers));
                    let holder = Holder::start(&mut command);
                    descriptors(holder.pid())
                });
            let (target, flags) = under.remove(&lock_is).unwrap();
            assert_eq!(Path::new(&target), lock);
            // The command inherits it, and can change nothing through it.
            assert_eq!(flags & (libc::O_CLOEXEC | libc::O_ACCMODE), libc::O_RDONLY);
            let (target, flags) = under.remove(&mark_is).unwrap();
            assert_eq!(target, "/memfd:nonoverlap (deleted)");
            assert_eq!(flags & libc::O_CLOEXEC, 0);
            assert_eq!(alone.len(), 3 + callers.len());
            assert_eq!(alone, under);
        }
    }

    #[test]
    fn streams_that_were_closed_stay_closed_and_no_message_lands_in_the_lock_file() {
        // Its exit status is the sum of 1, 2 and 4 for those of the descriptors 0, 1 and 2 that are open.
        const LOOK: &str =
            "s=0; for n in 0 1 2; do [ -L /proc/$$/fd/$n ] && s=$((s + (1 << n))); done; exit $s";
        for open in 0..8 {
            for (options, words, status) in [
                (&[][..], &["sh", "-c", LOOK][..], open),
                (&["-v"], &["sh", "-c", LOOK], open),
                (&["-v"], &["/no/such/command"], 127),
            ] {
                let scene = Scene::new();
                let mut command = nonoverlap(options);
                command.arg(scene.lock()).args(words);
                in_child(&mut command, move || {
                    for number in (0..3).filter(|number| open >> number & 1 == 0) {
                        // SAFETY: the child executes another program next and uses none of the three before.
                        unsafe { libc::close(number) };
                    }
                    Ok(())
                });
                let ended = run_on(&mut command, Stdio::null());
                assert_eq!(ended.status.code(), Some(status), "{open}: {command:?}");
                let content = fs::read_to_string(scene.lock()).unwrap();
                assert_eq!(content, record_of(ended.pid), "{open}: {command:?}");
            }
        }
    }

    /// Leaves the three streams open and these numbers, all of them the open file `from`. Whatever else the tests have
    /// open in this instant is closed when the program starts.
    fn only_these_open(from: i32, numbers: &[i32]) -> std::io::Result<()> {
        // SAFETY: numbers and flags only; closing on exec leaves the child's own machinery its descriptors until then.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        for &number in numbers {
            // SAFETY: as above.
            if unsafe { libc::dup2(from, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// The descriptors of a process: what each leads to, and its flags (see proc_pid_fdinfo(5)).
    fn descriptors(pid: u32) -> BTreeMap<i32, (String, i32)> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let describe = |entry: fs::DirEntry| {
            let number = entry.file_name().into_string().unwrap();
            let target = fs::read_link(entry.path())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            // Each run has pipes of its own.
            let target = target
                .split_once(":[")
                .map_or(target.clone(), |(kind, _)| kind.to_owned());
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            (
                number.parse().unwrap(),
                (target, i32::from_str_radix(flags.trim(), 8).unwrap()),
            )
        };
        entries.map(describe).collect()
    }
}
