//! When this replica makes a snapshot of itself, and the writing of it.
//!
//! Capturing happens on the apply thread and is O(1); encoding and writing happen on a thread of
//! their own. One snapshot is made at a time.
//!
//! Never drops log entries before the file that covers them is durable.

use std::io::{BufWriter, Write};
use std::thread;
use std::time::{Duration, Instant};

use consensus::SnapshotMeta;
use storage::{SnapshotError, SnapshotInfo, SnapshotStore};

use crate::api::{Config, SnapshotSource, Threads};
use crate::events::{Event, EventSender};

/// How long after a failure (most likely a full disk) the next try comes.
const RETRY: Duration = Duration::from_secs(5);
/// The source may write in small portions.
const BUFFER_BYTES: usize = 256 << 10;

/// Decides when.
#[derive(Debug)]
pub(crate) struct SnapshotPolicy {
    entries_max: u64,
    bytes_max: u64,
    entries: u64,
    bytes: u64,
    wanted: bool,
    busy: bool,
    not_before: Option<Instant>,
}

impl SnapshotPolicy {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            entries_max: config.retention.snapshot_entries.max(1),
            bytes_max: config.snapshot_bytes.max(1),
            entries: 0,
            bytes: 0,
            wanted: false,
            busy: false,
            not_before: None,
        }
    }

    /// Another number of entries between two snapshots counts from now on.
    pub(crate) fn set_entries_max(&mut self, entries: u64) {
        self.entries_max = entries.max(1);
    }

    /// Entries were applied.
    pub(crate) fn applied(&mut self, entries: u64, bytes: u64) {
        self.entries += entries;
        self.bytes += bytes;
    }

    /// A follower needs a newer one than there is.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether to capture the state now. If so, the answer must be followed by
    /// [`finished`](Self::finished).
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.wanted || self.entries >= self.entries_max || self.bytes >= self.bytes_max;
        if !due || self.busy || self.not_before.is_some_and(|t| now < t) {
            return false;
        }
        self.busy = true;
        self.wanted = false;
        self.entries = 0;
        self.bytes = 0;
        true
    }

    /// The snapshot that was begun is durable, or failed.
    pub(crate) fn finished(&mut self, ok: bool, now: Instant) {
        self.busy = false;
        self.not_before = if ok { None } else { Some(now + RETRY) };
        self.wanted |= !ok;
    }

    /// A received snapshot replaced the state.
    pub(crate) fn restored(&mut self) {
        self.entries = 0;
        self.bytes = 0;
        self.wanted = false;
    }
}

/// Writes a captured state, on a thread of its own if there are threads, and prunes older files
/// down to the number that is to be kept.
pub(crate) fn write(
    (store, keep): (SnapshotStore, usize),
    meta: SnapshotMeta,
    source: Box<dyn SnapshotSource>,
    events: EventSender,
    threads: Threads,
) {
    let (written_meta, written_events) = (meta.clone(), events.clone());
    let work = move || {
        let (meta, events) = (written_meta, written_events);
        let result = write_file(&store, meta.clone(), source.as_ref());
        if result.is_ok()
            && let Err(e) = store.prune(keep)
        {
            tracing::warn!(error = %e, "old snapshots could not be removed");
        }
        events.send(Event::Written { meta, result });
    };
    if threads == Threads::Callers {
        return work();
    }
    let spawned = thread::Builder::new()
        .name("raft-snapshot".to_owned())
        .spawn(work);
    if let Err(source) = spawned {
        let error = SnapshotError::Io {
            action: "write",
            path: "thread".into(),
            source,
        };
        events.send(Event::Written {
            meta,
            result: Err(error),
        });
    }
}

pub(crate) fn write_file(
    store: &SnapshotStore,
    meta: SnapshotMeta,
    source: &dyn SnapshotSource,
) -> Result<SnapshotInfo, SnapshotError> {
    let writer = store.create(meta)?;
    let failed = |e| SnapshotError::from_io("write", store.dir(), e);
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, writer);
    source
        .write_to(&mut buffered)
        .and_then(|()| buffered.flush())
        .map_err(failed)?;
    buffered
        .into_inner()
        .map_err(|e| failed(e.into_error()))?
        .finish()
}

#[cfg(test)]
mod tests {
    use consensus::RaftId;

    use super::*;
    use crate::api::Retention;

    fn policy() -> SnapshotPolicy {
        let config = Config::new(RaftId::new(1).unwrap(), 0);
        SnapshotPolicy::new(&Config {
            retention: Retention {
                snapshot_entries: 10,
                ..config.retention
            },
            snapshot_bytes: 1000,
            ..config
        })
    }

    #[test]
    fn a_snapshot_is_due_by_entries_by_bytes_or_on_demand_and_one_at_a_time() {
        let now = Instant::now();
        let mut policy = policy();
        policy.applied(9, 999);
        assert!(!policy.begin(now));
        policy.applied(1, 0);
        assert!(policy.begin(now));
        policy.applied(10, 0);
        assert!(!policy.begin(now), "one is being written");
        policy.finished(true, now);
        assert!(policy.begin(now));
        policy.finished(true, now);
        policy.applied(1, 1000);
        assert!(policy.begin(now));
        policy.finished(true, now);
        assert!(!policy.begin(now));
        policy.want();
        assert!(policy.begin(now));
    }

    #[test]
    fn a_failed_snapshot_is_tried_again_later() {
        let now = Instant::now();
        let mut policy = policy();
        policy.want();
        assert!(policy.begin(now));
        policy.finished(false, now);
        assert!(!policy.begin(now));
        assert!(policy.begin(now + RETRY));
    }
}
