//! Promises about the descriptor that carries the lock: one that scripts don't touch, and never a
//! standard stream.

use std::fs;
use std::process::Command;

use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, has_tool, holds_lock, nonoverlap, quoted, reason, record_of,
};
use crate::support::seccomp::{Answer, run_gated};

/// For any shell: `list` becomes the numbers of its open descriptors. Builtins do it, which open none.
const LIST: &str = "fd=0; list=
while [ $fd -lt 100 ]; do
    [ -e /proc/$$/fd/$fd ] && list=\"$list $fd\"
    fd=$((fd + 1))
done";

/// For bash: closes whatever else the test was started with.
const BARE: &str = "for fd in /proc/$$/fd/*; do
    [ ${fd##*/} -gt 2 ] && eval \"exec ${fd##*/}>&-\"
done";

#[test]
fn the_command_gets_the_two_lowest_free_descriptors_from_60_up_and_no_other() {
    let table = [
        ("", [60, 61]),
        ("exec 60</dev/null", [61, 62]),
        ("exec 60</dev/null 62</dev/null", [61, 63]),
        ("exec 60</dev/null 61</dev/null 63</dev/null", [62, 64]),
        ("exec 3</dev/null 5</dev/null 10</dev/null", [60, 61]),
        ("exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3", [60, 61]),
    ];
    inherits(&table);
}

#[test]
fn where_there_is_no_descriptor_from_60_up_it_is_the_lowest_free_one_from_10_up() {
    inherits(&[
        // The lock comes first.
        ("ulimit -n 61", [10, 60]),
        ("ulimit -n 60", [10, 11]),
        ("ulimit -n 20; exec 10</dev/null 12</dev/null", [11, 13]),
        ("exec 60</dev/null; ulimit -n 61", [10, 11]),
        ("ulimit -n 12", [10, 11]),
    ]);
}

/// After each of these lines of bash the command inherits these two descriptors, and otherwise what it
/// would inherit without nonoverlap.
#[track_caller]
fn inherits(table: &[(&str, [u32; 2])]) {
    for (prelude, ours) in table {
        let scene = Scene::new();
        let list = |under: &str| {
            let line = format!("{prelude}\nexec {under} bash -c \"$0; echo \\$list\"");
            let ended = bare(&line).arg(LIST).run();
            assert_eq!(
                (ended.code(), ended.stderr()),
                (Some(0), String::new()),
                "{ended:?}"
            );
            numbers(&ended.stdout())
        };
        let mut without = list("");
        let with = list(&format!("{NONOVERLAP} {}", quoted(&scene.lock())));
        without.extend(ours);
        without.sort_unstable();
        assert_eq!(with, without, "after {prelude:?}");
    }
}

#[test]
fn runs_within_runs_have_a_descriptor_each_and_the_locks_are_on_them() {
    let scene = Scene::new();
    bare("exec \"$0\" outer \"$0\" inner sh -c 'cd /proc/$$/fdinfo && grep -ls ^lock: *; true'")
        .arg(NONOVERLAP)
        .current_dir(scene.path(""))
        .run()
        .expect(0, "60\n61\n62\n63\n", "");
}

#[test]
fn scripts_that_open_and_close_3_to_9_keep_the_lock_in_every_shell() {
    let lines = [
        "exec 3>",
        "; exec 4>",
        "; exec 5>",
        "; exec 6>",
        "; exec 7>",
        "; exec 8>",
        "; exec 9>",
    ];
    for shell in ["dash", "bash", "zsh", "ksh"] {
        if !has_tool(shell, "scripts that close descriptors") {
            continue;
        }
        let scene = Scene::new();
        let log = quoted(&scene.path("log"));
        let open = lines.join(&log) + &log;
        let close = lines.join("&-") + "&-";
        let script = scene.file("job", format!("{open}\n{close}\necho held && cat\n"));
        let holder = Holder::start(nonoverlap([scene.lock()]).arg(shell).arg(script));
        assert!(holds_lock(holder.pid(), &scene.lock()), "{shell}");
        nonoverlap([scene.lock()])
            .arg("true")
            .run()
            .expect(1, "", "");
        assert!(holder.end().success(), "{shell}");
    }
}

#[test]
fn closed_standard_streams_stay_closed_and_are_not_the_lock_file() {
    for closed in 0..8 {
        let scene = Scene::new();
        // With -v there are messages to be written while the lock file is open.
        let ended = with_closed(closed)
            .args([NONOVERLAP, "-v"])
            .arg(scene.lock())
            .args(["sh", "-c", &format!("{LIST}\necho $$ $list >\"$0\"")])
            .arg(scene.path("seen"))
            .run();
        let seen = fs::read_to_string(scene.path("seen")).unwrap();
        let (pid, list) = seen.split_once(' ').unwrap();
        let expected: Vec<u32> = (0..3)
            .filter(|fd| closed & 1 << fd == 0)
            .chain([60, 61])
            .collect();
        assert_eq!(numbers(list), expected, "{ended:?}");
        let content = fs::read_to_string(scene.lock()).unwrap();
        assert_eq!(content, record_of(pid.parse().unwrap()), "{ended:?}");
    }
}

#[test]
fn while_a_message_is_written_no_standard_stream_is_the_lock_file() {
    for closed in 0..8 {
        let scene = Scene::new();
        let mut command = with_closed(closed);
        command
            .args([NONOVERLAP, "-v"])
            .arg(scene.lock())
            .arg("true");
        let mut messages = 0;
        let (ended, _) = run_gated(&mut command, libc::SYS_write, |call| {
            for stream in 0..3 {
                let stream = fs::read_link(format!("/proc/{}/fd/{stream}", call.pid));
                assert_ne!(stream.ok(), Some(scene.lock()), "{closed:03b}");
            }
            messages += usize::from(call.arguments[0] == 2);
            Answer::Pass
        });
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(
            messages > 0,
            "a message is tried, also where stderr is closed"
        );
    }
}

#[test]
fn no_message_lands_in_the_lock_file_where_the_command_does_not_run() {
    let table: [(&str, &[&str], i32); 4] = [
        ("held", &[NONOVERLAP, "-v", "lock", "true"], 1),
        ("", &[NONOVERLAP, "-v", "lock", "/no/such/command"], 127),
        (
            "",
            &["prlimit", "--nofile=10", NONOVERLAP, "-v", "lock", "true"],
            71,
        ),
        ("data", &[NONOVERLAP, "-v", "lock", "/no/such/command"], 127),
    ];
    for closed in 0..8 {
        for (content, line, status) in table {
            let scene = Scene::new();
            let lock = scene.file("lock", content);
            let _holder = (content == "held").then(|| Holder::of([&lock]));
            let ended = with_closed(closed)
                .args(line)
                .current_dir(scene.path(""))
                .run();
            assert_eq!(ended.code(), Some(status), "{closed:03b}: {ended:?}");
            let after = fs::read_to_string(&lock).unwrap();
            // The run that found no command has left its record; the others nothing.
            let recorded = content.is_empty() && status == 127;
            assert!(
                if recorded {
                    is_record(&after)
                } else {
                    after == content
                },
                "{after:?}: {ended:?}"
            );
        }
    }
}

#[test]
fn where_there_is_no_descriptor_from_10_up_it_is_71_and_nothing_runs() {
    let scene = Scene::new();
    let lock = scene.lock();
    let too_many = reason(libc::EMFILE);
    let no_open = format!(
        "nonoverlap: cannot open lock file {}: {too_many}\n",
        lock.display()
    );
    let no_place = format!(
        "nonoverlap: cannot keep lock file {} on a descriptor from 10 up: {too_many}\n",
        lock.display()
    );
    let run_under = |limit: u32| {
        with_closed(0)
            .args(["prlimit", &format!("--nofile={limit}"), NONOVERLAP])
            .arg(&lock)
            // The command must start without a descriptor of its own to spare, and this one is static.
            .args([NONOVERLAP, "--version"])
            .run()
    };
    run_under(3).expect(71, "", &no_open);
    assert!(!lock.exists());
    run_under(10).expect(71, "", &no_place);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "");
    // There is room for the lock, and none for the mark.
    let no_mark = format!(
        "nonoverlap: cannot mark the name of {}: {too_many}\n",
        lock.display()
    );
    run_under(11).expect(71, "", &no_mark);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "");
    for limit in [12, 13] {
        let ended = run_under(limit);
        assert_eq!(
            (ended.code(), ended.stderr()),
            (Some(0), String::new()),
            "{ended:?}"
        );
        assert!(is_record(&fs::read_to_string(&lock).unwrap()), "{ended:?}");
    }
}

/// A line of bash, started with no descriptor but the standard streams.
fn bare(line: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{BARE}\n{line}")]);
    command
}

/// What the arguments say, started with those of 0, 1 and 2 closed whose bit is set, and no other
/// descriptor.
fn with_closed(streams: u32) -> Command {
    let closing: String = (0..3)
        .filter(|fd| streams & 1 << fd != 0)
        .map(|fd| format!(" {fd}>&-"))
        .collect();
    bare(&format!("exec \"$0\" \"$@\"{closing}"))
}

fn numbers(list: &str) -> Vec<u32> {
    let words = list.split_whitespace();
    words.map(|number| number.parse().unwrap()).collect()
}

fn is_record(content: &str) -> bool {
    content.trim().parse().map(record_of).as_deref() == Ok(content)
}
