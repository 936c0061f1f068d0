//! The matrix: each deed, each start, each option of the program.

use std::path::Path;

use super::deed::Deed;
use super::scenario::{Locker, Scenario, Start, is_known};

/// What is there at the start.
const NONE: &str = "";
const EMPTY: &str = "create:L";
const RECORD: &str = "record:L";

const UNLINK: &str = "unlink:L";
const UNLINK_CREATE: &str = "unlink:L,create:L";
const REPLACE_BY_EMPTY: &str = "create:z2,rename:z2:L";
const REPLACE_BY_COPY: &str = "copy:L:z2,rename:z2:L";
const TO_FIFO: &str = "unlink:L,mkfifo:L";
const KILL: &str = "kill:A";

/// What somebody does meanwhile: its key in the names, its words, its deeds, and whether they can be done
/// where there is no file yet.
const DEEDS: &[(&str, &str, &str, bool)] = &[
    ("unlink", "deleted", UNLINK, true),
    (
        "unlink-create",
        "deleted and made again",
        UNLINK_CREATE,
        true,
    ),
    ("unlink-twice", "deleted twice", "unlink:L,unlink:L", true),
    ("rename-away", "renamed away", "rename:L:z", true),
    (
        "rename-there-and-back",
        "renamed away and back",
        "rename:L:z,rename:z:L",
        false,
    ),
    (
        "replace-by-empty",
        "replaced by an empty file",
        REPLACE_BY_EMPTY,
        true,
    ),
    (
        "replace-by-copy",
        "replaced by a copy",
        REPLACE_BY_COPY,
        false,
    ),
    (
        "replace-by-garbage",
        "replaced by other content",
        "put:z2:garbage,rename:z2:L",
        true,
    ),
    ("trunc", "truncated", "trunc:L", false),
    (
        "trunc-write",
        "truncated and written",
        "trunc:L,write:L:4242",
        false,
    ),
    ("garbage", "written into", "write:L:garbage-garbage", false),
    (
        "to-symlink",
        "made a symbolic link",
        "unlink:L,symlink:L:victim",
        true,
    ),
    (
        "to-dangling",
        "made a dangling link",
        "unlink:L,symlink:L:znone",
        true,
    ),
    ("to-fifo", "made a FIFO", TO_FIFO, true),
    ("to-dir", "made a directory", "unlink:L,mkdir:L", true),
    ("hardlink", "a second name made", "link:L:z", true),
    ("chmod0", "mode 0", "chmod:L:0", false),
    ("kill-A", "the first one killed", KILL, false),
    (
        "unlink-kill",
        "deleted, the first one killed",
        "unlink:L,kill:A",
        true,
    ),
];

/// The scenarios of a program, with its options as they are written.
pub struct Table<'a> {
    locker: &'a Locker,
    folder: &'a Path,
    job: &'a Path,
    pub scenarios: Vec<Scenario>,
}

impl Table<'_> {
    /// All of them, for a lock file in this folder.
    pub fn all(locker: &Locker, folder: &Path, job: &Path) -> Vec<Scenario> {
        let mut table = Table {
            locker,
            folder,
            job,
            scenarios: Vec::new(),
        };
        table.names_change();
        if locker.is_ours {
            table.more_names_change();
            table.waiting();
            table.guardians();
            table.slots_readers_and_record_locks();
            table.names_of_old_files_change();
        }
        table.scenarios
    }

    /// A run of the program with these options, of the job with this word. Of a peer it may end with any
    /// status that such programs refuse with, and it writes no record.
    fn start(&self, options: &str, file: &str, word: &str) -> Start {
        let split = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut words = self.locker.words.clone();
        words.extend(split(options));
        words.push(self.folder.join(file).display().to_string());
        words.push(self.job.display().to_string());
        words.extend(split(word));
        Start {
            words,
            is_shared: options.split(' ').any(|option| option == "-s"),
        }
    }

    /// A scenario of runs with these options; a word after a colon is the job's.
    fn add(&mut self, name: &str, setup: &str, runs: &[&str], deeds: &[&str]) -> &mut Scenario {
        self.add_in("L", name, setup, runs, deeds)
    }

    fn add_in(
        &mut self,
        file: &str,
        name: &str,
        setup: &str,
        runs: &[&str],
        deeds: &[&str],
    ) -> &mut Scenario {
        let start = |run: &&str| {
            let (options, word) = run.split_once(':').unwrap_or((run, ""));
            self.start(options, file, word)
        };
        let is_ours = self.locker.is_ours;
        let mut statuses = vec![];
        if !is_ours {
            statuses.extend([66, 69, 73, 111, 255]);
        } else if name.contains("-to-") || name.contains("folder") {
            statuses.extend([66, 73]);
        }
        let scenario = Scenario {
            name: name.to_owned(),
            title: name.to_owned(),
            setup: Deed::list(setup),
            runs: runs.iter().map(start).collect(),
            doers: deeds.iter().map(|deeds| Deed::list(deeds)).collect(),
            clock: false,
            low_pid: None,
            capacity: 1,
            is_recorded: is_ours,
            statuses,
            is_old: false,
            is_known: is_ours && is_known(name),
        };
        self.scenarios.push(scenario);
        let last = self.scenarios.len() - 1;
        &mut self.scenarios[last]
    }

    fn names_change(&mut self) {
        for (key, setup) in [("none", NONE), ("empty", EMPTY), ("rec", RECORD)] {
            self.add(&format!("a-two-{key}"), setup, &["", ""], &[])
                .title = format!("nothing, {key}");
            self.add(&format!("a-three-{key}"), setup, &["", "", ""], &[]);
        }
        for (key, title, deeds, without_file) in DEEDS {
            let scenario = self.add(&format!("b-{key}-rec"), RECORD, &["", ""], &[deeds]);
            scenario.title = format!("{title}, rec");
            if *without_file {
                let scenario = self.add(&format!("b-{key}-none"), NONE, &["", ""], &[deeds]);
                scenario.title = format!("{title}, none");
            }
        }
        let scenario = self.add("b-fork-unlink-rec", RECORD, &[":fork", ""], &[UNLINK]);
        scenario.title = "deleted, the command goes on in a child, rec".into();
    }

    /// The same, but on a file that has long been there.
    fn names_of_old_files_change(&mut self) {
        for (key, title, deeds, _) in DEEDS {
            let scenario = self.add(&format!("d-{key}-old"), RECORD, &["", ""], &[deeds]);
            scenario.title = format!("{title}, old");
            scenario.is_old = true;
        }
        self.add("d-fork-unlink-old", RECORD, &[":fork", ""], &[UNLINK])
            .is_old = true;
        self.add("d-block-unlink-old", RECORD, &["-b", "-b"], &[UNLINK])
            .is_old = true;
    }

    fn more_names_change(&mut self) {
        self.add("b-fork-rec", RECORD, &[":fork", ""], &[]);
        let scenario = self.add("b-fork-unlink-lowpid", RECORD, &[":fork", ""], &[UNLINK]);
        scenario.low_pid = Some(50);
        self.add("b-unlink-empty", EMPTY, &["", ""], &[UNLINK]);
        self.add("b-three-unlink-rec", RECORD, &["", "", ""], &[UNLINK]);
        self.add("b-two-adversaries", RECORD, &["", ""], &[UNLINK, EMPTY]);
        for (name, deeds) in [
            ("b-folder-made-again", "unlink:zd/L,rmdir:zd,mkdir:zd"),
            ("b-folder-moved", "rename:zd:ze,mkdir:zd"),
        ] {
            let setup = "mkdir:zd,record:zd/L";
            self.add_in("zd/L", name, setup, &["", ""], &[deeds])
                .is_recorded = false;
        }
        self.add(
            "b-waiter-newcomer",
            RECORD,
            &["", "-b", ""],
            &[UNLINK_CREATE],
        );
    }

    fn waiting(&mut self) {
        for (key, deeds) in [
            ("alone", None),
            ("unlink", Some(UNLINK)),
            ("unlink-create", Some(UNLINK_CREATE)),
            ("replace-by-empty", Some(REPLACE_BY_EMPTY)),
            ("replace-by-copy", Some(REPLACE_BY_COPY)),
            ("to-fifo", Some(TO_FIFO)),
            ("kill-A", Some(KILL)),
        ] {
            let deeds: Vec<_> = deeds.into_iter().collect();
            self.add(&format!("c-block-{key}-rec"), RECORD, &["-b", "-b"], &deeds);
            let timed: Vec<_> = deeds.into_iter().chain(["timeout:B"]).collect();
            self.add(
                &format!("c-wait-{key}-rec"),
                RECORD,
                &["", "-w 100"],
                &timed,
            )
            .clock = true;
        }
        self.add("c-block-three", RECORD, &["-b", "-b", "-b"], &[]);
        self.add("c-block-fork-unlink", RECORD, &[":fork", "-b"], &[UNLINK]);
        self.add("c-block-none-unlink", NONE, &["-b", "-b"], &[UNLINK]);
        self.add(
            "c-block-none-unlink-twice",
            NONE,
            &["-b", "-b"],
            &["unlink:L,unlink:L"],
        );
    }

    fn guardians(&mut self) {
        self.add("c-guard", RECORD, &["-o", "-o"], &[]);
        self.add("c-guard-unlink", RECORD, &["-o", ""], &[UNLINK]);
        self.add("c-guard-close", RECORD, &["-o:close", ""], &[]);
        self.add("c-guard-wait", RECORD, &["-o", "-o -w 100"], &["timeout:B"])
            .clock = true;
        self.add("c-guard-kill", RECORD, &["-o", ""], &[KILL]);
    }

    fn slots_readers_and_record_locks(&mut self) {
        let both = "record:L,record:L.2";
        for (name, setup, runs, deeds) in [
            ("c-slots-two", NONE, &["-j 2"; 2][..], &[][..]),
            ("c-slots-three-rec", both, &["-j 2"; 3], &[]),
            ("c-slots-unlink", both, &["-j 2"; 3], &[UNLINK]),
        ] {
            let scenario = self.add(name, setup, runs, deeds);
            scenario.capacity = 2;
            scenario.is_recorded = false;
        }
        self.add("c-readers", RECORD, &["-s", "-s", ""], &[]);
        self.add("c-readers-unlink", RECORD, &["-s", "-s", ""], &[UNLINK]);
        self.add("c-readers-none", NONE, &["-s", "-s"], &[]);
        self.add("c-reader-block-unlink", RECORD, &["-s -b", "-b"], &[UNLINK]);
        let (at_once, waiting) = ("--fcntl", "--fcntl -b");
        for (name, setup, option, deeds) in [
            ("c-fcntl", RECORD, at_once, &[][..]),
            ("c-fcntl-unlink", RECORD, at_once, &[UNLINK]),
            ("c-fcntl-unlink-none", NONE, at_once, &[UNLINK]),
            ("c-fcntl-block-unlink", NONE, waiting, &[UNLINK]),
            ("c-fcntl-create", RECORD, at_once, &[UNLINK_CREATE]),
        ] {
            self.add(name, setup, &[option, option], deeds).is_recorded = false;
        }
    }
}
