//! Every command that stands in the README is run by a test or by the gate, or it is said here why not.

use std::fs;
use std::path::Path;

use crate::support::documents::{README, ROOT, is_a_test};

/// What runs a command of the README.
enum Runs {
    /// This test, which takes it from the page or has its words.
    Test(&'static str),
    /// This function of the gate.
    Gate(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}
use Runs::{Gate, Nothing, Test};

const DEMONSTRATION: Runs = Test(
    "documents::man_and_readme::the_picture_of_the_demonstration_is_what_its_lines_leave_on_a_terminal",
);
const CRONTAB: Runs =
    Test("cron::install::the_readmes_example_and_the_manuals_make_the_entry_that_stands_there");
const INSTALL: Runs = Gate("test_install_by_the_readme");

/// The commands, each by how it begins.
#[rustfmt::skip] // A row a line is how a table is read.
const COMMANDS: &[(&str, Runs)] = &[
    ("*/2 * * * * /usr/local/bin/nonoverlap /tmp/parser.lock ", Test("documents::man_and_readme::the_crontab_lines_run_a_job")),
    ("nonoverlap /tmp/demo.lock ", DEMONSTRATION),
    ("nonoverlap --status /tmp/demo.lock", DEMONSTRATION),
    ("kill -9 $(cat /tmp/demo.lock)", DEMONSTRATION),
    ("nonoverlap -w 1 /tmp/demo.lock ", DEMONSTRATION),
    ("apt install curl gcc libc6-dev", Nothing("a machine that has them is not a bare one")),
    ("cargo run --release -- ", Test("documents::man_and_readme::the_readmes_first_command_runs_the_job_of_the_demonstration")),
    ("PATH=$PWD/target/release:$PATH", INSTALL),
    ("cargo test", Test("documents::man_and_readme::the_readmes_test_command_is_the_one_that_the_gate_runs")),
    ("man ./man/nonoverlap.1", INSTALL),
    ("sudo dpkg -i ", INSTALL),
    ("sudo rpm -i ", INSTALL),
    ("tar xzf ", INSTALL),
    ("sudo install ", INSTALL),
    ("rustup target add ", INSTALL),
    ("cargo install --path .", INSTALL),
    ("cargo build --release", INSTALL),
    ("mkdir -p ~/.local/share/bash-completion/completions ", INSTALL),
    ("nonoverlap --completions ", INSTALL),
    ("nonoverlap --install '*/2 * * * *' ", CRONTAB),
    ("# nonoverlap --install: ", CRONTAB),
    ("*/2 * * * * cd /home/me && ", CRONTAB),
    ("nonoverlap --uninstall ", Test("cron::install::install_and_uninstall_leave_every_other_line_as_it_was")),
    ("nonoverlap --history ", Test("report::history::a_row_for_each_run_and_what_they_come_to")),
    ("timeout -k 30 2h COMMAND", Test("documents::recipes::a_job_under_timeout_is_ended_with_its_children_and_killed_if_it_ignores_that")),
    ("0 4 * * * /usr/local/bin/nonoverlap 'postgresql://", Nothing("it needs a server: the helper's tests have it")),
    ("mkdir -p ~/bin", INSTALL),
    ("ln -s /usr/local/bin/nonoverlap ~/bin/flock", INSTALL),
    ("mkdir -m 700 ~/locks", INSTALL),
    ("xattr ", Nothing("it is a command of macOS")),
    ("cargo bench", Nothing("a day takes five minutes, and the others longer; the gate runs them shortly")),
    ("nonoverlap LOCKFILE a && b", Test("documents::caveats::what_follows_the_command_in_a_line_of_the_shell_runs_without_the_lock")),
    ("nonoverlap LOCKFILE -c 'a && b'", Test("documents::caveats::what_follows_the_command_in_a_line_of_the_shell_runs_without_the_lock")),
    ("nonoverlap LOCKFILE -c 'job >out'", Test("documents::caveats::the_shell_empties_the_output_file_of_a_refused_run_and_a_log_is_kept")),
    ("nonoverlap LOCKFILE job >out", Test("documents::caveats::the_shell_empties_the_output_file_of_a_refused_run_and_a_log_is_kept")),
    ("nonoverlap LOCKFILE sudo COMMAND", Test("run::close_real_commands::the_command_of_a_sudo_that_is_killed_runs_on_without_the_lock")),
    ("sudo nonoverlap LOCKFILE COMMAND", Test("run::close_real_commands::the_command_of_a_sudo_that_is_killed_runs_on_without_the_lock")),
    ("tmux new-session -d ", Test("documents::caveats::what_is_handed_to_tmux_has_the_lock_only_if_tmux_is_started_for_it")),
    ("start-stop-daemon -", Test("run::close_real_commands::a_lock_that_start_stop_daemon_starts_in_the_background_is_held_by_the_daemon")),
    ("kill $(cat /tmp/parser.lock)", Nothing("it is what not to do")),
    ("nonoverlap --status LOCKFILE", Test("inspect::holders::held_by_nonoverlap")),
    ("nonoverlap --help", Test("documents::man_and_readme::the_help_fits_80_columns")),
];

/// The words that a command begins with where it stands in the text.
const FIRST_WORDS: &str = "PATH=$PWD/target/release:$PATH apt cargo kill ln man mkdir nonoverlap rustup start-stop-daemon \
     sudo tar timeout tmux xattr";

#[test]
fn each_command_in_the_readme_is_run_or_it_is_said_why_not() {
    let mut unseen: Vec<_> = COMMANDS.iter().map(|(start, _)| *start).collect();
    let mut unknown = Vec::new();
    for command in commands() {
        match row_of(&command) {
            Some(start) => unseen.retain(|it| *it != start),
            None => unknown.push(command),
        }
    }
    assert_eq!(unknown, [""; 0], "what runs these?");
    assert_eq!(unseen, [""; 0]);
    let gate = fs::read_to_string(Path::new(ROOT).join(".ci/run"));
    for (command, runs) in COMMANDS {
        match runs {
            Test(name) => assert!(is_a_test(Path::new(ROOT), name), "{command}: {name}"),
            // The package that is published has no gate.
            Gate(function) => assert!(
                gate.as_ref()
                    .is_ok_and(|gate| gate.contains(&format!("\n{function}() {{\n")))
                    || gate.is_err(),
                "{command}: {function}"
            ),
            Nothing(why) => assert!(!why.is_empty()),
        }
    }
}

/// The row of a command.
fn row_of(command: &str) -> Option<&'static str> {
    let starts = COMMANDS.iter().map(|(start, _)| *start);
    starts
        .filter(|start| command.starts_with(start))
        .max_by_key(|start| start.len())
}

/// Those in lines of their own that no program prints, and those between backticks that begin so.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    let mut text = String::new();
    let mut is_code = false;
    for line in README.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            match line.strip_prefix("    ") {
                Some(command) if begins_one(command) => commands.push(command.to_owned()),
                Some(_) => {}
                None => text += &format!("{line} "),
            }
        }
    }
    let quoted = text.split('`').skip(1).step_by(2);
    commands.extend(
        quoted
            .map(|words| words.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|words| words.contains([' ', '=']) && begins_one(words)),
    );
    commands
}

fn begins_one(line: &str) -> bool {
    let first = line.split(' ').next().unwrap_or_default();
    let is_entry = line.starts_with("# nonoverlap --install: ");
    let is_crontabs = line.starts_with(['*', '0']) && line.contains(" /usr/local/bin/nonoverlap ");
    is_entry || is_crontabs || FIRST_WORDS.split_whitespace().any(|word| word == first)
}
