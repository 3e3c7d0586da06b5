//! Deletes the records of tasks that nobody needs any more.
//!
//! A record goes at once when its task is to be removed and nothing of it can still run, or when
//! it has no service and ended. Otherwise a slot keeps the cluster's retention limit of records,
//! and beyond it only those that decisions are still made from: the newest one, the one that a
//! task held back takes its delay from, the attempts that a restart policy counts, the tasks an
//! update under way is judged by, and a job's completions. Of a job with a schedule each run
//! counts by itself: those of the present run and as many before it as the schedule says are kept,
//! and those that go on beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Action, Change, Guard, Key, Plan, State, Step};
use types::defaults::TASK_HISTORY_RETENTION_LIMIT;
use types::service::UpdateState;
use types::{Cluster, Service, ServiceId, SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::budget::{Budget, Guarded};
use crate::ledger::was_stopped;
use crate::schedule::{is_of_open_run, schedule};
use crate::slot::{age, ended_by_itself, iteration, records};

/// Deletes task records.
#[derive(Debug, Default)]
pub struct Reaper {
    slots: BTreeSet<(ServiceId, SlotKey)>,
    strays: BTreeSet<TaskId>,
    /// Services whose update ended: it needs its records no more.
    updated: BTreeSet<ServiceId>,
    /// Tasks that the latest plan deletes: whatever moves one of them may have kept it.
    planned: BTreeSet<TaskId>,
    /// Services whose schedule began another run, or changed.
    rescheduled: BTreeSet<ServiceId>,
    /// The retention limit changed.
    limit_changed: bool,
}

impl Reaper {
    /// A stage that has to look at every slot with something to delete.
    pub fn new(view: &State, _now: Timestamp) -> Self {
        let mut reaper = Self::default();
        reaper.mark_all(view);
        let scheduled = view.services().iter().filter(|s| schedule(s).is_some());
        reaper.rescheduled = scheduled.map(|s| s.id).collect();
        reaper
    }

    /// Marks every slot of the services that begin runs by a schedule.
    fn mark_rescheduled(&mut self, view: &State) {
        for service in std::mem::take(&mut self.rescheduled) {
            let tasks = view.tasks().of_service(service);
            self.slots.extend(tasks.map(|t| (service, SlotKey::of(t))));
        }
    }

    /// Marks every slot that may have something to delete, and all strays.
    fn mark_all(&mut self, view: &State) {
        for task in view.tasks().iter() {
            match task.service_id {
                None => _ = self.strays.insert(task.id),
                Some(service) if task.desired_state == TaskState::Remove => {
                    self.slots.insert((service, SlotKey::of(task)));
                }
                Some(_) => {}
            }
        }
        let limit = retention(view).unwrap_or(usize::MAX);
        for (service, number) in view.tasks().crowded_slots(limit) {
            let first = view.tasks().of_slot(service, number).next();
            if first.is_some_and(|t| t.service_spec.mode.is_global()) {
                self.mark_crowded(view, view.tasks().of_service(service));
            } else {
                self.slots.insert((service, SlotKey::Number(number)));
            }
        }
    }

    /// Marks the slots of these tasks that may have something to delete.
    fn mark_crowded<'t>(&mut self, view: &State, tasks: impl Iterator<Item = &'t Arc<Task>>) {
        let limit = retention(view).unwrap_or(usize::MAX);
        let mut counts: BTreeMap<(ServiceId, SlotKey), usize> = BTreeMap::new();
        for task in tasks {
            let Some(service) = task.service_id else {
                continue;
            };
            let slot = (service, SlotKey::of(task));
            let count = counts.entry(slot).or_default();
            *count += 1;
            if *count > limit || task.desired_state == TaskState::Remove {
                self.slots.insert(slot);
            }
        }
    }

    /// Notes where to look again.
    pub fn observe(&mut self, change: &Change) {
        match change {
            Change::Task(diff) => {
                let Some(task) = &diff.new else { return };
                let settled = diff.old.as_ref().is_some_and(|old| {
                    old.status.state == task.status.state && old.desired_state == task.desired_state
                });
                let settled = settled && !self.planned.contains(&task.id);
                match task.service_id {
                    _ if settled => {}
                    None => _ = self.strays.insert(task.id),
                    Some(service) => _ = self.slots.insert((service, SlotKey::of(task))),
                }
            }
            Change::Service(diff) => {
                let ended = |s: &Arc<Service>| !is_updating(s);
                if diff.old.as_ref().is_some_and(|s| is_updating(s))
                    && diff.new.as_ref().is_some_and(ended)
                {
                    self.updated.insert(diff.latest().id);
                }
                let runs = |s: &Arc<Service>| Some((iteration(s), schedule(s)?.history));
                let new = diff.new.as_ref().and_then(runs);
                if new.is_some() && new != diff.old.as_ref().and_then(runs) {
                    self.rescheduled.insert(diff.latest().id);
                }
            }
            Change::Cluster(diff) => {
                let limit = |c: &Arc<Cluster>| c.spec.task_history_retention_limit;
                let (old, new) = (diff.old.as_ref().map(limit), diff.new.as_ref().map(limit));
                self.limit_changed |= old != new;
            }
            Change::Node(diff) if diff.new.is_none() => {
                self.slots.extend(diff.old.iter().map(|n| {
                    // Services are filled in by `plan`, which sees the tasks of the node.
                    (ServiceId::MIN, SlotKey::Node(n.id))
                }));
            }
            _ => {}
        }
    }

    /// What to change now.
    pub fn plan(&mut self, view: &State, now: Timestamp) -> Plan {
        let mut budget = Budget::new();
        while !budget.is_spent()
            && let Some(id) = self.strays.pop_first()
        {
            let task = view.tasks().get(id);
            let ended = |t: &&Arc<Task>| is_stray_end(t);
            task.filter(ended)
                .into_iter()
                .for_each(|t| delete(t, &mut budget));
        }
        self.spread_lost_nodes(view);
        self.mark_rescheduled(view);
        for service in std::mem::take(&mut self.updated) {
            self.mark_crowded(view, view.tasks().of_service(service));
        }
        if std::mem::take(&mut self.limit_changed) {
            self.mark_crowded(view, view.tasks().iter());
        }
        while !budget.is_spent()
            && let Some((service, key)) = self.slots.pop_first()
        {
            for task in disposable(view, service, key) {
                delete(task, &mut budget);
            }
        }
        let mut plan = budget.into_plan();
        self.planned = Guarded::by(&plan).tasks;
        if !self.slots.is_empty() || !self.strays.is_empty() {
            plan.wake(now);
        }
        plan
    }

    /// A removed node frees the records of tasks that it was to stop.
    fn spread_lost_nodes(&mut self, view: &State) {
        let first = (ServiceId::MIN, SlotKey::Number(0));
        let marks: Vec<_> = self
            .slots
            .range(first..)
            .take_while(|(service, _)| *service == ServiceId::MIN)
            .copied()
            .collect();
        for mark in marks {
            self.slots.remove(&mark);
            if let (_, SlotKey::Node(node)) = mark {
                for task in view.tasks().on_node(node) {
                    let service = task.service_id.into_iter();
                    self.slots.extend(service.map(|s| (s, SlotKey::of(task))));
                }
            }
        }
    }
}

fn delete(task: &Task, budget: &mut Budget) {
    let removal = Action::Remove(Key::Task(task.id));
    budget.push(Step::guarded(Guard::task(task), removal));
}

/// A task without a service: a network attachment. Its record is worth nothing once it ended.
fn is_stray_end(task: &Task) -> bool {
    task.status.state == TaskState::Orphaned
        || (task.status.state.is_terminal() && task.desired_state >= TaskState::Shutdown)
}

/// Old tasks kept per slot; `None` keeps all.
fn retention(view: &State) -> Option<usize> {
    let limit = view.cluster().map_or(TASK_HISTORY_RETENTION_LIMIT, |c| {
        c.spec.task_history_retention_limit
    });
    usize::try_from(limit).ok()
}

/// The records of a slot to delete.
fn disposable(view: &State, id: ServiceId, key: SlotKey) -> Vec<&Arc<Task>> {
    let mut all = records(view, id, key);
    all.sort_by_key(|t| age(t));
    let (mut out, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|t| is_removable(view, t));
    let limit = retention(view).unwrap_or(usize::MAX);
    let service = view.services().get(id).map(Arc::as_ref);
    let Some((service, schedule)) = service.and_then(|s| Some((s, schedule(s)?))) else {
        out.extend(excess(service, rest, limit));
        return out;
    };
    let mut runs: BTreeMap<Option<u64>, Vec<&Arc<Task>>> = BTreeMap::new();
    for task in rest {
        runs.entry(task.job_iteration).or_default().push(task);
    }
    let present = iteration(service);
    let oldest = present.map(|run| run.saturating_sub(u64::from(schedule.history)));
    for (run, records) in runs {
        let open = records.iter().any(|t| is_of_open_run(t));
        if run == present {
            out.extend(excess(Some(service), records, limit));
        } else if run >= oldest || open {
            out.extend(excess(Some(service), records, limit.max(1)));
        } else {
            out.extend(records.into_iter().filter(|t| has_ended(t)));
        }
    }
    out
}

/// Those of the records of a slot, oldest first, that are beyond the limit and not needed.
fn excess<'a>(
    service: Option<&Service>,
    mut records: Vec<&'a Arc<Task>>,
    limit: usize,
) -> impl Iterator<Item = &'a Arc<Task>> + use<'a> {
    let excess = records.len().saturating_sub(limit);
    if excess > 0 {
        let needed = needed(service, &records);
        records.retain(|t| has_ended(t) && !needed.contains(&t.id));
    }
    records.into_iter().take(excess)
}

/// Whether a task is to be removed and nothing of it can still run.
fn is_removable(view: &State, task: &Task) -> bool {
    let state = task.status.state;
    let node_gone = || task.node_id.is_some_and(|n| !view.nodes().contains(n));
    task.desired_state == TaskState::Remove
        && (state < TaskState::Assigned || state.is_terminal() || node_gone())
}

/// Whether a record is history: the task ended and the orchestrator has dealt with it.
fn has_ended(task: &Task) -> bool {
    let dealt_with = task.desired_state >= TaskState::Shutdown;
    let job_done = task.service_spec.mode.is_job() && !is_of_open_run(task);
    (dealt_with || job_done)
        && (task.status.state.is_terminal() || task.status.state < TaskState::Assigned)
}

/// The records that decisions are still made from, whatever the limit. `tasks` is oldest first.
fn needed(service: Option<&Service>, tasks: &[&Arc<Task>]) -> BTreeSet<TaskId> {
    let mut needed = BTreeSet::new();
    // A task that is held back reads its delay from the one before it.
    let is_held = |t: &&Arc<Task>| t.desired_state < TaskState::Running;
    let newest = 1 + usize::from(tasks.last().is_some_and(is_held));
    needed.extend(tasks.iter().rev().take(newest).map(|t| t.id));
    // The slot keeps its addresses; a task that has none yet takes those of the one before.
    let addressed = tasks.iter().rev().find(|t| !t.networks.is_empty());
    needed.extend(addressed.map(|t| t.id));
    let Some(service) = service else {
        return needed;
    };
    let run = iteration(service);
    needed.extend(
        tasks
            .iter()
            .filter(|t| run.is_some() && t.job_iteration == run)
            .filter(|t| t.status.state == TaskState::Complete)
            .map(|t| t.id),
    );
    needed.extend(attempts(tasks));
    needed.extend(judged(service, tasks));
    needed
}

/// The attempts that the newest task's restart policy counts, and the end before the first.
fn attempts<'a>(tasks: &'a [&Arc<Task>]) -> impl Iterator<Item = TaskId> + 'a {
    let newest = tasks.last();
    let policy = newest.and_then(|t| t.spec().restart.as_ref());
    let max = policy.map_or(0, |p| p.max_attempts);
    let count = if max == 0 { 0 } else { max.saturating_add(1) };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let version = newest.and_then(|t| t.spec_version);
    let ends = tasks.iter().rev();
    ends.filter(move |t| ended_by_itself(t) && t.spec_version == version)
        .take(count)
        .map(|t| t.id)
}

/// The task that the update under way is judged by in the slot and the one it took over from.
fn judged(service: &Service, tasks: &[&Arc<Task>]) -> Vec<TaskId> {
    if !is_updating(service) {
        return Vec::new();
    }
    let version = Some(service.spec_version);
    let Some(old) = tasks.iter().rposition(|t| t.spec_version != version) else {
        return Vec::new();
    };
    let first = tasks.iter().skip(old + 1).find(|t| !was_stopped(t));
    let pair = tasks.iter().skip(old).take(1).chain(first);
    pair.map(|t| t.id).collect()
}

/// Whether an update or a rollback is under way.
fn is_updating(service: &Service) -> bool {
    let status = service.update_status.as_ref();
    status.is_some_and(|s| {
        matches!(
            s.state,
            UpdateState::Updating | UpdateState::RollbackStarted
        )
    })
}
