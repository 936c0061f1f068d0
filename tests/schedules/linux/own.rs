//! The checker, checked: it loses no order that matters, it finds a hole that is there, and what it says
//! of that can be read.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::explore::{Bounds, Found, Manner, explore};
use super::matrix::Table;
use super::options::Options;
use super::realm::Realm;
use super::report::Report;
use super::scenario::{Locker, Scenario};

/// None of the quick ones takes five seconds where nothing else runs.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(300),
    runs: usize::MAX,
    at_overlap: false,
};

/// Scenarios with few classes.
const SMALL: &[&str] = &["a-two-rec", "a-two-empty", "b-garbage-rec", "b-kill-A-rec"];

/// Small ones of nonoverlap, with very much that is begun in vain by sleep sets alone: by hand. The one
/// of slots has three programs: with two, races and sleep sets do not come into each other's way.
const LONG: &[&str] = &["a-two-rec", "b-kill-A-rec", "c-slots-three-rec"];

pub fn run(realm: &Realm, options: &Options, report: &mut Report) {
    let flock = Options::peer("flock -n -F");
    if !Path::new(&flock.words[0]).is_absolute() {
        let why = "there is no flock(1), which has a hole that is known";
        if crate::left_out("part of what checks the checker", why) {
            report.own("own-planted", Err(why.into()));
        }
        return;
    }
    let ours = options.lockers().into_iter().find(|locker| locker.is_ours);
    let ours = ours.filter(|_| options.is_long).map(|ours| (ours, LONG));
    for (locker, names) in [(flock.clone(), SMALL)].into_iter().chain(ours) {
        for name in names {
            let own = format!("own-sleep-sets-{name}");
            if options.wants(&own) {
                let scenario = of(&locker, realm, name);
                report.own(&own, reduction_loses_nothing(&scenario, &realm.folder));
            }
        }
    }
    for name in ["a-two-none", "b-unlink-rec"] {
        let own = format!("own-all-orders-{name}");
        if options.wants(&own) {
            let scenario = of(&flock, realm, name);
            report.own(&own, classes_are_all_there_is(&scenario, &realm.folder));
        }
    }
    let own = "own-planted";
    if options.wants(own) {
        let scenario = of(&flock, realm, "b-unlink-rec");
        report.own(
            own,
            planted_hole_is_found_and_told(&scenario, &realm.folder),
        );
    }
}

fn of(locker: &Locker, realm: &Realm, name: &str) -> Scenario {
    let mut all = Table::all(locker, &realm.folder, &realm.job).into_iter();
    all.find(|scenario| scenario.name == name)
        .expect("a scenario")
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: T, other: T) -> Result<(), String> {
    match one == other {
        true => Ok(()),
        false => Err(format!("{what}: {one:?} and {other:?}")),
    }
}

/// Sleep sets alone begin an order wherever a program could be chosen, and go on with one of each class.
fn reduction_loses_nothing(scenario: &Scenario, folder: &Path) -> Result<(), String> {
    let reduced = explore(scenario, folder, Manner::Reduced, BOUNDS);
    let plain = explore(scenario, folder, Manner::SleepSets, BOUNDS);
    same(
        "all were tried",
        (reduced.is_all, plain.is_all),
        (true, true),
    )?;
    same("classes", reduced.classes, plain.classes)?;
    same("ends", reduced.outcomes, plain.outcomes)?;
    same(
        "overlaps",
        reduced.faults.overlaps(),
        plain.faults.overlaps(),
    )
}

/// Without any reduction, every order is run: what comes out is what the classes came to.
fn classes_are_all_there_is(scenario: &Scenario, folder: &Path) -> Result<(), String> {
    let reduced = explore(scenario, folder, Manner::Reduced, BOUNDS);
    let all = explore(scenario, folder, Manner::Switches(usize::MAX), BOUNDS);
    same("all were tried", (reduced.is_all, all.is_all), (true, true))?;
    let ends = |found: &Found| found.outcomes.keys().cloned().collect::<BTreeSet<_>>();
    same("ends", ends(&reduced), ends(&all))?;
    let kinds = |found: &Found| found.faults.0.keys().cloned().collect::<BTreeSet<_>>();
    same("faults", kinds(&reduced), kinds(&all))?;
    match reduced.classes < all.classes {
        true => Ok(()),
        false => Err(format!(
            "{} classes of {} orders",
            reduced.classes, all.classes
        )),
    }
}

/// flock(1) does not look again at the name of what it has locked.
fn planted_hole_is_found_and_told(scenario: &Scenario, folder: &Path) -> Result<(), String> {
    let found = explore(scenario, folder, Manner::Reduced, BOUNDS);
    let overlap = found
        .faults
        .0
        .get("OVERLAP: 2 inside")
        .ok_or("no overlap was found")?;
    same("the shortest order", overlap.shortest.as_str(), SHORTEST)
}

const SHORTEST: &str = "  A    open(L CREAT) = 0 (#0)
  A    flock(#0, EX) = 0
  A    execve(job)
      ** A is inside
  X    unlink:L = ok
  B    open(L CREAT) = 0 (#1)
  B    flock(#1, EX) = 0
  B    execve(job)
      ** B is inside
      !! OVERLAP: 2 inside
  B    exit(0)
  A    exit(0)
";
