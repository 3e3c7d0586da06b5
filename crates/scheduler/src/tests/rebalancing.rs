//! Which tasks would be better placed elsewhere.

use std::collections::BTreeSet;

use proptest::prelude::*;
use store::{Action, Key, NewTask};
use types::options::Strategy;
use types::service::{UpdateState, UpdateStatus};
use types::task::PlacementPreference;
use types::{Availability, Service, ServiceMode, ServiceSpec, TaskId, TaskState};

use crate::Failures;
use crate::rebalance::{Cause, Move, Outlook, Scope, Skip, plan, plan_knowing};
use crate::testing::*;

const ALL: Scope = Scope {
    services: None,
    overall: true,
    moves_max: usize::MAX,
};

fn outlook(world: &World) -> Outlook {
    plan(&world.state, &ALL, world.now)
}

fn replicated(n: u64, edit: impl FnOnce(&mut ServiceSpec)) -> Service {
    service(n, |s| {
        s.mode = ServiceMode::Replicated { replicas: 1 };
        edit(s);
    })
}

/// Runs tasks of a service wherever the scheduler puts them.
fn run(world: &mut World, service: u64, count: u64) {
    let tasks = world.pending(service, count);
    world.settle();
    for id in tasks {
        if world.task(id).status.state == TaskState::Assigned {
            world.report(id, TaskState::Running);
        }
    }
}

/// Replaces the task of a move as a stop-first update does.
fn replace(world: &mut World, found: &Move) -> TaskId {
    let task = world.task(found.task);
    let id = TaskId::from_u128(found.task.get() + (1 << 100)).unwrap();
    let new = NewTask {
        id,
        service: found.service,
        spec_version: task.spec_version.unwrap(),
        slot: task.slot,
        node: None,
        desired_state: TaskState::Running,
        job_iteration: None,
    };
    world.act([
        Action::Remove(Key::Task(found.task)),
        Action::NewTask(new),
        Action::Allocate { task: id },
    ]);
    id
}

/// Carries a move out: the scheduler has to put the replacement where the move said.
fn carry_out(world: &mut World, found: &Move) {
    let id = replace(world, found);
    world.settle();
    assert_eq!(world.task(id).node_id, Some(found.to));
    world.report(id, TaskState::Running);
}

#[test]
fn a_node_that_joined_gets_its_share_and_the_reason_counts_tasks() {
    let mut world = World::with([node(1), node(2)]);
    world.create(replicated(1, |_| {}));
    run(&mut world, 1, 9);
    world.create(node(3));
    let moves = outlook(&world).moves;
    assert_eq!(moves.len(), 3);
    assert!(moves.iter().all(|m| m.to == node_id(3)));
    let first = Cause::Service {
        from: 5,
        to: 0,
        all: 9,
    };
    assert_eq!(moves[0].cause, first);
    let later = world.now.plus(std::time::Duration::from_secs(125));
    assert_eq!(
        moves[0].reason(&world.state, later),
        "host-1 runs 5 of 9 tasks of service-1, host-3, joined 2m ago, runs none"
    );
    for found in &moves {
        carry_out(&mut world, found);
    }
    assert_eq!(outlook(&world), Outlook::default());
}

#[test]
fn nothing_moves_to_where_the_scheduler_remembers_failures_though_their_records_are_gone() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |_| {}));
    run(&mut world, 1, 6);
    world.create(node(2));
    let failed = world.pending(1, 5);
    world.settle();
    for id in &failed {
        world.report(*id, TaskState::Failed);
    }
    world.settle();
    let there = |id: &TaskId| world.task(*id).node_id == Some(node_id(2));
    assert_eq!(failed.iter().filter(|id| there(id)).count(), 5);
    let remembered = Failures::new(&world.state, world.now);
    assert_eq!(outlook(&world), Outlook::default());
    world.act(failed.into_iter().map(|id| Action::Remove(Key::Task(id))));
    assert_eq!(
        plan_knowing(&world.state, &ALL, &remembered),
        Outlook::default()
    );
    let forgetful = outlook(&world).moves;
    assert_eq!(forgetful[0].to, node_id(2));
    let id = replace(&mut world, &forgetful[0]);
    world.settle();
    assert_eq!(world.task(id).node_id, Some(node_id(1)), "moved in vain");
}

#[test]
fn what_is_level_stays_where_it_is() {
    let mut world = World::with([node(1), node(2), node(3)]);
    world.create(replicated(1, |_| {}));
    run(&mut world, 1, 8);
    assert_eq!(outlook(&world), Outlook::default());
}

#[test]
fn nodes_are_levelled_as_a_whole_only_when_asked_and_services_stay_level() {
    let mut world = World::with([node(1)]);
    for n in 1..=4 {
        world.create(replicated(n, |_| {}));
        run(&mut world, n, 1);
    }
    world.create(node(2));
    let own = Scope {
        overall: false,
        ..ALL
    };
    assert_eq!(plan(&world.state, &own, world.now), Outlook::default());
    let moves = outlook(&world).moves;
    assert_eq!(moves.len(), 2);
    assert_eq!(moves[0].cause, Cause::Nodes { from: 4, to: 0 });
    assert_ne!(moves[0].service, moves[1].service);
}

#[test]
fn the_number_of_moves_is_bounded_and_it_is_said_that_more_would_follow() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |_| {}));
    run(&mut world, 1, 8);
    world.create(node(2));
    let few = Scope {
        moves_max: 2,
        ..ALL
    };
    let found = plan(&world.state, &few, world.now);
    assert_eq!((found.moves.len(), found.more), (2, true));
    let found = outlook(&world);
    assert_eq!((found.moves.len(), found.more), (4, false));
}

#[test]
fn constraints_resources_ports_and_maxima_are_respected() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |s| {
        place(s, |p| p.constraints = vec!["node.hostname==host-1".into()]);
    }));
    world.create(replicated(2, |s| reserve(s, 2 * CPU, 0)));
    world.create(replicated(3, |s| place(s, |p| p.max_replicas = 3)));
    run(&mut world, 1, 4);
    run(&mut world, 2, 2);
    run(&mut world, 3, 3);
    world.create(node(2));
    world.create(replicated(4, |s| {
        reserve(s, 3 * CPU, 0);
        place(s, |p| p.constraints = vec!["node.hostname==host-2".into()]);
    }));
    run(&mut world, 4, 1);
    let own = Scope {
        overall: false,
        ..ALL
    };
    let moves = plan(&world.state, &own, world.now).moves;
    let services: Vec<_> = moves.iter().map(|m| m.service).collect();
    assert_eq!(
        services,
        [service_id(3)],
        "only what fits on the other node moves"
    );
}

#[test]
fn nodes_that_take_no_tasks_are_neither_left_nor_gone_to() {
    for availability in [Availability::Pause, Availability::Drain] {
        let mut world = World::with([node(1)]);
        world.create(replicated(1, |_| {}));
        run(&mut world, 1, 4);
        world.create(node(2));
        world.edit_node(2, |n| n.spec.availability = availability);
        assert_eq!(outlook(&world), Outlook::default());
        world.edit_node(2, |n| n.spec.availability = Availability::Active);
        world.edit_node(1, |n| n.spec.availability = availability);
        assert_eq!(outlook(&world), Outlook::default());
    }
}

#[test]
fn preferences_are_levelled_before_nodes() {
    let mut world = World::with([labelled(1, "zone", "a"), labelled(2, "zone", "a")]);
    world.create(replicated(1, |s| {
        place(s, |p| {
            p.preferences = vec![PlacementPreference::Spread {
                descriptor: "node.labels.zone".into(),
            }];
        });
    }));
    run(&mut world, 1, 4);
    world.create(labelled(3, "zone", "b"));
    let moves = outlook(&world).moves;
    assert_eq!(
        moves.len(),
        2,
        "two in each zone, though one node then has two"
    );
    let cause = Cause::Branch {
        from: ("a".into(), 4),
        to: ("b".into(), 0),
    };
    assert_eq!(moves[0].cause, cause);
    for found in &moves {
        carry_out(&mut world, found);
    }
    assert_eq!(outlook(&world), Outlook::default());
}

#[test]
fn services_that_are_not_spread_or_in_an_update_are_left_as_they_are() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |s| {
        s.options.strategy = Some(Strategy::Binpack)
    }));
    world.create(Service {
        update_status: Some(UpdateStatus {
            state: UpdateState::Paused,
            ..UpdateStatus::default()
        }),
        ..replicated(2, |_| {})
    });
    world.create(service(3, |s| s.mode = ServiceMode::Global));
    for n in 1..=3 {
        run(&mut world, n, 4);
    }
    world.create(node(2));
    let found = outlook(&world);
    assert_eq!(found.moves, []);
    let skipped = [
        (service_id(1), Skip::Strategy(Strategy::Binpack)),
        (service_id(2), Skip::Update),
        (service_id(3), Skip::Mode),
    ];
    assert_eq!(found.skipped, skipped);
}

#[test]
fn services_bound_by_affinities_are_left_as_they_are() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |_| {}));
    world.create(replicated(2, |s| {
        s.options.affinities = vec!["service==service-1".into()];
    }));
    world.create(replicated(3, |s| {
        s.options.affinities = vec!["image==~x".into()]
    }));
    for n in 1..=3 {
        run(&mut world, n, 4);
    }
    world.create(node(2));
    let found = outlook(&world);
    let bound = [1, 2].map(|n| (service_id(n), Skip::Affinity));
    assert_eq!(found.skipped, bound, "a wish for an image binds nobody");
    assert!(found.moves.iter().all(|m| m.service == service_id(3)));
}

#[test]
fn a_node_that_fulfils_more_wishes_is_moved_to() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |s| {
        place(s, |p| p.constraints = vec!["node.labels.disk==~ssd".into()]);
    }));
    run(&mut world, 1, 2);
    world.create(labelled(2, "disk", "ssd"));
    let moves = outlook(&world).moves;
    let cause = Cause::Wishes { from: 1, to: 0 };
    assert_eq!(
        moves.iter().map(|m| &m.cause).collect::<Vec<_>>(),
        [&cause, &cause]
    );
    for found in &moves {
        carry_out(&mut world, found);
    }
    assert_eq!(outlook(&world), Outlook::default());
}

#[test]
fn a_task_that_waits_for_a_node_counts_where_it_will_go() {
    let mut world = World::with([node(1)]);
    world.create(replicated(1, |_| {}));
    run(&mut world, 1, 3);
    world.create(node(2));
    world.pending(1, 1);
    let moves = outlook(&world).moves;
    assert_eq!(
        moves.len(),
        1,
        "the one that waits goes to the new node by itself"
    );
}

/// Services and the nodes that join them, chosen at random.
fn crowded(counts: &[(u64, bool, bool)], zones: &[u8], joined: u64) -> World {
    let zone = |n: u64| format!("z{}", zones[n as usize]);
    let mut world = World::with((1..=2).map(|n| labelled(n, "zone", &zone(n))));
    for (at, (count, spread, heavy)) in (1..).zip(counts) {
        world.create(replicated(at, |s| {
            if *heavy {
                reserve(s, CPU / 2, 0);
            }
            if *spread {
                place(s, |p| {
                    p.preferences = vec![PlacementPreference::Spread {
                        descriptor: "node.labels.zone".into(),
                    }];
                });
            }
        }));
        run(&mut world, at, *count);
    }
    for n in 3..3 + joined {
        world.create(labelled(n, "zone", &zone(n)));
    }
    // Those that found no room before take it now.
    world.settle();
    let tasks = world.state.tasks().iter();
    let placed = tasks.filter(|t| t.status.state == TaskState::Assigned);
    for id in placed.map(|t| t.id).collect::<Vec<_>>() {
        world.report(id, TaskState::Running);
    }
    world
}

fn running(world: &World) -> usize {
    let tasks = world.state.tasks().iter();
    tasks
        .filter(|t| t.status.state == TaskState::Running)
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn carried_out_one_by_one_moves_end_and_go_where_the_scheduler_puts_them(
        counts in prop::collection::vec((0u64..9, any::<bool>(), any::<bool>()), 1..5),
        joined in 1u64..4,
        zones in prop::collection::vec(0u8..3, 7),
    ) {
        let mut world = crowded(&counts, &zones, joined);
        let before = running(&world);
        let next = Scope { moves_max: 1, ..ALL };
        let mut made = 0;
        while let [found] = &plan(&world.state, &next, world.now).moves[..] {
            carry_out(&mut world, found);
            made += 1;
            prop_assert!(made <= 10 * before, "tasks are not moved to and fro");
        }
        prop_assert_eq!(running(&world), before);
        prop_assert_eq!(outlook(&world).moves, []);
    }

    #[test]
    fn a_second_plan_on_the_result_of_the_first_proposes_nothing(
        counts in prop::collection::vec((0u64..9, any::<bool>(), any::<bool>()), 1..5),
        joined in 1u64..4,
        zones in prop::collection::vec(0u8..3, 7),
    ) {
        let mut world = crowded(&counts, &zones, joined);
        let found = outlook(&world).moves;
        let tasks: BTreeSet<_> = found.iter().map(|m| m.task).collect();
        prop_assert_eq!(tasks.len(), found.len(), "each task moves once");
        let ids: Vec<_> = found.iter().map(|m| replace(&mut world, m)).collect();
        for (id, found) in ids.into_iter().zip(&found) {
            world.act([Action::Assign {
                task: id,
                node: found.to,
                generic: Vec::new(),
                volumes: Vec::new(),
            }]);
            world.report(id, TaskState::Running);
        }
        prop_assert_eq!(outlook(&world).moves, []);
    }
}
