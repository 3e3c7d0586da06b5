//! The raft log of one member: entries, hard state and the mark of the newest snapshot, appended in
//! batches that are durable when the call returns.
//!
//! One batch is one record on disk, so that entries, hard state and mark appear together or not at
//! all. A batch that was never acknowledged may be missing after a crash (a torn tail); one that
//! was acknowledged is there, or opening the log fails with a named error.
//!
//! Never retries a failed sync: after one, what is on the device is unknown and the log refuses
//! every further write.

mod codec;
mod engine;
mod guarded_fs;
mod memory;
mod tail;

use std::io;
use std::path::PathBuf;

use consensus::{Entry, HardState};

pub use engine::{DiskBudget, EngineLog, EngineLogConfig};
pub use guarded_fs::DiskFaults;
pub use memory::{MemoryDisk, MemoryLog};

/// The last entry that a snapshot contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotMark {
    /// Its index; 0 when there is no snapshot.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// What one append makes durable, all or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogBatch<'a> {
    /// A snapshot received from the leader: the whole log is dropped and continues after it.
    pub installed: Option<SnapshotMark>,
    /// Contiguous entries. The first may overwrite a conflicting suffix of the log.
    pub entries: &'a [Entry],
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
}

/// Everything a log held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedLog {
    /// The hard state, all zero in a new log.
    pub hard_state: HardState,
    /// The newest snapshot the log knows of.
    pub snapshot: SnapshotMark,
    /// All entries, contiguous.
    pub entries: Vec<Entry>,
}

/// A raft log. One owner; calls block on the disk.
pub trait LogStore: Send {
    /// Makes a batch durable. After [`AppendError::Full`] nothing was changed and the same call may
    /// be tried again; after any other error the log is unusable.
    fn append(&mut self, batch: LogBatch<'_>) -> Result<(), AppendError>;

    /// Drops entries before `keep_from`, which a durable snapshot `mark` covers.
    fn truncate_prefix(&mut self, mark: SnapshotMark, keep_from: u64) -> Result<(), AppendError>;

    /// Whether `bytes` of new entries may be accepted. Asked before accepting, so that the log goes
    /// read-only while there is still room for hard state.
    fn has_room(&self, bytes: u64) -> bool;

    /// Index of the first entry, or of the next one in an empty log.
    fn first_index(&self) -> u64;

    /// Index of the last entry, or of the snapshot in an empty log.
    fn last_index(&self) -> u64;
}

/// Why a batch is not durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room. Nothing was changed; try again when there is room.
    #[error("cannot append to the raft log: the disk is full; free some space")]
    Full,
    /// A sync failed, now or earlier: the process must stop.
    #[error("cannot sync the raft log {}: stop this manager and check its disk", path.display())]
    SyncFailed {
        /// Directory of the log.
        path: PathBuf,
    },
    /// The disk failed in another way: the process must stop.
    #[error("cannot append to the raft log {}: {detail}; check the disk", path.display())]
    Failed {
        /// Directory of the log.
        path: PathBuf,
        /// What the system or the engine said.
        detail: String,
    },
    /// The caller broke the contract: the process must stop.
    #[error("refused to append entry {index} to the raft log, which takes {first} to {last} + 1")]
    OutOfOrder {
        /// Index of the offending entry.
        index: u64,
        /// First index that may be written.
        first: u64,
        /// Last index of the log.
        last: u64,
    },
}

impl AppendError {
    /// Whether the log can still be used.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Full)
    }
}

/// Why a log cannot be opened. A manager with such a log must not vote: set the raft directory
/// aside and join again as a new member.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The file system refused.
    #[error("cannot open the raft log {}: {source}", path.display())]
    Io {
        /// Directory of the log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the log.
    #[error("cannot open the raft log {}: another process holds it", path.display())]
    Locked {
        /// Directory of the log.
        path: PathBuf,
    },
    /// A record that was acknowledged is missing or fails its check.
    #[error(
        "the raft log {} is damaged: {detail}; remove this manager and let it join again",
        path.display()
    )]
    Damaged {
        /// Directory of the log.
        path: PathBuf,
        /// Which check failed.
        detail: String,
    },
    /// A newer release wrote the log.
    #[error("the raft log {} was written by a newer release: start that release", path.display())]
    Newer {
        /// Directory of the log.
        path: PathBuf,
    },
}

/// Checks of a batch that hold for every log: contiguity, no gap to what is there, and nothing
/// below `first`, the entry after the snapshot: what a snapshot covers is committed and never
/// changes.
fn check_order(batch: &LogBatch<'_>, first: u64, last: u64) -> Result<(), AppendError> {
    let (first, last) = match batch.installed {
        Some(mark) => (mark.index + 1, mark.index),
        None => (first, last),
    };
    let Some(start) = batch.entries.first().map(|e| e.index) else {
        return Ok(());
    };
    if start < first || start > last + 1 {
        return Err(AppendError::OutOfOrder {
            index: start,
            first,
            last,
        });
    }
    for (expected, entry) in (start..).zip(batch.entries) {
        if entry.index != expected {
            return Err(AppendError::OutOfOrder {
                index: entry.index,
                first,
                last,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
