//! Restart policies, delays and history.

use std::time::Duration;

use types::task::RestartCondition;
use types::{NodeId, TaskState, Timestamp};

use super::cluster::{Behaviour, Cluster, replicated, restart};

const SECOND: Duration = Duration::from_secs(1);

fn crashing(condition: RestartCondition, max_attempts: u64, behaviour: Behaviour) -> Cluster {
    let mut spec = replicated(1);
    spec.task.restart = restart(condition, max_attempts);
    let mut c = Cluster::new(2, spec);
    c.images.insert("v1".to_owned(), behaviour);
    c
}

#[test]
fn a_failed_task_is_replaced_after_the_delay_and_not_before() {
    for history in [0, 1, 5, -1] {
        replaced_after_the_delay(history);
    }
}

fn replaced_after_the_delay(history: i64) {
    let mut c = Cluster::new(2, replicated(2));
    c.set_history(history);
    c.settle();
    let victim = c.running()[0].id;
    c.fail(victim);
    c.settle();
    let held = c
        .tasks()
        .into_iter()
        .filter(|t| t.desired_state == TaskState::Ready);
    assert_eq!(held.count(), 1, "the replacement is made ready meanwhile");
    c.run(Duration::from_millis(4_900));
    assert_eq!(c.running().len(), 1);
    c.run(Duration::from_millis(100));
    assert_eq!(c.slots_running(), [1, 2]);
}

#[test]
fn the_delay_survives_a_leader_change() {
    let mut c = Cluster::new(2, replicated(1));
    c.settle();
    let victim = c.running()[0].id;
    c.fail(victim);
    c.run(3 * SECOND);
    c.change_leader();
    c.run(Duration::from_millis(1_900));
    assert!(c.running().is_empty());
    c.run(Duration::from_millis(100));
    assert_eq!(c.running().len(), 1);
}

#[test]
fn conditions_decide_which_ends_are_followed_by_a_restart() {
    use RestartCondition::{Any, None, OnFailure};
    let cases = [
        (Any, Behaviour::Crashes, true),
        (Any, Behaviour::Completes, true),
        (OnFailure, Behaviour::Crashes, true),
        (OnFailure, Behaviour::Completes, false),
        (None, Behaviour::Crashes, false),
        (None, Behaviour::Missing, false),
    ];
    for (condition, behaviour, restarts) in cases {
        let mut c = crashing(condition, 0, behaviour);
        c.run(3 * SECOND);
        let again = c.created.len() > 1;
        assert_eq!(again, restarts, "{condition:?} {behaviour:?}");
    }
}

#[test]
fn attempts_are_counted_from_records_whatever_leader_looks_and_however_short_history_is() {
    for history in [0, 1, 5] {
        let mut c = crashing(RestartCondition::Any, 3, Behaviour::Crashes);
        c.set_history(history);
        for _ in 0..30 {
            c.run(SECOND);
            c.change_leader();
        }
        assert_eq!(c.created.len(), 4, "the first task and three attempts");
        c.update(|s| s.task.force_update += 1);
        c.run(60 * SECOND);
        assert_eq!(c.created.len(), 8, "a new spec starts counting again");
    }
}

#[test]
fn attempts_outside_the_window_are_forgotten() {
    let mut spec = replicated(1);
    spec.task.restart = restart(RestartCondition::Any, 2).map(|p| types::task::RestartPolicy {
        window: Some(10 * SECOND),
        ..p
    });
    let mut c = Cluster::new(1, spec);
    c.settle();
    for _ in 0..10 {
        let task = c.running()[0].id;
        c.fail(task);
        c.run(20 * SECOND);
    }
    assert_eq!(c.created.len(), 11, "ends that are far apart are allowed");
    for _ in 0..2 {
        let task = c.running()[0].id;
        c.fail(task);
        c.run(3 * SECOND);
    }
    let task = c.running().first().map(|t| t.id);
    task.into_iter().for_each(|t| c.fail(t));
    c.run(60 * SECOND);
    assert!(c.running().is_empty(), "three are not");
}

#[test]
fn an_image_that_cannot_be_pulled_makes_no_hot_loop() {
    for behaviour in [Behaviour::Missing, Behaviour::Crashes, Behaviour::Completes] {
        let mut c = crashing(RestartCondition::Any, 0, behaviour);
        c.run(60 * SECOND);
        let starts = &c.created;
        let gaps = starts[1..].windows(2).map(|w| w[1].0.since(w[0].0));
        let least = gaps.min().unwrap_or_default();
        assert!(
            starts.len() > 5 && starts.len() <= 62,
            "{behaviour:?} {}",
            starts.len()
        );
        assert!(least >= SECOND, "{behaviour:?} {least:?}");
        assert!(c.tasks().len() <= 6, "history is bounded");
    }
}

#[test]
fn a_zero_delay_makes_no_hot_loop() {
    let crashes = (Behaviour::Crashes, 5, 66);
    let completes = (Behaviour::Completes, 5, 66);
    let missing = (Behaviour::Missing, 5, 66);
    let without_history = (Behaviour::Crashes, 0, 600);
    for (behaviour, history, most) in [crashes, completes, missing, without_history] {
        let mut spec = replicated(1);
        let policy = restart(RestartCondition::Any, 0);
        spec.task.restart = policy.map(|p| types::task::RestartPolicy {
            delay: Some(Duration::ZERO),
            ..p
        });
        let mut c = Cluster::new(1, spec);
        c.set_history(history);
        c.images.insert("v1".to_owned(), behaviour);
        c.run(60 * SECOND);
        let count = c.created.len();
        assert!(count < most, "{behaviour:?}: {count} tasks in a minute");
    }
}

#[test]
fn a_replacement_waits_for_the_old_task_for_a_minute_at_most() {
    let mut c = Cluster::new(2, replicated(1));
    c.settle();
    c.stop_time = Duration::from_secs(1_000);
    c.set_availability(0, types::Availability::Drain);
    c.set_availability(1, types::Availability::Drain);
    c.settle();
    c.set_availability(0, types::Availability::Active);
    c.set_availability(1, types::Availability::Active);
    c.run(59 * SECOND);
    assert!(c.running().is_empty());
    c.expect_overlap();
    c.run(2 * SECOND);
    assert_eq!(c.running().len(), 1);
}

#[test]
fn a_slot_that_came_to_rest_is_not_looked_at_again() {
    let mut c = Cluster::new(2, replicated(1));
    c.stop_time = 5 * SECOND;
    c.settle();
    let is_its = |n: &NodeId| Some(*n) == c.running()[0].node_id;
    let at = c.nodes.iter().position(is_its).unwrap();
    c.set_availability(at, types::Availability::Drain);
    c.run(3 * SECOND);
    assert!(c.running().is_empty(), "the old task is waited for");
    assert!(c.plan().wake_at.is_some(), "but not for ever");
    c.run(10 * SECOND);
    assert_eq!(c.running().len(), 1);
    assert_eq!(c.plan().wake_at, None);
}

#[test]
fn history_keeps_the_newest_records_of_a_slot() {
    let mut c = Cluster::new(1, replicated(1));
    c.set_history(3);
    for _ in 0..8 {
        c.run(50 * SECOND);
        let task = c.running()[0].id;
        c.fail(task);
    }
    c.run(50 * SECOND);
    let created: Vec<Timestamp> = c.tasks().iter().map(|t| t.meta.created_at).collect();
    let newest: Vec<Timestamp> = c
        .created
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(|(t, ..)| *t)
        .collect();
    assert_eq!(created, newest);
}

#[test]
fn a_replacement_that_fails_beside_a_task_of_a_drained_node_is_tried_again_after_the_delay() {
    for (history, max_attempts, most) in [(0, 0, 62), (5, 0, 20), (5, 3, 5)] {
        let mut spec = replicated(1);
        spec.update = Some(types::service::UpdateConfig {
            order: types::service::UpdateOrder::StartFirst,
            ..types::service::UpdateConfig::default()
        });
        spec.task.restart = restart(RestartCondition::Any, max_attempts);
        let mut c = Cluster::new(2, spec);
        c.set_history(history);
        c.settle();
        c.images.insert("v1".to_owned(), Behaviour::Missing);
        let node = c.running()[0].node_id;
        let at = c.nodes.iter().position(|n| Some(*n) == node).unwrap();
        c.set_availability(at, types::Availability::Drain);
        c.run(60 * SECOND);
        let made = c.created.len();
        assert!(
            (3..=most).contains(&made),
            "{history} {max_attempts}: {made}"
        );
        assert_eq!(c.running().len(), 1, "the old task goes on meanwhile");
    }
}

#[test]
fn who_ends_after_the_one_that_was_to_take_over_counts_as_an_attempt() {
    let mut spec = replicated(1);
    spec.update = Some(types::service::UpdateConfig {
        order: types::service::UpdateOrder::StartFirst,
        ..types::service::UpdateConfig::default()
    });
    spec.task.restart = restart(RestartCondition::Any, 1);
    let mut c = Cluster::new(2, spec);
    c.settle();
    let old = c.running()[0].clone();
    c.images.insert("v1".to_owned(), Behaviour::Slow);
    let at = c
        .nodes
        .iter()
        .position(|n| Some(*n) == old.node_id)
        .unwrap();
    c.set_availability(at, types::Availability::Drain);
    c.settle();
    let new = c.in_state(TaskState::Preparing)[0].id;
    c.fail(new);
    c.settle();
    c.now = c.now.plus(SECOND);
    c.fail(old.id);
    c.run(60 * SECOND);
    assert_eq!(c.created.len(), 2, "one attempt is allowed");
}
