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
