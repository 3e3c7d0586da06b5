//! What happens between a plan and its application: the ground moves, and nothing is forgotten.

use std::time::Duration;

use types::service::UpdateOrder;
use types::task::RestartCondition;
use types::{Availability, NodeState, ServiceMode, TaskState};

use super::cluster::{Behaviour, Cluster, replicated, restart, set_image, spec, update_config};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_step_dropped_by_a_change_that_decides_nothing_is_planned_again() {
    let mut c = Cluster::new(1, replicated(1));
    c.settle();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 0 });
    let plan = c.plan();
    // The task says something about itself that matters to nobody.
    let task = c.running()[0].clone();
    let report = c.report(&task, TaskState::Running);
    c.act(report);
    assert_eq!(c.apply(plan.steps), 1, "the step is dropped");
    c.settle();
    assert!(c.tasks().is_empty());
}

#[test]
fn a_scale_that_is_taken_back_at_once_costs_no_task() {
    let mut c = Cluster::new(2, replicated(3));
    c.settle();
    let before: Vec<_> = c.running().iter().map(|t| t.id).collect();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 1 });
    let plan = c.plan();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 3 });
    assert_eq!(c.apply(plan.steps), 2, "the slots are not given up");
    c.settle();
    let after: Vec<_> = c.running().iter().map(|t| t.id).collect();
    assert_eq!(before, after);
}

#[test]
fn a_record_whose_deletion_was_dropped_is_deleted_later() {
    let mut c = Cluster::new(1, replicated(1));
    c.full = true;
    c.settle();
    let task = c.tasks()[0].clone();
    c.remove_service();
    let plan = c.plan();
    c.apply(plan.steps);
    let deletion = c.reaper.plan(&c.state.clone(), c.now);
    let report = c.report(&task, TaskState::Pending);
    c.act(report);
    assert_eq!(c.apply(deletion.steps), 1, "the step is dropped");
    c.settle();
    assert!(c.state.tasks().is_empty());
}

#[test]
fn an_eviction_that_was_dropped_is_made_later() {
    let mut c = Cluster::new(1, replicated(1));
    c.settle();
    c.edit_node(0, |n| n.spec.annotations.labels.clear());
    c.update(|s| {
        let placement = s.task.placement.get_or_insert_default();
        placement.constraints = vec!["node.labels.zone == one".into()];
    });
    c.edit_node(0, |n| {
        let labels = &mut n.spec.annotations.labels;
        labels.insert("zone".into(), "two".into());
    });
    let evictions = c.enforcer.plan(&c.state.clone(), c.now);
    assert_eq!(evictions.steps.len(), 1);
    let task = c.running()[0].clone();
    let report = c.report(&task, TaskState::Running);
    c.act(report);
    assert_eq!(c.apply(evictions.steps), 1, "the step is dropped");
    let again = c.enforcer.plan(&c.state.clone(), c.now);
    assert_eq!(again.steps.len(), 1);
}

#[test]
fn a_task_on_a_node_that_comes_back_is_waited_for() {
    let mut c = Cluster::new(2, replicated(1));
    c.settle();
    let task = c.running()[0].clone();
    let at = c.nodes.iter().position(|n| Some(*n) == task.node_id);
    c.set_node_state(at.unwrap(), NodeState::Down);
    let plan = c.plan();
    c.set_node_state(at.unwrap(), NodeState::Ready);
    assert_eq!(c.apply(plan.steps), 1, "the replacement is dropped");
    c.run(5 * SECOND);
    assert_eq!(c.running().len(), 1);
}

#[test]
fn a_job_slot_that_completes_after_all_is_not_run_again() {
    let mut c = Cluster::new(1, spec(ServiceMode::GlobalJob));
    let plan = c.plan();
    c.apply(plan.steps);
    let task = c.tasks()[0].clone();
    c.act(store::Action::Allocate { task: task.id });
    c.act(store::Action::Assign {
        task: task.id,
        node: c.nodes[0],
        generic: Vec::new(),
        volumes: Vec::new(),
    });
    c.set_node_state(0, NodeState::Down);
    let plan = c.plan();
    c.apply(plan.steps);
    c.set_node_state(0, NodeState::Ready);
    let plan = c.plan();
    let task = c.tasks()[0].clone();
    let complete = c.report(&task, TaskState::Complete);
    c.act(complete);
    assert_eq!(c.apply(plan.steps), 1, "the second run is dropped");
    c.run(5 * SECOND);
    assert_eq!(c.created.len(), 1);
}

#[test]
fn a_slot_whose_node_is_drained_is_in_flight_until_its_task_was_told_to_stop() {
    let mut c = Cluster::new(2, spec(ServiceMode::Global));
    c.settle();
    c.images.insert("v2".into(), Behaviour::Slow);
    c.update(|s| {
        s.update = update_config(1);
        set_image(s, "v2");
    });
    c.settle();
    let task = c.in_state(TaskState::Preparing)[0].clone();
    let at = c.nodes.iter().position(|n| Some(*n) == task.node_id);
    c.set_availability(at.unwrap(), Availability::Drain);
    let plan = c.plan();
    let report = c.report(&task, TaskState::Ready);
    c.act(report);
    assert_eq!(c.apply(plan.steps), 1, "the stop is dropped");
    assert_eq!(c.slots_in_flight_max, 1);
    c.settle();
    let next = c.in_state(TaskState::Preparing)[0].node_id;
    assert_ne!(next, task.node_id, "the update goes on");
    assert_eq!(c.slots_in_flight_max, 1);
}

#[test]
fn a_job_slot_with_a_task_too_many_is_busy_until_that_was_told_to_stop() {
    let mode = ServiceMode::ReplicatedJob {
        max_concurrent: 1,
        total_completions: 3,
    };
    let mut c = Cluster::new(2, spec(mode));
    c.settle();
    let first = c.in_state(TaskState::Running)[0].clone();
    c.images.insert("v1".into(), Behaviour::Slow);
    let at = c.nodes.iter().position(|n| Some(*n) == first.node_id);
    c.set_node_state(at.unwrap(), NodeState::Down);
    c.run(10 * SECOND);
    let second = c.in_state(TaskState::Preparing)[0].clone();
    c.set_node_state(at.unwrap(), NodeState::Ready);
    let complete = c.report(&first, TaskState::Complete);
    c.act(complete);
    let plan = c.plan();
    let report = c.report(&second, TaskState::Ready);
    c.act(report);
    assert_eq!(c.apply(plan.steps), 1, "the stop is dropped");
    c.check_concurrency();
    c.settle();
    c.check_concurrency();
    assert!(c.created.len() > 2, "the job goes on");
}

#[test]
fn a_task_that_ends_while_it_is_about_to_be_moved_is_replaced_only_if_its_policy_says_so() {
    let mut spec = replicated(1);
    spec.update = update_config(1);
    spec.update.as_mut().unwrap().order = UpdateOrder::StartFirst;
    spec.task.restart = restart(RestartCondition::OnFailure, 0);
    let mut c = Cluster::new(2, spec);
    c.settle();
    let task = c.running()[0].clone();
    let at = c.nodes.iter().position(|n| Some(*n) == task.node_id);
    c.set_availability(at.unwrap(), Availability::Drain);
    let plan = c.plan();
    let complete = c.report(&task, TaskState::Complete);
    c.act(complete);
    assert_eq!(c.apply(plan.steps), 1, "the move is dropped");
    c.run(5 * SECOND);
    assert_eq!(c.created.len(), 1, "it is done for good");
}
