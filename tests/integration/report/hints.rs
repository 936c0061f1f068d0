//! Promises about what a message says besides the reason, where the mistake is a likely one: what to do.

use std::fs;
use std::process::Command;

use crate::report::log::undated;
use crate::support::harness::{Holder, Run, Scene, nonoverlap, reason};

/// Where the command lines run: `python3` and `tools/only` can be executed, `tools` is all of PATH, and the
/// lock file `l` is there.
struct Desk(Scene);

impl Desk {
    fn new() -> Desk {
        let scene = Scene::new();
        fs::create_dir(scene.path("tools")).unwrap();
        scene.script("tools/python3", "#!/bin/sh\necho ran\n");
        scene.file("l", "");
        Desk(scene)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nonoverlap(arguments);
        command
            .current_dir(self.0.path(""))
            .env("PATH", self.0.path("tools"));
        command
    }

    /// The exit status and the one line of stderr.
    #[track_caller]
    fn says(&self, arguments: &[&str], status: i32, line: &str) {
        let ended = self.command(arguments).run();
        ended.expect(status, "", &format!("nonoverlap: {line}\n"));
    }

    /// A command that is not found, with what is said besides.
    #[track_caller]
    fn is_not_found(&self, command: &str, hint: &str) {
        let reason = reason(libc::ENOENT);
        let line = format!("cannot execute {command}: {reason}{hint}");
        self.says(&["l", command, "x"], 127, &line);
    }
}

#[test]
fn a_program_taken_as_the_lock_file_is_named_and_so_is_the_file_that_was_made() {
    let desk = Desk::new();
    let what = format!("cannot execute parser.py: {}", reason(libc::ENOENT));
    let taken = "; python3 was taken as the lock file";
    let made = "; this run made the file python3: remove it";
    desk.0.file("parser.py", "");
    let words = &["python3", "parser.py"];
    desk.says(words, 127, &format!("{what}{taken}{made}"));
    assert!(desk.0.path("python3").exists());
    // The second time it is there.
    desk.says(words, 127, &format!("{what}{taken}"));
    let words = &["tools/python3", "parser.py"];
    let taken = "; tools/python3 was taken as the lock file";
    desk.says(words, 127, &format!("{what}{taken}"));
    let what = format!("cannot execute ./parser.py: {}", reason(libc::EACCES));
    let words = &["tools/python3", "./parser.py"];
    desk.says(words, 126, &format!("{what}{taken}"));
}

#[test]
fn a_lock_file_that_was_made_for_a_command_that_is_not_there_is_named() {
    let desk = Desk::new();
    let what = format!("cannot execute no-such: {}", reason(libc::ENOENT));
    let words = &["new", "no-such"];
    desk.says(words, 127, &format!("{what}; this run made the file new"));
    assert!(desk.0.path("new").exists());
    desk.says(words, 127, &what);
    // The second slot's is another file.
    let holder = Holder::of([desk.0.path("new")]);
    let words = &["--slots", "2", "new", "no-such"];
    desk.says(words, 127, &format!("{what}; this run made the file new.2"));
    drop(holder);
}

#[test]
fn the_missing_program_of_a_script_is_named() {
    let desk = Desk::new();
    for (line, program) in [
        ("#!/no/such/python3\n", "/no/such/python3"),
        ("#! \t/no/such/python3 -u\n", "/no/such/python3"),
        ("#!/no/such\tx", "/no/such"),
        ("#!/bin/sh\r\n", "/bin/sh\\r"),
    ] {
        let script = desk.0.script("tools/script", line);
        let hint = format!("; its first line names {program}, which is not there");
        desk.is_not_found("script", &hint);
        desk.is_not_found("tools/script", &hint);
        fs::remove_file(script).unwrap();
    }
    // It is another program that is missing, or none.
    for text in ["#!/bin/sh\n", "#!", "#!\n/no/such\n", "", "\x7fELF"] {
        let script = desk.0.script("tools/script", text);
        let ended = desk.command(&["l", "script"]).run();
        assert!(!ended.stderr().contains("first line"), "{ended:?}");
        fs::remove_file(script).unwrap();
    }
}

#[test]
fn what_only_a_shell_can_run_is_told_to_use_the_shell() {
    let desk = Desk::new();
    let quoted = "; that is one word: leave out the quotes, or put -c before it";
    // Without quotes, a part of it would run outside the lock.
    let line = "; that is a command line for a shell: put -c before it";
    for (command, hint) in [
        ("python3 parser.py", quoted),
        ("ls\t-l", quoted),
        ("/bin/no -x", quoted),
        ("a|b c", line),
        ("a && b", line),
        ("a; b", line),
        ("a >b", line),
        ("a<b", line),
    ] {
        let shown = command.replace('\t', "\\t");
        let ended = desk.command(&["l", command]).run();
        let what = format!("cannot execute {shown}: {}", reason(libc::ENOENT));
        ended.expect(127, "", &format!("nonoverlap: {what}{hint}\n"));
    }
    for builtin in ["cd", "source", "exec", "export", "ulimit", "if", "!", "[["] {
        desk.is_not_found(builtin, "; only a shell knows it: use -c 'COMMAND LINE'");
    }
    for setting in ["FOO=bar", "_1=", "PATH=/bin:x"] {
        desk.is_not_found(
            setting,
            "; to set a variable, put env before it, or use -c 'COMMAND LINE'",
        );
    }
    for other in ["=x", "1=x", "a-b=x", "cdx", "/opt/r&d/run"] {
        desk.is_not_found(other, "");
    }
}

#[test]
fn a_command_in_the_working_directory_that_is_not_in_path_is_found_there() {
    let desk = Desk::new();
    desk.0.script("p.py", "#!/bin/sh\n");
    desk.0.script("-p", "#!/bin/sh\n");
    fs::create_dir(desk.0.path("folder")).unwrap();
    desk.is_not_found("p.py", "; it is in the working directory: ./p.py");
    desk.0.script("two words", "");
    desk.is_not_found("two words", "; it is in the working directory: ./two words");
    desk.is_not_found("folder", "");
    desk.0.file("data", "");
    desk.is_not_found("data", "");
    desk.is_not_found("tools/p.py", "");
    desk.is_not_found("./q.py", "");
}

#[test]
fn a_script_that_is_not_executable_is_told_so() {
    let desk = Desk::new();
    desk.0.file("job.sh", "#!/bin/sh\necho ran\n");
    desk.0.file("data", "x");
    let hint = |name: &str| format!("; it is not executable: chmod +x {name}");
    desk.is_not_found("job.sh", &hint("job.sh"));
    let denied = reason(libc::EACCES);
    for name in ["./job.sh", desk.0.path("job.sh").to_str().unwrap()] {
        let said = format!("cannot execute {name}: {denied}{}", hint(name));
        desk.says(&["l", name], 126, &said);
    }
    for name in ["./data", "./tools"] {
        desk.says(
            &["l", name],
            126,
            &format!("cannot execute {name}: {denied}"),
        );
    }
}

#[test]
fn an_option_without_its_dashes_is_told_so() {
    let desk = Desk::new();
    let what = format!("cannot execute l: {}", reason(libc::ENOENT));
    for name in ["status", "history", "install", "uninstall"] {
        let taken = format!("; {name} was taken as the lock file: the option is --{name}");
        let made = format!("; this run made the file {name}: remove it");
        desk.says(&[name, "l"], 127, &format!("{what}{taken}{made}"));
    }
}

#[test]
fn a_missing_folder_is_named() {
    let desk = Desk::new();
    let missing = reason(libc::ENOENT);
    for (file, folder) in [
        ("no/such/lock", "no"),
        ("tools/such/lock", "tools/such"),
        ("/no/such/lock", "/no"),
        ("../no-such/lock", "../no-such"),
        ("./no//such/./lock", "./no"),
        ("no\x1b/lock", "no\\x1b"),
    ] {
        let shown = file.replace('\x1b', "\\x1b");
        let hint = format!("; there is no folder {folder}");
        let line = format!("cannot open lock file {shown}: {missing}{hint}");
        desk.says(&[file, "true"], 66, &line);
        let line = format!("cannot open log {shown}: {missing}{hint}");
        desk.says(&["--log", file, "l", "true"], 73, &line);
        let line = format!("cannot read log {shown}: {missing}{hint}");
        desk.says(&["--history", file], 66, &line);
    }
}

#[test]
fn a_tilde_that_no_shell_has_replaced_is_told() {
    let desk = Desk::new();
    let missing = reason(libc::ENOENT);
    for file in ["~/lock", "~/a/lock", "~root/lock"] {
        let tilde = file.split('/').next().unwrap();
        let hint = format!(
            "; there is no folder {tilde}: a shell replaces ~ only at the start of a word, without quotes"
        );
        let line = format!("cannot open lock file {file}: {missing}{hint}");
        desk.says(&[file, "true"], 66, &line);
        let line = format!("cannot open log {file}: {missing}{hint}");
        let log = format!("--log={file}");
        desk.says(&[&log, "l", "true"], 73, &line);
    }
    let hint = "a shell replaces ~ only at the start of a word, without quotes";
    let line = format!("cannot read log ~/log: {missing}; there is no folder ~: {hint}");
    desk.says(&["--history", "~/log"], 66, &line);
    let asked = desk.command(&["--status", "~/lock"]).run();
    let answer = format!("~/lock: free; there is no folder ~: {hint}\n");
    asked.expect(3, &answer, "");
    desk.is_not_found("~/bin/job", &format!("; {hint}"));
    // A folder of that name is one.
    fs::create_dir(desk.0.path("~")).unwrap();
    desk.command(&["~/lock", "python3"])
        .run()
        .expect(0, "ran\n", "");
}

#[test]
fn an_empty_word_is_told() {
    let desk = Desk::new();
    let hint = "; the word is empty, perhaps because a variable is not set";
    let missing = reason(libc::ENOENT);
    let line = format!("cannot open lock file : {missing}{hint}");
    desk.says(&["", "true"], 66, &line);
    desk.is_not_found("", hint);
    let line = format!("cannot open log : {missing}{hint}");
    desk.says(&["--log", "", "l", "true"], 73, &line);
    let line = format!("cannot read log : {missing}{hint}");
    desk.says(&["--history", ""], 66, &line);
    // Nothing is free that was not asked for.
    let line = "the name of the lock file is empty, perhaps because a variable is not set";
    desk.says(&["--status", ""], 64, line);
    desk.says(&["--status", "-q", "l", ""], 64, line);
}

#[test]
fn the_log_has_the_same_words() {
    let desk = Desk::new();
    for command in ["cd", "python3 x"] {
        let ended = desk.command(&["--log", "log", "l", command]).run();
        let said = ended.stderr();
        let said = said.strip_prefix("nonoverlap: ").unwrap().trim_end();
        assert!(said.contains(" -c"), "{said}");
        let log = fs::read_to_string(desk.0.path("log")).unwrap();
        let last = undated(log.lines().last().unwrap());
        assert!(last.ends_with(&format!(": {said}")), "{last}");
    }
}

#[test]
fn what_cannot_be_installed_is_told_the_same() {
    let desk = Desk::new();
    let install = &["--install", "@daily", "--dry-run"];
    for (words, hint) in [
        (
            &["python3", "no.py"][..],
            "; python3 was taken as the lock file",
        ),
        (
            &["l", "cd"],
            "; only a shell knows it: use -c 'COMMAND LINE'",
        ),
    ] {
        let line = format!(
            "cannot execute {}: {}{hint}",
            words[1],
            reason(libc::ENOENT)
        );
        desk.says(&[install, words].concat(), 127, &line);
    }
}

/// flock's words stay as they are.
#[test]
fn under_the_name_flock_nothing_is_said_besides() {
    let desk = Desk::new();
    let flock = desk.0.flock();
    for command in ["cd", "python3 x", "FOO=bar"] {
        let mut flock = Command::new(&flock);
        flock.current_dir(desk.0.path(""));
        let ended = flock.args(["new", command]).run();
        let reason = reason(libc::ENOENT);
        ended.expect(
            69,
            "",
            &format!("flock: cannot execute {command}: {reason}\n"),
        );
    }
}

#[test]
fn a_command_of_any_length_makes_a_message_that_can_be_read() {
    let desk = Desk::new();
    let word = "0".repeat(130_000);
    let ended = desk.command(&["--log", "log", "l", &word]).run();
    assert_eq!(ended.code(), Some(127));
    let log = fs::read_to_string(desk.0.path("log")).unwrap();
    for said in [ended.stderr(), log] {
        assert!(
            said.len() < 3000 && said.contains("cannot execute 000"),
            "{}",
            said.len()
        );
    }
}
