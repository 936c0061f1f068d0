//! The words of a command on their way through the crontab: cron reads the line first, then sh.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::cron::install::find;
use crate::support::crontab::Table;
use crate::support::dice::Dice;
use crate::support::harness::{NONOVERLAP, Run, has_tool};

/// What cron gives sh of a command, or nothing where it would cut it and give sh something to read.
/// Debian's cron takes a backslash away only before `%`; FreeBSD's and macOS' also before another one
/// (`do_command.c` of each).
fn through_cron(command: &[u8], pairs_become_one: bool) -> Option<Vec<u8>> {
    let mut given = Vec::new();
    let mut escaped = false;
    for &byte in command {
        if escaped {
            if byte == b'%' || byte == b'\\' && pairs_become_one {
                given.pop();
            }
            escaped = false;
        } else if byte == b'%' {
            return None;
        } else {
            escaped = byte == b'\\';
        }
        given.push(byte);
    }
    Some(given)
}

/// Installs a command that prints these words, and has sh run the line as either cron gives it.
#[track_caller]
fn arrive(table: &Table, words: &[OsString]) {
    let install = [
        "--dry-run",
        "--install",
        "1 2 3 4 5",
        "l",
        "printf",
        "%s\\0",
    ];
    let shown = table.nonoverlap(install).args(words).run();
    assert_eq!(shown.code(), Some(0), "{shown:?}");
    let text = shown.stdout.strip_suffix(b"\n").unwrap();
    let line = text.split(|&byte| byte == b'\n').next_back().unwrap();
    let command = line.strip_prefix(b"1 2 3 4 5 ").unwrap();
    let expected: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
    for pairs_become_one in [false, true] {
        let given = through_cron(command, pairs_become_one).expect("a % of its own");
        let mut sh = Command::new("sh");
        let ended = sh.args([OsStr::new("-c"), OsStr::from_bytes(&given)]).run();
        let printed = ended.stdout.strip_suffix(b"\0").unwrap_or_default();
        let printed: Vec<_> = printed.split(|&byte| byte == 0).collect();
        assert_eq!(printed, expected, "{shown:?}{ended:?}");
    }
}

#[test]
fn words_reach_the_command_as_they_were_given() {
    let table = Table::stand_in();
    let words: [&[u8]; 30] = [
        b"",
        b" ",
        b"two words",
        b"\ttab ",
        b"it's",
        b"'",
        b"''",
        b"\"double\"",
        b"$HOME",
        b"${x}$(y)`z`",
        b"50%",
        b"%",
        b"%%",
        b"\\",
        b"\\\\",
        b"\\%",
        b"\\\\%",
        b"\\'%\\",
        b"a\\b",
        b"ends in \\",
        b"*",
        b"~",
        b"#x",
        b"a;b&c|d<e>f(g)",
        b"{a,b}[c]!d?",
        b"x=y",
        b"\xff\xfe",
        b"caf\xc3\xa9",
        b"\r\x01\x7f",
        b"-n",
    ];
    let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<_> = words.collect();
    arrive(&table, &words);
}

#[test]
fn words_of_any_bytes_reach_the_command_as_they_were_given() {
    const BYTES: &[u8] = b"\\\\\\%%%'' \"$`a*#~;!=&\t\xff\xc3\xa9\x01";
    let table = Table::stand_in();
    let mut dice = Dice(0x7175_6f74_6564_2121);
    for _ in 0..60 {
        let mut word = || {
            let length = dice.below(8);
            let bytes = (0..length).map(|_| BYTES[dice.below(BYTES.len())]);
            OsString::from_vec(bytes.collect())
        };
        let words: Vec<_> = (0..16).map(|_| word()).collect();
        arrive(&table, &words);
    }
}

#[test]
fn a_command_line_for_the_shell_arrives_whole() {
    let table = Table::stand_in();
    let line = r#"printf '%s\n' "it's \\ 50%" | tr s z; exit 7"#;
    let install = ["--dry-run", "--install", "@daily", "l", "--command", line];
    let shown = table.nonoverlap(install).run().stdout();
    let command = shown.lines().last().unwrap();
    let command = command.strip_prefix("@daily ").unwrap().as_bytes();
    for pairs_become_one in [false, true] {
        let given = through_cron(command, pairs_become_one).unwrap();
        let mut sh = Command::new("sh");
        sh.args([OsStr::new("-c"), OsStr::from_bytes(&given)]);
        sh.env("SHELL", "/bin/sh")
            .run()
            .expect(7, "it'z \\ 50%\n", "");
    }
}

#[test]
fn dash_stays_beside_the_run_and_says_that_it_was_killed() {
    if !has_tool("dash", "a line that dash reads") {
        return;
    }
    let table = Table::stand_in();
    let install = ["--dry-run", "--install", "@daily", "l", "sh", "-c"];
    let shown = table.nonoverlap(install).arg("kill -9 $$").run().stdout();
    let line = shown.lines().last().unwrap();
    let mut dash = Command::new("dash");
    dash.args(["-c", line.strip_prefix("@daily ").unwrap()]);
    dash.run().expect(128 + libc::SIGKILL, "", "Killed\n");
}

#[test]
fn a_newline_is_refused_wherever_it_comes_from() {
    let table = Table::stand_in();
    let line = "nonoverlap: a crontab line cannot hold a newline\n";
    for arguments in [
        &["l", "true", "a\nb"][..],
        &["l", "true", "\n"],
        &["l", "-c", "true\n"],
        &["l\n", "true"],
        &["--log", "log\n", "l", "true"],
    ] {
        let install = table
            .nonoverlap(["--install", "@daily"])
            .args(arguments)
            .run();
        install.expect(64, "", line);
    }
    let folder = table.work().join("a\nb");
    fs::create_dir(&folder).unwrap();
    let mut install = table.nonoverlap(["--install", "@daily", "/l", "true"]);
    install.current_dir(&folder).run().expect(64, "", line);
    symlink(find("true"), folder.join("true")).unwrap();
    symlink(NONOVERLAP, folder.join("nonoverlap")).unwrap();
    let mut install = table.nonoverlap(["--install", "@daily", "/l"]);
    install.arg(folder.join("true")).run().expect(64, "", line);
    let mut install = table.command(folder.join("nonoverlap"));
    install.args(["--install", "@daily", "/l", "true"]);
    install.run().expect(64, "", line);
    assert_eq!((table.text(), table.calls()), (None, String::new()));
}

#[test]
fn a_command_that_some_cron_would_cut_off_is_refused() {
    for table in Table::each() {
        // With nothing said of what is replaced.
        let of_length = |length| {
            let word = "x".repeat(length);
            table.nonoverlap(["--install", "@daily", "-q", "/l", "true", &word])
        };
        of_length(1).run().done("");
        let text = table.text().unwrap();
        let command = text.split(|&byte| byte == b'\n').nth(1).unwrap();
        let room = 998 - (command.len() - "@daily ".len()) + 1;

        let refused = of_length(room + 1).run();
        let said = "the command would be 999 bytes long in the crontab; some crons cut off more than 998, so use a script";
        refused.expect(64, "", &format!("nonoverlap: {said}\n"));
        assert_eq!(table.text().unwrap(), text);
        of_length(room).run().done("");
    }
}
