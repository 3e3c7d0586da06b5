//! One run of one seed, from founding to proof of life.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sim_script::params::SEC;
use sim_script::scenario::Scenario;

use crate::bugs::Bug;
use crate::world::{Marks, Show, TICK, World};

/// What a good run leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A hash of everything that happened.
    pub trace: u64,
    /// Situations that were reached.
    pub marks: Marks,
    /// Simulated time, in seconds.
    pub simulated_secs: u64,
    /// Events.
    pub events: u64,
}

/// A run that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Seed.
    pub seed: u64,
    /// How long faults were asked to last, in ticks: with another length the seed is another run.
    pub ticks: Option<u64>,
    /// When, in simulated microseconds.
    pub at: u64,
    /// What was broken.
    pub what: String,
}

impl Failure {
    /// Name of the invariant that was broken; the beginning of the text of a panic.
    pub fn rule(&self) -> &str {
        let text = self.what.strip_prefix("panic: ").unwrap_or(&self.what);
        text.split(':').next().unwrap_or(text)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, at, what, .. } = self;
        let ticks = self.ticks.map(|t| format!(" --ticks {t}"));
        let ticks = ticks.unwrap_or_default();
        let (secs, ms) = (at / SEC, at / 1_000 % 1_000);
        let until = secs + 1;
        write!(
            f,
            "seed {seed} at {secs}.{ms:03} s: {what}\n  reproduce: \
             cargo xtask sim --seed {seed}{ticks} --show --until {until}"
        )
    }
}

/// How to run a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// How long faults last, in raft ticks of 100 ms; what the seed says if nothing is said.
    pub ticks: Option<u64>,
}

/// Runs a seed.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Outcome, Failure> {
    let options = Options {
        bug,
        ..Options::default()
    };
    run_with(seed, &options, None)
}

/// Runs a seed as asked for. `show` is given every event.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run_with(seed: u64, options: &Options, show: Option<Show>) -> Result<Outcome, Failure> {
    let chaos = options.ticks.map(|ticks| ticks * TICK);
    run_scenario(&Scenario::of_seed_lasting(seed, chaos), options, show)
}

/// Runs a scenario.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run_scenario(
    scenario: &Scenario,
    options: &Options,
    show: Option<Show>,
) -> Result<Outcome, Failure> {
    let mut world = None;
    let went = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(scenario, options.bug));
        if let Some(show) = show {
            world.show(show);
        }
        world.run_until(world.params.chaos)?;
        world.heal();
        world.prove_alive()
    }));
    let now = world.as_ref().map_or(0, |w| w.now);
    let what = match (went, world) {
        (Ok(Ok(())), Some(world)) => return Ok(outcome(world)),
        (Ok(Err(violation)), _) => violation.to_string(),
        (Err(panic), _) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            format!("panic: {}", text.unwrap_or_default())
        }
        (Ok(Ok(())), None) => "nothing was run".into(),
    };
    Err(Failure {
        seed: scenario.seed,
        ticks: options.ticks,
        at: now,
        what,
    })
}

fn outcome(world: World) -> Outcome {
    Outcome {
        trace: world.trace,
        simulated_secs: world.now / SEC,
        events: world.events(),
        marks: world.marks(),
    }
}
