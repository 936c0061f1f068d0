//! How long a scenario is explored, what is said of what came out, and whether it is as it should be.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::explore::{Bounds, Found, Manner, explore as search};
use super::options::Options;
use super::scenario::{Locker, Scenario};
use super::trace::Gravity;

/// How many runs a scenario gets in the gate, and how much time, whichever ends first.
const QUICK: (usize, Duration) = (1000, Duration::from_secs(2));

/// How long the overlap of a scenario in which there is one today may take to be found in the gate. Runs
/// are few until then; the time is for machines that are busy.
const KNOWN: (usize, Duration) = (4000, Duration::from_secs(60));

/// How long a scenario may take by hand.
const LONG: Duration = Duration::from_secs(30);

/// How often the shortest order may switch that is looked for when something was found.
const SWITCHES: std::ops::RangeInclusive<usize> = 0..=2;

/// Explores a scenario as far as was asked for. One that is cut off is tried again, by hand, with few
/// switches, since most holes show with one or two.
pub fn explore(scenario: &Scenario, folder: &Path, options: &Options) -> Found {
    let is_quick = !options.is_long && !options.is_markdown && options.seconds.is_none();
    let (runs, time) = match (is_quick, scenario.is_known) {
        (true, true) => KNOWN,
        (true, false) => QUICK,
        (false, _) => (usize::MAX, options.seconds.unwrap_or(LONG)),
    };
    let bounds = Bounds {
        time,
        runs,
        at_overlap: is_quick && scenario.is_known,
    };
    let mut found = search(scenario, folder, Manner::Reduced, bounds);
    if options.is_long && !found.is_all {
        for switches in [2, 1] {
            let again = search(scenario, folder, Manner::Switches(switches), bounds);
            found.bounded += again.faults.overlaps();
            found.faults.add_kinds(again.faults);
            if again.is_all {
                break;
            }
        }
    }
    found
}

pub struct Report<'a> {
    options: &'a Options,
    titles: Vec<String>,
    /// For each scenario what stands in each column.
    rows: Vec<(String, Vec<String>)>,
    wrong: Vec<String>,
    count: usize,
}

impl Report<'_> {
    pub fn new(options: &Options) -> Report<'_> {
        Report {
            options,
            titles: Vec::new(),
            rows: Vec::new(),
            wrong: Vec::new(),
            count: 0,
        }
    }

    /// What comes now is of this program.
    pub fn column(&mut self, locker: &Locker) {
        let (program, options) = locker.words.split_first().expect("a program");
        let name = Path::new(program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        self.titles
            .push([&[name.into_owned()], options].concat().join(" "));
    }

    pub fn scenario(
        &mut self,
        scenario: &Scenario,
        locker: &Locker,
        mut found: Found,
        folder: &Path,
    ) {
        let overlaps = found.faults.overlaps();
        let is_overlap = overlaps > 0 || found.bounded > 0;
        let mut why = Vec::new();
        if is_overlap && !scenario.is_known {
            why.push("two get in".to_owned());
        }
        // Where the time was chosen, it may not have been enough.
        let is_settled = found.is_all || self.options.seconds.is_none();
        if !is_overlap && scenario.is_known && is_settled {
            why.push(
                "nobody gets in beside another any more: take it off the list KNOWN".to_owned(),
            );
        }
        why.extend(
            found
                .faults
                .of(Gravity::Fault)
                .map(|(kind, _)| kind.clone()),
        );
        if found.lost > 0 {
            why.push(format!(
                "{} orders came out otherwise when they were run again",
                found.lost
            ));
        }
        let is_wrong = locker.is_ours && !why.is_empty();
        if is_wrong && (is_overlap || found.faults.of(Gravity::Fault).next().is_some()) {
            look_for_the_shortest(scenario, folder, &mut found);
        }
        let cut = if found.is_all { "" } else { "+" };
        let result = format!("{overlaps} of {}{cut}", found.classes);
        self.count += 1;
        if !self.options.is_markdown {
            let known = if scenario.is_known {
                ", as is known"
            } else {
                ""
            };
            let few = match found.bounded {
                0 => String::new(),
                bounded => format!(", {bounded} with few switches"),
            };
            let seconds = found.time.as_secs_f64();
            let remarks: Vec<_> = found
                .faults
                .of(Gravity::Remark)
                .map(|(text, _)| text.as_str())
                .collect();
            let remarks = remarks
                .iter()
                .map(|text| format!("; {text}"))
                .collect::<String>();
            println!(
                "{}: {result} overlap{few}{known}, {seconds:.1} s{remarks}",
                scenario.name
            );
        }
        if self.options.shows || is_wrong {
            self.tell(&found, is_wrong);
        }
        if is_wrong {
            println!("  WRONG: {}\n", why.join("; "));
            self.wrong.push(scenario.name.clone());
        }
        let column = self.titles.len() - 1;
        let bold = if is_overlap { "**" } else { "" };
        let cell = result.replacen(&overlaps.to_string(), &format!("{bold}{overlaps}{bold}"), 1);
        match self
            .rows
            .iter_mut()
            .find(|(title, _)| *title == scenario.title)
        {
            Some((_, cells)) => {
                cells.resize(column, String::new());
                cells.push(cell);
            }
            None => {
                let mut cells = vec![String::new(); column];
                cells.push(cell);
                self.rows.push((scenario.title.clone(), cells));
            }
        }
    }

    /// The shortest order of each kind of what was found.
    fn tell(&self, found: &Found, is_wrong: bool) {
        for (text, kind) in &found.faults.0 {
            if self.options.shows || is_wrong && kind.gravity > Gravity::Remark {
                println!(
                    "\n  {text}, in {} orders; the shortest:\n\n{}",
                    kind.count, kind.shortest
                );
            }
        }
    }

    /// Of the checker itself.
    pub fn own(&mut self, name: &str, result: Result<(), String>) {
        self.count += 1;
        match result {
            Ok(()) => println!("{name}: ok"),
            Err(why) => {
                println!("{name}\n  WRONG: {why}\n");
                self.wrong.push(name.to_owned());
            }
        }
    }

    pub fn end(self, time: Duration) -> ExitCode {
        if self.options.is_markdown {
            println!("| meanwhile | {} |", self.titles.join(" | "));
            println!("|---|{}", "---|".repeat(self.titles.len()));
            for (title, mut cells) in self.rows {
                cells.resize(self.titles.len(), String::new());
                println!("| {title} | {} |", cells.join(" | "));
            }
        } else {
            let seconds = time.as_secs_f64();
            println!(
                "{} scenarios, {} wrong, {seconds:.0} s",
                self.count,
                self.wrong.len()
            );
        }
        for name in &self.wrong {
            eprintln!("schedules: {name} is not as it should be");
        }
        match self.wrong.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// The order with the fewest switches, beside those that were found on the way.
fn look_for_the_shortest(scenario: &Scenario, folder: &Path, found: &mut Found) {
    for switches in SWITCHES {
        let bounds = Bounds {
            time: QUICK.1,
            runs: usize::MAX,
            at_overlap: true,
        };
        let again = search(scenario, folder, Manner::Switches(switches), bounds);
        let is_found = again.faults.of(Gravity::Overlap).next().is_some();
        found.faults.add_kinds(again.faults);
        if is_found {
            return;
        }
    }
}
