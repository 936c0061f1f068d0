//! Promises about who `--status` names: a matrix of who holds a lock in which way, and for each the
//! text, the JSON and the exit status.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, Stopped, eventually, has_tool, is_root, left_out,
    nonoverlap, record_of, settled, waits_for_lock,
};
use crate::support::status_answer::{
    AS_NOBODY, Asker, CANNOT_TELL, FREE, HELD, Realm, binary_for_all, child_of, inner_pid, list,
    nobody, realm_of_processes, record,
};

fn ask(path: &Path) -> crate::support::status_answer::Answer {
    Asker::here().ask(path)
}

/// Another program that takes a lock.
fn other<const N: usize>(words: [&str; N], path: &Path) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(path);
    command
}

#[test]
fn held_by_nonoverlap() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {pid} for TIME: cat"),
        &[
            ("path", &format!("{:?}", scene.lock())),
            ("exists", "true"),
            ("deleted", "false"),
            ("holders", &list(&[(pid, "cat")])),
            ("takers", "[]"),
            ("since", "\"TIME\""),
            ("held_for", "\"SECONDS\""),
            ("record", &record(pid, "holds")),
            ("error", "null"),
        ],
    );
}

#[test]
fn held_by_flock_which_forks() {
    let scene = Scene::new();
    let holder = Holder::start(other(["flock"], &scene.lock()).args(HOLD));
    let child = settled(child_of(holder.pid()));
    let line = format!("flock {} {}", scene.lock().display(), HOLD.join(" "));
    let mut holders = [(holder.pid(), &*line), (child, "cat")];
    holders.sort();
    let [(one, first), (two, second)] = holders;
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by 2 processes for TIME: PID {one} ({first}), PID {two} ({second})"),
        &[
            ("holders", &list(&holders)),
            ("since", "\"TIME\""),
            ("record", "null"),
        ],
    );
}

#[test]
fn held_by_flock_which_does_not_fork() {
    let scene = Scene::new();
    let holder = Holder::start(other(["flock", "-F"], &scene.lock()).args(HOLD));
    let pid = settled(holder.pid());
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {pid} for TIME: cat"),
        &[
            ("holders", &list(&[(pid, "cat")])),
            ("since", "\"TIME\""),
            ("record", "null"),
        ],
    );
}

/// Runs nonoverlap to its end, which leaves a child behind that holds the lock; then this is `cat`.
const LEAVES_CHILD: &str = r#"
    "$0" "$1" sh -c 'cat <&3 3<&- >/dev/null & echo $!' 3<&0 >"$1.child"
    echo held; exec cat >/dev/null"#;

#[test]
fn held_by_a_child_after_the_death_of_the_process_that_took_it() {
    let scene = Scene::new();
    let _shell = Holder::start(&mut other(
        ["sh", "-c", LEAVES_CHILD, NONOVERLAP],
        &scene.lock(),
    ));
    let child = settled(number_in(&scene.path("lock.child")));
    let taker = number_in(&scene.lock());
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {child} for TIME: cat; the record names PID {taker}, which is gone"),
        &[
            ("holders", &list(&[(child, "cat")])),
            ("takers", "[]"),
            ("since", "\"TIME\""),
            ("record", &record(taker, "gone")),
        ],
    );
}

#[test]
fn held_by_a_child_while_the_process_that_took_it_is_a_zombie() {
    let scene = Scene::new();
    let words = [
        "sh",
        "-c",
        r#"cat <&3 >/dev/null & echo $! >"$0.child"; echo held"#,
    ];
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$@" 3<&0"#, NONOVERLAP]);
    // It is waited for when it goes out of scope, and until then is a zombie.
    let taker = Holder::start(command.arg(scene.lock()).args(words).arg(scene.lock()));
    wait_for_state(taker.pid(), 'Z');
    let child = settled(number_in(&scene.path("lock.child")));
    ask(&scene.lock()).expect(
        HELD,
        &format!(
            "held by PID {child} for TIME: cat; the record names PID {}, which is gone",
            taker.pid()
        ),
        &[
            ("holders", &list(&[(child, "cat")])),
            ("record", &record(taker.pid(), "gone")),
        ],
    );
}

#[test]
fn free_while_the_process_that_held_it_is_a_zombie() {
    let scene = Scene::new();
    let zombie = Unwaited(
        nonoverlap([scene.lock()])
            .arg("true")
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let pid = zombie.0.id();
    wait_for_state(pid, 'Z');
    ask(&scene.lock()).expect(
        FREE,
        &format!("free; last run began DATE as PID {pid}"),
        &[
            ("holders", "[]"),
            ("since", "null"),
            ("record", &record(pid, "gone")),
        ],
    );
}

#[test]
fn free_after_a_run() {
    let scene = Scene::new();
    assert!(
        nonoverlap([scene.lock()])
            .arg("true")
            .run()
            .status
            .success()
    );
    let pid = number_in(&scene.lock());
    ask(&scene.lock()).expect(
        FREE,
        &format!("free; last run began DATE as PID {pid}"),
        &[
            ("exists", "true"),
            ("holders", "[]"),
            ("takers", "[]"),
            ("since", "null"),
            ("held_for", "null"),
            ("record", &record(pid, "gone")),
        ],
    );
}

#[test]
fn free_while_a_command_runs_that_closed_its_descriptors() {
    let scene = Scene::new();
    // As the programs do that close whatever they inherit, the mark of the lock's name too.
    let hold = "for it in {60..70}; do eval \"exec $it>&-\"; done; echo held; exec cat >/dev/null";
    let holder = Holder::start(nonoverlap([scene.lock()]).args(["bash", "-c", hold]));
    let pid = settled(holder.pid());
    ask(&scene.lock()).expect(
        FREE,
        &format!(
            "free; last run began DATE as PID {pid}, which runs and has perhaps released the lock"
        ),
        &[("holders", "[]"), ("record", &record(pid, "runs"))],
    );
}

#[test]
fn held_by_several_that_share_it() {
    let scene = Scene::new();
    let shared = ["-s".into(), scene.lock()];
    let first = Holder::of(&shared);
    let second = Holder::of(&shared);
    let third = Holder::start(other(["flock", "-F", "-s"], &scene.lock()).args(HOLD));
    let mut pids = [&first, &second, &third].map(|holder| settled(holder.pid()));
    pids.sort();
    let [a, b, c] = pids;
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by 3 processes for TIME: PID {a} (cat), PID {b} (cat), PID {c} (cat)"),
        &[
            ("holders", &list(&pids.map(|pid| (pid, "cat")))),
            ("record", "null"),
        ],
    );
}

#[test]
fn all_who_share_it_are_named_to_a_user_who_may_look_into_some_of_them_only() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("another user's shared lock", "needs root to have one");
    }
    let shared = ["-s".into(), scene.lock()];
    let roots = Holder::of(&shared);
    let mut command = Command::new(AS_NOBODY[0]);
    command
        .args(&AS_NOBODY[1..])
        .arg(binary_for_all(&scene))
        .args(&shared)
        .args(HOLD);
    let theirs = Holder::start(&mut command);
    let [roots, theirs] = [&roots, &theirs].map(|holder| settled(holder.pid()));
    let answer = nobody(&scene).ask(&scene.lock());
    assert_eq!(answer.code, HELD);
    assert_eq!(
        answer.sentence,
        format!("held by PID {theirs} for TIME: cat; perhaps also by PID {roots} of user 0 (cat)")
    );
    let own = list(&[(theirs, "cat")]).replace(r#""user":0"#, r#""user":65534"#);
    answer.expect_field("holders", &own);
    answer.expect_field("takers", &list(&[(roots, "cat")]));
}

#[test]
fn how_many_wait() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    let mut waiting = Vec::new();
    for (count, said) in [
        (0, ""),
        (1, "; 1 process waits"),
        (2, "; 2 processes wait"),
        (3, "; 3 processes wait"),
    ] {
        while waiting.len() < count {
            let mut waiter = nonoverlap(["-b"]);
            let waiter = waiter.arg(scene.lock()).arg("true").spawn().unwrap();
            // A line of the table may be read twice while others come and go, so none are counted.
            eventually("it waits", || waits_for_lock(waiter.id(), &scene.lock()));
            waiting.push(waiter);
        }
        ask(&scene.lock()).expect(
            HELD,
            &format!("held by PID {pid} for TIME: cat{said}"),
            &[
                ("waiters", &count.to_string()),
                ("holders", &list(&[(pid, "cat")])),
            ],
        );
    }
    assert!(holder.end().success());
    for mut child in waiting {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn held_by_another_user_seen_by_root() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("another user's lock, seen by root", "needs root");
    }
    let path = scene.file("lock", "");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut command = Command::new(AS_NOBODY[0]);
    command
        .args(&AS_NOBODY[1..])
        .arg(binary_for_all(&scene))
        .arg(&path)
        .args(HOLD);
    let holder = Holder::start(&mut command);
    let pid = settled(holder.pid());
    ask(&path).expect(
        HELD,
        &format!("held by PID {pid} of user 65534 for TIME: cat"),
        &[
            (
                "holders",
                &list(&[(pid, "cat")]).replace(r#""user":0"#, r#""user":65534"#),
            ),
            ("record", &record(pid, "holds")),
        ],
    );
}

#[test]
fn held_by_another_user_seen_by_an_ordinary_one() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("root's lock, seen by another user", "needs root");
    }
    let asker = nobody(&scene);
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    // The kernel says that it took the lock, and it has written the record.
    asker.ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {pid} of user 0 for TIME: cat"),
        &[
            ("holders", &list(&[(pid, "cat")])),
            ("record", &record(pid, "holds")),
        ],
    );
    fs::set_permissions(
        scene.lock(),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    asker.ask(&scene.lock()).expect(
        HELD,
        &format!("held by a process that cannot be inspected, perhaps PID {pid} of user 0 (cat)"),
        &[
            ("holders", "[]"),
            ("takers", &list(&[(pid, "cat")])),
            ("since", "null"),
            ("held_for", "null"),
            ("record", "null"),
        ],
    );
}

#[test]
fn held_by_another_users_child_after_the_death_of_the_process_that_took_it() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("root's lock, seen by another user", "needs root");
    }
    let _shell = Holder::start(&mut other(
        ["sh", "-c", LEAVES_CHILD, NONOVERLAP],
        &scene.lock(),
    ));
    let taker = number_in(&scene.lock());
    nobody(&scene).ask(&scene.lock()).expect(
        HELD,
        &format!(
            "held by a process that cannot be seen; the record names PID {taker}, which is gone"
        ),
        &[
            ("holders", "[]"),
            ("takers", "[]"),
            ("since", "null"),
            ("record", &record(taker, "gone")),
        ],
    );
}

#[test]
fn held_by_a_process_that_is_stopped() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    let _stopped = Stopped::new(pid);
    ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {pid} (stopped) for TIME: cat"),
        &[("holders", &list(&[(pid, "cat")]).replace("false", "true"))],
    );
}

#[test]
fn held_on_a_lock_file_that_was_deleted() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    let held = format!("held by PID {pid} for TIME: cat; its lock file was deleted");
    let holders = list(&[(pid, "cat")]);
    fs::remove_file(scene.lock()).unwrap();
    let fields = [
        ("exists", "false"),
        ("deleted", "true"),
        ("holders", &*holders),
        ("since", "\"TIME\""),
    ];
    ask(&scene.lock()).expect(HELD, &held, &fields);
    // Somebody makes it again.
    scene.file("lock", "");
    let fields = [
        ("exists", "true"),
        ("deleted", "true"),
        ("holders", &*holders),
    ];
    ask(&scene.lock()).expect(HELD, &held, &fields);
    // Somebody puts another over it.
    fs::rename(scene.file("new", ""), scene.lock()).unwrap();
    ask(&scene.lock()).expect(HELD, &held, &fields);
    drop(holder);
    ask(&scene.lock()).expect(FREE, "free; no run is recorded", &[("deleted", "false")]);
}

#[test]
fn a_lock_file_that_was_moved_is_held_where_it_is_now_and_under_the_name_that_it_had() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let pid = settled(holder.pid());
    let moved = scene.path("lock.old");
    fs::rename(scene.lock(), &moved).unwrap();
    let held = format!("held by PID {pid} for TIME: cat; its lock file was renamed or replaced");
    let holders = list(&[(pid, "cat")]);
    for exists in ["false", "true"] {
        let fields = [("exists", exists), ("holders", &*holders)];
        ask(&scene.lock()).expect(HELD, &held, &fields);
        scene.file("lock", "");
    }
    ask(&moved).expect(HELD, &format!("held by PID {pid} for TIME: cat"), &[]);
    drop(holder);
    ask(&scene.lock()).expect(FREE, "free; no run is recorded", &[]);
}

#[test]
fn a_file_whose_name_ends_like_a_deleted_ones_is_no_deleted_file() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.path("lock (deleted)")]);
    for sentence in ["free; there is no such file", "free; no run is recorded"] {
        ask(&scene.lock()).expect(FREE, sentence, &[("deleted", "false")]);
        nonoverlap([scene.lock()])
            .args(["echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
        scene.file("lock", "");
    }
}

#[test]
fn a_folder_as_lock_file() {
    let scene = Scene::new();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    ask(&folder).expect(
        FREE,
        "free; no run is recorded",
        &[("exists", "true"), ("record", "null")],
    );
    let holder = Holder::of([&folder]);
    let pid = settled(holder.pid());
    ask(&folder).expect(
        HELD,
        &format!("held by PID {pid} for TIME: cat"),
        &[("holders", &list(&[(pid, "cat")])), ("record", "null")],
    );
}

#[test]
fn record_locks_of_both_kinds() {
    if !has_tool("python3", "record locks of others") {
        return;
    }
    let scene = Scene::new();
    let ours = Holder::of(["--fcntl".as_ref(), scene.path("ofd").as_os_str()]);
    let posix = r#"
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX, 5, 1000)
print("held", flush=True)
sys.stdin.read()"#;
    let theirs = Holder::start(&mut other(["python3", "-c", posix], &scene.path("posix")));
    let answer = ask(&scene.path("ofd"));
    let pid = settled(ours.pid());
    answer.expect(
        HELD,
        &format!("held by PID {pid} for TIME: cat"),
        &[
            ("holders", &list(&[(pid, "cat")])),
            ("takers", "[]"),
            ("record", "null"),
        ],
    );
    let answer = ask(&scene.path("posix"));
    let named = format!("held by PID {} for TIME: ", theirs.pid());
    assert!(answer.sentence.starts_with(&named), "{}", answer.seen);
    assert_eq!(answer.code, HELD);
}

#[test]
fn a_lease_is_no_lock() {
    if !has_tool("python3", "a lease") {
        return;
    }
    let scene = Scene::new();
    let lease = r#"
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("held", flush=True)
sys.stdin.read()"#;
    let path = scene.file("lock", "");
    let _holder = Holder::start(&mut other(["python3", "-c", lease], &path));
    ask(&path).expect(FREE, "free; no run is recorded", &[("holders", "[]")]);
    nonoverlap([&path])
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}

#[test]
fn asked_under_the_lock_it_names_the_process_that_asks() {
    let scene = Scene::new();
    for shell in ["exec", ""] {
        // Many a shell becomes the last command without being told to.
        let line = format!(r#"echo $$; {shell} "$0" --status "$1""#);
        let mut command = nonoverlap([scene.lock()]);
        let told = command
            .args(["sh", "-c", &line, NONOVERLAP])
            .arg(scene.lock())
            .run();
        let said = told.stdout();
        let (pid, sentence) = said.split_once('\n').unwrap();
        let expected = format!("{}: held by PID {pid} for ", scene.lock().display());
        assert!(sentence.starts_with(&expected), "{told:?}");
        assert!(!sentence.contains("let go"), "{told:?}");
    }
}

#[test]
fn free_while_another_process_has_the_pid_of_the_last_run() {
    let scene = Scene::new();
    let other = Holder::start(Command::new(HOLD[0]).args(&HOLD[1..]));
    let path = scene.file("lock", record_of(other.pid()));
    age(&path);
    let pid = other.pid();
    ask(&path).expect(
        FREE,
        &format!("free; last run began DATE as PID {pid}, which is another process now"),
        &[("holders", "[]"), ("record", &record(pid, "reused"))],
    );
}

#[test]
fn a_reused_pid_is_said_to_be_another_process() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let old = scene.file("lock", record_of(4321));
    let _other = with_pid(&realm, 4321, "echo held; exec cat >/dev/null", &old);
    let holder = Holder::start(realm.command(["flock", "-F"]).arg(&old).args(HOLD));
    let pid = inner_pid(settled(child_of(holder.pid())));
    age(&old);
    realm.asker([NONOVERLAP]).ask(&old).expect(
        HELD,
        &format!("held by PID {pid} for TIME: cat; the record names PID 4321, which is another process now"),
        &[("record", &record(4321, "reused")), ("holders", &list(&[(pid, "cat")]))],
    );
}

#[test]
fn held_inside_a_pid_namespace_by_a_child_after_the_takers_death() {
    let Some((scene, realm)) = realm_of_processes() else {
        return;
    };
    let hold = r#"exec 9>"$0"; flock 9; echo held; exec cat >/dev/null"#;
    let holder = Holder::start(realm.command(["sh", "-c", hold]).arg(scene.lock()));
    let outer = settled(child_of(holder.pid()));
    let inner = inner_pid(outer);
    realm.asker([NONOVERLAP]).ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {inner} for TIME: cat"),
        &[
            ("holders", &list(&[(inner, "cat")])),
            ("since", "\"TIME\""),
            ("record", "null"),
        ],
    );
    let elsewhere = list(&[(outer, "cat")]).replace("null", &inner.to_string());
    Asker::here().ask(&scene.lock()).expect(
        HELD,
        &format!("held by PID {outer} (PID {inner} in its own PID namespace) for TIME: cat"),
        &[("holders", &elsewhere), ("record", "null")],
    );
}

#[test]
fn without_proc_it_cannot_be_told() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("/proc absent", "needs root to take it away");
    }
    let _holder = Holder::of([scene.lock()]);
    let free = scene.file("free", "");
    for away in ["umount -l /proc", "mount -t tmpfs none /proc"] {
        let realm = Realm::of_mounts(&scene, away);
        for path in [scene.lock(), free.clone()] {
            realm.asker([NONOVERLAP]).ask(&path).expect(
                CANNOT_TELL,
                "cannot tell: /proc/locks cannot be read",
                &[
                    ("holders", "[]"),
                    ("error", "\"/proc/locks cannot be read\""),
                ],
            );
        }
        let answer = realm.asker([NONOVERLAP]).ask(&scene.path("absent"));
        answer.expect(FREE, "free; there is no such file", &[("exists", "false")]);
    }
}

/// A shell of this PID in the realm, with this script, which has the path as `$0`.
#[track_caller]
fn with_pid(realm: &Realm, pid: u32, script: &str, path: &Path) -> Holder {
    let line = format!(
        r#"exec 3<&0; echo {} >/proc/sys/kernel/ns_last_pid; sh -c "$1" "$0" <&3 3<&- & wait"#,
        pid - 1
    );
    let mut command = realm.command(["sh", "-c", &line]);
    let holder = Holder::start(command.arg(path).arg(script));
    let found = inner_pid(settled(child_of(child_of(holder.pid()))));
    assert_eq!(found, pid, "another process took the PID");
    holder
}

/// As if it had been written ten days ago.
fn age(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(10 * 24 * 60 * 60);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

/// The number in a file.
#[track_caller]
fn number_in(path: &Path) -> u32 {
    let content = fs::read_to_string(path).unwrap();
    content
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{content:?}"))
}

/// Waits until the kernel gives this letter as the state of a process.
#[track_caller]
fn wait_for_state(pid: u32, state: char) {
    let line = format!("State:\t{state}");
    eventually(&line, || {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|all| all.contains(&line))
    });
}

/// A child that is waited for when it goes out of scope.
struct Unwaited(Child);

impl Drop for Unwaited {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}
