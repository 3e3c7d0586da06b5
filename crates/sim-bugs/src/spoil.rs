//! Plants bugs in the plans of the pipeline's stages.

use std::sync::Arc;

use store::{Action, Key, NewTask, Object, Plan, State, Step};
use types::service::{PortConfig, PublishMode, UpdateState};
use types::task::RestartCondition;
use types::{Entropy, NodeId, Service, ServiceMode, Task, TaskId, TaskState};

use crate::Bug;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Evicts tasks.
    Enforcer,
    /// Makes and stops tasks.
    Orchestrator,
    /// Moves tasks to nodes that joined.
    Rebalancer,
    /// Gives ports.
    Allocator,
    /// Places tasks.
    Scheduler,
    /// Deletes records.
    Reaper,
}

/// Whether a stage plans nothing at all.
pub fn is_silent(stage: Stage, bug: Option<Bug>) -> bool {
    match stage {
        Stage::Reaper => bug == Some(Bug::NoReaper),
        Stage::Enforcer => bug == Some(Bug::NoEnforcer),
        _ => false,
    }
}

/// Plants a bug in the plan of a stage.
pub fn spoil(stage: Stage, plan: &mut Plan, head: &State, bug: Option<Bug>, rng: &mut dyn Entropy) {
    let Some(bug) = bug else { return };
    match stage {
        Stage::Orchestrator => orchestrator(plan, head, bug, rng),
        Stage::Allocator => allocator(plan, head, bug),
        Stage::Scheduler if bug == Bug::AssignAnywhere => scatter(plan, head, rng),
        Stage::Scheduler if bug == Bug::Overbook => overbook(plan, head),
        Stage::Reaper => reaper(plan, head, bug),
        _ => {}
    }
}

fn orchestrator(plan: &mut Plan, head: &State, bug: Bug, rng: &mut dyn Entropy) {
    match bug {
        Bug::ForgetDelay => {
            for action in plan.steps.iter_mut().flat_map(|s| &mut s.actions) {
                if let Action::NewTask(new) = action {
                    let job = head.services().get(new.service);
                    let job = job.is_some_and(|s| s.spec.mode.is_job());
                    new.desired_state = if job {
                        TaskState::Complete
                    } else {
                        TaskState::Running
                    };
                }
            }
        }
        Bug::ForgetServices => {
            let gone = |step: &Step| {
                let removal = |a: &Action| match a {
                    Action::Desire { task, state } => {
                        *state == TaskState::Remove && !owned(head, *task)
                    }
                    _ => false,
                };
                step.actions.iter().any(removal)
            };
            plan.steps.retain(|s| !gone(s));
        }
        Bug::OneMoreInFlight => plan.steps.extend(one_more(plan, head, rng)),
        Bug::OneMoreOfJob => plan.steps.extend(one_more_of_job(plan, head, rng)),
        Bug::RestartForever => plan.steps.extend(once_more(head, rng)),
        Bug::RollBackNowhere => roll_back_nowhere(plan, head),
        _ => {}
    }
}

fn owned(head: &State, task: TaskId) -> bool {
    let task = head.tasks().get(task);
    let service = task.and_then(|t| t.service_id);
    service.is_some_and(|s| head.services().contains(s))
}

fn first_new(plan: &Plan, wanted: impl Fn(&NewTask) -> bool) -> Option<NewTask> {
    let actions = plan.steps.iter().flat_map(|s| &s.actions);
    let mut new = actions.filter_map(|a| match a {
        Action::NewTask(new) => Some(new),
        _ => None,
    });
    new.find(|n| wanted(n)).cloned()
}

/// A further slot of an update that is replacing one right now.
fn one_more(plan: &Plan, head: &State, rng: &mut dyn Entropy) -> Option<Step> {
    let replaced = plan.steps.iter().find_map(|step| {
        let new = step.actions.iter().find_map(|a| match a {
            Action::NewTask(new) => Some(new),
            _ => None,
        })?;
        let mut actions = step.actions.iter();
        let stops = actions.any(|a| matches!(a, Action::Desire { .. }));
        stops.then_some(new)
    })?;
    let service = head.services().get(replaced.service)?;
    let running = |t: &&Arc<Task>| {
        t.status.state == TaskState::Running
            && t.desired_state == TaskState::Running
            && t.spec_version != Some(service.spec_version)
            && t.slot != replaced.slot
    };
    let old = head.tasks().of_service(service.id).find(running)?;
    let mut new = replaced.clone();
    new.id = TaskId::random(rng);
    new.slot = old.slot;
    let stop = Action::Desire {
        task: old.id,
        state: TaskState::Shutdown,
    };
    Some(Step::together([stop, Action::NewTask(new)]))
}

/// A task of a job in a slot of its own, above all others.
fn one_more_of_job(plan: &Plan, head: &State, rng: &mut dyn Entropy) -> Option<Step> {
    let of_job = |new: &NewTask| {
        let service = head.services().get(new.service);
        service.is_some_and(|s| matches!(s.spec.mode, ServiceMode::ReplicatedJob { .. }))
    };
    let mut new = first_new(plan, of_job)?;
    let planned = plan.steps.iter().flat_map(|s| &s.actions);
    let planned = planned.filter_map(|a| match a {
        Action::NewTask(other) if other.service == new.service => Some(other.slot),
        _ => None,
    });
    let known = head.tasks().of_service(new.service).map(|t| t.slot);
    let above = known.chain(planned).max().unwrap_or(0);
    new.slot = above + 1;
    new.id = TaskId::random(rng);
    Some(Step::unguarded(Action::NewTask(new)))
}

/// A new task where the policy says that there is none to be.
fn once_more(head: &State, rng: &mut dyn Entropy) -> Option<Step> {
    let given_up = |t: &&Arc<Task>| {
        let never = t.spec().restart.as_ref().map(|r| r.condition) == Some(RestartCondition::None);
        let service = t.service_id.and_then(|s| head.services().get(s));
        let current = service.is_some_and(|s| {
            t.spec_version == Some(s.spec_version)
                && matches!(s.spec.mode, ServiceMode::Replicated { .. })
        });
        let mut slot = t
            .service_id
            .into_iter()
            .flat_map(|s| head.tasks().of_slot(s, t.slot));
        let alone = !slot.any(|o| o.is_runnable());
        never && current && alone && t.status.state == TaskState::Failed
    };
    let old = head.tasks().iter().find(given_up)?;
    let new = NewTask {
        id: TaskId::random(rng),
        service: old.service_id?,
        spec_version: old.spec_version?,
        slot: old.slot,
        node: None,
        desired_state: TaskState::Running,
        job_iteration: None,
    };
    Some(Step::unguarded(Action::NewTask(new)))
}

fn roll_back_nowhere(plan: &mut Plan, head: &State) {
    for action in plan.steps.iter_mut().flat_map(|s| &mut s.actions) {
        let Action::Update(Object::Service(next)) = action else {
            continue;
        };
        let rolls_back = |s: &Service| {
            s.update_status.as_ref().map(|u| u.state) == Some(UpdateState::RollbackStarted)
        };
        let Some(now) = head.services().get(next.id).filter(|s| !rolls_back(s)) else {
            continue;
        };
        if rolls_back(next) {
            let mut spoilt = Service::clone(next);
            spoilt.spec = now.spec.clone();
            *next = Arc::new(spoilt);
        }
    }
}

// Placement and ports.

fn scatter(plan: &mut Plan, head: &State, rng: &mut dyn Entropy) {
    let nodes: Vec<NodeId> = head.nodes().iter().map(|n| n.id).collect();
    let count = nodes.len().max(1) as u64;
    for step in &mut plan.steps {
        for action in &mut step.actions {
            if let Action::Assign { node, .. } = action {
                let some = usize::try_from(rng.next_u64() % count).unwrap_or(0);
                *node = nodes.get(some).copied().unwrap_or(*node);
                step.guards.clear();
            }
        }
    }
}

/// Every task that reserves something goes to one node.
fn overbook(plan: &mut Plan, head: &State) {
    let first = head.nodes().iter().find(|n| n.accepts_tasks());
    let Some(node) = first.map(|n| n.id) else {
        return;
    };
    for step in &mut plan.steps {
        for action in &mut step.actions {
            let Action::Assign { task, node: to, .. } = action else {
                continue;
            };
            let task = head.tasks().get(*task);
            let free = |t: &&Arc<Task>| t.spec().placement.is_none() && t.node_id.is_none();
            let reserves = |t: &Arc<Task>| t.spec().reservations().is_some();
            if task.filter(free).is_some_and(reserves) {
                *to = node;
                step.guards.clear();
            }
        }
    }
}

// Records.

fn reaper(plan: &mut Plan, head: &State, bug: Bug) {
    match bug {
        Bug::HoardHistory => {
            let kept = |step: &Step| {
                let of_service =
                    |a: &Action| matches!(a, Action::Remove(Key::Task(task)) if owned(head, *task));
                step.actions.iter().any(of_service)
            };
            plan.steps.retain(|s| !kept(s));
        }
        Bug::ReapTooEarly if !plan.steps.is_empty() => {
            let mut tasks = head.tasks().iter();
            let running = tasks.find(|t| t.status.state == TaskState::Running);
            let removal = running.map(|t| Step::unguarded(Action::Remove(Key::Task(t.id))));
            plan.steps.extend(removal);
        }
        _ => {}
    }
}

fn allocator(plan: &mut Plan, head: &State, bug: Bug) {
    match bug {
        Bug::PortTwice => {
            for action in plan.steps.iter_mut().flat_map(|s| &mut s.actions) {
                if let Action::Update(Object::Service(service)) = action {
                    port_twice(service, head);
                }
            }
        }
        Bug::PortWanders if !plan.steps.is_empty() => {
            let moved = head.services().iter().find_map(|s| other_port(s, head));
            let moved = moved.map(|s| Step::unguarded(Action::Update(Object::Service(s))));
            plan.steps.extend(moved);
        }
        _ => {}
    }
}

fn port_twice(service: &mut Arc<Service>, head: &State) {
    let others = head.services().iter().filter(|s| s.id != service.id);
    let taken: Vec<_> = others.flat_map(|s| mesh(s).cloned()).collect();
    let like = |p: &&PortConfig, own: &PortConfig| p.protocol == own.protocol;
    let spoilt = with_endpoint(service, |port| {
        let taken = taken.iter().find(|p| like(p, port))?;
        port.published_port = taken.published_port;
        Some(())
    });
    if let Some(spoilt) = spoilt {
        *service = spoilt;
    }
}

/// The service with another port in place of one that was chosen for it.
fn other_port(service: &Arc<Service>, head: &State) -> Option<Arc<Service>> {
    let asked = service.spec.endpoint.iter().flat_map(|e| &e.ports);
    asked
        .clone()
        .find(|p| ingress(p) && p.published_port == 0)?;
    let used = head.services().iter().flat_map(mesh);
    let last = used.map(|p| p.published_port).max()?;
    with_endpoint(service, |port| {
        port.published_port = last + 1;
        Some(())
    })
}

fn mesh(service: &Arc<Service>) -> impl Iterator<Item = &PortConfig> {
    let ports = service.endpoint.iter().flat_map(|e| &e.ports);
    ports.filter(|p| ingress(p))
}

/// The service with its first port of the mesh changed.
fn with_endpoint(
    service: &Service,
    change: impl FnOnce(&mut PortConfig) -> Option<()>,
) -> Option<Arc<Service>> {
    let mut endpoint = types::service::Endpoint::clone(service.endpoint.as_ref()?);
    change(endpoint.ports.iter_mut().find(|p| ingress(p))?)?;
    Some(Arc::new(Service {
        endpoint: Some(Arc::new(endpoint)),
        ..service.clone()
    }))
}

fn ingress(port: &PortConfig) -> bool {
    port.publish_mode == PublishMode::Ingress
}
