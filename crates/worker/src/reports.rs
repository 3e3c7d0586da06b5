//! Which statuses the managers do not have yet. One report is under way at a time; the latest
//! status of a task is all that counts.

use std::collections::{BTreeMap, BTreeSet};

use types::{TaskId, Timestamp};

use crate::limits::{REPORT_RETRY_PAUSE, REPORT_TASKS_MAX};

/// Statuses to be reported and being reported.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    connected: bool,
    pending: BTreeSet<TaskId>,
    /// The report under way: its number, and the revision of each status in it.
    under_way: Option<(u64, BTreeMap<TaskId, u64>)>,
    serial: u64,
    not_before: Timestamp,
}

impl Reports {
    pub(crate) fn connected(&mut self) {
        self.disconnected();
        self.connected = true;
        self.not_before = Timestamp::ZERO;
    }

    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
        if let Some((_, tasks)) = self.under_way.take() {
            self.pending.extend(tasks.into_keys());
        }
    }

    /// The managers do not have this task's status.
    pub(crate) fn add(&mut self, task: TaskId) {
        self.pending.insert(task);
    }

    /// The managers have this task's status, or do not want it any more.
    pub(crate) fn drop(&mut self, task: TaskId) {
        self.pending.remove(&task);
    }

    /// When a report may leave; `None` if there is nothing to send or no way to.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let is_free = self.connected && self.under_way.is_none() && !self.pending.is_empty();
        is_free.then_some(self.not_before)
    }

    /// Takes the next report. `revision` gives the revision of a task's status, if it has one.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        revision: impl Fn(TaskId) -> Option<u64>,
    ) -> Option<(u64, Vec<TaskId>)> {
        if self.wake_at()? > now {
            return None;
        }
        let mut tasks = BTreeMap::new();
        while tasks.len() < REPORT_TASKS_MAX {
            let Some(task) = self.pending.pop_first() else {
                break;
            };
            if let Some(revision) = revision(task) {
                tasks.insert(task, revision);
            }
        }
        if tasks.is_empty() {
            return None;
        }
        self.serial += 1;
        let ids = tasks.keys().copied().collect();
        self.under_way = Some((self.serial, tasks));
        Some((self.serial, ids))
    }

    /// A report was answered.
    pub(crate) fn answered(
        &mut self,
        report: u64,
        accepted: bool,
        now: Timestamp,
        revision: impl Fn(TaskId) -> Option<u64>,
    ) {
        if self.under_way.as_ref().is_none_or(|(id, _)| *id != report) {
            return;
        }
        let (_, tasks) = self.under_way.take().unwrap_or_default();
        for (task, sent) in tasks {
            if !accepted || revision(task).is_some_and(|r| r != sent) {
                self.pending.insert(task);
            }
        }
        if !accepted {
            self.not_before = now.plus(REPORT_RETRY_PAUSE);
        }
    }
}
