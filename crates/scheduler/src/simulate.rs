//! Rehearses a declaration: where the tasks of a service would go if its spec were stored now.
//!
//! A pure function of a state. The real scheduler plans on a copy of the tables, so that what it
//! answers is what a leader would do if nothing else happened meanwhile; the copy is thrown away.
//! Whether the spec is sound, and whether what it publishes is free, is asked elsewhere.
//!
//! It never starts, stops or changes anything, and it looks at every task once to build its
//! index: for people who ask, not for loops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Action, Draft, Key, NewTask, State};
use types::entropy::SeededEntropy;
use types::node::Membership;
use types::service::{Endpoint, UpdateOrder};
use types::{
    Availability, Node, NodeId, NodeState, Runtime, Service, ServiceId, ServiceMode, ServiceSpec,
    Task, TaskId, TaskSpec, TaskState, Timestamp,
};

use crate::{Scheduler, constraint};

/// Most rounds that an update is rehearsed in. A service whose update would take more is
/// rehearsed with more slots at a time, so that the answer comes while somebody waits for it.
const ROUNDS_MAX: usize = 1_000;

/// What storing a spec would lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// The service of that name; `None` if it would be a new one.
    pub service: Option<ServiceId>,
    /// Tasks that would stay as they are.
    pub kept: usize,
    /// Tasks that would be stopped without a successor. Which ones is not rehearsed.
    pub surplus: usize,
    /// Each task that would be made, in the order of slots.
    pub outcomes: Vec<Outcome>,
    /// Tasks of other services that would be displaced to make room.
    pub displaced: Vec<TaskId>,
}

/// What would become of one new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its slot; 0 in services with a task per node.
    pub slot: u64,
    /// The node it would be made for, in services with a task per node.
    pub made_for: Option<NodeId>,
    /// The task it would replace.
    pub replaces: Option<TaskId>,
    /// The node it would get; `None` if it would wait.
    pub node: Option<NodeId>,
    /// Why it would wait; empty if it would not.
    pub reason: String,
}

/// A task to be made.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    slot: u64,
    node: Option<NodeId>,
    replaces: Option<TaskId>,
}

/// The present tasks of a service against what its new spec wants.
#[derive(Debug, Default)]
struct Difference {
    kept: usize,
    surplus: Vec<TaskId>,
    wanted: Vec<Wanted>,
}

/// A copy of the tables in which the scheduler plays on.
struct Rehearsal {
    state: State,
    scheduler: Scheduler,
    entropy: SeededEntropy,
    /// The id of the task made last; they rise, so that slots are placed in their order.
    last: TaskId,
    now: Timestamp,
}

/// Where the tasks of a service would go if `spec` were stored now. A service of the same name is
/// taken as updated, with the order and number of slots at a time that the spec says; otherwise
/// it is a new one. Node draws of the `random` strategy are one possible outcome.
pub fn simulate(view: &State, spec: &ServiceSpec, now: Timestamp) -> Simulation {
    let mut rehearsal = Rehearsal::new(view, now);
    // Whoever waits already has had its turn.
    rehearsal.settle();
    let known = view.services().by_name(&spec.annotations.name).next();
    let service = rehearsal.declare(known, spec);
    let difference = Difference::of(&rehearsal.state, &service);
    difference.surplus.iter().for_each(|id| rehearsal.stop(*id));
    let outcomes = rehearsal.replace(&service, &difference.wanted);
    let mut ended: BTreeSet<TaskId> = difference.surplus.iter().copied().collect();
    ended.extend(difference.wanted.iter().filter_map(|w| w.replaces));
    Simulation {
        service: known.map(|s| s.id),
        kept: difference.kept,
        surplus: difference.surplus.len(),
        outcomes,
        displaced: rehearsal.displaced(view, &ended),
    }
}

// === impl Rehearsal ===

impl Rehearsal {
    fn new(view: &State, now: Timestamp) -> Self {
        let mut entropy = SeededEntropy::new(0);
        Self {
            scheduler: Scheduler::new(view, now),
            state: view.clone(),
            last: TaskId::random(&mut entropy),
            entropy,
            now,
        }
    }

    /// Stores the spec as a service that is new or updated.
    fn declare(&mut self, known: Option<&Arc<Service>>, spec: &ServiceSpec) -> Arc<Service> {
        let endpoint = spec.endpoint.clone().map(|declared| {
            Arc::new(Endpoint {
                ports: declared.ports.clone(),
                spec: declared,
                virtual_ips: Vec::new(),
            })
        });
        let service = match known {
            Some(old) => Service {
                previous_spec: Some(old.spec.clone()),
                previous_spec_version: Some(old.spec_version),
                spec: Arc::new(spec.clone()),
                spec_version: old.meta.version,
                endpoint,
                ..Service::clone(old)
            },
            None => Service {
                endpoint,
                ..Service::new(ServiceId::random(&mut self.entropy), spec.clone())
            },
        };
        let service = Arc::new(service);
        let object = store::Object::Service(service.clone());
        self.act(vec![match known {
            Some(_) => Action::Update(object),
            None => Action::Create(object),
        }]);
        service
    }

    /// Makes the wanted tasks round by round, as an update of the service would.
    fn replace(&mut self, service: &Service, wanted: &[Wanted]) -> Vec<Outcome> {
        let (fresh, successors): (Vec<Wanted>, Vec<Wanted>) =
            wanted.iter().partition(|w| w.replaces.is_none());
        let policy = service.spec.update.unwrap_or_default();
        let all = successors.len().max(1);
        let asked = usize::try_from(policy.parallelism).unwrap_or(all);
        let asked = if asked == 0 { all } else { asked.min(all) };
        let round = asked.max(all.div_ceil(ROUNDS_MAX));
        let first = policy.order == UpdateOrder::StartFirst;
        let mut outcomes = self.round(service, &fresh, first);
        for some in successors.chunks(round) {
            outcomes.extend(self.round(service, some, first));
        }
        outcomes.sort_by_key(|o| (o.slot, o.made_for));
        outcomes
    }

    fn round(&mut self, service: &Service, wanted: &[Wanted], start_first: bool) -> Vec<Outcome> {
        let old: Vec<TaskId> = wanted.iter().filter_map(|w| w.replaces).collect();
        if !start_first {
            old.iter().for_each(|id| self.stop(*id));
        }
        let made: Vec<TaskId> = wanted.iter().map(|w| self.make(service, *w)).collect();
        loop {
            self.settle();
            // An old task goes when its successor runs, and not where that found no node. The
            // room it leaves may be what another one waits for.
            let pairs = made.iter().zip(wanted);
            let outcomes: Vec<Outcome> = pairs.map(|(id, w)| self.outcome(*id, *w)).collect();
            let placed = outcomes.iter().filter(|o| o.node.is_some());
            let replaced = placed.filter_map(|o| o.replaces);
            let gone: Vec<TaskId> = replaced
                .filter(|id| self.state.tasks().get(*id).is_some())
                .collect();
            if gone.is_empty() {
                return outcomes;
            }
            gone.into_iter().for_each(|id| self.stop(id));
        }
    }

    fn outcome(&self, id: TaskId, wanted: Wanted) -> Outcome {
        let task = self.state.tasks().get(id);
        let placed = task.filter(|t| t.status.state == TaskState::Assigned);
        let err = |t: &Arc<Task>| t.status.err.to_string();
        Outcome {
            slot: wanted.slot,
            made_for: wanted.node,
            replaces: wanted.replaces,
            node: placed.and_then(|t| t.node_id),
            reason: task.map(err).unwrap_or_default(),
        }
    }

    fn make(&mut self, service: &Service, wanted: Wanted) -> TaskId {
        let next = self.last.get().wrapping_add(1);
        let task = TaskId::from_u128(next).unwrap_or(TaskId::MIN);
        self.last = task;
        let new = NewTask {
            id: task,
            service: service.id,
            spec_version: service.spec_version,
            slot: wanted.slot,
            node: wanted.node,
            desired_state: TaskState::Running,
            job_iteration: None,
        };
        self.act(vec![Action::NewTask(new), Action::Allocate { task }]);
        task
    }

    /// The task and all it takes are gone, as they are once it has stopped.
    fn stop(&mut self, task: TaskId) {
        if self.state.tasks().get(task).is_some() {
            self.act(vec![Action::Remove(Key::Task(task))]);
        }
    }

    /// Lets the scheduler plan until it has nothing more to do now.
    fn settle(&mut self) {
        loop {
            let plan = self
                .scheduler
                .plan(&self.state, self.now, &mut self.entropy);
            if plan.steps.is_empty() {
                return;
            }
            self.apply(plan.steps);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        self.apply(vec![store::Step::together(actions)]);
    }

    /// Applies what fits and shows the scheduler what changed.
    fn apply(&mut self, steps: Vec<store::Step>) {
        let mut draft = Draft::new(&self.state, self.now);
        for step in steps {
            // A step that does not fit is one that a leader would drop.
            let _ = draft.add(step);
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        commit
            .changes
            .iter()
            .for_each(|c| self.scheduler.observe(c));
    }

    /// Tasks that were meant to run in `view` and are not any more, for no reason of their own.
    fn displaced(&self, view: &State, ended: &BTreeSet<TaskId>) -> Vec<TaskId> {
        let wanted = |t: &Task| t.desired_state <= TaskState::Complete;
        let tasks = view.tasks().iter().filter(|t| wanted(t));
        tasks
            .filter(|t| !ended.contains(&t.id))
            .filter(|t| self.state.tasks().get(t.id).is_some_and(|now| !wanted(now)))
            .map(|t| t.id)
            .collect()
    }
}

// === impl Difference ===

impl Difference {
    fn of(state: &State, service: &Service) -> Self {
        match service.spec.mode {
            ServiceMode::Replicated { replicas } => Self::by_number(state, service, 1, replicas),
            ServiceMode::ReplicatedJob {
                max_concurrent,
                total_completions,
            } => {
                let some = max_concurrent.min(total_completions);
                Self::by_number(state, service, 0, some)
            }
            ServiceMode::Global | ServiceMode::GlobalJob => Self::by_node(state, service),
        }
    }

    /// Numbered slots from `first` on, `count` of them.
    fn by_number(state: &State, service: &Service, first: u64, count: u64) -> Self {
        let mut slots: BTreeMap<u64, &Arc<Task>> = BTreeMap::new();
        let live = state.tasks().of_service(service.id);
        for task in live.filter(|t| t.is_runnable()) {
            slots.insert(task.slot, task);
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut found = Self::default();
        for (at, (slot, task)) in slots.iter().enumerate() {
            if at >= count {
                found.surplus.push(task.id);
            } else {
                found.keep_or_replace(state, service, *slot, None, task);
            }
        }
        let missing = count.saturating_sub(slots.len());
        let free = (first..).filter(|slot| !slots.contains_key(slot));
        found.wanted.extend(free.take(missing).map(|slot| Wanted {
            slot,
            node: None,
            replaces: None,
        }));
        found
    }

    /// One slot per node that fits.
    fn by_node(state: &State, service: &Service) -> Self {
        let mut slots: BTreeMap<NodeId, &Arc<Task>> = BTreeMap::new();
        let live = state.tasks().of_service(service.id);
        for task in live.filter(|t| t.is_runnable()) {
            slots.extend(task.node_id.map(|node| (node, task)));
        }
        let mut found = Self::default();
        for node in state.nodes().iter() {
            let old = slots.remove(&node.id);
            match old {
                Some(task) if takes(node, &service.spec.task) => {
                    found.keep_or_replace(state, service, 0, Some(node.id), task);
                }
                Some(task) => found.surplus.push(task.id),
                None if takes(node, &service.spec.task) => found.wanted.push(Wanted {
                    slot: 0,
                    node: Some(node.id),
                    replaces: None,
                }),
                None => {}
            }
        }
        found
    }

    fn keep_or_replace(
        &mut self,
        state: &State,
        service: &Service,
        slot: u64,
        node: Option<NodeId>,
        task: &Arc<Task>,
    ) {
        if is_current(state, task, &service.spec) {
            self.kept += 1;
        } else {
            self.wanted.push(Wanted {
                slot,
                node,
                replaces: Some(task.id),
            });
        }
    }
}

/// Whether a service with a task per node has one there.
fn takes(node: &Node, spec: &TaskSpec) -> bool {
    let placement = spec.placement.as_ref();
    node.status.state != NodeState::Down
        && node.spec.availability == Availability::Active
        && node.spec.membership == Membership::Accepted
        && placement.is_none_or(|p| constraint::check_all(&p.constraints, node))
}

/// Whether a task may stay as it is under a new spec: it runs the same on a node that serves, and
/// where only its placement differs, the new one allows the node.
fn is_current(state: &State, task: &Task, new: &ServiceSpec) -> bool {
    let old = &task.service_spec;
    let endpoint = |s: &ServiceSpec| s.endpoint.clone().unwrap_or_default();
    let same = !new.mode.is_job()
        && endpoint(old) == endpoint(new)
        && old.networks == new.networks
        && bare(&old.task) == bare(&new.task);
    let node = task.node_id.and_then(|id| state.nodes().get(id));
    match node {
        Some(node) => {
            let serves = node.status.state != NodeState::Down
                && node.spec.availability != Availability::Drain;
            let placement = new.task.placement.as_ref();
            let moved = old.task.placement != new.task.placement;
            let allowed = || placement.is_none_or(|p| constraint::check_all(&p.constraints, node));
            same && serves && (!moved || allowed())
        }
        None => same && task.node_id.is_none() && old.task.placement == new.task.placement,
    }
}

/// What a running task cannot do without being replaced for.
fn bare(spec: &TaskSpec) -> TaskSpec {
    let mut spec = spec.clone();
    spec.placement = None;
    if let Runtime::Container(container) = &mut spec.runtime {
        container.pull_options = None;
    }
    spec
}
