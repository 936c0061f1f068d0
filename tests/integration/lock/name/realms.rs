//! Where the holder and the next run see the name from: namespaces, mounts and file systems.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{FATES, Pinned, in_folder, is_conflict, runs_after, some_fates, status_of};
use crate::support::harness::{
    HOLD, Holder, NONOVERLAP, Run, Scene, is_root, left_out, nonoverlap,
};
use crate::support::status_answer::{Realm, realm_of_processes, realm_with};

fn here() -> Command {
    nonoverlap([""; 0])
}

fn shell() -> Command {
    Command::new("env")
}

#[test]
fn it_is_a_conflict_from_inside_a_pid_namespace_and_from_outside() {
    let Some((_, realm)) = realm_of_processes() else {
        return;
    };
    let inside = || realm.command([NONOVERLAP]);
    // Without a `/proc` of its own, where no process is what its number says.
    let astray = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", NONOVERLAP]);
        command
    };
    let makers: [(&dyn Fn() -> Command, &dyn Fn() -> Command); 5] = [
        (&here, &inside),
        (&inside, &here),
        (&here, &astray),
        (&astray, &here),
        (&astray, &inside),
    ];
    for (holder, next) in makers {
        for (fate, said) in some_fates() {
            let scene = Scene::new();
            let lock = scene.lock();
            let job = Holder::start(holder().arg(&lock).args(HOLD));
            in_folder(&scene.path(""), shell(), fate);
            is_conflict(next, &lock);
            // Where the file is in place, it is its lock that is asked for, which is not seen everywhere.
            if !said.is_empty() {
                status_of(next, &lock);
            }
            job.end();
            let mut command = next();
            command.args(["-w", "50"]).arg(&lock).args(["echo", "ran"]);
            let ended = command.run();
            assert_eq!(
                (ended.code(), &*ended.stdout()),
                (Some(0), "ran\n"),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn a_folder_of_the_same_path_among_other_mounts_has_other_names() {
    if !is_root() {
        return left_out("another mount namespace", "only root may mount");
    }
    for mount in [
        r#"mount -t tmpfs tmpfs "$0/folder""#,
        r#"mount --bind "$0/other" "$0/folder""#,
    ] {
        for fate in ["true", "rm lock", "mv lock old", "rm lock; true >lock"] {
            let scene = Scene::new();
            fs::create_dir(scene.path("folder")).unwrap();
            fs::create_dir(scene.path("other")).unwrap();
            let realm = Realm::of_mounts(&scene, mount);
            let lock = scene.path("folder/lock");
            let inside = || realm.command([NONOVERLAP]);
            let there = Holder::start(inside().arg(&lock).args(HOLD));
            in_folder(&scene.path("folder"), realm.command(["env"]), fate);
            let job = Holder::of([&lock]);
            is_conflict(&inside, &lock);
            is_conflict(&here, &lock);
            there.end();
            inside()
                .arg("-w50")
                .arg(&lock)
                .arg("true")
                .run()
                .expect(0, "", "");
            is_conflict(&here, &lock);
            job.end();
        }
    }
}

#[test]
fn it_is_a_conflict_by_whatever_mount_the_folder_is_reached() {
    if !is_root() {
        return left_out("another mount of a folder", "only root may mount");
    }
    for (fate, _) in some_fates() {
        let scene = Scene::new();
        fs::create_dir(scene.path("one")).unwrap();
        fs::create_dir(scene.path("two")).unwrap();
        let realm = Realm::of_mounts(&scene, r#"mount --bind "$0/one" "$0/two""#);
        let inside = || realm.command([NONOVERLAP]);
        let (one, two) = (scene.path("one/lock"), scene.path("two/lock"));
        let job = Holder::start(inside().arg(&one).args(HOLD));
        in_folder(&scene.path("one"), shell(), fate);
        is_conflict(&inside, &two);
        is_conflict(&inside, &one);
        is_conflict(&here, &one);
        job.end();
        let job = Holder::start(inside().arg("-w50").arg(&two).args(HOLD));
        is_conflict(&here, &one);
        job.end();
    }
}

/// Whatever becomes of the lock file in this folder of a realm, it is a conflict there.
#[track_caller]
fn holds_in(realm: &Realm, folder: &Path) {
    holds_after(realm, folder, &some_fates());
}

/// The same for these fates.
#[track_caller]
fn holds_after(realm: &Realm, folder: &Path, fates: &[(&str, &str)]) {
    let inside = || realm.command([NONOVERLAP]);
    let lock = folder.join("lock");
    for (fate, _) in fates {
        in_folder(
            folder,
            realm.command(["env"]),
            "rm -rf lock; rm -f old new other",
        );
        let job = Holder::start(inside().arg(&lock).args(HOLD));
        in_folder(folder, realm.command(["env"]), fate);
        is_conflict(&inside, &lock);
        status_of(&inside, &lock);
        job.end();
        let ended = inside().arg("-w50").arg(&lock).args(["echo", "ran"]).run();
        assert_eq!(
            (ended.code(), &*ended.stdout()),
            (Some(0), "ran\n"),
            "{fate}: {ended:?}"
        );
    }
}

#[test]
fn it_is_a_conflict_on_tmpfs() {
    let Some((scene, realm)) = realm_with(
        "tmpfs",
        "mount",
        "mount",
        r#"mkdir "$0/t"; mount -t tmpfs none "$0/t""#,
    ) else {
        return;
    };
    holds_in(&realm, &scene.path("t"));
}

#[test]
fn it_is_a_conflict_on_ext4() {
    let Some((scene, realm)) = realm_with(
        "ext4",
        "mkfs.ext4",
        "e2fsprogs",
        r#"truncate -s 8M "$0/image"; mkfs.ext4 -q "$0/image" >&2; mkdir "$0/e"
        mount -o loop "$0/image" "$0/e""#,
    ) else {
        return;
    };
    holds_in(&realm, &scene.path("e"));
}

#[test]
fn it_is_a_conflict_on_btrfs_and_not_in_another_subvolume() {
    let Some((scene, realm)) = realm_with(
        "btrfs",
        "mkfs.btrfs",
        "btrfs-progs",
        r#"
        truncate -s 120M "$0/image"; mkfs.btrfs -q "$0/image" >&2; mkdir "$0/b"
        mount -o loop "$0/image" "$0/b"
        btrfs subvolume create "$0/b/one" >&2; btrfs subvolume create "$0/b/two" >&2
        mkdir "$0/b/folder""#,
    ) else {
        return;
    };
    let (one, two) = (scene.path("b/one/lock"), scene.path("b/two/lock"));
    let inside = || realm.command([NONOVERLAP]);
    let job = Holder::start(inside().arg(&one).args(HOLD));
    fs::remove_file(realm.path(&one)).unwrap();
    is_conflict(&inside, &one);
    inside()
        .arg(&two)
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
    job.end();
    holds_in(&realm, &scene.path("b/folder"));
}

#[test]
fn it_is_a_conflict_on_overlayfs_on_files_of_both_layers() {
    for option in ["xino=off", "xino=auto"] {
        let Some((scene, realm)) = realm_with(
            "overlay",
            "mount",
            "mount",
            &format!(
                r#"
            cd "$0"; mkdir low high merged; mount -t tmpfs none low; mount -t tmpfs none high
            mkdir high/up high/work low/sub; touch low/sub/lock; echo data >low/sub/data
            mount -t overlay -o lowerdir=low,upperdir=high/up,workdir=high/work,{option} none merged"#
            ),
        ) else {
            return;
        };
        let inside = || realm.command([NONOVERLAP]);
        // Of the layer below: nothing is written into these, so the folder is copied up only when the
        // file is deleted, moved or replaced.
        for (holder, name) in [("-s", "lock"), ("-x", "data"), ("-x", "lock")] {
            let lock = scene.path("merged/sub").join(name);
            for (fate, _) in [FATES[0], FATES[7], FATES[16]] {
                let fate = fate.replace("lock", name);
                let job = Holder::start(inside().arg(holder).arg(&lock).args(HOLD));
                in_folder(&scene.path("merged/sub"), realm.command(["env"]), &fate);
                for _ in 0..2 {
                    let ended = inside().arg(&lock).args(["echo", "ran"]).run();
                    assert_eq!(ended.code(), Some(1), "{option}, {name}, {fate}: {ended:?}");
                }
                status_of(&inside, &lock);
                job.end();
                let ended = inside().arg("-w50").arg(&lock).arg("true").run();
                assert_eq!(ended.code(), Some(0), "{option}, {name}, {fate}: {ended:?}");
                in_folder(
                    &scene.path("merged/sub"),
                    realm.command(["env"]),
                    &format!("rm -f old; : >>{name}"),
                );
            }
        }
        fs::create_dir(realm.path(&scene.path("merged/folder"))).unwrap();
        holds_in(&realm, &scene.path("merged/folder"));
    }
}

#[test]
fn it_is_a_conflict_on_fuse_whoever_keeps_the_locks() {
    for options in ["", "--enable-lock-forwarding --multithreaded"] {
        let Some((scene, realm)) = realm_with(
            "fuse",
            "bindfs",
            "bindfs",
            &format!(r#"mkdir "$0/below" "$0/above"; bindfs {options} "$0/below" "$0/above""#),
        ) else {
            return;
        };
        // Where the file is in place it is for the file system to say who holds it, and bindfs lets in
        // whoever waits for a lock that it forwards.
        let displaced = FATES.iter().step_by(2).filter(|(_, said)| !said.is_empty());
        let displaced: Vec<_> = displaced.copied().collect();
        holds_after(&realm, &scene.path("above"), &displaced);
    }
}

#[test]
fn a_waiter_sleeps_in_the_holders_queue_on_another_file_system_too() {
    let Some((scene, realm)) = realm_with(
        "tmpfs",
        "mount",
        "mount",
        r#"mkdir "$0/t"; mount -t tmpfs none "$0/t""#,
    ) else {
        return;
    };
    let lock = scene.path("t/lock");
    let inside = || realm.command([NONOVERLAP]);
    let job = Holder::start(inside().arg(&lock).args(HOLD));
    let held = Pinned::new(&realm.path(&lock));
    fs::remove_file(realm.path(&lock)).unwrap();
    runs_after(&inside, &lock, &realm.path(&lock), &held, || drop(job));
}
