//! What strace writes, read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Calls that end the process, or that no error comes of; and brk(2), which the C library's own start-up
/// makes once more or once less. Memory that runs out is a test of its own.
const WITHOUT_ERRORS: [&str; 5] = ["execve", "exit", "exit_group", "rt_sigreturn", "brk"];

/// The last call of the C library's own start-up, which ends as it likes where a call fails.
const LAST_OF_START: &str = if cfg!(target_env = "musl") {
    "set_tid_address"
} else {
    "mprotect"
};

/// Of calls that are alike, so many are made to fail: a search through all processes makes thousands.
const MOST_ALIKE: usize = 10;

/// A call that was made.
#[derive(Clone)]
pub struct Call {
    pub name: String,
    /// As strace writes it.
    pub text: String,
    /// A child made it that posix_spawn(3) has started, before its execve(2).
    pub is_spawns: bool,
}

/// A call that was made to fail, and those before it.
pub type Failed = (Call, Vec<Call>);

/// The calls of a trace that can fail, and those that were made to fail, each with those before it.
pub fn read(trace: &str) -> (BTreeSet<(String, usize)>, Vec<Failed>) {
    let (mut made, mut calls) = (BTreeMap::new(), BTreeSet::new());
    let (mut earlier, mut unfinished) = (Vec::new(), BTreeMap::new());
    let (mut failed, mut alike) = (Vec::new(), BTreeMap::new());
    let (mut known, mut spawned) = (HashSet::new(), HashSet::new());
    let (mut has_started, mut is_spawning, mut has_spawned) = (false, false, false);
    for line in trace.lines() {
        let (pid, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        // posix_spawn(3) of the C library starts a child that shares our memory.
        if known.insert(pid) && is_spawning {
            spawned.insert(pid);
        }
        let rest = text
            .strip_prefix("<... ")
            .and_then(|text| text.split_once(" resumed>"));
        let is_resumed = rest.is_some();
        let text = match rest {
            Some((_, rest)) => {
                [unfinished.remove(pid).unwrap_or_default(), rest.to_owned()].concat()
            }
            None => text.to_owned(),
        };
        let Some((name, _)) = text.split_once('(') else {
            continue;
        };
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.chars().all(is_letter) {
            continue;
        }
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, start.to_owned());
        }
        if name.contains("clone") || name == "vfork" {
            is_spawning = text.contains("CLONE_VFORK") || name == "vfork";
            has_spawned |= is_spawning;
        }
        let call = Call {
            name: name.to_owned(),
            text: text.clone(),
            is_spawns: spawned.contains(pid),
        };
        if line.ends_with("(INJECTED)") {
            failed.push((call.clone(), earlier.clone()));
        }
        if is_resumed || WITHOUT_ERRORS.contains(&name) {
            continue;
        }
        let number = made.entry((pid, name.to_owned())).or_insert(0);
        *number += 1;
        let same = alike
            .entry((call.is_spawns, kind(name, &text)))
            .or_insert(0);
        *same += 1;
        if has_started && *same <= MOST_ALIKE {
            calls.insert((name.to_owned(), *number));
        }
        has_started |= name == LAST_OF_START;
        earlier.push(call);
    }
    // strace leaves out the call that fails. Where one closes our end of a pipe to a program that is
    // started, that is no error but an end that stays open, and close(2) always closes.
    calls.retain(|(call, _)| !(has_spawned && call == "close"));
    (calls, failed)
}

/// Which calls are alike: by what they are made on, but for the numbers in a path, and for which of the
/// 64 signals it is that posix_spawn(3) sets.
fn kind(name: &str, text: &str) -> String {
    let on: Vec<_> = match name {
        "rt_sigaction" => vec![if text.contains("NULL, 0x") {
            "asks"
        } else {
            "sets"
        }],
        "read" | "pread64" | "getdents64" => text.split(',').take(1).collect(),
        _ => text.split(',').take(2).collect(),
    };
    let mut is_in_path = false;
    let is_steady = |letter: &char| {
        is_in_path ^= *letter == '"';
        !(is_in_path && letter.is_ascii_digit())
    };
    let steady: String = on.join(",").chars().filter(is_steady).collect();
    format!("{name} {steady}")
}
