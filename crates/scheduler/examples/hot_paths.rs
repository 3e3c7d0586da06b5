//! The scheduler's hot paths, each in a function of its own, so that a profiler can count what
//! each costs: `hot_paths NODES TASKS SHAPE`. A shape is one or more words joined by `-`: the
//! services that tasks belong to (`none`, `one`, `each` its own), how these rank nodes (`binpack`,
//! `random`), what they wish (`constraint`, `affinity`, `racks`; `wishes` is the first two), and
//! what happens in the end (`wake`: node events while all wait; `again`: tasks that are replaced).
//!
//! `cargo xtask callgrind` runs it and compares the counts with those on record. It measures no
//! time.

use std::sync::Arc;

use scheduler::Scheduler;
use store::{Action, Change, Commit, Draft, Image, ImageItem, LoadError, Plan, State};
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus};
use types::options::Strategy;
use types::task::{Placement, PlacementPreference};
use types::{
    Annotations, Availability, Node, NodeId, NodeSpec, NodeState, Resources, Service, ServiceId,
    ServiceSpec, Task, TaskId, TaskState, TaskStatus, Timestamp,
};

const CPU: i64 = 1_000_000_000;

/// Events of a shape that has some.
const EVENTS: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [nodes, tasks, shape] = args.as_slice() else {
        eprintln!("usage: hot_paths NODES TASKS SHAPE");
        std::process::exit(2);
    };
    let numbers = nodes.parse().ok().zip(tasks.parse().ok());
    let placed = numbers.and_then(|(nodes, tasks)| run(nodes, tasks, shape).ok());
    match placed {
        Some(placed) => println!("placed {placed}"),
        None => {
            eprintln!("hot_paths: two numbers and a shape are wanted");
            std::process::exit(2);
        }
    }
}

fn says(shape: &str, word: &str) -> bool {
    shape.split('-').any(|w| w == word)
}

/// Places everything; how many tasks have a node then.
fn run(nodes: u64, tasks: u64, shape: &str) -> Result<usize, LoadError> {
    let mut state = cluster(nodes, tasks, shape)?;
    let now = Timestamp::from_secs(1_000_000);
    let mut scheduler = path_index(&state, now);
    loop {
        let plan = path_plan(&mut scheduler, &state, now);
        let again = plan.wake_at == Some(now);
        let (next, commit) = path_apply(&state, plan, now);
        state = next;
        path_observe(&mut scheduler, &commit);
        if !again {
            break;
        }
    }
    if says(shape, "wake") {
        state = flap(state, &mut scheduler);
    }
    if says(shape, "again") {
        state = replace(state, &mut scheduler);
    }
    Ok(state.tasks().count(TaskState::Assigned))
}

#[inline(never)]
fn path_index(state: &State, now: Timestamp) -> Scheduler {
    Scheduler::new(state, now)
}

#[inline(never)]
fn path_plan(scheduler: &mut Scheduler, state: &State, now: Timestamp) -> Plan {
    scheduler.plan(state, now, &mut SeededEntropy::new(1))
}

#[inline(never)]
fn path_apply(state: &State, plan: Plan, now: Timestamp) -> (State, Commit) {
    let mut draft = Draft::new(state, now);
    for step in plan.steps {
        // What does not fit would be dropped; the number of placed tasks shows it.
        let _ = draft.add(step);
    }
    let (_, commit, next) = draft.finish();
    (next, commit)
}

#[inline(never)]
fn path_observe(scheduler: &mut Scheduler, commit: &Commit) {
    commit.changes.iter().for_each(|c| scheduler.observe(c));
}

/// What one event costs: a node that changes while many tasks wait for room that no node has, or a
/// task that is replaced.
#[inline(never)]
fn path_event(
    scheduler: &mut Scheduler,
    state: &State,
    changes: &[Change],
    now: Timestamp,
) -> Plan {
    changes.iter().for_each(|c| scheduler.observe(c));
    scheduler.plan(state, now, &mut SeededEntropy::new(1))
}

/// Has tasks die one after the other, each replaced by an equal one.
fn replace(mut state: State, scheduler: &mut Scheduler) -> State {
    let now = Timestamp::from_secs(1_000_001);
    let mut entropy = SeededEntropy::new(9);
    let victims: Vec<Arc<Task>> = state.tasks().iter().take(EVENTS).cloned().collect();
    for victim in victims {
        let status = TaskStatus {
            state: TaskState::Complete,
            ..victim.status.clone()
        };
        let next = Task {
            node_id: None,
            status: TaskStatus {
                state: TaskState::Pending,
                ..TaskStatus::default()
            },
            ..Task::new(TaskId::random(&mut entropy), victim.service_spec.clone())
        };
        let next = Task {
            service_id: victim.service_id,
            spec_version: victim.spec_version,
            slot: victim.slot,
            ..next
        };
        let end = Action::Report {
            task: victim.id,
            status: Box::new(status),
        };
        let step = store::Step::together([end, Action::Create(next.into())]);
        let mut draft = Draft::new(&state, now);
        let _ = draft.add(step);
        let (_, commit, next) = draft.finish();
        let plan = path_event(scheduler, &next, &commit.changes, now);
        let (next, commit) = path_apply(&next, plan, now);
        path_observe(scheduler, &commit);
        state = next;
    }
    state
}

fn flap(mut state: State, scheduler: &mut Scheduler) -> State {
    let now = Timestamp::from_secs(1_000_001);
    let ids: Vec<NodeId> = state.nodes().iter().map(|n| n.id).collect();
    for id in ids.iter().take(EVENTS) {
        let Some(node) = state.nodes().get(*id) else {
            continue;
        };
        let mut node = Node::clone(node);
        node.spec.availability = Availability::Pause;
        let mut draft = Draft::new(&state, now);
        let _ = draft.add(store::Step::unguarded(Action::Update(node.into())));
        let (_, commit, next) = draft.finish();
        state = next;
        path_event(scheduler, &state, &commit.changes, now);
    }
    state
}

fn cluster(nodes: u64, tasks: u64, shape: &str) -> Result<State, LoadError> {
    let mut entropy = SeededEntropy::new(7);
    let mut image = Image::new();
    for n in 0..nodes {
        let node = node(NodeId::random(&mut entropy), n);
        image.add(ImageItem::Object(node.into()))?;
    }
    let mut shared: Option<Arc<Service>> = None;
    for n in 0..tasks {
        if says(shape, "each") || (!says(shape, "none") && shared.is_none()) {
            let made = Arc::new(service(ServiceId::random(&mut entropy), n, shape));
            image.add(ImageItem::Object(store::Object::Service(made.clone())))?;
            shared = Some(made);
        }
        let task = task(TaskId::random(&mut entropy), n, shared.as_deref());
        image.add(ImageItem::Object(task.into()))?;
    }
    Ok(image.finish(1))
}

fn node(id: NodeId, n: u64) -> Node {
    let mut spec = NodeSpec::default();
    let labels = &mut spec.annotations.labels;
    labels.insert("rack".into(), (n % 10).to_string());
    let description = NodeDescription {
        hostname: format!("node-{n}"),
        resources: Resources {
            nano_cpus: 1_000 * CPU,
            memory_bytes: 1 << 40,
            generic: Vec::new(),
        },
        ..NodeDescription::default()
    };
    Node {
        description: Some(Arc::new(description)),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        ..Node::new(id, spec)
    }
}

fn service(id: ServiceId, n: u64, shape: &str) -> Service {
    let mut spec = ServiceSpec {
        annotations: Annotations::named(format!("service-{n}")),
        ..ServiceSpec::default()
    };
    let ranking = [("binpack", Strategy::Binpack), ("random", Strategy::Random)];
    let ranking = ranking.into_iter().find(|(word, _)| says(shape, word));
    spec.options.strategy = ranking.map(|(_, strategy)| strategy);
    let cpus = match ranking {
        _ if says(shape, "wake") => 2_000,
        Some(_) => 1,
        None => 0,
    };
    spec.task.resources.reservations = Some(Resources {
        nano_cpus: cpus * CPU,
        ..Resources::default()
    });
    let both = says(shape, "wishes");
    if both || says(shape, "affinity") {
        spec.options.affinities = vec!["service!=~service-0".into()];
    }
    let mut placement = Placement::default();
    if both || says(shape, "constraint") {
        placement.constraints = vec!["node.labels.rack!=~/^[0-4]$/".into()];
    }
    if says(shape, "racks") {
        placement.preferences = vec![PlacementPreference::Spread {
            descriptor: "node.labels.rack".into(),
        }];
    }
    spec.task.placement = Some(placement);
    Service::new(id, spec)
}

/// A PENDING task; without a service it has a spec of its own, as in SwarmKit's benchmark.
fn task(id: TaskId, n: u64, service: Option<&Service>) -> Task {
    let own_spec = || {
        Arc::new(ServiceSpec {
            annotations: Annotations::named(format!("name{n}")),
            ..ServiceSpec::default()
        })
    };
    Task {
        spec_version: service.map(|s| s.spec_version),
        service_id: service.map(|s| s.id),
        slot: n + 1,
        status: TaskStatus {
            state: TaskState::Pending,
            ..TaskStatus::default()
        },
        ..Task::new(id, service.map_or_else(own_spec, |s| s.spec.clone()))
    }
}
