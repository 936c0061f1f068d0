//! How the command is found and executed: as execvp(3) does it, the same on every C library.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::harness::{Ended, NONOVERLAP, Run, Scene, is_root, nonoverlap};

#[test]
fn path_is_searched_from_its_first_element_to_its_last() {
    let street = Street::new();
    let long = "x".repeat(300);
    let longer = "x/".repeat(3000);
    // PATH, and where the tool that runs then is.
    let table: &[(&[u8], &str)] = &[
        (b"one", "one"),
        (b"one:two", "one"),
        (b"two:one", "two"),
        (b"bare:one", "one"),
        (b"no/such/folder:one", "one"),
        (b"./one", "one"),
        (b"../street/one", "one"),
        // A file with this name that cannot be executed does not end the search, and neither does a folder, a file in
        // place of a folder, a script without its interpreter, or an element that is too long.
        (b"plain:two", "two"),
        (b"folder:two", "two"),
        (b"one/tool:two", "two"),
        (b"orphan:two", "two"),
        (&[long.as_bytes(), b":two"].concat(), "two"),
        (&[longer.as_bytes(), b":two"].concat(), "two"),
        // An empty element is the working directory.
        (b"", "here"),
        (b":one", "here"),
        (b"bare:", "here"),
        (b"bare::one", "here"),
        (b"bare::", "here"),
        (b"::", "here"),
        (b"one:", "one"),
        (b"one::two", "one"),
    ];
    for (path, place) in table {
        let ended = street.find(Some(path), &["tool", "a b", ""]);
        ended.expect(0, &format!("{place} 2: [a b] []\n"), "");
    }
}

/// Linux only: other systems' file systems do not take every name.
#[cfg(target_os = "linux")]
#[test]
fn an_element_of_path_can_be_any_bytes() {
    let street = Street::new();
    let odd = OsStr::from_bytes(b"\xff");
    fs::rename(street.path("one"), street.path("").join(odd)).unwrap();
    street
        .find(Some(b"bare:\xff"), &["tool"])
        .expect(0, "one 0: [] []\n", "");
}

/// What is said of `plain/tool`.
const PLAIN: &str = "Permission denied; it is not executable: chmod +x plain/tool";

/// What is said of `orphan/tool`.
const ORPHANED: &str = "No such file or directory; \
    its first line names /no/such/interpreter, which is not there";

#[test]
fn where_path_leads_to_nothing_the_status_says_whether_there_was_anything() {
    let street = Street::new();
    let long = "x".repeat(300);
    let not_found = (127, "No such file or directory");
    let here = "No such file or directory; it is in the working directory: ./tool";
    let empty =
        "No such file or directory; the word is empty, perhaps because a variable is not set";
    let table: &[(&[u8], &str, (i32, &str))] = &[
        (b"bare", "tool", (127, here)),
        (b"no/such/folder:bare", "tool", (127, here)),
        (b"one/tool", "tool", (127, here)),
        (b"orphan", "tool", (127, ORPHANED)),
        (long.as_bytes(), "tool", (127, here)),
        (b"one", "no-tool", not_found),
        (b"one", &long, not_found),
        (b"one", "", (127, empty)),
        (b"", "", (127, empty)),
        (b"plain", "tool", (126, "Permission denied")),
        (b"plain:bare", "tool", (126, "Permission denied")),
        (b"folder", "tool", (126, "Permission denied")),
    ];
    for &(path, name, (status, reason)) in table {
        let ended = street.find(Some(path), &[name]);
        let message = format!("nonoverlap: cannot execute {name}: {reason}\n");
        ended.expect(status, "", &message);
    }
}

#[test]
fn an_unset_path_is_bin_and_usr_bin() {
    let street = Street::new();
    street
        .find(None, &["sh", "-c", "echo $0"])
        .expect(0, "sh\n", "");
    let message = "nonoverlap: cannot execute interpreted: No such file or directory\n";
    street.find(None, &["interpreted"]).expect(127, "", message);
}

#[test]
fn a_folder_that_may_not_be_searched_does_not_end_the_search() {
    let street = Street::new();
    fs::set_permissions(street.path("one"), Permissions::from_mode(0o000)).unwrap();
    let message = "nonoverlap: cannot execute tool: Permission denied\n";
    let [found, refused] =
        [&b"one:two"[..], b"one:bare"].map(|path| street.find_as_ordinary_user(path, &["tool"]));
    fs::set_permissions(street.path("one"), Permissions::from_mode(0o755)).unwrap();
    found.expect(0, "two 0: [] []\n", "");
    refused.expect(126, "", message);
}

#[test]
fn a_command_with_a_slash_is_not_searched_for() {
    let street = Street::new();
    let long = format!("./{}", "x".repeat(300));
    type Comes<'a> = Result<&'a str, (i32, &'a str)>;
    let table: &[(&str, Comes)] = &[
        ("./tool", Ok("here")),
        ("two/tool", Ok("two")),
        ("one/../two/tool", Ok("two")),
        ("bare/tool", Err((127, "No such file or directory"))),
        ("one/", Err((126, "Permission denied"))),
        ("/", Err((126, "Permission denied"))),
        ("one/tool/tool", Err((127, "Not a directory"))),
        ("plain/tool", Err((126, PLAIN))),
        ("folder/tool", Err((126, "Permission denied"))),
        ("orphan/tool", Err((127, ORPHANED))),
        ("one/interpreted", Err((126, "Permission denied"))),
    ];
    for (name, outcome) in table {
        let ended = street.find(Some(b"one"), &[name]);
        match outcome {
            Ok(place) => ended.expect(0, &format!("{place} 0: [] []\n"), ""),
            Err((status, reason)) => {
                ended.expect(
                    *status,
                    "",
                    &format!("nonoverlap: cannot execute {name}: {reason}\n"),
                );
            }
        }
    }
    // The C libraries do not agree on the words for this one.
    assert_eq!(street.find(None, &[&long]).code(), Some(126));
}

/// Linux only: other systems execute it all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_program_that_is_being_written_is_126() {
    let street = Street::new();
    let writer = fs::File::options()
        .append(true)
        .open(street.path("one/tool"))
        .unwrap();
    let message = "nonoverlap: cannot execute tool: Text file busy\n";
    street
        .find(Some(b"one:two"), &["tool"])
        .expect(126, "", message);
    drop(writer);
}

#[test]
fn a_text_that_does_not_say_what_runs_it_goes_to_the_shell_with_its_arguments() {
    let street = Street::new();
    let text = "echo \"$0\"; for word; do echo \"[$word]\"; done; exit 42\n";
    // Names that the shell would take for options of its own.
    let names = ["text", "-x", "+x", "-", "--", "a text"];
    for name in names {
        street.script(name, text);
    }
    let arguments = ["", "-v", "a  b", "--", "$HOME"];
    let shown = "[]\n[-v]\n[a  b]\n[--]\n[$HOME]\n";
    for name in names {
        let here = format!("./{name}");
        let there = street.path(name).into_os_string().into_string().unwrap();
        let folder = street.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/').as_bytes();
        for (path, given, is_called) in [
            (&b"bare"[..], &here[..], &here[..]),
            (b"bare", &there, &there),
            (folder, name, &there),
            (b".", name, &here),
            (b"", name, name),
            (b"bare:", name, name),
        ] {
            let ended = street.find(Some(path), &[&[given][..], &arguments].concat());
            ended.expect(42, &format!("{is_called}\n{shown}"), "");
        }
    }
}

#[test]
fn an_empty_file_that_may_be_executed_does_nothing_and_succeeds() {
    let street = Street::new();
    street.script("nothing", "");
    street
        .find(None, &["./nothing", "argument"])
        .expect(0, "", "");
}

#[test]
fn of_a_file_that_is_neither_program_nor_text_the_shell_says_what_it_says() {
    let street = Street::new();
    street.script("garbage", "\u{1}\u{2}\0\0\u{7f}ELF\n)\0\n");
    let by_nonoverlap = street.find(None, &["./garbage", "argument"]);
    let by_shell = Command::new("/bin/sh")
        .args(["./garbage", "argument"])
        .env_remove("PATH")
        .current_dir(street.path(""))
        .run();
    assert_ne!(by_shell.code(), Some(0), "{by_shell:?}");
    by_nonoverlap.expect(
        by_shell.code().unwrap(),
        &by_shell.stdout(),
        &by_shell.stderr(),
    );
}

#[test]
fn a_link_to_the_command_is_followed_and_argv_0_is_the_link() {
    let street = Street::new();
    std::os::unix::fs::symlink("/bin/sh", street.path("two/shell")).unwrap();
    street
        .find(Some(b"two:/bin:/usr/bin"), &["shell", "-c", "echo $0"])
        .expect(0, "shell\n", "");
}

/// Folders with tools, each of which says where it is and what it was given.
struct Street {
    scene: Scene,
}

impl Street {
    fn new() -> Street {
        let street = Street {
            scene: Scene::new(),
        };
        for folder in [
            "one",
            "two",
            "raw",
            "bare",
            "plain",
            "folder/tool",
            "orphan",
        ] {
            fs::create_dir_all(street.path(folder)).unwrap();
        }
        for (folder, name) in [("one", "one/tool"), ("two", "two/tool"), ("here", "tool")] {
            street.script(
                name,
                &format!("#!/bin/sh\necho \"{folder} $#: [$1] [$2]\"\n"),
            );
        }
        fs::write(street.path("plain/tool"), "#!/bin/sh\n").unwrap();
        street.script("orphan/tool", "#!/no/such/interpreter\n");
        street.script("one/interpreted", "#!/bin\n");
        street
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scene.path("street").join(name)
    }

    fn script(&self, name: &str, content: &str) {
        self.scene.script(&format!("street/{name}"), content);
    }

    /// Runs these words in the street, with this PATH or with none.
    fn find(&self, path: Option<&[u8]>, words: &[&str]) -> Ended {
        // Some of the names begin with a dash.
        let mut command = nonoverlap(["--"]);
        // Of a lock file that the run makes it would say so.
        command.arg(self.scene.file("lock", "")).args(words);
        command.current_dir(self.path(""));
        match path {
            Some(path) => command.env("PATH", OsStr::from_bytes(path)),
            None => command.env_remove("PATH"),
        };
        command.run()
    }

    /// The same as somebody whom permissions bind: root is bound by none, and so becomes another user.
    fn find_as_ordinary_user(&self, path: &[u8], words: &[&str]) -> Ended {
        if !is_root() {
            return self.find(Some(path), words);
        }
        // Where the binary was built is perhaps not for everybody to see.
        let binary = self.path("nonoverlap");
        let copied = Command::new("cp").arg(NONOVERLAP).arg(&binary).run();
        copied.expect(0, "", "");
        for folder in [self.scene.path(""), self.path("")] {
            fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-c",
        ]);
        command.args(["PATH=$1; export PATH; shift; exec \"$@\"", "sh"]);
        command
            .arg(OsStr::from_bytes(path))
            .arg(binary)
            .arg(self.scene.lock())
            .args(words);
        command.current_dir(self.path("")).run()
    }
}

/// What execve(2) takes at most is a matter of each kernel.
#[cfg(target_os = "linux")]
#[test]
fn a_command_line_that_is_too_long_is_126() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // A quarter of the stack's limit is what names and arguments may have (execve(2)), each with 8 bytes for its
    // pointer. The name of the program counts twice, as the file and as argv[0]. So what is started with 2000 bytes to
    // spare cannot start a program with a name of 4000.
    const STACK: u64 = 1024 * 1024;
    let name = format!("{}/bin/true", "/.".repeat(1995));
    let scene = Scene::new();
    let lock = scene.lock();
    let few: [&[u8]; 3] = [b"nonoverlap", lock.as_os_str().as_bytes(), name.as_bytes()];
    let used: usize = few.iter().map(|word| word.len() + 9).sum();
    let room = STACK as usize / 4 - NONOVERLAP.len() - 1 - used - 3 * 9 - 2000;
    let filling = vec![b'x'; room / 3];
    for (filling, status) in [(&filling[..], 126), (&filling[..1000], 0)] {
        let argv = [&few[..], &[filling; 3]].concat();
        let limit = Rlimit {
            current: Some(STACK),
            maximum: Some(STACK),
        };
        let limited = move || Ok(setrlimit(Resource::Stack, limit)?);
        let ended = crate::support::probe::exactly(NONOVERLAP, &argv, &[], limited).run();
        let said = ended.stderr();
        // A long name is cut.
        let start = format!("nonoverlap: cannot execute {}", &name[..900]);
        let is_said = said.starts_with(&start) && said.ends_with(": Argument list too long\n");
        assert!(is_said == (status == 126), "{ended:?}");
        assert_eq!(
            (ended.code(), ended.stdout()),
            (Some(status), String::new())
        );
    }
}
