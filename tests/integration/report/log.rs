//! `--log FILE`: the command's stdout and stderr appended to FILE, and one dated line for a start
//! and for a refusal; and `--status --log FILE`, which shows its end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, left_out, nonoverlap, record_of};

/// Says its PID on stdout and a word on stderr.
const COMMAND: [&str; 3] = ["sh", "-c", "echo $$; echo err >&2"];

#[test]
fn stdout_and_stderr_are_appended_behind_a_dated_line_for_the_start() {
    let scene = Scene::new();
    let log = scene.file("log", "before\n");
    for run in 0..2 {
        logged(&scene).args(COMMAND).run().expect(0, "", "");
        let lines = lines_of(&log);
        assert_eq!((lines.len(), &lines[0][..]), (1 + 3 * (run + 1), "before"));
        let [start, pid, err] = &lines[1 + 3 * run..] else {
            panic!("{lines:?}");
        };
        let lock = scene.lock();
        let command = COMMAND.join(" ");
        let said = format!("{} locked by PID {pid}; starting {command}", lock.display());
        assert_eq!((undated(start), &err[..]), (&said[..], "err"));
        assert_eq!(
            fs::read_to_string(lock).unwrap(),
            record_of(pid.parse().unwrap())
        );
    }
}

#[test]
fn the_log_is_open_for_appending_so_that_nothing_is_written_over() {
    let scene = Scene::new();
    let line =
        "echo one; echo two >>log; echo three; : >other; rm other; echo four >>log; echo five >&2";
    let mut command = logged(&scene);
    command.args(["sh", "-c", line]).run().expect(0, "", "");
    let lines = lines_of(&scene.path("log"));
    assert_eq!(lines[1..], ["one", "two", "three", "four", "five"]);
    // A log that is turned over meanwhile, in place, has no hole.
    let mut command = logged(&scene);
    command
        .args(["sh", "-c", "echo one; : >log; echo two"])
        .run()
        .expect(0, "", "");
    assert_eq!(fs::read(scene.path("log")).unwrap(), b"two\n");
}

#[test]
fn a_log_is_made_with_0666_and_the_umask_and_another_keeps_its_mode() {
    for (umask, mode) in [
        ("000", 0o666),
        ("022", 0o644),
        ("027", 0o640),
        ("077", 0o600),
    ] {
        let scene = Scene::new();
        for mode in [mode, 0o662] {
            let script = format!("umask {umask}; exec \"$0\" --log log lock true");
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &script, NONOVERLAP])
                .current_dir(scene.path(""));
            shell.run().expect(0, "", "");
            let log = scene.path("log");
            let seen = fs::metadata(&log).unwrap().permissions().mode() & 0o7777;
            assert_eq!(seen, mode, "{umask}");
            fs::set_permissions(&log, Permissions::from_mode(0o662)).unwrap();
        }
    }
}

#[test]
fn a_refusal_is_one_line_in_the_log_and_silent_elsewhere() {
    let scene = Scene::new();
    let _job = Holder::of([scene.lock()]);
    let held = format!("{} is held", scene.lock().display());
    for (options, status) in [
        (&[][..], 1),
        (&["-q"], 1),
        (&["-E75"], 75),
        (&["-w", ".01"], 1),
    ] {
        let mut command = logged_with(&scene, options);
        command.args(COMMAND).run().expect(status, "", "");
        let lines = lines_of(&scene.path("log"));
        let said = undated(&lines[0]);
        assert!(
            said.starts_with(&held) && said.ends_with("; not started"),
            "{said}"
        );
        assert_eq!(lines.len(), 1, "{options:?}");
        fs::remove_file(scene.path("log")).unwrap();
    }
    let ended = logged_with(&scene, &["-v", "-a0"]).arg("true").run();
    let line = &lines_of(&scene.path("log"))[0];
    assert_eq!(ended.stderr(), format!("nonoverlap: {}\n", undated(line)));
}

#[test]
fn v_and_q_govern_stderr_and_not_the_log() {
    let scene = Scene::new();
    for (option, is_said) in [("-v", true), ("-q", false)] {
        let ended = logged_with(&scene, &[option]).arg("true").run();
        let lines = lines_of(&scene.path("log"));
        let said = format!("nonoverlap: {}\n", undated(&lines[0]));
        ended.expect(0, "", if is_said { &said } else { "" });
        assert_eq!(lines.len(), 1, "{option}");
        fs::remove_file(scene.path("log")).unwrap();
    }
}

#[cfg(target_os = "linux")] // strace is.
#[test]
fn a_line_is_one_write_so_that_lines_of_several_runs_do_not_mix() {
    use crate::support::harness::{HOLD, has_tool};

    let scene = Scene::new();
    if !has_tool("strace", "how a line is written") {
        return;
    }
    // As long as lines get: a path may be four times as long, and a command line is cut.
    let lock = "./".repeat(2000) + "lock";
    let name = "x".repeat(100_000);
    let writes = || {
        let mut strace = Command::new("strace");
        strace.args(["-e", "trace=write,writev", "-o", "trace"]);
        strace.args([NONOVERLAP, "--log", "log", &lock, "true", &name]);
        let code = strace.current_dir(scene.path("")).run().code();
        let trace = fs::read_to_string(scene.path("trace")).unwrap();
        let writes = trace.lines().filter(|line| line.starts_with("write"));
        (code, writes.count())
    };
    assert_eq!(writes(), (Some(0), 1));
    let _job = Holder::start(nonoverlap([scene.lock()]).args(HOLD).arg(&name));
    assert_eq!(writes(), (Some(1), 1));
}

#[test]
fn of_a_command_line_a_thousand_bytes_are_shown_and_no_letter_or_escape_in_part() {
    let scene = Scene::new();
    let job = "echo held; read line";
    // In the end the two last bytes but three are of a letter or an escape, or before it.
    for filling in ["x", "\u{e9}", "\u{1f512}", "\n", "\x1b", "\u{202e}"] {
        let long: Vec<_> = (0..12).map(|_| filling.repeat(10_000)).collect();
        for before in ["", "y", "yy", "yyy"] {
            let command = || ["sh", "-c", job, before].map(str::to_owned).into_iter();
            let log = scene.path("log");
            let mut run = logged(&scene);
            run.args(command()).args(&long).stdin(Stdio::null()).run();
            let mut holder = nonoverlap([scene.lock()]);
            let holder = Holder::start(holder.args(command()).args(&long));
            let mut refused = nonoverlap(["-v"]);
            let refused = refused.arg(scene.lock()).arg("true").run();
            let told = nonoverlap(["--status"]).arg(scene.lock()).run();
            let json = nonoverlap(["--status", "--json"]).arg(scene.lock()).run();
            drop(holder);
            let lines = lines_of(&log);
            fs::remove_file(&log).unwrap();

            let (_, started) = lines[0].split_once("; starting ").unwrap();
            assert_is_cut(started, filling);
            if !cfg!(target_os = "linux") {
                continue; // Nobody's command line is known.
            }
            let (refused, told) = (refused.stderr(), told.stdout());
            let (_, rest) = refused.split_once(" (").expect(&refused);
            assert_eq!(rest.split_once(") for ").expect(&refused).0, started);
            let (_, rest) = told.split_once(" for ").expect(&told);
            assert_eq!(rest.split_once(": ").expect(&told).1.trim_end(), started);
            let json = json.stdout();
            let (_, rest) = json.split_once(r#""command":""#).expect(&json);
            let (shown, _) = rest.split_once('"').expect(&json);
            assert!(shown.ends_with("...") && json.len() < 8000, "{json}");
            assert!(!shown.contains('\u{fffd}'), "a letter was cut: {json}");
        }
    }
}

/// What is left is the shell's words and as many of these as there is room for.
#[track_caller]
fn assert_is_cut(shown: &str, filling: &str) {
    let filling = match filling {
        "\n" => r"\n",
        "\x1b" => r"\x1b",
        "\u{202e}" => r"\u{202e}",
        letter => letter,
    };
    let left = shown.strip_suffix("...").expect(shown);
    let words = left.trim_end_matches(filling);
    let room = 1000 - shown.len();
    assert!(room < filling.len(), "{room} bytes more had room: {shown}");
    assert!(words.ends_with(' '), "{shown}");
}

#[test]
fn fifty_refusals_at_once_are_fifty_whole_lines() {
    let scene = Scene::new();
    let _job = Holder::of([scene.lock()]);
    let name = "x".repeat(3000);
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let mut command = logged(&scene);
            command.args(["echo", &name]).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(1));
    }
    let lines = lines_of(&scene.path("log"));
    assert_eq!(lines.len(), 50);
    for line in &lines {
        let said = undated(line);
        let held = format!("{} is held by ", scene.lock().display());
        let is_whole = said.starts_with(&held) || !cfg!(target_os = "linux");
        assert!(is_whole && said.ends_with("; not started"), "{said}");
        assert_eq!(said.matches(" is held").count(), 1, "{said}");
    }
}

#[test]
fn a_log_that_takes_no_more_changes_nothing_of_the_run() {
    let scene = Scene::new();
    let lock = scene.lock();
    // By the file size limit, each write of ours would also bring a signal.
    for (limit, log) in [("true", "/dev/full"), ("ulimit -f 0", "log")] {
        if !Path::new("/dev/full").exists() {
            left_out("a full disk for the log", "there is no /dev/full");
            continue;
        }
        let run = |words: &str| {
            let mut shell = Command::new("sh");
            let script = format!("{limit}; exec \"$0\" --log {log} \"$1\" {words}");
            shell.args(["-c", &script, NONOVERLAP]).arg(&lock);
            shell.current_dir(scene.path("")).run()
        };
        run("sh -c 'exit 7'").expect(7, "", "");
        let job = Holder::of([&lock]);
        run("sh -c 'exit 7'").expect(1, "", "");
        job.end();
    }
}

#[test]
fn the_date_is_that_of_the_time_zone() {
    for zone in [
        "UTC",
        "Asia/Kolkata",
        "America/St_Johns",
        "<+0545>-5:45",
        "NST3:30",
        "<-0030>0:30",
        "<+14>-14",
        "",
        "/no/such/zone",
    ] {
        let scene = Scene::new();
        if zone.contains('/') && !Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
            left_out(zone, "there are no time zones in /usr/share/zoneinfo");
            continue;
        }
        let now = || {
            let mut date = Command::new("date");
            date.arg("+%Y-%m-%d %H:%M:%S %z").env("TZ", zone);
            date.run().stdout().trim_end().to_owned()
        };
        let before = now();
        logged(&scene)
            .arg("true")
            .env("TZ", zone)
            .run()
            .expect(0, "", "");
        let after = now();
        let line = &lines_of(&scene.path("log"))[0];
        let date = &line[..before.len()];
        assert!(
            before[..] <= *date && *date <= after[..],
            "{zone}: {before} {line} {after}"
        );
        assert_eq!(date[20..], before[20..], "{zone}");
    }
}

#[test]
fn what_could_fake_a_line_or_steer_a_terminal_is_escaped_in_the_log() {
    let scene = Scene::new();
    let evil = "a\nb\r\u{1b}[31m\u{7}\u{202e}";
    let shown = r"a\nb\r\x1b[31m\x07\u{202e}";
    let run = || {
        let mut command = nonoverlap(["--log", "log", evil, "true", evil]);
        command.current_dir(scene.path("")).run().code()
    };
    assert_eq!(run(), Some(0));
    let held = Holder::start(
        nonoverlap([evil, "sh", "-c", "echo held; read line", evil]).current_dir(scene.path("")),
    );
    assert_eq!(run(), Some(1));
    let lines = lines_of(&scene.path("log"));
    let start = format!("{shown} locked by PID ");
    assert!(undated(&lines[0]).starts_with(&start), "{lines:?}");
    assert!(
        lines[0].ends_with(&format!("; starting true {shown}")),
        "{lines:?}"
    );
    assert!(
        undated(&lines[1]).starts_with(&format!("{shown} is held")),
        "{lines:?}"
    );
    if cfg!(target_os = "linux") {
        let holder = format!(
            "PID {} (sh -c echo held; read line {shown}) for ",
            held.pid()
        );
        assert!(lines[1].contains(&holder), "{lines:?}");
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// nonoverlap with a log and a lock in the Scene's folder, where it is run.
pub fn logged(scene: &Scene) -> Command {
    logged_with(scene, &[])
}

pub fn logged_with(scene: &Scene, options: &[&str]) -> Command {
    let mut command = nonoverlap(options);
    command.args(["--log", "log"]).arg(scene.lock());
    command.current_dir(scene.path(""));
    command
}

#[track_caller]
pub fn lines_of(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(str::to_owned).collect()
}

/// What stands behind date, time and zone, which have to be there.
#[track_caller]
pub fn undated(line: &str) -> &str {
    let (date, rest) = line.split_at("2026-11-24 10:42:40 +0000 nonoverlap: ".len());
    let form: String = date
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    let form = form.replacen(" -", " +", 1);
    assert_eq!(form, "0000-00-00 00:00:00 +0000 nonoverlap: ", "{line}");
    rest
}

#[test]
fn a_zone_that_is_a_fifo_keeps_no_command_from_running() {
    let scene = Scene::new();
    let fifo = scene.path("zone");
    Command::new("mkfifo").arg(&fifo).run().expect(0, "", "");
    let path = fifo.to_str().unwrap();
    let behind = format!("../../../../../../../../../../../../../..{path}");
    let folder = scene.path("").to_str().unwrap().to_owned();
    // What glibc opens besides.
    let rules = scene.path("rules").to_str().unwrap().to_owned();
    fs::create_dir(&rules).unwrap();
    for name in ["Universal", "posixrules"] {
        let fifo = format!("{rules}/{name}");
        Command::new("mkfifo").arg(fifo).run().expect(0, "", "");
    }
    for (zone, folder) in [
        (String::new(), Some(&rules)),
        ("EST5EDT".to_owned(), Some(&rules)),
        (format!(":{path}"), None),
        (path.to_owned(), None),
        (behind.clone(), None),
        (format!(":{behind}"), None),
        ("zone".to_owned(), Some(&folder)),
        (":./zone".to_owned(), Some(&folder)),
        ("./zone".to_owned(), None),
        ("/dev/tty".to_owned(), None),
    ] {
        let environment = [("TZ", Some(&zone)), ("TZDIR", folder)];
        let mut command = logged(&scene);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["echo", "ran"]).run().expect(0, "", "");
        let lines = lines_of(&scene.path("log"));
        assert!(
            lines[0].contains(" +0000 nonoverlap: "),
            "{zone}: {lines:?}"
        );
        assert_eq!(lines[1..], ["ran"], "{zone}");
        fs::remove_file(scene.path("log")).unwrap();
    }
}

#[test]
fn without_a_zone_the_calendar_is_that_of_utc() {
    let scene = Scene::new();
    let fifo = scene.path("zone");
    Command::new("mkfifo").arg(&fifo).run().expect(0, "", "");
    let lock = scene.file("lock", record_of(i32::MAX as u32));
    for date in [
        "1970-01-01 00:00:00",
        "1972-02-29 12:34:56",
        "1999-12-31 23:59:59",
        "2000-01-01 00:00:00",
        "2000-02-29 23:59:59",
        "2000-03-01 00:00:00",
        "2023-02-28 23:59:59",
        "2023-03-01 00:00:00",
        "2024-12-31 23:59:59",
        "2037-11-30 06:07:08",
    ] {
        let digits = date
            .replace(['-', ' '], "")
            .replacen(':', "", 1)
            .replace(':', ".");
        let mut touch = Command::new("touch");
        let touch = touch.env("TZ", "UTC0").args(["-t", &digits]).arg(&lock);
        touch.run().expect(0, "", "");
        let mut status = nonoverlap(["--status".as_ref(), "--json".as_ref(), lock.as_os_str()]);
        let said = status.env("TZ", &fifo).run().stdout();
        let time = format!("\"time\":\"{}+00:00\"", date.replace(' ', "T"));
        assert!(said.contains(&time), "{said}");
    }
}

#[test]
fn a_zone_in_a_file_of_the_users_own_is_taken() {
    let scene = Scene::new();
    let Some(zone) = [
        "/usr/share/zoneinfo/Asia/Kolkata",
        "/usr/share/zoneinfo/Asia/Calcutta",
    ]
    .iter()
    .find(|zone| Path::new(zone).is_file()) else {
        return left_out("a zone of the user's own", "there are no zones here");
    };
    fs::copy(zone, scene.path("zone")).unwrap();
    let mut command = logged(&scene);
    command.env("TZ", format!(":{}", scene.path("zone").display()));
    command.arg("true").run().expect(0, "", "");
    let lines = lines_of(&scene.path("log"));
    assert!(lines[0].contains(" +0530 nonoverlap: "), "{lines:?}");
}

/// There is no descriptor left for the guardian's own opening of the log.
#[cfg(target_os = "linux")] // How many there are is told by Linux's.
#[test]
fn that_the_guardian_cannot_open_the_log_is_in_the_log() {
    use crate::support::harness::reason;

    let scene = Scene::new();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 5; exec \"$0\" -o --log log lock echo ran";
    shell
        .args(["-c", script, NONOVERLAP])
        .current_dir(scene.path(""));
    let said = format!("cannot open log log: {}", reason(libc::EMFILE));
    shell.run().expect(71, "", &format!("nonoverlap: {said}\n"));
    let lines = lines_of(&scene.path("log"));
    assert_eq!(
        lines.iter().map(|line| undated(line)).collect::<Vec<_>>(),
        [said]
    );
}
