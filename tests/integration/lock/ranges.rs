//! Promises about record locks: `--fcntl`, `--start` and `--length` mean what they mean in the flock
//! of util-linux 2.42, with which every row about sizes was compared.
//!
//! Linux only: `/proc` tells which bytes are locked, and elsewhere a flock and a record lock may be
//! one kind of lock.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{
    Ended, HOLD, Holder, NONOVERLAP, Run, Scene, eventually, holds_lock, locks_on, nonoverlap,
};

/// Sizes as they are spelled, and what they are in bytes. Fractions look wrong and are not: what a
/// digit stands for is found by dividing whole numbers, in flock as here, because the same words must
/// lock the same bytes.
#[rustfmt::skip] // A kind a line is how a table is read.
const SIZES: &[(&str, u64)] = &[
    ("0", 0), ("1", 1), ("10", 10), ("+10", 10), ("+0", 0), ("00", 0), (" 10", 10), ("\t10", 10), (" +10", 10),
    ("010", 8), ("0100", 64), ("0777", 511), ("0x10", 16), ("0X10", 16), ("0x1F", 31),
    ("0xB", 11), ("0x1E", 30), ("0x1B", 27), ("0x1K", 1024), ("0x10M", 16 << 20), ("010K", 8 << 10),
    ("1K", 1024), ("1k", 1024), ("1KiB", 1024), ("1kiB", 1024), ("1Kib", 1024), ("1kib", 1024),
    ("1KB", 1000), ("1kB", 1000), ("1Kb", 1000), ("1kb", 1000),
    ("1M", 1 << 20), ("1m", 1 << 20), ("1MiB", 1 << 20), ("1mib", 1 << 20), ("1MB", 1_000_000),
    ("1G", 1 << 30), ("1GiB", 1 << 30), ("1GB", 1_000_000_000), ("1T", 1 << 40), ("1TB", 1_000_000_000_000),
    ("1P", 1 << 50), ("1PB", 1_000_000_000_000_000), ("1E", 1 << 60), ("1EB", 1_000_000_000_000_000_000),
    ("7E", 7 << 60), ("7EiB", 7 << 60), ("9EB", 9_000_000_000_000_000_000), ("0Z", 0), ("0YiB", 0),
    ("9223372036854775807", LAST), ("0x7fffffffffffffff", LAST), ("0777777777777777777777", LAST),
    ("8388607T", 8_388_607 << 40), ("9007199254740991K", LAST - 1023),
    ("1.5K", 1536), ("1.5k", 1536), ("1.5KiB", 1536), ("1.5kib", 1536), ("1.5KB", 1500), ("1.5kb", 1500),
    ("1.5M", 3 << 19), ("1.5G", 3 << 29), ("1.5PiB", 3 << 49), ("010.5K", 8704), ("00.5K", 512),
    ("1.K", 1024), ("1.0K", 1024), ("0.5K", 512), ("0.5M", 512 << 10), ("0.5MB", 500_000),
    ("0.1K", 102), ("0.01K", 10), ("0.001K", 1), ("0.0001K", 0), ("1.05K", 1075), ("1.50K", 1536), ("1.500K", 1536),
    ("0.10K", 1024), ("0.100K", 1024), ("1.25K", 1279), ("1.75M", 2_149_580), ("1.1K", 1126), ("1.2K", 1228),
    ("1.3K", 1365), ("1.4K", 1536), ("1.6K", 2048), ("1.9K", 2048), ("1.33KB", 1363), ("1.999KB", 2099),
    ("1.08K", 1109), ("1.123456789K", 1149), ("3.14M", 3_292_528), ("2.71828G", 3_240_853_471),
    ("1.7GB", 2_000_000_000), ("0.9E", 1 << 60), ("1.9E", 2 << 60), ("0x1.8M", 2 << 20),
];

/// The last byte that there can be: the greatest off_t.
const LAST: u64 = i64::MAX as u64;

/// No sizes.
#[rustfmt::skip]
const NO_SIZES: &[&str] = &[
    "", "  ", "-1", "-0", "-1K", " -10", "+", "-", "++1", "+-1", "08", "018", "0x", "0xG", "abc", "K", "KiB",
    "10 ", "1 K", "1K ", "1_000", "1e3", "inf", "nan", "0b1", "0o7", "1B", "1iB", "1Ki", "1KK", "1K1", "1KiBx",
    "1R", "1Q", "1Z", "1YiB", "1.5", "1.0", "1.", ".5", ".5K", "1.5B", "1.5x", "1.5KiBx", "1.5e1K", "1.-5K",
    "1.5 K", "1,5K", "99999999999999999999999", "18446744073709551616", "1.99999999999999999999K",
    // Beyond the last byte. flock gives them to the kernel, which refuses them when the file is open (65).
    "9223372036854775808", "18446744073709551615", "0x8000000000000000", "8E", "8EiB", "10EB", "8388608T",
    "9007199254740992K", "7.9E", "18446744073709551615Y",
];

#[test]
fn a_range_starts_where_it_would_for_flock() {
    let scene = Scene::new();
    for (spelling, start) in SIZES {
        let ran = ranges_under(&scene, &["--start", spelling]);
        assert_eq!(ran.stdout(), format!("WRITE {start} EOF\n"), "{ran:?}");
    }
}

#[test]
fn what_is_no_size_is_refused_before_a_file_is_touched() {
    let scene = Scene::new();
    for size in NO_SIZES {
        for option in ["--start", "--length"] {
            let refused = nonoverlap([format!("{option}={size}")])
                .arg(scene.lock())
                .args(HOLD)
                .run();
            assert_eq!(
                (refused.code(), refused.stdout().as_str()),
                (Some(64), ""),
                "{refused:?}"
            );
            assert!(
                refused.stderr().contains(&format!("'{size}'")),
                "{refused:?}"
            );
            assert!(!scene.lock().exists(), "{refused:?}");
        }
    }
}

#[test]
fn a_range_is_of_the_kind_and_length_that_was_asked_for() {
    let scene = Scene::new();
    for (options, range) in [
        (&["--fcntl"][..], "WRITE 0 EOF"),
        (&["--fcntl", "-s"], "READ 0 EOF"),
        (&["-x", "--fcntl", "-s", "-e"], "WRITE 0 EOF"),
        (&["--length", "0"], "WRITE 0 EOF"),
        (&["--length", "10"], "WRITE 0 9"),
        (&["--length=1K", "-s"], "READ 0 1023"),
        (&["--start", "10", "--length", "5"], "WRITE 10 14"),
        (
            &["--length", "5", "--fcntl", "--start", "10"],
            "WRITE 10 14",
        ),
        (
            &[
                "--start", "1", "--start", "2", "--length", "3", "--length", "1",
            ],
            "WRITE 2 2",
        ),
        (
            &["--start", "9223372036854775807", "--length", "1"],
            "WRITE 9223372036854775807 EOF",
        ),
    ] {
        let ran = ranges_under(&scene, options);
        assert_eq!(ran.stdout(), format!("{range}\n"), "{ran:?}");
    }
    let beyond = ranges_under(&scene, &["--start", "9223372036854775807", "--length", "2"]);
    assert_eq!(
        (beyond.code(), beyond.stdout().as_str()),
        (Some(65), ""),
        "{beyond:?}"
    );
}

#[test]
fn record_locks_exclude_each_other_where_they_overlap_and_are_not_shared() {
    for (theirs, ours, status) in [
        (&["--fcntl"][..], &["--fcntl"][..], 1),
        (&["--fcntl", "-s"], &["--fcntl"], 1),
        (&["--fcntl"], &["--fcntl", "-s"], 1),
        (&["--fcntl", "-s"], &["--fcntl", "-s"], 0),
        (&["--fcntl"], &["--fcntl", "-E", "7"], 7),
        (&["--start", "0", "--length", "10"], &["--start", "10"], 0),
        (&["--start", "0", "--length", "10"], &["--start", "9"], 1),
        (&["--start", "10"], &["--length", "10"], 0),
        (&["--start", "10"], &["--length", "11"], 1),
        (&["--start", "10"], &["--length", "11", "-s"], 1),
        (
            &["--start", "1K", "--length", "1KiB"],
            &["--start", "2K", "--length", "1"],
            0,
        ),
        (
            &["--start", "1K", "--length", "1KiB"],
            &["--start", "2047", "--length", "1"],
            1,
        ),
        (&["--length", "10", "-s"], &["--length", "10", "-s"], 0),
    ] {
        let scene = Scene::new();
        let holder = Holder::start(nonoverlap(theirs).arg(scene.lock()).args(HOLD));
        for program in [Path::new(NONOVERLAP), &scene.flock()] {
            let ran = Command::new(program)
                .arg("-n")
                .args(ours)
                .arg(scene.lock())
                .args(HOLD)
                .run();
            assert_eq!(ran.code(), Some(status), "{theirs:?}: {ran:?}");
        }
        assert!(holder.end().success());
    }
}

#[test]
fn a_record_lock_and_a_flock_do_not_exclude_each_other() {
    for (one, other) in [
        (&["--fcntl"][..], &[][..]),
        (&[], &["--fcntl"]),
        (&[], &["--start", "5"]),
    ] {
        let scene = Scene::new();
        let _holder = Holder::start(nonoverlap(one).arg(scene.lock()).args(HOLD));
        nonoverlap(other)
            .arg(scene.lock())
            .args(HOLD)
            .run()
            .expect(0, "held\n", "");
    }
}

#[test]
fn a_record_lock_lives_through_exec_and_ends_with_the_command() {
    let scene = Scene::new();
    let holder = Holder::of([Path::new("--fcntl"), &scene.lock()]);
    assert!(holds_lock(holder.pid(), &scene.lock()));
    eventually(
        "the table has a record lock",
        || matches!(&locks_on(&scene.lock())[..], [one] if one.contains("OFDLCK")),
    );
    assert!(!holder.kill(libc::SIGKILL).success());
    assert_eq!(locks_on(&scene.lock()), [""; 0]);
}

#[test]
fn a_record_lock_is_waited_for_until_it_is_free_or_the_time_is_up() {
    for options in [
        &["--fcntl", "-w", "60"][..],
        &["--fcntl", "-b"],
        &["--start", "9", "-b", "-s"],
    ] {
        let scene = Scene::new();
        let holder = Holder::of([Path::new("--fcntl"), &scene.lock()]);
        let impatient = nonoverlap(["--fcntl", "-w", "0.02"])
            .arg(scene.lock())
            .args(HOLD)
            .run();
        impatient.expect(1, "", "");
        std::thread::scope(|threads| {
            let run = threads.spawn(|| nonoverlap(options).arg(scene.lock()).args(HOLD).run());
            eventually("somebody waits for the lock", || {
                locks_on(&scene.lock())
                    .iter()
                    .any(|line| line.contains("->"))
            });
            assert!(holder.end().success());
            run.join().unwrap().expect(0, "held\n", "");
        });
    }
}

#[test]
fn a_part_of_a_descriptors_range_can_be_unlocked() {
    let scene = Scene::new();
    for (unlock, left) in [
        ("--fcntl -u", ""),
        ("-u --start 0", ""),
        ("-u", "0 EOF\n"), // That is a flock, of which there was none.
        ("-u --start 10", "0 9\n"),
        ("--start 10 --length 10 --unlock", "0 9\n20 EOF\n"),
    ] {
        let script = format!(
            r#"exec 9<>"$1"; "$0" --fcntl 9 && "$0" {unlock} 9 &&
            sed -n 's/^lock:.*OFDLCK.* \([0-9]* [0-9EOF]*\)$/\1/p' /proc/$$/fdinfo/9"#
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, NONOVERLAP])
            .arg(scene.lock())
            .run()
            .expect(0, left, "");
    }
}

#[test]
fn a_record_lock_leaves_the_file_as_it_is() {
    let scene = Scene::new();
    for content in ["", "      4242\n", "data"] {
        let lock = scene.file("lock", content);
        nonoverlap(["--fcntl"])
            .arg(&lock)
            .arg("cat")
            .arg(&lock)
            .run()
            .expect(0, content, "");
        assert_eq!(fs::read_to_string(&lock).unwrap(), content);
    }
}

/// Runs under a lock with these options what prints each record lock that it has: kind, first byte
/// and last byte.
fn ranges_under(scene: &Scene, options: &[&str]) -> Ended {
    const RANGES: &str = r"sed -n 's/^lock:.*: OFDLCK ADVISORY  \([A-Z]*\) .* \([0-9]* [0-9EOF]*\)$/\1 \2/p' \
        /proc/$$/fdinfo/* 2>/dev/null; exit 0";
    let mut command = nonoverlap(options);
    command.arg(scene.lock()).args(["sh", "-c", RANGES]).run()
}
