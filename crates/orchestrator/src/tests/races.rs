//! What happens between a plan and its application: the ground moves, and nothing is forgotten.

use std::time::Duration;

use store::{Action, Object};
use types::options::Schedule;
use types::service::UpdateOrder;
use types::task::RestartCondition;
use types::{
    Availability, Node, NodeState, Service, ServiceMode, ServiceSpec, Task, TaskId, TaskState,
};

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
    c.act(Action::Allocate { task: task.id });
    c.act(Action::Assign {
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

/// A change of the service's record that is no new spec.
fn edit_service(c: &mut Cluster, edit: impl FnOnce(&mut Service)) {
    let mut service = Service::clone(c.get());
    edit(&mut service);
    c.act(Action::Update(Object::from(service)));
}

/// The position of the node that a task is on.
fn place_of(c: &Cluster, task: &Task) -> usize {
    let there = c.nodes.iter().position(|n| Some(*n) == task.node_id);
    there.expect("the task has a node")
}

fn ids_running(c: &Cluster) -> Vec<TaskId> {
    c.running().iter().map(|t| t.id).collect()
}

#[test]
fn a_drain_that_is_taken_back_at_once_costs_no_task() {
    for spec in [replicated(2), spec(ServiceMode::Global)] {
        let mut c = Cluster::new(2, spec);
        c.settle();
        let before = ids_running(&c);
        c.set_availability(0, Availability::Drain);
        let plan = c.plan();
        c.set_availability(0, Availability::Active);
        assert_eq!(c.apply(plan.steps), 1, "the task is not moved");
        c.settle();
        assert_eq!(before, ids_running(&c));
    }
}

#[test]
fn a_node_that_is_back_at_once_keeps_tasks_that_may_not_be_replaced() {
    for mut spec in [replicated(1), spec(ServiceMode::Global)] {
        spec.task.restart = restart(RestartCondition::None, 0);
        let mut c = Cluster::new(1, spec);
        c.settle();
        let before = ids_running(&c);
        c.set_node_state(0, NodeState::Down);
        let plan = c.plan();
        c.set_node_state(0, NodeState::Ready);
        assert_eq!(c.apply(plan.steps), 1, "the task is not given up");
        c.settle();
        assert_eq!(before, ids_running(&c));
    }
}

#[test]
fn no_task_is_made_for_a_node_that_is_drained_by_then() {
    let mut once = spec(ServiceMode::Global);
    once.task.restart = restart(RestartCondition::None, 0);
    let mut c = Cluster::new(1, once);
    let plan = c.plan();
    c.set_availability(0, Availability::Drain);
    assert_eq!(c.apply(plan.steps), 1, "no task is made");
    c.settle();
    c.set_availability(0, Availability::Active);
    c.settle();
    assert_eq!(c.running().len(), 1, "the slot was not used up");
}

/// A service that starts first, whose new task has just begun to run beside the old one.
fn taken_over() -> (Cluster, TaskId, TaskId) {
    let mut spec = replicated(1);
    spec.update = update_config(1);
    spec.update.as_mut().unwrap().order = UpdateOrder::StartFirst;
    spec.rollback = spec.update;
    let mut c = Cluster::new(1, spec);
    c.settle();
    let old = c.running()[0].id;
    c.images.insert("v2".into(), Behaviour::Slow);
    c.update(|s| set_image(s, "v2"));
    c.settle();
    let new = c.in_state(TaskState::Preparing)[0].clone();
    let runs = c.report(&new, TaskState::Running);
    c.act(runs);
    (c, old, new.id)
}

#[test]
fn an_update_that_is_rolled_back_at_once_does_not_stop_what_it_goes_back_to() {
    let (mut c, old, _) = taken_over();
    let plan = c.plan();
    c.roll_back();
    c.apply(plan.steps);
    c.settle();
    assert_eq!(ids_running(&c), [old]);
}

#[test]
fn a_replacement_that_ends_at_once_costs_the_old_task_nothing() {
    let (mut c, old, new) = taken_over();
    let plan = c.plan();
    c.fail(new);
    assert_eq!(c.apply(plan.steps), 1, "the stop is dropped");
    c.settle();
    assert_eq!(ids_running(&c), [old]);
}

fn outside_of_zone_two(spec: &mut ServiceSpec) {
    let placement = spec.task.placement.get_or_insert_default();
    placement.constraints = vec!["node.labels.zone != two".into()];
}

fn into_zone_two(node: &mut Node) {
    let labels = &mut node.spec.annotations.labels;
    labels.insert("zone".into(), "two".into());
}

#[test]
fn a_constraint_that_is_taken_back_at_once_costs_no_task() {
    let mut c = Cluster::new(1, replicated(1));
    c.settle();
    let before = ids_running(&c);
    c.update(outside_of_zone_two);
    c.settle();
    c.edit_node(0, into_zone_two);
    let evictions = c.enforcer.plan(&c.state.clone(), c.now);
    c.roll_back();
    assert_eq!(c.apply(evictions.steps), 1, "the eviction is dropped");
    c.settle();
    assert_eq!(before, ids_running(&c));
}

#[test]
fn an_eviction_dropped_by_a_change_of_the_service_that_decides_nothing_is_made_later() {
    let mut spec = replicated(1);
    outside_of_zone_two(&mut spec);
    let mut c = Cluster::new(1, spec);
    c.settle();
    c.edit_node(0, into_zone_two);
    let evictions = c.enforcer.plan(&c.state.clone(), c.now);
    edit_service(&mut c, |s| s.update_status = None);
    assert_eq!(c.apply(evictions.steps), 1, "the eviction is dropped");
    let again = c.enforcer.plan(&c.state.clone(), c.now);
    assert_eq!(again.steps.len(), 1);
}

#[test]
fn a_job_slot_that_completes_before_its_replacement_starts_is_not_run_again() {
    let mode = ServiceMode::ReplicatedJob {
        max_concurrent: 1,
        total_completions: 1,
    };
    let mut c = Cluster::new(2, spec(mode));
    c.stop_time = 600 * SECOND;
    c.settle();
    let first = c.in_state(TaskState::Running)[0].clone();
    c.set_availability(place_of(&c, &first), Availability::Drain);
    c.settle();
    let second = c.in_state(TaskState::Ready)[0].clone();
    assert_eq!(second.desired_state, TaskState::Ready, "it is held");
    // The first one ignores its stop, and has been waited for.
    c.now = c.now.plus(types::defaults::OLD_TASK_WAIT_MAX);
    let plan = c.plan();
    let complete = c.report(&first, TaskState::Complete);
    c.act(complete);
    assert_eq!(c.apply(plan.steps), 1, "the second one is not started");
    c.settle();
    assert_eq!(c.in_state(TaskState::Running).len(), 0);
}

#[test]
fn a_job_slot_that_is_wanted_no_more_is_busy_until_its_task_was_told_to_stop() {
    let mode = |max_concurrent, total_completions| ServiceMode::ReplicatedJob {
        max_concurrent,
        total_completions,
    };
    let mut job = spec(mode(2, 2));
    // An update leaves the run that is under way alone.
    job.options.schedule = Some(Schedule::of("0 0 1 1 *"));
    let mut c = Cluster::new(1, job);
    edit_service(&mut c, |s| {
        s.job_status.get_or_insert_default().iteration = 1
    });
    c.images.insert("v1".into(), Behaviour::Slow);
    c.settle();
    let [first, second] = [0, 1].map(|n| c.in_state(TaskState::Preparing)[n].clone());
    // The first one makes room for something urgent, and its slot is empty.
    c.act(Action::Desire {
        task: first.id,
        state: TaskState::Shutdown,
    });
    c.update(|s| s.mode = mode(1, 1));
    let plan = c.plan();
    let report = c.report(&second, TaskState::Ready);
    c.act(report);
    c.apply(plan.steps);
    c.check_concurrency();
    c.settle();
    c.check_concurrency();
    assert_eq!(c.created.len(), 3, "the job goes on");
}
