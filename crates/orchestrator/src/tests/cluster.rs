//! A cluster in memory: the real stages, the store, and the simplest allocator, scheduler and
//! agents that obey the rules of task states. Time moves only when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::{Action, Draft, Object, Plan, State, Step};
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus};
use types::service::{JobStatus, UpdateConfig, UpdateState, UpdateStatus};
use types::task::{RestartCondition, RestartPolicy, TaskStatus};
use types::{
    Annotations, Availability, Cluster as ClusterObject, ContainerSpec, GenericResource, Node,
    NodeId, NodeSpec, NodeState, Runtime, Service, ServiceId, ServiceMode, ServiceSpec, SlotKey,
    Task, TaskId, TaskState, Timestamp,
};

use crate::slot::{age, ended_by_itself};
use crate::{Enforcer, Orchestrator, Reaper, job_after_update};

/// How agents treat an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until it is told to stop.
    Runs,
    /// Fails as soon as it runs.
    Crashes,
    /// Cannot be pulled.
    Missing,
    /// Ends with success as soon as it runs.
    Completes,
    /// Never gets further than being prepared.
    Slow,
}

pub struct Cluster {
    pub state: State,
    pub now: Timestamp,
    pub entropy: SeededEntropy,
    pub orchestrator: Orchestrator,
    pub reaper: Reaper,
    pub enforcer: Enforcer,
    pub nodes: Vec<NodeId>,
    pub service: ServiceId,
    pub images: BTreeMap<String, Behaviour>,
    /// Nodes that the scheduler may not use, for tasks that cannot be placed.
    pub full: bool,
    /// GPUs that the scheduler gives to the next tasks, last first.
    pub gives_generic: Vec<&'static str>,
    /// Agents take this long to stop a task.
    pub stop_time: Duration,
    /// Every task ever created, with the time and the slot.
    pub created: Vec<(Timestamp, SlotKey, TaskId)>,
    side_by_side: bool,
    stopping: BTreeMap<TaskId, Timestamp>,
    /// Tasks that may run beside their replacement: their node was down, or they do not stop.
    lost: BTreeSet<TaskId>,
    pub slots_in_flight_max: usize,
    /// Slots that an update to an image is done with.
    arrived: BTreeSet<(SlotKey, String)>,
    next_wake: Option<Timestamp>,
}

/// A GPU with a name.
pub fn gpu(name: &str) -> GenericResource {
    GenericResource::Named {
        kind: "gpu".to_owned(),
        value: name.to_owned(),
    }
}

pub fn replicated(replicas: u64) -> ServiceSpec {
    spec(ServiceMode::Replicated { replicas })
}

pub fn spec(mode: ServiceMode) -> ServiceSpec {
    let mut spec = ServiceSpec {
        annotations: Annotations::named("web"),
        mode,
        ..ServiceSpec::default()
    };
    set_image(&mut spec, "v1");
    spec
}

pub fn set_image(spec: &mut ServiceSpec, image: &str) {
    spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
        image: image.to_owned(),
        ..ContainerSpec::default()
    }));
}

pub fn restart(condition: RestartCondition, max_attempts: u64) -> Option<RestartPolicy> {
    Some(RestartPolicy {
        condition,
        delay: Some(Duration::from_secs(1)),
        max_attempts,
        window: None,
    })
}

pub fn update_config(parallelism: u64) -> Option<UpdateConfig> {
    Some(UpdateConfig {
        parallelism,
        monitor: Some(Duration::from_secs(2)),
        ..UpdateConfig::default()
    })
}

impl Cluster {
    /// A cluster of ready nodes with one service.
    pub fn new(nodes: usize, spec: ServiceSpec) -> Self {
        let mut entropy = SeededEntropy::new(7);
        let state = State::default();
        let now = Timestamp::from_secs(1_000);
        let mut cluster = Self {
            orchestrator: Orchestrator::new(&state, now),
            reaper: Reaper::new(&state, now),
            enforcer: Enforcer::new(&state, now),
            service: ServiceId::random(&mut entropy),
            state,
            now,
            entropy,
            nodes: Vec::new(),
            images: BTreeMap::new(),
            full: false,
            gives_generic: Vec::new(),
            stop_time: Duration::ZERO,
            created: Vec::new(),
            side_by_side: false,
            stopping: BTreeMap::new(),
            lost: BTreeSet::new(),
            slots_in_flight_max: 0,
            arrived: BTreeSet::new(),
            next_wake: None,
        };
        for _ in 0..nodes {
            cluster.add_node();
        }
        cluster.create_service(spec);
        cluster
    }

    pub fn add_node(&mut self) -> NodeId {
        let id = NodeId::random(&mut self.entropy);
        self.nodes.push(id);
        let node = Node {
            description: Some(Arc::new(NodeDescription::default())),
            status: NodeStatus {
                state: NodeState::Ready,
                ..NodeStatus::default()
            },
            ..Node::new(id, NodeSpec::default())
        };
        self.act(Action::Create(Object::from(node)));
        id
    }

    fn create_service(&mut self, spec: ServiceSpec) {
        let job = spec.mode.is_job();
        let service = Service {
            job_status: job.then(JobStatus::default),
            ..Service::new(self.service, spec)
        };
        self.act(Action::Create(Object::from(service)));
    }

    /// What `UpdateService` of the control API does.
    pub fn update(&mut self, edit: impl FnOnce(&mut ServiceSpec)) {
        let mut service = Service::clone(self.get());
        let mut spec = ServiceSpec::clone(&service.spec);
        edit(&mut spec);
        service.previous_spec = Some(service.spec.clone());
        service.previous_spec_version = Some(service.spec_version);
        service.spec = Arc::new(spec);
        service.spec_version = service.meta.version;
        service.update_status = None;
        service.job_status = job_after_update(self.get(), &service.spec, self.now);
        self.act(Action::Update(Object::from(service)));
    }

    /// What it does when somebody asks for the spec before.
    pub fn roll_back(&mut self) {
        let mut service = Service::clone(self.get());
        let previous = service.previous_spec.replace(service.spec.clone()).unwrap();
        let version = service.previous_spec_version.replace(service.spec_version);
        service.spec = previous;
        service.spec_version = version.unwrap();
        service.update_status = Some(UpdateStatus {
            state: UpdateState::RollbackStarted,
            message: "manually requested rollback".to_owned(),
            ..UpdateStatus::default()
        });
        // The slots have been where they go now before.
        self.arrived.clear();
        self.slots_in_flight_max = 0;
        self.act(Action::Update(Object::from(service)));
    }

    pub fn remove_service(&mut self) {
        self.act(Action::Remove(store::Key::Service(self.service)));
    }

    pub fn edit_node(&mut self, at: usize, edit: impl FnOnce(&mut Node)) {
        let id = self.nodes[at];
        let mut node = Node::clone(self.state.nodes().get(id).unwrap());
        edit(&mut node);
        self.act(Action::Update(Object::from(node)));
    }

    pub fn set_node_state(&mut self, at: usize, state: NodeState) {
        if state == NodeState::Down {
            let there = self.state.tasks().on_node(self.nodes[at]);
            self.lost.extend(there.map(|t| t.id));
        }
        self.edit_node(at, |n| n.status.state = state);
    }

    pub fn set_availability(&mut self, at: usize, availability: Availability) {
        self.edit_node(at, |n| n.spec.availability = availability);
    }

    /// What `RemoveNode` does: tasks that may run there are given up with the node.
    pub fn remove_node(&mut self, at: usize) {
        let id = self.nodes.remove(at);
        let active = self.state.tasks().on_node(id).filter(|t| t.is_active());
        let tasks: Vec<_> = active.cloned().collect();
        let mut actions: Vec<_> = tasks
            .iter()
            .map(|t| self.report(t, TaskState::Orphaned))
            .collect();
        actions.push(Action::Remove(store::Key::Node(id)));
        self.apply(vec![Step::together(actions)]);
    }

    /// Old tasks kept per slot.
    pub fn set_history(&mut self, limit: i64) {
        let id = types::ClusterId::random(&mut self.entropy);
        let object = ClusterObject {
            subnet_size: 24,
            ..ClusterObject::new(
                id,
                types::ClusterSpec {
                    task_history_retention_limit: limit,
                    ..types::ClusterSpec::default()
                },
            )
        };
        self.act(Action::Create(Object::from(object)));
    }

    /// All stages start again from the state, as they do on a new leader.
    pub fn change_leader(&mut self) {
        self.orchestrator = Orchestrator::new(&self.state, self.now);
        self.reaper = Reaper::new(&self.state, self.now);
        self.enforcer = Enforcer::new(&self.state, self.now);
    }

    pub fn get(&self) -> &Arc<Service> {
        self.state.services().get(self.service).unwrap()
    }

    pub fn update_state(&self) -> UpdateState {
        let status = self.get().update_status.as_ref();
        status.map_or(UpdateState::Unknown, |s| s.state)
    }

    pub fn update_message(&self) -> String {
        let status = self.get().update_status.as_ref();
        status.map(|s| s.message.clone()).unwrap_or_default()
    }

    pub fn tasks(&self) -> Vec<&Arc<Task>> {
        let mut tasks: Vec<_> = self.state.tasks().of_service(self.service).collect();
        tasks.sort_by_key(|t| age(t));
        tasks
    }

    pub fn in_state(&self, state: TaskState) -> Vec<&Arc<Task>> {
        let mut tasks = self.tasks();
        tasks.retain(|t| t.status.state == state);
        tasks
    }

    pub fn running(&self) -> Vec<&Arc<Task>> {
        let mut tasks = self.in_state(TaskState::Running);
        tasks.retain(|t| self.is_up(t) && t.desired_state == TaskState::Running);
        tasks
    }

    /// The slots that run a task, with the image they run.
    pub fn images_running(&self) -> BTreeMap<SlotKey, String> {
        let running = self.running().into_iter();
        running
            .map(|t| (SlotKey::of(t), t.spec().container().unwrap().image.clone()))
            .collect()
    }

    pub fn slots_running(&self) -> Vec<u64> {
        let slots: BTreeSet<u64> = self.running().iter().map(|t| t.slot).collect();
        slots.into_iter().collect()
    }

    /// The tasks that run now may go on beside their replacements.
    pub fn expect_overlap(&mut self) {
        let running = self.in_state(TaskState::Running);
        let ids: Vec<TaskId> = running.iter().map(|t| t.id).collect();
        self.lost.extend(ids);
    }

    /// Runs of the job may go on beside one another: a slot is that of one run.
    pub fn expect_runs_side_by_side(&mut self) {
        self.side_by_side = true;
    }

    fn is_up(&self, task: &Task) -> bool {
        let node = task.node_id.and_then(|id| self.state.nodes().get(id));
        node.is_some_and(|n| n.status.state != NodeState::Down)
    }

    pub fn act(&mut self, action: Action) {
        let dropped = self.apply(vec![Step::unguarded(action)]);
        assert_eq!(dropped, 0, "a test's own change fits");
    }

    /// Applies steps as a leader does; how many were dropped.
    pub fn apply(&mut self, steps: Vec<Step>) -> usize {
        let mut draft = Draft::new(&self.state, self.now);
        let dropped = steps.into_iter().filter_map(|s| draft.add(s).err()).count();
        if draft.is_empty() {
            return dropped;
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        self.now = Timestamp(self.now.0 + 1);
        for change in &commit.changes {
            if let (true, store::Change::Task(diff)) = (change.is_create(), change) {
                let task = diff.latest();
                self.created.push((commit.at, SlotKey::of(task), task.id));
            }
            if let store::Change::Task(diff) = change {
                self.note_arrival(diff.latest());
            }
            self.orchestrator.observe(change);
            self.reaper.observe(change);
            self.enforcer.observe(change);
        }
        self.check_slots();
        dropped
    }

    /// A task takes its slot out of an update when it runs or ends by itself. A node that is lost
    /// or drained takes its slot of a global service with it; when it is back, its empty slot is
    /// filled like that of a node that joins.
    fn note_arrival(&mut self, task: &Task) {
        let mut images = Vec::new();
        if task.status.state == TaskState::Running || ended_by_itself(task) {
            images.push(task.spec().container().unwrap().image.clone());
        }
        let service = self.state.services().get(self.service);
        let leaves = task.desired_state >= TaskState::Shutdown && !self.takes_tasks(task);
        if let Some(service) = service.filter(|s| s.spec.mode.is_global() && leaves) {
            images.push(service.spec.task.container().unwrap().image.clone());
        }
        let slot = SlotKey::of(task);
        self.arrived.extend(images.into_iter().map(|i| (slot, i)));
    }

    fn takes_tasks(&self, task: &Task) -> bool {
        let node = task.node_id.and_then(|id| self.state.nodes().get(id));
        node.is_some_and(|n| n.accepts_tasks())
    }

    pub fn plan(&mut self) -> Plan {
        let view = self.state.clone();
        self.orchestrator.plan(&view, self.now, &mut self.entropy)
    }

    /// Lets every stage and agent work at this moment until nothing changes.
    pub fn settle(&mut self) {
        for _ in 0..500 {
            let before = self.state.version();
            let plan = self.plan();
            self.next_wake = plan.wake_at;
            self.apply(plan.steps);
            let steps = self.enforcer.plan(&self.state.clone(), self.now).steps;
            self.apply(steps);
            let steps = self.reaper.plan(&self.state.clone(), self.now).steps;
            self.apply(steps);
            let steps = self.place();
            self.apply(steps);
            let steps = self.run_agents();
            self.apply(steps);
            if self.state.version() == before {
                let wake = self.next_wake.unwrap_or(Timestamp::MAX);
                assert!(wake > self.now, "asks to be woken for nothing");
                return;
            }
        }
        panic!("the cluster does not settle at one moment: a hot loop");
    }

    /// Moves time in steps, settling at each.
    pub fn run(&mut self, time: Duration) {
        let end = self.now.plus(time);
        self.settle();
        while self.now < end {
            let next = self.now.plus(Duration::from_millis(250));
            self.now = next.min(end.max(self.now));
            self.settle();
        }
    }

    /// The allocator and the scheduler.
    fn place(&mut self) -> Vec<Step> {
        let mut load: BTreeMap<NodeId, usize> = BTreeMap::new();
        for node in self.state.nodes().iter().filter(|n| n.accepts_tasks()) {
            let active = self
                .state
                .tasks()
                .on_node(node.id)
                .filter(|t| t.is_active());
            load.insert(node.id, active.count());
        }
        let mut steps = Vec::new();
        for task in self.state.tasks().unplaced() {
            if task.desired_state >= TaskState::Shutdown {
                continue;
            }
            if task.status.state == TaskState::New {
                steps.push(Step::unguarded(Action::Allocate { task: task.id }));
                continue;
            }
            let least = || load.iter().min_by_key(|(_, n)| **n).map(|(id, _)| *id);
            let node = match task.node_id {
                Some(node) => Some(node).filter(|n| load.contains_key(n)),
                None => least(),
            };
            if let Some(node) = node.filter(|_| !self.full) {
                *load.entry(node).or_default() += 1;
                steps.push(Step::unguarded(Action::Assign {
                    task: task.id,
                    node,
                    generic: self.gives_generic.pop().map(gpu).into_iter().collect(),
                    volumes: Vec::new(),
                }));
            }
        }
        steps
    }

    pub fn report(&self, task: &Task, state: TaskState) -> Action {
        let status = TaskStatus {
            timestamp: self.now,
            state,
            applied_at: self.now,
            ..task.status.clone()
        };
        Action::Report {
            task: task.id,
            status: Box::new(status),
        }
    }

    pub fn fail(&mut self, id: TaskId) {
        let task = self.state.tasks().get(id).unwrap().clone();
        let action = self.report(&task, TaskState::Failed);
        self.act(action);
    }

    /// The agents of all nodes that are up.
    fn run_agents(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for task in self.state.tasks().iter().filter(|t| t.is_active()) {
            if !self.is_up(task) {
                continue;
            }
            let stop_at = self.stopping.get(&task.id).copied();
            let image = task.spec().container().map_or("", |c| &c.image);
            let behaviour = self.images.get(image).copied().unwrap_or(Behaviour::Runs);
            let next = match (task.desired_state, task.status.state, behaviour) {
                (desired, ..) if desired >= TaskState::Shutdown => {
                    let due = self.now.plus(self.stop_time);
                    let due = stop_at.unwrap_or(due);
                    self.stopping.insert(task.id, due);
                    (due <= self.now).then_some(TaskState::Shutdown)
                }
                (_, s, Behaviour::Slow) if s < TaskState::Preparing => Some(TaskState::Preparing),
                (_, _, Behaviour::Slow) => None,
                (_, s, Behaviour::Missing) if s < TaskState::Ready => Some(TaskState::Rejected),
                (_, s, _) if s < TaskState::Ready => Some(TaskState::Ready),
                (d, TaskState::Ready, _) if d >= TaskState::Running => Some(TaskState::Running),
                (_, TaskState::Running, Behaviour::Crashes) => Some(TaskState::Failed),
                (_, TaskState::Running, Behaviour::Completes) => Some(TaskState::Complete),
                _ => None,
            };
            if let Some(next) = next {
                steps.push(Step::unguarded(self.report(task, next)));
            }
        }
        steps
    }

    /// Checks what must hold when the stages are at rest: no run of a job has more tasks that are
    /// meant to run than it may have at a time.
    pub fn check_concurrency(&self) {
        let most = match self.get().spec.mode {
            ServiceMode::ReplicatedJob { max_concurrent, .. } => max_concurrent as usize,
            _ => self.nodes.len(),
        };
        let mut live: BTreeMap<u64, usize> = BTreeMap::new();
        for task in self.tasks().iter().filter(|t| t.is_runnable()) {
            if let Some(run) = task.job_iteration {
                *live.entry(run).or_default() += 1;
            }
        }
        assert!(live.values().all(|n| *n <= most), "{live:?}");
    }

    /// Checks what must hold after every transaction.
    fn check_slots(&mut self) {
        let mut slots: BTreeMap<_, Vec<&Arc<Task>>> = BTreeMap::new();
        for task in self.state.tasks().of_service(self.service) {
            let run = task.job_iteration.filter(|_| self.side_by_side);
            let slot = (run, SlotKey::of(task));
            slots.entry(slot).or_default().push(task);
        }
        let service = self.state.services().get(self.service);
        let two = service.is_none_or(|s| {
            let first = |c: Option<UpdateConfig>| {
                c.is_some_and(|c| c.order == types::service::UpdateOrder::StartFirst)
            };
            first(s.spec.update) || first(s.spec.rollback)
        });
        let most = if two { 2 } else { 1 };
        for (key, tasks) in &slots {
            let up = tasks
                .iter()
                .filter(|t| self.is_up(t) && !self.lost.contains(&t.id));
            let run = up.filter(|t| t.status.state == TaskState::Running).count();
            assert!(run <= most, "{run} tasks run in slot {key:?}");
            let wanted = |t: &&&Arc<Task>| t.is_runnable() && t.desired_state >= TaskState::Running;
            let wanted = tasks.iter().filter(wanted).count();
            assert!(
                wanted <= most,
                "{wanted} tasks are meant to run in slot {key:?}"
            );
        }
        let in_flight = slots
            .iter()
            .filter(|((_, key), tasks)| is_in_flight(service, *key, tasks, &self.arrived))
            .count();
        self.slots_in_flight_max = self.slots_in_flight_max.max(in_flight);
    }
}

/// Whether a slot has a task of the present image that took over from another image, and none of
/// that image has run in it yet.
fn is_in_flight(
    service: Option<&Arc<Service>>,
    key: SlotKey,
    tasks: &[&Arc<Task>],
    arrived: &BTreeSet<(SlotKey, String)>,
) -> bool {
    let Some(service) = service else { return false };
    let mut tasks = tasks.to_vec();
    tasks.retain(|t| t.desired_state < TaskState::Remove);
    tasks.sort_by_key(|t| age(t));
    let fresh = |t: &Task| t.spec().runtime == service.spec.task.runtime;
    let Some(old) = tasks.iter().rposition(|t| !fresh(t)) else {
        return false;
    };
    let made = &tasks[old + 1..];
    // Its new task was told to stop beside the old one, which goes on: its turn is to come again.
    let wanted = |t: &&Arc<Task>| t.desired_state < TaskState::Shutdown;
    if tasks[..=old].iter().any(wanted) && !made.iter().any(wanted) {
        return false;
    }
    let image = |t: &Task| t.spec().container().unwrap().image.clone();
    made.first()
        .is_some_and(|t| !arrived.contains(&(key, image(t))))
}
