//! What a leader accepts: proposals, membership changes, transfers of leadership.
//!
//! Everything is refused that would cost the quorum, before anything is logged.

use bytes::Bytes;
use raft::eraftpb::{self, EntryType, MessageType};
use raft::{ProgressState, StateRole};

use crate::codec;
use crate::config::{ELECTION_TICKS, MEMBER_TEXT_BYTES_MAX, PROMOTE_LAG_ENTRIES_MAX};
use crate::member::Consensus;
use crate::types::{ChangeRefused, Member, MemberChange, Progress, ProposalId, RaftId, Rejected};

impl Consensus {
    /// How far a member has come. Only a leader knows.
    pub fn progress(&self, id: RaftId) -> Option<Progress> {
        self.lead.as_ref()?;
        let progress = self.raw.raft.prs().get(id.get())?;
        Some(Progress {
            matched: progress.matched,
            last_index: self.last_index(),
            active: self.is_active(id),
            snapshot_pending: progress.state == ProgressState::Snapshot,
        })
    }

    /// Whether the cluster keeps a quorum that answers when this member goes.
    pub fn can_remove(&self, id: RaftId) -> Result<(), Rejected> {
        self.check_leads()?;
        self.check_remove(id).map_err(Rejected::from)
    }

    /// The voter that should lead next: of those that answer, the one that has most of the log.
    pub fn best_successor(&self) -> Option<RaftId> {
        let others = self
            .membership
            .voters
            .iter()
            .filter(|id| **id != self.config.raft_id);
        let active = others.filter(|id| self.is_active(**id));
        active
            .max_by_key(|id| self.progress(**id).map(|p| p.matched))
            .copied()
    }

    pub(crate) fn check_leads(&self) -> Result<(), Rejected> {
        if self.raw.raft.state == StateRole::Leader {
            return Ok(());
        }
        Err(Rejected::NotLeader {
            leader: RaftId::new(self.raw.raft.leader_id),
        })
    }

    pub(crate) fn propose(
        &mut self,
        id: ProposalId,
        term: u64,
        data: Bytes,
    ) -> Result<(), Rejected> {
        self.check_leads()?;
        if term != self.raw.raft.term {
            return Err(Rejected::StaleTerm {
                current: self.raw.raft.term,
            });
        }
        self.check_ready()?;
        let max = self.config.limits.entry_bytes_max;
        if data.is_empty() || data.len() > max {
            return Err(Rejected::BadSize {
                bytes: data.len(),
                max,
            });
        }
        self.append(
            id,
            eraftpb::Entry {
                data,
                ..Default::default()
            },
        )
    }

    pub(crate) fn change(&mut self, id: ProposalId, change: &MemberChange) -> Result<(), Rejected> {
        self.check_leads()?;
        // A change before the first commit of the term could leave two disjoint quorums.
        self.check_ready()?;
        if self.raw.raft.has_pending_conf() {
            return Err(ChangeRefused::InFlight.into());
        }
        match change {
            MemberChange::AddLearner(member) => self.check_add(member)?,
            MemberChange::Promote(learner) => self.check_promote(*learner)?,
            MemberChange::UpdateAddr(member) => self.check_update(member)?,
            MemberChange::Remove(member) => {
                self.check_remove(*member)?;
                if *member == self.config.raft_id {
                    return Err(ChangeRefused::IsLeader(*member).into());
                }
            }
        }
        let mut entry = eraftpb::Entry::default();
        entry.set_entry_type(EntryType::EntryConfChange);
        entry.context = codec::encode_change(change);
        self.append(id, entry)
    }

    pub(crate) fn transfer(&mut self, to: Option<RaftId>) -> Result<(), Rejected> {
        self.check_leads()?;
        let to = to
            .or_else(|| self.best_successor())
            .ok_or(ChangeRefused::NoCandidate)?;
        if to == self.config.raft_id {
            return Err(ChangeRefused::IsLeader(to).into());
        }
        if !self.membership.members.contains_key(&to) {
            return Err(ChangeRefused::UnknownMember(to).into());
        }
        if !self.membership.voters.contains(&to) {
            return Err(ChangeRefused::NotVoter(to).into());
        }
        if !self.is_active(to) {
            return Err(ChangeRefused::NotActive(to).into());
        }
        self.raw.transfer_leader(to.get());
        Ok(())
    }

    fn append(&mut self, id: ProposalId, entry: eraftpb::Entry) -> Result<(), Rejected> {
        if let Some(to) = self.raw.raft.lead_transferee.and_then(RaftId::new) {
            return Err(Rejected::Transferring { to });
        }
        let index = self.last_index() + 1;
        let mut message = eraftpb::Message {
            from: self.config.raft_id.get(),
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(vec![entry].into());
        // A leader that is a member and gives nothing away drops a proposal for one reason only.
        self.raw.step(message).map_err(|_| Rejected::Busy)?;
        assert_eq!(
            self.last_index(),
            index,
            "an accepted proposal is the last entry"
        );
        self.requests.proposed(index, self.raw.raft.term, id);
        Ok(())
    }

    fn check_ready(&self) -> Result<(), Rejected> {
        if self.status().ready_term.is_some() {
            Ok(())
        } else {
            Err(Rejected::NotReady)
        }
    }

    fn check_add(&self, member: &Member) -> Result<(), ChangeRefused> {
        let id = member.raft_id;
        if self.membership.removed.contains(&id) {
            return Err(ChangeRefused::WasRemoved(id));
        }
        if self.membership.members.contains_key(&id) {
            return Err(ChangeRefused::AlreadyMember(id));
        }
        if let Some(other) = self.membership.member_of_node(&member.node_id) {
            let node_id = member.node_id.clone();
            return Err(ChangeRefused::NodeIsMember {
                node_id,
                raft_id: other.raft_id,
            });
        }
        check_texts(member)
    }

    fn check_update(&self, member: &Member) -> Result<(), ChangeRefused> {
        let known = self.membership.members.get(&member.raft_id);
        if known.is_none_or(|known| known.node_id != member.node_id) {
            return Err(ChangeRefused::UnknownMember(member.raft_id));
        }
        check_texts(member)
    }

    fn check_promote(&self, id: RaftId) -> Result<(), ChangeRefused> {
        if !self.membership.learners.contains(&id) {
            return Err(ChangeRefused::NotLearner(id));
        }
        let progress = self.progress(id).ok_or(ChangeRefused::UnknownMember(id))?;
        if !progress.active {
            return Err(ChangeRefused::NotActive(id));
        }
        let behind = progress.last_index.saturating_sub(progress.matched);
        // However short the log is: who has nothing of it may give up and go (`is_unheard`).
        let has_nothing = progress.matched == 0;
        if has_nothing || behind > PROMOTE_LAG_ENTRIES_MAX || progress.snapshot_pending {
            return Err(ChangeRefused::NotCaughtUp { id, behind });
        }
        Ok(())
    }

    fn check_remove(&self, id: RaftId) -> Result<(), ChangeRefused> {
        if !self.membership.members.contains_key(&id) {
            return Err(ChangeRefused::UnknownMember(id));
        }
        if self.membership.is_last_voter(id) {
            return Err(ChangeRefused::LastVoter(id));
        }
        if !self.membership.voters.contains(&id) {
            return Ok(());
        }
        let rest = self.membership.voters.iter().filter(|voter| **voter != id);
        let active = rest.clone().filter(|voter| self.is_active(**voter)).count();
        let needed = rest.count() / 2 + 1;
        if active < needed {
            return Err(ChangeRefused::BreaksQuorum { id, active, needed });
        }
        Ok(())
    }

    /// Whether a member has answered this leader within an election timeout.
    fn is_active(&self, id: RaftId) -> bool {
        let Some(lead) = &self.lead else { return false };
        let heard = lead.heard.get(&id);
        id == self.config.raft_id
            || heard.is_some_and(|tick| self.ticks - tick <= ELECTION_TICKS as u64)
    }
}

fn check_texts(member: &Member) -> Result<(), ChangeRefused> {
    let max = MEMBER_TEXT_BYTES_MAX;
    let fits = |text: &str| !text.is_empty() && text.len() <= max;
    if fits(&member.node_id) && fits(&member.addr) {
        return Ok(());
    }
    Err(ChangeRefused::BadMember { max })
}
