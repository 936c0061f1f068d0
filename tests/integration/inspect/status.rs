//! Promises about `--status` as a command: its options, its exit status, its bytes, and that asking
//! changes nothing. Who is named as holder is `holders.rs`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
#[cfg(target_os = "linux")]
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::harness::{
    Ended, Holder, NONOVERLAP, Run, Scene, is_root, left_out, nonoverlap, record_of,
};
#[cfg(target_os = "linux")]
use crate::support::machine::Aged;
#[cfg(target_os = "linux")]
use crate::support::status_answer::{AS_NOBODY, binary_for_all};
use crate::support::status_answer::{Asker, CANNOT_TELL, FREE, HELD, fields, nobody, reads_json};

fn status<I: IntoIterator<Item: AsRef<OsStr>>>(words: I) -> Ended {
    nonoverlap(["--status"]).args(words).run()
}

#[test]
fn no_other_option_goes_together_with_it() {
    let scene = Scene::new();
    let together = [
        "--status", "--json", "--log", "-l", "--quiet", "-q", "--slots", "-j",
    ];
    let not_asked = ["--help", "-h", "--version", "-V", "--completions"];
    let mut refused = 0;
    for (name, takes_value) in options() {
        if together.contains(&&*name) || not_asked.contains(&&*name) {
            continue;
        }
        let words = match (takes_value, &*name) {
            (true, "--install") => vec![&*name, "@daily"],
            (true, _) => vec![&*name, "5"],
            (false, _) => vec![&*name],
        };
        for before in [true, false] {
            let mut command = nonoverlap(if before { &words[..] } else { &[] });
            command
                .arg("--status")
                .args(if before { &[] } else { &words[..] });
            let ended = command.arg(scene.lock()).run();
            assert_eq!(
                (ended.code(), &*ended.stdout),
                (Some(64), &b""[..]),
                "{ended:?}"
            );
            assert!(ended.stderr().starts_with("nonoverlap: -"), "{ended:?}");
        }
        assert!(!scene.lock().exists());
        refused += 1;
    }
    assert!(refused >= 24, "only {refused} options seen in --help");
}

/// Every name of every option in `--help`, and whether it takes a value.
fn options() -> Vec<(String, bool)> {
    let help = nonoverlap(["--help"]).run().stdout();
    let rows = help.lines().filter_map(|line| line.strip_prefix("  -"));
    let of_row = |row: &str| {
        let names: Vec<_> = format!("-{row}").split(", ").map(str::to_owned).collect();
        let takes_value = names.last().unwrap().contains(' ');
        let name = |name: String| name.split(' ').next().unwrap().to_owned();
        names
            .into_iter()
            .map(move |all| (name(all), takes_value))
            .collect::<Vec<_>>()
    };
    rows.flat_map(of_row).collect()
}

#[test]
fn a_wrong_question_is_a_usage_error() {
    let cases: [(&[&str], &str); 4] = [
        (
            &["--status", "--log", "x"],
            "--status with --log needs a lock file",
        ),
        (
            &["--status", "-j", "2"],
            "--status with --slots needs a lock file",
        ),
        (
            &["--status", "--json", "-q", "l"],
            "--json does not go together with -q",
        ),
        (
            &["--json", "l", "true"],
            "--json works only with --status or --history",
        ),
    ];
    for (words, complaint) in cases {
        let complaint = format!("nonoverlap: {complaint}\n");
        nonoverlap(words).run().expect(64, "", &complaint);
    }
}

#[test]
fn of_several_files_one_that_cannot_be_told_counts_most_and_then_one_that_is_held() {
    let scene = Scene::new();
    let held = scene.lock();
    let _holder = Holder::of([&held]).settled();
    let free = scene.file("free", "");
    let absent = scene.path("absent");
    let untold = scene.path("free/not-in-a-folder");
    let (h, f, a, u) = (&held, &free, &absent, &untold);
    let cases: [(&[&PathBuf], i32); 11] = [
        (&[h], HELD),
        (&[f], FREE),
        (&[a], FREE),
        (&[u], CANNOT_TELL),
        (&[a, f], FREE),
        (&[h, f], HELD),
        (&[f, h, a], HELD),
        (&[h, u], CANNOT_TELL),
        (&[u, h], CANNOT_TELL),
        (&[f, u], CANNOT_TELL),
        (&[u, f, h, h], CANNOT_TELL),
    ];
    for (paths, code) in cases {
        let text = status(paths);
        assert_eq!((text.code(), &*text.stderr()), (Some(code), ""), "{text:?}");
        nonoverlap(["--status", "--quiet"])
            .args(paths)
            .run()
            .expect(code, "", "");
        let json = nonoverlap(["--json", "--status"]).args(paths).run();
        assert_eq!(json.code(), Some(code), "{json:?}");
        // A line each, in the order of asking.
        for said in [text.stdout(), json.stdout()] {
            let shown = |(line, path): (&str, &&PathBuf)| line.contains(&*path.to_string_lossy());
            assert_eq!(said.lines().count(), paths.len(), "{said}");
            assert!(said.lines().zip(paths).all(shown), "{said}");
        }
    }
    assert!(!absent.exists());
}

#[test]
fn a_file_that_is_not_there_is_free_and_is_not_made() {
    let scene = Scene::new();
    let dangling = scene.path("dangling");
    symlink(scene.path("nothing"), &dangling).unwrap();
    for path in [scene.lock(), dangling] {
        let answer = Asker::here().ask(&path);
        let fields = [("exists", "false"), ("deleted", "false"), ("error", "null")];
        answer.expect(FREE, "free; there is no such file", &fields);
    }
    assert_eq!(fs::read_dir(scene.path("")).unwrap().count(), 1);
}

#[test]
fn of_a_path_that_leads_nowhere_it_is_said_where_it_breaks_off() {
    let scene = Scene::new();
    scene.file("file", "");
    fs::create_dir(scene.path("folder")).unwrap();
    symlink("nothing", scene.path("dangling")).unwrap();
    for (path, sentence) in [
        ("no/such/l", "free; there is no folder no"),
        ("./no//such/l", "free; there is no folder ./no"),
        ("folder/no/l", "free; there is no folder folder/no"),
        ("folder//l", "free; there is no such file"),
        ("folder/l", "free; there is no such file"),
        ("l/", "free; there is no folder l"),
        ("dangling/l", "free; there is no folder dangling"),
        ("file/l", "cannot tell: file is not a folder"),
        (
            "folder/../file/l/l",
            "cannot tell: folder/../file is not a folder",
        ),
        ("file/", "cannot tell: file is not a folder"),
        ("\u{1b}[2J/l", r"free; there is no folder \x1b[2J"),
    ] {
        let asked = |options: &[&str]| {
            let mut command = nonoverlap(options);
            command.arg(path).current_dir(scene.path("")).run()
        };
        let is_free = sentence.starts_with("free");
        let code = Some(if is_free { FREE } else { CANNOT_TELL });
        let told = asked(&["--status"]);
        assert_eq!(told.code(), code, "{told:?}");
        let ends = format!(": {sentence}\n");
        assert!(told.stdout().ends_with(&ends), "{told:?}");
        let json = asked(&["--status", "--json"]);
        assert_eq!(json.code(), code, "{json:?}");
        let exists = if is_free { "false" } else { "null" };
        let exists = format!(r#","exists":{exists},"#);
        assert!(json.stdout().contains(&exists), "{json:?}");
        let part = match sentence.strip_prefix("free; there is no folder ") {
            Some(folder) if !folder.contains('\\') => format!(r#","missing":"{folder}","#),
            _ => r#","missing":"#.to_owned(),
        };
        assert!(json.stdout().contains(&part), "{json:?}");
    }
    let told = status([Path::new("/no/such/folder/l")]).stdout();
    assert_eq!(told, "/no/such/folder/l: free; there is no folder /no\n");
}

#[test]
fn a_folder_that_may_not_be_searched_makes_it_4() {
    let scene = Scene::new();
    if !is_root() {
        return left_out(
            "a closed folder",
            "needs root to have one that is another user's",
        );
    }
    let asker = nobody(&scene);
    let closed = scene.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let reason = [("error", r#""Permission denied""#), ("holders", "[]")];
    let answer = asker.ask(&closed.join("l"));
    answer.expect(CANNOT_TELL, "cannot tell: Permission denied", &reason);
}

#[test]
fn whatever_can_stand_in_place_of_a_lock_file_is_told_of_and_does_not_hang_it() {
    let scene = Scene::new();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    let link = scene.path("link");
    symlink(scene.file("target", ""), &link).unwrap();
    for path in [&folder, &link, &"/dev/zero".into()] {
        Asker::here()
            .ask(path)
            .expect(FREE, "free; no run is recorded", &[]);
    }
    for path in [&folder, &link] {
        let _holder = Holder::of([path]);
        assert_eq!(Asker::here().ask(path).code, HELD, "{path:?}");
    }
    let _holder = Holder::of([&link]);
    assert_eq!(Asker::here().ask(&scene.path("target")).code, HELD);
    let ring = scene.path("ring");
    symlink(&ring, &ring).unwrap();
    assert_eq!(Asker::here().ask(&ring).code, CANNOT_TELL);
}

#[test]
#[cfg(target_os = "linux")] // Elsewhere what is looked at is opened; and on macOS a FIFO has no locks.
fn a_fifo_and_a_socket_in_place_of_a_lock_file_are_told_of_and_do_not_hang_it() {
    let scene = Scene::new();
    let fifo = scene.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).run().status.success());
    let socket = scene.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [&fifo, &socket] {
        Asker::here()
            .ask(path)
            .expect(FREE, "free; no run is recorded", &[]);
    }
    // A socket cannot be opened, so it cannot be locked either.
    let _holder = Holder::of([&fifo]);
    assert_eq!(Asker::here().ask(&fifo).code, HELD);
}

#[test]
fn the_time_of_the_last_run_is_told_by_the_local_clock() {
    let scene = Scene::new();
    let path = scene.file("lock", record_of(4_000_000));
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_466_650);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(began)
        .unwrap();
    let cases = [
        ("UTC0", "2026-11-23 20:44:10", "2026-11-23T20:44:10+00:00"),
        (
            "IST-5:30",
            "2026-11-24 02:14:10",
            "2026-11-24T02:14:10+05:30",
        ),
        (
            "NST3:30",
            "2026-11-23 17:14:10",
            "2026-11-23T17:14:10-03:30",
        ),
    ];
    for (zone, text, json) in cases {
        let asked = |option: &str| {
            let mut command = nonoverlap(["--status", option]);
            command.arg(&path).env("TZ", zone).run()
        };
        let sentence = format!("free; last run began {text} as PID 4000000");
        asked("--status").expect(FREE, &format!("{}: {sentence}\n", path.display()), "");
        let json = format!(r#""record":{{"pid":4000000,"time":"{json}","process":"gone"}}"#);
        assert!(
            asked("--json").stdout().contains(&json),
            "{:?}",
            asked("--json")
        );
    }
}

/// Somebody has set it, or the clock.
#[test]
fn a_record_from_the_future_is_told_without_its_time() {
    let scene = Scene::new();
    let path = scene.file("lock", record_of(4_000_000));
    let file = File::options().write(true).open(&path).unwrap();
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    file.set_modified(tomorrow).unwrap();
    let said = format!("{}: free; last run was PID 4000000\n", path.display());
    let mut command = nonoverlap(["--status"]);
    command.arg(&path).run().expect(FREE, &said, "");
}

#[test]
// What ages it is Linux's.
#[cfg(target_os = "linux")]
fn how_long_it_is_held_is_told_in_two_units() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    let Some(aged) = Aged::process(&scene, holder.pid()) else {
        return;
    };
    let cases = [
        (0, "0s"),
        (723, "12m03s"),
        (7503, "2h05m"),
        (273_603, "3d04h"),
    ];
    for (age, text) in cases {
        // The clock may come to the next second before it is looked at. Then it is done again.
        crate::support::harness::eventually(&format!("{age} s are {text}"), || {
            let began = SystemTime::now() - Duration::from_secs(age);
            File::options()
                .write(true)
                .open(scene.lock())
                .unwrap()
                .set_modified(began)
                .unwrap();
            let told = aged.seen_by(["--status"]).arg(scene.lock()).run().stdout();
            told.contains(&format!(" for {text}: "))
        });
    }
}

#[test]
// Elsewhere the file system may refuse such a name (HFS+ and APFS want UTF-8).
#[cfg(target_os = "linux")]
fn no_byte_of_a_path_reaches_the_terminal_raw_and_json_stays_json() {
    if !reads_json() {
        return;
    }
    let scene = Scene::new();
    for name in names() {
        let path = scene.path(&name);
        fs::write(&path, "").unwrap();
        let said = status([&path]);
        assert_harmless(&said.stdout, 1);
        assert!(
            said.stdout().ends_with(": free; no run is recorded\n"),
            "{said:?}"
        );
        let json = nonoverlap(["--status", "--json"]).arg(&path).run();
        assert_harmless(&json.stdout, 1);
        let (field, value) = fields(&json.stdout()).swap_remove(0);
        assert_eq!(field, "path");
        // The reader prints letters beyond ASCII as escapes, as this does.
        assert_eq!(value, ascii_json(&path.to_string_lossy()), "{json:?}");
        let usage = nonoverlap(["--status", "-n"]).arg(&path).run();
        assert_harmless(&usage.stderr, 1);
    }
}

#[test]
// Elsewhere the command line is not known.
#[cfg(target_os = "linux")]
fn no_byte_of_a_command_line_reaches_terminal_or_log_raw_and_json_stays_json() {
    if !reads_json() {
        return;
    }
    let scene = Scene::new();
    // The command stays the shell, with these words behind it. JSON shows one blank between words.
    let mut words = vec![
        OsString::from("sh"),
        "-c".into(),
        "echo held; read x; :".into(),
    ];
    words.extend(names());
    let _holder = Holder::start(nonoverlap([scene.lock()]).args(&words));
    let line = words.join(OsStr::new(" "));

    let text = status([scene.lock()]);
    assert_harmless(&text.stdout, 1);
    let json = nonoverlap(["--status", "--json"]).arg(scene.lock()).run();
    assert_harmless(&json.stdout, 1);
    let fields = fields(&json.stdout());
    let (_, holders) = fields.iter().find(|(name, _)| name == "holders").unwrap();
    let command = format!(r#""command":{},"#, ascii_json(&line.to_string_lossy()));
    assert!(holders.contains(&command), "{holders}\n{command}");

    let log = scene.path("log");
    let refused = nonoverlap(["-v", "--log"])
        .arg(&log)
        .arg(scene.lock())
        .arg("true")
        .run();
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert_harmless(&refused.stderr, 1);
    assert_harmless(&fs::read(&log).unwrap(), 1);
}

#[test]
fn the_end_of_the_log_is_shown_escaped_after_the_lock_files() {
    if !reads_json() {
        return;
    }
    let scene = Scene::new();
    let log = scene.path("log");
    let lines = (0..30).map(|number| format!("line {number} \x1b]0;x\x07\u{9b}2J\r\n"));
    fs::write(&log, lines.collect::<String>()).unwrap();
    let told = |options: &[&str]| {
        nonoverlap(["--status"])
            .args(options)
            .arg("--log")
            .arg(&log)
            .arg(scene.lock())
            .run()
    };
    let text = told(&[]);
    assert_harmless(&text.stdout, 11);
    let first = format!("{}: free; there is no such file\n", scene.lock().display());
    let shown = |number| format!("line {number} \\x1b]0;x\\x07\\u{{9b}}2J\\r\n");
    text.expect(
        FREE,
        &(first + &(20..30).map(shown).collect::<String>()),
        "",
    );
    let json = told(&["--json"]);
    assert_harmless(&json.stdout, 2);
    let fields = fields(&json.stdout());
    let (_, shown) = fields.iter().find(|(name, _)| name == "lines").unwrap();
    assert!(
        shown.starts_with(r#"["line 20 \u001b]0;x\u0007\u009b2J\r","#),
        "{shown}"
    );
    assert_eq!(shown.matches("line").count(), 10);
    told(&["-q"]).expect(FREE, "", "");
}

#[test]
fn a_log_that_cannot_be_read_is_told_of_and_changes_no_status() {
    if !reads_json() {
        return;
    }
    let scene = Scene::new();
    let fifo = scene.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).run().status.success());
    for log in [scene.path("none"), scene.path(""), fifo] {
        let told = |option: &str| {
            let mut command = nonoverlap(["--status", option, "--log"]);
            command.arg(&log).arg(scene.lock()).run()
        };
        let text = told("--status");
        assert_eq!(text.code(), Some(FREE), "{text:?}");
        let complaint = format!("{}: cannot read the log: ", log.display());
        assert!(
            text.stdout()
                .lines()
                .nth(1)
                .unwrap()
                .starts_with(&complaint),
            "{text:?}"
        );
        let json = told("--json");
        assert_eq!(json.code(), Some(FREE), "{json:?}");
        let (name, error) = fields(&json.stdout()).pop().unwrap();
        assert!(name == "error" && error.starts_with('"'), "{json:?}");
    }
    assert!(!scene.path("none").exists());
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_no_status() {
    let scene = Scene::new();
    let _holder = Holder::of([scene.lock()]);
    let places = [
        ">&-",
        #[cfg(target_os = "linux")]
        ">/dev/full",
    ];
    for place in places {
        let line = format!(r#"exec "$0" --status "$1" {place}"#);
        let mut command = Command::new("sh");
        let ended = command
            .args(["-c", &line, NONOVERLAP])
            .arg(scene.lock())
            .run();
        assert_eq!(ended.code(), Some(71), "{ended:?}");
        let complaint = "nonoverlap: cannot write to standard output: ";
        assert!(ended.stderr().starts_with(complaint), "{ended:?}");
        let mut quiet = Command::new("sh");
        let line = line.replace("--status", "--status -q");
        quiet
            .args(["-c", &line, NONOVERLAP])
            .arg(scene.lock())
            .run()
            .expect(HELD, "", "");
    }
}

#[test]
fn only_a_record_is_taken_for_one() {
    let scene = Scene::new();
    let pid = std::process::id();
    let contents = [
        format!("{pid}\n"),
        format!("{pid:<10}\n"),
        format!("{pid:010}\n"),
        format!("{pid:>10} "),
        format!("{pid:>10}\n\n"),
        format!("{:>10}\n", 0),
        format!("{:>10}\n", 4_294_967_295_u32),
        "-123456789\n".to_owned(),
        "some text\n\n".to_owned(),
    ];
    for content in contents {
        let path = scene.file("lock", &content);
        let answer = Asker::here().ask(&path);
        let fields = [("record", "null"), ("occupied", "true")];
        let said = "free; its lock file holds something other than a PID record";
        answer.expect(FREE, said, &fields);
    }
    // Nor is one read through a link: no run writes it there.
    scene.file("lock", record_of(pid));
    symlink(scene.lock(), scene.path("link")).unwrap();
    let answer = Asker::here().ask(&scene.path("link"));
    answer.expect(FREE, "free; no run is recorded", &[("record", "null")]);
}

#[test]
// /dev/shm is a tmpfs, which keeps every time that fits into 64 bits.
#[cfg(target_os = "linux")]
fn a_file_from_the_end_of_time_is_told_of_and_can_be_locked() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("lock");
    for time in [
        "@9223372036854775807",
        "@-9223372036854775808",
        "@67768036191694800",
    ] {
        fs::write(&path, record_of(1)).unwrap();
        let touched = Command::new("touch").args(["-d", time]).arg(&path).run();
        assert_eq!(touched.code(), Some(0), "{touched:?}");
        assert_eq!(Asker::here().ask(&path).code, FREE, "{time}");
        nonoverlap([&path])
            .args(["echo", "ran"])
            .run()
            .expect(0, "ran\n", "");
    }
}

#[test]
#[cfg(target_os = "linux")] // Elsewhere a file has to be opened to be looked at.
fn the_lock_of_another_users_file_is_told_whether_or_not_it_may_be_read() {
    let scene = Scene::new();
    if !is_root() {
        return left_out("another user's lock file", "needs root to have one");
    }
    let asker = nobody(&scene);
    for mode in [0o644, 0o600, 0o000] {
        let path = scene.file("lock", "");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(asker.ask(&path).code, FREE, "{mode:o}");
        let holder = Holder::of([&path]);
        assert_eq!(asker.ask(&path).code, HELD, "{mode:o}");
        drop(holder);
        assert_eq!(asker.ask(&path).code, FREE, "{mode:o}");
    }
    // And the other way round.
    let path = scene.file("theirs", "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new(AS_NOBODY[0]);
    command.args(&AS_NOBODY[1..]).arg(binary_for_all(&scene));
    let _holder = Holder::start(command.arg(&path).args(crate::support::harness::HOLD));
    assert_eq!(Asker::here().ask(&path).code, HELD);
}

/// Names of files that hold every byte but `/` and 0, and letters that steer terminals or the
/// direction of writing.
fn names() -> Vec<OsString> {
    let bytes: Vec<u8> = (1..=255).filter(|&byte| byte != b'/').collect();
    let (low, high) = bytes.split_at(126);
    let letters =
        "\u{9b}31m \u{85} \u{202e}evil \u{2028} \u{2066} \u{61c} \u{200f} \"\\ é \u{1f512}";
    let title = "\x1b]0;owned\x07\x1b[2J\nfree; really\r";
    vec![
        OsString::from_vec(low.to_vec()),
        OsString::from_vec(high.to_vec()),
        OsString::from(letters),
        OsString::from(title),
    ]
}

/// So many lines, and nothing in them that steers a terminal.
#[track_caller]
fn assert_harmless(said: &[u8], lines: usize) {
    let text = std::str::from_utf8(said).unwrap();
    let steers = |letter: char| {
        letter != '\n'
            && (letter.is_control() || "\u{202e}\u{2028}\u{2066}\u{61c}\u{200f}".contains(letter))
    };
    assert!(!text.chars().any(steers), "{}", text.escape_debug());
    assert_eq!(text.lines().count(), lines, "{}", text.escape_debug());
    assert!(text.ends_with('\n'));
}

/// A string as JSON in ASCII.
fn ascii_json(text: &str) -> String {
    let mut json = String::new();
    for unit in text.encode_utf16() {
        match char::from_u32(unit.into()) {
            Some('"') => json += "\\\"",
            Some('\\') => json += "\\\\",
            Some('\n') => json += "\\n",
            Some('\r') => json += "\\r",
            Some('\t') => json += "\\t",
            Some('\x08') => json += "\\b",
            Some('\x0c') => json += "\\f",
            Some(letter @ ' '..='~') => json.push(letter),
            _ => json += &format!("\\u{unit:04x}"),
        }
    }
    format!("\"{json}\"")
}
