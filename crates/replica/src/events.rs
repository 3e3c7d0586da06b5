//! What the threads around the raft thread tell it.
//!
//! The queue is unbounded because each sender is bounded: the log thread answers writes that the
//! raft thread gave it, the apply thread likewise, and links report at most once for each batch.

use consensus::{RaftId, SnapshotMeta};
use storage::{SnapshotError, SnapshotInfo};
use tokio::sync::mpsc;

use crate::api::SnapshotSource;

/// Something that happened outside the raft thread.
pub(crate) enum Event {
    /// Everything up to this write is durable.
    Persisted { number: u64 },
    /// Entries up to `index`, `bytes` in all, are applied.
    Applied {
        index: u64,
        entries: u64,
        bytes: u64,
    },
    /// A received snapshot is the state now.
    Restored(SnapshotInfo),
    /// The state as of `index` is captured.
    Captured {
        index: u64,
        source: Box<dyn SnapshotSource>,
    },
    /// A snapshot is written, or not.
    Written {
        meta: SnapshotMeta,
        result: Result<SnapshotInfo, SnapshotError>,
    },
    /// The disk got full or has room again.
    DiskChanged,
    /// A thread cannot go on.
    Failed { disk: bool, detail: String },
    /// Messages to this member could not be sent.
    Unreachable(RaftId),
    /// A snapshot transfer is over.
    SnapshotSent { to: RaftId, ok: bool },
    /// This member was removed, says another one.
    ToldRemoved { by: RaftId },
}

/// Sending side of the queue.
#[derive(Clone, Debug)]
pub(crate) struct EventSender(mpsc::UnboundedSender<Event>);

impl EventSender {
    pub(crate) fn send(&self, event: Event) {
        // Nobody listens once the replica has stopped.
        let _gone = self.0.send(event);
    }

    /// Whether the replica has stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// The queue.
pub(crate) fn channel() -> (EventSender, mpsc::UnboundedReceiver<Event>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (EventSender(sender), receiver)
}
