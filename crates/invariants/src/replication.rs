//! What holds for the members of the log and what they say to each other (R2, R3, R4, R5, R9).

use std::collections::BTreeMap;

use consensus::{HardState, Membership, Message, MessageKind, RaftId};

use crate::{Verdict, must};

/// Where a running member stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Its term.
    pub term: u64,
    /// Index of the last entry in its tables.
    pub applied: u64,
    /// Index of the last entry that it knows to be committed.
    pub commit: u64,
    /// Index of its last entry.
    pub last: u64,
}

/// What has to be remembered of all members to judge each.
#[derive(Debug, Default)]
pub struct Replication {
    leaders: BTreeMap<u64, RaftId>,
    votes: BTreeMap<(RaftId, u64), RaftId>,
    /// Term and hash of every entry that was applied anywhere.
    history: BTreeMap<u64, (u64, u64)>,
    positions: BTreeMap<RaftId, Position>,
}

impl Replication {
    /// R3: a member applied an entry, of which `hash` is the content.
    ///
    /// # Errors
    /// If another member applied another one at the same index.
    pub fn applied(&mut self, id: RaftId, (index, term): (u64, u64), hash: u64) -> Verdict {
        let known = *self.history.entry(index).or_insert((term, hash));
        must!(
            known == (term, hash),
            "R3",
            "member {id} applied another entry of term {term} at {index} than others, of term {}",
            known.0
        );
        Ok(())
    }

    /// R2, R3, R9: a member leads a term, with this last entry.
    ///
    /// # Errors
    /// If another one does, it was removed, or it lacks what is committed.
    pub fn leads(
        &mut self,
        id: RaftId,
        (term, last): (u64, u64),
        membership: &Membership,
    ) -> Verdict {
        let known = *self.leaders.entry(term).or_insert(id);
        must!(
            known == id,
            "R2",
            "members {known} and {id} lead term {term}"
        );
        let removed = membership.removed.contains(&id);
        must!(!removed, "R9", "member {id} leads after its removal");
        let earlier = self.history.iter().rev().find(|(_, (t, _))| *t < term);
        let committed = earlier.map_or(0, |(index, _)| *index);
        must!(
            last >= committed,
            "R3",
            "leader {id} ends at {last} and lacks committed entry {committed}"
        );
        Ok(())
    }

    /// R2, R5: a message leaves a member that has this on its disk.
    ///
    /// # Errors
    /// If it promises what is not durable, or is a second vote.
    pub fn sends(&mut self, message: &Message, disk: (HardState, u64)) -> Verdict {
        let (from, term, kind) = (message.from, message.term, message.kind);
        let (state, last) = disk;
        if matches!(
            kind,
            MessageKind::RequestPreVote | MessageKind::RequestPreVoteResponse
        ) {
            // They speak of a term that nobody has entered yet.
            return Ok(());
        }
        must!(
            state.term >= term,
            "R5",
            "{kind:?} of member {from} speaks of term {term}, its disk of {}",
            state.term
        );
        let vote = match kind {
            MessageKind::RequestVote => Some(from),
            MessageKind::RequestVoteResponse if !message.reject => Some(message.to),
            _ => None,
        };
        if let Some(candidate) = vote {
            let written = state.term > term || state.vote == Some(candidate);
            must!(
                written,
                "R5",
                "member {from} sent an unwritten vote in term {term}"
            );
            let before = *self.votes.entry((from, term)).or_insert(candidate);
            must!(
                before == candidate,
                "R2",
                "member {from} voted twice in term {term}"
            );
        }
        // An answer to an earlier leader may outlive its entries: one write can hold them and what
        // replaced them. The later term on disk keeps that leader from ever counting on it wrongly.
        let counts = kind == MessageKind::AppendResponse && !message.reject && state.term == term;
        must!(
            !counts || last >= message.index,
            "R5",
            "member {from} acknowledged {} with {last} on its disk",
            message.index
        );
        Ok(())
    }

    /// R4: a running member stands here now.
    ///
    /// # Errors
    /// If it is out of order or went back.
    pub fn stands(&mut self, id: RaftId, now: Position) -> Verdict {
        must!(
            now.applied <= now.commit && now.commit <= now.last,
            "R4",
            "member {id} applied {}, committed {}, has {}",
            now.applied,
            now.commit,
            now.last
        );
        let before = self.positions.insert(id, now).unwrap_or_default();
        must!(
            before.term <= now.term && before.commit <= now.commit && before.applied <= now.applied,
            "R4",
            "member {id} went back from {before:?} to {now:?}"
        );
        Ok(())
    }

    /// A member starts again: what it had not written is forgotten.
    pub fn starts(&mut self, id: RaftId) {
        self.positions.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_leads_after_its_removal_is_seen() {
        let id = RaftId::new(3).unwrap();
        let membership = Membership {
            removed: [id].into(),
            ..Membership::default()
        };
        let mut members = Replication::default();
        let seen = members.leads(id, (2, 0), &membership).unwrap_err();
        assert_eq!(seen.rule, "R9", "{seen}");
    }
}
