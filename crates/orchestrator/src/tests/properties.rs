//! What holds for every mode whatever happens: checked after every transaction by the cluster
//! itself (tasks per slot) and here (updates, bounds, convergence, idempotence).

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use types::service::{UpdateConfig, UpdateOrder, UpdateState};
use types::task::RestartCondition;
use types::{Availability, NodeState, ServiceMode, SlotKey, TaskState, Timestamp};

use super::cluster::{Behaviour, Cluster, restart, set_image, spec, update_config};

const NODES: usize = 4;

#[derive(Debug, Clone)]
enum Event {
    Fail(usize),
    Down(usize),
    Up(usize),
    Drain(usize),
    Pause(usize),
    Activate(usize),
    Update(u8),
    Scale(u64),
    Behave(Behaviour),
    LeaderChange,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..20usize).prop_map(Event::Fail),
        1 => (0..NODES).prop_map(Event::Down),
        2 => (0..NODES).prop_map(Event::Up),
        1 => (0..NODES).prop_map(Event::Drain),
        1 => (0..NODES).prop_map(Event::Pause),
        2 => (0..NODES).prop_map(Event::Activate),
        2 => (0..4u8).prop_map(Event::Update),
        1 => (0..8u64).prop_map(Event::Scale),
        2 => behaviour().prop_map(Event::Behave),
        3 => Just(Event::LeaderChange),
        4 => (1..8_000u64).prop_map(Event::Wait),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        3 => Just(Behaviour::Runs),
        2 => Just(Behaviour::Slow),
        1 => Just(Behaviour::Crashes),
        1 => Just(Behaviour::Missing),
        1 => Just(Behaviour::Completes),
    ]
}

const IMAGES: [&str; 5] = ["v0", "v1", "v2", "v3", "v9"];

fn behave(c: &mut Cluster, behaviour: Behaviour) {
    for image in IMAGES {
        c.images.insert(image.to_owned(), behaviour);
    }
}

fn mode() -> impl Strategy<Value = ServiceMode> {
    prop_oneof![
        4 => (1..7u64).prop_map(|replicas| ServiceMode::Replicated { replicas }),
        2 => Just(ServiceMode::Global),
        1 => (1..4u64, 1..7u64).prop_map(|(max_concurrent, total_completions)| {
            ServiceMode::ReplicatedJob { max_concurrent, total_completions }
        }),
        1 => Just(ServiceMode::GlobalJob),
    ]
}

fn update() -> impl Strategy<Value = UpdateConfig> {
    (1..4u64, any::<bool>()).prop_map(|(parallelism, start_first)| UpdateConfig {
        order: if start_first {
            UpdateOrder::StartFirst
        } else {
            UpdateOrder::StopFirst
        },
        ..update_config(parallelism).unwrap()
    })
}

fn happen(c: &mut Cluster, event: &Event) {
    match event {
        Event::Fail(n) => {
            let running = c.in_state(TaskState::Running);
            if let Some(task) = running.get(n % running.len().max(1)).map(|t| t.id) {
                c.fail(task);
            }
        }
        Event::Down(n) => c.set_node_state(*n, NodeState::Down),
        Event::Up(n) => c.set_node_state(*n, NodeState::Ready),
        Event::Drain(n) => c.set_availability(*n, Availability::Drain),
        Event::Pause(n) => c.set_availability(*n, Availability::Pause),
        Event::Activate(n) => c.set_availability(*n, Availability::Active),
        Event::Update(n) => c.update(|s| set_image(s, &format!("v{n}"))),
        Event::Scale(n) => {
            if let ServiceMode::Replicated { .. } = c.get().spec.mode {
                c.update(|s| s.mode = ServiceMode::Replicated { replicas: *n });
            }
        }
        Event::Behave(behaviour) => behave(c, *behaviour),
        Event::LeaderChange => c.change_leader(),
        Event::Wait(ms) => c.run(Duration::from_millis(*ms)),
    }
    c.settle();
    c.check_concurrency();
}

fn heal(c: &mut Cluster) {
    for n in 0..NODES {
        c.set_node_state(n, NodeState::Ready);
        c.set_availability(n, Availability::Active);
    }
    let is_job = c.get().spec.mode.is_job();
    behave(
        c,
        if is_job {
            Behaviour::Completes
        } else {
            Behaviour::Runs
        },
    );
    // What an update paused for may be long over: the user asks again.
    if matches!(c.update_state(), UpdateState::Paused) {
        c.update(|_| {});
    }
    c.run(Duration::from_secs(300));
}

fn wanted(c: &Cluster) -> usize {
    match c.get().spec.mode {
        ServiceMode::Replicated { replicas } => replicas as usize,
        ServiceMode::ReplicatedJob {
            total_completions, ..
        } => total_completions as usize,
        ServiceMode::Global | ServiceMode::GlobalJob => c.nodes.len(),
    }
}

fn check_converged(c: &mut Cluster, history: i64) {
    let runtime = c.get().spec.task.runtime.clone();
    if c.get().spec.mode.is_job() {
        let run = c.get().job_status.unwrap().iteration;
        let mut done: BTreeMap<SlotKey, usize> = BTreeMap::new();
        for task in c.in_state(TaskState::Complete) {
            if task.job_iteration == Some(run) {
                *done.entry(SlotKey::of(task)).or_default() += 1;
            }
        }
        assert_eq!(done.len(), wanted(c));
        assert!(
            done.values().all(|n| *n == 1),
            "completions are exact: {done:?}"
        );
    } else {
        assert_eq!(c.images_running().len(), wanted(c));
        let current = c.running().iter().all(|t| t.spec().runtime == runtime);
        assert!(current, "{:?} {}", c.update_state(), c.update_message());
        assert!(!matches!(
            c.update_state(),
            UpdateState::Updating | UpdateState::RollbackStarted
        ));
    }
    let mut records: BTreeMap<SlotKey, usize> = BTreeMap::new();
    for task in c.tasks() {
        *records.entry(SlotKey::of(task)).or_default() += 1;
    }
    // The newest record stays, and so does the task that runs, if that is another one.
    let most = usize::try_from(history).map_or(usize::MAX, |limit| limit.max(2));
    let bounded = records.values().all(|n| *n <= most);
    assert!(bounded, "history is bounded: {records:?}");
}

/// When tasks were made, by slot.
fn by_slot(c: &Cluster) -> BTreeMap<SlotKey, Vec<Timestamp>> {
    let mut slots: BTreeMap<_, Vec<Timestamp>> = BTreeMap::new();
    for (at, slot, _) in &c.created {
        slots.entry(*slot).or_default().push(*at);
    }
    slots
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_slots_are_safe_and_the_service_converges(
        mode in mode(),
        config in update(),
        history in -1..6i64,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut spec = spec(mode);
        spec.update = (!mode.is_job()).then_some(config);
        spec.rollback = spec.update;
        spec.task.restart = restart(RestartCondition::Any, 0);
        let mut c = Cluster::new(NODES, spec);
        c.set_history(history);
        c.settle();
        for event in &events {
            happen(&mut c, event);
        }
        heal(&mut c);
        check_converged(&mut c, history);
        prop_assert!(c.plan().steps.is_empty(), "planning on the planned state proposes nothing");
        c.change_leader();
        prop_assert!(c.plan().steps.is_empty(), "nor does a new leader");
    }

    #[test]
    fn one_update_never_has_more_slots_in_flight_than_its_parallelism(
        config in update(),
        global in any::<bool>(),
        history in 0..6i64,
        events in prop::collection::vec(event(), 1..30),
    ) {
        let replicated = ServiceMode::Replicated { replicas: 6 };
        let mode = if global { ServiceMode::Global } else { replicated };
        let mut spec = spec(mode);
        spec.update = Some(config);
        let mut c = Cluster::new(NODES, spec);
        c.set_history(history);
        c.settle();
        c.update(|s| set_image(s, "v9"));
        for event in events.iter().filter(|e| !matches!(e, Event::Update(_) | Event::Scale(_))) {
            happen(&mut c, event);
        }
        prop_assert!(c.slots_in_flight_max <= config.parallelism as usize);
    }

    #[test]
    fn attempts_never_exceed_the_maximum(
        mode in mode(),
        max in 1..4u64,
        window in prop::option::of(3..20u64),
        history in 0..6i64,
        leader_changes in prop::collection::vec(1..3_000u64, 1..20),
    ) {
        let mut spec = spec(mode);
        let window = window.map(Duration::from_secs);
        spec.task.restart = restart(RestartCondition::Any, max);
        spec.task.restart.iter_mut().for_each(|r| r.window = window);
        let mut c = Cluster::new(2, spec);
        c.set_history(history);
        c.images.insert("v1".to_owned(), Behaviour::Crashes);
        for wait in leader_changes {
            c.run(Duration::from_millis(wait));
            c.change_leader();
        }
        c.run(Duration::from_secs(60));
        let slots = by_slot(&c);
        prop_assert!(slots.len() <= wanted(&c));
        for (slot, times) in slots {
            // The first task of a slot is no restart.
            let restarts = &times[1..];
            match window {
                None => prop_assert_eq!(restarts.len() as u64, max, "{:?}", slot),
                Some(window) => for around in restarts.windows(max as usize + 1) {
                    let took = around[max as usize].since(around[0]);
                    prop_assert!(took >= window, "{:?}: {:?}", slot, restarts);
                },
            }
        }
    }
}
