//! Makes a failing run small: leaves out steps and makes the cluster smaller as long as the same
//! invariant still breaks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sim::{Bug, Failure, Options, SEC, Scenario, run_scenario};

/// What shrinking may take; what it has when either is used up is what it gives back.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Runs.
    pub runs: usize,
    /// Time.
    pub time: Duration,
}

/// The smallest scenario that was found, and how it fails.
#[derive(Debug)]
pub struct Shrunk {
    /// What is left.
    pub scenario: Scenario,
    /// How it fails.
    pub failure: Failure,
    /// Runs that it took.
    pub runs: usize,
}

struct Shrinker {
    options: Options,
    rule: String,
    best: Scenario,
    failure: Failure,
    runs: usize,
    runs_max: usize,
    until: Instant,
}

/// Shrinks a scenario that fails; `None` if it holds.
pub fn shrink(scenario: &Scenario, bug: Option<Bug>, effort: Effort) -> Option<Shrunk> {
    let until = Instant::now() + effort.time;
    let options = Options {
        bug,
        ..Options::default()
    };
    let failure = run_scenario(scenario, &options, None).err()?;
    let mut shrinker = Shrinker {
        options,
        rule: failure.rule().to_owned(),
        best: scenario.clone(),
        failure,
        runs: 1,
        runs_max: effort.runs,
        until,
    };
    shrinker.end_early();
    shrinker.make_smaller();
    shrinker.leave_out_kinds();
    shrinker.leave_out();
    shrinker.make_smaller();
    let Shrinker {
        best,
        failure,
        runs,
        ..
    } = shrinker;
    Some(Shrunk {
        scenario: best,
        failure,
        runs,
    })
}

impl Shrinker {
    /// Takes a candidate if the same invariant breaks in it.
    fn try_out(&mut self, candidate: Scenario) -> bool {
        let spent = self.runs >= self.runs_max || Instant::now() >= self.until;
        if spent || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let result = run_scenario(&candidate, &self.options, None);
        let Some(failure) = result.err().filter(|f| f.rule() == self.rule) else {
            return false;
        };
        (self.best, self.failure) = (candidate, failure);
        true
    }

    /// What comes after the failure has no part in it.
    fn end_early(&mut self) {
        let end = self.failure.at;
        let mut candidate = self.best.clone();
        candidate.steps.retain(|s| s.at <= end);
        candidate.params.chaos = candidate.params.chaos.min(end / SEC * SEC + SEC);
        self.try_out(candidate);
    }

    /// Leaves out all steps of a kind, where none of them is needed.
    fn leave_out_kinds(&mut self) {
        let kinds: BTreeSet<_> = self.best.steps.iter().map(|s| s.act).collect();
        for kind in kinds {
            let mut candidate = self.best.clone();
            candidate.steps.retain(|s| s.act != kind);
            self.try_out(candidate);
        }
        self.end_early();
    }

    /// Leaves out ever smaller runs of steps, until none of one step can go.
    fn leave_out(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            let before = self.best.steps.len();
            while from < self.best.steps.len() {
                let mut candidate = self.best.clone();
                let to = (from + size).min(candidate.steps.len());
                candidate.steps.drain(from..to);
                if !self.try_out(candidate) {
                    from += size;
                }
            }
            self.end_early();
            let again = size == 1 && self.best.steps.len() < before;
            size = if again { 1 } else { size / 2 };
        }
    }

    fn make_smaller(&mut self) {
        let usual = [
            ("loss", 0),
            ("duplicates", 0),
            ("crash_per_effect", 0),
            ("trouble", 0),
            ("drift_max", 0),
            ("skew_max", 0),
            ("lost_agents", 0),
            ("lost_managers", 0),
            ("managers", 1),
            ("managers", 3),
            ("agents", 1),
            ("agents", 2),
            ("replicas_max", 1),
            ("services_max", 1),
        ];
        for (name, value) in usual {
            let mut candidate = self.best.clone();
            let has = candidate.params.all().into_iter().find(|p| p.0 == name);
            if has.is_some_and(|p| p.1 > value) && candidate.params.set(name, value) {
                self.try_out(candidate);
            }
        }
        self.end_early();
    }
}
