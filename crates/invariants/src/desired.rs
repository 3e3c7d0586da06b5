//! Whether a cluster that was left alone is as its users want it (L1, O10, O11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orchestrator::SlotKey;
use store::State;
use types::defaults::TASK_HISTORY_RETENTION_LIMIT;
use types::service::{UpdateConfig, UpdateOrder, UpdateState};
use types::task::RestartCondition;
use types::{Availability, Node, NodeId, NodeState, Service, ServiceMode, Task, TaskId, TaskState};

use crate::{Verdict, must};

/// Records of a slot that may be kept beyond the limit and the attempts that a policy counts: the
/// newest one, the one before it, and the two that an update is judged by.
const RECORDS_NEEDED_MAX: usize = 4;

/// L1: every service is as desired: what should run runs, nothing else does, nothing waits
/// without a cause that users can see.
///
/// # Errors
/// The first service that is not.
pub fn as_desired(state: &State) -> Verdict {
    for task in state.tasks().iter() {
        let live = task.service_id.is_none_or(|s| state.services().contains(s));
        must!(
            live,
            "L1",
            "task {} of a removed service is still there, {} and wanted {}",
            task.id,
            task.status.state,
            task.desired_state
        );
        let stuck = task.desired_state > TaskState::Complete && task.is_active();
        let lost = || is_lost(state, task);
        must!(
            !stuck || lost(),
            "L1",
            "task {} is {} and was told to stop",
            task.id,
            task.status.state
        );
    }
    state.services().iter().try_for_each(|s| service(state, s))
}

fn is_lost(state: &State, task: &Task) -> bool {
    let node = task.node_id.and_then(|n| state.nodes().get(n));
    task.node_id.is_some() && node.is_none_or(|n| n.status.state == NodeState::Down)
}

fn service(state: &State, service: &Arc<Service>) -> Verdict {
    let mut slots: BTreeMap<SlotKey, Vec<&Arc<Task>>> = BTreeMap::new();
    for task in state.tasks().of_service(service.id) {
        let run = service.job_status.map(|j| j.iteration);
        let past = service.spec.mode.is_job() && task.job_iteration != run;
        if !past && task.desired_state < TaskState::Remove {
            slots.entry(SlotKey::of(task)).or_default().push(task);
        }
    }
    let (mut taken, mut waiting) = (0, 0u64);
    for (key, tasks) in &slots {
        match satisfied(state, service, *key, tasks)? {
            Standing::Taken => taken += 1,
            Standing::Waiting => waiting += 1,
            Standing::Free => {}
        }
    }
    let id = service.id;
    match service.spec.mode {
        ServiceMode::Replicated { replicas } => must!(
            taken + waiting == replicas,
            "L1",
            "service {id} has {taken} and {waiting} of {replicas} slots, update {:?}",
            service.update_status
        ),
        ServiceMode::ReplicatedJob {
            total_completions, ..
        } => must!(
            taken == total_completions || waiting > 0,
            "L1",
            "job {id} has {taken} of {total_completions} completions"
        ),
        ServiceMode::Global | ServiceMode::GlobalJob => {
            for node in state.nodes().iter().filter(|n| belongs(n, service)) {
                let slot = slots.get(&SlotKey::Node(node.id));
                must!(
                    slot.is_some(),
                    "L1",
                    "service {id} has no task on node {}",
                    node.id
                );
            }
        }
    }
    if waiting > 0 {
        // An update goes on when there is room for its tasks.
        return Ok(());
    }
    settled(service)
}

/// Whether an update or a rollback of any service is under way.
pub fn is_updating(state: &State) -> bool {
    state.services().iter().any(|s| updates(s))
}

fn updates(service: &Service) -> bool {
    let status = service.update_status.as_ref().map(|s| s.state);
    let open = [UpdateState::Updating, UpdateState::RollbackStarted];
    status.is_some_and(|s| open.contains(&s))
}

/// No update goes on for ever.
fn settled(service: &Service) -> Verdict {
    must!(
        !updates(service),
        "L1",
        "the update of service {} does not end: {:?}",
        service.id,
        service.update_status
    );
    Ok(())
}

/// Whether a service with one task per node must have one there.
fn belongs(node: &Node, service: &Service) -> bool {
    node.status.state == NodeState::Ready
        && node.spec.availability == Availability::Active
        && scheduler::constraint::check_all(&constraints(&service.spec.task), node)
}

fn constraints(spec: &types::TaskSpec) -> Vec<String> {
    let placement = spec.placement.iter().flat_map(|p| &p.constraints);
    placement.cloned().collect()
}

/// How a slot stands.
enum Standing {
    /// By a task that runs, or that ended for good.
    Taken,
    /// By a task for which there is no room, and which says so.
    Waiting,
    /// By nothing.
    Free,
}

/// How a slot stands; an error if it is in between.
fn satisfied(
    state: &State,
    service: &Service,
    key: SlotKey,
    tasks: &[&Arc<Task>],
) -> Result<Standing, crate::Violation> {
    let wanted: Vec<_> = tasks.iter().filter(|t| t.is_runnable()).collect();
    let is_job = service.spec.mode.is_job();
    if is_job && tasks.iter().any(|t| t.status.state == TaskState::Complete) {
        must!(
            wanted.is_empty(),
            "L1",
            "completed slot {key:?} of job {} still has a task",
            service.id
        );
        return Ok(Standing::Taken);
    }
    let Some(task) = wanted.first() else {
        let done = tasks.iter().any(|t| ended_for_good(t));
        return Ok(if done {
            Standing::Taken
        } else {
            Standing::Free
        });
    };
    let waits = |t: &Arc<Task>| t.status.state == TaskState::Pending && !a_node_fits(state, t);
    if wanted.len() == 2 && starts_first(service) && wanted.iter().any(|t| waits(t)) {
        // The old task goes on until there is room for the new one beside it.
        return Ok(Standing::Waiting);
    }
    must!(
        wanted.len() == 1,
        "L1",
        "slot {key:?} of service {} has several tasks:{}",
        service.id,
        crate::slots::describe(tasks)
    );
    if task.status.state == TaskState::Running && task.desired_state == TaskState::Running {
        return Ok(Standing::Taken);
    }
    must!(
        waits(task),
        "L1",
        "task {} in slot {key:?} of service {} is {}, wanted {}: {} {}",
        task.id,
        service.id,
        task.status.state,
        task.desired_state,
        task.status.message,
        task.status.err
    );
    must!(
        !task.status.err.is_empty(),
        "L1",
        "task {} waits without saying why",
        task.id
    );
    Ok(Standing::Waiting)
}

fn starts_first(service: &Service) -> bool {
    let configs = [service.spec.update, service.spec.rollback];
    let first = |c: &UpdateConfig| c.order == UpdateOrder::StartFirst;
    configs.iter().flatten().any(first)
}

/// Whether the policy lets a task that ended rest.
fn ended_for_good(task: &Task) -> bool {
    let policy = task.spec().restart.clone().unwrap_or_default();
    let by_itself = matches!(
        task.status.state,
        TaskState::Complete | TaskState::Failed | TaskState::Rejected
    );
    let condition = match policy.condition {
        RestartCondition::None => true,
        RestartCondition::OnFailure => task.status.state == TaskState::Complete,
        RestartCondition::Any => false,
    };
    task.status.state.is_terminal() && (condition || (by_itself && policy.max_attempts > 0))
}

/// Whether any node could take the task now.
fn a_node_fits(state: &State, task: &Task) -> bool {
    let constraints = constraints(task.spec());
    state.nodes().iter().any(|node| {
        let bound = task.node_id.is_none_or(|n| n == node.id);
        let open = node.accepts_tasks() && scheduler::constraint::check_all(&constraints, node);
        bound && open && has_room(state, node, task)
    })
}

fn has_room(state: &State, node: &Node, task: &Task) -> bool {
    let Some(has) = node.description.as_ref().map(|d| &d.resources) else {
        return true;
    };
    let (mut cpus, mut memory) = (has.nano_cpus, has.memory_bytes);
    let there = state.tasks().on_node(node.id).filter(|t| t.is_active());
    for other in there.map(Arc::as_ref).chain([task]) {
        let reserved = other.spec().reservations();
        cpus -= reserved.map_or(0, |r| r.nano_cpus);
        memory -= reserved.map_or(0, |r| r.memory_bytes);
    }
    let max = task.spec().placement.as_ref().map_or(0, |p| p.max_replicas);
    let of_service = state.tasks().on_node(node.id);
    let of_service = of_service.filter(|t| t.is_runnable() && t.service_id == task.service_id);
    cpus >= 0 && memory >= 0 && (max == 0 || (of_service.count() as u64) < max)
}

/// O10: the records of a slot are bounded.
///
/// # Errors
/// The first slot with too many.
pub fn history_is_bounded(state: &State) -> Verdict {
    let limit = state.cluster().map_or(TASK_HISTORY_RETENTION_LIMIT, |c| {
        c.spec.task_history_retention_limit
    });
    let Ok(limit) = usize::try_from(limit) else {
        return Ok(());
    };
    let mut counts: BTreeMap<_, (usize, u64)> = BTreeMap::new();
    for task in state.tasks().iter() {
        let policy = task.spec().restart.as_ref();
        let attempts = policy.map_or(0, |p| p.max_attempts);
        let slot = counts.entry((task.service_id, SlotKey::of(task)));
        let (count, most) = slot.or_default();
        *count += 1;
        *most = (*most).max(attempts);
    }
    for ((service, key), (count, attempts)) in counts {
        let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
        let max = limit
            .saturating_add(attempts)
            .saturating_add(RECORDS_NEEDED_MAX);
        must!(
            count <= max,
            "O10",
            "{count} records in slot {key:?} of service {service:?}, {max} are enough"
        );
    }
    Ok(())
}

/// O11: the tasks of which something runs on a node, if the node does as it was told and has told
/// everything.
pub fn must_run(state: &State, node: NodeId) -> BTreeSet<TaskId> {
    let there = state.tasks().on_node(node);
    let running = there.filter(|t| t.status.state == TaskState::Running);
    running
        .filter(|t| t.desired_state <= TaskState::Complete)
        .map(|t| t.id)
        .collect()
}
