//! The recipes in the README and the manual work: each is taken out of its page, its paths are moved into
//! the test's folder, and then it is run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::crontab::{Table, path_with};
use crate::support::documents::{MAN, codes, man_file};
use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, Waiter, eventually, has_tool, kill, quoted,
};

#[test]
fn the_crontab_is_one_and_its_lines_run_skip_wait_and_log() {
    let crontab = code("Options to know", "crontab", 0);
    for table in Table::each() {
        let mut change = table.command("crontab");
        change.arg("-").run_with_input(crontab).expect(0, "", "");
        assert_eq!(table.text().unwrap(), crontab.as_bytes());
    }

    if !has_tool("python3", "the crontab") {
        return;
    }
    let home = Home::new();
    let mut lines = crontab.lines().filter_map(command_of_crontab_line);
    let (parser, backup) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(lines.next(), None);
    home.scene.script("backup", "#!/bin/sh\necho saved\n");

    home.sh(parser).run().expect(0, "", "");
    home.sh(backup).run().expect(0, "saved\n", "");
    assert!(home.log().contains("\nparsed\n"), "{}", home.log());

    let holder = Holder::of([home.scene.path("locks/parser.lock")]);
    home.sh(parser).run().expect(1, "", "");
    let refusal = format!("is held by PID {}", holder.pid());
    assert!(home.log().contains(&refusal), "{}", home.log());
    // `exec`, so that it is nonoverlap itself that is seen to wait.
    let mut waiting = home.sh(&format!("exec {backup}"));
    let waiter = Waiter::start(&mut waiting, &home.scene.path("locks/parser.lock"));
    assert!(holder.end().success());
    waiter.ended().expect(0, "saved\n", "");
}

/// Linux only: systemd is.
#[cfg(target_os = "linux")]
#[test]
fn systemd_finds_no_fault_with_the_units_and_the_service_starts_the_parser() {
    use crate::support::documents::between;

    if !has_tool("systemd-analyze", "the systemd units") || !has_tool("python3", "the same") {
        return;
    }
    let home = Home::new();
    let service = man_file("[Unit]\nDescription=The parser, one at a time\n");
    let timer = man_file("[Unit]\nDescription=Start the parser every two minutes\n");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify");
    for (name, unit) in [("parser.service", service), ("parser.timer", timer)] {
        verify.arg(home.scene.file(name, home.moved(unit)));
    }
    verify.run().expect(0, "", "");

    let command = between(service, "\nExecStart=", "\n").replace("%S/parser", "/home/me/locks");
    home.sh(&command).run().expect(0, "parsed\n", "");
    let _holder = Holder::of([home.scene.path("locks/lock")]);
    let no_failure = between(service, "\nSuccessExitStatus=", "\n");
    let ended = home.sh(&command).run();
    assert_eq!(ended.code(), no_failure.parse().ok(), "{ended:?}");
}

#[test]
fn the_property_list_is_one_and_its_words_start_the_parser() {
    if !has_tool("python3", "the property list") {
        return;
    }
    const WORDS: &str = "
import plistlib, shlex, sys
job = plistlib.loads(sys.stdin.buffer.read())
assert set(job) == {'Label', 'ProgramArguments', 'StartInterval'}, job
assert type(job['StartInterval']) is int, job
print(job['Label'])
print(shlex.join(job['ProgramArguments']))
";
    let home = Home::new();
    let list = man_file("<?xml ");
    if cfg!(target_os = "macos") {
        let file = home.scene.file("job.plist", list);
        let ended = Command::new("plutil").arg("-lint").arg(file).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
    let read = Command::new("python3")
        .args(["-c", WORDS])
        .run_with_input(list);
    let said = read.stdout();
    let (label, words) = said
        .split_once('\n')
        .unwrap_or_else(|| panic!("no property list: {read:?}"));
    assert!(MAN.contains(&format!("/{label}.plist :\n")), "{label}");
    home.sh(words).run().expect(0, "", "");
    assert!(home.log().contains("\nparsed\n"), "{}", home.log());
}

#[test]
fn the_script_wraps_itself_and_is_not_changed() {
    let written = code("A script that wraps itself", "sh", 0);
    assert_eq!(man_file("#!/bin/sh\n"), written);
    let own = written.replace("/home/me/locks/script.lock", r#""$0""#);
    assert_ne!(own, written);
    for text in [written, &own] {
        let home = Home::new();
        let hold = r#"echo "$1"; exec cat >/dev/null"#;
        let text = home.moved(&text.replace("echo 'one at a time'", hold));
        let script = home.scene.script("script", &text);
        let run = format!("exec {} held", quoted(&script));
        let holder = Holder::start(&mut home.sh(&run));
        home.sh(&run).run().expect(1, "", "");
        assert!(holder.end().success());
        home.sh(&run).run().expect(0, "held\n", "");
        assert_eq!(fs::read_to_string(script).unwrap(), text);
    }
}

/// The manual's line in place of `--max-runtime`, with shorter times. Linux only: who has the lock is looked
/// up in `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn a_job_under_timeout_is_ended_with_its_children_and_killed_if_it_ignores_that() {
    use crate::support::documents::between;
    use crate::support::harness::becomes_free;

    if !has_tool("timeout", "a job under timeout") {
        return;
    }
    let line = between(MAN, "is available,\n.Ql ", "\n");
    assert_eq!(line, "nonoverlap LOCKFILE timeout -k 30 2h COMMAND");
    let line = line.replace(" -k 30 2h ", " -k 0.5 1 ");
    let home = Home::new();
    let lock = home.scene.path("locks/lock");
    let line = line.replace("LOCKFILE", &quoted(&lock));
    // How the end is told is timeout's matter: 124, or as of SIGKILL.
    for (job, ended) in [
        ("sleep 1000; :", "124"),
        ("trap '' TERM; sleep 1000; sleep 1000; :", "137"),
    ] {
        let command = format!("sh -c {}", quoted(job.as_ref()));
        let line = line.replace("COMMAND", &command);
        let ended_with = home.sh(&format!("({line}); echo $?")).run();
        assert_eq!(ended_with.stdout().trim(), ended, "{ended_with:?}");
        becomes_free(&lock);
    }
}

/// What the workers run: it notes if somebody else is at the same item, which is a lock of its own
/// that this process and its child have, and when it is done. Some items take so long that there is
/// time to start another worker when the first one is killed.
const WORK: &str = r#"#!/bin/sh
exec 8>>FOLDER/"$1"
flock -n 8 || echo "twice $1" >>FOLDER/seen
case $1 in *0) sleep 0.3 ;; *) sleep 0.02 ;; esac
echo "done $1" >>FOLDER/seen
"#;

const ITEMS: usize = 200;

#[test]
fn workers_that_are_killed_and_started_again_lose_no_item_and_are_never_two_at_one() {
    let needs = ["redis-server", "redis-cli", "flock"];
    if !needs
        .iter()
        .all(|tool| has_tool(tool, "workers with Redis"))
    {
        return;
    }
    let home = Home::new();
    let mut redis = Redis::start(&home.scene);
    home.scene.script(
        "worker",
        &home.moved(code("One worker for each slot", "sh", 0)),
    );
    let folder = quoted(&home.scene.path(""));
    home.scene.script("work", &WORK.replace("FOLDER", &folder));
    let line = code("One worker for each slot", "crontab", 0);
    let line = command_of_crontab_line(line.trim_end()).unwrap();
    let line = format!("exec {line}");

    let seen = || fs::read_to_string(home.scene.path("seen")).unwrap_or_default();
    let mut workers = Workers(Vec::new());
    let (mut pushed, mut killed) = (0, 0);
    eventually("every item is done", || {
        if workers.running() < 4 {
            // Who is refused, because something of a killed one lives, is not tried again at once.
            thread::sleep(Duration::from_millis(10));
            workers.start(home.sh(&line));
        }
        let done = seen().lines().count();
        // A few at a time, so that workers also are killed while they wait for something to do.
        if pushed < ITEMS && done + 4 >= pushed {
            let items = (pushed..pushed + 5).map(|item| format!(" item{item}"));
            redis.ask(&format!("LPUSH todo{}", items.collect::<String>()));
            pushed += 5;
        }
        if done >= 2 * killed && workers.running() == 4 {
            workers.kill_one(killed);
            killed += 1;
        }
        let lists = ["todo", "doing:1", "doing:2", "doing:3", "doing:4"];
        let left = lists.map(|list| redis.ask(&format!("LLEN {list}")));
        pushed == ITEMS && left.iter().all(|number| number == ":0")
    });
    let seen = seen();
    let done: BTreeSet<_> = seen
        .lines()
        .filter_map(|s| s.strip_prefix("done "))
        .collect();
    assert_eq!(done.len(), ITEMS, "{seen}");
    assert!(!seen.contains("twice"), "{seen}");
    assert!(killed >= ITEMS / 3, "only {killed} were killed");
}

/// Workers, each the first of a process group. None of them outlives this.
struct Workers(Vec<Child>);

impl Workers {
    fn start(&mut self, mut worker: Command) {
        self.0.push(worker.process_group(0).spawn().unwrap());
    }

    fn running(&mut self) -> usize {
        let running = |worker: &mut Child| worker.try_wait().unwrap().is_none();
        self.0
            .iter_mut()
            .filter_map(|worker| running(worker).then_some(()))
            .count()
    }

    /// Kills the worker alone, so that what it has started runs on, or all of them.
    fn kill_one(&mut self, number: usize) {
        let mut running: Vec<_> = self.0.iter_mut().collect();
        running.retain_mut(|worker| worker.try_wait().unwrap().is_none());
        let pid = running[number % running.len()].id();
        let alone = number % 2 == 0;
        kill(if alone { pid } else { pid.wrapping_neg() }, libc::SIGKILL);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            kill(worker.id().wrapping_neg(), libc::SIGKILL);
            let _ = worker.wait();
        }
    }
}

/// A server that listens in the scene's folder, which `redis-cli` there asks.
struct Redis {
    server: Child,
    connection: BufReader<UnixStream>,
}

impl Redis {
    fn start(scene: &Scene) -> Redis {
        let socket = scene.path("redis.sock");
        let mut server = Command::new("redis-server");
        server.args(["--port", "0", "--save", "", "--unixsocket"]);
        server
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let server = server.current_dir(scene.path("")).spawn().unwrap();
        let mut connection = None;
        eventually("the server listens", || {
            connection = UnixStream::connect(&socket).ok();
            connection.is_some()
        });
        let client = Command::new("sh")
            .args(["-c", "command -v redis-cli"])
            .run();
        let line = format!(
            "exec {} -s {} \"$@\"",
            client.stdout().trim(),
            quoted(&socket)
        );
        scene.script("bin/redis-cli", &format!("#!/bin/sh\n{line}\n"));
        let connection = BufReader::new(connection.unwrap());
        Redis { server, connection }
    }

    /// What it answers, which is one line, to a command.
    fn ask(&mut self, command: &str) -> String {
        write!(self.connection.get_mut(), "{command}\r\n").unwrap();
        let mut answer = String::new();
        self.connection.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What stands for the home of the recipes: it has folders for locks and for programs, and a parser.
struct Home {
    scene: Scene,
}

impl Home {
    fn new() -> Home {
        let scene = Scene::new();
        for folder in ["locks", "bin", "Library/Logs"] {
            fs::create_dir_all(scene.path(folder)).unwrap();
        }
        symlink(NONOVERLAP, scene.path("bin/nonoverlap")).unwrap();
        scene.file("parser.py", "print('parsed')\n");
        Home { scene }
    }

    /// A recipe with this home in place of the one that it names.
    fn moved(&self, recipe: &str) -> String {
        let home = self.scene.path("");
        let home = home.to_str().unwrap().trim_end_matches('/');
        recipe
            .replace("/usr/local/bin/nonoverlap", NONOVERLAP)
            .replace("/usr/bin/python3", "python3")
            .replace("/home/me", home)
            .replace("/Users/me", home)
    }

    /// A line of a recipe, for the shell.
    fn sh(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &self.moved(line)])
            .env("PATH", path_with(&self.scene.path("bin")));
        shell
    }

    /// The parser's log, wherever the recipe has it.
    fn log(&self) -> String {
        let places = ["parser.log", "Library/Logs/parser.log"].map(|log| self.scene.path(log));
        places
            .iter()
            .filter_map(|log| fs::read_to_string(log).ok())
            .collect()
    }
}

/// A block of code in a recipe: the first, the second … in this language.
#[track_caller]
fn code(recipe: &str, language: &str, number: usize) -> &'static str {
    codes(recipe, language)[number]
}

/// The command in a line of a crontab with five fields, if it is one.
fn command_of_crontab_line(line: &str) -> Option<&str> {
    let is_schedule = line.starts_with(|first: char| first == '*' || first.is_ascii_digit());
    is_schedule.then(|| line.splitn(6, ' ').nth(5).unwrap())
}
