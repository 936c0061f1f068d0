//! Asking `--status`: the same question as text, as JSON and by the exit status alone, from here, as an
//! ordinary user or in other namespaces.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{Holder, NONOVERLAP, Run, Scene, has_tool, is_root, left_out};

/// Exit statuses of `--status`.
pub const HELD: i32 = 0;
pub const FREE: i32 = 3;
pub const CANNOT_TELL: i32 = 4;

/// Who asks: the words that stand before `--status`.
pub struct Asker {
    words: Vec<OsString>,
}

impl Asker {
    pub fn here() -> Asker {
        Asker::by([NONOVERLAP])
    }

    pub fn by<I: IntoIterator<Item: AsRef<OsStr>>>(words: I) -> Asker {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        Asker {
            words: words.collect(),
        }
    }

    /// A command that begins like this asker's question does.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    /// Asks for text, for JSON and for nothing but the exit status, which must be the same. The file
    /// must be in the same state all the while.
    #[track_caller]
    pub fn ask(&self, path: &Path) -> Answer {
        let asked = |options: &[&str]| self.command().args(options).arg(path).run();
        let text = asked(&["--status"]);
        let json = asked(&["--status", "--json"]);
        let quiet = asked(&["--status", "-q"]);
        let code = text.code().unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!(json.code(), Some(code), "{text:?}{json:?}");
        quiet.expect(code, "", "");
        let said = text.stdout();
        let line = said
            .strip_suffix('\n')
            .unwrap_or_else(|| panic!("{text:?}"));
        let sentence = line.strip_prefix(&format!("{}: ", path.display()));
        let answer = Answer {
            code,
            sentence: masked(sentence.unwrap_or_else(|| panic!("{text:?}"))),
            fields: reads_json().then(|| fields(&json.stdout())),
            seen: format!("{text:?}{json:?}"),
        };
        let state = match code {
            HELD => "held",
            FREE => "free",
            _ => "unknown",
        };
        answer.expect_field("state", &format!("{state:?}"));
        assert_eq!((text.stderr(), json.stderr()), Default::default());
        answer
    }
}

/// What was answered about one lock file.
pub struct Answer {
    pub code: i32,
    /// The text behind the path, with TIME and DATE in place of times and dates.
    pub sentence: String,
    /// The JSON object's fields as they are in JSON, with TIME and SECONDS in place of times, if they
    /// can be read.
    fields: Option<Vec<(String, String)>>,
    pub seen: String,
}

impl Answer {
    /// Exactly this in a field of the JSON object, where that can be read.
    #[track_caller]
    pub fn expect_field(&self, name: &str, value: &str) {
        self.expect_in_field(name, |seen| seen == value);
    }

    #[track_caller]
    pub fn expect_in_field(&self, name: &str, is_so: impl Fn(&str) -> bool) {
        let Some(fields) = &self.fields else { return };
        let found = fields.iter().find(|(known, _)| known == name);
        let is_so = found.is_some_and(|(_, value)| is_so(value));
        assert!(is_so, "{name} in {}", self.seen);
    }

    /// Exactly this exit status and text, and these among the JSON object's fields.
    #[track_caller]
    pub fn expect(&self, code: i32, sentence: &str, fields: &[(&str, &str)]) {
        let told = (self.code, &*self.sentence);
        assert_eq!(told, (code, sentence), "{}", self.seen);
        for (name, value) in fields {
            self.expect_field(name, value);
        }
    }
}

/// The `holders` or `takers` of these PIDs, with their command lines: processes of the user who
/// runs the tests, in our PID namespace, none of them stopped.
pub fn list(processes: &[(u32, &str)]) -> String {
    let user = rustix::process::geteuid().as_raw();
    let object = |(pid, command): &(u32, &str)| {
        format!(
            r#"{{"pid":{pid},"command":{command:?},"user":{user},"inner_pid":null,"stopped":false}}"#
        )
    };
    let objects: Vec<_> = processes.iter().map(object).collect();
    format!("[{}]", objects.join(","))
}

/// The `record` of this PID.
pub fn record(pid: u32, process: &str) -> String {
    format!(r#"{{"pid":{pid},"time":"TIME","process":"{process}"}}"#)
}

/// `for 12m03s` becomes `for TIME`, and `began 2026-11-23 20:44:10` becomes `began DATE`.
fn masked(sentence: &str) -> String {
    let mut words: Vec<_> = sentence.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let is_digit = |word: &String| word.starts_with(|letter: char| letter.is_ascii_digit());
        if !is_digit(&words[index]) {
            continue;
        }
        if words[index - 1] == "for" {
            let end =
                words[index].trim_start_matches(|letter: char| letter.is_ascii_alphanumeric());
            words[index] = format!("TIME{end}");
        } else if words[index - 1] == "began" && words.len() > index + 1 {
            words[index] = "DATE".to_owned();
            words[index + 1].clear();
        }
    }
    words.join(" ").replace("DATE  ", "DATE ")
}

/// Reads JSON with another program's eyes, and prints each object's fields in lines, times masked.
const READ_JSON: &str = r#"
import json, re, sys
def once(pairs):
    assert len(dict(pairs)) == len(pairs), "a name twice"
    return dict(pairs)
def refuse(constant):
    raise ValueError(constant)
def masked(value, name=None):
    if name in ("since", "time") and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", value or ""):
        return "TIME"
    if name == "held_for" and type(value) is int and value >= 0:
        return "SECONDS"
    if isinstance(value, dict):
        return {name: masked(value, name) for name, value in value.items()}
    if isinstance(value, list):
        return [masked(value) for value in value]
    return value
for line in sys.stdin.buffer:
    for name, value in json.loads(line.decode(), object_pairs_hook=once, parse_constant=refuse).items():
        print(name + "=" + json.dumps(masked(value, name), separators=(",", ":")))
"#;

/// Whether [`fields`] can be read.
#[track_caller]
pub fn reads_json() -> bool {
    has_tool("python3", "the JSON of --status")
}

/// The fields of the JSON objects in these lines.
#[track_caller]
pub fn fields(json: &str) -> Vec<(String, String)> {
    let read = Command::new("python3")
        .args(["-c", READ_JSON])
        .run_with_input(json);
    assert_eq!(read.code(), Some(0), "not JSON: {json}\n{read:?}");
    let of_line = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    read.stdout().lines().map(of_line).collect()
}

/// The binary where every user may execute it, in a folder that everybody may search.
pub fn binary_for_all(scene: &Scene) -> OsString {
    let copy = scene.path("nonoverlap");
    if !copy.exists() {
        // By another process, as in Scene::script.
        assert!(
            Command::new("cp")
                .args([NONOVERLAP.as_ref(), copy.as_os_str()])
                .run()
                .status
                .success()
        );
        fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy.into_os_string()
}

/// What turns a command into an ordinary user's.
pub const AS_NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// An ordinary user who asks.
pub fn nobody(scene: &Scene) -> Asker {
    let mut words: Vec<_> = AS_NOBODY.iter().map(OsString::from).collect();
    words.push(binary_for_all(scene));
    Asker { words }
}

/// Namespaces of their own, with what is mounted in them, as long as this lives. Needs root.
pub struct Realm {
    first: Holder,
    entrance: Vec<OsString>,
}

impl Realm {
    /// Mounts of its own, made by this shell script, whose `$0` is the Scene's folder.
    #[track_caller]
    pub fn of_mounts(scene: &Scene, script: &str) -> Realm {
        let first = start(scene, &["--mount"], script);
        Realm {
            entrance: entrance(first.pid(), &["--mount"]),
            first,
        }
    }

    /// The same, and PIDs of its own, with their own `/proc`.
    #[track_caller]
    pub fn of_processes(scene: &Scene, script: &str) -> Realm {
        let flags = ["--mount", "--pid", "--fork", "--mount-proc"];
        let first = start(scene, &flags, script);
        Realm {
            entrance: entrance(child_of(first.pid()), &["--mount", "--pid"]),
            first,
        }
    }

    /// A path inside, as it can be reached from here.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.first.pid());
        Path::new(&root).join(path.strip_prefix("/").unwrap())
    }

    /// This command, inside.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Command {
        let mut command = Asker::by(&self.entrance).command();
        command.args(words);
        command
    }

    /// Somebody who asks inside, by these words.
    pub fn asker<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Asker {
        let mut all = self.entrance.clone();
        all.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        Asker { words: all }
    }
}

/// PIDs of its own, if we may make them.
pub fn realm_of_processes() -> Option<(Scene, Realm)> {
    if !is_root() {
        left_out("a PID namespace", "needs root to make one");
        return None;
    }
    let scene = Scene::new();
    let realm = Realm::of_processes(&scene, "");
    Some((scene, realm))
}

/// Mounts of its own with this file system, if the kernel has it and the tool is there.
pub fn realm_with(
    file_system: &str,
    tool: &str,
    package: &str,
    script: &str,
) -> Option<(Scene, Realm)> {
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let is_known = known
        .lines()
        .any(|line| line.ends_with(&format!("\t{file_system}")));
    let finds_tool = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .run();
    let why = match (is_root(), is_known, finds_tool.status.success()) {
        (false, _, _) => "needs root to mount it".to_owned(),
        (_, false, _) => "the kernel has none".to_owned(),
        (_, _, false) => format!("{tool} of package {package} is missing"),
        (true, true, true) => {
            let scene = Scene::new();
            let realm = Realm::of_mounts(&scene, script);
            return Some((scene, realm));
        }
    };
    left_out(&format!("locks on {file_system}"), &why);
    None
}

fn start(scene: &Scene, flags: &[&str], script: &str) -> Holder {
    let script = format!("set -e; {script}\necho held; exec cat >/dev/null");
    Holder::start(
        Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", &script])
            .arg(scene.path("")),
    )
}

fn entrance(pid: u32, flags: &[&str]) -> Vec<OsString> {
    let target = pid.to_string();
    let words = ["nsenter", "--target", &target];
    words.iter().chain(flags).map(OsString::from).collect()
}

/// The child that a process which only waits for it has.
#[track_caller]
pub fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("children of {pid}: {children:?}"))
}

/// The PID that a process has in its own namespace.
#[track_caller]
pub fn inner_pid(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("NSpid:"))
        .unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}
