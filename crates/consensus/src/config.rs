//! Timing and limits of a raft member.
//!
//! Never holds anything about the cluster itself.

use std::fmt;
use std::sync::Arc;

use crate::types::RaftId;

/// Milliseconds between two [`crate::Input::Tick`]s.
pub const TICK_MS: u64 = 100;

/// Ticks between two heartbeats of a leader. One is the finest there is: a leader's silence is
/// noticed early, and ten small messages a second to each member cost nothing.
pub const HEARTBEAT_TICKS: usize = 1;

/// Ticks of silence after which a member may campaign, and after which a leader that hears no
/// quorum steps down. Eight missed heartbeats are no scheduling hiccup or slow sync any more.
///
/// Each member waits a time of its own between this and twice this, 0.8 to 1.5 s. The first of two
/// followers is expected to wake after 1.0 s; with the election itself (two round trips and one
/// sync) a cluster on a LAN has a new leader about one second after the old one died. Eight
/// different values keep two members from waking together more often than every eighth time, and
/// even then their ticks are rarely within one round trip of each other.
pub const ELECTION_TICKS: usize = 8;

/// Ticks after which a commit index that no other write carried along is written on its own. Until
/// then it rides for free; an idle cluster writes it once and then nothing.
pub const COMMIT_WRITE_TICKS: u64 = 5;

/// Ticks between two questions of a removed member whether it is still needed.
pub const FAREWELL_TICKS: u64 = ELECTION_TICKS as u64;

/// Ticks without a leader after which a learner asks whether it was removed: some elections.
pub const FORGOTTEN_TICKS: u64 = 10 * ELECTION_TICKS as u64;

/// Ticks without a leader after which a member that has nothing of the log gives up: it may have
/// been removed before the first entry reached it, and knows nobody to ask. A minute: whoever lets
/// a member in sends to it at once, also after a change of leaders.
pub const UNHEARD_TICKS: u64 = 600;

/// Entries that a learner may lack when it is promoted. With entries of a kilobyte that is a
/// megabyte, milliseconds of catching up; none at all could never be reached under load.
pub const PROMOTE_LAG_ENTRIES_MAX: u64 = 1_000;

/// Bytes of a node id or an address. A host name has at most 253.
pub const MEMBER_TEXT_BYTES_MAX: usize = 512;

/// Reads that may wait for a quorum. Each is a number; callers wait longer than this queue takes.
pub const READS_WAITING_MAX: usize = 65_536;

/// Largest term or index that a peer may name. Real ones never come near; sums stay in range.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// Bounds of queues and messages, in bytes or messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest content of an entry.
    pub entry_bytes_max: usize,
    /// Entries beyond this go into the next message. A single larger entry travels alone.
    pub message_bytes_max: u64,
    /// Append messages to one member that are not yet answered.
    pub inflight_messages_max: usize,
    /// Proposals that are not yet committed.
    pub uncommitted_bytes_max: u64,
    /// Committed entries handed out at once.
    pub apply_bytes_max: u64,
}

/// Receives the raft library's log lines.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Weight of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something is wrong with this member.
    Error,
    /// Something unusual.
    Warn,
    /// Changes of role, term and membership.
    Info,
}

/// What a member is told when it starts.
#[derive(Clone)]
pub struct Config {
    /// Its own id.
    pub raft_id: RaftId,
    /// Drawn at random by the caller once per start; spreads election timeouts. The same seed,
    /// id and inputs give the same effects.
    pub seed: u64,
    /// Bounds.
    pub limits: Limits,
    /// Where log lines go; without it they are dropped.
    pub log: Option<LogSink>,
}

// === impl Limits ===

impl Default for Limits {
    /// - 2 MiB for an entry: SwarmKit's transactions are at most 1.5 MiB.
    /// - 512 KiB for a message: a megabit link still sends one within an election timeout's order,
    ///   and it fits the 4 MiB that gRPC accepts, with an entry of full size on top.
    /// - 128 messages: with the above at most 64 MiB on the way to one member.
    /// - 32 MiB uncommitted: seconds of full load; beyond that waiting longer helps nobody.
    /// - 4 MiB to apply at once: a batch that takes milliseconds.
    fn default() -> Self {
        Self {
            entry_bytes_max: 2 << 20,
            message_bytes_max: 512 << 10,
            inflight_messages_max: 128,
            uncommitted_bytes_max: 32 << 20,
            apply_bytes_max: 4 << 20,
        }
    }
}

// === impl Config ===

impl Config {
    /// A member with the default limits and without log lines.
    pub fn new(raft_id: RaftId, seed: u64) -> Self {
        Self {
            raft_id,
            seed,
            limits: Limits::default(),
            log: None,
        }
    }

    /// Ticks of silence before this member campaigns in `term`.
    pub(crate) fn election_timeout_ticks(&self, term: u64) -> usize {
        let mixed = mix(self.seed ^ mix(self.raft_id.get() ^ mix(term)));
        ELECTION_TICKS + (mixed % ELECTION_TICKS as u64) as usize
    }

    /// The raft library's form of this configuration.
    pub(crate) fn raft_config(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.raft_id.get(),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: self.limits.message_bytes_max,
            max_inflight_msgs: self.limits.inflight_messages_max,
            check_quorum: true,
            pre_vote: true,
            min_election_tick: ELECTION_TICKS,
            max_election_tick: 2 * ELECTION_TICKS,
            read_only_option: raft::ReadOnlyOption::Safe,
            skip_bcast_commit: false,
            batch_append: true,
            priority: 0,
            max_uncommitted_size: self.limits.uncommitted_bytes_max,
            max_committed_size_per_ready: self.limits.apply_bytes_max,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("raft_id", &self.raft_id)
            .field("seed", &self.seed)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The finaliser of SplitMix64: every input bit changes half of the output bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
