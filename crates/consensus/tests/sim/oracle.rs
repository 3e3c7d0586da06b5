//! What must always hold, checked against what every member did.
//!
//! The first member that applies an index defines the one true history; all others, before and
//! after restarts, must agree with it. What holds in every cluster is judged by `invariants`; here
//! is what only these members do: they write serials and read them. Names of invariants are those
//! of `design/consensus.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use consensus::{Committed, Membership, Message, Payload, RaftId};
use invariants::{Replication, Verdict};

use crate::disk::Disk;
use crate::rng::fold;

/// The state that members replicate: which serial was written at which index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: u64,
    pub hash: u64,
    pub serials: Rc<BTreeMap<u64, u64>>,
}

#[derive(Debug, Default)]
pub struct Oracle {
    replication: Replication,
    /// The state after each entry.
    history: BTreeMap<u64, u64>,
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

fn upheld(verdict: Verdict) {
    if let Err(violation) = verdict {
        panic!("{violation}");
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
    /// R3, R6, R7: a member, which is in this term now, applied an entry and has this state.
    pub fn applied(&mut self, member: (RaftId, u64), entry: &Committed, machine: &Machine) {
        let index = entry.index;
        let same = (index, entry.term);
        upheld(self.replication.applied(member, same, machine.hash));
        self.history.insert(index, machine.hash);
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
        let truth = self.history.get(&machine.applied).copied();
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
        let position = (term, last_index);
        upheld(self.replication.leads(id, position, membership));
    }

    /// R2, R5: a message leaves a member with this on its disk.
    pub fn sends(&mut self, message: &Message, disk: &Disk) {
        let disk = (disk.hard_state, disk.last_index());
        upheld(self.replication.sends(message, disk));
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
