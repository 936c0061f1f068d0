//! The commands themselves that let go of a lock because they close what they inherit: ssh, tcsh, and
//! sudo where it becomes its command. Linux only, as `let_go.rs` is.

use std::fs;
use std::process::Command;

use crate::inspect::let_go::{is_silent, warns};
use crate::support::harness::{
    Holder, Run, Scene, has_tool, holds_lock, locks_on, nonoverlap, record_of,
};
use crate::support::real_commands::{
    HOLD, ssh_to_here, sudo_runs_without_a_password, sudo_that_becomes_its_command,
};

#[test]
fn sudo_that_becomes_its_command_lets_go_and_is_told_on() {
    let scene = Scene::new();
    if let Some(mut command) = sudo_that_becomes_its_command(&scene, &[]) {
        lets_go_and_is_told_on(&scene, &mut command);
    }
}

#[test]
fn sudo_that_waits_for_its_command_holds_the_lock_as_long_as_it_waits() {
    if !sudo_runs_without_a_password() {
        return;
    }
    let scene = Scene::new();
    let lock = scene.lock();
    let mut command = nonoverlap([&lock]);
    command.args(["sudo", "-n", "sh", "-c", HOLD]);
    let holder = Holder::start(&mut command);
    // Its command has closed the descriptor, but not sudo.
    assert!(holds_lock(holder.pid(), &lock));
    nonoverlap([&lock]).arg("true").run().expect(1, "", "");
    holder.end();
    is_silent(&mut nonoverlap([&lock]));
}

#[test]
fn tcsh_lets_go_and_is_told_on() {
    if has_tool("tcsh", "tcsh as the holder") {
        let scene = Scene::new();
        let mut command = nonoverlap([scene.lock()]);
        lets_go_and_is_told_on(&scene, command.args(["tcsh", "-f", "-c", HOLD]));
    }
}

#[test]
fn ssh_lets_go_and_is_told_on() {
    let scene = Scene::new();
    if let Some(words) = ssh_to_here(&scene) {
        lets_go_and_is_told_on(&scene, nonoverlap([scene.lock()]).args(words));
    }
}

#[track_caller]
fn lets_go_and_is_told_on(scene: &Scene, holder: &mut Command) {
    let lock = scene.lock();
    let holder = Holder::start(holder);
    // That it has let go, and its PID is in the file.
    assert_eq!(locks_on(&lock), [""; 0]);
    assert_eq!(fs::read_to_string(&lock).unwrap(), record_of(holder.pid()));
    warns(&mut nonoverlap([&lock]), &lock, holder.pid());
    // That run has put itself on record, and has ended.
    is_silent(&mut nonoverlap([&lock]));
    assert!(holder.end().success());
}
