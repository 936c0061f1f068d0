//! The day that this project began with: a job under cron, every two minutes. How often does it run, and
//! how many runs are refused for each one that is not, by how long it takes and by whether a refused run
//! would rather wait for the last one?
//!
//!     cargo bench --bench day            a day in less than five minutes
//!     cargo bench --bench day -- --save  and its results into benches/, where README.md shows them
//!
//! A tick of 0.4 seconds stands for the two minutes, and the job's time is made shorter alike. All that
//! is told is read from the logs by `nonoverlap --history --json`. No time fails.

#![allow(
    clippy::missing_docs_in_private_items,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod chart;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many times faster time goes than on a real day.
const FASTER: f64 = 300.0;
/// What cron waits, and how often it does in a day.
const TICK: Duration = Duration::from_secs(2 * 60);
const TICKS: u32 = 720;

/// How long a job takes, and what it is called.
const JOBS: [(&str, f64); 3] = [("10 s", 10.0), ("5 min", 300.0), ("30 min", 1800.0)];
/// How a run that finds the lock taken goes on.
const WAYS: [(&str, Option<f64>); 2] = [("refused", None), ("-w 119", Some(119.0))];

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut days = Vec::new();
    for (job, time) in JOBS {
        for (way, wait) in WAYS {
            let name = format!("{job} {way}");
            days.push((job, way, Day::new(&folder.path().join(name), time, wait)));
        }
    }
    let start = Instant::now();
    for tick in 0..TICKS {
        let due = start + TICK.div_f64(FASTER) * tick;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        days.iter_mut().for_each(|(.., day)| day.tick());
    }
    let rows: Vec<_> = days
        .into_iter()
        .map(|(job, way, day)| row(job, way, &day.history()))
        .collect();
    for row in &rows {
        println!("{row}");
    }
    let results = match env::args().any(|word| word == "--save") {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("benches"),
        false => Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
    };
    let saved = serde_json::to_string_pretty(&json!({ "faster": FASTER, "rows": rows }));
    fs::write(results.join("day.json"), saved.unwrap() + "\n").unwrap();
    chart::draw(&results.join("day.svg"), &rows);
    println!("written: day.json and day.svg in {}", results.display());
}

/// What a history comes to. Cron starts a run thirty times an hour, and each is a run or a refusal; so that
/// tells how many run. (The history has runs per hour, too, by the times of the lines. But a second of
/// theirs is five minutes of this day.)
fn row(job: &str, way: &str, history: &Value) -> Value {
    let number = |field: &str| history[field].as_f64().unwrap();
    let rounded = |number: f64| (number * 10.0).round() / 10.0;
    let refused_per_run = number("refused") / number("runs");
    let starts_per_hour = 3600.0 / TICK.as_secs_f64();
    json!({
        "job": job,
        "way": way,
        "runs_per_hour": rounded(starts_per_hour / (1.0 + refused_per_run)),
        "refused_per_run": rounded(refused_per_run),
        "history": history,
    })
}

/// A crontab line, and what cron has started for it.
struct Day {
    line: Command,
    log: std::path::PathBuf,
    started: Vec<Child>,
}

impl Day {
    fn new(folder: &Path, time: f64, wait: Option<f64>) -> Day {
        fs::create_dir(folder).unwrap();
        let log = folder.join("log");
        let mut line = Command::new(env!("CARGO_BIN_EXE_nonoverlap"));
        line.stdin(Stdio::null());
        if let Some(wait) = wait {
            line.arg("-w").arg((wait / FASTER).to_string());
        }
        line.arg("--log").arg(&log).arg(folder.join("lock"));
        line.arg("sleep").arg((time / FASTER).to_string());
        Day {
            line,
            log,
            started: Vec::new(),
        }
    }

    fn tick(&mut self) {
        self.started
            .retain_mut(|run| run.try_wait().unwrap().is_none());
        self.started.push(self.line.spawn().unwrap());
    }

    /// What its log tells, when all runs have ended.
    fn history(mut self) -> Value {
        for run in &mut self.started {
            run.wait().unwrap();
        }
        let mut asked = Command::new(env!("CARGO_BIN_EXE_nonoverlap"));
        let told = asked
            .args(["--history", "--json"])
            .arg(&self.log)
            .output()
            .unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let mut summary: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        summary.as_object_mut().unwrap().remove("log");
        summary
    }
}
