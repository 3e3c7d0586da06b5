//! Who waits for what: requests that consensus has taken and not yet answered.
//!
//! Never outlives the replica: callers that are left see their channel close.

use std::collections::BTreeMap;

use consensus::{ProposalId, ReadId, Rejected, RequestId};
use tokio::sync::oneshot;

use crate::api::{ChangeError, ProposeError, ReadError};
use crate::apply_thread::Done;
use crate::handle::ReadReply;

/// The waiting requests of one replica.
#[derive(Default)]
pub(crate) struct Requests {
    last_id: u64,
    proposals: BTreeMap<ProposalId, Waiter>,
    reads: BTreeMap<ReadId, Vec<ReadReply>>,
    /// Changes that are handed out and not yet applied, with their indexes.
    changes: Vec<(u64, oneshot::Sender<Result<u64, ChangeError>>)>,
}

/// Who waits for a proposal, a change or a transfer.
pub(crate) enum Waiter {
    /// A proposal.
    Proposal(oneshot::Sender<Result<u64, ProposeError>>),
    /// A membership change, or a transfer (which only ever hears of its rejection).
    Change(oneshot::Sender<Result<u64, ChangeError>>),
}

impl Requests {
    /// Takes a request in and names it.
    pub(crate) fn add(&mut self, waiter: Waiter) -> ProposalId {
        self.last_id += 1;
        let id = ProposalId(self.last_id);
        self.proposals.insert(id, waiter);
        id
    }

    /// Names a request that nobody waits for.
    pub(crate) fn anonymous(&mut self) -> ProposalId {
        self.last_id += 1;
        ProposalId(self.last_id)
    }

    /// Takes a group of reads in.
    pub(crate) fn add_reads(&mut self, readers: Vec<ReadReply>) -> ReadId {
        self.last_id += 1;
        let id = ReadId(self.last_id);
        self.reads.insert(id, readers);
        id
    }

    /// The entry of this request is handed out. A proposal is answered where it is applied; what is
    /// returned does that. A change is answered by [`applied`](Self::applied).
    pub(crate) fn handed_out(&mut self, id: ProposalId, index: u64) -> Option<Done> {
        match self.proposals.remove(&id)? {
            // A caller that gave up has dropped its end.
            Waiter::Proposal(reply) => Some(Box::new(move |index| drop(reply.send(Ok(index))))),
            Waiter::Change(reply) => {
                self.changes.push((index, reply));
                None
            }
        }
    }

    /// Consensus knows that everything up to `index` is applied: whoever waits for a change may ask
    /// for the next one.
    pub(crate) fn applied(&mut self, index: u64) {
        for (at, reply) in self.changes.extract_if(.., |(at, _)| *at <= index) {
            drop(reply.send(Ok(at)));
        }
    }

    /// Forgets whoever does not wait any more. A transfer that succeeds is never answered, so this
    /// is how its waiter goes.
    pub(crate) fn forget_abandoned(&mut self) {
        self.proposals.retain(|_, waiter| match waiter {
            Waiter::Proposal(reply) => !reply.is_closed(),
            Waiter::Change(reply) => !reply.is_closed(),
        });
    }

    /// Answers a group of reads.
    pub(crate) fn read_ready(&mut self, id: ReadId, index: u64) {
        for reply in self.reads.remove(&id).unwrap_or_default() {
            drop(reply.send(Ok(index)));
        }
    }

    /// Answers a request that was not accepted or whose outcome is unknown.
    pub(crate) fn reject(&mut self, id: RequestId, why: Rejected) {
        match id {
            RequestId::Proposal(id) => match self.proposals.remove(&id) {
                Some(Waiter::Proposal(reply)) => drop(reply.send(Err(why.into()))),
                Some(Waiter::Change(reply)) => drop(reply.send(Err(why.into()))),
                None => {}
            },
            RequestId::Read(id) => {
                for reply in self.reads.remove(&id).unwrap_or_default() {
                    drop(reply.send(Err(ReadError::Rejected(why.clone()))));
                }
            }
        }
    }
}
