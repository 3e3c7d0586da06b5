//! Whole clusters from a few seeds, and proof that the simulator sees what it is for.
//!
//! `SIM_SEEDS=n` runs more, from `SIM_SEED=s` on. `cargo xtask sim` runs hundreds, optimised, and
//! all planted bugs.

use sim::{BUGS, Bug, Options, run};
use swarm_sim::{catch_all, cores, run_batch};

/// Seeds of a normal test run: some hours of simulated time, in seconds.
const SEEDS: u64 = 12;

/// Planted bugs that a normal test run must catch, in a handful of seeds each.
const QUICK: [Bug; 8] = [
    Bug::DropRemovals,
    Bug::OneMoreInFlight,
    Bug::DropActions,
    Bug::ForgetDelay,
    Bug::AckBeforeCommit,
    Bug::NoReaper,
    Bug::SkipSync,
    Bug::SecretEarly,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn clusters_keep_every_invariant_and_converge_after_faults() {
    let first = number("SIM_SEED").unwrap_or(0);
    let count = number("SIM_SEEDS").unwrap_or(SEEDS);
    let batch = run_batch(first..first + count, &Options::default(), cores(), false);
    let failed: Vec<_> = batch.failures.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(
        batch.marks.len() > 60,
        "few situations were reached: {:?}",
        batch.marks.keys()
    );
}

#[test]
fn one_seed_gives_one_history() {
    for seed in [1, 7] {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_caught_within_a_handful_of_seeds() {
    // Some are caught by asserts of the cores, which need not print.
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_all(&QUICK, 0..10, &Options::default(), cores());
    drop(std::panic::take_hook());
    let missed: Vec<_> = caught
        .iter()
        .filter(|c| c.caught.is_none())
        .map(|c| c.bug)
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn there_are_as_many_planted_bugs_as_are_promised() {
    assert!(BUGS.len() >= 25);
}
