//! Tasks that cannot be placed, tasks made for a node, and what a plan leaves alone.

use store::{Action, Draft, Key};
use types::{Availability, NodeState, TaskState};

use crate::testing::*;
use crate::{STEPS_MAX, TEXT_INTERVAL};

#[test]
fn a_reason_is_written_once_and_an_idle_cluster_proposes_nothing() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    let tasks = world.pending(1, 3);
    let plan = world.step();
    assert_eq!(plan.steps.len(), 3, "one assignment, two reasons");
    for _ in 0..3 {
        let plan = world.step();
        assert!(plan.steps.is_empty() && plan.wake_at.is_none(), "{plan:?}");
    }
    assert_eq!(world.task(tasks[2]).status.state, TaskState::Pending);
    assert_eq!(
        world.err(tasks[2]),
        "no suitable node (insufficient resources on 1 node)"
    );
    assert_eq!(
        &*world.task(tasks[2]).status.message,
        "pending task scheduling"
    );
}

#[test]
fn a_waiting_task_is_placed_when_room_appears_and_its_reason_goes() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    let tasks = world.pending(1, 2);
    world.settle();
    assert_eq!(world.node_of(tasks[1]), None);
    world.create(node(2));
    world.settle();
    assert_eq!(world.node_of(tasks[1]), Some(2));
    assert_eq!(world.err(tasks[1]), "");
    let third = world.pending(1, 1)[0];
    world.settle();
    world.report(tasks[0], TaskState::Failed);
    world.settle();
    assert_eq!(world.node_of(third), Some(1));
}

#[test]
fn a_task_made_for_a_node_that_went_is_told_so_though_another_took_its_place() {
    let mut world = World::with([node(1)]);
    world.edit_node(1, |n| n.spec.availability = Availability::Pause);
    world.create(service(1, |_| {}));
    let task = world.pending_on(1, Some(node_id(1)));
    world.settle();
    world.act([Action::Remove(Key::Node(node_id(1)))]);
    world.create(node(2));
    world.settle();
    assert!(
        world.err(task).contains("does not exist"),
        "{}",
        world.err(task)
    );
}

#[test]
fn a_changed_label_lets_a_waiting_task_in() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| {
        place(s, |p| p.constraints = vec!["node.labels.disk==ssd".into()]);
    }));
    let task = world.pending(1, 1)[0];
    world.settle();
    assert_eq!(world.node_of(task), None);
    world.edit_node(1, |n| {
        n.spec
            .annotations
            .labels
            .insert("disk".into(), "ssd".into());
    });
    world.settle();
    assert_eq!(world.node_of(task), Some(1));
}

#[test]
fn a_changed_reason_is_rewritten_but_not_at_every_flap() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| reserve(s, 5 * CPU, 0)));
    let task = world.pending(1, 1)[0];
    world.settle();
    world.edit_node(2, |n| n.status.state = NodeState::Down);
    let plan = world.step();
    assert!(plan.steps.is_empty());
    let wake_at = plan.wake_at.unwrap();
    assert_eq!(wake_at, world.now.plus(TEXT_INTERVAL));
    world.now = wake_at;
    world.settle();
    assert_eq!(
        world.err(task),
        "no suitable node (1 node not ready; insufficient resources on 1 node)"
    );
}

#[test]
fn a_task_no_longer_wanted_ends_without_a_node() {
    let mut world = World::with([]);
    world.create(service(1, |_| {}));
    let tasks = world.pending(1, 2);
    world.settle();
    world.desire(tasks[0], TaskState::Shutdown);
    world.desire(tasks[1], TaskState::Remove);
    world.settle();
    for task in tasks {
        let status = &world.task(task).status;
        assert_eq!(status.state, TaskState::Shutdown);
        assert!(status.err.is_empty());
    }
}

#[test]
fn a_task_made_for_a_node_is_checked_on_that_node_alone() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    let first = world.pending_on(1, Some(node_id(1)));
    let second = world.pending_on(1, Some(node_id(1)));
    world.settle();
    assert_eq!(world.node_of(first), Some(1));
    assert_eq!(world.node_of(second), None);
    assert_eq!(
        world.err(second),
        "no suitable node (insufficient resources on 1 node)"
    );
    world.report(first, TaskState::Complete);
    world.settle();
    assert_eq!(world.node_of(second), Some(1));
}

#[test]
fn a_task_made_for_a_drained_node_waits_for_it() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    world.edit_node(1, |n| n.spec.availability = Availability::Drain);
    let task = world.pending_on(1, Some(node_id(1)));
    let lost = world.pending_on(1, Some(node_id(9)));
    world.settle();
    assert_eq!(
        world.err(task),
        "no suitable node (1 node not available for new tasks)"
    );
    assert!(world.err(lost).ends_with("does not exist)"));
    world.edit_node(1, |n| n.spec.availability = Availability::Active);
    world.create(node(9));
    world.settle();
    assert_eq!(world.node_of(task), Some(1));
    assert_eq!(world.node_of(lost), Some(9));
}

#[test]
fn tasks_made_for_nodes_come_before_groups() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    world.create(service(2, |s| reserve(s, 3 * CPU, 0)));
    let free = world.pending(1, 1)[0];
    let bound = world.pending_on(2, Some(node_id(1)));
    world.settle();
    assert_eq!(world.node_of(bound), Some(1));
    assert_eq!(world.node_of(free), None);
}

#[test]
fn a_plan_is_bounded_and_asks_for_the_rest_at_once() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |_| {}));
    world.create(service(2, |_| {}));
    let many = world.pending(1, STEPS_MAX as u64 + 5);
    let few = world.pending(2, 5);
    let plan = world.step();
    assert_eq!(plan.steps.len(), STEPS_MAX);
    assert_eq!(plan.wake_at, Some(world.now));
    let plan = world.step();
    assert_eq!(plan.steps.len(), 10);
    assert_eq!(plan.wake_at, None);
    assert!(many.iter().chain(&few).all(|t| world.node_of(*t).is_some()));
    assert!(world.step().steps.is_empty());
}

#[test]
fn a_service_behind_a_huge_one_does_not_starve() {
    let mut world = World::with((1..=3).map(node));
    world.create(service(1, |_| {}));
    world.create(service(2, |_| {}));
    world.pending(1, 2 * STEPS_MAX as u64 + 1);
    let few = world.pending(2, 5);
    world.step();
    world.step();
    assert!(few.iter().all(|t| world.node_of(*t).is_some()));
}

#[test]
fn what_was_planned_and_dropped_is_planned_again() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| reserve(s, 4 * CPU, 0)));
    world.create(service(2, |s| reserve(s, 4 * CPU, 0)));
    let tasks = [world.pending(1, 1)[0], world.pending(2, 1)[0]];
    let lost = world.plan();
    assert_eq!(lost.steps.len(), 2);
    world.desire(tasks[0], TaskState::Shutdown);
    world.settle();
    assert_eq!(
        world.node_of(tasks[1]),
        Some(1),
        "the dropped plan took nothing"
    );
}

#[test]
fn a_reason_that_was_dropped_is_written_again() {
    let mut world = World::with([]);
    world.create(service(1, |_| {}));
    let grouped = world.pending(1, 2);
    let bound = world.pending_on(1, Some(node_id(1)));
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 3);
    world.desire(grouped[0], TaskState::Running);
    world.desire(bound, TaskState::Running);
    let mut draft = Draft::new(&world.state, world.now);
    let added: Vec<bool> = plan
        .steps
        .into_iter()
        .map(|s| draft.add(s).is_ok())
        .collect();
    assert_eq!(added, [false, false, true]);
    let (_, commit, state) = draft.finish();
    world.state = state;
    commit
        .changes
        .iter()
        .for_each(|c| world.scheduler.observe(c));
    world.settle();
    for task in grouped.into_iter().chain([bound]) {
        assert!(
            !world.err(task).is_empty(),
            "{task} waits and does not say why"
        );
    }
}

#[test]
fn a_step_is_dropped_when_its_node_changed() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |_| {}));
    let task = world.pending(1, 1)[0];
    let plan = world.plan();
    world.edit_node(1, |n| n.spec.availability = Availability::Drain);
    let mut draft = Draft::new(&world.state, world.now);
    assert!(plan.steps.into_iter().all(|s| draft.add(s).is_err()));
    world.settle();
    assert_eq!(
        world.err(task),
        "no suitable node (1 node not available for new tasks)"
    );
}

#[test]
fn a_removed_node_keeps_its_tasks_counted_until_they_are_gone() {
    let mut world = World::with([node(1)]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    let task = world.pending(1, 1)[0];
    world.settle();
    world.act([Action::Remove(Key::Node(node_id(1)))]);
    let next = world.pending(1, 1)[0];
    world.settle();
    assert_eq!(
        world.err(next),
        "no suitable node (the cluster has no nodes)"
    );
    world.create(node(1));
    world.settle();
    assert_eq!(
        world.node_of(next),
        None,
        "the old task may still run there"
    );
    world.report(task, TaskState::Orphaned);
    world.settle();
    assert_eq!(world.node_of(next), Some(1));
}
