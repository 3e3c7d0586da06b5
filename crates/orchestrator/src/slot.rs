//! A slot: the place in a service that one task at a time fills, with the records of all tasks
//! that filled it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use store::State;
use types::{Service, ServiceId, SlotKey, Task, TaskId, TaskState, Timestamp};

use crate::ground::Ground;
use crate::schedule::runs_overlap;

/// All records of one slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot<'a> {
    /// Which slot.
    pub(crate) key: SlotKey,
    /// Every record, oldest first; where runs of a job go on beside one another, those of one run.
    pub(crate) records: Vec<&'a Arc<Task>>,
    /// The run that counts, for jobs.
    run: Option<u64>,
}

impl<'a> Slot<'a> {
    fn new(ground: &Ground<'a>, key: SlotKey, mut records: Vec<&'a Arc<Task>>) -> Self {
        if runs_overlap(ground.service) {
            records.retain(|t| t.job_iteration == ground.run);
        }
        records.sort_by_key(|t| age(t));
        Self {
            key,
            records,
            run: ground.run,
        }
    }

    /// One slot of a service.
    pub(crate) fn read(ground: &Ground<'a>, key: SlotKey) -> Self {
        Self::new(ground, key, records(ground.view, ground.service.id, key))
    }

    /// All slots of a service that have records; of global services also the empty slots of all
    /// nodes.
    pub(crate) fn read_all(ground: &Ground<'a>) -> Vec<Self> {
        let tasks = ground.view.tasks().of_service(ground.service.id);
        Self::sort_all(ground, tasks.map(|t| (t.slot, t)).collect())
    }

    /// The same from all tasks of the service, in any order, with the numbers of their slots.
    pub(crate) fn sort_all(ground: &Ground<'a>, mut tasks: Vec<(u64, &'a Arc<Task>)>) -> Vec<Self> {
        if !ground.service.spec.mode.is_global() {
            tasks.sort_by_key(|(slot, _)| *slot);
            let slots = tasks.chunk_by(|a, b| a.0 == b.0);
            let read = |slot: &[(u64, &'a Arc<Task>)]| {
                let records = slot.iter().map(|(_, task)| *task).collect();
                Self::new(ground, SlotKey::Number(slot[0].0), records)
            };
            return slots.map(read).collect();
        }
        let nodes = ground.view.nodes().iter();
        let mut slots: BTreeMap<SlotKey, Vec<&Arc<Task>>> =
            nodes.map(|n| (SlotKey::Node(n.id), Vec::new())).collect();
        for (_, task) in tasks {
            slots.entry(SlotKey::of(task)).or_default().push(task);
        }
        let slots = slots.into_iter();
        slots
            .map(|(key, records)| Self::new(ground, key, records))
            .collect()
    }

    /// The records that say how the slot stands, oldest first: not those on their way out, and
    /// of jobs only those of the present iteration.
    pub(crate) fn tasks(&self) -> impl DoubleEndedIterator<Item = &'a Arc<Task>> + '_ {
        self.records
            .iter()
            .copied()
            .filter(|t| t.desired_state < TaskState::Remove && !self.is_past(t))
    }

    /// The newest of [`Self::tasks`].
    pub(crate) fn newest(&self) -> Option<&'a Arc<Task>> {
        self.tasks().next_back()
    }

    /// Whether a record belongs to an earlier run of a job.
    pub(crate) fn is_past(&self, task: &Task) -> bool {
        self.run.is_some() && task.job_iteration != self.run
    }
}

/// The iteration of a job that counts now; `None` for services.
pub(crate) fn iteration(service: &Service) -> Option<u64> {
    let run = || service.job_status.map_or(0, |s| s.iteration);
    service.spec.mode.is_job().then(run)
}

/// Every record of a slot, in no particular order.
pub(crate) fn records(view: &State, service: ServiceId, key: SlotKey) -> Vec<&Arc<Task>> {
    match key {
        SlotKey::Number(number) => view.tasks().of_slot(service, number).collect(),
        SlotKey::Node(node) => {
            let there = view.tasks().on_node(node);
            there.filter(|t| t.service_id == Some(service)).collect()
        }
    }
}

/// Orders the records of a slot by creation; of two made at one moment, the one that was told to
/// stop was there first.
pub(crate) fn age(task: &Task) -> (Timestamp, Reverse<TaskState>, TaskId) {
    (task.meta.created_at, Reverse(task.desired_state), task.id)
}

/// When the present state was reached, by a manager's clock if one noted it.
pub(crate) fn reached_at(task: &Task) -> Timestamp {
    if task.status.applied_at.is_set() {
        task.status.applied_at
    } else {
        task.status.timestamp
    }
}

/// Whether the task ended without being told to. Evictions count: they end an attempt.
pub(crate) fn ended_by_itself(task: &Task) -> bool {
    matches!(
        task.status.state,
        TaskState::Complete | TaskState::Failed | TaskState::Rejected
    )
}
