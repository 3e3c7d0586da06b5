//! Which node gets a task: SwarmKit's ranking and placement preferences.

use types::task::PlacementPreference;
use types::{ServiceSpec, TaskState};

use crate::testing::*;

fn spread_over(spec: &mut ServiceSpec, labels: &[&str]) {
    place(spec, |p| {
        p.preferences = labels
            .iter()
            .map(|label| PlacementPreference::Spread {
                descriptor: (*label).into(),
            })
            .collect();
    });
}

#[test]
fn fewest_tasks_of_the_service_come_before_fewest_tasks() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |_| {}));
    world.create(service(2, |s| {
        place(s, |p| p.constraints = vec!["node.hostname==host-2".into()]);
    }));
    world.pending(1, 1);
    world.settle();
    let busy = world.pending(2, 5);
    world.settle();
    assert_eq!(world.spread(&busy), [(2, 5)].into());
    let next = world.pending(1, 1);
    world.settle();
    assert_eq!(
        world.node_of(next[0]),
        Some(2),
        "node 1 has the service already"
    );
    let last = world.pending(1, 1);
    world.settle();
    assert_eq!(
        world.node_of(last[0]),
        Some(1),
        "equal in the service, fewer in all"
    );
}

#[test]
fn tasks_told_to_stop_do_not_count_but_keep_their_resources() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| reserve(s, 4 * CPU, 0)));
    let old = world.pending(1, 1);
    world.settle();
    assert_eq!(world.node_of(old[0]), Some(1));
    world.desire(old[0], TaskState::Shutdown);
    let new = world.pending(1, 2);
    world.settle();
    assert_eq!(
        world.spread(&new),
        [(2, 1)].into(),
        "node 1 still has no CPU free"
    );
    world.report(old[0], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.spread(&new), [(1, 1), (2, 1)].into());
}

/// Has a task of service 1 fail on node 1 `failures` times, then asks for the next.
fn node_after_failures(failures: u64, age_secs: u64) -> Option<u64> {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    for _ in 0..failures {
        let task = world.pending(1, 1)[0];
        world.settle();
        world.report(task, TaskState::Failed);
    }
    world.create(node(2));
    world.create(service(2, |_| {}));
    let other = world.pending(2, 1);
    world.settle();
    assert_eq!(
        world.node_of(other[0]),
        Some(1),
        "another service's failures count nothing"
    );
    world.report(other[0], TaskState::Complete);
    world.now = world.now.plus(std::time::Duration::from_secs(age_secs));
    let next = world.pending(1, 1)[0];
    world.settle();
    world.node_of(next)
}

#[test]
fn five_failures_within_five_minutes_rank_a_node_last() {
    assert_eq!(node_after_failures(4, 0), Some(1));
    assert_eq!(node_after_failures(5, 0), Some(2));
    assert_eq!(node_after_failures(5, 299), Some(2));
    assert_eq!(node_after_failures(5, 301), Some(1));
}

#[test]
fn an_idle_node_with_failures_ranks_behind_busy_ones() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    let failing = world.pending(1, 5);
    world.settle();
    for task in failing {
        world.report(task, TaskState::Failed);
    }
    (2..=20).for_each(|n| world.create(node(n)));
    world.create(service(2, |s| {
        place(s, |p| p.constraints = vec!["node.hostname!=host-1".into()]);
    }));
    world.pending(2, 38);
    world.settle();
    let next = world.pending(1, 1);
    world.settle();
    assert_ne!(world.node_of(next[0]), Some(1));
}

#[test]
fn a_failing_node_still_gets_tasks_when_it_is_the_only_one() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    for _ in 0..7 {
        let task = world.pending(1, 1)[0];
        world.settle();
        assert_eq!(world.node_of(task), Some(1));
        world.report(task, TaskState::Rejected);
    }
}

#[test]
fn failures_are_known_to_a_scheduler_built_afresh() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |_| {}));
    let tasks = world.pending(1, 10);
    world.settle();
    for task in tasks {
        if world.node_of(task) == Some(1) {
            world.report(task, TaskState::Failed);
        }
    }
    world.scheduler = crate::Scheduler::new(&world.state, world.now);
    let next = world.pending(1, 3);
    world.settle();
    assert_eq!(world.spread(&next), [(2, 3)].into());
}

#[test]
fn a_large_group_is_level_within_one() {
    let mut world = World::with((1..=7).map(node));
    world.create(service(1, |_| {}));
    let tasks = world.pending(1, 100);
    world.settle();
    let spread = world.spread(&tasks);
    assert_eq!(spread.values().sum::<usize>(), 100);
    assert!(spread.values().all(|n| (14..=15).contains(n)), "{spread:?}");
}

#[test]
fn few_tasks_among_many_nodes_go_to_the_least_loaded() {
    let mut world = World::with((1..=50).map(node));
    world.create(service(1, |_| {}));
    world.create(service(2, |_| {}));
    let crowd = world.pending(1, 47);
    world.settle();
    let few = world.pending(2, 3);
    world.settle();
    let free: Vec<u64> = world.spread(&few).into_keys().collect();
    assert!(
        free.iter().all(|n| !world.spread(&crowd).contains_key(n)),
        "{free:?}"
    );
    assert_eq!(free.len(), 3);
}

#[test]
fn a_preference_levels_branches_before_nodes() {
    let east = (1..=3).map(|n| labelled(n, "zone", "east"));
    let mut world = World::with(east.chain([labelled(4, "zone", "west")]));
    world.create(service(1, |s| spread_over(s, &["node.labels.zone"])));
    let tasks = world.pending(1, 6);
    world.settle();
    assert_eq!(
        world.spread(&tasks),
        [(1, 1), (2, 1), (3, 1), (4, 3)].into()
    );
}

#[test]
fn preferences_nest_and_what_a_full_branch_cannot_take_goes_to_the_others() {
    let at = |n, zone: &str, rack: &str, cpus: i64| {
        let mut node = labelled(n, "zone", zone);
        node.spec
            .annotations
            .labels
            .insert("rack".into(), rack.into());
        let described = node.description.as_mut().unwrap();
        std::sync::Arc::make_mut(described).resources.nano_cpus = cpus * CPU;
        node
    };
    let nodes = [
        at(1, "east", "a", 8),
        at(2, "east", "a", 8),
        at(3, "east", "b", 8),
        at(4, "west", "c", 2),
    ];
    let mut world = World::with(nodes);
    world.create(service(1, |s| {
        spread_over(
            s,
            &["Node.Labels.zone", "node.labels.rack", "node.hostname"],
        );
        reserve(s, CPU, 0);
    }));
    let tasks = world.pending(1, 10);
    world.settle();
    assert_eq!(
        world.spread(&tasks),
        [(1, 2), (2, 2), (3, 4), (4, 2)].into()
    );
}

#[test]
fn a_node_without_the_label_is_a_branch_of_its_own() {
    let mut world = World::with([labelled(1, "zone", "a"), labelled(2, "zone", "a"), node(3)]);
    world.create(service(1, |s| spread_over(s, &["node.labels.zone"])));
    let tasks = world.pending(1, 4);
    world.settle();
    assert_eq!(world.spread(&tasks), [(1, 1), (2, 1), (3, 2)].into());
}

#[test]
fn a_branch_counts_tasks_on_nodes_that_take_no_more() {
    let mut world = World::with([labelled(1, "zone", "a"), labelled(2, "zone", "b")]);
    world.create(service(1, |s| spread_over(s, &["node.labels.zone"])));
    world.pending(1, 4);
    world.settle();
    world.edit_node(1, |n| n.spec.availability = types::Availability::Pause);
    world.create(labelled(3, "zone", "a"));
    let more = world.pending(1, 4);
    world.settle();
    assert_eq!(world.spread(&more), [(2, 2), (3, 2)].into());
}
