//! What a run is like, all from its seed: sizes, delays, rates of faults. And the bugs that can be
//! planted in the driver to prove that the invariants see them.

use consensus::Limits;

use crate::rng::Rng;

/// A bug of the driver or of what it stands on. The member itself is always the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Writes are reported durable before they are.
    SkipSync,
    /// Clients are answered when a proposal was accepted.
    AckBeforeQuorum,
    /// The vote does not survive a restart.
    ForgetVote,
    /// The last entry does not survive a restart.
    LoseLastEntry,
    /// Entries after the snapshot are in the restored state already, and are applied again.
    ApplyTwice,
    /// Committed entries are skipped while a snapshot is being made.
    SkipApply,
    /// Whoever believes to lead answers reads at once.
    StaleRead,
    /// Snapshots carry the membership of the beginning.
    SnapshotWithoutMembership,
    /// A received snapshot is accepted and its content is not loaded.
    IgnoreSnapshotContent,
    /// A snapshot claims an index that its content does not have yet.
    SnapshotTooEarly,
    /// An unknown outcome is told to the client as a failure.
    UnknownIsFailure,
    /// A member whose disk was lost goes on under its old id.
    ReuseRaftId,
    /// Writes that contain entries leave the hard state out.
    DropHardState,
}

pub const BUGS: [Bug; 13] = [
    Bug::SkipSync,
    Bug::AckBeforeQuorum,
    Bug::ForgetVote,
    Bug::LoseLastEntry,
    Bug::ApplyTwice,
    Bug::SkipApply,
    Bug::StaleRead,
    Bug::SnapshotWithoutMembership,
    Bug::IgnoreSnapshotContent,
    Bug::SnapshotTooEarly,
    Bug::UnknownIsFailure,
    Bug::ReuseRaftId,
    Bug::DropHardState,
];

/// Rates are in ten thousand, times in milliseconds.
#[derive(Debug, Clone)]
pub struct Params {
    pub members_target: u64,
    pub chaos_ms: u64,
    pub delay_ms_max: u64,
    pub disk_ms_max: u64,
    pub loss: u64,
    pub duplicates: u64,
    pub crash_per_effect: u64,
    pub crash_after_vote: u64,
    pub down_ms_max: u64,
    pub client_ms_max: u64,
    pub admin_ms_max: u64,
    pub fault_ms_max: u64,
    pub snapshot_every: u64,
    pub keep_entries: u64,
    pub limits: Limits,
}

impl Params {
    pub fn from_rng(rng: &mut Rng) -> Self {
        let message_bytes_max = rng.between(100, 4_000);
        Self {
            members_target: rng.between(1, 7),
            chaos_ms: rng.between(15_000, 40_000),
            delay_ms_max: [2, 10, 30, 120][rng.below(4) as usize],
            disk_ms_max: [1, 5, 30, 300][rng.below(4) as usize],
            loss: [0, 50, 300, 1_000][rng.below(4) as usize],
            duplicates: [0, 100, 500][rng.below(3) as usize],
            crash_per_effect: [0, 2, 10, 30][rng.below(4) as usize],
            crash_after_vote: [0, 2_000, 5_000][rng.below(3) as usize],
            down_ms_max: [0, 10, 800, 5_000][rng.below(4) as usize],
            client_ms_max: [20, 60, 200][rng.below(3) as usize],
            admin_ms_max: [800, 2_000, 6_000][rng.below(3) as usize],
            fault_ms_max: [1_000, 3_000, 8_000][rng.below(3) as usize],
            snapshot_every: [5, 20, 80][rng.below(3) as usize],
            keep_entries: [0, 3, 20][rng.below(3) as usize],
            limits: Limits {
                entry_bytes_max: 1_024,
                message_bytes_max,
                inflight_messages_max: rng.between(1, 32) as usize,
                uncommitted_bytes_max: message_bytes_max.max(rng.between(500, 20_000)),
                apply_bytes_max: rng.between(50, 4_000),
            },
        }
    }
}
