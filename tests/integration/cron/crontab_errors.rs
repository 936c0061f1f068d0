//! Where crontab(1), or something on the way to it, fails: the crontab is as it was, and it is said why.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cron::install::entry;
use crate::support::crontab::Table;
use crate::support::harness::{NONOVERLAP, Run, Scene, eventually, has_tool, left_out, reason};
use crate::support::status_answer::{AS_NOBODY, binary_for_all};

const INSTALL: [&str; 6] = [
    "--install",
    "@daily",
    "--log",
    "new/folder/log",
    "new/locks/l",
    "true",
];

/// A crontab that is worth keeping, and longer than a pipe holds.
fn long() -> Vec<u8> {
    let lines = (0..9000).map(|n| format!("# {n} \u{e9} ........\n"));
    lines.collect::<String>().into_bytes()
}

/// Refused with this status and message, and nothing changed: not the crontab, and no folder made.
#[track_caller]
fn fails(table: &Table, command: &mut Command, status: i32, said: &str) {
    let text = table.text();
    command
        .run()
        .expect(status, "", &format!("nonoverlap: {said}\n"));
    assert!(table.text() == text, "the crontab is another one");
    assert!(!table.work().join("new").exists(), "a folder is left");
}

#[test]
fn a_schedule_that_crontab_rejects_changes_nothing() {
    let Some(table) = Table::real() else {
        return;
    };
    table.set(b"# mine\n@daily true\n");
    for schedule in ["99 * * * *", "* * * * monday-", "@dayly", "a b c d e"] {
        let text = table.text();
        let mut install = table.nonoverlap(["--install", schedule]);
        install.args(&INSTALL[2..]);
        let refused = install.run();
        assert_eq!(
            (refused.code(), table.text()),
            (Some(69), text),
            "{refused:?}"
        );
        let said = refused.stderr();
        let (start, end) = (
            "nonoverlap: cannot change the crontab: \"-\":",
            "can't install.\n",
        );
        assert!(
            said.starts_with(start) && said.ends_with(end),
            "{refused:?}"
        );
        assert!(!table.work().join("new").exists());
    }
}

#[test]
fn a_missing_crontab_is_said() {
    let table = Table::stand_in();
    fs::create_dir(table.work().join("folder")).unwrap();
    table.scene.file("work/folder/crontab", "no program");
    for (path, errno) in [("/no/such", libc::ENOENT), ("folder", libc::EACCES)] {
        let said = format!("cannot run crontab: {}", reason(errno));
        let commands = [
            &["--install", "@daily", "/l", "/bin/sh"][..],
            &["--uninstall", "/l"],
        ];
        for arguments in commands {
            let mut command = table.nonoverlap(arguments);
            fails(&table, command.env("PATH", path), 69, &said);
        }
    }
}

#[test]
fn what_cron_deny_refuses_is_said() {
    let Some(table) = Table::real() else {
        return;
    };
    table.scene.file("etc/cron.deny", "nobody\n");
    let program = binary_for_all(&table.scene);
    let mut refused = table.command(AS_NOBODY[0]);
    refused.args(&AS_NOBODY[1..]).arg(program);
    let refused = refused.args(["--install", "@daily", "/l", "true"]).run();
    assert_eq!(refused.code(), Some(69), "{refused:?}");
    let said = refused.stderr();
    let words = "cannot read the crontab: You (nobody) are not allowed to use this program (crontab); See crontab(1)";
    assert!(
        said.contains(words) && said.lines().count() == 1,
        "{refused:?}"
    );
    assert!(
        fs::read_dir(table.scene.path("spool"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_crontab_that_cannot_be_read_is_not_written() {
    let cut = "exit status: 1";
    for (script, said) in [
        (
            "echo '# half' && exit 1",
            &format!("crontab failed: {cut}")[..],
        ),
        (
            "echo '# half'; echo 'no crontab for me' >&2; exit 1",
            "no crontab for me",
        ),
        ("echo 'disk on fire' >&2; exit 1", "disk on fire"),
        (
            "printf 'one\\n\\ntwo\\033[2J' >&2; exit 3",
            r"one; two\x1b[2J",
        ),
        ("exit 1", &format!("crontab failed: {cut}")),
        ("kill -9 $$", "crontab failed: signal: 9 (SIGKILL)"),
        (
            "echo '# half'; kill -9 $$",
            "crontab failed: signal: 9 (SIGKILL)",
        ),
    ] {
        let table = Table::kept_by(&format!(
            "#!/bin/sh\necho \"$*\" >>FOLDER/calls\n[ \"$1\" = -l ] && {{ {script}; }}\ncat >FOLDER/crontab\n"
        ));
        table.set(b"# half\n# and the other half\n");
        let said = format!("cannot read the crontab: {said}");
        fails(&table, &mut table.nonoverlap(INSTALL), 69, &said);
        fails(
            &table,
            &mut table.nonoverlap(["--uninstall", "/l"]),
            69,
            &said,
        );
        assert_eq!(table.calls(), "-l\n-l\n");
    }
}

#[test]
fn a_crontab_that_is_not_listed_as_it_is_is_not_written() {
    for editing in ["exit 1", "echo other", "cat FOLDER/crontab | tr -d '\\r'"] {
        let table = Table::kept_by(&format!(
            "#!/bin/sh\n[ \"$1\" = -l ] && exec sed 's/\\r/\\\\r/' FOLDER/crontab\n\
             [ \"$1\" = -e ] && {{ {editing}; exit; }}\ncat >FOLDER/crontab\n"
        ));
        table.set(b"# mine\r\n");
        let said = "cannot read the crontab: crontab -l does not list it byte for byte; remove control characters with crontab -e";
        fails(&table, &mut table.nonoverlap(INSTALL), 69, said);
    }
}

#[test]
fn a_crontab_that_cannot_be_written_is_as_it_was() {
    for (script, said) in [
        ("exit 1", "crontab failed: exit status: 1"),
        ("head -c 10 >/dev/null; echo full >&2; exit 2", "full"),
        (
            "head -c 10 >/dev/null; kill -9 $$",
            "crontab failed: signal: 9 (SIGKILL)",
        ),
        (
            "cat >/dev/null; echo >&2; exit 1",
            "crontab failed: exit status: 1",
        ),
    ] {
        let table = Table::kept_by(&format!(
            "#!/bin/sh\n[ \"$1\" = -l ] && exec cat FOLDER/crontab\n{script}\n"
        ));
        table.set(&long());
        let said = format!("cannot change the crontab: {said}");
        fails(&table, &mut table.nonoverlap(INSTALL), 69, &said);
        fs::create_dir(table.work().join("kept")).unwrap();
        let mut install = table.nonoverlap(["--install", "@daily", "--log", "kept/new/log"]);
        fails(&table, install.args(["/l", "true"]), 69, &said);
        assert_eq!(fs::read_dir(table.work().join("kept")).unwrap().count(), 0);
    }
}

#[test]
fn a_crontab_that_took_nothing_or_something_else_though_it_ended_with_0_is_said() {
    let nothing = "crontab stored nothing, although its exit status is 0";
    let other = "crontab -l lists something other than what crontab was given";
    let see = [
        "run crontab -e to see why",
        "use --dry-run to see what it should list",
    ];
    for (script, what, see) in [
        ("cat >/dev/null; echo disk on fire >&2", nothing, see[0]),
        ("cat >/dev/null", nothing, see[0]),
        ("head -n 1 >FOLDER/crontab; echo full >&2", other, see[1]),
        ("cat >/dev/null; : >FOLDER/crontab", other, see[1]),
    ] {
        let table = Table::kept_by(&format!(
            "#!/bin/sh\n[ \"$1\" = -l ] && exec cat FOLDER/crontab\n{script}\n"
        ));
        let entry = String::from_utf8(entry(&table, "@daily", "/l")).unwrap();
        let text = format!("@daily one\n{entry}@daily two\n");
        for arguments in [
            &INSTALL[..],
            &["--install", "@hourly", "/l", "true"],
            &["--uninstall", "/l"],
        ] {
            table.set(text.as_bytes());
            let ended = table.nonoverlap(arguments).run();
            let heard = match script.split("; echo ").nth(1) {
                Some(said) => format!(" and it said '{}'", said.trim_end_matches(" >&2")),
                None => String::new(),
            };
            let said = format!("nonoverlap: cannot change the crontab: {what}{heard}; {see}\n");
            ended.expect(69, "", &said);
            // What may be in the crontab needs its folder.
            let is_made = table.work().join("new").exists();
            assert_eq!(is_made, what == other && arguments == INSTALL);
            let _ = fs::remove_dir_all(table.work().join("new"));
        }
    }
}

#[test]
fn comments_that_crontab_adds_or_drops_are_no_other_crontab() {
    for script in [
        "sed '1,2!b; /^# mine/d'",
        "sed '1s/^/# by crontab\\n/'",
        "cat -s",
    ] {
        let table = Table::kept_by(&format!(
            "#!/bin/sh\n[ \"$1\" = -l ] && exec cat FOLDER/crontab\n\
             {script} >FOLDER/new && mv FOLDER/new FOLDER/crontab\n"
        ));
        table.set(b"# mine\n\n\n\n@daily true\n");
        for words in [
            &["--install", "@daily", "/l", "true"][..],
            &["--uninstall", "/l"],
        ] {
            let ended = table.nonoverlap(words).run();
            assert_eq!(ended.code(), Some(0), "{script}: {ended:?}");
        }
    }
}

#[test]
fn a_crontab_that_cannot_be_read_again_is_said() {
    let table = Table::kept_by(
        "#!/bin/sh\n[ \"$1\" = -l ] && [ -e FOLDER/done ] && { echo gone >&2; exit 1; }\n\
         [ \"$1\" = -l ] && exec cat FOLDER/crontab\ncat >FOLDER/crontab; : >FOLDER/done\n",
    );
    table.set(b"# mine\n");
    let said = "nonoverlap: cannot read the crontab: gone; \
                the change may have been stored: check with crontab -l\n";
    table.nonoverlap(INSTALL).run().expect(69, "", said);
    assert!(table.work().join("new/locks").is_dir());
}

#[test]
fn crontab_gets_the_whole_text_though_nonoverlap_is_killed_meanwhile() {
    let table = Table::kept_by(
        "#!/bin/sh\n[ \"$1\" = -l ] && exec cat FOLDER/crontab\n\
         kill -9 $PPID\n\
         cat >FOLDER/new && mv FOLDER/new FOLDER/crontab && echo done >FOLDER/done\n",
    );
    table.set(&long());
    let killed = table.nonoverlap(INSTALL).run();
    assert_eq!(killed.signal(), Some(libc::SIGKILL), "{killed:?}");
    eventually("crontab has ended", || table.scene.path("done").exists());
    let text = table.text().unwrap();
    assert!(text.starts_with(&long()));
    assert_eq!(
        text[long().len()..]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count(),
        2
    );
}

#[test]
fn closed_streams_and_an_ignored_sigchld_lose_nothing() {
    const IGNORING: &str = "$SIG{CHLD} = 'IGNORE'; exec @ARGV";
    let ignoring = ["perl", "-e", IGNORING, NONOVERLAP];
    let closed = |which: &str| format!("exec \"$0\" \"$@\" {which}");
    let closed = [
        "<&-",
        ">&-",
        "2>&-",
        "<&- >&-",
        "<&- 2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
    ]
    .map(closed);
    let mut starts: Vec<_> = closed
        .iter()
        .map(|line| ["sh", "-c", line, NONOVERLAP])
        .collect();
    if has_tool("perl", "an ignored SIGCHLD") {
        starts.push(ignoring);
    }
    for table in Table::each() {
        for start in &starts {
            let mine = b"# mine\n@daily true\n";
            table.set(mine);
            let changed = |arguments: &[&str]| {
                let mut command = table.command(start[0]);
                command.args(&start[1..]).args(arguments);
                command.run().done("");
                table.text().unwrap()
            };
            let installed = changed(&["--install", "@daily", "/l", "true"]);
            let expected = [mine, &entry(&table, "@daily", "/l")[..]].concat();
            assert_eq!(installed, expected, "{start:?}");
            assert_eq!(changed(&["--uninstall", "/l"]), mine, "{start:?}");
        }
    }
}

#[test]
fn an_entry_that_is_not_there_is_said() {
    for table in Table::each() {
        let said = "no entry for /l in the crontab";
        fails(
            &table,
            &mut table.nonoverlap(["--uninstall", "/l"]),
            66,
            said,
        );
        table.set(&entry(&table, "@daily", "/l.2"));
        fails(
            &table,
            &mut table.nonoverlap(["--uninstall", "/l"]),
            66,
            said,
        );
        let mut command = table.nonoverlap(["--uninstall", "--dry-run", "/l"]);
        fails(&table, &mut command, 66, said);
    }
}

#[test]
fn what_the_run_would_not_find_is_said_as_the_run_would_say_it() {
    let table = Table::stand_in();
    table.scene.file("work/text", "");
    for arguments in [
        &["l", "no-such"][..],
        &["l", "./no-such"],
        &["l", "./text"],
        &["l", "."],
        &["l", ""],
        &["", "true"],
        &["--log", "", "l", "true"],
    ] {
        // Of a lock file that the run makes it would say so.
        let lock = table.scene.file("work/l", "");
        let mut run = Command::new(NONOVERLAP);
        let run = run.args(arguments).current_dir(table.work()).run();
        fs::remove_file(lock).unwrap();
        let mut install = table.nonoverlap(["--install", "@daily"]);
        let said = run.stderr();
        let said = said.strip_prefix("nonoverlap: ").unwrap().trim_end();
        fails(&table, install.args(arguments), run.code().unwrap(), said);
    }
    let said = format!(
        "cannot open lock file : {}; the word is empty, perhaps because a variable is not set",
        reason(libc::ENOENT)
    );
    fails(
        &table,
        &mut table.nonoverlap(["--uninstall", ""]),
        66,
        &said,
    );
    assert_eq!(table.calls(), "");
}

#[test]
fn what_is_in_the_way_is_said() {
    let table = Table::stand_in();
    table.set(b"# mine\n");
    table.scene.file("work/text", "");
    for name in ["text/new/log", "text/log"] {
        let mut install = table.nonoverlap(["--install", "@daily", "--log", name]);
        let said = format!(
            "cannot create the folder of log {}: {}",
            table.work().join(name).display(),
            reason(libc::ENOTDIR)
        );
        fails(&table, install.args(["/l", "true"]), 73, &said);
        // The same of the lock file; what was made before is gone again.
        let mut install = table.nonoverlap(["--install", "@daily", "--log", name, "new/l"]);
        fails(&table, install.arg("true"), 73, &said);
        let said = said.replace(" log ", " lock file ");
        let mut install = table.nonoverlap(["--install", "@daily", "--log", "new/log", name]);
        fails(&table, install.arg("true"), 73, &said);
    }
    assert_eq!(table.calls().lines().filter(|call| *call == "-").count(), 0);

    let mut install = table.nonoverlap(INSTALL);
    let ended = install.env("TMPDIR", "/no/such").run();
    assert_eq!(ended.code(), Some(73), "{ended:?}");
    let said = format!(
        "nonoverlap: cannot create a file in /no/such for crontab: {}\n",
        reason(libc::ENOENT)
    );
    assert_eq!(ended.stderr(), said);
    assert_eq!(table.text().unwrap(), b"# mine\n");
    assert!(!table.work().join("new").exists());

    // A limit of no bytes for files.
    let table = Table::kept_by("#!/bin/sh\necho '# mine'\n");
    table.set(b"# mine\n");
    let mut sh = table.command("sh");
    sh.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", NONOVERLAP]);
    let scratch = Scene::new();
    let ended = sh.args(INSTALL).env("TMPDIR", scratch.path("")).run();
    assert_eq!(ended.code(), Some(73), "{ended:?}");
    assert_eq!(table.text().unwrap(), b"# mine\n");
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 0);

    let mut sh = table.command("sh");
    let gone = "mkdir gone; cd gone; rmdir ../gone; exec \"$0\" \"$@\"";
    sh.args([
        "-c",
        gone,
        NONOVERLAP,
        "--install",
        "@daily",
        "/l",
        "/bin/sh",
    ]);
    let said = format!(
        "cannot determine the working directory: {}",
        reason(libc::ENOENT)
    );
    fails(&table, &mut sh, 66, &said);
}

#[test]
fn a_file_that_somebody_left_for_crontab_is_in_nobodys_way() {
    let table = Table::stand_in();
    let folder = Scene::new();
    let left = r#"echo left >"$TMPDIR/nonoverlap.$$"; ln -s left "$TMPDIR/nonoverlap.$$.1""#;
    let mut sh = table.command("sh");
    sh.args(["-c", &format!("{left}; exec \"$0\" \"$@\""), NONOVERLAP]);
    sh.args(["--install", "@daily", "/l", "true"]);
    sh.env("TMPDIR", folder.path("")).run().done("");
    assert_eq!(table.text().unwrap(), entry(&table, "@daily", "/l"));
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 2);
}

#[test]
fn a_crontab_that_cannot_be_shown_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return left_out("a full standard output", "there is no /dev/full");
    }
    let table = Table::stand_in();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = table.nonoverlap(["--dry-run", "--install", "@daily", "/l", "true"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(71));
}

#[cfg(target_os = "linux")] // Elsewhere stat(1) has other options.
#[test]
fn nobody_else_can_read_what_crontab_is_given() {
    let table = Table::kept_by(
        "#!/bin/sh\n[ \"$1\" = -l ] && exec cat FOLDER/crontab\n\
         stat -L -c '%a %h' /dev/stdin >FOLDER/seen\ncat >FOLDER/crontab\n",
    );
    table.set(b"# secret\n");
    let scratch = Scene::new();
    let mut install = table.nonoverlap(["--install", "@daily", "/l", "true"]);
    install.env("TMPDIR", scratch.path("")).run().done("");
    assert_eq!(
        fs::read_to_string(table.scene.path("seen")).unwrap(),
        "600 0\n"
    );
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 0);
}

#[test]
fn what_crontab_leaves_behind_is_not_waited_for() {
    let table = Table::kept_by(
        "#!/bin/sh\n[ -e FOLDER/fifo ] || mkfifo FOLDER/fifo\n(exec cat FOLDER/fifo) <&- &\n\
         if [ \"$1\" = -l ]; then [ -e FOLDER/crontab ] && exec cat FOLDER/crontab; \
         echo no crontab for me >&2; exit 1; fi\ncat >FOLDER/crontab\n",
    );
    let ended = table.nonoverlap(INSTALL).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let ended = table.nonoverlap(["--status"]).run();
    assert!(ended.stdout().contains("/l: free"), "{ended:?}");
    // What was left behind ends with the writer of the FIFO.
    let fifo = table.file().with_file_name("fifo");
    drop(
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(fifo)
            .unwrap(),
    );
}
