//! Snapshots of a manager's tables: when they are made, and what a restart makes of them.

use consensus::{Input, SnapshotMeta};
use sim_script::params::MS;
use store::{Image, ImageItem, Object, State};

use crate::bugs::Bug;
use crate::host::raft_id;
use crate::world::{ManagerEvent, World};

/// A snapshot and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: State,
}

/// The tables as they come back from a snapshot.
pub(crate) fn reloaded(state: &State, bug: Option<Bug>) -> State {
    let mut image = Image::new();
    for item in state.image() {
        let ended =
            matches!(&item, ImageItem::Object(Object::Task(t)) if t.status.state.is_terminal());
        if ended && bug == Some(Bug::SnapshotWithoutHistory) {
            continue;
        }
        image.add(item).expect("R8: an image loads");
    }
    image.finish(state.version())
}

impl World {
    pub(crate) fn maybe_make_snapshot(&mut self, at: usize, wanted: bool) {
        let (every, bug) = (self.params.snapshot_every, self.bug);
        let host = &mut self.hosts[at];
        let covered = host.disk.covered();
        let Some(process) = host.process.as_mut() else {
            return;
        };
        let due = process.applied >= covered + every || (wanted && process.applied > covered);
        if process.making_snapshot || !due {
            return;
        }
        let meta = process.consensus.snapshot_meta();
        let Some(mut meta) = meta.filter(|m| m.index == process.applied) else {
            return;
        };
        process.making_snapshot = true;
        let state = process.state.clone();
        if bug == Some(Bug::SnapshotWithoutMembership) {
            let members = &mut meta.membership;
            members.voters = [raft_id(0)].into();
            members.learners.clear();
            members.members.retain(|id, _| *id == raft_id(0));
        }
        let file = Box::new(SnapshotFile { meta, state });
        let delay = self.rng.between(MS, 300 * MS);
        self.schedule(at, delay, ManagerEvent::SnapshotMade(file));
    }

    pub(crate) fn snapshot_made(&mut self, at: usize, mut file: SnapshotFile) {
        let (keep_entries, full) = (
            self.params.keep_entries,
            self.hosts[at].full_until > self.now,
        );
        let host = &mut self.hosts[at];
        let Some(process) = host.process.as_mut() else {
            return;
        };
        process.making_snapshot = false;
        if full {
            return self.mark("no room for a snapshot");
        }
        if self.bug == Some(Bug::SnapshotTooEarly) {
            file.state = process.state.clone();
        }
        let SnapshotFile { meta, state } = file;
        if host.disk.covered() >= meta.index && host.disk.mark.is_some() {
            return self.mark("snapshot overtaken by a received one");
        }
        host.disk.put(&meta, state);
        process.consensus.handle(Input::Compact {
            snapshot: meta.clone(),
            keep_entries,
        });
        let first = process.consensus.first_index();
        host.disk.truncate(meta, first);
        self.mark("snapshot made");
        if !self.cut.is_empty() {
            self.mark("snapshot made during a partition");
        }
        self.drain(at);
    }
}
