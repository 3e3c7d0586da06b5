//! Moves made by the real stages: services never have fewer tasks than their update policy
//! allows, moves end, and what they led to is left alone, whoever leads.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

use std::time::Duration;

use proptest::prelude::*;
use scenarios::World;
use scheduler::rebalance::{Scope, plan};
use types::TaskState;

/// A service: replicas, parallelism, start-first, levels itself.
type Shape = (u64, u64, bool, bool);

fn words(shape: &Shape) -> String {
    let (replicas, parallelism, first, auto) = shape;
    let order = if *first { "start-first" } else { "stop-first" };
    let when = if *auto { "auto" } else { "manual" };
    format!("replicas={replicas} parallelism={parallelism} order={order} rebalance={when}")
}

fn command(world: &mut World, line: &str) -> String {
    scenarios::command(world, line).unwrap()
}

/// Two nodes with settled services, then some more nodes and maybe a request to use them.
fn crowded(shapes: &[Shape], joined: u64, asked: bool) -> World {
    let mut world = World::new();
    command(&mut world, "nodes 2");
    for (at, shape) in shapes.iter().enumerate() {
        command(
            &mut world,
            &format!("service create s{at} {}", words(shape)),
        );
    }
    world.run(Duration::from_secs(60)).unwrap();
    for (at, _) in shapes.iter().enumerate() {
        command(&mut world, &format!("least-running s{at}"));
    }
    for n in 1..=joined {
        command(&mut world, &format!("node add late-{n}"));
    }
    if asked {
        command(&mut world, "rebalance");
    }
    world
}

fn is_level(world: &World, shapes: &[Shape], overall: bool) -> bool {
    let all = || world.state.services().iter();
    let auto = |name: &str| shapes[name[1..].parse::<usize>().unwrap()].3;
    let services = all().filter(|s| overall || auto(&s.spec.annotations.name));
    let scope = Scope {
        services: Some(services.map(|s| s.id).collect()),
        overall,
        moves_max: usize::MAX,
    };
    plan(&world.state, &scope, world.now).moves.is_empty()
}

#[test]
fn tasks_are_not_moved_in_vain_to_a_node_where_they_kept_failing() {
    let mut world = World::new();
    command(&mut world, "nodes 2");
    command(&mut world, "cluster history=1");
    command(
        &mut world,
        "service create s0 replicas=4 parallelism=1 rebalance=auto",
    );
    world.run(Duration::from_secs(60)).unwrap();
    let nodes: Vec<_> = world.state.nodes().iter().map(|n| n.id).collect();
    for _ in 0..6 {
        let there = world.state.tasks().on_node(nodes[0]);
        let running = there.filter(|t| t.status.state == TaskState::Running);
        let slot = running.map(|t| t.slot).min().unwrap();
        command(&mut world, &format!("kill s0.{slot}"));
        world.run(Duration::from_secs(30)).unwrap();
    }
    let there = world.state.tasks().on_node(nodes[0]);
    let there = there.filter(|t| t.is_runnable()).count();
    assert_eq!(there, 0, "the scheduler leaves the node alone");
    let tables = world.state.version();
    world.run(Duration::from_secs(60)).unwrap();
    assert_eq!(world.state.version(), tables, "and so do moves");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    })]

    #[test]
    fn moves_keep_the_availability_of_the_update_policy_and_end(
        shapes in prop::collection::vec((1u64..9, 1u64..4, any::<bool>(), any::<bool>()), 1..4),
        joined in 1u64..4,
        asked in any::<bool>(),
        leader_changes in prop::collection::vec(1u64..30, 0..4),
    ) {
        let mut world = crowded(&shapes, joined, asked);
        for seconds in leader_changes {
            world.run(Duration::from_secs(seconds)).unwrap();
            world.change_leader();
        }
        world.run(Duration::from_secs(600)).unwrap();
        for (at, (replicas, parallelism, first, _)) in shapes.iter().enumerate() {
            let least: u64 = command(&mut world, &format!("least-running s{at}")).parse().unwrap();
            let allowed = if *first { *replicas } else { replicas.saturating_sub(*parallelism) };
            prop_assert!(least >= allowed, "s{at} had {least} of {replicas} tasks");
        }
        prop_assert!(is_level(&world, &shapes, asked), "a second plan proposes nothing");
        let tables = world.state.version();
        world.change_leader();
        world.run(Duration::from_secs(600)).unwrap();
        prop_assert_eq!(world.state.version(), tables, "nothing moves to and fro");
    }
}
