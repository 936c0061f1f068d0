//! A real cron daemon of the test's own: Debian's `cron`.
//!
//! In mount and PID namespaces of its own it has its own crontab, PID file, system crontabs (empty) and
//! `/usr/sbin/sendmail` (one that records), so that neither the machine's daemon nor anybody's crontab
//! is touched, and nothing of it can outlive the test.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::crontab::Table;
use crate::support::harness::{NONOVERLAP, Run, eventually, is_root, quoted};

/// Cron wakes up once a minute, and on a busy machine late.
const A_MINUTE_FOR_SURE: Duration = Duration::from_secs(100);

/// Why a test cannot have a daemon.
pub fn why_not() -> Option<&'static str> {
    let wanted = ["CI", "NONOVERLAP_TEST_CRON"]
        .map(env::var_os)
        .iter()
        .any(Option::is_some);
    let there = fs::exists("/usr/sbin/cron").unwrap();
    match (wanted, is_root(), there) {
        (false, ..) => Some("it takes three minutes, and NONOVERLAP_TEST_CRON is not set"),
        (_, false, _) => Some("only root may start it"),
        (.., false) => Some("Debian's cron is not installed"),
        _ => None,
    }
}

/// Starts the daemon: `sh -c START FOLDER`, as the first process of a PID namespace. When stdin ends, so
/// does the shell, and with it everything in that namespace.
const START: &str = r#"
    set -e
    mount -t tmpfs -o mode=755 tmpfs /run
    mount --bind "$0/spool" /var/spool/cron/crontabs
    mount -t tmpfs tmpfs /etc/cron.d
    [ ! -e /etc/crontab ] || mount --bind "$0/empty" /etc/crontab
    mount -t overlay -o "lowerdir=$0/sbin:/usr/sbin" overlay /usr/sbin
    [ ! -e "$0/crontab" ] || crontab "$0/crontab"
    cron -f &
    read -r end
"#;

/// What cron runs in place of the shell, `-c LINE`: it notes how the line ended. A line's last word is
/// the job's name. A shell that waits for a job says "Killed" when it is, and cron would mail that; so
/// the one that reads the line becomes the job, and this one is told to be quiet.
const SHELL: &str = r#"#!/bin/sh
    /bin/sh "$1" "exec $2" &
    wait $! 2>/dev/null
    status=$?
    echo "${2##* } $status" >>FOLDER/log
    exit $status
"#;

/// The job of that name. The long ones end when somebody has opened their FIFO and closed it.
const JOB: &str = r#"#!/bin/sh
    echo "$1 run" >>FOLDER/log
    case $1 in
        finishes) read -r end <FOLDER/finishes.fifo || exit 0 ;;
        dies) read -r end <FOLDER/dies.fifo || kill -9 $$ ;;
        talks) echo told ;;
        overruns) sleep 1000 ;;
    esac
"#;

/// What cron mails with. The subject has the job's line, and the mail ends with what the job printed.
const SENDMAIL: &str = r#"#!/bin/sh
    mail=$(cat)
    name=$(echo "$mail" | sed -n 's|^Subject: .*/job \([a-z]*\).*|\1|p')
    echo "$name mail:$(echo "$mail" | tail -n 1)" >>FOLDER/log
"#;

/// A daemon of our own, which ends with this.
pub struct Cron {
    pub table: Table,
    first: Child,
}

impl Cron {
    /// Starts it, with these jobs due at every minute, each with these options and under a lock of its own.
    /// The options' FOLDER is the scene's.
    pub fn start(jobs: &[(&str, &str)]) -> Cron {
        let table = Table::real().unwrap();
        let scene = &table.scene;
        let folder = quoted(&scene.path(""));
        let nonoverlap = quoted(Path::new(NONOVERLAP));
        for (name, script) in [("shell", SHELL), ("job", JOB)] {
            scene.script(name, &script.replace("FOLDER", &folder));
        }
        let mut crontab = format!("SHELL={}\n", scene.path("shell").display());
        for (name, options) in jobs {
            let options = options.replace("FOLDER", &folder);
            let fifo = scene.path(format!("{name}.fifo"));
            assert_eq!(Command::new("mkfifo").arg(fifo).run().code(), Some(0));
            let lock = quoted(&scene.path(format!("{name}.lock")));
            crontab += &format!("* * * * * {nonoverlap} {options} {lock} {folder}/job {name}\n");
        }
        scene.file("crontab", crontab);
        Cron::with(table)
    }

    /// Starts it with this crontab.
    pub fn with(table: Table) -> Cron {
        let scene = &table.scene;
        fs::create_dir(scene.path("sbin")).unwrap();
        let folder = quoted(&scene.path(""));
        scene.script("sbin/sendmail", &SENDMAIL.replace("FOLDER", &folder));
        scene.file("log", "");
        scene.file("empty", "");
        let first = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc"])
            .args(["sh", "-c", START])
            .arg(scene.path(""))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Cron { table, first }
    }

    /// Waits until this is all that the log has of this job: "run" is from the job itself, a number is
    /// the status with which its line in the crontab ended, and "mail:" comes before what cron mailed.
    #[track_caller]
    pub fn expect(&mut self, name: &str, history: &str) {
        let what = format!("{name}: {history:?}");
        self.within_a_minute(&what, |cron| cron.history(name) == history);
    }

    /// Waits until something is so that cron has to do.
    #[track_caller]
    pub fn within_a_minute(&mut self, what: &str, mut is_so: impl FnMut(&Cron) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert_eq!(self.first.try_wait().unwrap(), None, "the daemon has ended");
            assert!(
                start.elapsed() < A_MINUTE_FOR_SURE,
                "{what} expected in:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn history(&self, name: &str) -> String {
        let log = self.log();
        let of_name = log.lines().filter_map(|line| line.strip_prefix(name));
        of_name.collect::<String>().trim_start().to_owned()
    }

    /// What jobs and mails were noted.
    pub fn log(&self) -> String {
        fs::read_to_string(self.table.scene.path("log")).unwrap()
    }

    /// Lets a long job end.
    pub fn let_go(&self, name: &str) {
        let fifo = self.table.scene.path(format!("{name}.fifo"));
        // Opening it succeeds as soon as the job has it open for reading.
        let open = || {
            File::options()
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&fifo)
        };
        eventually("the job reads its FIFO", || open().is_ok());
    }
}

impl Drop for Cron {
    fn drop(&mut self) {
        drop(self.first.stdin.take());
        let _ = self.first.wait();
    }
}
