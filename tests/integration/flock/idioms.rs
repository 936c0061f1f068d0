//! Promises about the ways in which people wrap flock, out of its manual and out of scripts: under the
//! name flock they all work, in dash and in bash.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, nonoverlap};

const SHELLS: [&str; 2] = ["dash", "bash"];

#[test]
fn a_subshell_locks_a_descriptor_of_its_own() {
    for (shell, number) in [
        ("dash", "9"), // dash knows no number of two digits or more in a redirection.
        ("bash", "9"),
        ("bash", "200"),
    ] {
        let scene = Scene::new();
        let script = r#"( flock -n 9 || exit 7; echo held; exec cat >/dev/null ) 9>"$1""#;
        let script = script.replace('9', number);
        let holder = Holder::start(&mut sh(&scene, shell, &script));
        assert!(is_taken(&scene.lock()), "{shell}, {number}");
        sh(&scene, shell, &script).run().expect(7, "", "");
        assert!(holder.end().success());
        assert!(!is_taken(&scene.lock()), "{shell}, {number}");
        sh(&scene, shell, &script).run().expect(0, "held\n", "");
    }
}

#[test]
fn a_subshell_waits_for_its_turn_or_not_for_long() {
    for shell in SHELLS {
        let scene = Scene::new();
        let holder = Holder::of([scene.lock()]);
        let impatient = r#"( flock -x -w 0.02 9 || exit 7; echo ran ) 9<"$1""#;
        sh(&scene, shell, impatient).run().expect(7, "", "");
        drop(holder);
        sh(&scene, shell, impatient).run().expect(0, "ran\n", "");
    }
}

#[test]
fn a_script_locks_itself_through_exec() {
    for shell in SHELLS {
        for (tool, options) in [("flock", "-en"), ("flock", "-n -E 1"), ("nonoverlap", "")] {
            let scene = Scene::new();
            let text = format!(
                r#"#!/usr/bin/env {shell}
[ "$FLOCKER" != "$0" ] && exec env FLOCKER="$0" {tool} {options} "$0" "$0" "$@" || :
echo held
echo "$# $1" >"$2"
exec cat >/dev/null
"#
            );
            let script = scene.script("script", &text);
            let start = || {
                let mut command = with_flock(&scene, &script);
                command
                    .env_remove("FLOCKER")
                    .arg("a b")
                    .arg(scene.path("out"));
                command
            };
            let holder = Holder::start(&mut start());
            assert!(is_taken(&script), "{text}");
            start().run().expect(1, "", "");
            assert!(holder.end().success());
            start().run().expect(0, "held\n", "");
            assert_eq!(fs::read_to_string(scene.path("out")).unwrap(), "2 a b\n");
            assert_eq!(fs::read_to_string(&script).unwrap(), text);
        }
    }
}

#[test]
fn a_script_locks_itself_through_a_descriptor() {
    for shell in SHELLS {
        let scene = Scene::new();
        let text = format!(
            "#!/usr/bin/env {shell}\nexec 9<\"$0\"; flock -n 9 || exit 7\necho held; exec cat >/dev/null\n"
        );
        let script = scene.script("script", &text);
        let holder = Holder::start(&mut with_flock(&scene, &script));
        with_flock(&scene, &script).run().expect(7, "", "");
        assert!(holder.end().success());
        with_flock(&scene, &script).run().expect(0, "held\n", "");
        assert_eq!(fs::read_to_string(&script).unwrap(), text);
    }
}

#[test]
fn a_script_unlocks_before_its_end_even_if_a_child_keeps_the_descriptor() {
    for shell in SHELLS {
        let scene = Scene::new();
        let script = r#"
            mkfifo "$1.pipe"
            exec 9>"$1"; flock -n 9 || exit 7
            { read -r word <"$1.pipe"; } &
            trap 'echo end >"$1.pipe"; wait' EXIT
            flock -n "$1" true && exit 8
            flock -u 9
            flock -n "$1" true || exit 9
            flock -n 9 || exit 10
            flock -n "$1" true && exit 11
            flock --unlock 9
            flock -n "$1" echo free"#;
        sh(&scene, shell, script).run().expect(0, "free\n", "");
    }
}

#[test]
fn the_lock_of_a_group_ends_with_the_group() {
    for shell in SHELLS {
        let scene = Scene::new();
        let script = r#"
            { flock -n 9 || exit 7; flock -n "$1" true && exit 8; } 9>"$1"
            flock -n "$1" echo free"#;
        sh(&scene, shell, script).run().expect(0, "free\n", "");
    }
}

#[test]
fn several_locks_are_nested_by_commands() {
    for shell in SHELLS {
        let scene = Scene::new();
        let script = r#"exec flock "$1" flock "$1.2" nonoverlap "$1.3" "$2" -c 'echo held; exec cat >/dev/null'"#;
        let holder = Holder::start(sh(&scene, shell, script).arg(shell));
        for name in ["lock", "lock.2", "lock.3"] {
            assert!(is_taken(&scene.path(name)), "{shell}: {name}");
        }
        assert!(holder.end().success());
        for name in ["lock", "lock.2", "lock.3"] {
            assert!(!is_taken(&scene.path(name)), "{shell}: {name}");
        }
    }
}

#[test]
fn several_locks_are_nested_by_subshells_and_each_ends_with_its_own() {
    for shell in SHELLS {
        let scene = Scene::new();
        let script = r#"
            (
                flock 8
                ( flock -s 9; flock -ns "$1.2" true || exit 7; flock -n "$1.2" true && exit 8 ) 9>"$1.2"
                flock -n "$1.2" true || exit 9
                echo held
                exec cat >/dev/null
            ) 8>"$1""#;
        let holder = Holder::start(&mut sh(&scene, shell, script));
        assert!(is_taken(&scene.lock()), "{shell}");
        assert!(!is_taken(&scene.path("lock.2")), "{shell}");
        assert!(holder.end().success());
        assert!(!is_taken(&scene.lock()), "{shell}");
    }
}

#[test]
fn readers_share_a_folder_and_a_writer_is_kept_out() {
    for shell in SHELLS {
        let scene = Scene::new();
        fs::create_dir(scene.lock()).unwrap();
        let reader = r#"flock -s "$1" -c 'echo held; exec cat >/dev/null'"#;
        let holder = Holder::start(&mut sh(&scene, shell, reader));
        sh(&scene, shell, reader).run().expect(0, "held\n", "");
        let writer = r#"flock -w .007 "$1" -c 'echo ran'; /bin/echo $?"#;
        sh(&scene, shell, writer).run().expect(0, "1\n", "");
        assert!(holder.end().success());
        sh(&scene, shell, writer).run().expect(0, "ran\n0\n", "");
    }
}

/// A shell with a script whose `$1` is the lock file.
fn sh(scene: &Scene, shell: &str, script: &str) -> Command {
    let mut command = with_flock(scene, Path::new(shell));
    command.args(["-c", script, shell]).arg(scene.lock());
    command
}

/// A program that finds our flock, and nonoverlap beside it, first in its PATH.
fn with_flock(scene: &Scene, program: &Path) -> Command {
    let folder = scene.flock().parent().unwrap().to_owned();
    let _ = std::os::unix::fs::symlink(NONOVERLAP, folder.join("nonoverlap"));
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{path}", folder.display()));
    // A group of its own, so that what hangs in it is killed with it.
    command.process_group(0);
    command
}

/// Whether a run is refused; it is nothing but that run which the idiom is to keep out.
fn is_taken(lock: &Path) -> bool {
    let ran = nonoverlap([lock]).arg("true").run();
    assert!(matches!(ran.code(), Some(0 | 1)), "{ran:?}");
    ran.code() == Some(1)
}
