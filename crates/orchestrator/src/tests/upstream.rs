//! The defects of SwarmKit's orchestration that are known, each with the test that shows that it
//! did not come along. Rules about specs are tested where specs are checked.

use std::sync::Arc;
use std::time::Duration;

use types::node::NodeDescription;
use types::resources::ResourceRequirements;
use types::service::{FailureAction, UpdateConfig, UpdateState};
use types::task::RestartCondition;
use types::{GenericResource, NodeState, Resources, ServiceMode, ServiceSpec, SlotKey, TaskState};

use super::cluster::{
    Behaviour, Cluster, gpu, replicated, restart, set_image, spec, update_config,
};

const SECOND: Duration = Duration::from_secs(1);

fn job(max_concurrent: u64, total_completions: u64) -> ServiceSpec {
    let mut job = spec(ServiceMode::ReplicatedJob {
        max_concurrent,
        total_completions,
    });
    job.task.restart = restart(RestartCondition::OnFailure, 0);
    job
}

fn jobs_running(c: &Cluster) -> usize {
    let running = c.in_state(TaskState::Running).into_iter();
    running
        .filter(|t| t.desired_state == TaskState::Complete)
        .count()
}

#[test]
fn upstream_jobs_ignore_node_loss_until_orphaning_and_new_nodes_of_global_jobs() {
    let mut c = Cluster::new(3, job(3, 3));
    c.settle();
    c.set_node_state(0, NodeState::Down);
    c.settle();
    assert_eq!(jobs_running(&c), 3, "at once, not after a day");

    let mut c = Cluster::new(1, spec(ServiceMode::GlobalJob));
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.settle();
    c.add_node();
    c.settle();
    assert_eq!(c.in_state(TaskState::Complete).len(), 2);
}

#[test]
fn upstream_job_numbers_lowered_below_what_lives_underflow() {
    let mut c = Cluster::new(2, job(5, 9));
    c.settle();
    c.update(|s| s.mode = job(1, 2).mode);
    c.run(5 * SECOND);
    assert_eq!(jobs_running(&c), 1);
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.run(5 * SECOND);
    let run = c.get().job_status.map(|j| j.iteration);
    let done = c.in_state(TaskState::Complete);
    assert_eq!(done.iter().filter(|t| t.job_iteration == run).count(), 2);
}

#[test]
fn upstream_records_of_jobs_are_never_reaped() {
    let mut c = Cluster::new(1, job(2, 2));
    c.set_history(3);
    c.images.insert("v1".to_owned(), Behaviour::Completes);
    c.run(SECOND);
    for _ in 0..10 {
        c.update(|s| s.task.force_update += 1);
        c.run(5 * SECOND);
    }
    assert_eq!((c.created.len(), c.tasks().len()), (22, 6));
}

#[test]
fn upstream_a_rollback_that_fails_with_action_rollback_is_called_completed() {
    let config = update_config(1).map(|u| UpdateConfig {
        failure_action: FailureAction::Rollback,
        ..u
    });
    let mut spec = replicated(3);
    (spec.update, spec.rollback) = (config, config);
    let mut c = Cluster::new(2, spec);
    c.settle();
    for image in ["v1", "bad"] {
        c.images.insert(image.to_owned(), Behaviour::Crashes);
    }
    c.update(|s| set_image(s, "bad"));
    c.run(60 * SECOND);
    assert_eq!(c.update_state(), UpdateState::RollbackPaused);
    assert!(
        c.update_message()
            .starts_with("rollback paused due to failure")
    );
    c.run(60 * SECOND);
    assert_eq!(
        c.update_state(),
        UpdateState::RollbackPaused,
        "and it stays so"
    );
}

#[test]
fn upstream_an_update_that_cannot_be_scheduled_hangs_for_ever() {
    let mut spec = replicated(2);
    spec.update = update_config(1);
    let mut c = Cluster::new(2, spec);
    c.settle();
    c.full = true;
    c.update(|s| set_image(s, "v2"));
    c.run(601 * SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    assert!(c.update_message().contains("did not run within 10 minutes"));
}

#[test]
fn upstream_a_lost_generic_resource_ends_the_scan_after_one_arbitrary_victim() {
    let gpus = |names: &[&str]| Resources {
        generic: names.iter().map(|n| gpu(n)).collect(),
        ..Resources::default()
    };
    let mut spec = replicated(3);
    spec.task.resources = ResourceRequirements {
        reservations: Some(Resources {
            generic: vec![GenericResource::Discrete {
                kind: "gpu".into(),
                value: 1,
            }],
            ..Resources::default()
        }),
        ..ResourceRequirements::default()
    };
    let mut c = Cluster::new(1, spec);
    let offer = |c: &mut Cluster, names: &[&str]| {
        let resources = gpus(names);
        c.edit_node(0, |n| {
            n.description = Some(Arc::new(NodeDescription {
                resources,
                ..NodeDescription::default()
            }));
        });
    };
    offer(&mut c, &["a", "b", "c"]);
    c.gives_generic = vec!["a", "b", "c"];
    c.settle();
    let keeper = c
        .running()
        .into_iter()
        .find(|t| t.assigned_generic_resources == gpus(&["b"]).generic);
    let keeper = keeper.unwrap().id;
    c.full = true;
    offer(&mut c, &["b"]);
    c.settle();
    assert_eq!(
        c.in_state(TaskState::Rejected).len(),
        2,
        "all that lost theirs, and no other"
    );
    assert_eq!(c.running()[0].id, keeper);
}

#[test]
fn upstream_the_restart_history_is_lost_with_the_leader() {
    let mut spec = replicated(1);
    spec.task.restart = restart(RestartCondition::Any, 2);
    let mut c = Cluster::new(1, spec);
    c.images.insert("v1".to_owned(), Behaviour::Crashes);
    for _ in 0..60 {
        c.change_leader();
        c.run(SECOND);
    }
    assert_eq!(
        c.created.len(),
        3,
        "the first task and two attempts, whoever leads"
    );
}

#[test]
fn upstream_a_failed_task_of_a_paused_update_comes_back_with_the_new_spec() {
    let mut spec = replicated(3);
    spec.update = update_config(1).map(|u| UpdateConfig {
        delay: 5 * SECOND,
        ..u
    });
    let mut c = Cluster::new(2, spec);
    c.images.insert("bad".to_owned(), Behaviour::Crashes);
    c.settle();
    c.update(|s| set_image(s, "bad"));
    c.run(SECOND);
    assert_eq!(c.update_state(), UpdateState::Paused);
    let good = |c: &Cluster| {
        let images = c.images_running();
        images.values().filter(|i| *i == "v1").count()
    };
    let victim = c.running().into_iter().find(|t| t.spec_version == Some(0));
    let (victim, slot) = victim.map(|t| (t.id, SlotKey::of(t))).unwrap();
    c.fail(victim);
    c.run(20 * SECOND);
    assert_eq!(
        (good(&c), c.images_running().get(&slot).cloned()),
        (2, Some("v1".to_owned()))
    );
}

#[test]
fn upstream_a_replacement_for_a_task_on_a_lost_node_waits_for_the_restart_delay() {
    let mut c = Cluster::new(2, replicated(4));
    c.settle();
    let before = c.now;
    c.set_node_state(0, NodeState::Down);
    c.settle();
    assert_eq!(c.running().len(), 4);
    assert!(c.now.since(before) < SECOND);
}
