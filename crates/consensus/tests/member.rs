//! Claims about a single member and small clusters, where every effect is looked at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use consensus::{
    Apply, COMMIT_WRITE_TICKS, ChangeRefused, Committed, Config, Consensus, ELECTION_TICKS,
    Effects, Entry, EntryKind, FAREWELL_TICKS, FORGOTTEN_TICKS, ForceError, HardState, Input,
    Limits, Member, MemberChange, Message, MessageKind, MessageRefused, Payload, Persist,
    ProposalId, RaftId, ReadId, Rejected, Removal, RequestId, Restored, Role, StartError,
    UNHEARD_TICKS, bootstrap, force_new_cluster,
};
use proptest::prelude::*;

fn id(n: u64) -> RaftId {
    RaftId::new(n).expect("ids of tests are not zero")
}

fn member(n: u64) -> Member {
    Member {
        raft_id: id(n),
        node_id: format!("node{n}"),
        addr: format!("10.0.0.{n}:2377"),
    }
}

/// A member whose writes are durable and applied at once.
struct Node {
    consensus: Consensus,
    disk: Restored,
    writes: u64,
    applied: Vec<Committed>,
    rejected: Vec<(RequestId, Rejected)>,
    reads: Vec<ReadId>,
    refused: Vec<MessageRefused>,
    outbox: VecDeque<Message>,
}

impl Node {
    fn start(n: u64, disk: Restored) -> Self {
        Self::with(Config::new(id(n), 7), disk)
    }

    fn with(config: Config, disk: Restored) -> Self {
        Self {
            consensus: Consensus::new(config, disk.clone()).expect("the disk is sound"),
            disk,
            writes: 0,
            applied: Vec::new(),
            rejected: Vec::new(),
            reads: Vec::new(),
            refused: Vec::new(),
            outbox: VecDeque::new(),
        }
    }

    fn founder() -> Self {
        Self::start(1, bootstrap(&member(1)).0)
    }

    /// A founder that leads and is ready.
    fn leader() -> Self {
        let mut node = Self::founder();
        node.tick_until(|s| s.ready_term.is_some());
        node
    }

    fn tick_until(&mut self, done: impl Fn(&consensus::Status) -> bool) {
        for _ in 0..10 * ELECTION_TICKS {
            self.settle();
            if done(&self.consensus.status()) {
                return;
            }
            self.consensus.handle(Input::Tick);
        }
        panic!("never: {:?}", self.consensus.status());
    }

    fn settle(&mut self) {
        while let Some(effects) = self.consensus.ready() {
            self.perform(effects);
        }
    }

    fn perform(&mut self, effects: Effects) {
        if let Some(persist) = effects.persist {
            self.writes += 1;
            let number = persist.number;
            write(&mut self.disk, persist);
            self.consensus.handle(Input::Persisted { number });
        }
        self.outbox.extend(effects.send);
        for apply in effects.apply {
            let index = match apply {
                Apply::Snapshot(meta) => meta.index,
                Apply::Entry(entry) => {
                    let index = entry.index;
                    self.applied.push(entry);
                    index
                }
            };
            self.consensus.handle(Input::Applied { index });
        }
        self.rejected.extend(effects.rejected);
        self.reads.extend(effects.reads.iter().map(|r| r.id));
        self.refused
            .extend(effects.refused.into_iter().map(|(_, reason)| reason));
    }

    fn term(&self) -> u64 {
        self.consensus.status().term
    }

    /// Names of the writes that were answered.
    fn answered(&self) -> Vec<u64> {
        let writes = self
            .applied
            .iter()
            .filter(|e| matches!(e.payload, Payload::Normal(_)));
        writes.filter_map(|e| e.id).map(|id| id.0).collect()
    }

    fn propose(&mut self, n: u64, data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        let term = self.term();
        self.consensus.handle(Input::Propose {
            id: ProposalId(n),
            term,
            data,
        });
    }

    fn change(&mut self, change: MemberChange) -> Option<Rejected> {
        self.rejected.clear();
        self.consensus.handle(Input::Change {
            id: ProposalId(99),
            change,
        });
        self.settle();
        self.rejected.pop().map(|(_, reason)| reason)
    }

    fn refuses(&mut self, change: MemberChange, expected: ChangeRefused) {
        assert_eq!(self.change(change), Some(Rejected::Change(expected)));
    }

    fn restart(self) -> Self {
        Self::start(self.consensus.status().raft_id.get(), self.disk)
    }
}

/// What a write does to a disk.
fn write(disk: &mut Restored, persist: Persist) {
    if let Some(snapshot) = persist.snapshot {
        disk.snapshot = Some(snapshot);
        disk.entries.clear();
    }
    if let Some(first) = persist.entries.first() {
        disk.entries.retain(|e| e.index < first.index);
        disk.entries.extend(persist.entries);
    }
    disk.hard_state = persist.hard_state.unwrap_or(disk.hard_state);
}

/// Several members with a perfect network, except for those that are cut off.
struct Cluster {
    nodes: BTreeMap<u64, Node>,
    cut: Vec<u64>,
    /// Nothing that has a part of the log arrives.
    loses_log: bool,
}

impl Cluster {
    /// This many voters, the first of which leads.
    fn new(voters: u64) -> Self {
        let mut cluster = Self {
            nodes: BTreeMap::from([(1, Node::leader())]),
            cut: Vec::new(),
            loses_log: false,
        };
        for n in 2..=voters {
            cluster.add_learner(n);
            assert_eq!(cluster.change(MemberChange::Promote(id(n))), None);
        }
        cluster
    }

    fn add_learner(&mut self, n: u64) {
        self.nodes.insert(n, Node::start(n, Restored::default()));
        assert_eq!(self.change(MemberChange::AddLearner(member(n))), None);
        self.ticks(2);
    }

    /// Lets only this member's clock go on, and returns whom the others want told that they were
    /// removed.
    fn told_to(&mut self, n: u64, ticks: usize) -> Vec<RaftId> {
        let mut told = Vec::new();
        for _ in 0..ticks {
            let asks = self.nodes.get_mut(&n).expect("it exists");
            asks.consensus.handle(Input::Tick);
            asks.settle();
            for message in asks.outbox.drain(..).collect::<Vec<_>>() {
                let node = self.nodes.get_mut(&message.to.get()).expect("it exists");
                node.consensus.handle(Input::Step(message));
                let effects = node.consensus.ready().into_iter();
                told.extend(effects.flat_map(|e| e.tell_removed));
            }
        }
        told
    }

    fn change(&mut self, change: MemberChange) -> Option<Rejected> {
        let refused = self.leader().change(change);
        self.settle();
        self.ticks(2);
        refused
    }

    fn leader(&mut self) -> &mut Node {
        let leads = |n: &&mut Node| n.consensus.status().role == Role::Leader;
        self.nodes
            .values_mut()
            .filter(leads)
            .max_by_key(|n| n.term())
            .expect("somebody leads")
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.nodes
                .values_mut()
                .for_each(|n| n.consensus.handle(Input::Tick));
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            self.nodes.values_mut().for_each(Node::settle);
            let messages: Vec<Message> = self
                .nodes
                .values_mut()
                .flat_map(|n| n.outbox.drain(..))
                .collect();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                let ends = [message.from.get(), message.to.get()];
                let is_log = !message.entries.is_empty() || message.snapshot.is_some();
                if ends.iter().any(|n| self.cut.contains(n)) || (self.loses_log && is_log) {
                    continue;
                }
                if let Some(node) = self.nodes.get_mut(&ends[1]) {
                    node.consensus.handle(Input::Step(message));
                }
            }
        }
    }
}

#[test]
fn a_founder_leads_alone_and_is_ready_once_its_first_entry_is_applied() {
    let mut node = Node::founder();
    node.settle();
    assert_eq!(node.consensus.status().ready_term, None);
    node.tick_until(|s| s.ready_term.is_some());
    let status = node.consensus.status();
    assert_eq!((status.role, status.ready_term), (Role::Leader, Some(2)));
    assert_eq!(status.membership.voters.len(), 1);
    assert!(matches!(node.applied[0].payload, Payload::Membership(_)));
    assert_eq!(node.applied[1].payload, Payload::Empty);
}

#[test]
fn proposals_made_together_share_one_write_and_are_answered_in_order() {
    let mut node = Node::leader();
    let writes = node.writes;
    (10..20).for_each(|n| node.propose(n, b"x"));
    node.settle();
    assert_eq!(node.writes, writes + 1);
    assert_eq!(node.answered(), (10..20).collect::<Vec<_>>());
}

#[test]
fn a_proposal_of_another_term_or_size_or_at_a_follower_is_refused() {
    let mut node = Node::leader();
    let term = node.term() - 1;
    let data = Bytes::from_static(b"x");
    node.consensus.handle(Input::Propose {
        id: ProposalId(1),
        term,
        data,
    });
    node.propose(2, b"");
    node.propose(3, &vec![0; Limits::default().entry_bytes_max + 1]);
    node.settle();
    let reasons: Vec<&Rejected> = node.rejected.iter().map(|(_, reason)| reason).collect();
    assert!(matches!(reasons[0], Rejected::StaleTerm { current: 2 }));
    assert!(matches!(
        reasons[1..],
        [Rejected::BadSize { .. }, Rejected::BadSize { .. }]
    ));
    let mut follower = Node::start(2, Restored::default());
    follower.propose(4, b"x");
    follower
        .consensus
        .handle(Input::ReadIndex { id: ReadId(5) });
    follower.settle();
    assert!(
        follower
            .rejected
            .iter()
            .all(|(_, r)| *r == Rejected::NotLeader { leader: None })
    );
    assert_eq!(follower.rejected.len(), 2);
}

#[test]
fn proposals_beyond_the_uncommitted_limit_are_refused_until_some_commit() {
    let mut cluster = Cluster::new(2);
    cluster.cut = vec![2];
    let chunk = vec![0; 1 << 20];
    let leader = cluster.leader();
    (0..40).for_each(|n| leader.propose(n, &chunk));
    leader.settle();
    let busy = leader
        .rejected
        .iter()
        .filter(|(_, r)| *r == Rejected::Busy)
        .count();
    assert_eq!(busy, 40 - 32);
    cluster.cut.clear();
    cluster.settle();
    cluster.ticks(2);
    cluster.leader().propose(50, &chunk);
    cluster.settle();
    cluster.ticks(1);
    assert_eq!(cluster.leader().answered().len(), 33);
    assert_eq!(cluster.leader().answered().last(), Some(&50));
}

#[test]
fn a_deposed_leader_says_that_outcomes_are_unknown_and_refuses_reads() {
    let mut cluster = Cluster::new(3);
    cluster.cut = vec![1];
    let old = cluster.nodes.get_mut(&1).unwrap();
    old.propose(1, b"lost?");
    old.consensus.handle(Input::ReadIndex { id: ReadId(2) });
    cluster.ticks(3 * ELECTION_TICKS);
    let old = &cluster.nodes[&1];
    assert_eq!(old.reads, []);
    let unknown = (
        RequestId::Proposal(ProposalId(1)),
        Rejected::LostLeadership { leader: None },
    );
    assert!(old.rejected.contains(&unknown), "{:?}", old.rejected);
    let read = (
        RequestId::Read(ReadId(2)),
        Rejected::NotLeader { leader: None },
    );
    assert!(old.rejected.contains(&read), "{:?}", old.rejected);
}

#[test]
fn a_new_leader_is_there_within_twice_the_election_timeout() {
    for _ in 0..5 {
        let mut cluster = Cluster::new(3);
        cluster.cut = vec![1];
        cluster.ticks(2 * ELECTION_TICKS);
        let leads = |n: &Node| n.consensus.status().ready_term.is_some();
        assert!(leads(&cluster.nodes[&2]) || leads(&cluster.nodes[&3]));
    }
}

#[test]
fn reads_share_a_question_and_are_answered_after_the_quorum_did() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    (0..100).for_each(|n| leader.consensus.handle(Input::ReadIndex { id: ReadId(n) }));
    leader.settle();
    assert_eq!(leader.reads.len(), 0, "no answer without a quorum");
    assert_eq!(leader.outbox.len(), 2, "one question to each of the others");
    cluster.settle();
    assert_eq!(cluster.leader().reads.len(), 100);
}

#[test]
fn a_follower_acknowledges_only_what_is_durable_but_answers_heartbeats() {
    let mut node = Node::start(2, Restored::default());
    let entry = Entry {
        term: 1,
        index: 1,
        kind: EntryKind::Normal,
        data: Bytes::from_static(b"x"),
    };
    let heartbeat = Message::empty(MessageKind::Heartbeat, id(1), id(2), 1);
    let append = Message {
        entries: vec![entry],
        ..Message::empty(MessageKind::Append, id(1), id(2), 1)
    };
    // The term is new: even a heartbeat is answered after it is written.
    node.consensus.handle(Input::Step(heartbeat.clone()));
    let first = node.consensus.ready().unwrap();
    assert_eq!(first.send, []);
    let number = first.persist.unwrap().number;
    node.consensus.handle(Input::Persisted { number });
    assert_eq!(
        node.consensus.ready().unwrap().send[0].kind,
        MessageKind::HeartbeatResponse
    );

    node.consensus.handle(Input::Step(append));
    let second = node.consensus.ready().unwrap();
    let number = second.persist.expect("an entry is to be written").number;
    assert_eq!(second.send, []);
    node.consensus.handle(Input::Step(heartbeat));
    assert_eq!(
        node.consensus.ready().unwrap().send[0].kind,
        MessageKind::HeartbeatResponse
    );
    node.consensus.handle(Input::Persisted { number });
    assert_eq!(
        node.consensus.ready().unwrap().send[0].kind,
        MessageKind::AppendResponse
    );
}

#[test]
fn a_sole_voter_says_nothing_to_its_learner_before_its_vote_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.add_learner(2);
    cluster.ticks(COMMIT_WRITE_TICKS as usize + 2);
    let mut node = cluster.nodes.remove(&1).unwrap().restart();
    node.settle();
    let term = node.term();
    while node.term() == term {
        node.settle();
        node.consensus.handle(Input::Tick);
    }
    let effects = node.consensus.ready().unwrap();
    let persist = effects.persist.unwrap();
    assert_eq!(persist.hard_state.unwrap().vote, Some(id(1)));
    assert_eq!(effects.send, []);
    node.consensus.handle(Input::Tick);
    assert!(node.consensus.ready().is_none_or(|e| e.send.is_empty()));
    node.consensus.handle(Input::Persisted {
        number: persist.number,
    });
    assert!(!node.consensus.ready().unwrap().send.is_empty());
}

#[test]
fn an_idle_member_writes_its_commit_index_once_and_then_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.leader().propose(1, b"x");
    cluster.settle();
    cluster.ticks(COMMIT_WRITE_TICKS as usize + 2);
    let commit = cluster.leader().consensus.commit_index();
    let writes: Vec<u64> = cluster.nodes.values().map(|n| n.writes).collect();
    assert!(
        cluster
            .nodes
            .values()
            .all(|n| n.disk.hard_state.commit == commit)
    );
    cluster.ticks(100);
    assert_eq!(
        writes,
        cluster.nodes.values().map(|n| n.writes).collect::<Vec<_>>()
    );
}

#[test]
fn an_append_larger_than_a_message_is_sent_in_parts() {
    let mut cluster = Cluster::new(2);
    let leader = cluster.leader();
    let chunk = vec![7; 100 << 10];
    (0..20).for_each(|n| leader.propose(n, &chunk));
    leader.settle();
    let sizes = leader
        .outbox
        .iter()
        .map(|m| m.entries.iter().map(|e| e.data.len()).sum());
    let sizes: Vec<usize> = sizes.collect();
    assert_eq!(sizes.iter().sum::<usize>(), 20 * chunk.len());
    assert!(
        sizes
            .iter()
            .all(|s| *s as u64 <= Limits::default().message_bytes_max),
        "{sizes:?}"
    );
    cluster.settle();
    assert_eq!(cluster.leader().answered().len(), 20);
}

#[test]
fn membership_changes_that_cannot_be_right_are_refused() {
    let mut cluster = Cluster::new(1);
    let leader = cluster.leader();
    leader.refuses(MemberChange::Remove(id(1)), ChangeRefused::LastVoter(id(1)));
    leader.refuses(
        MemberChange::Remove(id(9)),
        ChangeRefused::UnknownMember(id(9)),
    );
    leader.refuses(
        MemberChange::Promote(id(1)),
        ChangeRefused::NotLearner(id(1)),
    );
    leader.refuses(
        MemberChange::AddLearner(member(1)),
        ChangeRefused::AlreadyMember(id(1)),
    );
    let same_node = Member {
        raft_id: id(5),
        ..member(1)
    };
    let taken = ChangeRefused::NodeIsMember {
        node_id: "node1".into(),
        raft_id: id(1),
    };
    leader.refuses(MemberChange::AddLearner(same_node), taken);
    let nameless = Member {
        node_id: String::new(),
        ..member(5)
    };
    let bad = ChangeRefused::BadMember {
        max: consensus::MEMBER_TEXT_BYTES_MAX,
    };
    leader.refuses(MemberChange::AddLearner(nameless), bad);
    leader.refuses(
        MemberChange::UpdateAddr(member(5)),
        ChangeRefused::UnknownMember(id(5)),
    );

    // A learner that nobody started.
    assert_eq!(leader.change(MemberChange::AddLearner(member(2))), None);
    leader.refuses(
        MemberChange::Promote(id(2)),
        ChangeRefused::NotActive(id(2)),
    );
    assert_eq!(leader.change(MemberChange::Remove(id(2))), None);
    leader.refuses(
        MemberChange::AddLearner(member(2)),
        ChangeRefused::WasRemoved(id(2)),
    );
}

#[test]
fn a_second_change_waits_for_the_first() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    assert_eq!(leader.change(MemberChange::AddLearner(member(4))), None);
    leader.refuses(MemberChange::AddLearner(member(5)), ChangeRefused::InFlight);
    cluster.settle();
    assert_eq!(cluster.change(MemberChange::AddLearner(member(5))), None);
}

#[test]
fn a_removal_that_would_cost_the_quorum_is_refused() {
    let mut cluster = Cluster::new(3);
    cluster.cut = vec![3];
    cluster.ticks(ELECTION_TICKS + 1);
    let breaks = ChangeRefused::BreaksQuorum {
        id: id(2),
        active: 1,
        needed: 2,
    };
    let leader = cluster.leader();
    assert_eq!(
        leader.consensus.can_remove(id(2)),
        Err(Rejected::Change(breaks.clone()))
    );
    leader.refuses(MemberChange::Remove(id(2)), breaks);
    assert_eq!(leader.consensus.can_remove(id(3)), Ok(()));
    assert_eq!(cluster.change(MemberChange::Remove(id(3))), None);
}

#[test]
fn a_leader_is_removed_after_it_gave_leadership_away_and_learns_of_it() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    leader.refuses(MemberChange::Remove(id(1)), ChangeRefused::IsLeader(id(1)));
    leader.consensus.handle(Input::TransferLeader {
        id: ProposalId(5),
        to: None,
    });
    cluster.settle();
    cluster.ticks(2);
    assert_ne!(cluster.leader().consensus.status().raft_id, id(1));
    assert_eq!(cluster.change(MemberChange::Remove(id(1))), None);
    cluster.ticks(1);
    assert!(
        !cluster
            .leader()
            .consensus
            .status()
            .membership
            .members
            .contains_key(&id(1))
    );
    // It hears no more of the others, asks for votes, and is told.
    let told = cluster.told_to(1, 3 * ELECTION_TICKS);
    assert!(told.contains(&id(1)));
    let removed = cluster.nodes.get_mut(&1).unwrap();
    removed.consensus.handle(Input::ToldRemoved { by: id(2) });
    assert_eq!(removed.consensus.status().removal, Removal::Done);
}

#[test]
fn a_learner_that_was_removed_while_it_was_cut_off_learns_of_it() {
    let mut cluster = Cluster::new(2);
    cluster.add_learner(3);
    cluster.cut = vec![3];
    assert_eq!(cluster.change(MemberChange::Remove(id(3))), None);
    cluster.cut.clear();
    let patience = usize::try_from(FORGOTTEN_TICKS + FAREWELL_TICKS).unwrap();
    assert!(cluster.told_to(3, patience).contains(&id(3)));
    let removed = cluster.nodes.get_mut(&3).unwrap();
    removed.consensus.handle(Input::ToldRemoved { by: id(2) });
    assert_eq!(removed.consensus.status().removal, Removal::Done);
}

#[test]
fn a_learner_that_was_removed_before_it_heard_of_anybody_gives_up() {
    let mut cluster = Cluster::new(2);
    cluster.cut = vec![3];
    cluster.add_learner(3);
    assert_eq!(cluster.change(MemberChange::Remove(id(3))), None);
    cluster.cut.clear();
    let removal = |cluster: &Cluster| cluster.nodes[&3].consensus.status().removal;
    cluster.ticks(usize::try_from(UNHEARD_TICKS / 2).unwrap());
    assert_eq!(removal(&cluster), Removal::No);
    cluster.ticks(usize::try_from(UNHEARD_TICKS / 2).unwrap());
    assert_eq!(removal(&cluster), Removal::Done);
}

#[test]
fn a_learner_that_has_nothing_of_the_log_yet_is_not_promoted() {
    let mut cluster = Cluster::new(1);
    cluster.loses_log = true;
    cluster.add_learner(2);
    cluster.ticks(ELECTION_TICKS);
    let leader = cluster.leader();
    let behind = leader.consensus.last_index();
    leader.refuses(
        MemberChange::Promote(id(2)),
        ChangeRefused::NotCaughtUp { id: id(2), behind },
    );
    cluster.loses_log = false;
    cluster.ticks(ELECTION_TICKS);
    assert_eq!(cluster.change(MemberChange::Promote(id(2))), None);
}

/// It may have been made a voter since: whom it acknowledged its log to counts on it.
#[test]
fn a_member_that_does_not_know_whether_its_log_is_committed_never_gives_up() {
    let mut cluster = Cluster::new(2);
    let mut disk = cluster.nodes.remove(&2).unwrap().disk;
    // The commit index is written later than the entries.
    disk.hard_state.commit = 0;
    let mut voter = Node::start(2, disk);
    for _ in 0..=UNHEARD_TICKS {
        voter.consensus.handle(Input::Tick);
        voter.settle();
    }
    assert_eq!(voter.consensus.status().removal, Removal::No);
}

#[test]
fn a_learner_that_hears_its_leader_asks_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.add_learner(2);
    cluster.ticks(usize::try_from(FORGOTTEN_TICKS).unwrap());
    assert_eq!(cluster.told_to(2, FAREWELL_TICKS as usize).len(), 0);
    assert_eq!(cluster.nodes[&2].consensus.status().removal, Removal::No);
}

#[test]
fn a_member_moves_to_another_address() {
    let mut cluster = Cluster::new(2);
    let moved = Member {
        addr: "10.9.9.9:2377".into(),
        ..member(2)
    };
    assert_eq!(
        cluster.change(MemberChange::UpdateAddr(moved.clone())),
        None
    );
    for node in cluster.nodes.values() {
        assert_eq!(node.consensus.status().membership.members[&id(2)], moved);
    }
}

#[test]
fn a_restarted_member_hands_out_everything_after_its_snapshot_again() {
    let mut node = Node::leader();
    (0..5).for_each(|n| node.propose(n, b"x"));
    node.settle();
    let snapshot = node.consensus.snapshot_meta().unwrap();
    node.consensus.handle(Input::Compact {
        snapshot: snapshot.clone(),
        keep_entries: 2,
    });
    assert_eq!(node.consensus.first_index(), snapshot.index - 1);
    (5..8).for_each(|n| node.propose(n, b"y"));
    node.settle();
    let first = node.consensus.first_index();
    node.disk.entries.retain(|e| e.index >= first);
    node.disk.snapshot = Some(snapshot);
    let mut again = node.restart();
    again.tick_until(|s| s.ready_term.is_some());
    let payloads = again.applied.iter().filter(|e| e.payload != Payload::Empty);
    assert_eq!(payloads.count(), 3);
}

#[test]
fn a_cluster_is_rebuilt_from_one_survivor_with_everything_in_its_log() {
    let mut cluster = Cluster::new(3);
    cluster.leader().propose(1, b"kept");
    cluster.settle();
    cluster.cut = vec![2, 3];
    let leader = cluster.leader();
    leader.propose(2, b"kept as well");
    leader.settle();
    let survivor = cluster.nodes.remove(&1).unwrap().disk;

    let (rebuilt, persist) = force_new_cluster(id(1), "10.9.9.9:2377", survivor.clone()).unwrap();
    let mut on_disk = survivor.clone();
    write(&mut on_disk, persist);
    assert_eq!(on_disk, rebuilt);
    let mut node = Node::start(1, rebuilt);
    node.tick_until(|s| s.ready_term.is_some());
    let data = node
        .applied
        .iter()
        .filter(|e| matches!(e.payload, Payload::Normal(_)));
    assert_eq!(data.count(), 2);
    let membership = &node.consensus.status().membership;
    assert_eq!(membership.members.len(), 1);
    assert_eq!(membership.members[&id(1)].addr, "10.9.9.9:2377");
    assert!(membership.removed.contains(&id(2)) && membership.removed.contains(&id(3)));

    let stranger = force_new_cluster(id(8), "a:1", survivor.clone());
    assert_eq!(stranger.unwrap_err(), ForceError::NotMember(id(8)));
    assert!(matches!(
        force_new_cluster(id(1), "", survivor),
        Err(ForceError::BadAddr { .. })
    ));
}

#[test]
fn a_damaged_log_does_not_start() {
    let good = {
        let mut node = Node::leader();
        (0..4).for_each(|n| node.propose(n, b"x"));
        node.settle();
        node.disk
    };
    let start = |disk: Restored| Consensus::new(Config::new(id(1), 1), disk).err().unwrap();
    let mut gap = good.clone();
    gap.entries.remove(2);
    assert_eq!(
        start(gap),
        StartError::Gap {
            expected: 3,
            found: 4
        }
    );
    let mut cut = good.clone();
    cut.hard_state.commit = 6;
    cut.entries.truncate(5);
    assert_eq!(
        start(cut),
        StartError::CommittedMissing { commit: 6, last: 5 }
    );
    let mut future = good.clone();
    future.entries[3].term = 9;
    assert!(matches!(
        start(future),
        StartError::BadEntry { index: 4, .. }
    ));
    let mut change = good;
    change.entries[0].data = Bytes::from_static(b"?");
    assert!(matches!(
        start(change),
        StartError::BadEntry { index: 1, .. }
    ));
}

#[test]
fn a_member_that_lost_its_log_is_refused_by_name() {
    let mut node = Node::start(2, Restored::default());
    let heartbeat = Message {
        commit: 9,
        ..Message::empty(MessageKind::Heartbeat, id(1), id(2), 3)
    };
    node.consensus.handle(Input::Step(heartbeat));
    node.settle();
    assert_eq!(node.refused, [MessageRefused::LogLost(9)]);
}

#[test]
fn lines_of_the_raft_library_reach_the_caller() {
    let (sender, lines) = mpsc::channel();
    let config = Config {
        log: Some(Arc::new(move |_, line: &str| {
            drop(sender.send(line.to_owned()))
        })),
        ..Config::new(id(1), 1)
    };
    let mut node = Node::with(config, bootstrap(&member(1)).0);
    node.tick_until(|s| s.role == Role::Leader);
    assert!(lines.try_iter().any(|line| line.contains("became leader")));
}

fn any_message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        Just(MessageKind::Append),
        Just(MessageKind::AppendResponse),
        Just(MessageKind::RequestVote),
        Just(MessageKind::RequestVoteResponse),
        Just(MessageKind::RequestPreVote),
        Just(MessageKind::RequestPreVoteResponse),
        Just(MessageKind::Heartbeat),
        Just(MessageKind::HeartbeatResponse),
        Just(MessageKind::Snapshot),
        Just(MessageKind::TimeoutNow),
    ];
    let number = || prop_oneof![9 => 0u64..14, 1 => any::<u64>()];
    let numbers = (number(), number(), number(), number(), number(), number());
    let entry = (0u64..10, 0u64..14, any::<bool>(), 0usize..4);
    let entries = proptest::collection::vec(entry, 0..4);
    (
        kind,
        1u64..6,
        numbers,
        entries,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                kind,
                from,
                (term, log_term, index, commit, commit_term, hint),
                list,
                reject,
                tidy,
            )| {
                let mut message = Message {
                    log_term,
                    index,
                    commit,
                    commit_term,
                    reject,
                    reject_hint: hint,
                    ..Message::empty(kind, id(from), id(1), term)
                };
                if kind == MessageKind::Append || !tidy {
                    message.entries = entries_of(&list, index, log_term, term, tidy);
                }
                if kind == MessageKind::Snapshot || !tidy {
                    let membership = Cluster::new(1).leader().consensus.status().membership;
                    let membership = consensus::Membership::clone(&membership);
                    message.snapshot = Some(consensus::SnapshotMeta {
                        index,
                        term: log_term,
                        membership,
                    });
                }
                message
            },
        )
}

fn entries_of(
    list: &[(u64, u64, bool, usize)],
    index: u64,
    log_term: u64,
    term: u64,
    tidy: bool,
) -> Vec<Entry> {
    let entry = |(n, (entry_term, entry_index, change, len)): (usize, &(u64, u64, bool, usize))| {
        let kind = if *change && !tidy {
            EntryKind::ConfChange
        } else {
            EntryKind::Normal
        };
        let data = Bytes::from(vec![1; *len]);
        let next = index.wrapping_add(n as u64 + 1);
        let (index, term) = if tidy {
            (next, log_term.max(term.min(*entry_term)))
        } else {
            (*entry_index, *entry_term)
        };
        Entry {
            term,
            index,
            kind,
            data,
        }
    };
    list.iter().enumerate().map(entry).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A peer can make a member wrong, which authentication is for, but never make it panic.
    #[test]
    fn no_message_makes_a_member_panic(
        messages in proptest::collection::vec((any_message(), 0usize..12), 1..40),
        voters in 1u64..4,
    ) {
        let mut node = Cluster::new(voters).nodes.remove(&1).unwrap();
        for (message, ticks) in messages {
            node.consensus.handle(Input::Step(message));
            node.settle();
            for n in 0..ticks {
                node.consensus.handle(Input::Tick);
                node.propose(n as u64, b"x");
                node.settle();
            }
        }
    }

    /// Joining writes gives the disk that doing them one by one gives.
    #[test]
    fn joined_writes_leave_the_disk_as_separate_ones_do(
        writes in proptest::collection::vec((1u64..6, 0u64..4, any::<bool>()), 1..8),
    ) {
        let mut last = 0;
        let mut separate = Restored::default();
        let mut joined: Option<Persist> = None;
        for (number, (term, count, back)) in (1..).zip(writes) {
            let first = if back { last.max(1) } else { last + 1 };
            let entries = (first..first + count)
                .map(|index| Entry { term, index, kind: EntryKind::Normal, data: Bytes::new() })
                .collect::<Vec<_>>();
            last = entries.last().map_or(last, |e| e.index);
            let hard_state = back.then_some(HardState { term, vote: None, commit: 0 });
            let persist = Persist { number, snapshot: None, entries, hard_state };
            write(&mut separate, persist.clone());
            match &mut joined {
                Some(joined) => joined.absorb(persist),
                None => joined = Some(persist),
            }
        }
        let mut at_once = Restored::default();
        write(&mut at_once, joined.unwrap());
        prop_assert_eq!(at_once, separate);
    }
}
