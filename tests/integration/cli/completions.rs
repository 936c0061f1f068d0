//! Promises of `--completions`: what each shell, the real one, makes of a line when somebody asks it to
//! complete a word. The completions lie where the shell looks for them by itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::crontab::path_with;
use crate::support::documents::Help;
use crate::support::harness::{NONOVERLAP, Run, Scene, has_tool, left_out, nonoverlap};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Lines, and what their last word can be completed to. `zzjob` is a command with words of its own.
#[rustfmt::skip] // A row a line is how a table is read.
const TABLE: &[(&str, &[&str])] = &[
    ("nonoverlap --sta", &["--start", "--status"]),
    ("nonoverlap -n --unin", &["--uninstall"]),
    ("nonoverlap a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -n a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -nE5 a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -nE 5 a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --wait 5 a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --wait=5 a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -- a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --install @daily a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --install '* * * * *' a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --uninstall a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --status aa.lock a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --his", &["--history"]),
    ("nonoverlap --history a", &["aa.lock", "ab.lock"]),
    // Arguments of options.
    ("nonoverlap --log a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --log=a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -l a", &["aa.lock", "ab.lock"]),
    ("nonoverlap -vl a", &["aa.lock", "ab.lock"]),
    ("nonoverlap --completions z", &["zsh"]),
    ("nonoverlap --on-lost k", &["kill"]),
    ("nonoverlap --on-lost ", &["ignore", "kill", "term"]),
    ("nonoverlap --completions ", &["bash", "fish", "zsh"]),
    ("nonoverlap -E ", &[]),
    ("nonoverlap --wait ", &[]),
    ("nonoverlap -vE ", &[]),
    ("nonoverlap --install ", &[]),
    // The command's own.
    ("nonoverlap aa.lock zz", &["zzjob"]),
    ("nonoverlap -w 5 aa.lock zz", &["zzjob"]),
    ("nonoverlap --fd 9 zz", &["zzjob"]),
    ("nonoverlap --fd=9 -n zz", &["zzjob"]),
    ("nonoverlap -- aa.lock zz", &["zzjob"]),
    ("nonoverlap --install @daily aa.lock zz", &["zzjob"]),
    ("nonoverlap aa.lock zzjob ", &["alpha", "beta"]),
    ("nonoverlap aa.lock zzjob -", &["--gamma"]),
    ("nonoverlap -n aa.lock zzjob al", &["alpha"]),
    ("nonoverlap -l aa.lock -n ab.lock zzjob alpha be", &["beta"]),
    ("nonoverlap --fd 9 zzjob ", &["alpha", "beta"]),
    ("nonoverlap aa.lock nonoverlap ab.lock zzjob ", &["alpha", "beta"]),
    ("nonoverlap aa.lock nonoverlap --sta", &["--start", "--status"]),
    ("nonoverlap aa.lock --c", &["--command"]),
    ("nonoverlap aa.lock -c ", &[]),
    ("nonoverlap aa.lock --command ", &[]),
];

#[test]
fn each_shell_completes_options_lock_files_and_the_commands_own_words() {
    for desk in SHELLS.into_iter().filter_map(Desk::of) {
        let lines: Vec<_> = TABLE.iter().map(|(line, _)| *line).collect();
        for ((line, expected), seen) in TABLE.iter().zip(desk.complete(&lines)) {
            let expected = expected.iter().map(|&word| word.to_owned());
            assert_eq!(seen, expected.collect(), "{line} in {}", desk.shell);
        }
    }
}

#[test]
fn each_shell_knows_the_options_of_the_help() {
    let help = Help::of(Path::new(NONOVERLAP)).names();
    for desk in SHELLS.into_iter().filter_map(Desk::of) {
        let lines = ["nonoverlap -", "nonoverlap --", "nonoverlap aa.lock -"];
        let seen: BTreeSet<_> = desk.complete(&lines).into_iter().flatten().collect();
        assert_eq!(seen, help, "{}", desk.shell);
    }
}

#[test]
fn bash_without_its_package_completes_commands_and_files() {
    let Some(desk) = Desk::of("bash") else {
        return;
    };
    for (line, expected) in [
        ("nonoverlap --sta", &["--start", "--status"][..]),
        ("nonoverlap aa.lock zz", &["zzjob"]),
        ("nonoverlap aa.lock zzjob a", &["aa.lock", "ab.lock"]),
    ] {
        let installed = desk.installed();
        let input = format!(
            "source {}\n{BASH}{line}\x18a\x01show \n",
            installed.display()
        );
        let bash = desk.sh(&["--noprofile", "--norc", "-i"]);
        let seen = desk.seen(bash, &input, &[line]).remove(0);
        let expected = expected.iter().map(|&word| word.to_owned());
        assert_eq!(seen, expected.collect(), "{line}");
    }
}

#[test]
fn a_shell_that_is_not_one_of_the_three_is_refused() {
    for shell in ["sh", "", "Bash", "bash zsh", "\u{e9}"] {
        let said = format!("--completions takes bash, zsh or fish, not '{shell}'");
        let refused = nonoverlap(["--completions", shell]).run();
        refused.expect(64, "", &format!("nonoverlap: {said}\n"));
    }
    let missing = "nonoverlap: missing argument for option '--completions'\n";
    nonoverlap(["--completions"]).run().expect(64, "", missing);
}

/// Where bash's package begins.
const BASH_COMPLETION: &str = "/usr/share/bash-completion/bash_completion";

/// A key that has all completions put into the line, and a command that notes the line's words.
const BASH: &str = r#"
bind '"\C-xa": insert-completions'
_zzjob() {
    local cur=${COMP_WORDS[COMP_CWORD]} words='alpha beta'
    [[ $cur == -* ]] && words=--gamma
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _zzjob zzjob
show() { printf '%s\n' "$@" '' >>"$WORDS"; }
"#;

/// The same, in a terminal that zsh itself makes. It says READY> when a line can be typed.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
line() {
    zpty -n -w shell "$1"$'\n'
    zpty -r shell seen '*READY>'
}
line 'PS1="REA""DY>"; unset zle_bracketed_paste; bindkey -e'
line 'fpath=(~/.zsh $fpath); autoload -U compinit; compinit -u -D'
line '_zzjob() { [[ $PREFIX == -* ]] && compadd -- --gamma || compadd alpha beta }; compdef _zzjob zzjob'
line 'zle -C all-matches complete-word _generic; bindkey "^Xa" all-matches'
line 'zstyle ":completion:all-matches::::" completer _all_matches _complete'
line 'zstyle ":completion:all-matches:*" old-matches false'
line 'zstyle ":completion:all-matches:*" insert true'
line 'show() { print -rl -- "$@" "" >>$WORDS }'
for typed; do line "$typed"; done
zpty -n -w shell $'exit\n'
while zpty -r shell seen; do :; done
"#;

/// fish says what it would offer.
const FISH: &str = r#"
complete -c zzjob -f -a 'alpha beta'
complete -c zzjob -l gamma
for line in $argv
    echo completions: >>$WORDS
    complete -C $line | string replace -r '\t.*' '' >>$WORDS
    echo >>$WORDS
end
"#;

/// Where somebody sits at a shell: the folder has two lock files.
struct Desk {
    shell: &'static str,
    scene: Scene,
}

impl Desk {
    /// With the completions installed in the home folder, if the shell is there.
    #[track_caller]
    fn of(shell: &'static str) -> Option<Desk> {
        let what = format!("completion in {shell}");
        if !has_tool(shell, &what) {
            return None;
        }
        if shell == "bash" && !Path::new(BASH_COMPLETION).exists() {
            left_out(&what, "the package bash-completion is not installed");
            return None;
        }
        let scene = Scene::new();
        for folder in ["bin", "work"] {
            fs::create_dir(scene.path(folder)).unwrap();
        }
        scene.file("work/aa.lock", "");
        scene.file("work/ab.lock", "");
        scene.script("bin/zzjob", "#!/bin/sh\n");
        symlink(NONOVERLAP, scene.path("bin/nonoverlap")).unwrap();
        let desk = Desk { shell, scene };
        let completions = nonoverlap(["--completions", shell]).run();
        assert_eq!(
            (completions.code(), completions.stderr()),
            (Some(0), String::new())
        );
        fs::create_dir_all(desk.installed().parent().unwrap()).unwrap();
        fs::write(desk.installed(), completions.stdout).unwrap();
        Some(desk)
    }

    /// Where the shell looks for them.
    fn installed(&self) -> PathBuf {
        self.scene.path(match self.shell {
            "bash" => ".local/share/bash-completion/completions/nonoverlap",
            "zsh" => ".zsh/_nonoverlap",
            _ => ".config/fish/completions/nonoverlap.fish",
        })
    }

    /// What the last word of each line can be completed to.
    #[track_caller]
    fn complete(&self, lines: &[&str]) -> Vec<BTreeSet<String>> {
        // The key, and then `show` in front of the line.
        let typed = lines.iter().map(|line| format!("{line}\x18a\x01show "));
        match self.shell {
            "bash" => {
                let typed: String = typed.map(|line| line + "\n").collect();
                let input = format!("source {BASH_COMPLETION}\n{BASH}{typed}");
                self.seen(self.sh(&["--noprofile", "--norc", "-i"]), &input, lines)
            }
            "zsh" => {
                let mut zsh = self.sh(&["-f", "-c", ZSH, "zsh"]);
                zsh.args(typed);
                self.seen(zsh, "", lines)
            }
            _ => {
                let mut fish = self.sh(&["-c", FISH]);
                fish.args(lines);
                self.seen(fish, "", lines)
            }
        }
    }

    fn sh(&self, arguments: &[&str]) -> Command {
        let mut shell = Command::new(self.shell);
        shell
            .args(arguments)
            .env("TERM", "dumb")
            .env("HOME", self.scene.path(""))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("WORDS", self.scene.path("words"))
            .env("PATH", path_with(&self.scene.path("bin")))
            .current_dir(self.scene.path("work"));
        shell
    }

    /// What a shell noted of these lines: the whole line, but for fish.
    #[track_caller]
    fn seen(&self, mut shell: Command, input: &str, lines: &[&str]) -> Vec<BTreeSet<String>> {
        self.scene.file("words", "");
        let ended = shell.run_with_input(input);
        let words = fs::read_to_string(self.scene.path("words")).unwrap();
        let answers: Vec<_> = words.split_terminator("\n\n").collect();
        assert_eq!(answers.len(), lines.len(), "{words}{ended:?}");
        let last_words = |(line, answer): (&&str, &&str)| {
            let before = line.replace("'* * * * *'", "quoted").matches(' ').count();
            let skipped = if self.shell == "fish" { 1 } else { before };
            answer
                .lines()
                .skip(skipped)
                .map(|word| word.trim_start_matches("--log=").to_owned())
                .collect()
        };
        lines.iter().zip(&answers).map(last_words).collect()
    }
}
