//! The disk of a simulated host: what survives a crash.

use std::collections::{BTreeMap, VecDeque};

use consensus::{Entry, HardState, Persist, Restored, SnapshotMeta};

use crate::oracle::Machine;

#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub hard_state: HardState,
    /// The snapshot that the log continues.
    pub mark: Option<SnapshotMeta>,
    pub entries: Vec<Entry>,
    /// Snapshot files by index and term.
    pub files: BTreeMap<(u64, u64), Machine>,
    /// Writes that a disk which lies has not done yet.
    pub unsynced: VecDeque<Persist>,
}

impl Disk {
    pub fn last_index(&self) -> u64 {
        let mark = self.mark.as_ref().map_or(0, |m| m.index);
        self.entries.last().map_or(mark, |e| e.index)
    }

    /// One durable write, all or nothing.
    pub fn write(&mut self, persist: Persist) {
        if let Some(snapshot) = persist.snapshot {
            assert!(
                self.files.contains_key(&(snapshot.index, snapshot.term)),
                "file comes first"
            );
            self.entries.clear();
            self.mark = Some(snapshot);
        }
        if let Some(first) = persist.entries.first() {
            assert!(
                first.index <= self.last_index() + 1,
                "a write leaves no hole"
            );
            self.entries.retain(|e| e.index < first.index);
            self.entries.extend(persist.entries);
        }
        if let Some(hard_state) = persist.hard_state {
            assert!(
                hard_state.term >= self.hard_state.term,
                "R4: the term went back"
            );
            assert!(
                hard_state.commit >= self.hard_state.commit,
                "R4: the commit index went back"
            );
            self.hard_state = hard_state;
        }
        let (commit, last) = (self.hard_state.commit, self.last_index());
        assert!(
            commit <= last,
            "R4: entry {commit} is committed, the log on disk ends at {last}"
        );
    }

    /// Drops what a durable snapshot covers.
    pub fn truncate(&mut self, mark: SnapshotMeta, first_index: u64) {
        if self.mark.as_ref().is_some_and(|m| m.index >= mark.index) {
            return;
        }
        let keep_from = first_index.min(mark.index + 1);
        self.entries.retain(|e| e.index >= keep_from);
        self.files.retain(|(index, _), _| *index >= mark.index);
        self.mark = Some(mark);
    }

    /// What a member starts with, and the state that belongs to it.
    pub fn restore(&self) -> (Restored, Machine) {
        let machine = match &self.mark {
            None => Machine::default(),
            Some(mark) => self.files[&(mark.index, mark.term)].clone(),
        };
        let restored = Restored {
            hard_state: self.hard_state,
            snapshot: self.mark.clone(),
            entries: self.entries.clone(),
        };
        (restored, machine)
    }
}
