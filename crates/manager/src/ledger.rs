//! The manager's hold on the tables: committed state for readers, the speculative view for the
//! leader's writers, and the feeds of both.
//!
//! No lock here is held across a wait. A writer drafts on the head of the speculative view,
//! hands the encoded transaction to the log while it still holds the view, so that the order of
//! the log is the order of the drafts, and waits for the commit afterwards.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use store::{
    Action, Change, Commit, Commitment, Draft, History, Plan, Resume, Speculative, State, Step,
    Transaction,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use types::Timestamp;

use crate::clock::Steady;
use crate::quorum::BoxFuture;

/// Changes kept for readers of the feeds: some six of the largest transactions, or seconds of
/// small ones, which no healthy reader lags. One that does reads afresh. Each change keeps an
/// object's earlier version alive, so the bound is also one on memory: about 15 MiB.
const HISTORY_CHANGES_MAX: usize = 32_768;

/// Transactions in flight before writers wait. Far above what one log append gathers, low enough
/// that losing leadership loses little work.
const IN_FLIGHT_MAX: usize = 4_096;

/// Bytes in flight before writers wait: half of what the log takes before it refuses.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// Actions in one transaction of a plan: keeps most log entries well under a megabyte.
const PLAN_ACTIONS_MAX: usize = 5_000;

/// Largest transaction (SwarmKit's number). The log takes entries of 2 MiB; one that it refused
/// would end the reign, so none is handed to it.
pub const TRANSACTION_BYTES_MAX: usize = 3 << 19;

/// How a proposal ends. Dropping it does not take the proposal back.
pub type Proposal = BoxFuture<'static, Result<(), ProposeFailure>>;

/// Why a proposal did not commit, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeFailure {
    /// It is not in the log and never will be.
    #[error("{0}")]
    Refused(String),
    /// Leadership was lost while it was in flight: it may or may not commit.
    #[error(
        "leadership was lost before a majority had the write: it may still take effect; look \
         before you repeat it"
    )]
    Unknown,
}

/// One reign over the tables: a term, and how often in it the speculative view was begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reign {
    /// Term of the replicated log.
    pub term: u64,
    /// Rises when a refused proposal made the view of this term worthless.
    pub epoch: u64,
}

/// Where transactions go to be replicated.
pub trait Log: Send + Sync + 'static {
    /// Appends a proposal made in a reign. Calls of one reign are appended in their order; once
    /// one is refused, all later ones of that reign are, because they build on it.
    fn propose(&self, reign: Reign, data: Bytes) -> Proposal;
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// This manager does not lead.
    #[error("this manager is not the leader")]
    NotLeader,
    /// The draft was refused by its own checks.
    #[error(transparent)]
    Refused(E),
    /// It does not fit into a log entry.
    #[error(
        "the change takes {bytes} bytes in the log, at most {TRANSACTION_BYTES_MAX} fit; make it \
         smaller, or in several steps"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The log did not take it, or its fate is unknown.
    #[error(transparent)]
    Log(ProposeFailure),
}

/// What a draft was made on.
#[derive(Debug, Clone, Copy)]
struct Judged {
    reign: Reign,
    /// Version of the head, everything in flight included.
    version: u64,
}

/// A draft that was made.
struct Drafted<R, E> {
    /// Its result, with the proposal if it changes anything, or why it was refused.
    outcome: Result<(R, Option<Proposal>), E>,
    judged: Judged,
}

/// A transaction that does not fit into a log entry.
struct TooLarge {
    bytes: usize,
    actions: Vec<Action>,
}

/// A proposal that is seen through although whoever made it has gone: a refusal that nobody hears
/// of would leave in the speculative view what is not in the log.
struct Followed(Option<Proposal>);

impl Future for Followed {
    type Output = Result<(), ProposeFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(proposal) = self.0.as_mut() else {
            return Poll::Ready(Err(ProposeFailure::Unknown));
        };
        let outcome = std::task::ready!(proposal.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // Without a runtime the manager is ending, and its view with it.
        if let (Some(proposal), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(proposal);
        }
    }
}

struct Leading {
    reign: Reign,
    /// The time of the reign: it goes on from that of the one before, or what waits for a moment
    /// would wait for this machine's clock to catch up as well.
    clock: Steady,
    view: Speculative,
    feed: History,
    /// Sizes of what is in flight, oldest first, and their sum.
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl Leading {
    /// The present moment of the reign.
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether more than a part of what may be in flight is.
    fn is_filled(&self, divisor: usize) -> bool {
        self.view.in_flight() >= IN_FLIGHT_MAX / divisor
            || self.bytes >= IN_FLIGHT_BYTES_MAX / divisor
    }

    fn commit(&mut self, version: u64) -> Option<Commitment> {
        let done = self.view.commit(version)?;
        self.bytes -= self.sizes.pop_front().unwrap_or_default();
        Some(done)
    }
}

/// The tables of one manager.
pub struct Ledger {
    committed: ArcSwap<State>,
    committed_version: watch::Sender<u64>,
    /// Version since which the tables differ from those that the log was made from; 0 for never.
    differ_since: AtomicU64,
    feed: Mutex<History>,
    leading: Mutex<Option<Leading>>,
    /// The head moved, or a reign began or ended.
    moved: Notify,
    /// Something in flight was committed, or a reign ended.
    room: Notify,
    refused: watch::Sender<Option<(Reign, String)>>,
    log: Box<dyn Log>,
    encode: fn(&Transaction) -> Bytes,
}

impl Ledger {
    /// The ledger of a manager whose tables are at `state`.
    pub fn new(state: State, log: Box<dyn Log>, encode: fn(&Transaction) -> Bytes) -> Arc<Self> {
        let version = state.version();
        Arc::new(Self {
            committed: ArcSwap::from_pointee(state),
            committed_version: watch::Sender::new(version),
            differ_since: AtomicU64::new(0),
            feed: Mutex::new(History::new(version, HISTORY_CHANGES_MAX)),
            leading: Mutex::new(None),
            moved: Notify::new(),
            room: Notify::new(),
            refused: watch::Sender::new(None),
            log,
            encode,
        })
    }

    /// The committed state.
    pub fn state(&self) -> Arc<State> {
        self.committed.load_full()
    }

    /// A reader of the committed feed that starts after the returned state.
    pub fn subscribe(self: &Arc<Self>) -> (Arc<State>, Cursor) {
        let version = self.committed_version.subscribe();
        let state = self.state();
        let cursor = Cursor {
            ledger: self.clone(),
            seen: state.version(),
            version,
        };
        (state, cursor)
    }

    /// The commits after version `after` up to version `upto`, if they are still kept.
    pub fn history(&self, after: u64, upto: u64) -> Resume {
        match lock(&self.feed).after(after, usize::MAX) {
            Resume::Commits(mut commits) => {
                commits.retain(|c| c.version <= upto);
                Resume::Commits(commits)
            }
            Resume::Compacted => Resume::Compacted,
        }
    }

    /// Begins a reign; everything in the log before it is applied.
    pub fn lead(&self, reign: Reign) {
        let mut leading = self.leading();
        let state = State::clone(&self.state());
        let feed = History::new(state.version(), HISTORY_CHANGES_MAX);
        *leading = Some(Leading {
            reign,
            clock: Steady::from(state.time()),
            view: Speculative::new(reign.term, state),
            feed,
            sizes: VecDeque::new(),
            bytes: 0,
        });
        self.moved.notify_waiters();
    }

    /// Ends leadership; what is in flight is forgotten here, whether it commits or not.
    pub fn follow(&self) {
        *self.leading() = None;
        self.moved.notify_waiters();
        self.room.notify_waiters();
    }

    /// The present reign of this manager, if it leads.
    pub fn reign(&self) -> Option<Reign> {
        self.leading().as_ref().map(|l| l.reign)
    }

    /// Drafts a transaction with `edit`, proposes it and waits until it is committed.
    ///
    /// # Errors
    /// If this manager does not lead, `edit` refuses, or the log does.
    pub async fn write<R, E>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<R, E>,
    ) -> Result<R, WriteError<E>> {
        self.write_confirmed(edit, |_| std::future::ready(true))
            .await
    }

    /// As [`write`](Self::write), for callers to whom a refusal is an answer: it was judged by what
    /// may never be committed, or by what another leader has changed since. So it is given only
    /// when everything that it was judged by is committed and `confirm` says that the leader of
    /// that reign still led after it was judged. The same holds for an edit that changes nothing.
    ///
    /// # Errors
    /// As `write`; [`WriteError::NotLeader`] also for what cannot be confirmed.
    pub async fn write_confirmed<R, E, F: Future<Output = bool>>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<R, E>,
        confirm: impl FnOnce(Reign) -> F,
    ) -> Result<R, WriteError<E>> {
        let mut edit = Some(edit);
        let drafted = loop {
            let room = self.room.notified();
            if let Some(drafted) = self.draft(&mut edit)? {
                break drafted;
            }
            room.await;
        };
        let answer = match drafted.outcome {
            Ok((result, Some(proposal))) => {
                return proposal.await.map(|()| result).map_err(WriteError::Log);
            }
            Ok((result, None)) => Ok(result),
            Err(refusal) => Err(WriteError::Refused(refusal)),
        };
        if self.is_settled(drafted.judged).await && confirm(drafted.judged.reign).await {
            answer
        } else {
            Err(WriteError::NotLeader)
        }
    }

    /// Waits until everything that a draft was made on is committed; `false` if the reign ended
    /// before.
    async fn is_settled(&self, judged: Judged) -> bool {
        loop {
            let moved = self.room.notified();
            if self.reign() != Some(judged.reign) {
                return false;
            }
            if *self.committed_version.borrow() >= judged.version {
                return true;
            }
            moved.await;
        }
    }

    /// Drafts and proposes; `None` while too much is in flight, and then `edit` is untouched.
    fn draft<R, E>(
        &self,
        edit: &mut Option<impl FnOnce(&mut Draft) -> Result<R, E>>,
    ) -> Result<Option<Drafted<R, E>>, WriteError<E>> {
        let mut guard = self.leading();
        let leading = guard.as_mut().ok_or(WriteError::NotLeader)?;
        if leading.is_filled(1) {
            return Ok(None);
        }
        let Some(edit) = edit.take() else {
            return Ok(None);
        };
        let judged = Judged {
            reign: leading.reign,
            version: leading.view.head().version(),
        };
        let mut draft = Draft::new(leading.view.head(), leading.now());
        let outcome = match edit(&mut draft) {
            Ok(result) if draft.is_empty() => Ok((result, None)),
            Ok(result) => {
                let accepted = self.accept(leading, draft);
                let proposal = accepted.map_err(|e| WriteError::TooLarge { bytes: e.bytes })?;
                Ok((result, Some(proposal)))
            }
            Err(refusal) => Err(refusal),
        };
        Ok(Some(Drafted { outcome, judged }))
    }

    fn accept(&self, leading: &mut Leading, draft: Draft) -> Result<Proposal, TooLarge> {
        let (tx, commit, state) = draft.finish();
        let data = (self.encode)(&tx);
        let bytes = data.len();
        if bytes > TRANSACTION_BYTES_MAX {
            let actions = tx.actions;
            return Err(TooLarge { bytes, actions });
        }
        let commit = leading.view.accept_finished(commit, state);
        leading.feed.push(commit);
        leading.sizes.push_back(bytes);
        leading.bytes += bytes;
        let reign = leading.reign;
        let outcome = self.log.propose(reign, data);
        self.moved.notify_waiters();
        let refused = self.refused.clone();
        Ok(Box::pin(Followed(Some(Box::pin(async move {
            let outcome = outcome.await;
            if let Err(ProposeFailure::Refused(why)) = &outcome {
                refused.send_replace(Some((reign, why.clone())));
            }
            outcome
        })))))
    }

    /// Waits until the log refused a proposal of a reign, and says why it did. What was drafted
    /// in the reign after it is worthless then.
    pub async fn refusal(&self, reign: Reign) -> String {
        let mut refused = self.refused.subscribe();
        let of_reign = |r: &Option<(Reign, String)>| r.as_ref().is_some_and(|r| r.0 == reign);
        match refused.wait_for(of_reign).await.map(|r| r.clone()) {
            Ok(Some((_, why))) => why,
            _ => std::future::pending().await,
        }
    }

    /// Proposes what still fits of a plan, and forgets about the rest.
    ///
    /// Returns the proposals, oldest first, and how many steps were dropped; `None` if the reign
    /// is over.
    pub fn propose_plan(&self, reign: Reign, plan: Plan) -> Option<(Vec<Proposal>, usize)> {
        let mut proposals = Vec::new();
        let mut dropped = 0;
        let mut steps = plan.steps.into_iter().peekable();
        while steps.peek().is_some() {
            let mut guard = self.leading();
            let leading = guard.as_mut().filter(|l| l.reign == reign)?;
            let mut draft = Draft::new(leading.view.head(), leading.now());
            let mut ends = Vec::new();
            while draft.len() < PLAN_ACTIONS_MAX
                && let Some(step) = steps.next()
            {
                match draft.add(step) {
                    Ok(()) => ends.push(draft.len()),
                    Err(reason) => {
                        tracing::debug!(%reason, "step of a plan dropped");
                        dropped += 1;
                    }
                }
            }
            if draft.is_empty() {
                continue;
            }
            match self.accept(leading, draft) {
                Ok(proposal) => proposals.push(proposal),
                Err(large) => {
                    dropped += self.accept_in_parts(leading, large, &ends, &mut proposals);
                }
            }
        }
        Some((proposals, dropped))
    }

    /// Accepts steps that are too large together, given where each ends among the actions. Returns
    /// how many are too large by themselves.
    fn accept_in_parts(
        &self,
        leading: &mut Leading,
        large: TooLarge,
        ends: &[usize],
        proposals: &mut Vec<Proposal>,
    ) -> usize {
        if ends.len() < 2 {
            tracing::error!(
                bytes = large.bytes,
                "a step is too large for the log and is dropped"
            );
            return ends.len();
        }
        let (first, second) = ends.split_at(ends.len() / 2);
        let cut = first.last().copied().unwrap_or_default();
        let mut head = large.actions;
        let tail = head.split_off(cut);
        let second: Vec<_> = second.iter().map(|end| end - cut).collect();
        let mut dropped = 0;
        for (actions, ends) in [(head, first), (tail, &second[..])] {
            let mut draft = Draft::new(leading.view.head(), leading.now());
            let mut kept = Vec::new();
            let mut actions = actions.into_iter();
            let mut begin = 0;
            for &end in ends {
                let step = Step::together(actions.by_ref().take(end - begin));
                begin = end;
                // Only what builds on a step that was dropped does not fit any more.
                match draft.add(step) {
                    Ok(()) => kept.push(draft.len()),
                    Err(_) => dropped += 1,
                }
            }
            if draft.is_empty() {
                continue;
            }
            match self.accept(leading, draft) {
                Ok(proposal) => proposals.push(proposal),
                Err(large) => dropped += self.accept_in_parts(leading, large, &kept, proposals),
            }
        }
        dropped
    }

    /// The head of a reign, and what led to it since version `seen`; `None` if the reign is over.
    pub fn head(&self, reign: Reign, seen: u64) -> Option<Head> {
        let guard = self.leading();
        let leading = guard.as_ref().filter(|l| l.reign == reign)?;
        Some(Head {
            state: leading.view.head().clone(),
            clock: leading.clock,
            news: leading.feed.after(seen, usize::MAX),
        })
    }

    /// Waits until the head of a reign is newer than `seen`, or the reign is over.
    pub async fn head_moved(&self, reign: Reign, seen: u64) {
        self.wait(&self.moved, reign, |l| l.view.head().version() > seen)
            .await;
    }

    /// Waits until fewer than half the allowed transactions are in flight, or the reign is over.
    pub async fn is_roomy(&self, reign: Reign) {
        self.wait(&self.room, reign, |l| !l.is_filled(2)).await;
    }

    /// Waits until something holds that changes only when `news` are told, or a reign is over.
    async fn wait(&self, news: &Notify, reign: Reign, holds: impl Fn(&Leading) -> bool) {
        loop {
            let told = news.notified();
            let goes_on = |l: &&Leading| l.reign == reign;
            if self.leading().as_ref().filter(goes_on).is_none_or(&holds) {
                return;
            }
            told.await;
        }
    }

    /// Applies a committed entry of `term`; `decode` reads its transaction, which the leader that
    /// made it need not do.
    ///
    /// # Panics
    /// If the entry does not follow from the tables: managers have diverged, and going on would
    /// spread the damage.
    pub fn apply(&self, term: u64, decode: impl FnOnce() -> Transaction) {
        let expected = self.committed_version.borrow().wrapping_add(1);
        let own = {
            let mut guard = self.leading();
            let leading = guard.as_mut().filter(|l| l.view.term() == term);
            leading.and_then(|l| l.commit(expected))
        };
        match own {
            Some(done) => self.publish(Arc::new(done.state), done.commit),
            None => {
                let mut state = State::clone(&self.state());
                let tx = decode();
                let commit = state
                    .apply(&tx)
                    .unwrap_or_else(|e| panic!("a committed entry cannot be applied: {e}"));
                self.compare(&state, &tx);
                self.publish(Arc::new(state), Arc::new(commit));
            }
        }
    }

    /// Notes when the tables come to something else than where the transaction was made. That does
    /// not stop the manager: the tables that are wrong may be those of the leader, and then all
    /// others would stop.
    fn compare(&self, state: &State, tx: &Transaction) {
        if !tx.made(state) && self.differ_since().is_none() {
            self.differ_since.store(tx.version, Ordering::Relaxed);
            tracing::error!(
                version = tx.version,
                "the tables of this manager differ from those of the leader, one of the two is \
                 wrong; `swarmctl cluster status` on each manager shows which: demote the odd one \
                 and promote it again, which gives it the tables of the others"
            );
        }
    }

    /// Version since which the tables of this manager differ from those of whoever led; `None` as
    /// long as they do not.
    pub fn differ_since(&self) -> Option<u64> {
        Some(self.differ_since.load(Ordering::Relaxed)).filter(|version| *version > 0)
    }

    fn publish(&self, state: Arc<State>, commit: Arc<Commit>) {
        let version = state.version();
        let mut feed = lock(&self.feed);
        feed.push(commit);
        self.committed.store(state);
        drop(feed);
        self.committed_version.send_replace(version);
        self.room.notify_waiters();
    }

    /// Replaces everything by a state received from the leader.
    pub fn restore(&self, state: State) {
        let version = state.version();
        *lock(&self.feed) = History::new(version, HISTORY_CHANGES_MAX);
        self.differ_since.store(0, Ordering::Relaxed);
        self.committed.store(Arc::new(state));
        self.committed_version.send_replace(version);
    }

    fn leading(&self) -> MutexGuard<'_, Option<Leading>> {
        lock(&self.leading)
    }
}

/// A poisoned lock means that a holder panicked; the panic stops the manager, and until it has,
/// readers may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The speculative head, and what led to it.
pub struct Head {
    /// Committed state plus everything in flight.
    pub state: State,
    /// The time of the reign.
    pub clock: Steady,
    /// The commits since the version asked for.
    pub news: Resume,
}

/// A reader of the committed feed.
pub struct Cursor {
    ledger: Arc<Ledger>,
    seen: u64,
    version: watch::Receiver<u64>,
}

/// What a reader of the committed feed gets.
pub enum News {
    /// The commits since the last call, and the state after them.
    Commits(Vec<Arc<Commit>>, Arc<State>),
    /// The reader fell behind, or the tables were replaced: everything may have changed.
    Afresh(Arc<State>),
}

/// Commits handed to a reader at once, so that one call stays short.
const NEWS_COMMITS_MAX: usize = 256;

impl Cursor {
    /// Waits for what comes after what was last seen. Safe to cancel: nothing is lost.
    ///
    /// Returns `None` when the manager is gone.
    pub async fn next(&mut self) -> Option<News> {
        let seen = self.seen;
        self.version.wait_for(|v| *v != seen).await.ok()?;
        Some(self.take())
    }

    /// Waits for a change of interest and returns the state after it. A reader that fell behind is
    /// not told what changed: any may have. Safe to cancel.
    ///
    /// Returns `None` when the manager is gone.
    pub async fn next_where(&mut self, is_wanted: impl Fn(&Change) -> bool) -> Option<Arc<State>> {
        loop {
            match self.next().await? {
                News::Afresh(state) => return Some(state),
                News::Commits(commits, state) => {
                    let mut changes = commits.iter().flat_map(|commit| &commit.changes);
                    if changes.any(&is_wanted) {
                        return Some(state);
                    }
                }
            }
        }
    }

    /// What came after what was last seen, if anything did.
    pub fn try_next(&mut self) -> Option<News> {
        let newest = *self.version.borrow_and_update();
        (newest != self.seen).then(|| self.take())
    }

    /// The version last seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn take(&mut self) -> News {
        let (resume, state) = {
            let feed = lock(&self.ledger.feed);
            (feed.after(self.seen, NEWS_COMMITS_MAX), self.ledger.state())
        };
        match resume {
            Resume::Commits(commits) if state.version() >= self.seen && !commits.is_empty() => {
                self.seen = commits.last().map_or(self.seen, |c| c.version);
                News::Commits(commits, state)
            }
            _ => {
                self.seen = state.version();
                News::Afresh(state)
            }
        }
    }
}

#[cfg(test)]
mod tests;
