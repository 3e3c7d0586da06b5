//! How the rest of a manager talks to its replica.
//!
//! Every queue is bounded: what does not fit is refused at once, so that callers feel the pressure
//! and the replica never drowns. Never blocks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus::{ChangeRefused, Member, MemberChange, Message, RaftId, Rejected, Role};
use storage::SnapshotStore;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::api::{ChangeError, ProposeError, ReadError, Retention, Status};
use crate::events::{Event, EventSender};

/// Proposals waiting for the replica's thread. Far above what is in flight at the aimed 10,000
/// writes/s; a caller that exceeds it is told to slow down.
pub(crate) const PROPOSALS: usize = 16_384;
/// Reads waiting for the replica's thread. They are answered in groups.
pub(crate) const READS: usize = 16_384;
/// Messages of peers waiting for the replica's thread. When it is full, the streams of the peers
/// wait, and their queues drop.
pub(crate) const MESSAGES: usize = 4_096;
/// Membership changes and transfers; they are rare.
pub(crate) const CONTROLS: usize = 64;
/// How often a refused promotion is tried again while the learner catches up.
const PROMOTE_RETRY: Duration = Duration::from_millis(50);

/// How often a transfer is asked for again: about an election timeout, when raft gives it up.
const TRANSFER_RETRY: Duration = Duration::from_millis(500);

/// A proposal on its way in.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) term: u64,
    /// Proposals that build on each other; `None` stands alone.
    pub(crate) chain: Option<u64>,
    pub(crate) data: Bytes,
    pub(crate) reply: oneshot::Sender<Result<u64, ProposeError>>,
}

/// Rare requests.
#[derive(Debug)]
pub(crate) enum Control {
    Change(MemberChange, oneshot::Sender<Result<u64, ChangeError>>),
    Transfer(Option<RaftId>, oneshot::Sender<Result<u64, ChangeError>>),
    Retain(Retention),
    Shutdown,
}

/// A read barrier on its way in.
pub(crate) type ReadReply = oneshot::Sender<Result<u64, ReadError>>;

/// A clonable handle on a running replica.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) id: RaftId,
    pub(crate) proposals: mpsc::Sender<Proposal>,
    pub(crate) reads: mpsc::Sender<ReadReply>,
    pub(crate) controls: mpsc::Sender<Control>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) snapshots: SnapshotStore,
}

/// Where links report what became of their messages.
#[derive(Clone, Debug)]
pub struct PeerReports {
    pub(crate) events: EventSender,
}

/// The replica has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this manager is stopping")]
pub struct Closed;

// === impl PeerReports ===

impl PeerReports {
    /// Messages to this member could not be sent.
    pub fn unreachable(&self, member: RaftId) {
        self.events.send(Event::Unreachable(member));
    }

    /// A snapshot transfer is over; `ok` when the member has the whole file.
    pub fn snapshot(&self, member: RaftId, ok: bool) {
        self.events.send(Event::SnapshotSent { to: member, ok });
    }

    /// A member answered that this one was removed from the cluster.
    pub fn told_removed(&self, by: RaftId) {
        self.events.send(Event::ToldRemoved { by });
    }
}

// === impl Handle ===

impl Handle {
    /// This member.
    pub fn id(&self) -> RaftId {
        self.id
    }

    /// Appends `data` to the log under `term` and applies it. The future resolves to its index once
    /// it is applied here. Proposals are logged in the order of the calls, whether or not their
    /// futures are polled. Dropping the future does not take the proposal back.
    pub fn propose(
        &self,
        term: u64,
        data: Bytes,
    ) -> impl Future<Output = Result<u64, ProposeError>> + Send + use<> {
        self.submit(term, None, data)
    }

    /// The same for a proposal that builds on the earlier ones of its chain: once one of a chain
    /// is refused, so are all later ones, because their ground is missing from the log.
    pub fn propose_chained(
        &self,
        term: u64,
        chain: u64,
        data: Bytes,
    ) -> impl Future<Output = Result<u64, ProposeError>> + Send + use<> {
        self.submit(term, Some(chain), data)
    }

    fn submit(
        &self,
        term: u64,
        chain: Option<u64>,
        data: Bytes,
    ) -> impl Future<Output = Result<u64, ProposeError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let queued = self.proposals.try_send(Proposal {
            term,
            chain,
            data,
            reply,
        });
        async move {
            match queued {
                Ok(()) => answer.await.unwrap_or(Err(ProposeError::Stopped)),
                Err(mpsc::error::TrySendError::Full(_)) => Err(ProposeError::Overloaded),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(ProposeError::Stopped),
            }
        }
    }

    /// Resolves once everything that was acknowledged anywhere before this call is applied here.
    /// Only the leader can answer.
    pub fn read_barrier(&self) -> impl Future<Output = Result<u64, ReadError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let queued = self.reads.try_send(reply);
        async move {
            match queued {
                Ok(()) => answer.await.unwrap_or(Err(ReadError::Stopped)),
                Err(mpsc::error::TrySendError::Full(_)) => Err(ReadError::Overloaded),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(ReadError::Stopped),
            }
        }
    }

    /// The status and its changes.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// The status as of now.
    pub fn status_now(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Hands in a message of a peer, in order. Waits when the replica is behind.
    pub async fn step(&self, message: Message) -> Result<(), Closed> {
        self.messages.send(message).await.map_err(|_| Closed)
    }

    /// Adds a member that receives the log and does not count for quorum.
    pub async fn add_learner(&self, member: Member) -> Result<u64, ChangeError> {
        self.change(MemberChange::AddLearner(member)).await
    }

    /// Records that a member listens elsewhere.
    pub async fn update_addr(&self, member: Member) -> Result<u64, ChangeError> {
        self.change(MemberChange::UpdateAddr(member)).await
    }

    /// Removes a member for good.
    pub async fn remove(&self, member: RaftId) -> Result<u64, ChangeError> {
        self.change(MemberChange::Remove(member)).await
    }

    /// Makes a learner a voter as soon as it has caught up and answers.
    pub async fn promote_when_caught_up(
        &self,
        learner: RaftId,
        timeout: Duration,
    ) -> Result<u64, ChangeError> {
        let deadline = Instant::now() + timeout;
        loop {
            let refused = match self.change(MemberChange::Promote(learner)).await {
                Err(ChangeError::Rejected(refused)) if is_passing(&refused) => refused,
                other => return other,
            };
            if Instant::now() >= deadline {
                return Err(ChangeError::Timeout {
                    waiting_for: refused.to_string(),
                });
            }
            tokio::time::sleep(PROMOTE_RETRY).await;
        }
    }

    /// Gives leadership to `to`, or to the most caught-up voter, and waits until this member no
    /// longer leads.
    pub async fn transfer_leadership(
        &self,
        to: Option<RaftId>,
        timeout: Duration,
    ) -> Result<(), ChangeError> {
        let now = self.status_now();
        if now.role != Role::Leader {
            return Err(Rejected::NotLeader {
                leader: now.leader_id,
            }
            .into());
        }
        let mut status = self.status();
        let led = async {
            let done = |s: &Arc<Status>| s.role != Role::Leader && s.leader_id.is_some();
            let waited = status.wait_for(done).await;
            waited.map(drop).map_err(|_| ChangeError::Stopped)
        };
        tokio::select! {
            done = led => done,
            refused = self.keep_asking(to) => Err(refused),
            () = tokio::time::sleep(timeout) => {
                let waiting_for = "the other member did not take over".to_owned();
                Err(ChangeError::Timeout { waiting_for })
            }
        }
    }

    /// Asks for a transfer again and again: one that the heir does not answer is given up silently.
    /// Ends with the rejection of the first try; later ones only say that something is under way.
    async fn keep_asking(&self, to: Option<RaftId>) -> ChangeError {
        let mut first = true;
        loop {
            let (reply, rejection) = oneshot::channel();
            if self
                .controls
                .send(Control::Transfer(to, reply))
                .await
                .is_err()
            {
                return ChangeError::Stopped;
            }
            let answer = tokio::time::timeout(TRANSFER_RETRY, rejection).await;
            match answer {
                Ok(Ok(Err(refused))) if first => return refused,
                // The replica is ending; its status says so.
                Ok(_) => tokio::time::sleep(TRANSFER_RETRY).await,
                Err(_) => {}
            }
            first = false;
        }
    }

    /// From now on the replica keeps so much of its past.
    pub async fn retain(&self, retention: Retention) {
        // A replica that has stopped keeps what it has.
        let _stopped = self.controls.send(Control::Retain(retention)).await;
    }

    /// Stops the replica and waits until its log is closed.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ChangeError> {
        let mut status = self.status();
        let stopped = async {
            // Already stopped is fine.
            let _sent = self.controls.send(Control::Shutdown).await;
            let _closed = status.wait_for(|s| s.stopped.is_some()).await;
        };
        tokio::time::timeout(deadline, stopped)
            .await
            .map_err(|_| ChangeError::Timeout {
                waiting_for: "the replica is still writing".to_owned(),
            })
    }

    /// Where snapshots are kept, for whoever receives them.
    pub fn snapshots(&self) -> SnapshotStore {
        self.snapshots.clone()
    }

    async fn change(&self, change: MemberChange) -> Result<u64, ChangeError> {
        let (reply, answer) = oneshot::channel();
        let control = Control::Change(change, reply);
        self.controls
            .send(control)
            .await
            .map_err(|_| ChangeError::Stopped)?;
        answer.await.unwrap_or(Err(ChangeError::Stopped))
    }
}

/// Whether a refused promotion may be accepted later.
fn is_passing(refused: &Rejected) -> bool {
    matches!(
        refused,
        Rejected::NotReady
            | Rejected::Busy
            | Rejected::Change(
                ChangeRefused::InFlight
                    | ChangeRefused::NotCaughtUp { .. }
                    | ChangeRefused::NotActive(_)
            )
    )
}
