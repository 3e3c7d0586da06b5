//! The stage between orchestrator and scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::{Action, Change, Diff, Guard, Object, Plan, State, Step};
use types::task::TaskStatus;
use types::{Entropy, Service, ServiceId, Task, TaskId, TaskState, Timestamp};

use crate::ports::{PortError, PortsInUse, is_allocated};
use crate::startup::{has_started_before, unmet};

/// Most actions in one plan; the rest follows in the next, so that no log entry grows with the
/// cluster.
pub const ACTIONS_PER_PLAN_MAX: usize = 5_000;

/// What a waiting task says is brought up to date this often, so that a service that comes up
/// slowly is not written about all the time.
const REFRESH: Duration = Duration::from_secs(5);

/// With so many tasks that wait, twice as seldom, and so on.
const REFRESH_TASKS: u32 = 500;

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
    /// Names of services that others wait for, and who.
    awaited: BTreeMap<String, BTreeSet<ServiceId>>,
    /// When to bring up to date what the waiting tasks of a service say.
    refresh: BTreeMap<ServiceId, Timestamp>,
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
                self.came_further(&diff.latest().spec.annotations.name);
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
                if tells_how_far(diff) {
                    self.came_further(&diff.latest().service_annotations().name);
                }
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
        self.refresh_due(now);
        let mut order = StartOrder::default();
        while plan.steps.len() < ACTIONS_PER_PLAN_MAX
            && let Some(id) = self.tasks.pop_first()
        {
            if let Some(task) = view.tasks().get(id) {
                plan.steps
                    .extend(self.task_step(view, task, now, &mut order));
            }
        }
        if !self.tasks.is_empty() {
            plan.wake(now);
        }
        if let Some(at) = self.refresh.values().min() {
            plan.wake(*at);
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

    /// A service came further (or fell back): who waits for it looks again.
    fn came_further(&mut self, name: &str) {
        if self.awaited.is_empty() {
            return;
        }
        for id in self
            .awaited
            .remove(&name.to_lowercase())
            .unwrap_or_default()
        {
            self.look_again(id);
        }
    }

    fn refresh_due(&mut self, now: Timestamp) {
        let due: Vec<_> = self
            .refresh
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.refresh.remove(&id);
            self.look_again(id);
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
    fn task_step(
        &mut self,
        view: &State,
        task: &Task,
        now: Timestamp,
        order: &mut StartOrder,
    ) -> Option<Step> {
        if task.status.state != TaskState::New || task.desired_state >= TaskState::Shutdown {
            return None;
        }
        let allocate = Action::Allocate { task: task.id };
        let Some(id) = task.service_id else {
            return Some(Step::unguarded(allocate));
        };
        let service = view.services().get(id)?;
        let guard = Guard::service(service);
        // Until it has passed: a change of the service may drop the step, or let it pass.
        self.waiting.entry(id).or_default().insert(task.id);
        let why = if is_allocated(service) {
            let Some(why) = order.why(view, service) else {
                return Some(Step::guarded(guard, allocate));
            };
            if has_started_before(view, task) {
                return Some(Step::guarded(guard, allocate));
            }
            self.wait_for_others(service);
            why
        } else {
            self.refused.get(&id)?.to_string().into()
        };
        if *task.status.err == *why {
            return None;
        }
        let again = task.status.timestamp.plus(self.pace(id));
        if !task.status.err.is_empty() && again > now {
            let refresh = self.refresh.entry(id).or_insert(again);
            *refresh = again.min(*refresh);
            return None;
        }
        Some(Step::guarded(guard, say(task, &why, now)))
    }

    fn wait_for_others(&mut self, service: &Service) {
        for dependency in &service.spec.options.depends_on {
            let name = dependency.service.to_lowercase();
            self.awaited.entry(name).or_default().insert(service.id);
        }
    }

    /// How often what the waiting tasks of a service say may change.
    fn pace(&self, id: ServiceId) -> Duration {
        let count = self.waiting.get(&id).map_or(0, BTreeSet::len);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        REFRESH.saturating_mul(1 + count / REFRESH_TASKS)
    }
}

/// What each service waits for, found out once per plan however many tasks it has.
#[derive(Debug, Default)]
struct StartOrder(BTreeMap<ServiceId, Option<Arc<str>>>);

impl StartOrder {
    fn why(&mut self, view: &State, service: &Service) -> Option<Arc<str>> {
        let find = || unmet(view, &service.spec).map(|u| u.to_string().into());
        self.0.entry(service.id).or_insert_with(find).clone()
    }
}

/// Whether a change of a task can tell that its service came further or fell back.
fn tells_how_far(diff: &Diff<Task>) -> bool {
    let (Some(old), Some(new)) = (&diff.old, &diff.new) else {
        return true;
    };
    old.status.state != new.status.state
        || old.desired_state != new.desired_state
        || old.status.err != new.status.err
}

fn say(task: &Task, why: &str, now: Timestamp) -> Action {
    let status = TaskStatus {
        timestamp: now,
        err: why.into(),
        ..task.status.clone()
    };
    Action::Report {
        task: task.id,
        status: Box::new(status),
    }
}
