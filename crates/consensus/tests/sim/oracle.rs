//! What must always hold, checked against what every member did.
//!
//! The first member that applies an index defines the one true history; all others, before and
//! after restarts, must agree with it. Names of invariants are those of `design/consensus.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use consensus::{Committed, Membership, Message, MessageKind, Payload, RaftId};

use crate::disk::Disk;
use crate::rng::fold;

/// The state that members replicate: which serial was written at which index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: u64,
    pub hash: u64,
    pub serials: Rc<BTreeMap<u64, u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truth {
    term: u64,
    tag: u64,
    hash: u64,
}

#[derive(Debug, Default)]
pub struct Oracle {
    history: BTreeMap<u64, Truth>,
    leaders: BTreeMap<u64, RaftId>,
    votes: BTreeMap<(RaftId, u64), RaftId>,
    /// Acknowledged serials and their indexes.
    pub acked: BTreeMap<u64, u64>,
    /// Serials whose clients were told that nothing was appended.
    failed: BTreeSet<u64>,
    pub newest_ack: u64,
    pub membership: Membership,
    membership_index: u64,
}

/// The serial in an entry.
pub fn serial_of(data: &[u8]) -> u64 {
    u64::from_be_bytes(*data.first_chunk().expect("clients write serials"))
}

fn tag_of(payload: &Payload) -> u64 {
    match payload {
        Payload::Normal(data) => serial_of(data),
        Payload::Empty => 0,
        Payload::Membership(m) => {
            let ids =
                |hash, set: &BTreeSet<RaftId>| set.iter().fold(hash, |h, id| fold(h, id.get()));
            let hash = ids(fold(1, 1), &m.voters);
            let hash = ids(fold(hash, 2), &m.learners);
            let hash = ids(fold(hash, 3), &m.removed);
            let addrs = m.members.values().flat_map(|m| m.addr.bytes());
            addrs.fold(hash, |h, b| fold(h, u64::from(b)))
        }
    }
}

// === impl Machine ===

impl Machine {
    /// Applies an entry; what the history says about it is for the oracle.
    pub fn apply(&mut self, entry: &Committed) {
        let tag = tag_of(&entry.payload);
        self.applied = entry.index;
        self.hash = fold(fold(self.hash, entry.index), tag);
        if matches!(entry.payload, Payload::Normal(_)) {
            let before = Rc::make_mut(&mut self.serials).insert(tag, entry.index);
            assert_eq!(
                before, None,
                "R6: write {tag} was applied twice, again at {}",
                entry.index
            );
        }
    }
}

// === impl Oracle ===

impl Oracle {
    /// R3, R6, R7: a member applied an entry and has this state now.
    pub fn applied(&mut self, id: RaftId, entry: &Committed, machine: &Machine) {
        let truth = Truth {
            term: entry.term,
            tag: tag_of(&entry.payload),
            hash: machine.hash,
        };
        let index = entry.index;
        let known = *self.history.entry(index).or_insert(truth);
        assert_eq!(
            known, truth,
            "R3, R7: {id} differs from the others at {index}"
        );
        if let Payload::Normal(data) = &entry.payload {
            let serial = serial_of(data);
            assert!(
                !self.failed.contains(&serial),
                "write {serial} failed, but is at {index}"
            );
        }
        if let (Payload::Membership(m), true) = (&entry.payload, index > self.membership_index) {
            self.membership = Membership::clone(m);
            self.membership_index = index;
        }
    }

    /// R8: a state that came from a snapshot is the state that applying would have given.
    pub fn restored(&self, id: RaftId, machine: &Machine) {
        let truth = self.history.get(&machine.applied).map(|t| t.hash);
        let expected = if machine.applied == 0 { Some(0) } else { truth };
        let index = machine.applied;
        assert_eq!(
            Some(machine.hash),
            expected,
            "R8: {id} restored another state at {index}"
        );
    }

    /// R1 begins: a client was told that its write is at an index.
    pub fn acked(&mut self, serial: u64, index: u64) {
        self.acked.insert(serial, index);
        self.newest_ack = self.newest_ack.max(index);
    }

    /// A client was told that its write was not accepted.
    pub fn failed(&mut self, serial: u64) {
        self.failed.insert(serial);
    }

    /// R2, R9 and leader completeness: a member leads.
    pub fn leads(&mut self, id: RaftId, term: u64, last_index: u64, membership: &Membership) {
        let known = *self.leaders.entry(term).or_insert(id);
        assert_eq!(known, id, "R2: two members lead term {term}");
        assert!(
            !membership.removed.contains(&id),
            "R9: {id} leads after its removal"
        );
        let committed = self
            .history
            .iter()
            .rev()
            .find(|(_, truth)| truth.term < term);
        let committed = committed.map_or(0, |(index, _)| *index);
        assert!(
            last_index >= committed,
            "R3: leader {id} lacks committed entry {committed}"
        );
    }

    /// R2, R5: a message leaves a member with this on its disk.
    pub fn sends(&mut self, message: &Message, disk: &Disk) {
        let (from, term) = (message.from, message.term);
        let state = disk.hard_state;
        let kind = message.kind;
        match kind {
            // They speak of a term that nobody has entered yet.
            MessageKind::RequestPreVote | MessageKind::RequestPreVoteResponse => return,
            _ => assert!(
                state.term >= term,
                "R5: {kind:?} of {from} in unwritten term {term}"
            ),
        }
        let vote = match kind {
            MessageKind::RequestVote => Some(from),
            MessageKind::RequestVoteResponse if !message.reject => Some(message.to),
            _ => None,
        };
        if let Some(candidate) = vote {
            let written = state.term > term || state.vote == Some(candidate);
            assert!(written, "R5: {from} sent an unwritten vote in term {term}");
            let before = *self.votes.entry((from, term)).or_insert(candidate);
            assert_eq!(before, candidate, "R2: {from} voted twice in term {term}");
        }
        // An answer to an earlier leader may outlive its entries: one write can hold them and what
        // replaced them. The later term on disk keeps that leader from ever counting on it wrongly.
        let is_current = state.term == term;
        if kind == MessageKind::AppendResponse && !message.reject && is_current {
            let last = disk.last_index();
            assert!(
                last >= message.index,
                "R5: {from} sent {} with {last} on disk",
                message.index
            );
        }
    }

    /// R1 ends: a member that has caught up holds every acknowledged write where it belongs.
    pub fn holds_all(&self, id: RaftId, machine: &Machine) {
        for (serial, index) in &self.acked {
            let found = machine.serials.get(serial);
            assert_eq!(
                found,
                Some(index),
                "R1: acknowledged write {serial} is not there on {id}"
            );
        }
    }

    /// R10: a read sees every write acknowledged before it began.
    pub fn read(&self, id: RaftId, floor: u64, machine: &Machine) {
        let applied = machine.applied;
        assert!(
            applied >= floor,
            "R10: read on {id} saw {applied}, {floor} was acknowledged"
        );
    }
}
