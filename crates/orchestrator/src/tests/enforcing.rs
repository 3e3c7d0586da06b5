//! Evictions from nodes that no longer fit.

use std::sync::Arc;
use std::time::Duration;

use types::node::NodeDescription;
use types::resources::ResourceRequirements;
use types::{Availability, Resources, TaskState};

use super::cluster::{Cluster, replicated};

fn memory(bytes: i64) -> Resources {
    Resources {
        memory_bytes: bytes,
        ..Resources::default()
    }
}

fn offer(c: &mut Cluster, at: usize, resources: Resources) {
    c.edit_node(at, |n| {
        n.description = Some(Arc::new(NodeDescription {
            resources,
            ..NodeDescription::default()
        }));
    });
}

#[test]
fn a_node_that_shrinks_keeps_its_oldest_tasks_and_loses_the_rest() {
    let mut spec = replicated(3);
    spec.task.resources = ResourceRequirements {
        reservations: Some(memory(100)),
        ..ResourceRequirements::default()
    };
    let mut c = Cluster::new(1, spec);
    offer(&mut c, 0, memory(300));
    c.settle();
    c.full = true;
    offer(&mut c, 0, memory(150));
    c.settle();
    assert_eq!(c.running().len(), 1);
    let rejected = c.in_state(TaskState::Rejected);
    assert_eq!(rejected.len(), 2);
    assert_eq!(
        rejected[0].status.message,
        "task rejected by constraint enforcer"
    );
    assert_eq!(
        &*rejected[0].status.err,
        "assigned node no longer meets constraints"
    );
}

/// Two tasks on one node, where they may be as long as it is not in zone b.
fn outside_of_zone_b() -> Cluster {
    let mut spec = replicated(2);
    spec.task.placement = Some(types::task::Placement {
        constraints: vec!["node.labels.zone!=b".to_owned()],
        ..types::task::Placement::default()
    });
    let mut c = Cluster::new(1, spec);
    c.settle();
    c
}

fn into_zone_b(node: &mut types::Node) {
    let labels = &mut node.spec.annotations.labels;
    labels.insert("zone".to_owned(), "b".to_owned());
}

#[test]
fn a_label_that_goes_moves_the_tasks_but_not_on_a_paused_node() {
    for (availability, moved) in [(Availability::Active, 2), (Availability::Pause, 0)] {
        let mut c = outside_of_zone_b();
        c.edit_node(0, |n| {
            n.spec.availability = availability;
            into_zone_b(n);
        });
        c.run(Duration::from_secs(1));
        assert_eq!(c.in_state(TaskState::Rejected).len(), moved);
    }
}

/// While the other spec held, the node was judged by it; nothing about the node changes later.
#[test]
fn what_a_rollback_comes_back_to_is_moved_though_it_was_made_from_an_earlier_version() {
    let mut c = outside_of_zone_b();
    // The tasks stay: nothing of them is another.
    c.update(|s| drop(s.annotations.labels.insert("a".into(), "b".into())));
    c.settle();
    c.update(|s| s.task.placement = None);
    c.settle();
    c.edit_node(0, into_zone_b);
    c.run(Duration::from_secs(1));
    c.roll_back();
    c.run(Duration::from_secs(1));
    assert_eq!(c.in_state(TaskState::Rejected).len(), 2);
}

#[test]
fn tasks_that_a_rollback_comes_back_to_are_moved_from_nodes_that_changed_meanwhile() {
    let mut c = outside_of_zone_b();
    c.update(|s| s.task.placement = None);
    c.settle();
    c.edit_node(0, into_zone_b);
    c.run(Duration::from_secs(1));
    assert_eq!(c.in_state(TaskState::Rejected).len(), 0);
    c.roll_back();
    c.run(Duration::from_secs(1));
    assert_eq!(c.in_state(TaskState::Rejected).len(), 2);
}
