//! Strategies, priorities in the queue, and what the cluster's default does.

use std::collections::BTreeSet;

use store::Action;
use types::cluster::{Cluster, ClusterSpec};
use types::options::Strategy;
use types::task::PlacementPreference;
use types::{ServiceSpec, TaskState};

use crate::testing::*;

fn strategy(spec: &mut ServiceSpec, strategy: Strategy) {
    spec.options.strategy = Some(strategy);
}

#[test]
fn binpack_fills_the_fullest_node_that_still_fits() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| {
        reserve(s, CPU, GIB);
        strategy(s, Strategy::Binpack);
    }));
    let tasks = world.pending(1, 9);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 4), (2, 4), (3, 1)].into());
    world.report(tasks[0], TaskState::Failed);
    let next = world.pending(1, 1)[0];
    world.settle();
    assert_eq!(world.node_of(next), Some(1), "a hole is filled first");
}

#[test]
fn binpack_weighs_cpu_and_memory_of_what_is_reserved() {
    // With a task of 1 CPU and 1 GiB: node 1 is at 50 % + 25 %, node 2 at 25 % + 75 %.
    let mut world = World::with((1..=2).map(node));
    for (n, cpus, gib) in [(1, 1, 1), (2, 0, 5)] {
        world.create(service(n, |s| {
            reserve(s, cpus * CPU, gib * GIB);
            place(s, |p| {
                p.constraints = vec![format!("node.hostname==host-{n}")]
            });
        }));
        world.pending(n, 1);
    }
    world.settle();
    world.create(service(3, |s| {
        reserve(s, CPU, GIB);
        strategy(s, Strategy::Binpack);
    }));
    let task = world.pending(3, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), Some(2));
    world.create(service(4, |s| {
        reserve(s, CPU, 0);
        strategy(s, Strategy::Binpack);
    }));
    world.report(task, TaskState::Failed);
    let task = world.pending(4, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), Some(1), "memory is not asked for");
}

#[test]
fn without_reservations_binpack_takes_the_node_with_most_tasks() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| {
        place(s, |p| p.constraints = vec!["node.hostname==host-2".into()]);
    }));
    world.pending(1, 1);
    world.settle();
    world.create(service(2, |s| strategy(s, Strategy::Binpack)));
    let tasks = world.pending(2, 5);
    world.settle();
    assert_eq!(world.spread(&tasks), [(2, 5)].into());
}

#[test]
fn preferences_combine_with_every_strategy() {
    for chosen in [Strategy::Spread, Strategy::Binpack, Strategy::Random] {
        let zones = (1..=6).map(|n| labelled(n, "zone", if n % 2 == 0 { "a" } else { "b" }));
        let mut world = World::with(zones);
        world.create(service(1, |s| {
            reserve(s, CPU, 0);
            strategy(s, chosen);
            place(s, |p| {
                p.preferences = vec![PlacementPreference::Spread {
                    descriptor: "node.labels.zone".into(),
                }];
            });
        }));
        let tasks = world.pending(1, 8);
        world.settle();
        let even = tasks
            .iter()
            .filter_map(|t| world.node_of(*t))
            .filter(|n| n % 2 == 0);
        assert_eq!(even.count(), 4, "{chosen}");
        if chosen == Strategy::Binpack {
            assert_eq!(world.spread(&tasks).len(), 2, "each zone is packed");
        }
    }
}

#[test]
fn random_follows_from_the_task_and_uses_all_nodes() {
    let run = |few: bool| {
        let mut world = World::with((1..=20).map(node));
        world.create(service(1, |s| strategy(s, Strategy::Random)));
        let tasks: Vec<_> = if few {
            let one = |world: &mut World| {
                let task = world.pending(1, 1)[0];
                world.settle();
                task
            };
            (0..400).map(|_| one(&mut world)).collect()
        } else {
            world.pending(1, 400)
        };
        world.settle();
        let nodes: Vec<_> = tasks.iter().map(|t| world.node_of(*t)).collect();
        (nodes, world.spread(&tasks))
    };
    for few in [true, false] {
        let (nodes, spread) = run(few);
        assert_eq!(nodes, run(few).0, "the same tasks go to the same nodes");
        assert_eq!(spread.len(), 20, "{spread:?}");
        assert!(spread.values().all(|n| (5..=40).contains(n)), "{spread:?}");
        let in_turn = nodes.windows(2).filter(|w| w[0] < w[1]).count();
        assert!((120..=280).contains(&in_turn), "no order: {in_turn}");
    }
}

#[test]
fn random_takes_only_nodes_with_room() {
    let mut world = World::with((1..=10).map(node));
    world.create(service(1, |s| {
        reserve(s, 4 * CPU, 0);
        strategy(s, Strategy::Random);
    }));
    let tasks = world.pending(1, 12);
    world.settle();
    let spread = world.spread(&tasks);
    assert_eq!((spread.len(), spread.values().sum::<usize>()), (10, 10));
}

#[test]
fn services_that_do_not_say_take_the_cluster_s_strategy() {
    let mut world = World::with((1..=4).map(node));
    let mut spec = ClusterSpec::default();
    spec.options.strategy = Strategy::Binpack;
    world.create(cluster(spec));
    world.create(service(1, |_| {}));
    world.create(service(2, |s| strategy(s, Strategy::Spread)));
    let packed = world.pending(1, 4);
    world.settle();
    assert_eq!(world.spread(&packed).len(), 1);
    let spread = world.pending(2, 4);
    world.settle();
    assert_eq!(world.spread(&spread).len(), 4);
    let mut changed = Cluster::clone(world.state.cluster().unwrap());
    changed.spec.options.strategy = Strategy::Spread;
    world.act([Action::Update(changed.into())]);
    let more = world.pending(1, 4);
    world.settle();
    let all: BTreeSet<u64> = world.spread(&more).into_keys().collect();
    assert_eq!(all.len(), 3, "level with the four that were packed");
}

#[test]
fn higher_priority_goes_first_however_late_it_came() {
    let mut world = World::with([node(1)]);
    for (n, priority) in [(1, 0), (2, 10), (3, 70)] {
        world.create(service(n, |s| {
            reserve(s, 2 * CPU, 0);
            s.options.priority = priority;
        }));
    }
    let tasks: Vec<_> = (1..=3).map(|n| world.pending(n, 1)[0]).collect();
    world.settle();
    let placed: Vec<bool> = tasks.iter().map(|t| world.node_of(*t).is_some()).collect();
    assert_eq!(placed, [false, true, true]);
}

#[test]
fn a_large_group_of_low_priority_does_not_go_on_before_one_of_high_priority() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    world.create(service(2, |s| s.options.priority = 1));
    world.pending(1, crate::STEPS_MAX as u64 + 5);
    world.step();
    let urgent = world.pending(2, 1)[0];
    let plan = world.step();
    assert_eq!(plan.steps.len(), 6);
    assert!(world.node_of(urgent).is_some());
    let first = &plan.steps[0].actions[0];
    assert!(matches!(first, Action::Assign { task, .. } if *task == urgent));
}
