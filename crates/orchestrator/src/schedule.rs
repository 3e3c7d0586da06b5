//! Scheduled jobs: when the next run of a job begins.
//!
//! A run is an iteration of the job. `last_execution` is the newest due time that was dealt with,
//! by a run or by leaving it out; it is committed together with the decision, so that whoever
//! leads next neither repeats a due time nor passes one over. Iteration 0 of a scheduled job is
//! the time before its first run: it has no tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use calendar::Calendar;
use store::{Action, Step};
use types::options::{Concurrency, MissedRuns, Schedule};
use types::service::JobStatus;
use types::{Service, ServiceMode, ServiceSpec, Task, TaskState, Timestamp};

use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::slot::iteration;
use crate::update::Turn;

/// A run that begins later than this after it was due was missed. A change of leader takes
/// seconds, and must not count.
pub const ON_TIME_MAX: Duration = Duration::from_secs(60);

/// When the next run of a service is due; `None` if it has no schedule or is never due again.
pub fn next_run(service: &Service, now: Timestamp) -> Option<Timestamp> {
    let schedule = schedule(service)?;
    let calendar = Calendar::of(schedule).ok()?;
    calendar.next_after(now.max(dealt_with(service)))
}

/// The state of a job after its service is updated to `spec`, at `now`; `None` for other modes.
///
/// Every update of a job runs it again, but for jobs with a schedule, which run when they are due
/// and when their `force_update` changes. A schedule that changes counts from now on: what it
/// would have been due before was not missed.
pub fn job_after_update(before: &Service, spec: &ServiceSpec, now: Timestamp) -> Option<JobStatus> {
    if !spec.mode.is_job() {
        return None;
    }
    let had = before.job_status.unwrap_or_default();
    let again = JobStatus {
        iteration: before.job_status.map_or(0, |j| j.iteration + 1),
        last_execution: now,
    };
    let old = &before.spec;
    let Some(schedule) = &spec.options.schedule else {
        return Some(again);
    };
    let due = |s: &Schedule| (s.cron.clone(), s.time_zone.clone());
    Some(if old.task.force_update != spec.task.force_update {
        again
    } else if old.options.schedule.as_ref().map(due) != Some(due(schedule)) {
        JobStatus {
            last_execution: now,
            ..had
        }
    } else {
        had
    })
}

/// The schedule of a job.
pub(crate) fn schedule(service: &Service) -> Option<&Schedule> {
    let schedule = service.spec.options.schedule.as_ref();
    schedule.filter(|_| service.spec.mode.is_job())
}

/// Whether the service waits for the first run of its schedule.
pub(crate) fn is_before_first_run(ground: &Ground<'_>) -> bool {
    ground.run == Some(0) && schedule(ground.service).is_some()
}

/// Whether runs of the service go on beside later ones.
pub(crate) fn runs_overlap(service: &Service) -> bool {
    schedule(service).is_some_and(|s| s.concurrency == Concurrency::Allow)
}

/// Whether a record belongs to a run that goes on beside later ones and is not over.
pub(crate) fn is_of_open_run(task: &Task) -> bool {
    let schedule = task.service_spec.options.schedule.as_ref();
    task.desired_state <= TaskState::Complete
        && schedule.is_some_and(|s| s.concurrency == Concurrency::Allow)
}

/// Runs before the present one that are not over, with the mode that each last had.
pub(crate) fn open_earlier_runs(ground: &Ground<'_>) -> Vec<(u64, ServiceMode)> {
    if !runs_overlap(ground.service) {
        return Vec::new();
    }
    let present = iteration(ground.service);
    let tasks = ground.view.tasks().of_service(ground.service.id);
    let earlier = tasks.filter(|t| t.job_iteration < present && is_of_open_run(t));
    let mut runs: BTreeMap<u64, &Task> = BTreeMap::new();
    for task in earlier {
        let newest = task
            .job_iteration
            .map(|run| runs.entry(run).or_insert(task));
        if let Some(newest) = newest.filter(|n| n.spec_version < task.spec_version) {
            *newest = task;
        }
    }
    let mode = |(run, newest): (u64, &Task)| (run, newest.service_spec.mode);
    runs.into_iter().map(mode).collect()
}

/// Whether a run of a job is over: nothing of it is left to do.
pub(crate) fn is_over(ground: &Ground<'_>, ledger: &Ledger) -> bool {
    let begun = match ground.mode {
        ServiceMode::ReplicatedJob {
            total_completions, ..
        } => ledger.held() >= total_completions || is_before_first_run(ground),
        _ => true,
    };
    begun && ledger.busy() == 0
}

/// Begins the run that is due, or leaves it out. `over` is whether the present run is over.
pub(crate) fn next(ground: &Ground<'_>, over: bool) -> Turn {
    let service = ground.service;
    let Some(schedule) = schedule(service) else {
        return Turn::default();
    };
    // One that cannot be read is refused by validation.
    let Ok(calendar) = Calendar::of(schedule) else {
        return Turn::default();
    };
    let after = dealt_with(service);
    let Some(due) = calendar.last_until(ground.now).filter(|due| *due > after) else {
        return Turn::wait(calendar.next_after(ground.now.max(after)));
    };
    let missed = ground.now.since(due) > ON_TIME_MAX && schedule.missed == MissedRuns::Skip;
    let in_the_way = !over && schedule.concurrency == Concurrency::Forbid;
    let mut next = Service::clone(service);
    let job = next.job_status.get_or_insert_default();
    job.iteration += u64::from(!missed && !in_the_way);
    job.last_execution = due;
    Turn::status(next)
}

/// The newest moment whose due times were dealt with.
fn dealt_with(service: &Service) -> Timestamp {
    let last = service.job_status.unwrap_or_default().last_execution;
    last.max(service.meta.created_at)
}

/// Marks what is left of a run that is over, so that it is never taken for one that goes on.
pub(crate) fn close(ground: &Ground<'_>) -> impl Iterator<Item = Step> {
    let tasks = ground.view.tasks().of_service(ground.service.id);
    let open = tasks.filter(|t| t.job_iteration == ground.run && is_of_open_run(t));
    open.map(|task| {
        Step::unguarded(Action::Desire {
            task: task.id,
            state: TaskState::Shutdown,
        })
    })
}
