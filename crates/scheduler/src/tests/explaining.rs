//! What people are told about one task.

use types::{Availability, NodeState, TaskState};

use crate::explain::{self, Explanation};
use crate::testing::*;
use crate::{Filter, STEPS_MAX};

fn explain(world: &World, task: types::TaskId) -> Explanation {
    explain::task(&world.state, task, world.now).unwrap()
}

#[test]
fn a_waiting_task_is_explained_node_by_node() {
    let mut nodes: Vec<_> = (1..=8).map(|n| labelled(n, "rack", "a")).collect();
    nodes[0].status.state = NodeState::Down;
    nodes[1].spec.availability = Availability::Drain;
    for node in &mut nodes[2..6] {
        node.spec
            .annotations
            .labels
            .insert("rack".into(), "b".into());
    }
    let mut world = World::with(nodes);
    world.create(service(1, |s| {
        reserve(s, 5 * CPU, 0);
        place(s, |p| p.constraints = vec!["node.labels.rack==a".into()]);
    }));
    let task = world.pending(1, 1)[0];
    world.settle();
    let why = explain(&world, task);
    assert_eq!((why.evaluated, why.suitable), (8, 0));
    assert_eq!(why.reason(), world.err(task), "the status says the same");
    let rows: Vec<_> = why.filtered.iter().map(|f| (f.filter, f.nodes)).collect();
    assert_eq!(
        rows,
        [
            (Filter::Constraints, 4),
            (Filter::Resources, 2),
            (Filter::Ready, 1),
            (Filter::Availability, 1),
        ]
    );
    let examples = &why.filtered[0].examples;
    assert_eq!(examples.len(), explain::EXAMPLES_MAX);
    assert_eq!(examples[0].hostname, "host-3");
    assert_eq!(
        examples[0].detail,
        "node.labels.rack==a does not hold, it has \"b\""
    );
    assert_eq!(
        why.filtered[1].examples[0].detail,
        "cpu: 5.000 CPUs wanted, 4.000 CPUs free"
    );
    assert_eq!(
        why.filtered[3].examples[0].detail,
        "its availability is drain"
    );
    let short = &why.exhausted[0];
    assert_eq!((short.resource.as_str(), short.nodes), ("cpu", 2));
    assert_eq!((short.wanted, short.free_max), (5 * CPU, 4 * CPU));
}

#[test]
fn what_a_node_says_about_itself_is_marked() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| {
        place(s, |p| p.constraints = vec!["node.hostname==other".into()]);
    }));
    let task = world.pending(1, 1)[0];
    world.settle();
    let why = explain(&world, task);
    assert_eq!(
        why.filtered[0].examples[0].detail,
        "node.hostname==other does not hold, it has \"host-1\" (reported by the node)"
    );
}

#[test]
fn a_placed_task_shows_how_the_nodes_ranked_for_it() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |_| {}));
    world.create(service(2, |_| {}));
    world.pending(2, 1);
    world.settle();
    let tasks = world.pending(1, 2);
    world.settle();
    let why = explain(&world, tasks[0]);
    assert_eq!(why.suitable, 3);
    assert_eq!(why.reason(), "");
    let ranked: Vec<_> = why
        .ranked
        .iter()
        .map(|r| (r.hostname.as_str(), r.service_tasks, r.tasks))
        .collect();
    assert_eq!(
        ranked,
        [("host-2", 0, 0), ("host-1", 0, 1), ("host-3", 1, 1)]
    );
    assert_eq!(
        world.node_of(tasks[0]),
        Some(2),
        "it has the node that ranks first"
    );
}

#[test]
fn ports_maximum_and_failures_are_explained() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| {
        publish(s, 80);
        place(s, |p| p.max_replicas = 1);
    }));
    let tasks = world.pending(1, 3);
    world.settle();
    let why = explain(&world, tasks[2]);
    assert_eq!(why.filtered[0].filter, Filter::HostPorts);
    assert_eq!(why.filtered[0].examples[0].detail, "port 80/tcp is taken");

    world.create(service(2, |_| {}));
    let failing = world.pending(2, 10);
    world.settle();
    for task in failing {
        if world.node_of(task) == Some(2) {
            world.report(task, TaskState::Failed);
        }
    }
    let next = world.pending(2, 1)[0];
    let why = explain(&world, next);
    let ranked: Vec<_> = why
        .ranked
        .iter()
        .map(|r| (r.hostname.as_str(), r.failures))
        .collect();
    assert_eq!(ranked, [("host-1", 0), ("host-2", 5)]);
}

#[test]
fn a_task_made_for_a_node_is_explained_for_that_node() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| reserve(s, 9 * CPU, 0)));
    let task = world.pending_on(1, Some(node_id(2)));
    world.settle();
    let why = explain(&world, task);
    assert_eq!(why.evaluated, 1);
    assert_eq!(why.filtered[0].examples[0].hostname, "host-2");
    assert_eq!(why.reason(), world.err(task));
}

#[test]
fn an_unknown_task_has_no_explanation() {
    let world = World::new();
    let none = task_id(STEPS_MAX as u64);
    assert_eq!(explain::task(&world.state, none, world.now), None);
}

#[test]
fn affinities_are_explained_and_the_nearest_miss_is_named() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |s| {
        place(s, |p| {
            p.constraints = vec!["node.hostname==host-2".into()];
        });
        reserve(s, 3 * CPU, 0);
    }));
    world.pending(1, 1);
    world.settle();
    world.create(service(2, |s| {
        s.options.affinities = vec!["service==service-1".into(), "image!=redis".into()];
        s.options.priority = 7;
        reserve(s, 2 * CPU, 0);
    }));
    let task = world.pending(2, 1)[0];
    world.settle();
    let why = explain(&world, task);
    assert_eq!(why.reason(), world.err(task), "the status says the same");
    assert_eq!(why.priority, 7);
    let affinity = &why.filtered[0];
    assert_eq!((affinity.filter, affinity.nodes), (Filter::Affinity, 2));
    assert_eq!(
        affinity.examples[0].detail,
        "service==service-1 does not hold, it has no such service"
    );
    let nearest = why.nearest.unwrap();
    assert_eq!(nearest.filter, Filter::Resources);
    assert_eq!(nearest.example.hostname, "host-2");
    assert_eq!(
        nearest.example.detail,
        "cpu: 2.000 CPUs wanted, 1.000 CPUs free"
    );
    assert_eq!(why.exhausted[0].wanted_text(), "2.000 CPUs");
    assert_eq!(why.exhausted[0].free_text(), "1.000 CPUs");
}

#[test]
fn the_nearest_miss_is_the_node_that_is_least_short() {
    let mut world = World::with((1..=3).map(node));
    world.edit_node(2, |n| {
        let described = std::sync::Arc::make_mut(n.description.as_mut().unwrap());
        described.resources.memory_bytes = 15 * GIB;
    });
    world.create(service(1, |s| reserve(s, 0, 16 * GIB)));
    let task = world.pending(1, 1)[0];
    world.settle();
    let nearest = explain(&world, task).nearest.unwrap();
    assert_eq!(nearest.example.hostname, "host-2");
    assert_eq!(
        nearest.example.detail,
        "memory: 16384 MiB wanted, 15360 MiB free"
    );
}

#[test]
fn scores_name_branches_wishes_weight_and_image_in_the_order_they_rank() {
    let holds = |n: u64| {
        let mut node = labelled(n, "zone", if n == 1 { "a" } else { "b" });
        let described = std::sync::Arc::make_mut(node.description.as_mut().unwrap());
        let labels = &mut described.engine.labels;
        if n == 3 {
            labels.insert(types::node::IMAGES_LABEL.into(), "redis:7".into());
        }
        node
    };
    let mut world = World::with((1..=3).map(holds));
    world.create(service(1, |s| {
        reserve(s, CPU, GIB);
        s.options.strategy = Some(types::Strategy::Binpack);
        place(s, |p| {
            p.constraints = vec!["node.hostname!=~host-1".into()];
            p.preferences = vec![types::task::PlacementPreference::Spread {
                descriptor: "node.labels.zone".into(),
            }];
        });
        if let types::Runtime::Container(container) = &mut s.task.runtime {
            container.image = "redis:7".into();
        }
    }));
    let tasks = world.pending(1, 2);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 1), (3, 1)].into());
    let why = explain(&world, tasks[1]);
    assert_eq!(why.strategy, types::Strategy::Binpack);
    let there = world.node_of(tasks[1]).unwrap();
    let first = &why.ranked[0];
    assert_eq!(
        first.node,
        node_id(there),
        "it has the node that ranks first"
    );
    let row = |n: u64| {
        let ranked = why.ranked.iter().find(|r| r.node == node_id(n)).unwrap();
        (ranked.missed.clone(), ranked.weight, ranked.holds_image)
    };
    assert_eq!(row(1).0, ["node.hostname!=~host-1"]);
    assert_eq!(row(3), (vec![], 25 + 12, Some(true)));
    assert_eq!(row(2).2, Some(false));
    let branches: Vec<u64> = why.ranked.iter().map(|r| r.branches[0].1).collect();
    assert!(branches.is_sorted(), "{branches:?}");
}
