//! A whole cluster of real members in simulated time, from one seed.
//!
//! Each run has three phases: faults of every kind while the invariants are checked at each step;
//! then everything heals and the cluster must converge, take fresh writes and still hold every
//! acknowledged one; then a minority is taken away for good and the rest must go on.
//!
//! `SIM_SEEDS=n` runs n seeds, `SIM_SEED=s` with the test `one_seed` runs one. A failure names the
//! seed.

mod chaos;
mod disk;
mod host;
mod oracle;
mod params;
mod rng;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use consensus::RaftId;
use params::{BUGS, Bug};
use world::{CONVERGED_WITHIN_MS, LEADER_WITHIN_MS, Marks, World};

/// Seeds of a normal test run: some ten simulated minutes, in a few seconds.
const SEEDS: u64 = 120;

/// What a run leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    trace: u64,
    marks: Marks,
    simulated_ms: u64,
}

fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let mut world = World::new(seed, bug);
    world.run_until(world.params.chaos_ms);
    world.heal();
    prove_alive(&mut world, "after everything healed");
    world.break_minority();
    prove_alive(&mut world, "after a minority was lost for good");
    Outcome {
        trace: world.trace,
        marks: world.marks,
        simulated_ms: world.now,
    }
}

/// A leader, fresh writes, a read, and everything on every member, each within its bound.
fn prove_alive(world: &mut World, when: &str) {
    let leader = leader_within(world, LEADER_WITHIN_MS, when);
    let serials: Vec<u64> = (0..5).map(|_| world.write(leader)).collect();
    world.read(leader);
    let end = world.now + CONVERGED_WITHIN_MS;
    loop {
        world.run_until(world.now + 100);
        let leader = leader_within(world, LEADER_WITHIN_MS, when);
        let done = converged(world, leader);
        // A write that a deposed leader took is made again.
        if done && serials.iter().any(|s| world.oracle.acked.contains_key(s)) {
            break;
        }
        if done {
            world.write(leader);
            if world.oracle.acked.keys().any(|s| s > &serials[0]) {
                break;
            }
        }
        assert!(
            world.now < end,
            "L1: not converged {when}: {:?}",
            world.hosts
        );
    }
    for host in world.hosts.values().filter(|h| !h.broken) {
        let is_member = world.oracle.membership.members.contains_key(&host.id);
        if let (Some(process), true) = (host.up(), is_member) {
            world.oracle.holds_all(host.id, &process.machine);
        }
    }
}

fn leader_within(world: &mut World, ms: u64, when: &str) -> RaftId {
    let end = world.now + ms;
    loop {
        let leads = world
            .hosts
            .values()
            .filter(|h| !h.broken && h.leads_ready().is_some());
        if let Some(leader) = leads.max_by_key(|h| h.leads_ready()) {
            return leader.id;
        }
        assert!(
            world.now < end,
            "L2: no leader {when}: {:?}",
            world.hosts.values()
        );
        world.run_until(world.now + 50);
    }
}

/// Whether every member that can has applied everything.
fn converged(world: &World, leader: RaftId) -> bool {
    let process = world.hosts[&leader].up().expect("it leads");
    let commit = process.consensus.commit_index();
    let everything = commit == process.consensus.last_index();
    let members = &world.oracle.membership.members;
    let applied = |id: &RaftId| {
        let host = world.hosts.get(id);
        host.is_some_and(|h| h.broken || h.up().is_some_and(|p| p.machine.applied == commit))
    };
    everything && members.keys().all(applied)
}

fn reproduce(seed: u64) -> String {
    format!("SIM_SEED={seed} cargo test -p consensus --test sim one_seed -- --nocapture")
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told what to run")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Runs a seed, and says how to run it again if it fails.
fn run_named(seed: u64) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, None)));
    outcome.unwrap_or_else(|_| panic!("reproduce with: {}", reproduce(seed)))
}

#[test]
fn every_invariant_holds_under_faults_and_the_cluster_recovers() {
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let mut marks = Marks::new();
    let mut simulated_ms = 0;
    for seed in 0..seeds {
        let outcome = run_named(seed);
        simulated_ms += outcome.simulated_ms;
        for (name, count) in outcome.marks {
            *marks.entry(name).or_default() += count;
        }
    }
    println!(
        "{seeds} seeds, {} simulated seconds: {marks:?}",
        simulated_ms / 1_000
    );
    for name in REACHED {
        assert!(marks.contains_key(name), "never reached: {name}");
    }
}

/// Situations that a batch of runs must have seen to mean anything.
const REACHED: [&str; 23] = [
    "busy",
    "change refused",
    "clock leap",
    "crash",
    "crash after vote",
    "crash between effects",
    "leader",
    "leader isolated",
    "other rejection",
    "outcome unknown",
    "pause",
    "read",
    "removed",
    "restart before vote",
    "snapshot installed",
    "snapshot made",
    "snapshot wanted",
    "split",
    "stale term",
    "transfer",
    "two believe to lead",
    "write",
    "writes joined",
];

#[test]
fn one_seed() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:#?}", run(seed, None));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 1_000_003] {
        assert_eq!(run_named(seed), run_named(seed));
    }
    assert_ne!(run_named(4).trace, run_named(5).trace);
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in BUGS {
        let caught = (0..SEEDS)
            .find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed, Some(bug)))).is_err());
        println!("{bug:?}: caught by seed {caught:?}");
        missed.extend(caught.is_none().then_some(bug));
    }
    assert_eq!(missed, [], "not caught in {SEEDS} seeds");
}
