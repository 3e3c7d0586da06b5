//! The orchestrator's hot paths, each in a function of its own, so that a profiler can count what
//! each costs: `slot_paths SLOTS EVENTS start|death|update`.
//!
//! `cargo xtask callgrind` runs it and compares the counts with those on record. It measures no
//! time.

use std::sync::Arc;

use orchestrator::Orchestrator;
use store::{Action, Change, Commit, Draft, Image, ImageItem, LoadError, Plan, State, Step};
use types::entropy::SeededEntropy;
use types::{
    Annotations, Node, NodeId, NodeSpec, NodeState, Service, ServiceId, ServiceMode, ServiceSpec,
    Task, TaskId, TaskState, TaskStatus, Timestamp,
};

/// Nodes that the tasks run on.
const NODES: usize = 1_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [slots, events, shape] => slots
            .parse()
            .ok()
            .zip(events.parse().ok())
            .and_then(|(slots, events)| run(slots, events, shape).ok()),
        _ => None,
    };
    match done {
        Some(steps) => println!("planned {steps} steps"),
        None => {
            eprintln!("usage: slot_paths SLOTS EVENTS start|death|update");
            std::process::exit(2);
        }
    }
}

/// A cluster with the stage that follows it.
struct World {
    state: State,
    stage: Orchestrator,
    now: Timestamp,
    entropy: SeededEntropy,
    steps: usize,
}

/// Has so many things happen to a service of so many slots; how many steps were planned.
fn run(slots: u64, events: u64, shape: &str) -> Result<usize, LoadError> {
    let now = Timestamp::from_secs(1_000_000);
    let (state, service) = cluster(slots)?;
    let stage = path_start(&state, now);
    let mut world = World {
        state,
        stage,
        now,
        entropy: SeededEntropy::new(1),
        steps: 0,
    };
    let victims: Vec<TaskId> = world.state.tasks().iter().map(|t| t.id).collect();
    let mut carried = Vec::new();
    if shape == "update" {
        let changed = world.apply(vec![redeclare(&service)]);
        carried = changed.changes;
    }
    let mut victims = victims.into_iter();
    for _ in 0..events {
        let plan = match shape {
            "death" => {
                let report = victims
                    .next()
                    .and_then(|v| world.reported(v, TaskState::Failed));
                let death = world.apply(report.into_iter().collect());
                carried.extend(death.changes);
                path_death(&mut world, &carried)
            }
            "update" => path_update(&mut world, &carried),
            _ => break,
        };
        carried = world.apply(plan.steps).changes;
        let answers = world.answers(&carried);
        carried.extend(world.apply(answers).changes);
    }
    Ok(world.steps)
}

/// Changes the service so that every task is replaced.
fn redeclare(service: &Service) -> Step {
    let mut changed = service.clone();
    let mut spec = ServiceSpec::clone(&changed.spec);
    spec.task.force_update += 1;
    changed.previous_spec = Some(changed.spec.clone());
    changed.spec = Arc::new(spec);
    changed.spec_version += 1;
    Step::unguarded(Action::Update(changed.into()))
}

/// A new leader's first look.
#[inline(never)]
fn path_start(state: &State, now: Timestamp) -> Orchestrator {
    let mut stage = Orchestrator::new(state, now);
    stage.plan(state, now, &mut SeededEntropy::new(1));
    stage
}

/// What is done about a task that died.
#[inline(never)]
fn path_death(world: &mut World, changes: &[Change]) -> Plan {
    world.follow(changes)
}

/// One step of a rolling update.
#[inline(never)]
fn path_update(world: &mut World, changes: &[Change]) -> Plan {
    world.follow(changes)
}

impl World {
    fn follow(&mut self, changes: &[Change]) -> Plan {
        changes.iter().for_each(|c| self.stage.observe(c));
        let plan = self.stage.plan(&self.state, self.now, &mut self.entropy);
        self.steps += plan.steps.len();
        plan
    }

    fn apply(&mut self, steps: Vec<Step>) -> Commit {
        self.now = self.now.plus(std::time::Duration::from_secs(1));
        let mut draft = Draft::new(&self.state, self.now);
        for step in steps {
            // What does not fit would be dropped; the number of steps shows it.
            let _ = draft.add(step);
        }
        let (_, commit, next) = draft.finish();
        self.state = next;
        commit
    }

    /// What agents report of the tasks that changed: those that shall run do, the others end.
    fn answers(&self, changes: &[Change]) -> Vec<Step> {
        let changed = changes.iter().filter_map(|change| match change {
            Change::Task(diff) => diff.new.as_ref(),
            _ => None,
        });
        changed
            .filter(|task| task.status.state <= TaskState::Running)
            .filter_map(|task| match task.desired_state {
                wanted if wanted > TaskState::Running => {
                    self.reported(task.id, TaskState::Shutdown)
                }
                wanted if wanted > task.status.state => self.reported(task.id, wanted),
                _ => None,
            })
            .collect()
    }

    fn reported(&self, task: TaskId, state: TaskState) -> Option<Step> {
        let status = TaskStatus {
            state,
            timestamp: self.now,
            applied_at: self.now,
            ..self.state.tasks().get(task)?.status.clone()
        };
        Some(Step::unguarded(Action::Report {
            task,
            status: Box::new(status),
        }))
    }
}

/// One service whose tasks all run.
fn cluster(slots: u64) -> Result<(State, Service), LoadError> {
    let mut entropy = SeededEntropy::new(7);
    let mut image = Image::new();
    let nodes: Vec<NodeId> = (0..NODES).map(|_| NodeId::random(&mut entropy)).collect();
    for id in &nodes {
        let mut node = Node::new(*id, NodeSpec::default());
        node.status.state = NodeState::Ready;
        image.add(ImageItem::Object(node.into()))?;
    }
    let spec = ServiceSpec {
        annotations: Annotations::named("service"),
        mode: ServiceMode::Replicated { replicas: slots },
        ..ServiceSpec::default()
    };
    let service = Service::new(ServiceId::random(&mut entropy), spec);
    image.add(ImageItem::Object(service.clone().into()))?;
    for (slot, node) in (1..=slots).zip(nodes.iter().cycle()) {
        let task = Task {
            service_id: Some(service.id),
            spec_version: Some(service.spec_version),
            slot,
            node_id: Some(*node),
            status: TaskStatus {
                state: TaskState::Running,
                ..TaskStatus::default()
            },
            ..Task::new(TaskId::random(&mut entropy), service.spec.clone())
        };
        image.add(ImageItem::Object(task.into()))?;
    }
    Ok((image.finish(1), service))
}
