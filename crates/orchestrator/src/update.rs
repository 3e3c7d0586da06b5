//! Rolling updates and rollbacks: which slots are replaced next, and when an update ends.
//!
//! Where an update stands is read from the tasks' spec versions and times and from the service's
//! update status. A slot is outdated (its turn is to come), in flight (its new task has not run
//! yet, or the delay after it is not over) or done; so a new leader goes on exactly where the old
//! one stopped.

use std::time::Duration;

use store::{Action, Object, Step};
use types::defaults::UPDATE_MONITOR;
use types::service::{FailureAction, UpdateConfig, UpdateState, UpdateStatus};
use types::{Entropy, Service, SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::act::SlotStep;
use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::needs;
use crate::schedule;
use crate::slot::Slot;

/// How long a new task of an update may wait for a node. SwarmKit waits for ever; ten minutes
/// are what Kubernetes gives a rollout.
pub const UNPLACED_DEADLINE: Duration = Duration::from_secs(600);

/// How long a new task of an update that has a node may take to run: image pulls and health
/// checks can lawfully be slow.
pub const PLACED_DEADLINE: Duration = Duration::from_secs(3600);

/// How long a new task of an update may take to run, depending on whether it has a node; as long
/// as the service says, if it does.
pub(crate) fn patience(ground: &Ground<'_>, placed: bool) -> Duration {
    let default = if placed {
        PLACED_DEADLINE
    } else {
        UNPLACED_DEADLINE
    };
    match ground.service.spec.options.progress_deadline {
        Some(Duration::ZERO) => Duration::MAX,
        asked => asked.unwrap_or(default),
    }
}

/// How the message of a rollback that nobody asked for begins; its reason follows.
const ROLLED_BACK: &str = "update rolled back ";

/// What an update needs now.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The service with its new update status (and, for a rollback, its previous spec).
    pub(crate) status: Option<Step>,
    /// Slots whose turn it is.
    pub(crate) slots: Vec<SlotKey>,
    /// When to look again although nothing changed.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Turn {
    /// Writes the service.
    pub(crate) fn status(service: Service) -> Self {
        Self {
            status: Some(Step::unguarded(Action::Update(Object::from(service)))),
            ..Self::default()
        }
    }

    /// Looks again at this moment.
    pub(crate) fn wait(until: Option<Timestamp>) -> Self {
        Self {
            wake_at: until,
            ..Self::default()
        }
    }
}

/// Decides what the update of a service needs.
pub(crate) fn next(ground: &Ground<'_>, ledger: &Ledger) -> Turn {
    match ground.update_state() {
        UpdateState::Paused | UpdateState::RollbackPaused => Turn::default(),
        UpdateState::Updating | UpdateState::RollbackStarted => go_on(ground, ledger),
        UpdateState::Unknown | UpdateState::Completed | UpdateState::RollbackCompleted => {
            if ledger.outdated().next().is_none() {
                return Turn::default();
            }
            begin(ground, UpdateState::Updating, "update in progress")
        }
    }
}

/// The same for a job, which has no slots to roll: another run with the spec asked for is all there
/// is to an update. Without an end, clients that watch a rollback would wait for ever. `over` is
/// whether the present run is over.
pub(crate) fn next_of_job(ground: &Ground<'_>, over: bool) -> Turn {
    match ground.update_state() {
        UpdateState::Updating | UpdateState::RollbackStarted => end(ground),
        _ => schedule::next(ground, over),
    }
}

fn begin(ground: &Ground<'_>, state: UpdateState, message: &str) -> Turn {
    let mut service = Service::clone(ground.service);
    service.update_status = Some(UpdateStatus {
        state,
        started_at: ground.now,
        completed_at: Timestamp::ZERO,
        message: message.to_owned(),
    });
    Turn::status(service)
}

fn go_on(ground: &Ground<'_>, ledger: &Ledger) -> Turn {
    let status = ground.service.update_status.as_ref();
    if let Some(status) = status.filter(|s| !s.started_at.is_set()) {
        // A rollback asked for without a time: from now on its tasks can be told apart.
        return begin(ground, status.state, &status.message);
    }
    let config = ground.update_config();
    if let Some(reason) = failure(ground, ledger, &config) {
        return fail(ground, config.failure_action, &reason);
    }
    if ledger.outdated().next().is_none() && !ledger.owes() {
        return finish(ground, ledger, &config);
    }
    let cooling_since = ground.now.minus(config.delay);
    let cooling: Vec<Timestamp> = ledger.done().take_while(|at| *at > cooling_since).collect();
    let in_flight = ledger.waiting_count() + cooling.len();
    let parallelism = match config.parallelism {
        0 => usize::MAX,
        n => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let next_delay_over = cooling.last().map(|at| at.plus(config.delay));
    let deadline = ledger.waiting().map(|(deadline, _)| deadline);
    let wakes = [next_delay_over, deadline].into_iter().flatten();
    Turn {
        status: None,
        slots: ledger
            .outdated()
            .take(parallelism.saturating_sub(in_flight))
            .take(crate::budget::ACTIONS_PER_PLAN_MAX)
            .collect(),
        wake_at: wakes.filter(|at| *at > ground.now).min(),
    }
}

/// Why the update has failed, if it has.
fn failure(ground: &Ground<'_>, ledger: &Ledger, config: &UpdateConfig) -> Option<String> {
    if config.failure_action == FailureAction::Continue {
        return None;
    }
    let failed = ledger.failed();
    if let Some((key, task)) = failed.last_key_value() {
        let ratio = failed.len() as f32 / ledger.update_total().max(1) as f32;
        if ratio > config.max_failure_ratio {
            let ended = ground.view.tasks().get(*task);
            let how = ended.map_or_else(String::new, |t| format!(": {}", stands(t)));
            let name = named(ground, *key, *task);
            return Some(format!(
                "due to failure or early termination of task {name}{how}"
            ));
        }
    }
    let (deadline, key) = ledger.waiting()?;
    if deadline > ground.now {
        return None;
    }
    let slot = Slot::read(ground, key);
    let task = slot.newest()?;
    let waited = span(ground.now.since(task.meta.created_at));
    let (name, how) = (named(ground, key, task.id), stands(task));
    Some(format!(
        "because task {name} did not run within {waited}, {how}"
    ))
}

/// A task for people who look for it by its id or by its slot.
fn named(ground: &Ground<'_>, key: SlotKey, task: TaskId) -> String {
    format!("{task} ({}.{key})", ground.service.spec.annotations.name)
}

fn stands(task: &Task) -> String {
    let (state, why) = (task.status.state, &task.status.err);
    if why.is_empty() {
        format!("it is {state}")
    } else {
        format!("it is {state}: {why}")
    }
}

/// A span of time for people: seconds up to two minutes, minutes beyond.
fn span(time: Duration) -> String {
    match time.as_secs() {
        secs @ ..120 => format!("{secs} seconds"),
        secs => format!("{} minutes", secs / 60),
    }
}

/// Carries out the failure action.
fn fail(ground: &Ground<'_>, action: FailureAction, reason: &str) -> Turn {
    let mut service = Service::clone(ground.service);
    let back = ground.update_state() == UpdateState::RollbackStarted;
    let previous = service.previous_spec.clone();
    let spec = previous.as_ref();
    let removed = spec.and_then(|spec| needs::removed(ground.view, spec));
    let mut status = service.update_status.clone().unwrap_or_default();
    match (back, action, previous, removed) {
        (false, FailureAction::Rollback, Some(_), Some(why)) => {
            status.state = UpdateState::Paused;
            status.message = format!("update paused {reason}; it cannot be rolled back: {why}");
        }
        (false, FailureAction::Rollback, Some(spec), None) => {
            service.spec = spec;
            service.spec_version = service.previous_spec_version.unwrap_or_default();
            service.previous_spec = None;
            service.previous_spec_version = None;
            status.state = UpdateState::RollbackStarted;
            status.started_at = ground.now;
            status.message = format!("{ROLLED_BACK}{reason}");
        }
        (false, FailureAction::Rollback, None, _) => {
            status.state = UpdateState::Paused;
            status.message = format!("update paused {reason}; there is no previous spec to go to");
        }
        (false, ..) => {
            status.state = UpdateState::Paused;
            status.message = format!("update paused {reason}");
        }
        (true, ..) => {
            status.state = UpdateState::RollbackPaused;
            status.message = format!("rollback paused {reason}");
        }
    }
    service.update_status = Some(status);
    Turn::status(service)
}

/// Every slot has its new task: the update is complete when the last one was watched.
fn finish(ground: &Ground<'_>, ledger: &Ledger, config: &UpdateConfig) -> Turn {
    if let Some((deadline, _)) = ledger.waiting() {
        return Turn::wait(Some(deadline).filter(|d| *d > ground.now));
    }
    let watched = match config.failure_action {
        FailureAction::Continue => Duration::ZERO,
        _ => config.monitor.unwrap_or(UPDATE_MONITOR),
    };
    let until = ledger.done().next().map(|at| at.plus(watched));
    if let Some(until) = until.filter(|at| *at > ground.now) {
        return Turn::wait(Some(until));
    }
    end(ground)
}

fn end(ground: &Ground<'_>) -> Turn {
    let mut service = Service::clone(ground.service);
    let status = service.update_status.get_or_insert_default();
    (status.state, status.message) = match ground.update_state() {
        // Who asks later how the update ended is told why it went back.
        UpdateState::RollbackStarted => match status.message.strip_prefix(ROLLED_BACK) {
            Some(reason) => (
                UpdateState::RollbackCompleted,
                format!("rollback completed; {ROLLED_BACK}{reason}"),
            ),
            None => (
                UpdateState::RollbackCompleted,
                "rollback completed".to_owned(),
            ),
        },
        _ => (UpdateState::Completed, "update completed".to_owned()),
    };
    status.completed_at = ground.now;
    Turn::status(service)
}

/// The step that gives a slot its new task.
pub(crate) fn replace(ground: &Ground<'_>, slot: &Slot<'_>, entropy: &mut dyn Entropy) -> Step {
    let mut step = SlotStep::new(ground, slot, entropy);
    let old: Vec<_> = slot.tasks().filter(|t| ground.is_wanted(t)).collect();
    let running = old.iter().find(|t| t.status.state == TaskState::Running);
    let kept = running.filter(|t| ground.starts_first() && !ground.is_lost(t));
    for task in &old {
        if kept.is_none_or(|k| k.id != task.id) {
            step.stop(task);
        }
    }
    let version = ground.service.spec_version;
    match kept {
        Some(old) => step.create_beside(old, version),
        None => step.create(version),
    }
    step.finish()
}
