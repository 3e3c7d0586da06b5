//! How many seeds each planted bug takes until an invariant sees it, and the table of that.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;

use sim::{Bug, Failure, Options, run_with};

/// Share of planted bugs that a batch must catch, in hundredths.
pub const CAUGHT_MIN_PERCENT: usize = 95;

/// Invariants that planted bugs are to show to be able to fail. What is not here has no object, or
/// cannot be broken from outside the cores: `invariants` has a test for R9.
pub const SHOWN: &[&str] = &[
    "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R10", "R11", "O1", "O2", "O3", "O4", "O5",
    "O6", "O7", "O8", "O9", "O10", "O11", "O12", "L1", "L2", "L3", "W2", "W4", "X1", "X4",
];

/// How a bug was caught.
#[derive(Debug)]
pub struct Catch {
    /// The bug.
    pub bug: Bug,
    /// Seeds that it took, and what was seen; nothing if it was not caught.
    pub caught: Option<(u64, Failure)>,
}

/// One bug on its way through the seeds.
struct Trial {
    bug: Bug,
    next: u64,
    /// Seeds that are run right now.
    running: usize,
    /// The lowest seed that saw it.
    caught: Option<(u64, Failure)>,
}

impl Trial {
    fn is_open(&self, seeds: &Range<u64>) -> bool {
        let end = self.caught.as_ref().map_or(seeds.end, |(seed, _)| *seed);
        self.next < end
    }

    fn note(&mut self, seed: u64, failure: Option<Failure>) {
        self.running -= 1;
        let first = self.caught.as_ref().is_none_or(|(known, _)| seed < *known);
        if let Some(failure) = failure.filter(|_| first) {
            self.caught = Some((seed, failure));
        }
    }
}

/// Runs each bug over the seeds until it is caught. Threads take different bugs as long as there
/// are enough; the lowest seed counts, so their number changes nothing.
pub fn catch_all(bugs: &[Bug], seeds: Range<u64>, options: &Options, threads: usize) -> Vec<Catch> {
    let trial = |bug: &Bug| Trial {
        bug: *bug,
        next: seeds.start,
        running: 0,
        caught: None,
    };
    let trials = Mutex::new(bugs.iter().map(trial).collect::<Vec<_>>());
    let take = || {
        let mut trials = trials.lock().ok()?;
        let open = trials.iter_mut().enumerate();
        let open = open.filter(|(_, trial)| trial.is_open(&seeds));
        let (at, trial) = open.min_by_key(|(at, trial)| (trial.running, *at))?;
        trial.running += 1;
        trial.next += 1;
        Some((at, trial.bug, trial.next - 1))
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((at, bug, seed)) = take() {
                    let bug = Some(bug);
                    let failure = run_with(seed, &Options { bug, ..*options }, None).err();
                    if let Ok(mut trials) = trials.lock() {
                        trials[at].note(seed, failure);
                    }
                }
            });
        }
    });
    let trials = trials.into_inner().unwrap_or_default();
    let count = |(seed, failure)| (seed - seeds.start + 1, failure);
    let caught = trials.into_iter().map(|trial| Catch {
        bug: trial.bug,
        caught: trial.caught.map(count),
    });
    caught.collect()
}

/// Invariants that no bug was seen by.
pub fn not_shown(caught: &[Catch]) -> Vec<&'static str> {
    let seen = caught.iter().filter_map(|c| c.caught.as_ref());
    let seen: BTreeSet<_> = seen.map(|(_, failure)| short_rule(failure)).collect();
    let all = SHOWN.iter().copied();
    all.filter(|rule| !seen.contains(*rule)).collect()
}

/// Whether enough were caught.
pub fn is_enough(caught: &[Catch]) -> bool {
    let count = caught.iter().filter(|c| c.caught.is_some()).count();
    count * 100 >= caught.len() * CAUGHT_MIN_PERCENT
}

/// The table for people.
pub fn table(caught: &[Catch], seeds: u64) -> String {
    let mut rows = String::from("| bug | what is wrong | seen as | seeds |\n|---|---|---|---|\n");
    for Catch { bug, caught } in caught {
        let (rule, count) = match caught {
            Some((count, failure)) => (short_rule(failure), count.to_string()),
            None => ("-".into(), format!("not in {seeds}")),
        };
        let text = bug.text().trim_end_matches('.');
        rows.push_str(&format!("| `{bug:?}` | {text} | {rule} | {count} |\n"));
    }
    rows
}

/// The invariant's name; what the cores assert is an assertion.
fn short_rule(failure: &Failure) -> String {
    let rule = failure.rule();
    let is_name = rule.len() <= 3 && rule.starts_with(|c: char| c.is_ascii_uppercase());
    if is_name {
        rule.to_owned()
    } else {
        "assertion".into()
    }
}
