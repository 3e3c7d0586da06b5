//! A raft log in memory, for tests: what was acknowledged survives a crash of its owner.
//!
//! Never touches a disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::guarded_fs::DiskFaults;
use super::{AppendError, LoadedLog, LogBatch, LogStore, OpenLogError, SnapshotMark, check_order};

/// The simulated device. Open a [`MemoryLog`] on a clone of it to restart a member.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    content: Arc<Mutex<LoadedLog>>,
    next_crash: Arc<Mutex<Option<Crash>>>,
    faults: DiskFaults,
}

#[derive(Debug, Clone, Copy)]
struct Crash {
    batch_survives: bool,
}

/// A raft log on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    crashed: bool,
}

// === impl MemoryDisk ===

impl MemoryDisk {
    /// The next append fails as if the process died in it; its batch survives or not.
    pub fn crash_in_next_append(&self, batch_survives: bool) {
        *lock(&self.next_crash) = Some(Crash { batch_survives });
    }

    /// Failures that can be switched on.
    pub fn faults(&self) -> &DiskFaults {
        &self.faults
    }

    /// What is durable now.
    pub fn content(&self) -> LoadedLog {
        lock(&self.content).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl MemoryLog ===

impl MemoryLog {
    /// Opens the log that the disk holds.
    pub fn open(disk: &MemoryDisk) -> Result<(Self, LoadedLog), OpenLogError> {
        let loaded = disk.content();
        let last = loaded
            .entries
            .last()
            .map_or(loaded.snapshot.index, |e| e.index);
        if last < loaded.hard_state.commit {
            let detail = format!(
                "entry {} is committed and missing",
                loaded.hard_state.commit
            );
            return Err(OpenLogError::Damaged {
                path: path(),
                detail,
            });
        }
        Ok((
            Self {
                disk: disk.clone(),
                crashed: false,
            },
            loaded,
        ))
    }

    fn check_usable(&self, has_entries: bool) -> Result<(), AppendError> {
        if self.crashed || self.disk.faults.syncs_fail() {
            return Err(AppendError::SyncFailed { path: path() });
        }
        // As on a real disk, the reserve takes hard state when entries no longer fit.
        if has_entries && self.disk.faults.is_full() {
            Err(AppendError::Full)
        } else {
            Ok(())
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from("memory")
}

fn apply(content: &mut LoadedLog, batch: &LogBatch<'_>) {
    if let Some(mark) = batch.installed {
        content.entries.clear();
        content.snapshot = mark;
    }
    if let Some(first) = batch.entries.first() {
        content.entries.retain(|e| e.index < first.index);
        content.entries.extend_from_slice(batch.entries);
    }
    if let Some(hard_state) = batch.hard_state {
        content.hard_state = hard_state;
    }
}

impl LogStore for MemoryLog {
    fn append(&mut self, batch: LogBatch<'_>) -> Result<(), AppendError> {
        self.check_usable(!batch.entries.is_empty())?;
        let snapshot = lock(&self.disk.content).snapshot;
        check_order(&batch, snapshot.index + 1, self.last_index())?;
        let crash = lock(&self.disk.next_crash).take();
        if crash.is_none_or(|c| c.batch_survives) {
            apply(&mut lock(&self.disk.content), &batch);
        }
        if crash.is_some() {
            self.crashed = true;
            return Err(AppendError::SyncFailed { path: path() });
        }
        Ok(())
    }

    fn truncate_prefix(&mut self, mark: SnapshotMark, keep_from: u64) -> Result<(), AppendError> {
        self.check_usable(false)?;
        let keep_from = keep_from.min(mark.index + 1);
        let mut content = lock(&self.disk.content);
        content.entries.retain(|e| e.index >= keep_from);
        content.snapshot = mark;
        Ok(())
    }

    fn has_room(&self, _bytes: u64) -> bool {
        !self.disk.faults.is_full()
    }

    fn first_index(&self) -> u64 {
        let content = lock(&self.disk.content);
        content
            .entries
            .first()
            .map_or(content.snapshot.index + 1, |e| e.index)
    }

    fn last_index(&self) -> u64 {
        let content = lock(&self.disk.content);
        content
            .entries
            .last()
            .map_or(content.snapshot.index, |e| e.index)
    }
}
