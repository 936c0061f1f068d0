//! Promises of the documents: what the man page and the README say of options, exit statuses,
//! messages, examples and files is what the binary and the source tree say.
//!
//! `--help` is printed from the program's one table of options and is what the others are held to.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::documents::{
    BENCHES, CHANGELOG, CONTRIBUTING, DESIGN, Help, MAN, MANUAL, README, ROOT, between,
    first_cells, first_screen_line, is_a_test, items, links, man_page, man_section, mandoc,
    names_in, plain, readme_section, section,
};
#[cfg(target_os = "linux")]
use crate::support::flock_differences::{DIFFERENCES, NEW};
use crate::support::harness::{
    Holder, NONOVERLAP, Run, Scene, has_tool, nonoverlap, quoted, record_of,
};

#[test]
fn mandoc_accepts_the_man_pages_without_a_warning() {
    for (page, _) in MANUAL {
        // All of the levels that a portable page can meet. The levels openbsd and netbsd want the
        // marks of those systems' version control.
        let Some(said) = mandoc(&["-T", "lint", "-W", "style"], page) else {
            return;
        };
        // Which manuals are installed is a matter of the machine.
        let of_the_page = |line: &&str| !line.contains("referenced manual not found");
        let complaints: Vec<_> = said.lines().filter(of_the_page).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

#[test]
fn every_page_in_the_folder_of_the_manual_is_tested() {
    let files = fs::read_dir(man_page("")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let pages = MANUAL.map(|(name, _)| name.to_owned());
    assert_eq!(BTreeSet::from_iter(files), BTreeSet::from(pages));
}

#[test]
fn groff_accepts_the_man_pages_without_a_warning() {
    if !has_tool("groff", "the manual") {
        return;
    }
    for (page, _) in MANUAL {
        let mut groff = Command::new("groff");
        groff.args(["-mdoc", "-ww", "-Tutf8", "-z"]);
        groff.arg(man_page(page)).run().expect(0, "", "");
    }
}

#[test]
fn the_help_and_the_man_page_list_the_same_options() {
    let help = Help::of(Path::new(NONOVERLAP));
    assert!(help.options.len() >= 18, "{:?}", help.options);
    assert_eq!(items(man_section("OPTIONS")), help.options);
}

#[test]
fn the_man_page_marks_no_option_that_there_is_not() {
    let options = Help::of(Path::new(NONOVERLAP)).names();
    let marks = |line: &&str| {
        line.split(' ')
            .any(|word| word.trim_start_matches('.') == "Fl")
    };
    for line in MAN.lines().filter(marks) {
        let unknown = &names_in(&plain(line)) - &options;
        assert!(unknown.is_empty(), "{unknown:?} in {line}");
    }
}

#[test]
fn the_help_and_the_man_page_list_the_same_exit_statuses() {
    let help = Help::of(Path::new(NONOVERLAP));
    assert!(help.statuses.len() >= 8, "{:?}", help.statuses);
    assert_eq!(items(man_section("EXIT STATUS")), help.statuses);
}

#[test]
fn what_the_name_flock_takes_away_is_as_documented() {
    let scene = Scene::new();
    let (ours, flocks) = (Help::of(Path::new(NONOVERLAP)), Help::of(&scene.flock()));

    let lost: BTreeSet<_> = &ours.names() - &flocks.names();
    assert!(!lost.is_empty());
    let man = man_section("AS FLOCK");
    let in_man = between(man, "There is no\n", "\nunder this name");
    let in_man: Vec<_> = in_man.lines().map(plain).collect();
    assert_eq!(names_in(&in_man.join(" ")), lost);
    assert_eq!(&flocks.names() - &ours.names(), BTreeSet::new());

    let statuses = |help: &Help| BTreeSet::from_iter(help.statuses.clone());
    let mut gone = &statuses(&ours) - &statuses(&flocks);
    // One of ours may have the number of another one of flock's.
    let new: BTreeSet<_> = (&flocks.meanings - &ours.meanings)
        .iter()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(BTreeSet::from_iter(items(man)), new);
    // Nothing stands in the place of a status that only a lock on a server has.
    assert!(gone.remove("78"));
    assert!(man.contains("\nbut 78 does not occur,"));
    let gone = Vec::from_iter(gone).join(" and ");
    let in_man = between(man, "this one stands in place of ", ":\n");
    assert_eq!(in_man, gone);
}

#[cfg(target_os = "linux")] // Elsewhere there is no util-linux to compare with.
#[test]
fn the_man_page_lists_a_difference_from_flock_for_each_that_is_tested() {
    let section = man_section("AS FLOCK");
    let list = between(section, "\n.Bl -bullet\n", "\n.El\n");
    let listed = list.split(".It\n").skip(1).map(|item| {
        let words: Vec<_> = item.lines().map(plain).collect();
        words.join(" ")
    });
    let mut unlisted: BTreeSet<_> = DIFFERENCES.iter().map(|row| row.why).collect();
    assert!(unlisted.remove(NEW)); // Which is no difference from a flock of today.
    for item in listed {
        let why = unlisted.iter().find(|why| item.starts_with(**why)).copied();
        let why = why.unwrap_or_else(|| panic!("not tested, or listed twice: {item}"));
        unlisted.remove(why);
    }
    assert_eq!(unlisted, BTreeSet::new());
}

#[test]
fn the_synopsis_of_the_man_page_is_the_usage_of_the_help() {
    let Some(page) = mandoc(&["-T", "ascii", "-O", "width=400"], "nonoverlap.1") else {
        return;
    };
    // mdoc(7) has a blank before what may be repeated.
    let page = bare(&page).replace(" ...", "...");
    let synopsis = between(&page, "\nSYNOPSIS\n", "\nDESCRIPTION\n").lines();
    let synopsis: Vec<_> = synopsis.map(str::trim).filter(|s| !s.is_empty()).collect();
    let usage = Help::of(Path::new(NONOVERLAP)).usage;
    let usage: Vec<_> = usage
        .lines()
        .map(|line| line.trim_start_matches("Usage:").trim())
        .collect();
    assert_eq!(synopsis, usage);
}

/// What is printed, without the strokes that make it bold or underlined: a letter, a backspace and the
/// letter again is bold; an underscore before them, underlined.
fn bare(page: &str) -> String {
    let letters: Vec<char> = page.chars().collect();
    (0..letters.len())
        .filter(|&i| letters[i] != '\u{8}' && letters.get(i + 1) != Some(&'\u{8}'))
        .map(|i| letters[i])
        .collect()
}

/// So that it stays what a person reads.
#[test]
fn the_readme_has_at_most_3000_words() {
    let words = README.split_whitespace().count();
    assert!(words <= 3000, "{words}");
}

#[test]
fn each_trouble_in_the_readme_names_its_tests_and_they_exist() {
    let section = readme_section("Troubleshooting");
    let symptoms: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let expected = [
        "It never runs",
        "Two ran at once",
        "My output file is empty",
        "The lock is held after the job's end",
        "I killed it and the lock is still held",
        "The PID is wrong",
        "No mail comes",
        "`--status` cannot tell",
    ];
    assert_eq!(symptoms, expected);
    for symptom in section.split("\n### ").skip(1) {
        let troubles: Vec<_> = symptom.split("\n- ").skip(1).collect();
        assert!(!troubles.is_empty(), "{symptom}");
        for trouble in troubles {
            let comment = between(trouble, "<!-- ", " -->");
            let untested = comment.strip_prefix("no test: ");
            let test = comment.strip_prefix("test: ");
            let exists = |name| is_a_test(Path::new(ROOT), name);
            assert!(untested.is_some() || test.is_some_and(exists), "{trouble}");
        }
    }
}

/// The lines are typed into a shell at a terminal. Linux only: there the picture was made.
#[cfg(target_os = "linux")]
#[test]
fn the_picture_of_the_demonstration_is_what_its_lines_leave_on_a_terminal() {
    if !has_tool("python3", "the demonstration") {
        return;
    }
    let scene = Scene::new();
    let script = quoted(&Path::new(ROOT).join("examples/demo.py"));
    let ended = in_folder(&scene, &format!("exec python3 {script}")).run();
    let saved = fs::read_to_string(Path::new(ROOT).join("examples/demo.svg")).unwrap();
    ended.expect(0, &saved, "");
    for said in ["; not started<", ": held by PID ", ">It runs again.<"] {
        assert!(saved.contains(said), "{said}");
    }
}

#[test]
fn the_help_fits_80_columns() {
    let scene = Scene::new();
    for program in [PathBuf::from(NONOVERLAP), scene.flock()] {
        let help = Command::new(program).arg("--help").run().stdout();
        let long: Vec<_> = help.lines().filter(|line| line.len() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}

#[test]
fn the_readmes_first_command_runs_the_job_of_the_demonstration() {
    let line = first_screen_line("cargo run --release -- ");
    let words = line.strip_prefix("cargo run --release -- ").unwrap();
    assert!(README.contains(&format!("\n    nonoverlap {words} &\n")));
    let scene = Scene::new();
    let words = words.replace("/tmp/", &quoted(&scene.path("")));
    let words = words.replace("sleep 60", "echo slept");
    let ended = in_folder(&scene, &format!("nonoverlap {words}")).run();
    ended.expect(0, "slept\n", "");
}

#[test]
fn the_crontab_lines_run_a_job() {
    let in_readme = first_screen_line("*/2 * * * * ");
    let in_man = MAN.lines().find_map(|line| line.strip_prefix(".Dl */2 "));
    assert_eq!(in_readme.strip_prefix("*/2 "), in_man);
    assert!(!in_readme.contains('%'), "cron makes a newline of it");
    let line = in_readme.strip_prefix("*/2 * * * * ").unwrap();
    runs_the_job(&line.replace("/usr/local/bin/", ""));
}

#[test]
fn the_readmes_test_command_is_the_one_that_the_gate_runs() {
    let command = first_screen_line("cargo test");
    // The package that is published has no gate.
    let Ok(gate) = fs::read_to_string(Path::new(ROOT).join(".ci/run")) else {
        return;
    };
    let runs_it = |line: &str| line.starts_with("step ") && line.ends_with(&format!("' {command}"));
    let quoted = gate.replace('"', "'");
    assert!(quoted.lines().any(runs_it), "no step is {command}");
}

#[test]
fn what_the_documents_link_to_exists() {
    for (name, text) in [
        ("README.md", README),
        ("CONTRIBUTING.md", CONTRIBUTING),
        ("DESIGN.md", DESIGN),
        ("CHANGELOG.md", CHANGELOG),
        ("benches/README.md", BENCHES),
    ] {
        let links: Vec<_> = links(text).collect();
        assert!(!links.is_empty(), "{name}");
        let page = Path::new(ROOT).join(name);
        for link in links.iter().filter(|link| !link.starts_with("https://")) {
            assert!(page.with_file_name(link).exists(), "{link} in {name}");
        }
    }
}

#[test]
fn the_packages_and_the_rust_version_in_the_documents_are_those_of_the_manifest() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let packages: BTreeSet<_> = between(&manifest, "\n[dependencies]\n", "\n\n")
        .lines()
        .filter_map(|line| line.split(" = ").next())
        .collect();
    let listed: BTreeSet<_> = section(CONTRIBUTING, "Built on")
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.split(']').next())
        .collect();
    assert_eq!(listed, packages);
    let oldest = between(&manifest, "\nrust-version = \"", "\"");
    let said = format!("needs Rust {oldest} or newer");
    assert!(readme_section("Install").contains(&said), "{said}");
}

#[test]
fn the_messages_are_those_that_the_man_page_explains() {
    let scene = Scene::new();
    symlink("nothing", scene.path("dangling")).unwrap();
    let holder = Holder::of([scene.lock()]);
    for (lock, option, command, message) in MESSAGES {
        let ended = nonoverlap([option])
            .arg(scene.path(lock))
            .arg(command)
            .run();
        let path = scene.path(lock);
        let said = ended.stderr().replace(path.to_str().unwrap(), "LOCKFILE");
        let said = said.strip_prefix("nonoverlap: ").unwrap();
        assert!(fits(said.trim_end(), message), "{message}: {ended:?}");
        assert!(MAN.contains(&format!("\n.It {message}\n")), "{message}");
    }
    drop(holder);
}

/// A lock file, an option, a command, and what is said then.
#[rustfmt::skip] // A row a line is how a table is read.
const MESSAGES: [(&str, &str, &str, &str); 12] = [
    ("lock", "-v", "true", "LOCKFILE is held by PID number (COMMAND) for TIME; not started"),
    ("no/lock", "-n", "true", "cannot open lock file LOCKFILE: reason"),
    ("dangling", "-n", "true", "cannot create lock file LOCKFILE: it is a symbolic link to nothing"),
    ("", "--fcntl", "true", "cannot lock LOCKFILE: reason"),
    ("free", "-n", "no/such", "cannot execute COMMAND: reason"),
    ("other", "-v", "true", "LOCKFILE locked by PID number; starting COMMAND"),
    ("none", "-n", "-v", "options go before the lock file 'LOCKFILE'; if 'COMMAND' is the command, put -- before the lock file"),
    ("none", "-n", "--", "options go before the lock file 'LOCKFILE', and so does --"),
    ("no/lock", "-n", "true", "cannot open lock file LOCKFILE: reason; there is no folder FOLDER"),
    ("new", "-n", "no/such", "cannot execute COMMAND: reason; this run made the file LOCKFILE"),
    ("new", "-n", "a b", "cannot execute COMMAND: reason; that is one word: leave out the quotes, or put -c before it"),
    ("new", "-n", "_=", "cannot execute COMMAND: reason; to set a variable, put env before it, or use -c 'COMMAND LINE'"),
];

#[test]
fn the_scripts_in_the_man_page_run() {
    let scripts: Vec<_> = MAN.split(".Bd -literal -offset indent\n").skip(1).collect();
    assert_eq!(scripts.len(), 1);
    for rest in scripts {
        let text = rest.split(".Ed\n").next().unwrap();
        let scene = Scene::new();
        scene.script("script", text);
        in_folder(&scene, "exec sh ./script")
            .run()
            .expect(0, "one at a time\n", "");
    }
}

#[test]
fn the_worker_in_the_man_page_gets_the_number_of_its_slot() {
    let start = "nonoverlap -j 4 ";
    let mut lines = MAN.lines().filter_map(|line| line.strip_prefix(".Dl "));
    let line = lines.find(|line| line.starts_with(start)).unwrap();
    let scene = Scene::new();
    scene.script("worker", "#!/bin/sh\necho \"number $1\"\n");
    let line = line.replace("/tmp/", &quoted(&scene.path("")));
    in_folder(&scene, &line).run().expect(0, "number 1\n", "");
}

const TEST: &str = ".\\\" test: ";

#[test]
fn the_tests_that_the_man_pages_name_exist() {
    let lines = MANUAL.iter().flat_map(|(_, page)| page.lines());
    let named: BTreeSet<_> = lines.filter_map(|line| line.strip_prefix(TEST)).collect();
    assert!(named.len() > 100, "{named:?}");
    for name in named {
        let (package, name) = match name.strip_prefix("postgresql::") {
            Some(name) => (Path::new(ROOT).join("postgresql"), name),
            None => (PathBuf::from(ROOT), name),
        };
        // The package that is published has only its own tests.
        assert!(!package.exists() || is_a_test(&package, name), "{name}");
    }
}

#[test]
fn each_option_status_variable_file_and_caveat_of_the_man_page_names_its_tests() {
    for (name, start, least) in [
        ("OPTIONS", ".It ", 30),
        ("EXIT STATUS", ".It ", 10),
        ("ENVIRONMENT", ".It ", 6),
        ("FILES", ".It ", 2),
        ("CAVEATS", ".Ss ", 9),
    ] {
        let section = format!("\n{}", man_section(name));
        let start = format!("\n{start}");
        let items: Vec<_> = section.split(&start).skip(1).collect();
        assert!(items.len() >= least, "{name}");
        for item in items {
            assert!(item.contains(TEST), "{name}: {item}");
        }
    }
    for name in [
        "DESCRIPTION",
        "STATUS",
        "HISTORY OF RUNS",
        "PID RECORD",
        "CRONTAB",
        "REMOTE LOCKS",
        "SECURITY CONSIDERATIONS",
    ] {
        assert!(man_section(name).contains(TEST), "{name}");
    }
}

/// Linux only: strace writes the list.
#[cfg(target_os = "linux")]
#[test]
fn the_system_calls_in_the_design_are_those_that_a_run_makes() {
    let scene = Scene::new();
    scene.settled_lock();
    let Some(mut made) = crate::cost::budget::calls(&scene, &["/bin/true"]) else {
        return;
    };
    assert_eq!(made.pop().as_deref(), Some("execve"));
    let listed = first_cells(section(DESIGN, "System calls"));
    // What the C library does before `main` is listed for musl.
    let start = |calls: &[String]| calls.iter().position(|call| call == "open").unwrap();
    assert_eq!(listed[start(&listed)..], made[start(&made)..]);
    if cfg!(all(target_arch = "x86_64", target_env = "musl")) {
        assert_eq!(listed, made);
    }
    let count = format!("there are {} system calls", listed.len());
    for section in [section(DESIGN, "System calls"), readme_section("Cost")] {
        assert!(section.contains(&count), "{count}");
    }
}

#[test]
fn the_system_calls_at_the_head_of_main_are_those_in_the_design() {
    let main = fs::read_to_string(Path::new(ROOT).join("src/main.rs")).unwrap();
    let row = |line: &'static str| line.strip_prefix("//! | ")?.split(" |").next();
    let main: &'static str = Box::leak(main.into_boxed_str());
    let at_head: Vec<_> = main.lines().filter_map(row).skip(1).collect();
    let mut listed = first_cells(section(DESIGN, "System calls"));
    let start = listed.iter().position(|call| call == "open").unwrap();
    listed.push("execve".to_owned());
    assert_eq!(at_head, listed[start..]);
}

#[test]
fn the_orders_in_the_design_are_those_that_the_checker_printed() {
    let printed = fs::read_to_string(Path::new(ROOT).join("tests/schedules/orders.md")).unwrap();
    let table = between(DESIGN, "| meanwhile |", "\n\n");
    let rows: Vec<_> = table.lines().skip(2).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        // There, each has the state at the start, too.
        let (meanwhile, figures) = row.split_once(" | ").unwrap();
        assert!(
            printed.contains(&format!("{meanwhile}, rec | {figures}")),
            "{row}"
        );
    }
}

#[test]
fn the_figures_of_a_start_are_those_that_the_bench_saved() {
    let saved = fs::read_to_string(Path::new(ROOT).join("benches/overhead.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let starts = saved["tables"][0]["cases"].as_array().unwrap();
    let row = |case: &serde_json::Value| {
        let figure = |key: &str| case[key].as_f64().unwrap();
        let quartile = |which: usize| case["middle_half"][which].as_f64().unwrap();
        format!(
            "| {} | {:.0} us | {:.0} to {:.0} us | {:.2} | {:.2} |",
            case["name"].as_str().unwrap(),
            figure("overhead"),
            quartile(0),
            quartile(1),
            figure("to_floor"),
            figure("to_flock"),
        )
    };
    // The first is the bare command, which all are less by.
    let rows: Vec<_> = starts.iter().skip(1).map(row).collect();
    let page = section(BENCHES, "A start");
    let listed = page.lines().filter(|line| line.contains(" us | "));
    assert_eq!(listed.collect::<Vec<_>>(), rows);
    let rounds = format!("{} rounds", saved["rounds"]);
    assert!(page.contains(&rounds), "{rounds}");

    let overhead = |name: &str| {
        let case = starts.iter().find(|case| case["name"] == name).unwrap();
        format!("{:.0} us", case["overhead"].as_f64().unwrap())
    };
    let cost = readme_section("Cost").replace('\n', " ");
    let said = format!(
        "A start of the musl build takes {} longer than the bare command. The least that a lock can \
         cost is {}; `flock -n` costs {}.",
        overhead("nonoverlap (musl)"),
        overhead("the floor"),
        overhead("flock -n"),
    );
    assert!(cost.contains(&said), "{said}");

    let drawn = texts_of("benches/overhead.svg");
    for case in starts.iter().skip(1) {
        let name = case["name"].as_str().unwrap().to_owned();
        let bar = [name, format!("{:.0}", case["overhead"].as_f64().unwrap())];
        assert!(drawn.windows(2).any(|texts| texts == bar), "{bar:?}");
    }

    let memory = saved["memory"].as_array().unwrap();
    let written = |name: &str| {
        let case = memory.iter().find(|case| case["name"] == name).unwrap();
        case["written_kilobytes"].as_u64().unwrap()
    };
    let guardians = |option: &str| {
        written(&format!("nonoverlap (musl) {option}")) - written("nonoverlap (musl)")
    };
    let said = format!(
        "a guardian takes {} KB, with `--max-runtime` {} KB.",
        guardians("-o"),
        guardians("--max-runtime 1h")
    );
    assert!(BENCHES.replace('\n', " ").contains(&said), "{said}");
}

/// The texts in a picture, from the first on.
fn texts_of(picture: &str) -> Vec<String> {
    let picture = fs::read_to_string(Path::new(ROOT).join(picture)).unwrap();
    let texts = picture.lines().filter(|line| !line.starts_with('<'));
    texts.map(str::to_owned).collect()
}

#[test]
fn the_day_in_the_readme_is_the_one_that_the_bench_saved() {
    let saved = fs::read_to_string(Path::new(ROOT).join("benches/day.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let rows = saved["rows"].as_array().unwrap();
    let figures = |row: &serde_json::Value| {
        let figure = |key: &str| row[key].as_f64().unwrap();
        format!(
            "{:.1} | {:.1}",
            figure("runs_per_hour"),
            figure("refused_per_run")
        )
    };
    let drawn = texts_of("benches/day.svg");
    let bars: Vec<_> = drawn.iter().skip(2).step_by(2).collect();
    let said = |row: &serde_json::Value| figures(row).replace(" | ", ", refused per run: ");
    assert_eq!(
        bars,
        rows.iter()
            .map(said)
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
    // Each job without and with -w 119.
    let rows = rows.chunks(2).map(|ways| {
        let [refused, waiting] = ways else {
            panic!("{ways:?}");
        };
        assert_eq!(
            (&refused["way"], &waiting["way"]),
            (&"refused".into(), &"-w 119".into())
        );
        let job = refused["job"].as_str().unwrap();
        format!("| {job} | {} | {} |", figures(refused), figures(waiting))
    });
    let section = readme_section("How often it runs");
    let listed = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(".0 |"));
    assert_eq!(listed.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}

/// Runs a line of the documents in a folder of its own, with a parser that tells its PID.
#[track_caller]
fn runs_the_job(line: &str) {
    if !has_tool("python3", line) {
        return;
    }
    let scene = Scene::new();
    scene.file("parser.py", "import os\nprint(os.getpid())\n");
    let folder = quoted(&scene.path(""));
    let line = line.replace("/tmp/", &folder).replace("/home/me/", &folder);
    let ended = in_folder(&scene, &line).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let pid = ended.stdout().trim().parse().unwrap();
    let record = fs::read_to_string(scene.path("parser.lock")).unwrap();
    assert_eq!(record, record_of(pid), "{ended:?}");
}

/// A line of shell in the scene's folder, where nonoverlap is found by its name.
fn in_folder(scene: &Scene, line: &str) -> Command {
    symlink(NONOVERLAP, scene.path("nonoverlap")).unwrap();
    let folder = scene.path("");
    let mut path = OsString::from(&folder);
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .env("PATH", path)
        .current_dir(folder);
    shell
}

/// Whether a message is of this form, in which some words stand for any text.
fn fits(said: &str, form: &str) -> bool {
    let form = form.replace("reason", "*").replace("number", "*");
    let form = form
        .replace("COMMAND LINE", "a line")
        .replace("COMMAND", "*");
    let form = form.replace("a line", "COMMAND LINE");
    let form = form.replace("TIME", "*").replace("FOLDER", "*");
    let mut rest = said;
    for (index, part) in form.split('*').enumerate() {
        match rest.find(part) {
            Some(0) => rest = &rest[part.len()..],
            Some(at) if index > 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || form.ends_with('*')
}
