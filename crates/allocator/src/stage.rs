//! The stage between orchestrator and scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Action, Change, Guard, Object, Plan, State, Step};
use types::task::TaskStatus;
use types::{Entropy, Service, ServiceId, Task, TaskId, TaskState, Timestamp};

use crate::ports::{PortError, PortsInUse, is_allocated};

/// Most actions in one plan; the rest follows in the next, so that no log entry grows with the
/// cluster.
pub const ACTIONS_PER_PLAN_MAX: usize = 5_000;

/// Allocates what services and tasks need besides a node.
#[derive(Debug, Default)]
pub struct Allocator {
    /// Services to look at.
    services: BTreeSet<ServiceId>,
    /// Tasks to look at.
    tasks: BTreeSet<TaskId>,
    /// Tasks that wait for their service.
    pub(crate) waiting: BTreeMap<ServiceId, BTreeSet<TaskId>>,
    /// Services that cannot have what they ask for, and why.
    refused: BTreeMap<ServiceId, PortError>,
}

impl Allocator {
    /// A stage that has everything to look at.
    pub fn new(view: &State, _now: Timestamp) -> Self {
        let new = |t: &&Arc<Task>| t.status.state == TaskState::New;
        Self {
            services: view.services().iter().map(|s| s.id).collect(),
            tasks: view.tasks().unplaced().filter(new).map(|t| t.id).collect(),
            ..Self::default()
        }
    }

    /// Notes where to look again.
    pub fn observe(&mut self, change: &Change) {
        match change {
            Change::Service(diff) => {
                let id = diff.latest().id;
                self.look_again(id);
                let endpoint =
                    |s: &Option<Arc<Service>>| s.as_ref().and_then(|s| s.endpoint.clone());
                if endpoint(&diff.old) != endpoint(&diff.new) {
                    // Ports may have become free.
                    for refused in std::mem::take(&mut self.refused).into_keys() {
                        self.look_again(refused);
                    }
                }
            }
            Change::Task(diff) => {
                let is_new = |t: &Arc<Task>| t.status.state == TaskState::New;
                if diff.new.as_ref().is_some_and(is_new) {
                    if diff.old.is_none() {
                        self.tasks.insert(diff.latest().id);
                    }
                } else if diff.old.as_ref().is_some_and(is_new) {
                    self.passed(diff.latest());
                }
            }
            _ => {}
        }
    }

    /// What to change now.
    pub fn plan(&mut self, view: &State, now: Timestamp, _entropy: &mut dyn Entropy) -> Plan {
        let mut plan = Plan::default();
        self.plan_services(view, &mut plan);
        while plan.steps.len() < ACTIONS_PER_PLAN_MAX
            && let Some(id) = self.tasks.pop_first()
        {
            if let Some(task) = view.tasks().get(id) {
                plan.steps.extend(self.task_step(view, task, now));
            }
        }
        if !self.tasks.is_empty() {
            plan.wake(now);
        }
        plan
    }

    fn passed(&mut self, task: &Task) {
        let Some(service) = task.service_id else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(&service) {
            waiting.remove(&task.id);
            if waiting.is_empty() {
                self.waiting.remove(&service);
            }
        }
    }

    fn look_again(&mut self, id: ServiceId) {
        self.services.insert(id);
        self.tasks
            .extend(self.waiting.remove(&id).unwrap_or_default());
    }

    fn plan_services(&mut self, view: &State, plan: &mut Plan) {
        let dirty = std::mem::take(&mut self.services).into_iter();
        let mut dirty: Vec<&Arc<Service>> = dirty
            .filter_map(|id| {
                self.refused.remove(&id);
                view.services().get(id)
            })
            .filter(|s| !is_allocated(s))
            .collect();
        if dirty.is_empty() {
            return;
        }
        dirty.sort_by_key(|s| (s.meta.created_at, s.id));
        let mut ports = PortsInUse::of(view);
        for service in dirty {
            match ports.allocate(view, service) {
                Ok(endpoint) => {
                    ports.hold(service.id, &endpoint.ports);
                    let mut next = Service::clone(service);
                    next.endpoint = Some(Arc::new(endpoint));
                    plan.push(Step::unguarded(Action::Update(Object::from(next))));
                }
                Err(refusal) => _ = self.refused.insert(service.id, refusal),
            }
        }
    }

    /// Lets a task pass, or says in its status what it waits for.
    fn task_step(&mut self, view: &State, task: &Task, now: Timestamp) -> Option<Step> {
        if task.status.state != TaskState::New || task.desired_state >= TaskState::Shutdown {
            return None;
        }
        let allocate = Action::Allocate { task: task.id };
        let Some(id) = task.service_id else {
            return Some(Step::unguarded(allocate));
        };
        let service = view.services().get(id)?;
        let guard = Guard::Service {
            id,
            version: service.meta.version,
        };
        // Until it has passed: a change of the service may drop the step, or let it pass.
        self.waiting.entry(id).or_default().insert(task.id);
        if is_allocated(service) {
            return Some(Step::guarded(guard, allocate));
        }
        let why = self.refused.get(&id)?.to_string();
        (*task.status.err != *why).then(|| {
            let status = TaskStatus {
                timestamp: now,
                err: why.into(),
                ..task.status.clone()
            };
            Step::guarded(
                guard,
                Action::Report {
                    task: task.id,
                    status: Box::new(status),
                },
            )
        })
    }
}
