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
    CHANGELOG, CONTRIBUTING, DESIGN, Help, MAN, MANUAL, README, ROOT, between, bullets, codes,
    first_cells, first_screen_line, items, links, man_page, man_section, mandoc, names_in, plain,
    readme_section,
};
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
fn the_help_the_man_page_and_the_readme_list_the_same_options() {
    let help = Help::of(Path::new(NONOVERLAP));
    assert!(help.options.len() >= 18, "{:?}", help.options);
    assert_eq!(items(man_section("OPTIONS")), help.options);
    assert_eq!(first_cells(readme_section("Usage")), help.options);
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
fn the_help_the_man_page_and_the_readme_list_the_same_exit_statuses() {
    let help = Help::of(Path::new(NONOVERLAP));
    assert!(help.statuses.len() >= 8, "{:?}", help.statuses);
    assert_eq!(items(man_section("EXIT STATUS")), help.statuses);
    assert_eq!(first_cells(readme_section("Exit status")), help.statuses);
}

#[test]
fn what_the_name_flock_takes_away_is_as_documented() {
    let scene = Scene::new();
    let (ours, flocks) = (Help::of(Path::new(NONOVERLAP)), Help::of(&scene.flock()));

    let lost: BTreeSet<_> = &ours.names() - &flocks.names();
    assert!(!lost.is_empty());
    let (man, readme) = (man_section("AS FLOCK"), readme_section("In place of flock"));
    let in_man = between(man, "There is no\n", "\nunder this name");
    let in_man: Vec<_> = in_man.lines().map(plain).collect();
    assert_eq!(names_in(&in_man.join(" ")), lost);
    let in_readme = between(readme, "There is no ", " under this name").replace('`', "");
    assert_eq!(names_in(&in_readme), lost);
    assert_eq!(&flocks.names() - &ours.names(), BTreeSet::new());

    let statuses = |help: &Help| BTreeSet::from_iter(help.statuses.clone());
    let mut gone = &statuses(&ours) - &statuses(&flocks);
    // One of ours may have the number of another one of flock's.
    let new: BTreeSet<_> = (&flocks.meanings - &ours.meanings)
        .iter()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(BTreeSet::from_iter(items(man)), new.clone());
    let in_readme = between(readme, "exits with ", ".\n").replace('\n', " ");
    // Nothing stands in the place of a status that only a lock on a server has.
    assert!(gone.remove("78"));
    assert!(in_readme.contains(", never with 78,"), "{in_readme}");
    assert!(man.contains("are those below without 78,"));
    let joined = |statuses| Vec::from_iter::<BTreeSet<_>>(statuses).join(" and ");
    let (new, gone) = (joined(new), joined(gone));
    assert!(
        in_readme.starts_with(&format!("{new} in place of {gone}")),
        "{in_readme}"
    );
    let in_man = between(man, "one that stands in place\nof ", ":\n").replace('\n', " ");
    assert_eq!(in_man, gone);
}

#[test]
fn the_man_page_and_the_readme_list_the_same_differences_from_flock() {
    let Some(page) = mandoc(&["-T", "ascii", "-O", "width=400"], "nonoverlap.1") else {
        return;
    };
    // A letter, a backspace and the letter again is bold; an underscore before it, underlined.
    let letters: Vec<char> = page.chars().collect();
    let bare = (0..letters.len())
        .filter(|&i| letters[i] != '\u{8}' && letters.get(i + 1) != Some(&'\u{8}'))
        .map(|i| letters[i])
        .collect::<String>();
    let page = between(&bare, "\nAS FLOCK\n", "\nENVIRONMENT\n");
    let in_man: Vec<_> = bullets(page, "o ");
    let in_readme: Vec<_> = bullets(readme_section("In place of flock"), "- ");
    assert!(in_man.len() >= 7, "{in_man:#?}");
    assert_eq!(in_man, in_readme);
}

#[test]
fn the_usage_in_the_readme_is_that_of_the_help() {
    let indented: String = Help::of(Path::new(NONOVERLAP))
        .usage
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    assert!(README.contains(&format!("\n{indented}\n")), "{indented}");
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
fn the_readmes_first_command_runs_a_job() {
    let line = first_screen_line("cargo run --release -- ");
    let words = line.strip_prefix("cargo run --release -- ").unwrap();
    runs_the_job(&format!("nonoverlap {words}"));
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
    ] {
        let links: Vec<_> = links(text).collect();
        assert!(!links.is_empty(), "{name}");
        for link in links.iter().filter(|link| !link.starts_with("https://")) {
            assert!(Path::new(ROOT).join(link).exists(), "{link} in {name}");
        }
    }
}

#[test]
fn the_packages_and_the_rust_version_in_the_readme_are_those_of_the_manifest() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let packages: BTreeSet<_> = between(&manifest, "\n[dependencies]\n", "\n\n")
        .lines()
        .filter_map(|line| line.split(" = ").next())
        .collect();
    let listed: BTreeSet<_> = readme_section("Built on")
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.split(']').next())
        .collect();
    assert_eq!(listed, packages);
    let oldest = between(&manifest, "\nrust-version = \"", "\"");
    assert!(
        README.contains(&format!("needs Rust {oldest} or newer")),
        "{oldest}"
    );
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
    assert!(README.contains("`nonoverlap: /tmp/parser.lock is held by PID 21488 ("));
}

/// A lock file, an option, a command, and what is said then.
#[rustfmt::skip] // A row a line is how a table is read.
const MESSAGES: [(&str, &str, &str, &str); 6] = [
    ("lock", "-v", "true", "LOCKFILE is held by PID number (COMMAND) for TIME; not started"),
    ("no/lock", "-n", "true", "cannot open lock file LOCKFILE: reason"),
    ("dangling", "-n", "true", "cannot create lock file LOCKFILE: it is a symbolic link to nothing"),
    ("", "--fcntl", "true", "cannot lock LOCKFILE: reason"),
    ("free", "-n", "no/such", "cannot execute COMMAND: reason"),
    ("other", "-v", "true", "LOCKFILE locked by PID number; starting COMMAND"),
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

/// The tests run those of the README.
#[test]
fn the_recipes_in_the_man_page_are_those_of_the_readme() {
    for (recipe, language) in [
        ("systemd", "ini"),
        ("launchd", "xml"),
        ("A script that wraps itself", "sh"),
    ] {
        let (count, mut seen) = (if recipe == "systemd" { 2 } else { 1 }, 0);
        for code in codes(recipe, language) {
            assert!(!code.contains('\\') && !code.starts_with(['.', '\'']));
            assert!(MAN.contains(&format!("-compact\n{code}.Ed\n")), "{code}");
            seen += 1;
        }
        assert_eq!(seen, count, "{recipe}");
    }
}

const TEST: &str = ".\\\" test: ";

#[test]
fn the_tests_that_the_man_pages_name_exist() {
    let lines = MANUAL.iter().flat_map(|(_, page)| page.lines());
    let named: BTreeSet<_> = lines.filter_map(|line| line.strip_prefix(TEST)).collect();
    assert!(named.len() > 100, "{named:?}");
    for name in named {
        let (family, test) = name.rsplit_once("::").unwrap();
        let (package, family) = match family.strip_prefix("postgresql::") {
            Some(family) => (Path::new(ROOT).join("postgresql"), family),
            None => (PathBuf::from(ROOT), family),
        };
        // The package that is published has only its own tests.
        if !package.exists() {
            continue;
        }
        let file = format!("tests/integration/{}.rs", family.replace("::", "/"));
        let source = fs::read_to_string(package.join(file)).unwrap_or_default();
        let head = format!("fn {test}() {{");
        let first = |rest: &str| {
            rest.lines()
                .map(str::trim)
                .find(|line| line.starts_with("fn "))
                == Some(&head)
        };
        let exists = source.split("#[test]\n").skip(1).any(first);
        assert!(exists, "{name}");
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
    let listed = first_cells(crate::support::documents::section(DESIGN, "System calls"));
    // What the C library does before `main` is listed for musl.
    let start = |calls: &[String]| calls.iter().position(|call| call == "open").unwrap();
    assert_eq!(listed[start(&listed)..], made[start(&made)..]);
    if cfg!(all(target_arch = "x86_64", target_env = "musl")) {
        assert_eq!(listed, made);
    }
    let count = format!("there are {} system calls", listed.len());
    for section in [
        crate::support::documents::section(DESIGN, "System calls"),
        readme_section("Cost"),
    ] {
        assert!(section.contains(&count), "{count}");
    }
}

#[test]
fn the_system_calls_at_the_head_of_main_are_those_in_the_design() {
    let main = fs::read_to_string(Path::new(ROOT).join("src/main.rs")).unwrap();
    let row = |line: &'static str| line.strip_prefix("//! | ")?.split(" |").next();
    let main: &'static str = Box::leak(main.into_boxed_str());
    let at_head: Vec<_> = main.lines().filter_map(row).skip(1).collect();
    let mut listed = first_cells(crate::support::documents::section(DESIGN, "System calls"));
    let start = listed.iter().position(|call| call == "open").unwrap();
    listed.push("execve".to_owned());
    assert_eq!(at_head, listed[start..]);
}

#[test]
fn the_orders_in_the_readme_are_those_that_the_checker_printed() {
    let printed = fs::read_to_string(Path::new(ROOT).join("tests/schedules/orders.md")).unwrap();
    let table = between(README, "| meanwhile |", "\n\n");
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
fn the_figures_in_the_readme_are_those_that_the_bench_saved() {
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
    let section = readme_section("Measured");
    let listed = section.lines().filter(|line| line.contains(" us | "));
    assert_eq!(listed.collect::<Vec<_>>(), rows);
    let rounds = format!("{} rounds", saved["rounds"]);
    assert!(section.contains(&rounds), "{rounds}");
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
    let form = form.replace("COMMAND", "*").replace("TIME", "*");
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
