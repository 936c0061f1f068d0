//! Promises about `--status` where not all can be seen: namespaces, a hidden `/proc`, few descriptors;
//! and where the kernel's lists name files in their own way: btrfs, overlayfs, FUSE. What cannot be
//! known is never called free.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, eventually, has_tool, is_root, left_out, locks_on,
    nonoverlap, record_of, settled,
};
use crate::support::status_answer::{
    AS_NOBODY, Answer, Asker, CANNOT_TELL, FREE, HELD, Realm, binary_for_all, child_of, inner_pid,
    list, realm_of_processes, realm_with, record,
};

/// A holder whose taker is dead: in a PID namespace, only its descriptors tell of it.
const FLOCK_9: &str = r#"exec 9>"$0"; flock 9; echo held; exec cat >/dev/null"#;

#[test]
fn a_lock_held_outside_of_the_pid_namespace_is_not_called_free_inside() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let holder = Holder::of([scene.lock()]);
    let answer = realm.asker([NONOVERLAP]).ask(&scene.lock());
    assert_ne!(answer.code, FREE, "{}", answer.seen);
    answer.expect_field("record", &record(holder.pid(), "unseen"));
    assert!(
        !answer.sentence.contains("gone"),
        "it runs outside: {}",
        answer.seen
    );
}

#[test]
fn a_run_inside_a_pid_namespace_is_told_of_outside_as_what_it_is() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let holder = Holder::start(realm.command([NONOVERLAP]).arg(scene.lock()).args(HOLD));
    let outer = settled(child_of(holder.pid()));
    let inner = inner_pid(outer);
    realm.asker([NONOVERLAP]).ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {inner} for TIME: cat"),
        &[
            ("holders", &list(&[(inner, "cat")])),
            ("record", &record(inner, "holds")),
        ],
    );
    // The number in the record is some kernel thread's here, which has let go of nothing.
    let elsewhere = list(&[(outer, "cat")]).replace("null", &inner.to_string());
    Asker::here().ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {outer} (PID {inner} in its own PID namespace) for TIME: cat"),
        &[("holders", &elsewhere), ("record", &record(inner, "holds"))],
    );
    assert!(holder.end().success());
    nonoverlap([scene.lock()])
        .arg("true")
        .run()
        .expect(0, "", "");
}

#[test]
fn inside_a_pid_namespace_processes_that_cannot_be_looked_into_make_it_4() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let free = scene.file("free", "");
    let holder = Holder::start(realm.command(["sh", "-c", FLOCK_9]).arg(scene.lock()));
    settled(child_of(holder.pid()));
    let asker = realm.asker(
        AS_NOBODY
            .iter()
            .map(Into::into)
            .chain([binary_for_all(&scene)]),
    );
    for path in [&scene.lock(), &free] {
        asker.ask(path).expect(
            CANNOT_TELL,
            "cannot tell: processes outside of this PID namespace cannot be seen; no nonoverlap holds it",
            &[("holders", "[]"), ("marked", "false")],
        );
    }
}

#[test]
fn in_a_pid_namespace_every_nonoverlap_that_holds_is_told_of_and_that_none_does() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let lock = scene.lock();
    let asker = realm.asker([NONOVERLAP]);
    let held = "held by a nonoverlap that cannot be seen";
    for options in [&[][..], &["-s"], &["--close"]] {
        let holder = Holder::start(nonoverlap(options).arg(&lock).args(HOLD));
        let answer = asker.ask(&lock);
        assert_eq!(answer.code, HELD, "{}", answer.seen);
        assert!(answer.sentence.starts_with(held), "{}", answer.seen);
        for (field, value) in [
            ("holders", "[]"),
            ("since", "null"),
            ("marked", "true"),
            ("deleted", "false"),
        ] {
            answer.expect_field(field, value);
        }
        let mut refused = realm.command([NONOVERLAP, "-v", "--alarm", "0"]);
        let refused = refused.arg(&lock).arg("true").run();
        let said = format!(
            "nonoverlap: {} is held by a nonoverlap that cannot be seen; not started\n",
            lock.display()
        );
        refused.expect(1, "", &said);

        fs::remove_file(&lock).unwrap();
        let answer = asker.ask(&lock);
        let deleted = format!("{held}; its lock file was deleted, renamed or replaced");
        answer.expect(HELD, &deleted, &[("marked", "true"), ("deleted", "true")]);
        drop(holder);
        fs::write(&lock, "").unwrap();
    }
    eventually("the guardian has ended, too", || {
        let mut asked = asker.command();
        asked.args(["--status", "-q"]).arg(&lock).run().code() == Some(CANNOT_TELL)
    });
    let unknown = "cannot tell: processes outside of this PID namespace cannot be seen; no nonoverlap holds it";
    asker
        .ask(&lock)
        .expect(CANNOT_TELL, unknown, &[("marked", "false")]);
    // Another program makes no mark, and may hold it.
    let _holder = Holder::start(Command::new("flock").arg("-F").arg(&lock).args(HOLD));
    asker
        .ask(&lock)
        .expect(CANNOT_TELL, unknown, &[("marked", "false")]);
}

#[test]
fn without_a_proc_of_its_own_who_asks_in_a_pid_namespace_is_no_holder() {
    if !is_root() {
        return left_out("a PID namespace", "needs root to make one");
    }
    let scene = Scene::new();
    let line = r#""$0" --status "$1"; "$0" --status --json "$1"; :"#;
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", NONOVERLAP])
        .arg(scene.lock());
    let ended = command
        .args(["sh", "-c", line, NONOVERLAP])
        .arg(scene.lock())
        .run();
    let said = ended.stdout();
    let (text, json) = said.split_once('\n').unwrap();
    assert_eq!(
        text.matches("PID ").count() + text.matches("processes").count(),
        3,
        "{ended:?}"
    );
    assert!(
        text.contains(" (PID 1 in its own PID namespace) for "),
        "{ended:?}"
    );
    assert_eq!(
        json.matches(r#""pid":"#).count(),
        2,
        "the holder and the record: {ended:?}"
    );
    assert!(json.contains(r#""process":"holds""#), "{ended:?}");

    // Nor is another process the recorded one because it has that number in the `/proc` that is there.
    let other = Holder::start(Command::new(HOLD[0]).args(&HOLD[1..]));
    let path = scene.file("old", record_of(other.pid()));
    let mut command = Command::new("unshare");
    let asked = command
        .args(["--pid", "--fork", NONOVERLAP, "--status", "--json"])
        .arg(&path)
        .run();
    assert!(
        asked.stdout().contains(r#""process":"unseen""#),
        "{asked:?}"
    );
}

#[test]
fn where_proc_hides_processes_what_is_not_seen_is_not_called_free() {
    if !is_root() {
        return left_out("a /proc that hides processes", "needs root to mount one");
    }
    let scene = Scene::new();
    let nobody: Vec<_> = AS_NOBODY
        .iter()
        .map(Into::into)
        .chain([binary_for_all(&scene)])
        .collect();
    let free = scene.file("free", "");
    let hidden = "mount -t proc -o hidepid=2 proc /proc";

    // The initial namespace's table names the holder, who is hidden.
    let realm = Realm::of_mounts(&scene, hidden);
    let holder = Holder::of([scene.lock()]);
    let answer = realm.asker(&nobody).ask(&scene.lock());
    assert_eq!(answer.code, HELD, "{}", answer.seen);
    assert!(
        !answer.sentence.contains("gone"),
        "it is hidden: {}",
        answer.seen
    );
    drop(holder);
    assert_eq!(realm.asker(&nobody).ask(&free).code, CANNOT_TELL);

    let realm = Realm::of_processes(&scene, hidden);
    let holder = Holder::start(realm.command(["sh", "-c", FLOCK_9]).arg(scene.lock()));
    settled(child_of(holder.pid()));
    assert_eq!(realm.asker(&nobody).ask(&scene.lock()).code, CANNOT_TELL);
}

#[test]
fn too_few_descriptors_to_look_do_not_make_it_free() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let holder = Holder::start(realm.command(["sh", "-c", FLOCK_9]).arg(scene.lock()));
    settled(child_of(holder.pid()));
    for limit in 3..=8 {
        let line = format!(r#"ulimit -n {limit}; exec "$0" --status -q "$1""#);
        let mut command = realm.command(["sh", "-c", &line, NONOVERLAP]);
        let ended = command.arg(scene.lock()).run();
        let code = ended.code();
        assert!(
            matches!(code, Some(HELD | CANNOT_TELL)),
            "{limit} descriptors: {ended:?}"
        );
    }
}

#[test]
fn a_holder_whose_first_thread_has_ended_is_a_holder() {
    if !has_tool("python3", "a holder of several threads") {
        return;
    }
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    // The thread goes on when the process looks like a zombie.
    let program = r#"
import ctypes, sys, threading
def hold():
    print("held", flush=True)
    sys.stdin.read()
threading.Thread(target=hold).start()
ctypes.CDLL(None).pthread_exit(None)"#;
    let line = r#"exec 9>"$0"; flock 9; exec python3 -c "$1""#;
    let mut command = realm.command(["sh", "-c", line]);
    let holder = Holder::start(command.arg(scene.lock()).arg(program));
    let outer = child_of(holder.pid());
    for (asker, pid) in [
        (Asker::here(), outer),
        (realm.asker([NONOVERLAP]), inner_pid(outer)),
    ] {
        let answer = asker.ask(&scene.lock());
        assert_eq!(answer.code, HELD, "{}", answer.seen);
        let pid = format!(r#""pid":{pid},"#);
        answer.expect_in_field("holders", |holders| holders.contains(&pid));
    }
}

#[test]
fn a_file_deleted_from_another_mount_of_the_same_path_is_another_file() {
    if !is_root() {
        return left_out("a private mount", "needs root to make one");
    }
    let scene = Scene::new();
    let (place, other) = (scene.path("place"), scene.path("other"));
    fs::create_dir(&place).unwrap();
    fs::create_dir(&other).unwrap();
    // As a service has a /tmp of its own.
    let realm = Realm::of_mounts(&scene, r#"mount --bind "$0/other" "$0/place""#);
    let lock = place.join("lock");
    let _holder = Holder::start(realm.command([NONOVERLAP]).arg(&lock).args(HOLD));
    fs::remove_file(other.join("lock")).unwrap();
    assert_eq!(realm.asker([NONOVERLAP]).ask(&lock).code, HELD);
    for _ in 0..2 {
        Asker::here()
            .ask(&lock)
            .expect(FREE, "free; there is no such file", &[]);
        nonoverlap([&lock])
            .args(["echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
        fs::remove_file(&lock).unwrap();
    }
    fs::write(&lock, "").unwrap();
    Asker::here()
        .ask(&lock)
        .expect(FREE, "free; no run is recorded", &[("deleted", "false")]);
}

#[test]
fn on_btrfs_locks_are_found_and_subvolumes_told_apart() {
    let Some((scene, realm)) = realm_with(
        "btrfs",
        "mkfs.btrfs",
        "btrfs-progs",
        r#"
        truncate -s 120M "$0/image"; mkfs.btrfs -q "$0/image" >&2; mkdir "$0/b"
        mount -o loop "$0/image" "$0/b"
        btrfs subvolume create "$0/b/one" >&2; btrfs subvolume create "$0/b/two" >&2
        touch "$0/b/one/lock" "$0/b/two/lock""#,
    ) else {
        return;
    };
    let (one, two) = (scene.path("b/one/lock"), scene.path("b/two/lock"));
    let inode = |path| fs::metadata(realm.path(path)).unwrap().ino();
    assert_eq!(
        inode(&one),
        inode(&two),
        "the kernel's lists would tell them apart"
    );
    let holder = Holder::start(realm.command([NONOVERLAP]).arg(&one).args(HOLD));
    let pid = settled(holder.pid());
    assert_table_differs_from_stat(&realm.path(&one));
    let asker = realm.asker([NONOVERLAP]);
    asker
        .ask(&one)
        .expect(HELD, &format!("held by PID {pid} for TIME: cat"), &[]);
    let other = asker.ask(&two);
    assert_eq!(other.code, FREE, "{}", other.seen);
    other.expect_field("holders", "[]");
    drop(holder);
    assert_all_kinds_are_found(&realm, &scene.path("b"));
}

#[test]
fn on_overlayfs_locks_are_found_on_files_of_both_layers() {
    let Some((scene, realm)) = realm_with(
        "overlay",
        "mount",
        "mount",
        r#"
        cd "$0"; mkdir low high merged; mount -t tmpfs none low; mount -t tmpfs none high
        mkdir high/up high/work; touch low/lock; echo data >low/data
        mount -t overlay -o lowerdir=low,upperdir=high/up,workdir=high/work,xino=off none merged
        touch merged/new"#,
    ) else {
        return;
    };
    let merged = scene.path("merged");
    for name in ["lock", "data", "new"] {
        let path = merged.join(name);
        let holder = Holder::start(realm.command([NONOVERLAP]).arg(&path).args(HOLD));
        let pid = settled(holder.pid());
        assert_table_differs_from_stat(&realm.path(&path));
        let asker = realm.asker([NONOVERLAP]);
        let other = match name {
            "data" => "; its lock file holds something other than a PID record",
            _ => "",
        };
        let said = format!("held by PID {pid} for TIME: cat{other}");
        asker.ask(&path).expect(HELD, &said, &[]);
        drop(holder);
        assert_eq!(asker.ask(&path).code, FREE);
    }
    assert_all_kinds_are_found(&realm, &merged);
}

#[test]
fn a_file_system_that_keeps_its_locks_to_itself_is_not_called_free() {
    // bindfs hands locks down to the files below it, and the kernel has them in no list.
    let Some((scene, realm)) = realm_with(
        "fuse",
        "bindfs",
        "bindfs",
        r#"
        mkdir "$0/below" "$0/above"; bindfs --enable-lock-forwarding --multithreaded "$0/below" "$0/above""#,
    ) else {
        return;
    };
    let path = scene.path("above/lock");
    let _holder = Holder::start(realm.command([NONOVERLAP]).arg(&path).args(HOLD));
    let refused = realm.command([NONOVERLAP]).arg(&path).arg("true").run();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    let answer = realm.asker([NONOVERLAP]).ask(&path);
    assert_ne!(answer.code, FREE, "{}", answer.seen);
}

/// A flock, a record lock of an open file description and one of a process, each on a file in this
/// folder, and each is found; and nothing is found on a fourth.
#[track_caller]
fn assert_all_kinds_are_found(realm: &Realm, folder: &Path) {
    if !has_tool("python3", "record locks of others") {
        return;
    }
    let posix = r#"import fcntl, sys; file = open(sys.argv[1], "w"); fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True); sys.stdin.read()"#;
    let kinds: [&[&str]; 3] = [
        &[NONOVERLAP],
        &[NONOVERLAP, "--fcntl"],
        &["python3", "-c", posix],
    ];
    let take = |(index, words): (usize, &&[&str])| {
        let path = folder.join(index.to_string());
        let mut command = realm.command(words.iter());
        let commands_own: &[&str] = if words[0] == NONOVERLAP { &HOLD } else { &[] };
        (Holder::start(command.arg(&path).args(commands_own)), path)
    };
    let held: Vec<_> = kinds.iter().enumerate().map(take).collect();
    let asker = realm.asker([NONOVERLAP]);
    for (holder, path) in &held {
        let answer = asker.ask(path);
        assert_named(&answer, holder.pid());
    }
    let free = folder.join("free");
    fs::write(realm.path(&free), "").unwrap();
    assert_eq!(asker.ask(&free).code, FREE);
}

#[track_caller]
fn assert_named(answer: &Answer, pid: u32) {
    assert_eq!(answer.code, HELD, "{}", answer.seen);
    assert!(
        answer
            .sentence
            .starts_with(&format!("held by PID {pid} for ")),
        "{}",
        answer.seen
    );
    answer.expect_in_field("holders", |all| all.matches(r#""pid""#).count() == 1);
}

/// The test would show nothing if stat(2) named this locked file's device as `/proc/locks` does.
#[track_caller]
fn assert_table_differs_from_stat(path: &Path) {
    let device = fs::metadata(path).unwrap().dev();
    let device = format!(" {:02x}:{:02x}:", libc::major(device), libc::minor(device));
    let mut lines = Vec::new();
    eventually("the table has the lock", || {
        lines = locks_on(path);
        !lines.is_empty()
    });
    assert!(
        !lines.iter().any(|line| line.contains(&device)),
        "{device} in {lines:?}"
    );
}
