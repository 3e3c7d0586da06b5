//! Urgent tasks displace others, and only where that helps.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use store::{Action, Draft};
use types::{Availability, ClusterSpec, ServiceMode, ServiceSpec, TaskId, TaskState};

use crate::preempt::WAITS;
use crate::testing::*;
use crate::{Scheduler, explain, simulate};

fn preempting(nodes: u64) -> World {
    let mut world = World::with((1..=nodes).map(node));
    let mut spec = ClusterSpec::default();
    spec.options.preemption = true;
    world.create(cluster(spec));
    world
}

/// A service of a priority whose tasks reserve so many CPUs.
fn of_priority(world: &mut World, n: u64, priority: u8, cpus: i64) {
    world.create(service(n, |s: &mut ServiceSpec| {
        reserve(s, cpus * CPU, 0);
        s.options.priority = priority;
    }));
}

/// Tasks of a service, placed, each younger than the one before.
fn running(world: &mut World, service: u64, count: u64) -> Vec<TaskId> {
    let one = |world: &mut World| {
        world.now = world.now.plus(Duration::from_secs(1));
        let task = world.pending(service, 1)[0];
        world.settle();
        assert!(world.node_of(task).is_some());
        task
    };
    (0..count).map(|_| one(world)).collect()
}

fn displaced(world: &World) -> BTreeSet<TaskId> {
    let tasks = world.state.tasks().iter();
    tasks
        .filter(|t| t.desired_state == TaskState::Shutdown)
        .map(|t| t.id)
        .collect()
}

#[test]
fn the_youngest_task_of_the_lowest_priority_makes_room_and_says_for_whom() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 10, 1);
    of_priority(&mut world, 2, 0, 1);
    of_priority(&mut world, 3, 70, 1);
    let middle = running(&mut world, 1, 2);
    let low = running(&mut world, 2, 2);
    let urgent = world.pending(3, 1)[0];
    world.settle();
    assert_eq!(displaced(&world), [low[1]].into());
    assert_eq!(
        world.err(low[1]),
        format!("displaced by task {urgent} of service service-3 (priority 70 over 0)")
    );
    assert_eq!(world.node_of(urgent), None, "the room is not there yet");
    assert_eq!(world.err(urgent), WAITS);
    world.report(low[1], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(urgent), Some(1));
    assert_eq!(world.err(urgent), "");
    assert!(middle.iter().all(|t| world.node_of(*t).is_some()));
}

#[test]
fn explain_knows_for_whom_room_is_made_and_that_it_is_not_free_for_others() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 3);
    of_priority(&mut world, 2, 70, 4);
    of_priority(&mut world, 3, 0, 1);
    let low = running(&mut world, 1, 1)[0];
    let urgent = world.pending(2, 1)[0];
    world.settle();
    let small = world.pending(3, 1)[0];
    world.settle();
    assert_eq!(world.node_of(small), None, "one CPU is free but promised");
    let of = |world: &World, id| explain::task(&world.state, id, world.now).unwrap();
    let seen = of(&world, small);
    assert_eq!((seen.suitable, seen.coming.len()), (0, 0));
    assert_eq!(seen.reason(), world.err(small));
    let coming = of(&world, urgent).coming;
    assert_eq!((coming.len(), &coming[0].ending[..]), (1, &[low][..]));
    assert_eq!(coming[0].hostname, "host-1");
    world.report(low, TaskState::Shutdown);
    assert!(of(&world, urgent).coming.is_empty());
    world.settle();
    assert_eq!(world.node_of(urgent), Some(1));
}

#[test]
fn nothing_is_displaced_unless_the_cluster_says_so_and_then_at_once() {
    let mut world = World::with([node(1)]);
    world.create(cluster(ClusterSpec::default()));
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 100, 4);
    let low = running(&mut world, 1, 1);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    assert!(displaced(&world).is_empty());
    assert_eq!(
        world.err(urgent),
        "no suitable node (insufficient resources on 1 node)"
    );
    let mut on = types::Cluster::clone(world.state.cluster().unwrap());
    on.spec.options.preemption = true;
    world.act([Action::Update(on.into())]);
    world.settle();
    assert_eq!(displaced(&world), low.into_iter().collect());
}

#[test]
fn equal_and_higher_priorities_and_services_with_a_task_per_node_stay() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 70, 2);
    world.create(service(2, |s| {
        s.mode = ServiceMode::Global;
        reserve(s, 2 * CPU, 0);
    }));
    of_priority(&mut world, 3, 70, 2);
    running(&mut world, 1, 1);
    world.pending_on(2, Some(node_id(1)));
    world.settle();
    let urgent = world.pending(3, 1)[0];
    world.settle();
    assert!(displaced(&world).is_empty());
    assert_eq!(world.node_of(urgent), None);
}

#[test]
fn two_of_lower_priority_go_rather_than_one_of_equal_priority() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 70, 2);
    of_priority(&mut world, 2, 0, 1);
    of_priority(&mut world, 3, 70, 2);
    running(&mut world, 1, 1);
    let low = running(&mut world, 2, 2);
    world.pending(3, 1);
    world.settle();
    assert_eq!(displaced(&world), low.into_iter().collect());
}

#[test]
fn nobody_goes_where_it_would_not_help() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 1);
    of_priority(&mut world, 2, 90, 2);
    of_priority(&mut world, 3, 70, 3);
    running(&mut world, 1, 2);
    running(&mut world, 2, 1);
    let urgent = world.pending(3, 1)[0];
    world.settle();
    assert!(
        displaced(&world).is_empty(),
        "2 of 4 CPUs could be had, not 3"
    );
    assert_eq!(
        world.err(urgent),
        "no suitable node (insufficient resources on 1 node)"
    );
}

#[test]
fn one_victim_is_better_than_two_and_a_lower_priority_better_than_a_higher() {
    let mut world = preempting(3);
    for (n, host, priority, cpus) in [(1, 1, 0, 2), (2, 2, 20, 4), (3, 3, 10, 4)] {
        world.create(service(n, |s| {
            reserve(s, cpus * CPU, 0);
            s.options.priority = priority;
            place(s, |p| {
                p.constraints = vec![format!("node.hostname==host-{host}")]
            });
        }));
    }
    running(&mut world, 1, 2);
    running(&mut world, 2, 1);
    let best = running(&mut world, 3, 1);
    of_priority(&mut world, 4, 70, 4);
    world.pending(4, 1);
    world.settle();
    assert_eq!(displaced(&world), best.into_iter().collect());
}

#[test]
fn only_as_many_go_as_are_needed() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 1);
    of_priority(&mut world, 2, 10, 3);
    of_priority(&mut world, 3, 70, 3);
    running(&mut world, 1, 1);
    let large = running(&mut world, 2, 1);
    world.pending(3, 1);
    world.settle();
    assert_eq!(
        displaced(&world),
        large.into_iter().collect(),
        "the small one of lower priority would not do and need not go"
    );
}

#[test]
fn a_port_is_given_up_like_any_other_resource() {
    let mut world = preempting(1);
    world.create(service(1, |s| publish(s, 80)));
    world.create(service(2, |s| {
        publish(s, 80);
        s.options.priority = 1;
    }));
    let low = running(&mut world, 1, 1);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    assert_eq!(displaced(&world), low.iter().copied().collect());
    world.report(low[0], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(urgent), Some(1));
}

#[test]
fn promised_room_is_not_taken_by_smaller_tasks_meanwhile() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 2);
    of_priority(&mut world, 2, 70, 4);
    of_priority(&mut world, 3, 0, 1);
    let low = running(&mut world, 1, 2);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    assert_eq!(displaced(&world).len(), 2);
    world.report(low[0], TaskState::Shutdown);
    let small = world.pending(3, 2);
    world.settle();
    assert!(small.iter().all(|t| world.node_of(*t).is_none()));
    world.report(low[1], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(urgent), Some(1));
}

#[test]
fn a_new_leader_finds_the_room_that_is_coming_and_displaces_nobody_else() {
    let mut world = preempting(2);
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 70, 4);
    running(&mut world, 1, 2);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    assert_eq!(displaced(&world).len(), 1);
    world.scheduler = Scheduler::new(&world.state, world.now);
    let plan = world.plan();
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    let gone = displaced(&world);
    gone.iter()
        .for_each(|t| world.report(*t, TaskState::Shutdown));
    world.settle();
    assert!(world.node_of(urgent).is_some());
}

#[test]
fn a_step_that_was_dropped_is_made_again() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 70, 4);
    let low = running(&mut world, 1, 1);
    world.pending(2, 1);
    // Made and never applied: its ground moved.
    assert!(!world.plan().steps.is_empty());
    world.report(low[0], TaskState::Running);
    world.settle();
    assert_eq!(displaced(&world), low.into_iter().collect());
}

#[test]
fn nobody_goes_for_a_node_that_takes_no_more_tasks_by_then() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 70, 4);
    running(&mut world, 1, 1);
    world.pending(2, 1);
    let plan = world.plan();
    world.edit_node(1, |n| n.spec.availability = Availability::Pause);
    let mut draft = Draft::new(&world.state, world.now);
    let dropped: Vec<_> = plan
        .steps
        .into_iter()
        .map(|s| draft.add(s).is_err())
        .collect();
    assert_eq!(
        dropped,
        [true, false],
        "only the text of the urgent task is kept"
    );
    world.settle();
    assert!(displaced(&world).is_empty());
    world.edit_node(1, |n| n.spec.availability = Availability::Active);
    world.settle();
    assert_eq!(displaced(&world).len(), 1);
}

#[test]
fn what_an_urgent_task_has_an_affinity_to_stays() {
    let mut world = preempting(2);
    of_priority(&mut world, 1, 0, 4);
    running(&mut world, 1, 2);
    world.create(service(2, |s| {
        reserve(s, CPU, 0);
        s.options.priority = 70;
        s.options.affinities = vec!["service==service-1".into()];
    }));
    world.pending(2, 1);
    world.settle();
    assert!(displaced(&world).is_empty());
}

#[test]
fn a_rehearsal_names_the_tasks_that_would_be_displaced() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 4);
    let low = running(&mut world, 1, 1);
    let urgent = service(2, |s| {
        reserve(s, CPU, 0);
        s.options.priority = 1;
    });
    let simulation = simulate(&world.state, &urgent.spec, world.now);
    assert_eq!(simulation.displaced, low);
    assert_eq!(simulation.outcomes[0].reason, WAITS);
    assert!(displaced(&world).is_empty());
}

/// What services 1 to 4 are, by number: priority and CPUs.
const SERVICES: [(u8, i64); 4] = [(0, 1), (10, 2), (50, 1), (90, 3)];

/// Ends what was told to stop, and makes a successor for each task that ended, as agents and the
/// orchestrator do.
fn react(world: &mut World) {
    for task in displaced(world) {
        let state = world.task(task).status.state;
        if !state.is_terminal() {
            let service = world.task(task).service_id.unwrap();
            world.report(task, TaskState::Shutdown);
            let n = u64::try_from(service.get() - (1 << 127)).unwrap();
            world.pending(n, 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn displacing_ends_with_the_urgent_placed_before_the_others(
        nodes in 1u64..4,
        waves in prop::collection::vec((0usize..4, 1u64..4), 1..12),
    ) {
        let mut world = preempting(nodes);
        for (n, (priority, cpus)) in (1..).zip(SERVICES) {
            of_priority(&mut world, n, priority, cpus);
        }
        for (service, count) in waves {
            world.now = world.now.plus(Duration::from_secs(1));
            world.pending(service as u64 + 1, count);
            world.settle();
            react(&mut world);
        }
        let mut before = usize::MAX;
        for _ in 0..40 {
            world.settle();
            before = displaced(&world).len();
            react(&mut world);
            if displaced(&world).len() == before
                && displaced(&world).iter().all(|t| world.task(*t).status.state.is_terminal())
                && world.plan().steps.is_empty()
            {
                break;
            }
        }
        world.settle();
        prop_assert_eq!(displaced(&world).len(), before, "it goes on and on");
        world.plan();
        let wake_at = world.plan().wake_at;
        prop_assert!(wake_at.is_none_or(|at| at > world.now), "asks to be woken for nothing");
        // Nothing of lower priority runs on a node where its end would let a waiting one in.
        for waiting in world.state.tasks().unplaced() {
            let urgent = waiting.service_spec.options.priority;
            let wanted = waiting.spec().reservations().unwrap().nano_cpus;
            for n in 1..=nodes {
                let there = world.state.tasks().on_node(node_id(n));
                let held = there.filter(|t| {
                    t.is_active() && t.service_spec.options.priority >= urgent
                });
                let held: i64 = held.map(|t| t.spec().reservations().unwrap().nano_cpus).sum();
                prop_assert!(4 * CPU - held < wanted, "node {} has room for {}", n, waiting.id);
            }
        }
    }
}

/// What tells a task to stop is one step, what counts on its room another: the first was dropped.
#[test]
fn who_counted_on_room_that_others_were_to_make_makes_it_when_those_do_not() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 1);
    of_priority(&mut world, 2, 0, 3);
    of_priority(&mut world, 3, 70, 2);
    of_priority(&mut world, 4, 60, 2);
    let slow = running(&mut world, 1, 1)[0];
    let low = running(&mut world, 2, 1)[0];
    world.desire(slow, TaskState::Shutdown);
    let first = world.pending(3, 1)[0];
    world.pending(4, 1);
    let plan = world.plan();
    let told = |a: &Action| matches!(a, Action::Desire { task, .. } if *task == low);
    assert!(plan.steps.iter().flat_map(|s| &s.actions).any(told));
    world.desire(first, TaskState::Shutdown);
    world.settle();
    assert_eq!(displaced(&world), [slow, first, low].into());
}

#[test]
fn room_that_was_promised_is_free_again_when_nobody_waits_for_it() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 3);
    of_priority(&mut world, 2, 70, 4);
    of_priority(&mut world, 3, 0, 1);
    running(&mut world, 1, 1);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    let small = world.pending(3, 1)[0];
    world.settle();
    assert_eq!(world.node_of(small), None);
    world.desire(urgent, TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(small), Some(1));
}

#[test]
fn promised_room_that_never_comes_is_free_for_what_fits_there() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 70, 4);
    of_priority(&mut world, 3, 0, 1);
    let low = running(&mut world, 1, 1);
    let urgent = world.pending(2, 1)[0];
    world.settle();
    let small = world.pending(3, 1)[0];
    world.settle();
    world.edit_node(1, |n| {
        let described = std::sync::Arc::make_mut(n.description.as_mut().unwrap());
        described.resources.nano_cpus = 2 * CPU;
    });
    world.settle();
    world.report(low[0], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(urgent), None);
    assert_eq!(world.node_of(small), Some(1));
}

#[test]
fn promised_room_that_is_there_goes_to_a_more_urgent_task_that_asks_the_same() {
    let mut world = preempting(1);
    of_priority(&mut world, 1, 0, 4);
    of_priority(&mut world, 2, 70, 4);
    of_priority(&mut world, 3, 90, 4);
    let low = running(&mut world, 1, 1);
    world.pending(2, 1);
    world.settle();
    let most_urgent = world.pending(3, 1)[0];
    world.settle();
    world.report(low[0], TaskState::Shutdown);
    world.settle();
    assert_eq!(world.node_of(most_urgent), Some(1));
}
