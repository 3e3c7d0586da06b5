//! Requests of the caller that are not answered yet.
//!
//! A proposal is found again by the index and term it was appended with, never by its content, so
//! that an entry of another leader at the same index cannot pass for it.

use std::collections::BTreeMap;

use crate::config::READS_WAITING_MAX;
use crate::types::{ProposalId, ReadId, ReadReady, Rejected, RequestId};

#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// By index: term and name.
    proposals: BTreeMap<u64, (u64, ProposalId)>,
    /// Reads for which the quorum was not asked yet.
    unasked: Vec<ReadId>,
    /// The question that is out, and its reads.
    asked: Option<(u64, Vec<ReadId>)>,
    /// Reads with an index, until the caller has applied it.
    confirmed: BTreeMap<u64, Vec<ReadId>>,
    /// Counts questions, so that a late answer is not taken for a newer one.
    questions: u64,
}

// === impl Requests ===

impl Requests {
    pub(crate) fn proposed(&mut self, index: u64, term: u64, id: ProposalId) {
        let replaced = self.proposals.insert(index, (term, id));
        assert!(
            replaced.is_none_or(|(old_term, _)| old_term < term),
            "one leader appends one entry at an index"
        );
    }

    /// The proposal that an entry answers.
    pub(crate) fn committed(&mut self, index: u64, term: u64) -> Option<ProposalId> {
        let (proposed_term, id) = *self.proposals.get(&index)?;
        if proposed_term != term {
            return None;
        }
        self.proposals.remove(&index);
        Some(id)
    }

    /// Gives up on proposals of terms other than the one this member leads.
    pub(crate) fn forget_proposals(&mut self, leads: Option<u64>) -> Vec<ProposalId> {
        if self.proposals.is_empty() {
            return Vec::new();
        }
        let lost = |term: u64| Some(term) != leads;
        let ids = self
            .proposals
            .values()
            .filter(|(t, _)| lost(*t))
            .map(|(_, id)| *id)
            .collect();
        self.proposals.retain(|_, (term, _)| !lost(*term));
        ids
    }

    /// Queues a read.
    pub(crate) fn read(&mut self, id: ReadId) -> Result<(), Rejected> {
        let asked = self.asked.as_ref().map_or(0, |(_, reads)| reads.len());
        if self.unasked.len() + asked >= READS_WAITING_MAX {
            return Err(Rejected::Busy);
        }
        self.unasked.push(id);
        Ok(())
    }

    /// Name of the next question to the quorum, if there are reads for one and none is out. Reads
    /// that come while one is out share the next.
    pub(crate) fn next_question(&mut self) -> Option<u64> {
        if self.unasked.is_empty() || self.asked.is_some() {
            return None;
        }
        self.questions += 1;
        self.asked = Some((self.questions, std::mem::take(&mut self.unasked)));
        Some(self.questions)
    }

    /// The quorum has answered a question: its reads may be answered at `index`.
    pub(crate) fn answered(&mut self, question: u64, index: u64) {
        if let Some((_, reads)) = self.asked.take_if(|(asked, _)| *asked == question) {
            self.confirmed.entry(index).or_default().extend(reads);
        }
    }

    /// Gives up on reads that no quorum has confirmed. Confirmed ones stay: their index is right
    /// whoever leads now.
    pub(crate) fn forget_reads(&mut self) -> Vec<ReadId> {
        let mut reads = self.asked.take().map_or_else(Vec::new, |(_, reads)| reads);
        reads.append(&mut self.unasked);
        reads
    }

    /// Reads whose index the caller has applied.
    pub(crate) fn readable(&mut self, applied: u64) -> Vec<ReadReady> {
        let mut ready = Vec::new();
        while let Some(first) = self.confirmed.first_entry() {
            if *first.key() > applied {
                break;
            }
            let (index, reads) = first.remove_entry();
            ready.extend(reads.into_iter().map(|id| ReadReady { id, index }));
        }
        ready
    }
}

impl From<ProposalId> for RequestId {
    fn from(id: ProposalId) -> Self {
        Self::Proposal(id)
    }
}

impl From<ReadId> for RequestId {
    fn from(id: ReadId) -> Self {
        Self::Read(id)
    }
}
