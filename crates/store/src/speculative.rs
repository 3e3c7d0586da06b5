//! The leader's view: committed state plus everything proposed and not yet committed.
//!
//! A transaction is checked against, and applied to, the head of this view before it is
//! proposed, so it need not wait for the ones before it. Losing leadership throws the view away;
//! so does a proposal that the log refused, because later ones were made on top of it.

use std::collections::VecDeque;
use std::sync::Arc;

use types::Timestamp;

use crate::action::{Action, Transaction};
use crate::change::Commit;
use crate::error::ApplyError;
use crate::plan::Draft;
use crate::state::State;

/// A transaction that is committed: the state it made and what it changed.
#[derive(Debug, Clone)]
pub struct Commitment {
    /// State after it.
    pub state: State,
    /// What it changed.
    pub commit: Arc<Commit>,
}

/// Committed state plus everything in flight, for one term.
#[derive(Debug)]
pub struct Speculative {
    term: u64,
    committed: u64,
    head: State,
    in_flight: VecDeque<Commitment>,
}

impl Speculative {
    /// The view of a leader that has applied everything committed before its term.
    pub fn new(term: u64, committed: State) -> Self {
        Self {
            term,
            committed: committed.version(),
            head: committed,
            in_flight: VecDeque::new(),
        }
    }

    /// The term whose leader this view belongs to.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Committed state plus everything in flight.
    pub fn head(&self) -> &State {
        &self.head
    }

    /// Transactions proposed and not yet committed.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Checks the actions against the head and applies them to it. The returned transaction
    /// must be the next proposal of this term.
    ///
    /// # Errors
    /// The first action that does not fit; the view is unchanged then.
    pub fn propose(
        &mut self,
        at: Timestamp,
        actions: Vec<Action>,
    ) -> Result<(Transaction, Arc<Commit>), ApplyError> {
        let mut tx = Transaction {
            digest: None,
            version: self.head.version() + 1,
            at: self.head.next_moment(at),
            actions,
        };
        let commit = Arc::new(self.head.apply(&tx)?);
        tx.digest = Some(self.head.digest());
        self.in_flight.push_back(Commitment {
            state: self.head.clone(),
            commit: commit.clone(),
        });
        Ok((tx, commit))
    }

    /// Accepts a transaction that was drafted on the head. The returned transaction must be the
    /// next proposal of this term.
    ///
    /// # Panics
    /// If the draft was not made from the present head: the caller holds the view while drafting.
    pub fn accept(&mut self, draft: Draft) -> (Transaction, Arc<Commit>) {
        let (tx, commit, state) = draft.finish();
        (tx, self.accept_finished(commit, state))
    }

    /// The same for a draft that is finished: what it changes and the state that it makes. Its
    /// transaction must be the next proposal of this term.
    ///
    /// # Panics
    /// If the draft was not made from the present head.
    pub fn accept_finished(&mut self, commit: Commit, state: State) -> Arc<Commit> {
        assert_eq!(
            commit.version,
            self.head.version() + 1,
            "drafts are made on the head"
        );
        let commit = Arc::new(commit);
        self.head = state.clone();
        self.in_flight.push_back(Commitment {
            state,
            commit: commit.clone(),
        });
        commit
    }

    /// Takes the oldest transaction in flight if it made `version`: it is committed now, and
    /// need not be applied again.
    pub fn commit(&mut self, version: u64) -> Option<Commitment> {
        if self.in_flight.front()?.commit.version != version {
            return None;
        }
        self.committed = version;
        self.in_flight.pop_front()
    }

    /// The last committed version.
    pub fn committed(&self) -> u64 {
        self.committed
    }
}
