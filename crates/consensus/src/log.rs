//! The log as the raft library reads it: all entries since the last compaction, in memory.
//!
//! Entries appear here when they are given to the writer; whether they are durable is for
//! `outbox` to know. Never reads a disk, so no call waits or fails.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use raft::eraftpb::{Entry, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::convert;
use crate::types::{HardState, Membership, RaftId, SnapshotMeta};

pub(crate) struct MemLog {
    /// What the library starts with.
    initial: RaftState,
    /// Index and term of the entry before the first one.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    /// The newest durable snapshot. It covers `base`.
    snapshot: Option<SnapshotMeta>,
    /// Members that need a snapshot which does not exist. The library asks through a shared
    /// reference.
    wanted_by: RefCell<BTreeSet<RaftId>>,
}

// === impl MemLog ===

impl MemLog {
    /// A log that continues `snapshot`, or starts at index 1.
    pub(crate) fn new(
        hard_state: HardState,
        snapshot: Option<SnapshotMeta>,
        base: (u64, u64),
        entries: VecDeque<Entry>,
    ) -> Self {
        let conf_state = snapshot.as_ref().map_or_else(
            || Membership::default().conf_state(),
            |s| s.membership.conf_state(),
        );
        let initial = RaftState::new(convert::hard_state_to_raft(hard_state), conf_state);
        Self {
            initial,
            base,
            entries,
            snapshot,
            wanted_by: RefCell::default(),
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.base.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.index)
    }

    /// Appends contiguous entries, over a conflicting suffix if there is one.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            self.first() <= first.index && first.index <= self.last() + 1,
            "entry {} does not continue the log of {} to {}",
            first.index,
            self.first(),
            self.last()
        );
        self.entries.truncate((first.index - self.first()) as usize);
        self.entries.extend(entries.iter().cloned());
    }

    /// Starts anew after a received snapshot.
    pub(crate) fn install(&mut self, snapshot: SnapshotMeta) {
        assert!(
            snapshot.index >= self.snapshot_index(),
            "snapshots never go back"
        );
        self.base = (snapshot.index, snapshot.term);
        self.entries.clear();
        self.snapshot = Some(snapshot);
    }

    /// Forgets what `snapshot` covers, but keeps that many entries before its end.
    pub(crate) fn compact(&mut self, snapshot: SnapshotMeta, keep_entries: u64) {
        if snapshot.index <= self.snapshot_index() {
            return;
        }
        let base = snapshot.index.saturating_sub(keep_entries).max(self.base.0);
        if base > self.base.0 {
            let term = self
                .term_of(base)
                .expect("a snapshot covers entries that were applied");
            self.entries.drain(..(base - self.base.0) as usize);
            self.base = (base, term);
        }
        self.snapshot = Some(snapshot);
    }

    /// Members that need a newer snapshot, since this was last asked.
    pub(crate) fn take_wanted_by(&mut self) -> BTreeSet<RaftId> {
        std::mem::take(self.wanted_by.get_mut())
    }

    fn term_of(&self, index: u64) -> Result<u64, StorageError> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        let offset = index
            .checked_sub(self.first())
            .ok_or(StorageError::Compacted)?;
        self.entries
            .get(offset as usize)
            .map(|e| e.term)
            .ok_or(StorageError::Unavailable)
    }
}

impl Storage for MemLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let low = low
            .checked_sub(self.first())
            .ok_or(StorageError::Compacted)? as usize;
        let high = (high - self.first()) as usize;
        if high > self.entries.len() {
            return Err(StorageError::Unavailable.into());
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0u64;
        let fits = |entry: &&Entry| {
            let is_first = bytes == 0;
            bytes += convert::entry_bytes(entry);
            is_first || bytes <= bytes_max
        };
        Ok(self
            .entries
            .range(low..high)
            .take_while(fits)
            .cloned()
            .collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        Ok(self.term_of(index)?)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _: u64, to: u64) -> raft::Result<Snapshot> {
        // A receiver that is not in the snapshot's membership would refuse it for ever.
        let to = RaftId::new(to).expect("the library sends snapshots to members only");
        match &self.snapshot {
            Some(meta) if meta.membership.members.contains_key(&to) => {
                Ok(convert::snapshot_to_raft(meta))
            }
            _ => {
                self.wanted_by.borrow_mut().insert(to);
                Err(StorageError::SnapshotTemporarilyUnavailable.into())
            }
        }
    }
}
