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
    /// Every entry that was applied anywhere.
    history: BTreeMap<u64, Fact>,
    positions: BTreeMap<RaftId, Position>,
}

/// A committed entry.
#[derive(Debug, Clone, Copy)]
struct Fact {
    /// The term it was proposed in.
    term: u64,
    /// Hash of its content.
    hash: u64,
    /// The term of the first member that applied it: it was committed in this term or before. It
    /// may be long after the term it was proposed in, by a later leader that has the entry.
    known_in: u64,
}

impl Replication {
    /// R3: a member, which is in this term now, applied an entry, of which `hash` is the content.
    ///
    /// # Errors
    /// If another member applied another one at the same index.
    pub fn applied(
        &mut self,
        (id, known_in): (RaftId, u64),
        (index, term): (u64, u64),
        hash: u64,
    ) -> Verdict {
        let fact = Fact {
            term,
            hash,
            known_in,
        };
        let known = *self.history.entry(index).or_insert(fact);
        must!(
            (known.term, known.hash) == (term, hash),
            "R3",
            "member {id} applied another entry of term {term} at {index} than others, of term {}",
            known.term
        );
        Ok(())
    }

    /// R2, R3, R9: a member leads a term, with this last entry. It has what was committed in
    /// earlier terms. One that was paused may find the votes for an old term only when a later
    /// leader has committed what it lacks: it cannot commit anything, and gives way to the first
    /// who tells it of the later term.
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
        let mut history = self.history.iter().rev();
        let earlier = history.find(|(_, fact)| fact.known_in < term);
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

    fn lead(members: &mut Replication, id: u64, term: u64, last: u64) -> Verdict {
        let id = RaftId::new(id).unwrap();
        members.leads(id, (term, last), &Membership::default())
    }

    #[test]
    fn a_leader_that_lacks_what_was_committed_before_its_term_is_seen() {
        let mut members = Replication::default();
        let first = RaftId::new(1).unwrap();
        members.applied((first, 2), (7, 2), 0).unwrap();
        lead(&mut members, 2, 3, 7).unwrap();
        let seen = lead(&mut members, 3, 4, 6).unwrap_err();
        assert_eq!(seen.rule, "R3", "{seen}");
    }

    #[test]
    fn a_leader_of_an_old_term_need_not_have_what_a_later_one_committed() {
        let mut members = Replication::default();
        let later = RaftId::new(1).unwrap();
        lead(&mut members, 1, 5, 7).unwrap();
        members.applied((later, 5), (7, 3), 0).unwrap();
        lead(&mut members, 2, 4, 6).unwrap();
        let seen = lead(&mut members, 3, 6, 6).unwrap_err();
        assert_eq!(seen.rule, "R3", "{seen}");
    }

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
