//! Whether and when an ended task is replaced. History is the retained records of the slot and
//! nothing else, so a new leader knows what the old one knew.

use std::sync::Arc;
use std::time::Duration;

use store::State;
use types::defaults::{OLD_TASK_WAIT_MAX, RESTART_DELAY, STOP_GRACE_PERIOD, STOP_WAIT_SLACK};
use types::task::{RestartCondition, RestartPolicy};
use types::{ServiceSpec, SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::ground::Ground;
use crate::slot::{Slot, ended_by_itself, reached_at};

/// Failures in a row after which the delay starts to double.
const CRASH_LOOP_MIN: usize = 3;

/// The delay grows to at most this multiple: the records kept by default show no longer loop.
const BACKOFF_FACTOR_MAX: u32 = 8;

/// The least delay after any end: what keeps a loop cool where no history is kept to see it by.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// The least delay in a loop, where the service asks for less or none.
const LOOP_DELAY_MIN: Duration = Duration::from_secs(1);

/// Doubling ends here. Services with a longer delay use it as a schedule, which is kept.
const BACKOFF_DELAY_MAX: Duration = Duration::from_secs(60);

/// A task that lived longer than its greatest delay and this was not part of a crash loop.
const QUICK_DEATH: Duration = Duration::from_secs(10);

/// A task that is, or is about to be, in a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Its id, if it exists.
    pub(crate) id: Option<TaskId>,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// What it is made from.
    pub(crate) spec: &'a Arc<ServiceSpec>,
}

impl<'a> Candidate<'a> {
    /// A task that exists.
    pub(crate) fn task(task: &'a Task) -> Self {
        Self {
            id: Some(task.id),
            created_at: task.meta.created_at,
            spec: &task.service_spec,
        }
    }
}

fn policy(spec: &ServiceSpec) -> RestartPolicy {
    spec.task.restart.clone().unwrap_or_default()
}

/// Whether a task of the slot that does not run any more may be replaced under its policy.
/// Tasks that lost their node are replaced without counting as attempts.
pub(crate) fn may_restart(task: &Task, slot: &Slot<'_>) -> bool {
    let policy = policy(&task.service_spec);
    let is_job = task.service_spec.mode.is_job();
    let condition = match policy.condition {
        RestartCondition::Any if is_job => RestartCondition::OnFailure,
        other => other,
    };
    let allowed = match condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => task.status.state != TaskState::Complete,
        RestartCondition::Any => true,
    };
    if !allowed || policy.max_attempts == 0 || !ended_by_itself(task) {
        return allowed;
    }
    deaths(task, slot, policy.window) <= policy.max_attempts
}

/// Ends of the same spec version in the window that closes with the latest of them, which need not
/// be that of the newest task: a start-first service has two. The first end is not an attempt, so
/// `n` ends mean that `n - 1` attempts are used up.
fn deaths(last: &Task, slot: &Slot<'_>, window: Option<Duration>) -> u64 {
    let window = window.filter(|w| !w.is_zero()).unwrap_or(Duration::MAX);
    let counts = |t: &&Arc<Task>| t.spec_version == last.spec_version && ended_by_itself(t);
    let ends = || slot.tasks().filter(counts).map(|t| reached_at(t));
    let closes = ends().max().unwrap_or(Timestamp::ZERO);
    ends().filter(|at| closes.since(*at) < window).count() as u64
}

/// The pause before a candidate may start: none for replacements of tasks that were told to
/// stop, lost their node or were made from another spec.
pub(crate) fn delay(candidate: &Candidate<'_>, slot: &Slot<'_>) -> Duration {
    let before =
        |t: &&Arc<Task>| Some(t.id) != candidate.id && t.meta.created_at <= candidate.created_at;
    let same = |t: &Task| {
        Arc::ptr_eq(&t.service_spec, candidate.spec) || t.service_spec.task == candidate.spec.task
    };
    let predecessor = slot.tasks().rfind(before);
    if !predecessor.is_some_and(|t| ended_by_itself(t) && same(t)) {
        return Duration::ZERO;
    }
    let base = policy(candidate.spec).delay.unwrap_or(RESTART_DELAY);
    let base = base.max(DELAY_MIN);
    let patience = base.saturating_mul(BACKOFF_FACTOR_MAX) + QUICK_DEATH;
    let ended_quickly = |t: &&Arc<Task>| {
        let lived = reached_at(t).since(t.meta.created_at);
        ended_by_itself(t) && same(t) && lived <= patience
    };
    let failed = |t: &&Arc<Task>| t.status.state != TaskState::Complete;
    let earlier = || slot.tasks().filter(before).rev().take_while(ended_quickly);
    grown(
        base,
        earlier().count(),
        earlier().take_while(failed).count(),
    )
}

/// The delay after so many quick ends in a row, of which so many were failures.
fn grown(base: Duration, ends: usize, failures: usize) -> Duration {
    if ends < CRASH_LOOP_MIN {
        return base;
    }
    let base = base.max(LOOP_DELAY_MIN);
    let doublings = (failures + 1).saturating_sub(CRASH_LOOP_MIN);
    let factor = 1 << doublings.min(BACKOFF_FACTOR_MAX.ilog2() as usize);
    base.saturating_mul(factor).min(BACKOFF_DELAY_MAX.max(base))
}

/// When the restart delay of a task is over that is held ready; it may have to wait longer for the
/// task before it. `None` if it is not held.
pub fn delayed_until(view: &State, task: &Task, now: Timestamp) -> Option<Timestamp> {
    let held = task.desired_state == TaskState::Ready && !task.status.state.is_terminal();
    let service = view.services().get(task.service_id.filter(|_| held)?)?;
    let slot = Slot::read(&Ground::new(view, service, now), SlotKey::of(task));
    let delay = delay(&Candidate::task(task), &slot);
    Some(task.meta.created_at.plus(delay))
}

/// When a candidate may start, as things stand: after its delay, and after every other task of
/// the slot has ended or has been waited for long enough.
pub(crate) fn start_at(
    ground: &Ground<'_>,
    slot: &Slot<'_>,
    candidate: &Candidate<'_>,
) -> Timestamp {
    let after_delay = candidate.created_at.plus(delay(candidate, slot));
    let others = slot.records.iter();
    let patience = others
        .filter(|t| Some(t.id) != candidate.id && ground.occupies(t))
        .map(|t| wait_max(t))
        .max();
    match patience {
        None => after_delay,
        Some(wait) => after_delay.max(candidate.created_at.plus(wait)),
    }
}

/// How long a replacement waits for a task to end. SwarmKit waits one minute; a task whose stop
/// may lawfully take longer is given that, or two tasks would run in one slot.
fn wait_max(task: &Task) -> Duration {
    let container = task.spec().container();
    let grace = container.and_then(|c| c.stop_grace_period);
    let grace = grace.unwrap_or(STOP_GRACE_PERIOD);
    OLD_TASK_WAIT_MAX.max(grace.saturating_add(STOP_WAIT_SLACK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_the_third_failure_in_a_row_up_to_eight_times() {
        let secs = |n| grown(Duration::from_secs(5), n, n).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 60].map(secs), [5, 5, 10, 20, 40, 40, 40]);
        assert_eq!(grown(Duration::ZERO, 2, 2), Duration::ZERO);
        assert_eq!(grown(Duration::ZERO, 3, 3), Duration::from_secs(2));
    }

    #[test]
    fn tasks_that_succeed_and_delays_used_as_a_schedule_are_not_slowed_down() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        assert_eq!(grown(Duration::ZERO, 9, 0), second);
        assert_eq!(grown(5 * second, 9, 0), 5 * second);
        assert_eq!(grown(hour, 9, 9), hour);
    }

    #[test]
    fn a_replacement_waits_until_the_worker_has_killed_the_old_task_and_told_so() {
        let waits = |grace: Option<u64>| {
            let container = types::ContainerSpec {
                stop_grace_period: grace.map(Duration::from_secs),
                ..types::ContainerSpec::default()
            };
            let mut spec = types::ServiceSpec::default();
            spec.task.runtime = types::Runtime::Container(Box::new(container));
            wait_max(&Task::new(types::TaskId::from_u128(1).unwrap(), spec))
        };
        for grace in [None, Some(0), Some(70), Some(3_600)] {
            let by_itself = grace.map_or(STOP_GRACE_PERIOD, Duration::from_secs);
            let killed = by_itself + types::defaults::STOP_SLACK;
            assert!(waits(grace) >= killed + Duration::from_secs(5), "{grace:?}");
        }
        assert_eq!(waits(Some(10)), OLD_TASK_WAIT_MAX);
    }
}
