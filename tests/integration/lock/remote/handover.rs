//! Promises about `SCHEME://`: the program `nonoverlap-SCHEME` is handed the lock, and the command gets
//! the connection that it passes, and nothing else of it. The server is the test itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::support::crontab::Table;
use crate::support::harness::{NONOVERLAP, Run, Scene, Watchdog, nonoverlap};
use crate::support::remote_server::{Server, text_of};
use crate::support::status_answer::binary_for_all;

/// A helper that notes its words and what it knows of the command, each in a line, and takes the lock.
const NOTES: &str = r#"
words = sys.argv[1:] + [os.environ.get("NONOVERLAP_COMMAND", "unset")]
open("FOLDER/asked", "w").write("\n".join(words))
give(connect())"#;

#[test]
fn the_lock_and_the_options_are_handed_to_the_helper_of_the_scheme() {
    let Some(server) = Server::with(NOTES) else {
        return;
    };
    // The last is how long a lost job goes on until it is killed.
    #[rustfmt::skip] // A row a line is how a table is read.
    let table: &[(&[&str], &[&str], &str)] = &[
        (&[], &[], "5"),
        (&["-n"], &[], "5"),
        (&["-w", "0"], &[], "5"),
        (&["-n", "-w", "7"], &[], "5"),
        (&["-v", "-E", "9", "--max-runtime", "1h"], &[], "5"),
        (&["-s"], &["--shared"], "5"),
        (&["-s", "-x"], &[], "5"),
        (&["-w", "1.5"], &["--wait", "1.5"], "5"),
        (&["-w", "90"], &["--wait", "90"], "5"),
        (&["-w", "0.001"], &["--wait", "0.001"], "5"),
        (&["-w", "inf"], &["--wait", "inf"], "5"),
        (&["-b"], &["--wait", "inf"], "5"),
        (&["--hold-at-least", "2m"], &["--hold-at-least", "120"], "5"),
        (&["--kill-after", "1m"], &[], "60"),
        (&["--kill-after", "0.25"], &[], "0.25"),
        (&["--on-lost", "term", "--kill-after", "7", "--max-runtime", "1h"], &[], "7"),
        (&["--on-lost", "kill"], &[], "0"),
        (&["--on-lost", "kill", "--kill-after", "7", "--max-runtime", "1h"], &[], "0"),
        (&["--on-lost", "ignore"], &[], "0"),
        (
            &["--hold-at-least=1h", "-b", "--shared", "-o"],
            &["--shared", "--wait", "inf", "--hold-at-least", "3600"],
            "5",
        ),
    ];
    for (options, handed, kill_after) in table {
        let word = format!("{}?a=b%20c#it's one", server.word());
        let mut run = server.nonoverlap(*options);
        let ended = run.arg(&word).args(["echo", "ran", "it"]).run();
        assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "ran it\n"));
        let last = ["--kill-after", kill_after, &word, "echo ran it"];
        let expected = [*handed, &last].concat().join("\n");
        assert_eq!(text_of(&server.scene.path("asked")), expected, "{ended:?}");
    }
}

#[test]
fn the_helper_is_told_of_the_command_and_the_command_is_not() {
    let Some(server) = Server::with(NOTES) else {
        return;
    };
    let told = || {
        let asked = text_of(&server.scene.path("asked"));
        asked.rsplit('\n').next().unwrap_or_default().to_owned()
    };
    let show = "echo \"${NONOVERLAP_COMMAND-unset}\"\t# \x1b";
    let mut run = server.nonoverlap([&*server.word(), "-c", show]);
    run.env("SHELL", "/bin/sh").run().expect(0, "unset\n", "");
    assert_eq!(told(), r#"echo "${NONOVERLAP_COMMAND-unset}"\t# \x1b"#);

    // A run within a run: each helper hears of its own.
    let mut run = server.nonoverlap([&*server.word(), "sh", "-c", "echo $NONOVERLAP_COMMAND"]);
    run.env("NONOVERLAP_COMMAND", "outer");
    run.run().expect(0, "outer\n", "");
    assert_eq!(told(), "sh -c echo $NONOVERLAP_COMMAND");
}

#[test]
fn a_command_longer_than_a_variable_can_be_runs_all_the_same() {
    let Some(server) = Server::with(NOTES) else {
        return;
    };
    // Linux takes 128 KiB in one string (execve(2)), and that is what each of these words is just below.
    let long = "\u{e9}".repeat(60_000);
    let count = "printf '%s\\n' $#";
    let ended = server.run(&[], &["sh", "-c", count, "sh", &long, &long, &long]);
    ended.expect(0, "3\n", "");
    let asked = text_of(&server.scene.path("asked"));
    let told = asked.lines().last().unwrap();
    assert!(told.starts_with(&format!("sh -c {count} sh \u{e9}\u{e9}")));
}

#[test]
fn the_helper_in_a_few_lines_of_python_keeps_the_contract() {
    let Some(server) = Server::start() else {
        return;
    };
    let word = server.word();
    let mut run = server.nonoverlap(["-w", "3", &word, "echo", "ran"]);
    let (asked, ended) = server.answered("yours", &mut run);
    ended.expect(0, "ran\n", "");
    assert_eq!(asked, format!("--wait 3 --kill-after 5 {word}"));

    let mut run = server.nonoverlap(["-v", &word, "echo", "ran"]);
    let (_, ended) = server.answered("held by another.example", &mut run);
    let said = format!("nonoverlap: {word}: held by another.example; not started\n");
    ended.expect(1, "", &said);

    let (holder, mut connection) = server.holder(&[]);
    assert!(connection.is_open());
    assert!(holder.end().success());
    connection.ends();
}

#[test]
fn postgres_means_postgresql_and_every_other_scheme_means_itself() {
    let Some(server) = Server::with("") else {
        return;
    };
    for (word, name) in [
        ("postgres://h/d#n", "postgresql"),
        ("postgresql://h/d#n", "postgresql"),
        ("a://", "a"),
        ("A1+b-c.d:///x", "A1+b-c.d"),
    ] {
        let path = format!("bin/nonoverlap-{name}");
        server.helper_that(
            &path,
            &format!("say('{name} ' + sys.argv[-1])\ngive(connect())"),
        );
        let ended = server.nonoverlap([word, "echo", "ran"]).run();
        ended.expect(0, "ran\n", &format!("nonoverlap: {word}: {name} {word}\n"));
        fs::remove_file(server.scene.path(path)).unwrap();
    }
}

#[test]
fn a_helper_beside_nonoverlap_comes_before_one_in_path() {
    let Some(server) = Server::with("say('in PATH')\ngive(connect())") else {
        return;
    };
    let binary = binary_for_all(&server.scene);
    let run = || {
        server
            .program(&binary)
            .args([&*server.word(), "echo", "ran"])
            .run()
    };
    let said = |by: &str| format!("nonoverlap: {}: {by}\n", server.word());
    run().expect(0, "ran\n", &said("in PATH"));
    // One that cannot be executed is none.
    let beside = server.scene.file("nonoverlap-test", "");
    run().expect(0, "ran\n", &said("in PATH"));
    fs::remove_file(beside).unwrap();
    server.helper_that("nonoverlap-test", "say('beside')\ngive(connect())");
    run().expect(0, "ran\n", &said("beside"));
    // Beside the program itself, not beside a link to it.
    let link = server.scene.path("bin/link");
    symlink(&binary, &link).unwrap();
    let mut linked = server.program(&link);
    let ended = linked.args([&*server.word(), "echo", "ran"]).run();
    ended.expect(0, "ran\n", &said("beside"));
}

#[test]
fn what_does_not_begin_with_a_scheme_is_a_lock_file() {
    for word in [
        "./a://b", "1a://b", "a_b://x", "a:/b", "://x", "a b://x", "/a://b", "-a://b", ".a://x",
        "a:x//b",
    ] {
        let scene = Scene::new();
        let word = match word.strip_prefix('/') {
            Some(rest) => scene.path(rest).to_str().unwrap().to_owned(),
            None => word.to_owned(),
        };
        let file = scene.path(&word);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut run = nonoverlap(["--", &*word, "echo", "ran"]);
        run.current_dir(scene.path(""));
        run.run().expect(0, "ran\n", "");
        assert!(file.is_file(), "{word}");
    }
}

#[test]
fn as_flock_every_word_is_a_file() {
    let scene = Scene::new();
    let flock = scene.path("flock");
    symlink(NONOVERLAP, &flock).unwrap();
    fs::create_dir(scene.path("a:")).unwrap();
    let mut run = Command::new(&flock);
    run.args(["a://b", "echo", "ran"])
        .current_dir(scene.path(""));
    run.run().expect(0, "ran\n", "");
    assert!(scene.path("a:/b").is_file());
    let mut run = Command::new(&flock);
    run.args(["--on-lost", "ignore", "a://b", "true"]);
    assert_eq!(run.run().code(), Some(64));
}

#[test]
fn the_command_reads_the_input_and_the_helper_does_not() {
    let Some(server) = Server::with("say(repr(sys.stdin.read()))\ngive(connect())") else {
        return;
    };
    let mut cat = server.nonoverlap([&*server.word(), "cat"]);
    let said = format!("nonoverlap: {}: ''\n", server.word());
    cat.run_with_input("all of it")
        .expect(0, "all of it", &said);
}

#[test]
fn the_server_hears_of_the_end_when_the_command_has_ended_and_not_before() {
    let Some(server) = Server::start() else {
        return;
    };
    for signal in [None, Some(libc::SIGTERM), Some(libc::SIGKILL)] {
        for options in [&[][..], &["-o"]] {
            let (holder, mut connection) = server.holder(options);
            assert!(connection.is_open());
            match signal {
                None => holder.end(),
                Some(signal) => holder.kill(signal),
            };
            connection.ends();
        }
    }
}

#[test]
fn a_child_of_the_command_keeps_the_lock() {
    let Some(server) = Server::start() else {
        return;
    };
    // In the background, sh would give it another stdin.
    let script = "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo started";
    let mut run = server.nonoverlap([&*server.word(), "sh", "-c", script]);
    let mut child = run
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _watchdog = Watchdog::over(&child);
    let stdin = child.stdin.take();
    let (_, mut connection) = server.answer("yours");
    let mut said = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut said).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), &*said),
        (Some(0), "started\n")
    );
    assert!(connection.is_open());
    drop(stdin);
    connection.ends();
}

#[test]
fn the_time_that_a_command_may_take_is_not_the_helpers() {
    // It takes longer to get the lock than the command may run.
    let Some(server) = Server::with("time.sleep(1.2); give(connect())") else {
        return;
    };
    let ended = server.run(
        &["--max-runtime", "1s"],
        &["sh", "-c", "echo ran; exec sleep 90"],
    );
    assert_eq!(
        (ended.signal(), &*ended.stdout()),
        (Some(libc::SIGTERM), "ran\n")
    );
    server.accept().ends();
}

#[test]
fn what_the_helper_leaves_behind_keeps_the_lock_and_holds_nobody_up() {
    // As one does for `--hold-at-least`: a process that has the connection and none of the streams,
    // here as long as the server likes.
    let lines = r#"
server = connect()
give(server)
if os.fork() == 0:
    os.setsid()
    for stream in range(3):
        os.close(stream)
    server.recv(1)
    os._exit(0)"#;
    let Some(server) = Server::with(lines) else {
        return;
    };
    let ended = server.run(&["--hold-at-least", "30s"], &["echo", "ran"]);
    ended.expect(0, "ran\n", "");
    assert!(server.accept().is_open());
}

#[test]
fn a_command_that_cannot_be_executed_leaves_no_lock() {
    let Some(server) = Server::start() else {
        return;
    };
    for options in [&[][..], &["--close"]] {
        let run = server.begin(
            server
                .nonoverlap(options)
                .args([&*server.word(), "/no/such/command"]),
        );
        let (_, mut connection) = server.answer("yours");
        let ended = run.ended();
        assert_eq!(ended.code(), Some(127), "{ended:?}");
        connection.ends();
    }
}

#[test]
fn cron_gets_the_lock_as_it_was_given() {
    for table in Table::each() {
        let line = |table: &Table| {
            let text = String::from_utf8(table.text().unwrap()).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for (word, quoted) in [
            ("test://host/db#job", r"'test://host/db#job'"),
            ("a://", "a://"),
            (
                "test://u@h/%20?x='$y'#a b",
                r"'test://u@h/\%20?x='\''$y'\''#a b'",
            ),
        ] {
            let options = [
                "--install",
                "@daily",
                "--hold-at-least",
                "30s",
                "--on-lost=kill",
                word,
                "true",
            ];
            table.nonoverlap(options).run().done("");
            let work = table.work();
            let expected = format!(
                "@daily cd {} && {NONOVERLAP} --hold-at-least 30s --on-lost kill {quoted} /",
                work.display()
            );
            let lines = line(&table);
            assert_eq!(
                (lines.len(), &*lines[0]),
                (2, &*format!("# nonoverlap --install: {word}"))
            );
            assert!(lines[1].starts_with(&expected), "{lines:?}");
            table
                .nonoverlap(["--uninstall", word])
                .run()
                .expect(0, "", "");
            assert_eq!(table.text().unwrap_or_default(), b"");
        }
    }
}

#[test]
fn what_cron_runs_reaches_the_helper_whole() {
    let Some(server) = Server::with(NOTES) else {
        return;
    };
    let table = Table::stand_in();
    let word = format!("{}?it's=$HOME#a b\"c\\d", server.word());
    let install = ["--install", "@daily", "--dry-run", &word, "echo", "ran"];
    let shown = table.nonoverlap(install).run().stdout();
    let line = shown
        .lines()
        .last()
        .unwrap()
        .strip_prefix("@daily ")
        .unwrap();
    let ended = server.program("sh").args(["-c", line]).run();
    ended.expect(0, "ran\n", "");
    let asked = text_of(&server.scene.path("asked"));
    assert_eq!(asked.lines().nth(2), Some(&*word), "{asked}");
}

#[test]
fn what_is_not_for_a_server_is_refused_before_a_helper_is_started() {
    let Some(server) = Server::with("open('FOLDER/asked', 'w')") else {
        return;
    };
    let word = server.word();
    let of_file = |option: &str| format!("{option} takes a lock file, not a lock on a server");
    #[rustfmt::skip] // A row a line is how a table is read.
    let table: [(&[&str], String); 13] = [
        (&["--slots", "2", &word, "true"], of_file("--slots")),
        (&["-j", "1", &word, "true"], of_file("--slots")),
        (&["--fcntl", &word, "true"], of_file("--fcntl")),
        (&["--start", "0", &word, "true"], of_file("--fcntl")),
        (&["--length", "1", &word, "true"], of_file("--fcntl")),
        (&["-u", &word, "true"], "-u releases the lock of a descriptor".to_owned()),
        (&["-u", &word], "bad file descriptor".to_owned()),
        (&[&word], "bad file descriptor".to_owned()),
        (&["--on-lost", "TERM", &word, "true"], "--on-lost takes term, kill or ignore, not 'TERM'".to_owned()),
        (&["--hold-at-least", "soon", &word, "true"], "soon".to_owned()),
        (&["--status", "-j", "2", &word], of_file("--slots")),
        (&["--status", "--slots=1", "l", &word], of_file("--slots")),
        (&["--status", "--on-lost", "kill", &word], "--on-lost does not go together with --status".to_owned()),
    ];
    for (words, said) in table {
        let refused = server.nonoverlap(words).run();
        assert_eq!(
            (refused.code(), &*refused.stdout),
            (Some(64), &b""[..]),
            "{refused:?}"
        );
        assert!(
            refused.stderr().contains(&said),
            "not {said:?}: {refused:?}"
        );
        assert_eq!(refused.stderr().lines().count(), 1, "{refused:?}");
    }
    assert!(!server.scene.path("asked").exists());
}

#[test]
fn the_log_tells_of_start_and_refusal() {
    let Some(server) = Server::start() else {
        return;
    };
    let log = server.scene.path("log");
    let log_word = log.to_str().unwrap();
    let word = server.word();
    let words = [
        "--on-lost=ignore", // So no guardian logs the end, who knows when.
        "--log",
        log_word,
        &*word,
        "sh",
        "-c",
        "echo out; echo err >&2",
    ];
    for answer in ["yours", "held by\ta\nb"] {
        let (_, ended) = server.answered(answer, &mut server.nonoverlap(words));
        let code = if answer == "yours" { 0 } else { 1 };
        ended.expect(code, "", "");
    }
    let text = text_of(&log);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        (lines.len(), lines[1], lines[2]),
        (4, "out", "err"),
        "{text}"
    );
    let start = format!(" nonoverlap: {word} locked by PID ");
    assert!(lines[0].contains(&start), "{text}");
    let refusal = format!(" nonoverlap: {word}: held by\\ta; b; not started");
    assert!(lines[3].ends_with(&refusal), "{text}");
}

#[test]
fn what_the_helper_says_of_a_lock_that_it_took_is_shown_in_one_line() {
    let Some(server) = Server::with(r"say('one\n\n two \x1b[31m\r\nthree\n'); give(connect())")
    else {
        return;
    };
    let said = format!("nonoverlap: {}: one; two \\x1b[31m; three\n", server.word());
    server.run(&[], &["echo", "ran"]).expect(0, "ran\n", &said);
    server.run(&["-q"], &["echo", "ran"]).expect(0, "ran\n", "");
}

#[test]
fn a_helper_that_talks_much_hangs_nothing() {
    let Some(server) = Server::with(
        "say('x' * 1000000); give(connect(), line=b'y' * 1000); print('z' * 1000000, flush=True); say('w' * 1000000)",
    ) else {
        return;
    };
    // More than a fence is no fence.
    let ended = server.run(&[], &["echo", "ran"]);
    assert_eq!((ended.code(), &*ended.stdout()), (Some(69), ""));
    server.helper_that(
        "bin/nonoverlap-test",
        "say('x' * 1000000); give(connect()); say('w' * 1000000)",
    );
    let ended = server.run(&[], &["echo", "ran"]);
    assert_eq!((ended.code(), &*ended.stdout()), (Some(0), "ran\n"));
    // What is shown of it is a line that can be read.
    let said = ended.stderr();
    assert!(said.len() < 10_000 && said.contains("xxx") && said.lines().count() == 1);
}
