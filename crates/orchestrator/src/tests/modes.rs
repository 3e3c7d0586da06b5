//! How many tasks a service gets, and where.

use std::time::Duration;

use types::{Availability, NodeState, ServiceMode, TaskState};

use super::cluster::{Behaviour, Cluster, replicated, restart, spec};
use types::service::UpdateState;
use types::task::RestartCondition;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_replicated_service_fills_the_lowest_slots_and_spreads_nothing_else() {
    let mut c = Cluster::new(3, replicated(5));
    c.settle();
    assert_eq!(c.slots_running(), [1, 2, 3, 4, 5]);
    assert_eq!(c.created.len(), 5);
    assert!(c.plan().steps.is_empty(), "planning again proposes nothing");
    c.change_leader();
    assert!(c.plan().steps.is_empty(), "nor does a new leader");
}

#[test]
fn scaling_up_reuses_the_lowest_free_slot_numbers() {
    let mut c = Cluster::new(3, replicated(6));
    c.settle();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 2 });
    c.settle();
    let kept = c.slots_running();
    assert_eq!(
        (kept.len(), c.tasks().len()),
        (2, 2),
        "removed records are gone"
    );
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 4 });
    c.settle();
    assert_eq!(c.slots_running(), [1, 2, 3, 4]);
}

#[test]
fn scaling_down_takes_from_the_most_crowded_node_and_what_does_not_run_first() {
    let mut c = Cluster::new(1, replicated(4));
    c.settle();
    c.add_node();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 6 });
    c.settle();
    let per_node = |c: &Cluster| {
        let on = |n| c.running().iter().filter(|t| t.node_id == Some(n)).count();
        c.nodes.iter().map(|n| on(*n)).collect::<Vec<_>>()
    };
    assert_eq!(per_node(&c), [4, 2]);
    c.full = true;
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 8 });
    c.settle();
    c.update(|s| s.mode = ServiceMode::Replicated { replicas: 4 });
    c.settle();
    assert_eq!(per_node(&c), [2, 2]);
    assert_eq!(c.tasks().len(), 4);
}

#[test]
fn a_service_that_is_removed_leaves_no_task_and_no_record() {
    let mut c = Cluster::new(2, replicated(4));
    c.settle();
    c.stop_time = SECOND;
    c.remove_service();
    c.change_leader();
    c.settle();
    assert_eq!(
        c.tasks().len(),
        4,
        "records stay until the tasks have stopped"
    );
    c.run(2 * SECOND);
    assert!(c.tasks().is_empty());
}

#[test]
fn tasks_of_a_node_that_is_down_move_at_once_and_stop_there_when_it_returns() {
    let mut c = Cluster::new(3, replicated(6));
    c.settle();
    let before = c.now;
    c.set_node_state(0, NodeState::Down);
    c.settle();
    assert_eq!(c.running().len(), 6);
    assert!(c.now.since(before) < Duration::from_millis(1));
    c.set_node_state(0, NodeState::Ready);
    c.settle();
    assert_eq!((c.running().len(), c.created.len()), (6, 8));
}

#[test]
fn tasks_of_a_node_that_is_unknown_or_disconnected_stay() {
    let mut c = Cluster::new(2, replicated(4));
    c.settle();
    c.set_node_state(0, NodeState::Unknown);
    c.settle();
    c.set_node_state(1, NodeState::Disconnected);
    c.run(10 * SECOND);
    assert_eq!(c.created.len(), 4);
}

#[test]
fn a_drained_node_loses_its_tasks_without_restart_delay_but_after_they_stopped() {
    let mut c = Cluster::new(2, replicated(4));
    c.settle();
    c.stop_time = 3 * SECOND;
    c.set_availability(0, Availability::Drain);
    c.settle();
    assert_eq!(c.running().len(), 2);
    c.run(3 * SECOND);
    assert_eq!(c.running().len(), 4);
    assert!(c.running().iter().all(|t| t.node_id == Some(c.nodes[1])));
}

#[test]
fn a_removed_node_takes_no_slot_with_it() {
    let mut c = Cluster::new(2, replicated(4));
    c.settle();
    c.remove_node(0);
    c.settle();
    assert_eq!(c.slots_running(), [1, 2, 3, 4]);
}

#[test]
fn a_global_service_has_one_task_on_every_node_that_takes_tasks() {
    let mut c = Cluster::new(3, spec(ServiceMode::Global));
    c.settle();
    assert_eq!(c.running().len(), 3);
    c.set_availability(0, Availability::Drain);
    c.set_availability(1, Availability::Pause);
    let joined = c.add_node();
    c.settle();
    let mut nodes: Vec<_> = c.running().iter().filter_map(|t| t.node_id).collect();
    nodes.sort_unstable();
    let mut expected = vec![c.nodes[1], c.nodes[2], joined];
    expected.sort_unstable();
    assert_eq!(
        nodes, expected,
        "drained: gone, paused: kept, joined: added"
    );
    c.set_availability(0, Availability::Active);
    c.settle();
    assert_eq!(c.running().len(), 4);
}

#[test]
fn records_of_a_global_service_go_with_their_node() {
    let mut c = Cluster::new(2, spec(ServiceMode::Global));
    c.settle();
    c.remove_node(0);
    c.settle();
    assert_eq!(c.tasks().len(), 1);
}

#[test]
fn a_global_service_follows_its_constraints() {
    let mut only_ssd = spec(ServiceMode::Global);
    only_ssd.task.placement = Some(types::task::Placement {
        constraints: vec!["node.labels.disk==ssd".to_owned()],
        ..types::task::Placement::default()
    });
    let mut c = Cluster::new(2, only_ssd);
    c.settle();
    assert!(c.tasks().is_empty());
    let label = |n: &mut types::Node, disk: &str| {
        let labels = &mut n.spec.annotations.labels;
        labels.insert("disk".to_owned(), disk.to_owned());
    };
    c.edit_node(1, |n| label(n, "ssd"));
    c.settle();
    assert_eq!(c.running().len(), 1);
    c.edit_node(1, |n| label(n, "hdd"));
    c.settle();
    assert!(c.running().is_empty());
}

fn job(max_concurrent: u64, total_completions: u64) -> types::ServiceSpec {
    let mut job = spec(ServiceMode::ReplicatedJob {
        max_concurrent,
        total_completions,
    });
    job.task.restart = restart(RestartCondition::OnFailure, 0);
    job
}

#[test]
fn a_job_completes_exactly_as_often_as_asked_and_a_new_run_starts_over() {
    let mut c = Cluster::new(2, job(3, 10));
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.settle();
    c.change_leader();
    c.run(10 * SECOND);
    assert_eq!(c.in_state(TaskState::Complete).len(), 10);
    assert_eq!(c.created.len(), 10);
    c.update(|_| {});
    c.run(10 * SECOND);
    let runs = |n| {
        c.tasks()
            .iter()
            .filter(|t| t.job_iteration == Some(n))
            .count()
    };
    assert_eq!((runs(1), c.created.len()), (10, 20));
}

#[test]
fn a_job_never_has_more_tasks_than_its_concurrency_and_reruns_those_of_lost_nodes() {
    let mut c = Cluster::new(2, job(4, 6));
    c.settle();
    assert_eq!(c.in_state(TaskState::Running).len(), 4);
    c.set_node_state(0, NodeState::Down);
    c.settle();
    let live = c.tasks().iter().filter(|t| t.is_runnable()).count();
    assert_eq!(live, 4);
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.set_node_state(0, NodeState::Ready);
    c.run(10 * SECOND);
    let done = c.in_state(TaskState::Complete);
    let mut slots: Vec<_> = done.iter().map(|t| t.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn lowering_a_job_below_what_runs_shrinks_it() {
    let mut c = Cluster::new(2, job(6, 6));
    c.settle();
    c.update(|s| s.mode = job(2, 3).mode);
    c.run(5 * SECOND);
    let live = c.tasks().iter().filter(|t| t.is_runnable()).count();
    assert_eq!(live, 2);
}

#[test]
fn a_node_that_joins_later_gets_its_task_of_a_global_job_once() {
    let mut c = Cluster::new(2, spec(ServiceMode::GlobalJob));
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.run(2 * SECOND);
    c.add_node();
    c.run(20 * SECOND);
    assert_eq!(c.in_state(TaskState::Complete).len(), 3);
    assert_eq!(c.created.len(), 3);
}

#[test]
fn a_huge_service_is_made_in_bounded_plans() {
    let mut c = Cluster::new(1, replicated(12_000));
    let mut sizes = Vec::new();
    loop {
        let plan = c.plan();
        if plan.steps.is_empty() {
            break;
        }
        sizes.push(plan.steps.len());
        c.apply(plan.steps);
    }
    assert_eq!(sizes, [5_000, 5_000, 2_000]);
    let victim = c.tasks()[6_000].id;
    let state = TaskState::Failed;
    let report = c.report(&c.state.tasks().get(victim).unwrap().clone(), state);
    c.act(report);
    let plan = c.plan();
    assert_eq!(plan.steps.len(), 1, "one death concerns one slot");
}

#[test]
fn a_rollback_of_a_job_ends_at_once_and_runs_it_again() {
    let mut c = Cluster::new(2, job(2, 2));
    c.run(10 * SECOND);
    c.update(|s| s.task.force_update += 1);
    c.run(10 * SECOND);
    let made = c.created.len();
    let mut service = types::Service::clone(c.get());
    let previous = service.previous_spec.replace(service.spec.clone()).unwrap();
    let version = service.previous_spec_version.replace(service.spec_version);
    service.spec = previous;
    service.spec_version = version.unwrap();
    service.job_status.as_mut().unwrap().iteration += 1;
    service.update_status = Some(types::service::UpdateStatus {
        state: UpdateState::RollbackStarted,
        ..types::service::UpdateStatus::default()
    });
    c.act(store::Action::Update(store::Object::from(service)));
    c.run(10 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackCompleted);
    assert_eq!(c.created.len(), made + 2);
    assert!(c.plan().steps.is_empty());
}
