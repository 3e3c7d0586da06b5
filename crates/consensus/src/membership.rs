//! How the membership changes.
//!
//! The same function decides on every member, from the committed log alone, so that all of them
//! hold the same membership at the same index.

use raft::eraftpb::{ConfChange, ConfChangeType, ConfState};

use crate::types::{MemberChange, Membership, RaftId};

/// What a change means for the raft library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RaftChange {
    /// Its configuration changes.
    Config(ConfChangeType, RaftId),
    /// Its configuration stays.
    None,
}

impl Membership {
    /// Applies a committed change. One that does not fit (its member is gone, was removed, or is
    /// the last voter) changes nothing.
    pub(crate) fn apply(&mut self, change: &MemberChange) -> RaftChange {
        match change {
            MemberChange::AddLearner(member) => {
                let id = member.raft_id;
                if self.members.contains_key(&id) || self.removed.contains(&id) {
                    return RaftChange::None;
                }
                self.members.insert(id, member.clone());
                // Nobody could promote the founder of a cluster: it is a voter at once.
                if self.voters.is_empty() {
                    self.voters.insert(id);
                    return RaftChange::Config(ConfChangeType::AddNode, id);
                }
                self.learners.insert(id);
                RaftChange::Config(ConfChangeType::AddLearnerNode, id)
            }
            MemberChange::Promote(id) => self.promote(*id),
            MemberChange::UpdateAddr(member) => {
                if let Some(known) = self.members.get_mut(&member.raft_id) {
                    known.addr.clone_from(&member.addr);
                }
                RaftChange::None
            }
            MemberChange::Remove(id) => {
                if self.is_last_voter(*id) || self.members.remove(id).is_none() {
                    return RaftChange::None;
                }
                self.voters.remove(id);
                self.learners.remove(id);
                self.removed.insert(*id);
                RaftChange::Config(ConfChangeType::RemoveNode, *id)
            }
        }
    }

    fn promote(&mut self, id: RaftId) -> RaftChange {
        if !self.learners.remove(&id) {
            return RaftChange::None;
        }
        self.voters.insert(id);
        RaftChange::Config(ConfChangeType::AddNode, id)
    }

    pub(crate) fn is_last_voter(&self, id: RaftId) -> bool {
        self.voters.len() == 1 && self.voters.contains(&id)
    }

    /// Whether the parts fit together and there is somebody to vote.
    pub(crate) fn is_consistent(&self) -> bool {
        let known = self.voters.iter().chain(&self.learners);
        !self.voters.is_empty()
            && self.voters.is_disjoint(&self.learners)
            && known.clone().count() == self.members.len()
            && known
                .clone()
                .all(|id| self.members.get(id).is_some_and(|m| m.raft_id == *id))
            && known.clone().all(|id| !self.removed.contains(id))
    }

    /// The raft library's form.
    pub(crate) fn conf_state(&self) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(self.voters.iter().map(|id| id.get()).collect());
        state.set_learners(self.learners.iter().map(|id| id.get()).collect());
        state
    }
}

impl RaftChange {
    /// The raft library's form, if its configuration changes.
    pub(crate) fn conf_change(self) -> Option<ConfChange> {
        let RaftChange::Config(kind, id) = self else {
            return None;
        };
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id.get();
        Some(change)
    }
}
