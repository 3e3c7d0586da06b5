//! Makes a failing run small: leaves out steps and makes the cluster smaller as long as the same
//! invariant still breaks.

use sim::{Bug, Failure, Options, SEC, Scenario, run_scenario};

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
    bug: Option<Bug>,
    rule: String,
    best: Scenario,
    failure: Failure,
    runs: usize,
    runs_max: usize,
}

/// Shrinks a scenario that fails, in at most `runs_max` runs; `None` if it holds.
pub fn shrink(scenario: &Scenario, bug: Option<Bug>, runs_max: usize) -> Option<Shrunk> {
    let failure = attempt(scenario, bug)?;
    let mut shrinker = Shrinker {
        bug,
        rule: failure.rule().to_owned(),
        best: scenario.clone(),
        failure,
        runs: 1,
        runs_max,
    };
    shrinker.end_early();
    shrinker.leave_out();
    shrinker.make_smaller();
    shrinker.leave_out();
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

fn attempt(scenario: &Scenario, bug: Option<Bug>) -> Option<Failure> {
    let options = Options {
        bug,
        ..Options::default()
    };
    run_scenario(scenario, &options, None).err()
}

impl Shrinker {
    /// Takes a candidate if the same invariant breaks in it.
    fn try_out(&mut self, candidate: Scenario) -> bool {
        if self.runs >= self.runs_max || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let found = attempt(&candidate, self.bug).filter(|f| f.rule() == self.rule);
        let Some(failure) = found else {
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

    /// Leaves out ever smaller runs of steps.
    fn leave_out(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.steps.len() {
                let mut candidate = self.best.clone();
                let to = (from + size).min(candidate.steps.len());
                candidate.steps.drain(from..to);
                if !self.try_out(candidate) {
                    from += size;
                }
            }
            size /= 2;
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
    }
}
