//! Follows the committed transactions of a cluster and checks each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use store::{Change, Commit, Diff, State};
use types::defaults::TASK_HISTORY_RETENTION_LIMIT;
use types::{Service, ServiceId, SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::{Verdict, access, must, services, slots, stops, tasks};

/// Most tasks that may be made in one slot within a minute (O8): a service whose tasks end at once
/// gets one a second, the rest is for what operators and lost nodes add.
const CREATIONS_PER_MINUTE_MAX: usize = 75;

/// The same where too little history is kept to see a loop by: then ten a second at most.
const BLIND_CREATIONS_PER_MINUTE_MAX: usize = 650;

/// Records that show a loop.
const LOOP_RECORDS_MIN: i64 = 3;

const MINUTE: Duration = Duration::from_secs(60);

/// What has to be remembered of the past to judge the present. Feed it every commit in order.
#[derive(Debug, Default)]
pub struct Checker {
    /// Every task that ever was: version and number of its creation.
    pub(crate) born: BTreeMap<TaskId, (u64, u64)>,
    /// Tasks that took over from one of another version.
    pub(crate) steps: BTreeSet<TaskId>,
    /// Tasks that were told to stop before they ended.
    pub(crate) told_to_stop: BTreeSet<TaskId>,
    /// Services that asked for replacements to start first, and since when they do no more.
    starts_first: BTreeMap<ServiceId, Option<Timestamp>>,
    /// Version at which the update under way of a service began.
    pub(crate) updates: BTreeMap<ServiceId, (Timestamp, u64)>,
    /// Creations in the last minute, by slot.
    creations: BTreeMap<(ServiceId, SlotKey), VecDeque<Timestamp>>,
}

impl Checker {
    /// A checker of a cluster without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a service asks for replacements to start first, or did within that time: two tasks
    /// of a slot may then run at once. What an earlier policy started is not stopped in a moment.
    pub fn starts_first_within(&self, time: Duration, now: Timestamp, service: ServiceId) -> bool {
        let ceased = self.starts_first.get(&service);
        ceased.is_some_and(|at| at.is_none_or(|at| now.since(at) <= time))
    }

    /// Checks one transaction. `now` is true time, whatever the clocks of managers say.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&mut self, around: (&State, &State), commit: &Commit, now: Timestamp) -> Verdict {
        let (before, after) = around;
        for change in &commit.changes {
            match change {
                Change::Service(diff) => {
                    services::check(after, diff)?;
                    if let Some(service) = &diff.new {
                        self.service(service, commit.version, now);
                    }
                }
                Change::Task(diff) => {
                    tasks::check(before, after, diff)?;
                    stops::check(around, diff)?;
                    self.note_orders(diff);
                    if let (None, Some(task)) = (&diff.old, &diff.new) {
                        if slots::is_step(self, before, task) {
                            self.steps.insert(task.id);
                        }
                        self.birth(after, task, now)?;
                    }
                }
                Change::Node(diff) => access::role_follows(diff)?,
                _ => {}
            }
        }
        for change in &commit.changes {
            if let Change::Task(diff) = change {
                slots::check(self, around, diff, commit)?;
            }
        }
        Ok(())
    }

    fn note_orders(&mut self, diff: &Diff<Task>) {
        let told =
            |t: &Task| t.desired_state > TaskState::Complete && !t.status.state.is_terminal();
        if let Some(task) = diff.new.as_ref().filter(|t| told(t)) {
            self.told_to_stop.insert(task.id);
        }
    }

    fn service(&mut self, service: &Service, version: u64, now: Timestamp) {
        if slots::may_start_first(service) {
            self.starts_first.insert(service.id, None);
        } else if let Some(ceased) = self.starts_first.get_mut(&service.id) {
            ceased.get_or_insert(now);
        }
        let status = service.update_status.as_ref();
        let started = status.map_or(Timestamp::ZERO, |s| s.started_at);
        if self.updates.get(&service.id).is_none_or(|u| u.0 != started) {
            self.updates.insert(service.id, (started, version));
        }
    }

    fn birth(&mut self, after: &State, task: &Task, now: Timestamp) -> Verdict {
        let serial = self.born.len() as u64;
        must!(
            self.born
                .insert(task.id, (after.version(), serial))
                .is_none(),
            "O2",
            "the id of task {} is used again",
            task.id
        );
        let Some(service) = task.service_id else {
            return Ok(());
        };
        let times = self.creations.entry((service, SlotKey::of(task)));
        let times = times.or_default();
        times.push_back(now);
        while times.front().is_some_and(|at| now.since(*at) > MINUTE) {
            times.pop_front();
        }
        must!(
            times.len() <= creations_max(after),
            "O8",
            "{} tasks in slot {:?} of service {service} within a minute",
            times.len(),
            SlotKey::of(task)
        );
        Ok(())
    }
}

fn creations_max(state: &State) -> usize {
    let kept = state.cluster().map_or(TASK_HISTORY_RETENTION_LIMIT, |c| {
        c.spec.task_history_retention_limit
    });
    if (0..=LOOP_RECORDS_MIN).contains(&kept) {
        BLIND_CREATIONS_PER_MINUTE_MAX
    } else {
        CREATIONS_PER_MINUTE_MAX
    }
}
