//! Helpers that fail, crash, lie or are not there: nothing runs, with the status that the contract has
//! for it, and it is said why.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::thread;

use crate::support::harness::{NONOVERLAP, Run, Scene, nonoverlap, reason};
#[cfg(target_os = "linux")]
use crate::support::harness::{has_tool, is_root, left_out};
#[cfg(target_os = "linux")]
use crate::support::machine::as_ordinary_user;
use crate::support::remote_server::{Server, text_of};

/// What a helper does, the exit status, and what is said behind "cannot lock WORD: ".
#[rustfmt::skip] // A row a line is how a table is read.
const FAILURES: &[(&str, i32, &str)] = &[
    // It says that it took the lock.
    ("", 69, "its helper passed no connection"),
    ("say('all is well')", 69, "its helper passed no connection"),
    ("print('text')", 69, "its helper passed no connection"),
    ("give(connect(), connect())", 69, "its helper passed several descriptors"),
    ("give(connect()); give(connect())", 69, "its helper passed several descriptors"),
    ("it = connect(); give(it, it)", 69, "its helper passed several descriptors"),
    ("give(*[connect() for _ in range(8)])", 69, "its helper passed several descriptors"),
    ("give(*[connect() for _ in range(9)])", 69, "its helper passed several descriptors"),
    ("give(*[connect()] * 200)", 69, "its helper passed several descriptors"),
    // It says that it did not.
    ("say('held'); give(connect()); sys.exit(75)", 69, "held"),
    ("give(connect()); sys.exit(75)", 69, "its helper ended with exit status: 75"),
    ("say('no such database'); sys.exit(64)", 64, "no such database"),
    ("say('a pooler'); sys.exit(78)", 78, "a pooler"),
    ("sys.exit(64)", 64, "its helper ended with exit status: 64"),
    ("say('odd'); give(connect()); sys.exit(69)", 69, "odd"),
    ("sys.exit(78)", 78, "its helper ended with exit status: 78"),
    ("say('odd'); give(connect()); sys.exit(78)", 69, "odd"),
    // It ends in ways that the contract has not, as one in Python that crashes does.
    ("sys.exit(1)", 69, "its helper ended with exit status: 1"),
    ("sys.tracebacklimit = 0; give(no_such_name)", 69, "NameError: name 'no_such_name' is not defined"),
    ("say('two'); sys.exit(2)", 69, "two"),
    ("sys.exit(3)", 69, "its helper ended with exit status: 3"),
    ("sys.exit(71)", 69, "its helper ended with exit status: 71"),
    ("sys.exit(126)", 69, "its helper ended with exit status: 126"),
    ("give(connect()); sys.exit(255)", 69, "its helper ended with exit status: 255"),
    ("os.kill(os.getpid(), 9)", 69, "its helper ended with signal: 9 (SIGKILL)"),
    ("give(connect()); os.kill(os.getpid(), 15)", 69, "its helper ended with signal: 15 (SIGTERM)"),
    ("say('oh'); give(connect()); os.kill(os.getpid(), 6)", 69, "oh"),
    ("say('late'); give(connect()); os.close(1); os.close(2); time.sleep(0.2); os._exit(70)", 69, "late"),
    // What it says is made safe.
    (r"say('a\n\nb\t\x1b]0;c\x07\r\n'); sys.exit(78)", 78, r"a; b\t\x1b]0;c\x07"),
    (r"os.write(2, b'\xff\xc3'); sys.exit(78)", 78, r"\xff\xc3"),
    (r"say('\u202e\u2028'); sys.exit(78)", 78, r"\u{202e}\u{2028}"),
];

#[test]
fn a_helper_that_did_not_take_the_lock_lets_nothing_run() {
    let Some(server) = Server::with("") else {
        return;
    };
    for (lines, status, said) in FAILURES {
        server.helper_that("bin/nonoverlap-test", lines);
        let said = format!("nonoverlap: cannot lock {}: {said}\n", server.word());
        for options in [&[][..], &["-o", "-q", "-E", "5"]] {
            let ended = server.run(options, &["echo", "ran"]);
            let seen = (ended.code(), ended.stdout(), ended.stderr());
            assert_eq!(
                seen,
                (Some(*status), String::new(), said.clone()),
                "{lines}: {ended:?}"
            );
        }
    }
}

#[test]
fn what_is_no_connection_lets_nothing_run() {
    let Some(server) = Server::with("") else {
        return;
    };
    for lines in [
        "give(open('/dev/null'))",
        "give(open('FOLDER/bin/nonoverlap-test'))",
        "r, w = os.pipe(); give(open(r))",
        "r, w = os.pipe(); give(open(w, 'w'))",
        "give(socket.socket(socket.AF_UNIX))",
        "give(socket.socket(socket.AF_INET))",
        "give(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))",
        "give(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))",
        "it = socket.socket(socket.AF_INET); it.bind(('127.0.0.1', 0)); it.listen(); give(it)",
    ] {
        server.helper_that("bin/nonoverlap-test", lines);
        for options in [&[][..], &["--on-lost", "ignore"]] {
            let ended = server.run(options, &["echo", "ran"]);
            assert_eq!(
                (ended.code(), &*ended.stdout()),
                (Some(69), ""),
                "{lines}: {ended:?}"
            );
            let cannot = format!("nonoverlap: cannot lock {}: ", server.word());
            let why = ended.stderr().strip_prefix(&cannot).map(str::to_owned);
            let why = why.unwrap_or_else(|| panic!("{lines}: {ended:?}"));
            let is_right = why.starts_with("its helper passed no connection")
                || why == "the server has closed the connection\n";
            assert!(is_right, "{lines}: {why}");
        }
    }
}

#[test]
fn a_helper_that_cannot_be_run_lets_nothing_run() {
    let scene = Scene::new();
    let helper = scene.path("nonoverlap-test");
    let run = || {
        let mut run = nonoverlap(["test://x", "/bin/echo", "ran"]);
        run.env("PATH", scene.path("")).run()
    };
    let said = |errno| {
        let reason = reason(errno);
        format!("nonoverlap: cannot lock test://x: cannot run nonoverlap-test: {reason}\n")
    };
    run().expect(69, "", &said(libc::ENOENT));
    fs::create_dir(&helper).unwrap();
    run().expect(69, "", &said(libc::EACCES));
    fs::remove_dir(&helper).unwrap();
    scene.file("nonoverlap-test", "exit 0");
    run().expect(69, "", &said(libc::EACCES));
    fs::remove_file(&helper).unwrap();
    scene.script("nonoverlap-test", "exit 0");
    run().expect(69, "", &said(libc::ENOEXEC));
    scene.script("nonoverlap-test", "#!/no/such/interpreter\n");
    run().expect(69, "", &said(libc::ENOENT));
}

#[test]
fn out_of_descriptors_lets_nothing_run() {
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    // A lock on a descriptor from 10 up needs eleven; with fewer it is we or the helper who fail.
    let mut seen = Vec::new();
    for limit in 3..=20 {
        let mut sh = server.program("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        sh.args(["-c", &script, NONOVERLAP]);
        let ended = sh
            .args([&*server.word(), "/bin/sh", "-c", "echo ran"])
            .run();
        seen.push(ended.code());
        match (ended.code(), &*ended.stdout()) {
            (Some(0), "ran\n") if limit > 10 => {}
            (Some(71 | 69), "") => {}
            _ => panic!("{limit}: {ended:?}"),
        }
        // So far not even the helper can be started.
        if limit <= 6 {
            let said = "nonoverlap-test: ".to_owned() + &reason(libc::EMFILE);
            assert!(
                ended.code() == Some(71) && ended.stderr().contains(&said),
                "{limit}: {ended:?}"
            );
        }
    }
    assert_eq!(seen.last(), Some(&Some(0)), "{seen:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_processes_lets_nothing_run() {
    if !is_root() || !has_tool("setpriv", "a user without processes") {
        left_out(
            "out of processes",
            "only root may become a user that has none",
        );
        return;
    }
    let Some(server) = Server::with("give(connect())") else {
        return;
    };
    // Makes a copy that everybody may execute.
    as_ordinary_user(&server.scene);
    let mut run = server.program("setpriv");
    // Nobody else has this number, so that no other test's processes are counted.
    run.args(["--reuid=3987123", "--regid=65534", "--clear-groups"]);
    run.args(["prlimit", "--nproc=1:1"]);
    run.arg(server.scene.path("nonoverlap"));
    let ended = run.args([&*server.word(), "echo", "ran"]).run();
    let said = format!(
        "nonoverlap: cannot lock {}: cannot run nonoverlap-test: {}\n",
        server.word(),
        reason(libc::EAGAIN)
    );
    ended.expect(71, "", &said);
}

#[test]
fn a_helper_that_says_much_and_fails_hangs_nothing() {
    let Some(server) = Server::with("say('x' * 1000000); sys.exit(69)") else {
        return;
    };
    let ended = server.run(&[], &["echo", "ran"]);
    assert_eq!((ended.code(), &*ended.stdout()), (Some(69), ""));
    assert!(ended.stderr().len() < 10_000 && ended.stderr().contains(": xxx"));
}

/// On macOS this also holds rustix 1.1.6 (Cargo.toml): with 1.1.4, the message that was cut off ended the run by
/// SIGABRT.
#[test]
fn a_helper_that_goes_on_after_too_many_descriptors_hangs_nothing() {
    let lines = "give(*[connect() for _ in range(9)]); say('x' * 1000000); print('y' * 1000000)";
    let Some(server) = Server::with(lines) else {
        return;
    };
    let ended = server.run(&[], &["echo", "ran"]);
    assert_eq!(
        (ended.code(), &*ended.stdout()),
        (Some(69), ""),
        "{ended:?}"
    );
}

/// Nobody waits for ever for a lock that he would not wait for, nor for an answer.
#[test]
fn a_helper_that_never_ends_is_given_up() {
    let lines = "open('FOLDER/pid', 'a').write('%d\\n' % os.getpid()); time.sleep(1000)";
    let Some(server) = Server::with(lines) else {
        return;
    };
    let word = server.word();
    let late = "its helper does not answer in time";
    thread::scope(|threads| {
        for (options, status, stdout, stderr) in [
            (
                &[][..],
                69,
                String::new(),
                format!("nonoverlap: cannot lock {word}: {late}\n"),
            ),
            (
                &["-w", "0.1"],
                69,
                String::new(),
                format!("nonoverlap: cannot lock {word}: {late}\n"),
            ),
            (&["-q"], 69, String::new(), String::new()),
            (
                &["-b"],
                69,
                String::new(),
                format!("nonoverlap: cannot lock {word}: {late}\n"),
            ),
            (
                &["--status"],
                4,
                format!("{word}: cannot tell: {late}\n"),
                String::new(),
            ),
        ] {
            let server = &server;
            threads.spawn(move || {
                let command: &[&str] = if status == 4 { &[] } else { &["echo", "ran"] };
                server
                    .run(options, command)
                    .expect(status, &stdout, &stderr);
            });
        }
    });
    // None of them is left. Its number may be another process's by now.
    let pids = text_of(&server.scene.path("pid"));
    assert_eq!(pids.lines().count(), 5);
    let helper = server.scene.path("bin/nonoverlap-test");
    let is_left = |pid: &str| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|&byte| byte == 0);
        words.any(|word| word == helper.as_os_str().as_bytes())
    };
    assert!(!pids.lines().any(is_left), "{pids}");
}

#[test]
fn what_a_helper_leaves_with_its_streams_open_holds_nobody_up() {
    for end in ["give(server)", "say('held'); os._exit(75)"] {
        // It ends when the server does.
        let lines = format!(
            "server = connect()\nif os.fork() == 0:\n    server.recv(1)\n    os._exit(0)\n{end}"
        );
        let Some(server) = Server::with(&lines) else {
            return;
        };
        let ended = server.run(&["-w", "100"], &["echo", "ran"]);
        let expected = if end.starts_with("give") {
            (Some(0), "ran\n")
        } else {
            (Some(1), "")
        };
        assert_eq!((ended.code(), &*ended.stdout()), expected, "{ended:?}");
        assert!(server.accept().is_open());
    }
}
