//! Holds back what is not yet true on disk.
//!
//! A response promises what was written before it; it leaves when that is durable. A leader's
//! messages promise only that it leads its term; they leave once its vote in that term is durable.
//! Never sends anything: it only decides when the caller may.

use std::collections::VecDeque;

use crate::types::{Message, MessageKind, SnapshotMeta};

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Number of the newest write.
    newest: u64,
    /// Number of the newest write that changed term or vote.
    newest_vote: u64,
    /// Number up to which writes are durable.
    durable: u64,
    /// Writes that are not durable, and the commit index in each.
    commits: VecDeque<(u64, u64)>,
    durable_commit: u64,
    held: VecDeque<(u64, Message)>,
    /// Received snapshots that were given to the writer.
    snapshots: VecDeque<(u64, SnapshotMeta)>,
}

// === impl Outbox ===

impl Outbox {
    /// For a disk that holds this commit index.
    pub(crate) fn new(durable_commit: u64) -> Self {
        Self {
            durable_commit,
            ..Self::default()
        }
    }

    /// A write was given to the writer.
    pub(crate) fn wrote(&mut self, number: u64, changes_vote: bool, commit: u64) {
        assert!(number > self.newest, "numbers of writes rise");
        self.newest = number;
        self.commits.push_back((number, commit));
        if changes_vote {
            self.newest_vote = number;
        }
    }

    /// The write of this number contained a received snapshot.
    pub(crate) fn wrote_snapshot(&mut self, number: u64, snapshot: SnapshotMeta) {
        self.snapshots.push_back((number, snapshot));
    }

    /// Whether every write is durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable == self.newest
    }

    /// Commit index that a restart would find.
    pub(crate) fn durable_commit(&self) -> u64 {
        self.durable_commit
    }

    /// Whether a received snapshot is not yet durable.
    pub(crate) fn is_installing(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// Passes on a message that may leave now, and holds any other.
    pub(crate) fn post(&mut self, message: Message, send: &mut Vec<Message>) {
        let needs = if promises_log(message.kind) {
            self.newest
        } else {
            self.newest_vote
        };
        if needs <= self.durable {
            send.push(message);
        } else {
            self.held.push_back((needs, message));
        }
    }

    /// Writes up to `number` are durable. Gives back the newest snapshot among them.
    pub(crate) fn durable(&mut self, number: u64, send: &mut Vec<Message>) -> Option<SnapshotMeta> {
        assert!(
            number <= self.newest,
            "write {number} was reported durable and never given out"
        );
        self.durable = self.durable.max(number);
        let durable = self.durable;
        let written = self.commits.partition_point(|(write, _)| *write <= durable);
        if let Some((_, commit)) = self.commits.drain(..written).next_back() {
            self.durable_commit = commit;
        }
        for _ in 0..self.held.len() {
            match self.held.pop_front() {
                Some((needs, message)) if needs <= durable => send.push(message),
                other => self.held.extend(other),
            }
        }
        let installed = self
            .snapshots
            .partition_point(|(needs, _)| *needs <= durable);
        self.snapshots
            .drain(..installed)
            .next_back()
            .map(|(_, snapshot)| snapshot)
    }
}

/// Whether a message speaks of entries or a vote that its sender has just written.
///
/// A leader's appends do not: it does not count itself before its own write is durable. Nor do
/// heartbeats and their answers, which only say that the sender knows the term; so a slow disk does
/// not look like a dead member.
fn promises_log(kind: MessageKind) -> bool {
    match kind {
        MessageKind::Append
        | MessageKind::Heartbeat
        | MessageKind::HeartbeatResponse
        | MessageKind::Snapshot
        | MessageKind::TimeoutNow => false,
        MessageKind::AppendResponse
        | MessageKind::RequestVote
        | MessageKind::RequestVoteResponse
        | MessageKind::RequestPreVote
        | MessageKind::RequestPreVoteResponse => true,
    }
}
