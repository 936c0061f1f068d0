//! The order of things: the scenarios one after another, and what is said of each.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

mod advance;
mod call;
mod check;
mod deed;
mod effect;
mod explore;
mod job;
mod lock_call;
mod look;
mod matrix;
mod options;
mod own;
mod program;
mod realm;
mod report;
mod scenario;
mod step;
mod table;
mod touch;
mod trace;
mod tracer;
mod world;

use matrix::Table;
use options::Options;
use realm::Realm;
use report::Report;

pub fn run() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = |words: &[String]| Options::read(words.iter().cloned());
    if let [realm::INSIDE, folder, ..] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return inside(
            folder.into(),
            &options(&words[2..]).expect("what was read before"),
        );
    }
    match options(&words) {
        Err(reason) => {
            eprintln!("schedules: {reason}");
            return ExitCode::from(64);
        }
        Ok(options) if options.lists => return list(&options),
        Ok(_) => {}
    }
    match realm::enter(&words) {
        Ok(status) => ExitCode::from(realm::code(status) as u8),
        Err(why) => crate::all_left_out(&why),
    }
}

fn list(options: &Options) -> ExitCode {
    for locker in options.lockers() {
        let scenarios = Table::all(&locker, "/".as_ref(), "/".as_ref());
        for scenario in scenarios
            .iter()
            .filter(|scenario| options.wants_scenario(scenario))
        {
            println!("{}: test", scenario.name);
        }
    }
    ExitCode::SUCCESS
}

fn inside(folder: PathBuf, options: &Options) -> ExitCode {
    let realm = match Realm::make(folder) {
        Ok(realm) => realm,
        Err(why) => return crate::all_left_out(&why),
    };
    let begun = Instant::now();
    let mut report = Report::new(options);
    for locker in &options.lockers() {
        report.column(locker);
        for scenario in Table::all(locker, &realm.folder, &realm.job) {
            if options.wants_scenario(&scenario) {
                let found = report::explore(&scenario, &realm.folder, options);
                report.scenario(&scenario, locker, found, &realm.folder);
            }
        }
    }
    if options.tests_itself() {
        own::run(&realm, options, &mut report);
    }
    report.end(begun.elapsed())
}
