//! Promises about likely slips on the command line: each is refused before a file is touched, in words
//! that say what to do.

use std::fs;
use std::process::Command;

use crate::support::harness::{Ended, NONOVERLAP, Run, Scene, nonoverlap};

#[test]
fn an_option_behind_the_lock_file_is_refused_before_a_file_is_touched() {
    for (arguments, words) in [
        (
            &["L", "-n", "true"][..],
            "options go before the lock file 'L'; if '-n' is the command, put -- before the lock file",
        ),
        (
            &["-v", "L", "--status"],
            "options go before the lock file 'L'; if '--status' is the command, put -- before the lock file",
        ),
        (
            &["--install", "@daily", "L", "--dry-run"],
            "options go before the lock file 'L'; if '--dry-run' is the command, put -- before the lock file",
        ),
        (
            &["L", "-ctrue"],
            "options go before the lock file 'L'; if '-ctrue' is the command, put -- before the lock file",
        ),
        (
            &["python3", "-u", "parser.py"],
            "options go before the lock file 'python3'; if '-u' is the command, put -- before the lock file",
        ),
        (
            &["L", "-\x1b[2J"],
            "options go before the lock file 'L'; if '-\\x1b[2J' is the command, put -- before the lock file",
        ),
        (
            &["a://u:secret@h", "-n", "true"],
            "options go before the lock file 'a://u:***@h'; if '-n' is the command, put -- before the lock file",
        ),
        (
            &["L", "--", "true"],
            "options go before the lock file 'L', and so does --",
        ),
        (
            &["--status", "L", "--json"],
            "options go before the lock file; for a lock file of that name, write './--json'",
        ),
        (
            &["--status", "L", "M", "-q", "N"],
            "options go before the lock file; for a lock file of that name, write './-q'",
        ),
    ] {
        is_refused(arguments, words);
    }
}

#[test]
fn a_command_that_begins_with_a_dash_runs_if_two_dashes_stand_before_the_lock_file() {
    let scene = Scene::new();
    scene.script("-x", "#!/bin/sh\necho \"ran $1\"\n");
    for arguments in [
        &["--", "L", "-x", "-n"][..],
        &["-n", "--", "L", "-x", "-n"],
        &["L", "./-x", "-n"],
        &["--fd", "0", "--", "-x", "-n"],
    ] {
        // Descriptor 0 is a file: macOS locks no pipe.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"exec "$0" "$@" <>locked"#, NONOVERLAP]);
        command.args(arguments).env("PATH", ".");
        command.current_dir(scene.path(""));
        command.run().expect(0, "ran -n\n", "");
    }
}

#[test]
fn a_first_lock_file_that_begins_with_a_dash_can_be_asked_for() {
    let scene = Scene::new();
    let mut command = nonoverlap(["--status", "--", "-n", "L"]);
    let ended = command.current_dir(scene.path("")).run();
    ended.expect(
        3,
        "-n: free; there is no such file\nL: free; there is no such file\n",
        "",
    );
}

/// flock takes any word behind the lock file for the command.
#[test]
fn under_the_name_flock_a_command_may_begin_with_a_dash() {
    let scene = Scene::new();
    scene.script("-x", "#!/bin/sh\necho ran\n");
    let mut flock = Command::new(scene.flock());
    flock.current_dir(scene.path("")).env("PATH", ".");
    flock.args(["L", "-x"]).run().expect(0, "ran\n", "");
}

#[test]
fn of_an_unknown_option_the_nearest_one_is_named() {
    for (option, nearest) in [
        ("--tiemout", "--timeout"),
        ("--timeout-after", ""),
        ("--tiemout=5", "--timeout"),
        ("--stauts", "--status"),
        ("--max-runtme", "--max-runtime"),
        ("--verb", "--verbose"),
        ("--Verbose", "--verbose"),
        ("---verbose", "--verbose"),
        ("--non-block", "--nonblock"),
        ("--bogus", ""),
        ("--x", ""),
        ("-Z", ""),
    ] {
        let name = option.split('=').next().unwrap();
        let words = match nearest {
            "" => format!("invalid option '{name}'; see --help"),
            nearest => format!("invalid option '{name}', perhaps {nearest}; see --help"),
        };
        is_refused(&[option, "L", "true"], &words);
    }
}

#[test]
fn a_schedule_that_the_shell_took_apart_is_to_be_quoted() {
    let what = "it takes five fields in quotes, such as '*/2 * * * *', or one @word";
    for schedule in [
        &["*/2", "*", "*", "*", "*"][..],
        // What the shell makes of the stars.
        &["0", "Cargo.toml", "README.md"],
        &["0 4", "* * *"],
    ] {
        let mut arguments = vec!["--install"];
        arguments.extend(schedule);
        arguments.extend(["L", "true"]);
        let words = format!("bad schedule: '{}'; {what}", schedule[0]);
        is_refused(&arguments, &words);
    }
}

/// Refused with 64 and these words, in a folder where afterwards there is nothing new.
#[track_caller]
fn is_refused(arguments: &[&str], words: &str) {
    let scene = Scene::new();
    let refused: Ended = nonoverlap(arguments).current_dir(scene.path("")).run();
    refused.expect(64, "", &format!("nonoverlap: {words}\n"));
    assert_eq!(fs::read_dir(scene.path("")).unwrap().count(), 0);
}
