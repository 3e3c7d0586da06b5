//! What consensus takes in and gives out: ids, log entries, membership, messages.
//!
//! Plain data. No type of the raft library appears here, so that disk formats, wire formats and
//! callers do not depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;

use bytes::Bytes;

/// Identity of one raft member. Never zero and never reused: a node that lost its log joins under
/// a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RaftId(NonZeroU64);

/// Caller's name for a proposal or a membership change, unique while it is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// Caller's name for a read, unique while it is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What an entry of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Bytes of the caller; empty in the first entry of a leader's term.
    Normal,
    /// An encoded [`MemberChange`].
    ConfChange,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Term of the leader that appended it.
    pub term: u64,
    /// Position in the log, from 1.
    pub index: u64,
    /// What `data` is.
    pub kind: EntryKind,
    /// The content.
    pub data: Bytes,
}

/// What a member must remember about terms, votes and commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    /// Newest term seen.
    pub term: u64,
    /// Whom this member voted for in that term.
    pub vote: Option<RaftId>,
    /// A committed index; the true one may be higher.
    pub commit: u64,
}

/// A raft member and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its raft identity.
    pub raft_id: RaftId,
    /// The node it runs on.
    pub node_id: String,
    /// Where its manager listens, `host:port`.
    pub addr: String,
}

/// Who belongs to the cluster, as of one log index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Members that count for quorum.
    pub voters: BTreeSet<RaftId>,
    /// Members that receive the log and do not count.
    pub learners: BTreeSet<RaftId>,
    /// Every voter and learner.
    pub members: BTreeMap<RaftId, Member>,
    /// Members that were removed. They are remembered forever and never come back.
    pub removed: BTreeSet<RaftId>,
}

/// One change of the membership. One at a time is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member starts to receive the log.
    AddLearner(Member),
    /// A learner that has caught up counts for quorum from now on.
    Promote(RaftId),
    /// A member listens elsewhere.
    UpdateAddr(Member),
    /// A member leaves for good.
    Remove(RaftId),
}

/// What a snapshot contains: everything up to and including `index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// Membership as of that entry.
    pub membership: Membership,
}

/// What the disk held when the member started. All empty for a member that is about to join.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The hard state.
    pub hard_state: HardState,
    /// The snapshot that the log continues. The caller's state must have been loaded from it: every
    /// entry after it is handed out again.
    pub snapshot: Option<SnapshotMeta>,
    /// Contiguous entries. They may begin before the end of the snapshot.
    pub entries: Vec<Entry>,
}

/// Kinds of messages between members. Requests that only a member may make of itself (tick,
/// propose, read) are not among them, so no peer can send one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// Leader to member: entries.
    Append,
    /// Answer to it.
    AppendResponse,
    /// Candidate to voter.
    RequestVote,
    /// Answer to it.
    RequestVoteResponse,
    /// Would-be candidate to voter.
    RequestPreVote,
    /// Answer to it.
    RequestPreVoteResponse,
    /// Leader to member: still here.
    Heartbeat,
    /// Answer to it.
    HeartbeatResponse,
    /// Leader to a member that is too far behind. The file with the content travels beside it.
    Snapshot,
    /// Leader to voter: campaign at once.
    TimeoutNow,
}

/// A message between members. Fields that a kind does not use are zero or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub kind: MessageKind,
    /// Receiver.
    pub to: RaftId,
    /// Sender.
    pub from: RaftId,
    /// Term of the sender, or the term it campaigns for.
    pub term: u64,
    /// Term of the entry at `index`.
    pub log_term: u64,
    /// Index that the message speaks of.
    pub index: u64,
    /// Entries after `index`.
    pub entries: Vec<Entry>,
    /// Commit index of the sender.
    pub commit: u64,
    /// Term of the entry at `commit`.
    pub commit_term: u64,
    /// What the snapshot beside this message contains; only in [`MessageKind::Snapshot`].
    pub snapshot: Option<SnapshotMeta>,
    /// Whether a response refuses.
    pub reject: bool,
    /// Where a refused leader should try next.
    pub reject_hint: u64,
    /// Opaque bytes that a response repeats.
    pub context: Bytes,
}

/// Everything that can happen to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`crate::TICK_MS`] have passed.
    Tick,
    /// A message from a member. One of kind [`MessageKind::Snapshot`] is handed in only once the
    /// file beside it is durable and checked.
    Step(Message),
    /// Append `data` to the log, if this member still leads `term`.
    Propose {
        /// Comes back with the commit or the rejection.
        id: ProposalId,
        /// Term under which the caller made the proposal.
        term: u64,
        /// Content of the entry; not empty.
        data: Bytes,
    },
    /// Ask for an index at which a read is linearizable.
    ReadIndex {
        /// Comes back with the index or the rejection.
        id: ReadId,
    },
    /// Change the membership.
    Change {
        /// Comes back with the commit or the rejection.
        id: ProposalId,
        /// The change.
        change: MemberChange,
    },
    /// Give leadership to a voter; without a name to the most caught-up active one. Success shows
    /// in [`Status`].
    TransferLeader {
        /// Comes back with a rejection only.
        id: ProposalId,
        /// Who shall lead.
        to: Option<RaftId>,
    },
    /// Everything in the [`Persist`] with this number, and in all before it, is durable.
    Persisted {
        /// [`Persist::number`].
        number: u64,
    },
    /// The caller's state contains every entry up to and including `index`.
    Applied {
        /// An index that was handed out in [`Effects::apply`].
        index: u64,
    },
    /// A message to this member could not be sent.
    Unreachable(RaftId),
    /// A transfer that a message of kind [`MessageKind::Snapshot`] asked for is over.
    SnapshotSent {
        /// The receiver.
        to: RaftId,
        /// Whether it has the whole file.
        ok: bool,
    },
    /// A durable snapshot exists: forget entries that it covers.
    Compact {
        /// From [`crate::Consensus::snapshot_meta`].
        snapshot: SnapshotMeta,
        /// Entries before the end of the snapshot that stay for slow followers.
        keep_entries: u64,
    },
    /// A member answered that this one was removed. The caller has checked that it belongs to the
    /// cluster.
    ToldRemoved {
        /// Who says so.
        by: RaftId,
    },
}

/// What the caller must do, in the order of [`crate`]'s list of duties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Make this durable, then hand in [`Input::Persisted`].
    pub persist: Option<Persist>,
    /// Send these. None of them promises anything that is not yet durable.
    pub send: Vec<Message>,
    /// Apply these in order, then hand in [`Input::Applied`].
    pub apply: Vec<Apply>,
    /// Reads that may be answered: the caller's applied state is new enough.
    pub reads: Vec<ReadReady>,
    /// Requests that were not accepted, or whose outcome became unknown.
    pub rejected: Vec<(RequestId, Rejected)>,
    /// Messages that broke the protocol and were ignored.
    pub refused: Vec<(RaftId, MessageRefused)>,
    /// Removed members that still send: answer them that they were removed. Never do so on any
    /// other ground: a member that stops too early may be missing from the last election of the
    /// old configuration.
    pub tell_removed: BTreeSet<RaftId>,
    /// A member needs a newer snapshot than there is: make one now, then hand in
    /// [`Input::Compact`].
    pub want_snapshot: bool,
    /// The new status, when it changed.
    pub status: Option<Status>,
}

impl Effects {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self {
            persist,
            send,
            apply,
            reads,
            rejected,
            refused,
            tell_removed,
            want_snapshot,
            status,
        } = self;
        let none = persist.is_none() && status.is_none() && !want_snapshot;
        let told = rejected.is_empty() && refused.is_empty() && tell_removed.is_empty();
        none && told && send.is_empty() && apply.is_empty() && reads.is_empty()
    }
}

/// One write to the log, all or nothing. Writes are done in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Persist {
    /// Rises with every write.
    pub number: u64,
    /// A received snapshot was accepted: the log is dropped and continues after it.
    pub snapshot: Option<SnapshotMeta>,
    /// Contiguous entries. The first may replace a conflicting suffix of the log.
    pub entries: Vec<Entry>,
    /// The new hard state.
    pub hard_state: Option<HardState>,
}

/// Something committed, to be applied in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apply {
    /// Replace the whole state by the content of this received snapshot.
    Snapshot(SnapshotMeta),
    /// Apply one entry.
    Entry(Committed),
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The request of this member that it answers. Only set where index and term are those that
    /// the request was appended with.
    pub id: Option<ProposalId>,
    /// Its content.
    pub payload: Payload,
}

/// Content of a committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The bytes that were proposed.
    Normal(Bytes),
    /// First entry of a leader's term. Changes nothing.
    Empty,
    /// The membership from here on.
    Membership(std::sync::Arc<Membership>),
}

/// A read that is linearizable at the caller's applied state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadReady {
    /// The read.
    pub id: ReadId,
    /// Index that the state had to reach, and has.
    pub index: u64,
}

/// Which request a rejection answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestId {
    /// A proposal, a membership change or a transfer.
    Proposal(ProposalId),
    /// A read.
    Read(ReadId),
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

/// What a caller needs to know about a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub raft_id: RaftId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads that term, as far as it knows.
    pub leader: Option<RaftId>,
    /// Set to `term` once this leader has applied every entry committed before its term: only then
    /// may it build on its state and propose.
    pub ready_term: Option<u64>,
    /// To whom leadership is being given.
    pub transferring_to: Option<RaftId>,
    /// Members as of the newest entry handed out.
    pub membership: std::sync::Arc<Membership>,
    /// Whether this member was removed, and whether it may stop.
    pub removal: Removal,
}

/// How far the removal of this very member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    /// It is a member, or not yet one.
    No,
    /// It was removed, and still runs because the others may need its vote to learn of that.
    Lingering,
    /// It was removed, and a voter has that on disk, or it never had anything of the log: stop it
    /// and set its log aside. If it is to be a member it asks to be let in again, under another id.
    Done,
}

/// How far a member has come, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Highest index known to be durable there.
    pub matched: u64,
    /// Last index of the leader.
    pub last_index: u64,
    /// Whether it answered within an election timeout.
    pub active: bool,
    /// Whether a snapshot is on its way to it.
    pub snapshot_pending: bool,
}

/// Why a request was not accepted. Nothing was appended, except after [`Rejected::LostLeadership`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Another member leads, or none does.
    #[error("this manager does not lead the cluster")]
    NotLeader {
        /// The leader, when known.
        leader: Option<RaftId>,
    },
    /// The proposal was made under another term.
    #[error("the proposal was made in another term; the leader is now in term {current}")]
    StaleTerm {
        /// Term of this leader.
        current: u64,
    },
    /// The leader is still applying what was committed before its term; try again soon.
    #[error("the leader has not caught up with the log yet; try again")]
    NotReady,
    /// Too much is waiting to be committed; try again later.
    #[error("too many changes wait to be committed; try again later")]
    Busy,
    /// Leadership is being given away; ask the next leader.
    #[error("leadership is being transferred; try again")]
    Transferring {
        /// To whom.
        to: RaftId,
    },
    /// The content is empty or larger than an entry may be.
    #[error("a proposal of {bytes} bytes cannot be logged; between 1 and {max} are possible")]
    BadSize {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Leadership was lost before the outcome was known: the request may or may not take effect.
    #[error("leadership was lost while the change was in flight; its outcome is unknown")]
    LostLeadership {
        /// The leader, when known.
        leader: Option<RaftId>,
    },
    /// The membership may not be changed this way now.
    #[error(transparent)]
    Change(#[from] ChangeRefused),
}

/// Why a membership change or a transfer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Another change is not yet applied; try again.
    #[error("another membership change is in flight; try again")]
    InFlight,
    /// No such member.
    #[error("there is no raft member {0}")]
    UnknownMember(RaftId),
    /// The id is a member already.
    #[error("raft member {0} exists already")]
    AlreadyMember(RaftId),
    /// The node runs another member.
    #[error("node {node_id} is raft member {raft_id} already; remove that one first")]
    NodeIsMember {
        /// The node.
        node_id: String,
        /// Its member.
        raft_id: RaftId,
    },
    /// The id was removed and cannot come back.
    #[error("raft member {0} was removed; join again under a new id")]
    WasRemoved(RaftId),
    /// A name or address is empty or too long.
    #[error("node id and address of a member must have 1 to {max} bytes")]
    BadMember {
        /// The limit, in bytes.
        max: usize,
    },
    /// The member is not a learner.
    #[error("raft member {0} is not a learner")]
    NotLearner(RaftId),
    /// The member has no vote.
    #[error("raft member {0} is not a voter")]
    NotVoter(RaftId),
    /// The learner lacks too much of the log.
    #[error("raft member {id} is {behind} entries behind; wait until it has caught up")]
    NotCaughtUp {
        /// The learner.
        id: RaftId,
        /// Entries that it lacks.
        behind: u64,
    },
    /// The member does not answer.
    #[error("raft member {0} does not answer")]
    NotActive(RaftId),
    /// Too few of the remaining voters answer.
    #[error("without raft member {id} only {active} of the {needed} voters needed answer")]
    BreaksQuorum {
        /// Who was to be removed.
        id: RaftId,
        /// Voters that would remain and answer.
        active: usize,
        /// Voters that would be needed.
        needed: usize,
    },
    /// The cluster would have no voter.
    #[error("raft member {0} is the last voter")]
    LastVoter(RaftId),
    /// The leader removes itself only after giving leadership away.
    #[error("raft member {0} leads the cluster; transfer leadership first")]
    IsLeader(RaftId),
    /// No other voter answers.
    #[error("no other voter answers that could lead")]
    NoCandidate,
}

/// Why a message was ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageRefused {
    /// It is for another member.
    #[error("it is for raft member {0}")]
    NotForMe(RaftId),
    /// It claims to come from this member.
    #[error("it claims to come from this member")]
    FromMyself,
    /// A number in it cannot be.
    #[error("its {0} is impossible")]
    Impossible(&'static str),
    /// Its entries are not contiguous, too large, or unreadable.
    #[error("its entry {index} is {problem}")]
    BadEntry {
        /// Index of the entry.
        index: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// It would replace a committed entry: the logs of the two members have diverged.
    #[error("its entry {0} contradicts a committed one; the log of one of the members is damaged")]
    ContradictsCommitted(u64),
    /// It says this member acknowledged entries that it does not have.
    #[error("entry {0} was acknowledged by this member and is missing; its log is damaged")]
    LogLost(u64),
}

// === impl RaftId ===

impl RaftId {
    /// The id, unless it is zero.
    pub fn new(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

// === impl Message ===

impl Message {
    /// A message without content.
    pub fn empty(kind: MessageKind, from: RaftId, to: RaftId, term: u64) -> Self {
        Self {
            kind,
            to,
            from,
            term,
            log_term: 0,
            index: 0,
            entries: Vec::new(),
            commit: 0,
            commit_term: 0,
            snapshot: None,
            reject: false,
            reject_hint: 0,
            context: Bytes::new(),
        }
    }
}

// === impl Persist ===

impl Persist {
    /// Joins the next write to this one, so that both take one sync. `later` has the next higher
    /// number of those not yet written.
    pub fn absorb(&mut self, later: Persist) {
        assert!(
            later.number > self.number,
            "writes are joined in the order of their numbers"
        );
        self.number = later.number;
        if later.snapshot.is_some() {
            self.snapshot = later.snapshot;
            self.entries.clear();
        }
        if let Some(first) = later.entries.first() {
            let first = first.index;
            self.entries
                .truncate(self.entries.partition_point(|e| e.index < first));
            self.entries.extend(later.entries);
        }
        if later.hard_state.is_some() {
            self.hard_state = later.hard_state;
        }
    }
}

// === impl Membership ===

impl Membership {
    /// Voters that must agree: a majority.
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The member that runs on a node.
    pub fn member_of_node(&self, node_id: &str) -> Option<&Member> {
        self.members.values().find(|m| m.node_id == node_id)
    }
}
