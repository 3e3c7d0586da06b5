//! Claims that hold after any sequence of changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::{Action, Key};
use types::{Availability, NodeState, Task, TaskId, TaskState};

use crate::account::Account;
use crate::index::{Entry, NodeIndex};
use crate::requirements::host_ports;
use crate::testing::*;
use crate::{Scheduler, index::occupied};

const NODES: u64 = 6;
const SERVICES: u64 = 5;
const MAX_REPLICAS: u64 = 2;

/// One thing that happens to a cluster.
#[derive(Debug, Clone)]
enum Event {
    Tasks { service: u64, count: u64 },
    MadeFor { service: u64, node: u64 },
    Report { pick: usize, state: TaskState },
    Stop { pick: usize },
    Forget { pick: usize },
    State { node: u64, state: NodeState },
    Availability { node: u64, to: Availability },
    Label { node: u64, value: u8 },
    Remove { node: u64 },
    Add { node: u64 },
    Plan,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let node = 1..=NODES;
    let service = 1..=SERVICES;
    let ends = prop_oneof![
        Just(TaskState::Running),
        Just(TaskState::Complete),
        Just(TaskState::Failed),
        Just(TaskState::Rejected),
    ];
    let states = prop_oneof![Just(NodeState::Ready), Just(NodeState::Down)];
    let availability = prop_oneof![
        Just(Availability::Active),
        Just(Availability::Pause),
        Just(Availability::Drain),
    ];
    let event = prop_oneof![
        4 => (service.clone(), 1u64..6)
            .prop_map(|(service, count)| Event::Tasks { service, count }),
        1 => (service, node.clone()).prop_map(|(service, node)| Event::MadeFor { service, node }),
        4 => (any::<usize>(), ends).prop_map(|(pick, state)| Event::Report { pick, state }),
        2 => any::<usize>().prop_map(|pick| Event::Stop { pick }),
        2 => any::<usize>().prop_map(|pick| Event::Forget { pick }),
        2 => (node.clone(), states).prop_map(|(node, state)| Event::State { node, state }),
        1 => (node.clone(), availability).prop_map(|(node, to)| Event::Availability { node, to }),
        1 => (node.clone(), 0u8..2).prop_map(|(node, value)| Event::Label { node, value }),
        1 => node.clone().prop_map(|node| Event::Remove { node }),
        2 => node.prop_map(|node| Event::Add { node }),
        4 => Just(Event::Plan),
    ];
    prop::collection::vec(event, 1..60)
}

fn cluster() -> World {
    let mut world = World::with((1..=NODES).map(node));
    world.create(service(1, |_| {}));
    world.create(service(2, |s| reserve(s, CPU, GIB)));
    world.create(service(3, |s| publish(s, 80)));
    world.create(service(4, |s| {
        place(s, |p| p.max_replicas = MAX_REPLICAS);
        reserve(s, CPU / 2, 0);
    }));
    world.create(service(5, |s| {
        place(s, |p| p.constraints = vec!["node.labels.zone!=1".into()]);
        publish(s, 80);
        publish(s, 443);
    }));
    world
}

fn pick(world: &World, pick: usize) -> Option<TaskId> {
    let count = world.state.tasks().len();
    let task = world.state.tasks().iter().nth(pick.checked_rem(count)?)?;
    Some(task.id)
}

fn happen(world: &mut World, event: Event) {
    let exists = |world: &World, n| world.state.nodes().contains(node_id(n));
    match event {
        Event::Tasks { service, count } => {
            world.pending(service, count);
        }
        Event::MadeFor { service, node } => {
            world.pending_on(service, Some(node_id(node)));
        }
        Event::Report { pick: at, state } => {
            if let Some(id) = pick(world, at)
                && world.task(id).is_active()
                && world.task(id).status.state < state
            {
                world.report(id, state);
            }
        }
        Event::Stop { pick: at } => {
            if let Some(id) = pick(world, at) {
                let to = world.task(id).desired_state.max(TaskState::Shutdown);
                world.desire(id, to);
            }
        }
        Event::Forget { pick: at } => {
            if let Some(id) = pick(world, at) {
                world.act([Action::Remove(Key::Task(id))]);
            }
        }
        Event::Add { node: n } if !exists(world, n) => world.create(node(n)),
        Event::State { node, state } if exists(world, node) => {
            world.edit_node(node, |n| n.status.state = state);
        }
        Event::Availability { node, to } if exists(world, node) => {
            world.edit_node(node, |n| n.spec.availability = to);
        }
        Event::Label { node, value } if exists(world, node) => world.edit_node(node, |n| {
            let labels = &mut n.spec.annotations.labels;
            labels.insert("zone".into(), value.to_string());
        }),
        Event::Remove { node } if exists(world, node) => {
            world.act([Action::Remove(Key::Node(node_id(node)))]);
        }
        Event::Plan => {
            world.step();
        }
        _ => {}
    }
}

/// Tasks that occupy a node, by node.
fn occupants(world: &World) -> BTreeMap<types::NodeId, Vec<&Task>> {
    let mut nodes: BTreeMap<_, Vec<&Task>> = BTreeMap::new();
    for task in world.state.tasks().iter() {
        if let Some(node) = occupied(task) {
            nodes.entry(node).or_default().push(task);
        }
    }
    nodes
}

fn assert_nothing_is_overcommitted(world: &World) {
    for (node, tasks) in occupants(world) {
        let sum = |of: fn(&types::Resources) -> i64| -> i64 {
            tasks
                .iter()
                .filter_map(|t| t.spec().reservations())
                .map(of)
                .sum()
        };
        assert!(sum(|r| r.nano_cpus) <= 4 * CPU, "cpu of {node}");
        assert!(sum(|r| r.memory_bytes) <= 8 * GIB, "memory of {node}");
        let mut ports: Vec<_> = tasks.iter().flat_map(|t| host_ports(t)).collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(all, ports.len(), "a port of {node} is used twice");
        let active = |t: &&&Task| t.desired_state <= TaskState::Complete;
        let limited = |t: &&&Task| t.service_id == Some(service_id(4));
        let replicas = tasks.iter().filter(limited).filter(active).count() as u64;
        assert!(replicas <= MAX_REPLICAS, "{replicas} replicas on {node}");
    }
}

/// What an index holds, by node, independent of the order in which it learnt it.
fn content(index: &NodeIndex) -> BTreeMap<types::NodeId, (bool, &Account)> {
    let counts = |(_, entry): (_, &'_ Entry)| entry.node.is_some() || entry.account.held > 0;
    index
        .entries()
        .filter(|(place, entry)| counts((*place, *entry)))
        .map(|(_, entry)| (entry.id, (entry.node.is_some(), &entry.account)))
        .collect()
}

fn assert_index_equals_a_fresh_one(world: &mut World) {
    let mut fresh = Scheduler::new(&world.state, world.now);
    assert_eq!(world.scheduler.waiting_tasks(), fresh.waiting_tasks());
    let (have, want) = (world.scheduler.index(), fresh.index());
    assert_eq!(content(have), content(want));
    for service in (1..=SERVICES).map(service_id) {
        let by_node = |index: &NodeIndex| -> BTreeMap<_, u32> {
            let places = index.service(Some(service));
            let places = places.into_iter().flatten();
            places.map(|(p, n)| (index.entry(*p).id, *n)).collect()
        };
        assert_eq!(by_node(have), by_node(want));
    }
    world.scheduler.assert_rankings_are_right();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_no_node_is_overcommitted_and_the_index_is_right(events in events()) {
        let mut world = cluster();
        for event in events {
            happen(&mut world, event);
        }
        assert_index_equals_a_fresh_one(&mut world);
        world.now = world.now.plus(crate::TEXT_INTERVAL);
        world.settle();
        assert_nothing_is_overcommitted(&world);
        assert_index_equals_a_fresh_one(&mut world);
    }

    #[test]
    fn a_scheduler_built_afresh_finds_nothing_left_to_do(events in events()) {
        let mut world = cluster();
        for event in events {
            happen(&mut world, event);
        }
        world.now = world.now.plus(crate::TEXT_INTERVAL);
        world.settle();
        world.scheduler = Scheduler::new(&world.state, world.now);
        let plan = world.plan();
        prop_assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    }

    #[test]
    fn equal_nodes_are_level_within_one(nodes in 1u64..12, tasks in 1u64..60, more in 0u64..30) {
        let mut world = World::with((1..=nodes).map(node));
        world.create(service(1, |_| {}));
        let mut all = world.pending(1, tasks);
        world.settle();
        all.extend(world.pending(1, more));
        world.settle();
        let spread = world.spread(&all);
        let least = (1..=nodes).map(|n| spread.get(&n).copied().unwrap_or(0)).min().unwrap();
        let most = spread.values().copied().max().unwrap();
        prop_assert!(most - least <= 1, "{:?}", spread);
        prop_assert_eq!(spread.values().sum::<usize>() as u64, tasks + more);
    }

    #[test]
    fn the_same_inputs_give_the_same_plan(events in events()) {
        let run = || {
            let mut world = cluster();
            for event in events.clone() {
                happen(&mut world, event);
            }
            world.plan()
        };
        prop_assert_eq!(run(), run());
    }
}
