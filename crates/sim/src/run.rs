//! One run of one seed, from founding to proof of life.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::params::{Bug, SEC};
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
    /// When, in simulated microseconds.
    pub at: u64,
    /// What was broken.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, at, what } = self;
        let (secs, ms) = (at / SEC, at / 1_000 % 1_000);
        let until = secs + 1;
        write!(
            f,
            "seed {seed} at {secs}.{ms:03} s: {what}\n  reproduce: \
             cargo xtask sim --seed {seed} --show --until {until}"
        )
    }
}

/// How to run a seed.
#[derive(Default)]
pub struct Options {
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// How long faults last, in raft ticks of 100 ms; what the seed says if nothing is said.
    pub ticks: Option<u64>,
    /// Shown every event.
    pub show: Option<Show>,
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
    run_with(seed, options)
}

/// Runs a seed as asked for.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run_with(seed: u64, options: Options) -> Result<Outcome, Failure> {
    let mut world = World::new(seed, options.bug);
    if let Some(ticks) = options.ticks {
        world.params.chaos = ticks * TICK;
    }
    if let Some(show) = options.show {
        world.show(show);
    }
    finish(seed, &mut world)
}

fn finish(seed: u64, world: &mut World) -> Result<Outcome, Failure> {
    let went = catch_unwind(AssertUnwindSafe(|| {
        world.run_until(world.params.chaos)?;
        world.heal();
        world.prove_alive()
    }));
    let what = match went {
        Ok(Ok(())) => {
            return Ok(Outcome {
                trace: world.trace,
                marks: std::mem::take(&mut world.marks),
                simulated_secs: world.now / SEC,
                events: world.events(),
            });
        }
        Ok(Err(violation)) => violation.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            format!("panic: {}", text.unwrap_or_default())
        }
    };
    let at = world.now;
    Err(Failure { seed, at, what })
}
