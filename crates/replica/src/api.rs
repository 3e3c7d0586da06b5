//! What a replica needs from its owner and tells it: the state machine, the settings, the status.
//!
//! Plain data and traits; nothing here acts.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus::{Member, Membership, Progress, RaftId, Rejected, Removal, Role};

/// A committed entry, to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the log.
    pub index: u64,
    /// Term of the leader that appended it.
    pub term: u64,
    /// What was proposed.
    pub data: Bytes,
}

/// Why a snapshot cannot be restored, for a person to read.
pub type RestoreError = Box<dyn std::error::Error + Send + Sync>;

/// The state that the log replicates. Called on one thread, in the order of the log.
pub trait StateMachine: Send + 'static {
    /// Applies committed entries. Cannot fail: every member applies the same entries, and one that
    /// cannot must not go on. A panic here stops the replica for good.
    fn apply(&mut self, committed: &[Applied]);

    /// The membership from here on. Also called once at the start and after a restore.
    fn membership(&mut self, membership: &Arc<Membership>);

    /// The present state, to be written later on another thread. Must be O(1): entries wait for it.
    fn capture(&self) -> Box<dyn SnapshotSource>;

    /// Replaces the whole state by what a [`SnapshotSource`] of some member wrote. An error stops
    /// the replica for good.
    fn restore(&mut self, payload: &mut dyn io::Read) -> Result<(), RestoreError>;
}

/// A captured state.
pub trait SnapshotSource: Send {
    /// Writes the state in portions.
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()>;
}

/// Settings of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Identity of this member. Never reused: a node that lost its log joins under a new one.
    pub id: RaftId,
    /// Random number that this member's election timeouts are drawn from.
    pub seed: u64,
    /// What is kept, until [`Handle::retain`](crate::Handle::retain) says otherwise.
    pub retention: Retention,
    /// A snapshot is made after this many bytes of applied entries, however few those are.
    pub snapshot_bytes: u64,
    /// Time between two ticks. Only tests change it.
    pub tick: Duration,
    /// Where it works. Only simulations change it.
    pub threads: Threads,
}

/// Where a replica does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// On threads of its own: one for consensus, one for the log, one for the state machine.
    #[default]
    Own,
    /// On the runtime that starts it, in its time and one thing after the other: the same inputs
    /// in the same order give the same outputs. A write to the log holds everything up.
    Callers,
}

impl Config {
    /// Defaults of `id`.
    pub fn new(id: RaftId, seed: u64) -> Self {
        Self {
            id,
            seed,
            retention: Retention::default(),
            // Four files of the log: recovery reads them in well under a second.
            snapshot_bytes: 64 << 20,
            tick: Duration::from_millis(consensus::TICK_MS),
            threads: Threads::Own,
        }
    }
}

/// How much of its past a replica keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A snapshot is made after this many applied entries, one at least.
    pub snapshot_entries: u64,
    /// Entries before a snapshot that stay in the log for slow followers, so that a member that was
    /// away for a moment does not need the whole state.
    pub keep_entries: u64,
    /// Snapshot files that stay. The second newest serves when the newest turns out damaged, as
    /// long as the log still reaches back to it.
    pub keep_snapshots: usize,
}

impl Default for Retention {
    /// SwarmKit's numbers, and one more snapshot.
    fn default() -> Self {
        Self {
            snapshot_entries: 10_000,
            keep_entries: 500,
            keep_snapshots: 2,
        }
    }
}

/// What a replica is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub id: RaftId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads the term, as far as it knows.
    pub leader_id: Option<RaftId>,
    /// The same with its address, when the membership names it.
    pub leader: Option<Member>,
    /// Equals `term` once this leader has applied everything committed before its term: only then
    /// may it build on its state and propose.
    pub ready_term: Option<u64>,
    /// Index of the newest applied entry.
    pub applied: u64,
    /// Index of the newest entry known to be committed.
    pub committed: u64,
    /// Index of the last entry of the log.
    pub last: u64,
    /// Who belongs to the cluster.
    pub membership: Arc<Membership>,
    /// On the leader: how far each other member is, and whether it answers.
    pub progress: BTreeMap<RaftId, Progress>,
    /// Whether this member was removed from the cluster.
    pub removal: Removal,
    /// The disk of the log.
    pub disk: Disk,
    /// Set once the replica has stopped.
    pub stopped: Option<Stopped>,
}

/// State of the log's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// Writable.
    Ok,
    /// No room for entries: proposals are rejected until there is.
    Full,
    /// A write or sync failed; the replica has stopped.
    Failed(String),
}

/// Why a replica has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// It cannot go on; the manager must stop. The text says why.
    Failed(String),
}

/// Why a proposal was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Consensus did not take it, or its outcome is unknown.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// No room on the leader's disk.
    #[error("the disk of the leader is full: free some space on it")]
    DiskFull,
    /// Too much is waiting already.
    #[error("too many changes are waiting; try again later")]
    Overloaded,
    /// An earlier proposal of its chain was refused.
    #[error("a change that this one builds on was refused")]
    ChainBroken,
    /// The replica stops; whether the proposal takes effect is unknown.
    #[error("this manager is stopping; whether the change takes effect is unknown")]
    Stopped,
}

/// Why a read barrier was not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Consensus cannot answer: another member leads, or none does.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Too much is waiting already.
    #[error("too many reads are waiting; try again later")]
    Overloaded,
    /// The replica stops.
    #[error("this manager is stopping")]
    Stopped,
}

/// Why a change of the membership or of the leader did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Consensus refused.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It did not happen in time. It may still happen.
    #[error("the change did not take effect in time: {waiting_for}")]
    Timeout {
        /// What was still missing.
        waiting_for: String,
    },
    /// The replica stops.
    #[error("this manager is stopping")]
    Stopped,
}
