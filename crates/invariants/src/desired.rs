//! Whether a cluster that was left alone is as its users want it (L1, O10, O11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::State;
use types::defaults::TASK_HISTORY_RETENTION_LIMIT;
use types::service::{FailureAction, PortConfig, Protocol, PublishMode, UpdateState};
use types::task::RestartCondition;
use types::{
    Availability, Node, NodeId, NodeState, Service, ServiceMode, SlotKey, Task, TaskId, TaskState,
};

use crate::slots::may_start_first;
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
        let lost = || is_lost(state, task);
        must!(
            live || lost(),
            "L1",
            "task {} of a removed service is still there, {} and wanted {}",
            task.id,
            task.status.state,
            task.desired_state
        );
        let stuck = task.desired_state > TaskState::Complete && task.is_active();
        must!(
            !stuck || lost(),
            "L1",
            "task {} is {} and was told to stop",
            task.id,
            task.status.state
        );
        fits_where_it_is(state, task)?;
    }
    state.services().iter().try_for_each(|s| service(state, s))
}

/// What runs is where its own constraints allow it or those that its service has by now (an update
/// that paused has not replaced it), on a node that is not drained. Where replacements start first,
/// a drained node's task goes on as long as there is no room for its replacement, and for good if
/// its like ended as often as it may; a paused node keeps what it has.
fn fits_where_it_is(state: &State, task: &Task) -> Verdict {
    let node = task.node_id.and_then(|n| state.nodes().get(n));
    let Some(node) = node.filter(|n| n.status.state == NodeState::Ready) else {
        return Ok(());
    };
    let runs = task.status.state == TaskState::Running && task.is_runnable();
    let service = task.service_id.and_then(|s| state.services().get(s));
    let beside = |t: &&Arc<Task>| t.id != task.id && SlotKey::of(t) == SlotKey::of(task);
    let kept = |s: &Arc<Service>| {
        let slot: Vec<_> = state.tasks().of_service(s.id).filter(beside).collect();
        let tried = |t: &Task| {
            let like = t.spec_version == task.spec_version;
            like && t.meta.created_at >= task.meta.created_at && ended_for_good(t, &slot)
        };
        may_start_first(s) && slot.iter().any(|t| t.is_runnable() || tried(t))
    };
    let drained = node.spec.availability == Availability::Drain && !service.is_some_and(kept);
    let specs = service.map(|s| &s.spec.task).into_iter();
    let mut specs = specs.chain([task.spec()]);
    let fits = node.spec.availability == Availability::Pause
        || specs.any(|s| scheduler::constraint::check_all(&constraints(s), node));
    must!(
        !runs || (fits && !drained),
        "L1",
        "task {} runs on node {}, which is {} and where it does not belong",
        task.id,
        node.id,
        node.spec.availability.name()
    );
    Ok(())
}

/// O3 of a pipeline that has nothing to do: no task is left on a node that no longer fits it. What
/// an update has yet to replace may be: its node changed while another spec did not mind.
///
/// # Errors
/// The first task that should have been evicted.
pub fn nothing_misplaced(state: &State) -> Verdict {
    for service in state.services().iter() {
        let asked = constraints(&service.spec.task);
        let tasks = state.tasks().of_service(service.id);
        // What a task itself asks for held when it came: its node has changed since.
        let moved = |t: &Task, n: &Node| {
            let own = constraints(t.spec());
            !scheduler::constraint::check_all(&asked, n)
                && !scheduler::constraint::check_all(&own, n)
        };
        let status = service.update_status.as_ref().map(|s| s.state);
        let over = matches!(
            status,
            None | Some(
                UpdateState::Unknown | UpdateState::Completed | UpdateState::RollbackCompleted
            )
        );
        let due = |t: &&Arc<Task>| over || t.spec_version == Some(service.spec_version);
        let live = tasks.filter(|t| !asked.is_empty() && t.is_active() && t.is_runnable());
        for task in live.filter(due) {
            let node = task.node_id.and_then(|n| state.nodes().get(n));
            let node = node.filter(|n| n.accepts_tasks() && moved(task, n));
            must!(
                node.is_none(),
                "O3",
                "task {} is left on node {}, which no longer fits {asked:?}",
                task.id,
                node.map(|n| n.id.to_string()).unwrap_or_default()
            );
        }
    }
    Ok(())
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
        must!(
            !past
                || !task.is_runnable()
                || service.spec.options.schedule.is_some()
                || is_lost(state, task),
            "L1",
            "task {} of an earlier run of job {} is {}, wanted {}",
            task.id,
            service.id,
            task.status.state,
            task.desired_state
        );
        if !past && task.desired_state < TaskState::Remove {
            slots.entry(SlotKey::of(task)).or_default().push(task);
        }
    }
    let (mut taken, mut waiting) = (0, 0u64);
    let mut free = BTreeSet::new();
    for (key, tasks) in &slots {
        match satisfied(state, service, *key, tasks)? {
            Standing::Taken => taken += 1,
            Standing::Waiting => waiting += 1,
            Standing::Free => drop(free.insert(*key)),
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
                let key = SlotKey::Node(node.id);
                must!(
                    slots.contains_key(&key) && !free.contains(&key),
                    "L1",
                    "service {id} has no task on node {}",
                    node.id
                );
            }
        }
    }
    if waiting > 0 {
        // An update goes on when there is room for its tasks, or gives up (`updates_gave_up`).
        return Ok(());
    }
    settled(state, service)
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

/// L1: no update is under way that should have given up by now, because its tasks have waited for
/// room longer than any update may. One that continues whatever fails waits for ever, as it was
/// asked to.
///
/// # Errors
/// The first update that should be over.
pub fn updates_gave_up(state: &State) -> Verdict {
    let patient = |s: &Service| {
        let rolls_back =
            s.update_status.as_ref().map(|u| u.state) == Some(UpdateState::RollbackStarted);
        let config = if rolls_back {
            s.spec.rollback
        } else {
            s.spec.update
        };
        config.unwrap_or_default().failure_action == FailureAction::Continue
    };
    let mut over = state.services().iter().filter(|s| !patient(s));
    let stuck = over.find(|s| updates(s));
    stuck.map_or(Ok(()), |s| settled(state, s))
}

/// No update goes on for ever.
fn settled(state: &State, service: &Service) -> Verdict {
    let tasks: Vec<_> = state.tasks().of_service(service.id).collect();
    must!(
        !updates(service),
        "L1",
        "the update of service {} to spec {} does not end: {:?}{}",
        service.id,
        service.spec_version,
        service.update_status,
        crate::slots::describe(&tasks)
    );
    Ok(())
}

/// Whether a service with one task per node must have one there.
fn belongs(node: &Node, service: &Service) -> bool {
    node.status.state == NodeState::Ready
        && node.spec.availability == Availability::Active
        && scheduler::constraint::check_all(&constraints(&service.spec.task), node)
}

pub(crate) fn constraints(spec: &types::TaskSpec) -> Vec<String> {
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
        let done = tasks
            .iter()
            .any(|t| ended_for_good(t, tasks) || lost_for_good(state, t));
        return Ok(if done {
            Standing::Taken
        } else {
            Standing::Free
        });
    };
    let waits = |t: &Arc<Task>| match t.status.state {
        TaskState::Pending => !a_node_fits(state, t),
        TaskState::New => a_port_is_taken(state, service),
        _ => false,
    };
    if wanted.len() == 2 && may_start_first(service) && wanted.iter().any(|t| waits(t)) {
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

/// Whether the policy lets a task that ended rest: it asks for no other, or its attempts are used
/// up. Ends that were so long ago that they left the window of attempts may have lost their records
/// since, so where there is a window one end that could be the last is enough.
fn ended_for_good(task: &Task, slot: &[&Arc<Task>]) -> bool {
    let policy = task.spec().restart.clone().unwrap_or_default();
    let by_itself = |t: &Task| {
        let ended = [TaskState::Complete, TaskState::Failed, TaskState::Rejected];
        ended.contains(&t.status.state)
    };
    let condition = match policy.condition {
        RestartCondition::None => true,
        RestartCondition::OnFailure => task.status.state == TaskState::Complete,
        RestartCondition::Any => false,
    };
    let same = |t: &Task| by_itself(t) && t.spec_version == task.spec_version;
    let ends = slot.iter().filter(|t| same(t)).count() as u64;
    let windowed = policy.window.is_some_and(|w| !w.is_zero());
    let used_up = policy.max_attempts > 0 && (windowed || ends > policy.max_attempts);
    task.status.state.is_terminal() && (condition || (by_itself(task) && used_up))
}

/// Whether a task that was lost with its node may not be replaced.
fn lost_for_good(state: &State, task: &Task) -> bool {
    let policy = task.spec().restart.clone().unwrap_or_default();
    is_lost(state, task) && policy.condition == RestartCondition::None
}

/// Whether another service has a port of the routing mesh that this one asks for.
fn a_port_is_taken(state: &State, service: &Service) -> bool {
    let asked = service.spec.endpoint.iter().flat_map(|e| &e.ports);
    let mut mesh = asked.filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port > 0);
    let holds = |s: &Arc<Service>, port: &PortConfig| {
        let mut given = s.endpoint.iter().flat_map(|e| &e.ports);
        let same =
            |p: &PortConfig| (p.protocol, p.published_port) == (port.protocol, port.published_port);
        s.id != service.id && given.any(same)
    };
    mesh.any(|port| state.services().iter().any(|s| holds(s, port)))
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
    let wanted = host_ports(task);
    let taken = |t: &Arc<Task>| t.is_active() && t.id != task.id && clash(&host_ports(t), &wanted);
    if state.tasks().on_node(node.id).any(taken) {
        return false;
    }
    let max = task.spec().placement.as_ref().map_or(0, |p| p.max_replicas);
    let of_service = state.tasks().on_node(node.id);
    let of_service = of_service.filter(|t| t.is_runnable() && t.service_id == task.service_id);
    cpus >= 0 && memory >= 0 && (max == 0 || (of_service.count() as u64) < max)
}

/// Ports that a task publishes on its node.
pub(crate) fn host_ports(task: &Task) -> Vec<(Protocol, u32)> {
    let allocated = task.endpoint.iter().flat_map(|e| &e.ports);
    let declared = task.service_spec.endpoint.iter().flat_map(|e| &e.ports);
    let ports: Vec<_> = if task.endpoint.is_some() {
        allocated.collect()
    } else {
        declared.collect()
    };
    let host = |p: &&PortConfig| p.publish_mode == PublishMode::Host && p.published_port != 0;
    ports
        .into_iter()
        .filter(host)
        .map(|p| (p.protocol, p.published_port))
        .collect()
}

/// Whether two tasks want the same port.
pub(crate) fn clash(one: &[(Protocol, u32)], two: &[(Protocol, u32)]) -> bool {
    one.iter().any(|port| two.contains(port))
}

/// O10: the records of a slot are bounded. What may still run on a node that is down is not
/// counted: its record stays until the node tells or is given up.
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
    let down = |id| {
        let node = state.nodes().get(id);
        node.is_some_and(|n| n.status.state == NodeState::Down)
    };
    let may_run_unseen = |t: &Task| t.is_active() && t.node_id.is_some_and(down);
    let mut counts: BTreeMap<_, (usize, u64)> = BTreeMap::new();
    for task in state.tasks().iter().filter(|t| !may_run_unseen(t)) {
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
