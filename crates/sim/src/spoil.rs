//! Plants bugs in the plans of the pipeline's stages.

use std::sync::Arc;

use store::{Action, NewTask, Object, Plan, State, Step};
use types::service::{PortConfig, PublishMode, UpdateState};
use types::task::RestartCondition;
use types::{Entropy, NodeId, Service, ServiceMode, Task, TaskId, TaskState};

use crate::bugs::Bug;
use crate::reign::Stage;

/// Whether a stage plans nothing at all.
pub(crate) fn is_silent(stage: &Stage, bug: Option<Bug>) -> bool {
    match stage {
        Stage::Reaper(_) => bug == Some(Bug::NoReaper),
        Stage::Enforcer(_) => bug == Some(Bug::NoEnforcer),
        _ => false,
    }
}

/// Plants a bug in the plan of a stage.
pub(crate) fn spoil(
    stage: &Stage,
    plan: &mut Plan,
    head: &State,
    bug: Option<Bug>,
    rng: &mut dyn Entropy,
) {
    let Some(bug) = bug else { return };
    match stage {
        Stage::Orchestrator(_) => orchestrator(plan, head, bug, rng),
        Stage::Allocator(_) => allocator(plan, head, bug),
        Stage::Scheduler(_) if bug == Bug::AssignAnywhere => scatter(plan, head, rng),
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

fn unguarded(actions: Vec<Action>) -> Step {
    Step {
        guards: Vec::new(),
        actions,
    }
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
    Some(unguarded(vec![stop, Action::NewTask(new)]))
}

/// A task of a job in a slot of its own, above all others.
fn one_more_of_job(plan: &Plan, head: &State, rng: &mut dyn Entropy) -> Option<Step> {
    let of_job = |new: &NewTask| {
        let service = head.services().get(new.service);
        service.is_some_and(|s| matches!(s.spec.mode, ServiceMode::ReplicatedJob { .. }))
    };
    let mut new = first_new(plan, of_job)?;
    let above = head
        .tasks()
        .of_service(new.service)
        .map(|t| t.slot)
        .max()
        .unwrap_or(0);
    new.slot = new.slot.max(above) + 1;
    new.id = TaskId::random(rng);
    Some(unguarded(vec![Action::NewTask(new)]))
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
    Some(unguarded(vec![Action::NewTask(new)]))
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

fn allocator(plan: &mut Plan, head: &State, bug: Bug) {
    for action in plan.steps.iter_mut().flat_map(|s| &mut s.actions) {
        let Action::Update(Object::Service(service)) = action else {
            continue;
        };
        let Some(endpoint) = &service.endpoint else {
            continue;
        };
        let mut endpoint = types::service::Endpoint::clone(endpoint);
        let Some(port) = endpoint.ports.iter_mut().find(|p| ingress(p)) else {
            continue;
        };
        match bug {
            Bug::PortTwice => {
                let others = head.services().iter().filter(|s| s.id != service.id);
                let mut ports = others.flat_map(|s| s.endpoint.iter().flat_map(|e| &e.ports));
                let Some(taken) = ports.find(|p| ingress(p) && p.protocol == port.protocol) else {
                    continue;
                };
                port.published_port = taken.published_port;
            }
            Bug::PortWanders => port.published_port += 100,
            _ => continue,
        }
        let mut spoilt = Service::clone(service);
        spoilt.endpoint = Some(Arc::new(endpoint));
        *service = Arc::new(spoilt);
    }
}

fn ingress(port: &PortConfig) -> bool {
    port.publish_mode == PublishMode::Ingress
}
