//! What the executor remembers of each task between calls. All of it can be found again by
//! label; it only saves questions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use types::TaskId;

/// The tasks this executor was asked about.
#[derive(Debug, Default)]
pub(crate) struct TaskTable {
    entries: Mutex<HashMap<TaskId, Arc<Entry>>>,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Id of its container, once known.
    container: Mutex<Option<String>>,
    /// Created by this process and surely never started.
    fresh: AtomicBool,
    /// Held while the container is created or started: one such call at a time, so that a
    /// container that already ended is not mistaken for a new one.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// Counts nudges: "something about the container may have changed".
    nudges: watch::Sender<u64>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            container: Mutex::default(),
            fresh: AtomicBool::new(false),
            gate: tokio::sync::Mutex::default(),
            nudges: watch::Sender::new(0),
        }
    }
}

impl Entry {
    pub(crate) fn container(&self) -> Option<String> {
        self.lock().clone()
    }

    pub(crate) fn set_container(&self, id: Option<String>) {
        *self.lock() = id;
    }

    pub(crate) fn set_fresh(&self) {
        self.fresh.store(true, Ordering::Release);
    }

    pub(crate) fn take_fresh(&self) -> bool {
        self.fresh.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.nudges.subscribe()
    }

    pub(crate) fn nudge(&self) {
        self.nudges.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.container
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskTable {
    /// The task's entry, made if there is none.
    pub(crate) fn entry(&self, task: TaskId) -> Arc<Entry> {
        Arc::clone(self.lock().entry(task).or_default())
    }

    /// Forgets a task and lets those who wait for it look again.
    pub(crate) fn forget(&self, task: TaskId) {
        let entry = self.lock().remove(&task);
        if let Some(entry) = entry {
            entry.set_container(None);
            entry.nudge();
        }
    }

    /// Forgets a task that has no container, unless somebody is at work on it.
    pub(crate) fn forget_unused(&self, task: TaskId) {
        let mut entries = self.lock();
        let is_unused =
            |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.container().is_none();
        if entries.get(&task).is_some_and(is_unused) {
            entries.remove(&task);
        }
    }

    /// Nudges those who wait for a task.
    pub(crate) fn nudge(&self, task: TaskId) {
        let entry = self.lock().get(&task).cloned();
        if let Some(entry) = entry {
            entry.nudge();
        }
    }

    /// Nudges everybody.
    pub(crate) fn nudge_all(&self) {
        for entry in self.lock().values() {
            entry.nudge();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
