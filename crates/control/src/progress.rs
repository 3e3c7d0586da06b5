//! How far a service has come, in one message: what the waiting command line shows.
//!
//! A pure function of the tables; it never waits and never guesses.

use std::collections::BTreeMap;

use store::State;
use types::node::{Availability, Membership};
use types::service::UpdateState;
use types::{Node, NodeState, Service, ServiceMode, SlotKey, Task, TaskState, defaults};
use wire::{api, swarm::v1 as pb};

use crate::service::Counts;

/// Rows sent when the client does not say how many it wants.
const ROWS_DEFAULT: usize = 50;

/// The progress of a service, or its removal.
pub fn of(state: &State, id: types::ServiceId, rows_max: usize) -> pb::ServiceProgress {
    let version = Some(api::Version {
        index: state.version(),
    });
    let Some(service) = state.services().get(id) else {
        return pb::ServiceProgress {
            service_id: id.to_string(),
            phase: pb::service_progress::Phase::Removed.into(),
            failure: "the service was removed".into(),
            version,
            ..Default::default()
        };
    };
    let rows = Rows::new(state, service);
    let phase = phase(service, &rows);
    let limit = if rows_max == 0 {
        ROWS_DEFAULT
    } else {
        rows_max
    };
    pb::ServiceProgress {
        service_id: id.to_string(),
        service_name: service.spec.annotations.name.clone(),
        phase: phase.into(),
        converged: phase == pb::service_progress::Phase::Converged,
        failure: failure(service, phase),
        blocked_by: rows.blocked_by(),
        tasks_desired: rows.desired,
        tasks_running: rows.running,
        tasks_completed: rows.completed,
        tasks_failed: rows.failed,
        tasks_up_to_date: rows.up_to_date,
        truncated: rows.live.len() > limit,
        tasks: rows
            .live
            .iter()
            .take(limit)
            .map(|task| rows.row(state, task))
            .collect(),
        update_status: service.update_status.as_ref().map(Into::into),
        version,
        spec_version: Some(api::Version {
            index: service.spec_version,
        }),
        monitor_ns: monitor(service),
    }
}

fn monitor(service: &Service) -> i64 {
    if service.spec.mode.is_job() {
        return 0;
    }
    let own = service.spec.update.and_then(|u| u.monitor);
    i64::try_from(own.unwrap_or(defaults::UPDATE_MONITOR).as_nanos()).unwrap_or(i64::MAX)
}

fn phase(service: &Service, rows: &Rows<'_>) -> pb::service_progress::Phase {
    use pb::service_progress::Phase;
    let update = service
        .update_status
        .as_ref()
        .map(|u| u.state)
        .unwrap_or_default();
    match update {
        UpdateState::Updating => Phase::Updating,
        UpdateState::RollbackStarted => Phase::RollingBack,
        UpdateState::Paused | UpdateState::RollbackPaused => Phase::Paused,
        _ if rows.is_done(service) => Phase::Converged,
        _ if rows.cannot_finish(service) => Phase::Failed,
        _ => Phase::Converging,
    }
}

fn failure(service: &Service, phase: pb::service_progress::Phase) -> String {
    use pb::service_progress::Phase;
    match (phase, &service.update_status) {
        (Phase::Paused, Some(update)) => update.message.clone(),
        (Phase::Failed, _) => {
            "its tasks ended and its restart policy allows no more attempts".to_owned()
        }
        (Phase::Converged, Some(update)) if update.state == UpdateState::RollbackCompleted => {
            // One that somebody asked for keeps the spec it came from; one that failed forgets it.
            match service.previous_spec {
                None => match update.message.split_once("; update rolled back ") {
                    Some((_, reason)) => format!("the update was rolled back {reason}"),
                    None => "the update failed and was rolled back".into(),
                },
                Some(_) => String::new(),
            }
        }
        _ => String::new(),
    }
}

/// Tasks of a slot that failed with the present spec.
#[derive(Default)]
struct Failures<'a> {
    count: u32,
    last: Option<&'a Task>,
}

/// The tasks of a service, sorted by what a user wants to see first.
struct Rows<'a> {
    service: &'a Service,
    live: Vec<&'a Task>,
    /// What failed in each slot and is still on record.
    failures: BTreeMap<SlotKey, Failures<'a>>,
    desired: u64,
    running: u64,
    completed: u64,
    failed: u64,
    up_to_date: u64,
    /// Tasks that have ended and were not dealt with yet: they may be replaced at once.
    undecided: u64,
}

impl<'a> Rows<'a> {
    fn new(state: &'a State, service: &'a Service) -> Self {
        let counts = Counts::of(state, service);
        let mut rows = Self {
            service,
            live: Vec::new(),
            failures: BTreeMap::new(),
            desired: counts.desired,
            running: 0,
            completed: counts.completed,
            failed: 0,
            up_to_date: 0,
            undecided: 0,
        };
        if service.spec.mode.is_global() {
            let placed = state.nodes().iter().filter(|n| takes_global(n, service));
            rows.desired = rows.desired.max(placed.count() as u64);
        }
        if let ServiceMode::ReplicatedJob {
            total_completions, ..
        } = service.spec.mode
        {
            rows.desired = total_completions;
        }
        let iteration = service.job_status.map(|j| j.iteration);
        for task in state.tasks().of_service(service.id) {
            if !service.spec.mode.is_job() || task.job_iteration == iteration {
                rows.count(task);
            }
        }
        rows.live
            .sort_by_key(|t| (t.status.state == TaskState::Running, t.slot, t.id));
        rows
    }

    fn count(&mut self, task: &'a Task) {
        let current = Self::runs_present_spec(self.service, task);
        let ended = task.status.state.is_terminal();
        self.undecided += u64::from(ended && task.desired_state <= TaskState::Complete);
        if task.desired_state <= TaskState::Complete && !task.status.state.is_terminal() {
            self.live.push(task);
            let running = task.status.state == TaskState::Running;
            self.running += u64::from(running);
            self.up_to_date += u64::from(running && current);
        } else if current && matches!(task.status.state, TaskState::Failed | TaskState::Rejected) {
            self.failed += 1;
            self.failures
                .entry(SlotKey::of(task))
                .or_default()
                .add(task);
        }
    }

    /// A change of the number of replicas makes a new spec version and leaves tasks as they are.
    fn runs_present_spec(service: &Service, task: &Task) -> bool {
        task.spec_version == Some(service.spec_version)
            || task.service_spec.task == service.spec.task
    }

    fn is_done(&self, service: &Service) -> bool {
        let scheduled = service.spec.mode.is_job() && service.spec.options.schedule.is_some();
        if scheduled && self.live.is_empty() && self.undecided == 0 && self.failed == 0 {
            // Nobody waits for the next time that it is due.
            return true;
        }
        match service.spec.mode {
            ServiceMode::ReplicatedJob {
                total_completions, ..
            } => self.completed >= total_completions,
            ServiceMode::GlobalJob => {
                self.live.is_empty() && self.failed == 0 && self.completed >= self.desired
            }
            ServiceMode::Replicated { .. } | ServiceMode::Global => {
                self.up_to_date == self.desired && self.live.len() as u64 == self.desired
            }
        }
    }

    /// Nothing lives although something should: the restart policy has given up.
    fn cannot_finish(&self, service: &Service) -> bool {
        let restart = service.spec.task.restart.as_ref();
        let bounded = restart.is_some_and(|r| {
            r.max_attempts > 0 || r.condition != types::task::RestartCondition::Any
        });
        let given_up = self.live.is_empty() && self.undecided == 0;
        bounded && given_up && self.failed > 0 && self.desired > 0
    }

    fn blocked_by(&self) -> String {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for task in self
            .live
            .iter()
            .filter(|t| t.status.state != TaskState::Running)
        {
            let reason = self.reason(task);
            if !reason.is_empty() {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let most = reasons.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(reason, _)| reason).unwrap_or_default()
    }

    fn row(&self, state: &State, task: &Task) -> pb::TaskProgress {
        let node = task.node_id.and_then(|id| state.nodes().get(id));
        pb::TaskProgress {
            task_id: task.id.to_string(),
            slot: task.slot,
            node_id: task.node_id.map(|id| id.to_string()).unwrap_or_default(),
            node_hostname: node.map(|n| n.hostname().to_owned()).unwrap_or_default(),
            state: task.status.state.number(),
            desired_state: task.desired_state.number(),
            blocked_by: self.reason(task),
            err: task.status.err.to_string(),
            since_ns: i64::try_from(task.status.timestamp.0).unwrap_or(i64::MAX),
            up_to_date: Self::runs_present_spec(self.service, task),
            restarts: self.failures.get(&SlotKey::of(task)).map_or(0, |f| f.count),
        }
    }

    /// Why a task is not further. Where the one before it failed, that is what the user has to
    /// know: the task itself only waits for its turn to fail again.
    fn reason(&self, task: &Task) -> String {
        let failed = self.failures.get(&SlotKey::of(task)).and_then(|f| f.last);
        match failed {
            Some(failed)
                if task.status.err.is_empty() && task.status.state != TaskState::Running =>
            {
                let why = match failed.status.err.as_ref() {
                    "" => failed.status.message.as_ref(),
                    err => err,
                };
                format!("trying again after a failure: {why}")
            }
            _ => reason(task),
        }
    }
}

impl<'a> Failures<'a> {
    fn add(&mut self, task: &'a Task) {
        self.count += 1;
        let newer = |last: &Task| last.status.timestamp < task.status.timestamp;
        if self.last.is_none_or(newer) {
            self.last = Some(task);
        }
    }
}

/// Whether a service with one task on every node puts one on this node, as far as its record says:
/// it is ready, takes tasks and satisfies the constraints.
fn takes_global(node: &Node, service: &Service) -> bool {
    let placement = service.spec.task.placement.as_ref();
    node.status.state == NodeState::Ready
        && node.spec.availability == Availability::Active
        && node.spec.membership == Membership::Accepted
        && placement.is_none_or(|p| scheduler::constraint::check_all(&p.constraints, node))
}

/// Why a task is not further, in words; empty when nothing is in its way.
pub fn reason(task: &Task) -> String {
    if !task.status.err.is_empty() {
        return task.status.err.to_string();
    }
    match task.status.state {
        TaskState::Ready if task.desired_state <= TaskState::Ready => {
            "waiting for the restart delay, or for the task it replaces to stop".into()
        }
        TaskState::Assigned => "waiting for its node to accept it".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::Object;
    use types::{ServiceSpec, Timestamp};

    use super::*;
    use crate::testing::tables;

    fn task(state: TaskState, desired: TaskState, err: &str) -> Task {
        let mut task = executor::testing::task("web", |_| {});
        task.desired_state = desired;
        task.status.state = state;
        task.status.err = err.into();
        task
    }

    /// A service of one slot with these tasks, one after the other.
    fn shown(tasks: &[(TaskState, TaskState, &str)]) -> pb::ServiceProgress {
        let tasks = tasks.iter();
        let tasks = tasks.map(|(state, desired, err)| task(*state, *desired, err));
        shown_of(tasks.collect(), |_| {})
    }

    fn shown_of(tasks: Vec<Task>, edit: impl FnOnce(&mut Service)) -> pb::ServiceProgress {
        let model = executor::testing::task("web", |_| {});
        let id = model.service_id.unwrap();
        let mut service = Service {
            spec_version: 1,
            ..Service::new(id, ServiceSpec::clone(&model.service_spec))
        };
        edit(&mut service);
        let mut objects: Vec<Object> = vec![service.into()];
        for (at, mut task) in tasks.into_iter().enumerate() {
            task.service_id = Some(id);
            task.status.timestamp = Timestamp::from_secs(at as u64);
            objects.push(task.into());
        }
        of(&tables(Timestamp::ZERO, objects), id, 0)
    }

    /// One completion is wanted of the service, once.
    fn make_job(service: &mut Service) {
        Arc::make_mut(&mut service.spec).mode = ServiceMode::ReplicatedJob {
            max_concurrent: 1,
            total_completions: 1,
        };
        service.job_status = Some(types::service::JobStatus::default());
    }

    #[test]
    fn a_rollback_that_nobody_asked_for_is_told_whatever_the_old_spec_does_on_failure() {
        let back = |asked: bool| {
            let runs = task(TaskState::Running, TaskState::Running, "");
            shown_of(vec![runs], |s| {
                s.previous_spec = asked.then(|| s.spec.clone());
                s.update_status = Some(types::service::UpdateStatus {
                    state: UpdateState::RollbackCompleted,
                    message: "rollback completed; update rolled back due to failure".into(),
                    ..Default::default()
                });
            })
        };
        assert_eq!(back(true).failure, "");
        assert_eq!(
            back(false).failure,
            "the update was rolled back due to failure"
        );
    }

    #[test]
    fn a_task_that_waits_for_its_next_try_shows_what_failed_last() {
        let progress = shown(&[
            (TaskState::Failed, TaskState::Shutdown, "exit code 3"),
            (TaskState::Rejected, TaskState::Shutdown, "no such image"),
            (TaskState::Ready, TaskState::Ready, ""),
        ]);
        let words = "trying again after a failure: no such image";
        assert_eq!(progress.blocked_by, words);
        assert_eq!(progress.tasks[0].blocked_by, words);
        assert_eq!(progress.tasks[0].restarts, 2);
    }

    #[test]
    fn the_first_slot_of_a_job_counts_its_failures_whichever_nodes_they_were_on() {
        let mut tasks = [
            task(TaskState::Failed, TaskState::Shutdown, "exit code 3"),
            task(TaskState::Pending, TaskState::Complete, ""),
        ];
        tasks[0].node_id = types::NodeId::from_u128(7);
        for task in &mut tasks {
            task.slot = 0;
            task.job_iteration = Some(0);
        }
        let progress = shown_of(tasks.into(), make_job);
        assert_eq!(progress.tasks[0].restarts, 1);
        assert_eq!(
            progress.blocked_by,
            "trying again after a failure: exit code 3"
        );
    }

    #[test]
    fn what_blocks_a_task_now_goes_before_what_failed_then() {
        let progress = shown(&[
            (TaskState::Failed, TaskState::Shutdown, "exit code 3"),
            (TaskState::Pending, TaskState::Running, "no node fits"),
        ]);
        assert_eq!(progress.blocked_by, "no node fits");
    }

    #[test]
    fn a_running_task_is_not_held_up_by_old_failures() {
        let progress = shown(&[
            (TaskState::Failed, TaskState::Shutdown, "exit code 3"),
            (TaskState::Running, TaskState::Running, ""),
        ]);
        assert_eq!(progress.blocked_by, "");
        assert_eq!(progress.tasks[0].blocked_by, "");
    }

    #[test]
    fn a_job_that_waits_for_its_schedule_has_converged_and_one_that_runs_has_not() {
        let scheduled = |s: &mut Service| {
            make_job(s);
            let schedule = types::options::Schedule::of("@daily");
            Arc::make_mut(&mut s.spec).options.schedule = Some(schedule);
        };
        assert!(shown_of(Vec::new(), scheduled).converged);
        assert!(!shown_of(Vec::new(), make_job).converged);
    }
}
