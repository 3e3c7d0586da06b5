//! Leadership: one piece of code starts everything that only the leader does, and stops it.
//!
//! A reign begins when this manager leads and has applied everything before its term, and ends
//! when it no longer leads, when a proposal was refused (the view of the reign is worthless
//! then), or when a part of it ended by itself, which none may. A leader that lost a part gives
//! leadership away rather than live on without it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus::{Membership, RaftId, Role};
use replica::net::Addresses;
use replica::{Handle, ProposeError, Status, Threads};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use types::NodeId;

use crate::addresses;
use crate::dispatch::{DispatchApi, Managers};
use crate::ledger::{Ledger, Proposal, Reign};
use crate::logs::LogBroker;
use crate::pipeline;
use crate::quorum::Quorum;
use crate::roles;
use crate::seed::{self, Seed};

/// How often learners are tried for votes, while there are any. A new manager is ready only when
/// it votes, which is to take less than 200 ms in all.
const LEARNERS_PERIOD: Duration = Duration::from_millis(20);

/// Proposals of the pipeline whose outcome is awaited; the ledger bounds what is in flight.
const OUTCOMES_QUEUE: usize = 4_096;

/// Pause after a reign that ended by itself, so that trouble does not spin.
const REIGN_PAUSE: Duration = Duration::from_millis(200);

/// Everything a reign needs.
pub struct Leader {
    /// The tables.
    pub ledger: Arc<Ledger>,
    /// The managers.
    pub quorum: Arc<dyn Quorum>,
    /// The replica.
    pub handle: Handle,
    /// The members of the log, and every change of them.
    pub membership: watch::Receiver<Arc<Membership>>,
    /// The dispatcher's service.
    pub dispatch: DispatchApi,
    /// The log broker.
    pub logs: LogBroker,
    /// Makes the stages of the pipeline.
    pub stages: Arc<pipeline::MakeStages>,
    /// Where the pipeline works.
    pub threads: Threads,
    /// This node.
    pub own: NodeId,
    /// Where others reach this manager.
    pub advertise_addr: String,
    /// Members that say that they are elsewhere than the log has them.
    pub moved: watch::Receiver<Addresses>,
    /// What the very first leader of a cluster creates.
    pub seed: Option<Seed>,
    /// Says whether this manager leads and is ready to answer.
    pub ready: watch::Sender<bool>,
}

/// Why a reign ended.
#[derive(Debug, thiserror::Error)]
enum End {
    /// Another manager leads, or none does.
    #[error("this manager no longer leads")]
    Deposed,
    /// The log refused a proposal.
    #[error("the log refused a proposal: {0}")]
    Refused(String),
    /// A part ended although it never should.
    #[error("{0} ended by itself")]
    Lost(&'static str),
    /// The manager stops.
    #[error("the manager stops")]
    Stopped,
}

impl Leader {
    /// Reigns whenever this manager leads, until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut status = self.handle.status();
        let mut epoch = 0;
        loop {
            let term = tokio::select! {
                term = ready_term(&mut status) => term,
                () = stop.cancelled() => return,
            };
            let Some(term) = term else { return };
            epoch += 1;
            let reign = Reign { term, epoch };
            tracing::info!(term, "this manager leads");
            let end = self.reign(reign, &stop).await;
            self.logs.reset();
            tracing::info!(term, why = %end, "leadership ended");
            match end {
                End::Stopped => return,
                End::Deposed => {}
                End::Refused(_) => self.settle().await,
                End::Lost(_) => {
                    if let Err(why) = self.quorum.transfer(None).await {
                        tracing::warn!(%why, "leadership could not be given away");
                    }
                    tokio::time::sleep(REIGN_PAUSE).await;
                }
            }
        }
    }

    /// Waits until everything that the log did take is applied: the next view builds on it.
    async fn settle(&self) {
        tokio::time::sleep(REIGN_PAUSE).await;
        // What was proposed before the first round is in the log by then, or refused; by the
        // second, the status says so. No term is 0, so these are refused themselves.
        for _ in 0..2 {
            while let Err(ProposeError::Overloaded) = self.handle.propose(0, Bytes::new()).await {
                tokio::time::sleep(REIGN_PAUSE).await;
            }
        }
        let mut status = self.handle.status();
        let target = status.borrow().last;
        let settled = |s: &Arc<Status>| s.applied >= target || s.role != Role::Leader;
        // An error means that the replica has stopped, which the caller's loop sees next.
        drop(status.wait_for(settled).await);
    }

    async fn reign(&self, reign: Reign, stop: &CancellationToken) -> End {
        let _to_the_end = Reigning::begin(&self.ledger, reign);
        self.logs.reset();
        if let Err(why) = seed::plant(&self.ledger, self.seed.as_ref(), self.own).await {
            return End::Refused(why);
        }
        let (proposals, outcomes) = mpsc::channel(OUTCOMES_QUEUE);
        let mut parts = JoinSet::new();
        self.spawn_parts(&mut parts, reign, proposals);
        parts.spawn(async move {
            watch_outcomes(outcomes).await;
            "watch over proposals"
        });
        self.ready.send_replace(true);
        let end = tokio::select! {
            () = deposed(self.handle.status(), reign.term) => End::Deposed,
            why = self.ledger.refusal(reign) => End::Refused(why),
            ended = parts.join_next() => End::Lost(match ended {
                Some(Ok(name)) => name,
                _ => "a part that panicked",
            }),
            () = stop.cancelled() => End::Stopped,
        };
        // From here on nothing is answered as the leader, however long the parts take to end.
        self.ready.send_replace(false);
        // The pipeline's thread ends when its reign is over in the ledger.
        self.ledger.follow();
        parts.shutdown().await;
        end
    }

    fn spawn_parts(
        &self,
        parts: &mut JoinSet<&'static str>,
        reign: Reign,
        proposals: mpsc::Sender<Proposal>,
    ) {
        let (ledger, make) = (self.ledger.clone(), self.stages.clone());
        let plan = async move { pipeline::run(&ledger, reign, &*make, &proposals).await };
        let threads = self.threads;
        parts.spawn(async move {
            match threads {
                Threads::Own => on_a_thread("pipeline", plan).await,
                Threads::Callers => plan.await,
            }
            "pipeline"
        });
        // Calls are taken from now on, so that an agent that comes early is not turned away.
        let (calls, ledger) = (self.dispatch.open(), self.ledger.clone());
        let (quorum, own) = (self.quorum.clone(), self.own);
        let managers = Managers::new(quorum, self.membership.clone());
        parts.spawn(async move {
            DispatchApi::lead(calls, ledger, managers, reign, own).await;
            "dispatcher"
        });
        let (ledger, quorum) = (self.ledger.clone(), self.quorum.clone());
        parts.spawn(async move {
            roles::run(ledger, quorum, own).await;
            "role manager"
        });
        let (handle, own_addr) = (self.handle.clone(), self.advertise_addr.clone());
        let moved = self.moved.clone();
        parts.spawn(async move {
            addresses::run(handle, own_addr, moved).await;
            "addresses of managers"
        });
        let logs = self.logs.clone();
        parts.spawn(async move {
            logs.watch_removals().await;
            "log broker"
        });
        let handle = self.handle.clone();
        parts.spawn(async move {
            promote_learners(handle).await;
            "promotion of learners"
        });
    }
}

/// Does work on a thread of its own and waits for its end. The runtime's threads for blocking work
/// are for what is over soon; this lasts as long as a reign.
async fn on_a_thread(name: &str, work: impl Future<Output = ()> + Send + 'static) {
    let (done, ended) = oneshot::channel::<()>();
    let runtime = Runtime::current();
    let body = move || {
        runtime.block_on(work);
        drop(done);
    };
    match std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
    {
        // Nothing is ever sent: the end of the channel is the end of the work, by a panic too.
        Ok(_) => drop(ended.await),
        Err(error) => tracing::error!(%error, name, "no thread could be started"),
    }
}

/// A reign over the tables. However it ends, and be it that the runtime goes away, the pipeline's
/// thread must not wait for more: it ends when its reign is over in the ledger.
struct Reigning<'a>(&'a Ledger);

impl<'a> Reigning<'a> {
    fn begin(ledger: &'a Ledger, reign: Reign) -> Self {
        ledger.lead(reign);
        Self(ledger)
    }
}

impl Drop for Reigning<'_> {
    fn drop(&mut self) {
        self.0.follow();
    }
}

/// Waits until this manager leads a term and has applied everything before it; `None` when the
/// replica has stopped.
async fn ready_term(status: &mut watch::Receiver<Arc<Status>>) -> Option<u64> {
    let leads = |s: &Arc<Status>| {
        s.stopped.is_some() || (s.role == Role::Leader && s.ready_term == Some(s.term))
    };
    let found = status.wait_for(leads).await.ok()?;
    found.stopped.is_none().then_some(found.term)
}

async fn deposed(mut status: watch::Receiver<Arc<Status>>, term: u64) {
    let gone = |s: &Arc<Status>| s.term != term || s.role != Role::Leader || s.stopped.is_some();
    // An error means that the replica is gone: deposed as well.
    drop(status.wait_for(gone).await);
}

/// Sees the pipeline's proposals through, so that a refused one is noticed.
async fn watch_outcomes(mut outcomes: mpsc::Receiver<Proposal>) {
    while let Some(outcome) = outcomes.recv().await {
        // A refusal ends the reign by way of the ledger; an unknown outcome means it has ended.
        let _seen_by_the_ledger = outcome.await;
    }
    // The pipeline has ended: its own task says so.
    std::future::pending().await
}

/// Makes voters of learners that have caught up. One that never does keeps none from voting.
async fn promote_learners(handle: Handle) {
    let mut status = handle.status();
    loop {
        let some = |s: &Arc<Status>| !s.membership.learners.is_empty();
        let learners = status.wait_for(some).await;
        let learners = learners.map(|s| s.membership.learners.iter().copied().collect());
        let Ok(learners): Result<Vec<RaftId>, _> = learners else {
            // The replica has ended, which ends the reign.
            return std::future::pending().await;
        };
        for id in learners {
            // Once: a refusal is answered at once, and the next round asks again.
            match handle.promote_when_caught_up(id, Duration::ZERO).await {
                Ok(_) => tracing::info!(member = id.get(), "a new manager votes"),
                Err(error) => tracing::trace!(%error, "a learner cannot vote yet"),
            }
        }
        tokio::time::sleep(LEARNERS_PERIOD).await;
    }
}
