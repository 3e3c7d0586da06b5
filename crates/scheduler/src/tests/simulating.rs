//! What a rehearsal answers is what then happens.

use std::sync::Arc;

use store::Action;
use types::service::{UpdateConfig, UpdateOrder};
use types::{Availability, NodeState, Service, ServiceMode, ServiceSpec, TaskState};

use crate::simulate;
use crate::testing::*;

fn replicated(service: &mut ServiceSpec, replicas: u64) {
    service.mode = ServiceMode::Replicated { replicas };
}

fn nodes_of(simulation: &crate::Simulation) -> Vec<Option<types::NodeId>> {
    simulation.outcomes.iter().map(|o| o.node).collect()
}

#[test]
fn a_new_service_is_placed_as_the_scheduler_places_it_then() {
    let mut world = World::with((1..=3).map(node));
    let declared = service(1, |s| {
        replicated(s, 7);
        reserve(s, 2 * CPU, 0);
    });
    let simulation = simulate(&world.state, &declared.spec, world.now);
    assert_eq!(simulation.service, None);
    assert_eq!(simulation.outcomes.len(), 7);
    world.create(declared);
    let tasks = world.pending(1, 7);
    world.settle();
    let mut foretold = nodes_of(&simulation);
    let mut real: Vec<_> = tasks.iter().map(|id| world.task(*id).node_id).collect();
    foretold.sort_unstable();
    real.sort_unstable();
    assert_eq!(foretold, real);
    let waiting = simulation.outcomes.iter().find(|o| o.node.is_none());
    let waiting = waiting.expect("three nodes of 4 CPUs have room for six tasks of 2");
    assert_eq!(
        waiting.reason,
        "no suitable node (insufficient resources on 3 nodes)"
    );
}

#[test]
fn the_state_is_left_as_it_was() {
    let world = World::with([node(1)]);
    let version = world.state.version();
    simulate(&world.state, &service(1, |_| {}).spec, world.now);
    assert_eq!(world.state.version(), version);
    assert!(world.state.services().is_empty() && world.state.tasks().is_empty());
}

#[test]
fn scaling_keeps_what_runs_and_fills_the_lowest_free_slots() {
    let mut world = World::with((1..=4).map(node));
    world.create(service(1, |s| replicated(s, 2)));
    world.pending(1, 2);
    world.settle();
    let mut more = ServiceSpec::clone(&service(1, |_| {}).spec);
    replicated(&mut more, 4);
    let simulation = simulate(&world.state, &more, world.now);
    assert_eq!(simulation.service, Some(service_id(1)));
    assert_eq!((simulation.kept, simulation.surplus), (2, 0));
    let slots: Vec<u64> = simulation.outcomes.iter().map(|o| o.slot).collect();
    assert_eq!(slots, [3, 4]);
    assert_eq!(
        nodes_of(&simulation),
        [Some(node_id(3)), Some(node_id(4))],
        "nodes 1 and 2 have the service already"
    );
    replicated(&mut more, 1);
    let fewer = simulate(&world.state, &more, world.now);
    assert_eq!((fewer.kept, fewer.surplus, fewer.outcomes.len()), (1, 1, 0));
}

/// A service of one task of 3 CPUs on the only node, of 4, updated in an order.
fn updated_on_a_full_node(order: UpdateOrder) -> crate::Simulation {
    let mut world = World::with([node(1)]);
    let with_order = |s: &mut ServiceSpec| {
        reserve(s, 3 * CPU, 0);
        s.update = Some(UpdateConfig {
            order,
            ..UpdateConfig::default()
        });
    };
    world.create(service(1, with_order));
    let old = world.pending(1, 1)[0];
    world.settle();
    let new = service(1, |s| {
        with_order(s);
        s.task.force_update = 1;
    });
    let simulation = simulate(&world.state, &new.spec, world.now);
    assert_eq!(simulation.outcomes[0].replaces, Some(old));
    simulation
}

#[test]
fn stop_first_uses_the_room_of_the_old_task() {
    let simulation = updated_on_a_full_node(UpdateOrder::StopFirst);
    assert_eq!(simulation.outcomes[0].node, Some(node_id(1)));
    assert_eq!(simulation.outcomes[0].reason, "");
}

#[test]
fn start_first_needs_room_beside_the_old_task() {
    let simulation = updated_on_a_full_node(UpdateOrder::StartFirst);
    assert_eq!(simulation.outcomes[0].node, None);
    assert_eq!(
        simulation.outcomes[0].reason,
        "no suitable node (insufficient resources on 1 node)"
    );
}

#[test]
fn a_changed_placement_replaces_only_tasks_that_stand_where_it_forbids() {
    let mut world = World::with([labelled(1, "disk", "ssd"), node(2)]);
    world.create(service(1, |s| replicated(s, 2)));
    world.pending(1, 2);
    world.settle();
    let declared = service(1, |s| {
        replicated(s, 2);
        place(s, |p| p.constraints = vec!["node.labels.disk==ssd".into()]);
    });
    let simulation = simulate(&world.state, &declared.spec, world.now);
    assert_eq!(simulation.kept, 1);
    assert_eq!(nodes_of(&simulation), [Some(node_id(1))]);
}

#[test]
fn a_global_service_gets_a_task_on_each_node_that_fits() {
    let mut world = World::with((1..=4).map(node));
    world.edit_node(2, |n| n.spec.availability = Availability::Drain);
    world.edit_node(3, |n| n.status.state = NodeState::Down);
    let declared = service(1, |s| {
        s.mode = ServiceMode::Global;
        reserve(s, 5 * CPU, 0);
    });
    let simulation = simulate(&world.state, &declared.spec, world.now);
    let made_for: Vec<_> = simulation.outcomes.iter().map(|o| o.made_for).collect();
    assert_eq!(made_for, [Some(node_id(1)), Some(node_id(4))]);
    assert!(simulation.outcomes[0].reason.contains("insufficient"));
    assert_eq!(nodes_of(&simulation), [None, None]);
}

#[test]
fn who_waits_already_goes_first() {
    let mut world = World::with([]);
    world.create(service(1, |s| reserve(s, 3 * CPU, 0)));
    let waiting = world.pending(1, 1)[0];
    world.settle();
    world.create(node(1));
    let declared = service(2, |s| reserve(s, 3 * CPU, 0));
    let simulation = simulate(&world.state, &declared.spec, world.now);
    assert_eq!(nodes_of(&simulation), [None]);
    world.settle();
    assert_eq!(world.node_of(waiting), Some(1));
    assert_eq!(world.task(waiting).status.state, TaskState::Assigned);
}

#[test]
fn ports_of_an_updated_endpoint_are_those_of_the_new_spec() {
    let mut world = World::with([node(1), node(2)]);
    world.create(service(2, |s| publish(s, 80)));
    world.pending(2, 1);
    world.create(service(1, |_| {}));
    world.settle();
    let stored = world.state.services().get(service_id(1)).unwrap();
    let mut renamed = Service::clone(stored);
    let mut spec = ServiceSpec::clone(&renamed.spec);
    publish(&mut spec, 80);
    renamed.spec = Arc::new(spec);
    let simulation = simulate(&world.state, &renamed.spec, world.now);
    assert_eq!(nodes_of(&simulation), [Some(node_id(2))]);
    world.act([Action::Update(renamed.into())]);
}
