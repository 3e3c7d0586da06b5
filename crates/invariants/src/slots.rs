//! What holds for the tasks of one slot together (O5, O7, O9).

use std::sync::Arc;

use store::{Commit, Diff, State};
use types::defaults::{OLD_TASK_WAIT_MAX, STOP_GRACE_PERIOD, STOP_WAIT_SLACK};
use types::service::{UpdateConfig, UpdateOrder, UpdateState};
use types::task::RestartCondition;
use types::{
    NodeState, Service, ServiceId, ServiceMode, ServiceSpec, SlotKey, Task, TaskSpec, TaskState,
};

use crate::{Checker, Verdict, must};

pub(crate) fn check(
    checker: &Checker,
    (before, after): (&State, &State),
    diff: &Diff<Task>,
    commit: &Commit,
) -> Verdict {
    let Some(task) = diff.new.as_ref() else {
        return Ok(());
    };
    let Some(service) = task.service_id.and_then(|s| after.services().get(s)) else {
        return Ok(());
    };
    let slot = records(after, service.id, SlotKey::of(task));
    let goal = goal(service);
    let born = diff.old.is_none();
    let held = diff.old.as_ref().is_some_and(|t| t.desired_state < goal);
    // The policy that counts depends on where the update stands, which a later step of the same
    // transaction may have moved.
    let known = before.services().get(service.id);
    let beside = born
        && known
            .into_iter()
            .chain([service])
            .any(|s| may_start_first(s));
    if task.desired_state == goal && (born || held) && !beside {
        slot_is_free(after, task, &slot, commit)?;
    }
    if born {
        one_runnable(service, task, &slot, beside)?;
        not_done_yet(service, task, &slot)?;
        if !tries_anew(checker, before, service, task) {
            may_be_replaced(checker, task, &slot)?;
        }
        in_its_turn(checker, after, service, task)?;
    }
    Ok(())
}

/// Whether a service asks for replacements that run before the old task stops.
pub(crate) fn may_start_first(service: &Service) -> bool {
    let configs = [service.spec.update, service.spec.rollback];
    let first = |c: &UpdateConfig| c.order == UpdateOrder::StartFirst;
    configs.iter().flatten().any(first)
}

fn goal(service: &Service) -> TaskState {
    if service.spec.mode.is_job() {
        TaskState::Complete
    } else {
        TaskState::Running
    }
}

/// The tasks of one slot.
pub(crate) fn records(state: &State, service: ServiceId, key: SlotKey) -> Vec<&Arc<Task>> {
    let all = state.tasks().of_service(service);
    all.filter(|t| SlotKey::of(t) == key).collect()
}

/// O5: one task that is meant to run, or two where replacements start first. Judged at births: no
/// other change makes a task runnable. So two that an earlier policy left behind are lawful until
/// the next plan, and nothing is born beside them.
fn one_runnable(service: &Service, task: &Task, slot: &[&Arc<Task>], beside: bool) -> Verdict {
    // What is left of an earlier run of a job is told to go by the next plan, since whoever begins
    // a run only writes the service. Until it ended, the new run is held (`slot_is_free`); that
    // none is forgotten is checked in the end (L1).
    let same_run = |t: &&&Arc<Task>| t.job_iteration == task.job_iteration;
    let runnable: Vec<_> = slot.iter().filter(same_run).collect();
    let runnable: Vec<_> = runnable.iter().filter(|t| t.is_runnable()).collect();
    let max = 1 + usize::from(beside);
    must!(
        runnable.len() <= max,
        "O5",
        "{} runnable tasks in slot {:?} of service {}: {}",
        runnable.len(),
        SlotKey::of(task),
        service.id,
        describe(slot)
    );
    Ok(())
}

/// O5: a task is let run only when nothing else of its slot can still run, or has been waited for.
/// A node that is down or removed is not waited for, nor is an old task for ever: that is promised.
/// Not asked of what is born to run beside another; one that was held waits whatever the order.
fn slot_is_free(after: &State, task: &Task, slot: &[&Arc<Task>], commit: &Commit) -> Verdict {
    for other in slot.iter().filter(|t| t.id != task.id && t.is_active()) {
        let node = other.node_id.and_then(|n| after.nodes().get(n));
        let lost = node.is_none_or(|n| n.status.state == NodeState::Down);
        let container = other.spec().container();
        let grace = container.and_then(|c| c.stop_grace_period);
        let grace = grace.unwrap_or(STOP_GRACE_PERIOD) + STOP_WAIT_SLACK;
        let until = task.meta.created_at.plus(OLD_TASK_WAIT_MAX.max(grace));
        must!(
            lost || commit.at >= until,
            "O5",
            "task {} may start beside task {}, which is {}: {}",
            task.id,
            other.id,
            other.status.state,
            describe(slot)
        );
    }
    Ok(())
}

/// O9: a completed slot of a job is not run again, and no more run at once than were asked for.
fn not_done_yet(service: &Service, task: &Task, slot: &[&Arc<Task>]) -> Verdict {
    if !service.spec.mode.is_job() {
        return Ok(());
    }
    let same_run = |t: &&&Arc<Task>| t.job_iteration == task.job_iteration;
    let done = |t: &&&Arc<Task>| t.status.state == TaskState::Complete;
    must!(
        !slot.iter().filter(same_run).any(|t| done(&t)),
        "O9",
        "slot {:?} of job {} is run again after it completed",
        SlotKey::of(task),
        service.id
    );
    Ok(())
}

/// Whether an update gives a slot its new task in place of one of another version that is meant to
/// run. What earlier updates tried beside that one is not held against it: who goes back to a
/// version asks for it anew.
fn tries_anew(checker: &Checker, before: &State, service: &Service, task: &Task) -> bool {
    let slot = records(before, service.id, SlotKey::of(task));
    let outdated = |t: &&&Arc<Task>| t.is_runnable() && t.spec_version != task.spec_version;
    let tried = |t: &&&Arc<Task>| t.spec_version == task.spec_version;
    let newest = slot
        .iter()
        .filter(tried)
        .filter_map(|t| checker.born.get(&t.id));
    let began = checker.updates.get(&service.id).map_or(0, |u| u.1);
    slot.iter().any(|t| outdated(&t)) && newest.max().is_some_and(|born| born.0 < began)
}

/// O8: a task that ended by itself is replaced as its policy allows. What counts is the last task
/// of the slot, if it is of the same spec and nobody had told it to stop: a new spec and a new run
/// begin anew, so does a slot that was scaled away, and what an operator or a lost node ends is
/// replaced whatever the policy. Where attempts are counted in a window, older ones are lawfully
/// forgotten: the limit of births a minute is what holds there.
fn may_be_replaced(checker: &Checker, task: &Task, slot: &[&Arc<Task>]) -> Verdict {
    let mut earlier: Vec<_> = slot.iter().filter(|t| t.id != task.id).collect();
    earlier.sort_by_key(|t| checker.born.get(&t.id));
    let same =
        |t: &Task| t.spec_version == task.spec_version && t.job_iteration == task.job_iteration;
    let Some(last) = earlier.last().filter(|t| same(t)) else {
        return Ok(());
    };
    let by_itself = |t: &Task| {
        let ended = [TaskState::Complete, TaskState::Failed, TaskState::Rejected];
        let given_up = t.desired_state == TaskState::Remove;
        ended.contains(&t.status.state) && !given_up && !checker.told_to_stop.contains(&t.id)
    };
    if !by_itself(last) {
        return Ok(());
    }
    let policy = task.spec().restart.clone().unwrap_or_default();
    let allowed = match policy.condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => last.status.state != TaskState::Complete,
        RestartCondition::Any => true,
    };
    must!(
        allowed,
        "O8",
        "task {} replaces {}, which is {}, against the policy {:?}",
        task.id,
        last.id,
        last.status.state,
        policy.condition
    );
    let deaths = earlier.iter().filter(|t| same(t) && by_itself(t)).count() as u64;
    let limited = policy.max_attempts > 0 && policy.window.is_none_or(|w| w.is_zero());
    must!(
        !limited || deaths <= policy.max_attempts,
        "O8",
        "task {} is attempt {deaths} in its slot, {} are allowed",
        task.id,
        policy.max_attempts
    );
    Ok(())
}

/// O7: an update has no more slots in flight than it may; O9 for jobs. Judged when a step of the
/// update is born, since nothing else takes a slot further. Jobs are not rolled: another run is all
/// there is to their update. The pause after a slot (`delay`) is left to the orchestrator's tests.
fn in_its_turn(checker: &Checker, after: &State, service: &Service, task: &Task) -> Verdict {
    if let ServiceMode::ReplicatedJob { max_concurrent, .. } = service.spec.mode {
        let run = service.job_status.map_or(0, |j| j.iteration);
        let busy = after.tasks().of_service(service.id);
        let busy = busy.filter(|t| t.is_runnable() && t.job_iteration == Some(run));
        let busy = busy.count() as u64;
        must!(
            busy <= max_concurrent,
            "O9",
            "{busy} tasks of job {} at once, {max_concurrent} allowed",
            service.id
        );
    }
    let state = service.update_status.as_ref().map(|s| s.state);
    let config = match state {
        _ if service.spec.mode.is_job() => return Ok(()),
        Some(UpdateState::Updating) => service.spec.update,
        Some(UpdateState::RollbackStarted) => service.spec.rollback,
        _ => return Ok(()),
    };
    let parallelism = config.unwrap_or_default().parallelism;
    if parallelism == 0 || !steps_forward(checker, service, task) {
        return Ok(());
    }
    let tasks = after.tasks().of_service(service.id);
    let in_flight = tasks.filter(|t| {
        t.status.state < TaskState::Running
            && t.desired_state < TaskState::Shutdown
            && steps_forward(checker, service, t)
    });
    let in_flight = in_flight.count() as u64;
    must!(
        in_flight <= parallelism,
        "O7",
        "{in_flight} slots of service {} are in flight, {parallelism} allowed",
        service.id
    );
    Ok(())
}

/// Whether a task that is born takes over from one of another version that was meant to run: a
/// step of an update. What fills a slot that was given up before is none: parallelism bounds what
/// an update takes away, and nothing is taken there. Nor is what takes over from one that runs the
/// same and is moved, from a drained node say: an update may have put another beside that one, and
/// a rollback made it the current one again.
pub(crate) fn is_step(checker: &Checker, before: &State, task: &Task) -> bool {
    let Some(service) = task.service_id else {
        return false;
    };
    let slot = records(before, service, SlotKey::of(task));
    let other = |t: &Task| runs_another(&t.service_spec, &task.service_spec);
    let last = slot.iter().max_by_key(|t| checker.born.get(&t.id));
    let takes_over = last.is_some_and(|t| t.desired_state <= TaskState::Running && other(t));
    takes_over && !slot.iter().any(|t| t.is_runnable() && !other(t))
}

/// Whether two specs run something different, wherever they put it and however often. Where only
/// the placement differs, tasks that fit stay, and the enforcer evicts the others at once, whatever
/// the update is at.
fn runs_another(a: &ServiceSpec, b: &ServiceSpec) -> bool {
    let bare = |s: &ServiceSpec| TaskSpec {
        placement: None,
        ..s.task.clone()
    };
    a.endpoint != b.endpoint || bare(a) != bare(b)
}

/// Whether the update under way made this task from one of another version. Those of an earlier
/// update are of another version, or of one that this update goes back to, and then not outdated.
fn steps_forward(checker: &Checker, service: &Service, task: &Task) -> bool {
    let began = checker.updates.get(&service.id).map_or(0, |u| u.1);
    let is_new = checker.born.get(&task.id).is_some_and(|b| b.0 >= began);
    let is_current = task.spec_version == Some(service.spec_version);
    is_new && is_current && checker.steps.contains(&task.id)
}

pub(crate) fn describe(slot: &[&Arc<Task>]) -> String {
    let one = |t: &&Arc<Task>| {
        let (id, state, wanted) = (t.id, t.status.state, t.desired_state);
        let version = t.spec_version.unwrap_or(0);
        let (slot, node) = (SlotKey::of(t), t.node_id);
        format!("\n    {id} {state}, wanted {wanted}, spec {version}, {slot:?} on {node:?}")
    };
    slot.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
