//! Every order of the steps of a scenario, one of each class: stateless, depth first, by dynamic
//! partial-order reduction (Flanagan and Godefroid, 2005) with sleep sets.
//!
//! An order is run from its start, as a list of choices. Where two steps of different programs depend on
//! each other and neither must come first, the other one is chosen at that place in a later run (the
//! *races*). A program that was chosen at a place sleeps in the runs that choose another one there, until
//! somebody makes a step that its own depends on: until then they differ from what was run already only
//! in the order of independent steps. What depends on what is in `touch.rs`.
//!
//! Both together lose classes unless care is taken: a race leads to a program that sleeps where it was to
//! be chosen, so it is not, and what its run from there would have found to be missing is not found. Then
//! all that can go on are tried there (`own.rs` sees that nothing is lost).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::scenario::Scenario;
use super::touch::Touch;
use super::trace::Faults;
use super::world::World;

/// An order of more steps goes on for ever.
const MOST_STEPS: usize = 600;

/// How often an order is run again that came out otherwise than before.
const TRIES: usize = 4;

/// Which orders are run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One of each class.
    Reduced,
    /// One of each class, by sleep sets alone: many are begun in vain. It shows that no class is lost.
    SleepSets,
    /// All that switch at most so often away from a program that could go on.
    Switches(usize),
}

/// When to stop.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub time: Duration,
    pub runs: usize,
    /// At the first overlap.
    pub at_overlap: bool,
}

/// What came out.
#[derive(Default)]
pub struct Found {
    pub classes: usize,
    /// There are no others.
    pub is_all: bool,
    /// How many were begun that differ from others only in the order of independent steps.
    pub in_vain: usize,
    /// How many came out otherwise when they were run again: what comes after them is not known.
    pub lost: usize,
    pub time: Duration,
    pub faults: Faults,
    /// How many more overlap that were found with few switches: no classes, since nothing is reduced there.
    pub bounded: usize,
    /// How runs ended, and how often.
    pub outcomes: BTreeMap<String, usize>,
}

/// A place in an order: what was chosen there, what was before, and what is still to be.
struct Place {
    chosen: usize,
    text: String,
    touch: Touch,
    /// For each program its last step that must come before this one, or is this one.
    before: Vec<Option<usize>>,
    enabled: Vec<usize>,
    to_do: Vec<usize>,
    /// What sleeps there, with what its step touches: first those that sleep since an earlier place, then
    /// those that were chosen here.
    asleep: Vec<(usize, Touch)>,
    inherited: usize,
    switches: usize,
}

enum Run {
    Complete,
    InVain,
    CameOutOtherwise,
}

struct Search<'a> {
    scenario: &'a Scenario,
    folder: &'a Path,
    manner: Manner,
    places: Vec<Place>,
    found: Found,
}

/// Runs the scenario in the folder, in every order.
pub fn explore(scenario: &Scenario, folder: &Path, manner: Manner, bounds: Bounds) -> Found {
    let begun = Instant::now();
    let mut search = Search {
        scenario,
        folder,
        manner,
        places: Vec::new(),
        found: Found::default(),
    };
    let mut runs = 0;
    loop {
        let mut tries = 0;
        while matches!(search.run(), Run::CameOutOtherwise) && tries < TRIES {
            tries += 1;
        }
        search.found.lost += usize::from(tries == TRIES);
        runs += 1;
        let is_enough = bounds.at_overlap && search.found.faults.overlaps() > 0;
        if is_enough || runs >= bounds.runs || begun.elapsed() > bounds.time {
            break;
        }
        if !search.next_choice() {
            search.found.is_all = search.found.lost == 0;
            break;
        }
    }
    search.found.time = begun.elapsed();
    search.found
}

impl Search<'_> {
    /// Runs the choices made so far, and goes on from there.
    fn run(&mut self) -> Run {
        let mut world = World::start(self.scenario, self.folder);
        let run = self.follow(&mut world);
        match run {
            Run::Complete => {
                world.judge();
                self.found.classes += 1;
                *self.found.outcomes.entry(world.outcome()).or_default() += 1;
                self.found.faults.add(&world.trace);
            }
            Run::InVain => {
                self.found.in_vain += 1;
                self.found.faults.add(&world.trace);
            }
            Run::CameOutOtherwise => {}
        }
        world.end();
        run
    }

    fn follow(&mut self, world: &mut World) -> Run {
        let mut last_of: Vec<Option<usize>> = Vec::new();
        let known = self.places.len();
        for depth in 0.. {
            if depth == MOST_STEPS {
                world.too_long();
                return Run::Complete;
            }
            last_of.resize(world.programs.len(), None);
            // At the end, too: somebody may have been kept from a step that could have come before.
            if self.manner == Manner::Reduced {
                self.find_races(world, depth, &last_of);
            }
            let enabled = world.enabled();
            if enabled.is_empty() {
                return Run::Complete;
            }
            if depth >= known {
                match self.new_place(world, depth, enabled) {
                    Some(place) => self.places.push(place),
                    None => return Run::InVain,
                }
            } else {
                let place = &mut self.places[depth];
                let text = world
                    .programs
                    .get(place.chosen)
                    .map_or("", |program| program.text());
                // A choice that was made but not run has no text yet.
                if place.text.is_empty() {
                    place.text = text.to_owned();
                } else if place.text != text || !enabled.contains(&place.chosen) {
                    return Run::CameOutOtherwise;
                }
            }
            let chosen = self.places[depth].chosen;
            let touch = world.step(chosen);
            self.places[depth].touch = touch;
            self.places[depth].before = self.must_come_before(depth);
            last_of[chosen] = Some(depth);
        }
        Run::Complete
    }

    /// A place that no run has been to before, or nothing if all that could be chosen sleep.
    fn new_place(&self, world: &World, depth: usize, enabled: Vec<usize>) -> Option<Place> {
        let above = depth.checked_sub(1).map(|above| &self.places[above]);
        let asleep: Vec<_> = match (above, self.manner) {
            (None, _) | (_, Manner::Switches(_)) => Vec::new(),
            (Some(above), _) => {
                let still = |(_, touch): &&(usize, Touch)| !touch.depends_on(above.touch);
                above.asleep.iter().filter(still).copied().collect()
            }
        };
        let can =
            |who: &usize| enabled.contains(who) && asleep.iter().all(|(other, _)| other != who);
        let last = above.map(|above| above.chosen).filter(can);
        let chosen = last.or_else(|| enabled.iter().copied().find(can))?;
        Some(Place {
            chosen,
            text: world.programs[chosen].text().to_owned(),
            touch: Touch::default(),
            before: Vec::new(),
            to_do: match self.manner {
                Manner::Reduced => vec![chosen],
                _ => enabled.clone(),
            },
            enabled,
            inherited: asleep.len(),
            asleep,
            switches: above.map_or(0, |above| above.switches),
        })
    }

    /// Where a step that a program is about to make could have come before one that it depends on, it is
    /// to be tried there.
    fn find_races(&mut self, world: &mut World, depth: usize, last_of: &[Option<usize>]) {
        for (who, last) in last_of.iter().enumerate() {
            if !world.programs[who].has_next() {
                continue;
            }
            let touch = world.next_touch(who);
            for earlier in (0..depth).rev() {
                let place = &self.places[earlier];
                if place.chosen == who || !touch.depends_on(place.touch) {
                    continue;
                }
                let own = last.map(|own| &self.places[own].before);
                let known = own.and_then(|before| before.get(place.chosen).copied().flatten());
                if known.is_some_and(|known| known >= earlier) {
                    continue;
                }
                let place = &mut self.places[earlier];
                let mut sleepers = place.asleep[..place.inherited].iter();
                let can = place.enabled.contains(&who) && sleepers.all(|(other, _)| *other != who);
                match can {
                    true => place.to_do.push(who),
                    false => place.to_do.extend(&place.enabled),
                }
                place.to_do.sort_unstable();
                place.to_do.dedup();
                break;
            }
        }
    }

    fn must_come_before(&self, depth: usize) -> Vec<Option<usize>> {
        let this = &self.places[depth];
        let mut before: Vec<Option<usize>> = Vec::new();
        for earlier in &self.places[..depth] {
            if earlier.chosen == this.chosen || earlier.touch.depends_on(this.touch) {
                before.resize(before.len().max(earlier.before.len()), None);
                for (one, other) in before.iter_mut().zip(&earlier.before) {
                    *one = (*one).max(*other);
                }
            }
        }
        before.resize(before.len().max(this.chosen + 1), None);
        before[this.chosen] = Some(depth);
        before
    }

    /// Goes back to the last place where another choice is to be tried, and makes it.
    fn next_choice(&mut self) -> bool {
        while let Some(mut place) = self.places.pop() {
            place.asleep.push((place.chosen, place.touch));
            let above = self.places.last();
            let last = above
                .map(|above| above.chosen)
                .filter(|last| place.enabled.contains(last));
            let switches = above.map_or(0, |above| above.switches);
            let is_allowed = |who: usize| match self.manner {
                Manner::Switches(most) => last.is_none_or(|last| who == last) || switches < most,
                _ => true,
            };
            let is_new = |who: usize| place.asleep.iter().all(|(other, _)| *other != who);
            let next = place
                .to_do
                .iter()
                .copied()
                .find(|who| place.enabled.contains(who) && is_new(*who) && is_allowed(*who));
            if let Some(next) = next {
                place.switches = switches + usize::from(last.is_some_and(|last| next != last));
                place.chosen = next;
                place.text.clear();
                self.places.push(place);
                return true;
            }
        }
        false
    }
}
