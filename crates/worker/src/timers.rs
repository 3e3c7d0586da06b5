//! One alarm per task, found in order without looking at the others.

use std::collections::{BTreeMap, BTreeSet};

use types::{TaskId, Timestamp};

/// At most one alarm per task.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Timestamp, TaskId)>,
    of: BTreeMap<TaskId, Timestamp>,
}

impl Timers {
    /// Sets or clears the task's alarm, in place of an earlier one.
    pub(crate) fn set(&mut self, task: TaskId, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.of.insert(task, at),
            None => self.of.remove(&task),
        };
        if let Some(old) = old {
            self.due.remove(&(old, task));
        }
        if let Some(at) = at {
            self.due.insert((at, task));
        }
    }

    /// When the first alarm is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the first alarm that is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<TaskId> {
        let (at, task) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.set(task, None);
        Some(task)
    }
}
