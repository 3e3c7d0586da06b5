//! A manager's state directory: what survives a crash.

use std::collections::{BTreeMap, VecDeque};

use consensus::{Entry, EntryKind, HardState, Persist, Restored, SnapshotMeta};
use storage::{LoadedLog, SnapshotMark};
use store::State;

/// The log and the snapshots. A write of the log is all or nothing, as the log promises and
/// `files` has the real one show.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) mark: Option<SnapshotMeta>,
    pub(crate) entries: Vec<Entry>,
    files: BTreeMap<(u64, u64), State>,
    /// Writes that a lying disk said were done; a crash loses them.
    pub(crate) unsynced: VecDeque<Persist>,
}

impl Disk {
    pub(crate) fn write(&mut self, persist: Persist) {
        if let Some(snapshot) = persist.snapshot {
            self.entries.clear();
            self.mark = Some(snapshot);
        }
        if let Some(first) = persist.entries.first() {
            self.entries.retain(|e| e.index < first.index);
            self.entries.extend(persist.entries);
        }
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
    }

    /// The highest index in the log.
    pub(crate) fn last_index(&self) -> u64 {
        self.last().1
    }

    /// Term and index of the newest entry, by which voters compare logs.
    pub(crate) fn last(&self) -> (u64, u64) {
        let covered = self.mark.as_ref().map_or((0, 0), |m| (m.term, m.index));
        self.entries.last().map_or(covered, |e| (e.term, e.index))
    }

    /// The index that the newest snapshot covers.
    pub(crate) fn covered(&self) -> u64 {
        self.mark.as_ref().map_or(0, |m| m.index)
    }

    /// Whether an entry above `index` changes the membership.
    pub(crate) fn changes_members_after(&self, index: u64) -> bool {
        changes_members(&self.entries, index)
    }

    pub(crate) fn put(&mut self, meta: &SnapshotMeta, state: State) {
        self.files.insert((meta.index, meta.term), state);
    }

    pub(crate) fn file(&self, meta: &SnapshotMeta) -> Option<&State> {
        self.files.get(&(meta.index, meta.term))
    }

    /// Drops what a durable snapshot covers.
    pub(crate) fn truncate(&mut self, mark: SnapshotMeta, first_index: u64) {
        let keep_from = first_index.min(mark.index + 1);
        self.entries.retain(|e| e.index >= keep_from);
        self.files.retain(|(index, _), _| *index >= mark.index);
        self.mark = Some(mark);
    }

    /// What the log holds, as the real one would read it.
    pub(crate) fn content(&self) -> LoadedLog {
        let mark = self.mark.as_ref();
        LoadedLog {
            hard_state: self.hard_state,
            snapshot: mark.map_or_else(SnapshotMark::default, |m| SnapshotMark {
                index: m.index,
                term: m.term,
            }),
            entries: self.entries.clone(),
        }
    }

    pub(crate) fn restore(&self) -> (Restored, State) {
        let file = self.mark.as_ref().and_then(|m| self.file(m));
        let restored = Restored {
            hard_state: self.hard_state,
            snapshot: self.mark.clone(),
            entries: self.entries.clone(),
        };
        (restored, file.cloned().unwrap_or_default())
    }
}

/// Whether one of these entries, above `index`, changes the membership.
pub(crate) fn changes_members(entries: &[Entry], index: u64) -> bool {
    let mut newer = entries.iter().filter(|e| e.index > index);
    newer.any(|e| e.kind != EntryKind::Normal)
}
