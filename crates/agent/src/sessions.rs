//! One session after the other, with whichever manager answers.

use std::sync::Arc;

use executor::{BoxFuture, Executor, NodeFacts};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use types::cluster::EncryptionKey;
use types::entropy::SeededEntropy;
use types::node::NodeDescription;
use types::{Node, NodeId};

use crate::backoff::Backoff;
use crate::limits::{DIAL_TIMEOUT, EXECUTOR_RETRY_PAUSE, KNOCK_PERIOD, SESSION_QUEUE_MAX};
use crate::logs;
use crate::owner::Message;
use crate::peers::{OBSERVATION, Peer, Peers};
use crate::session::{Opened, Session, SessionError, amended, described, knock};

/// Why a connection could not be opened.
pub type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// How an agent reaches managers: the node has the certificates and knows its own manager.
pub trait Connect: Send + Sync + 'static {
    /// A channel to a manager, connected.
    ///
    /// # Errors
    /// Why not, in one sentence.
    fn connect<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, Result<Channel, ConnectError>>;

    /// A channel to this node's own manager, while it has one: the shortest way, and one that
    /// works before the manager is known elsewhere.
    fn local(&self) -> Option<Channel> {
        None
    }
}

/// What a manager says of this node and the cluster. Always complete; the latest replaces all
/// earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFacts {
    /// The node's record: role, certificate, availability.
    pub node: Node,
    /// All managers, with their weights.
    pub managers: Vec<(Peer, i64)>,
    /// Keys of the data plane.
    pub keys: Vec<EncryptionKey>,
    /// Root to trust, PEM.
    pub root_ca: Vec<u8>,
}

/// What the agent is at.
#[derive(Debug, Clone)]
pub enum AgentState {
    /// Waits for the executor to answer: a node that can run nothing must not be given tasks.
    WaitsForExecutor {
        /// What the executor says; `None` before it was asked.
        reason: Option<String>,
    },
    /// Looks for a manager.
    Connecting {
        /// Why the last session ended or did not begin.
        last: Option<Arc<SessionError>>,
    },
    /// Has a session.
    Connected {
        /// Address of the manager; `None` for this node's own.
        manager: Option<String>,
    },
}

/// Keeps a session.
pub(crate) struct Sessions {
    pub(crate) node: NodeId,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) amend: Arc<dyn Fn(&mut NodeDescription) + Send + Sync>,
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) peers: Peers,
    pub(crate) entropy: SeededEntropy,
    pub(crate) owner: mpsc::Sender<Message>,
    pub(crate) tasks_changed: watch::Receiver<()>,
    pub(crate) node_facts: watch::Sender<Option<NodeFacts>>,
    pub(crate) facts: watch::Sender<Option<SessionFacts>>,
    pub(crate) state: watch::Sender<AgentState>,
    pub(crate) reconnect: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

/// An executor that does not answer: since when managers know, and why.
#[derive(Default)]
struct Trouble {
    reason: Option<String>,
    knocked: Option<Instant>,
}

/// How a session came about.
struct Dialled {
    channel: Channel,
    /// `None` for this node's own manager.
    addr: Option<String>,
}

impl Sessions {
    /// Runs until the agent stops.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        self.look_for_remains().await;
        let mut backoff = Backoff::default();
        let mut link = 0;
        let mut avoid_local = false;
        loop {
            let description = self.describe().await;
            link += 1;
            let mut is_up = false;
            let dialled = self.dial(avoid_local).await;
            let (addr, error) = match dialled {
                Err(error) => (None, error),
                Ok(dialled) => {
                    let addr = dialled.addr.clone();
                    let session = self.session(link, dialled, description, &mut is_up);
                    let error = Box::pin(session).await;
                    (addr, error)
                }
            };
            if is_up {
                backoff.reset();
            }
            // When this node's own manager is of no use, another one gets a turn.
            avoid_local = addr.is_none() && !avoid_local;
            // Whoever asked for another session has nothing against the manager.
            let asked = matches!(error, SessionError::Asked);
            if let Some(addr) = addr.as_ref().filter(|_| !asked) {
                self.peers.observe(addr, -OBSERVATION);
            }
            let unreached = matches!(
                error,
                SessionError::Connect { .. } | SessionError::NoManager
            );
            tracing::info!(
                manager = addr
                    .as_deref()
                    .unwrap_or(if unreached { "none" } else { "local" }),
                error = &error as &dyn std::error::Error,
                "no session with a manager"
            );
            let last = Some(Arc::new(error));
            self.state.send_replace(AgentState::Connecting { last });
            sleep(backoff.next(&mut self.entropy)).await;
        }
    }

    /// Asks the executor once what is on this node from before.
    async fn look_for_remains(&mut self) {
        let mut trouble = Trouble::default();
        loop {
            match self.executor.adopt(self.node).await {
                Ok(found) => {
                    let tasks = found.into_iter().map(|f| f.task_id).collect();
                    // The owner is gone only when the agent stops.
                    let _gone = self.owner.send(Message::Found(tasks)).await;
                    return;
                }
                Err(error) => self.bear(&mut trouble, error.to_string()).await,
            }
        }
    }

    /// What this node is and has, once the executor can say.
    async fn describe(&mut self) -> NodeDescription {
        let mut trouble = Trouble::default();
        loop {
            match described(self.executor.as_ref()).await {
                Ok(description) => {
                    let description = amended(description, self.amend.as_ref());
                    self.node_facts.send_replace(Some(NodeFacts {
                        id: Some(self.node),
                        hostname: description.hostname.clone(),
                        platform: description.platform.clone(),
                    }));
                    return description;
                }
                Err(reason) => self.bear(&mut trouble, reason).await,
            }
        }
    }

    /// Says that the executor does not answer, here and to a manager, and lets a moment pass.
    async fn bear(&mut self, trouble: &mut Trouble, reason: String) {
        let is_news = trouble.reason.as_ref() != Some(&reason);
        if is_news {
            tracing::warn!(
                reason,
                "this node waits for its executor and takes no tasks"
            );
            trouble.reason = Some(reason.clone());
        }
        let shown = Some(reason.clone());
        self.state
            .send_replace(AgentState::WaitsForExecutor { reason: shown });
        let is_due = trouble
            .knocked
            .is_none_or(|at| at.elapsed() >= KNOCK_PERIOD);
        if is_news || is_due {
            trouble.knocked = Some(Instant::now());
            self.knock(&reason).await;
        }
        sleep(EXECUTOR_RETRY_PAUSE).await;
    }

    /// Tells a manager, if one can be reached, why this node has no session.
    async fn knock(&mut self, reason: &str) {
        let description = amended(NodeDescription::default(), self.amend.as_ref());
        let answer = match self.dial(false).await {
            Ok(dialled) => knock(dialled.channel, description, reason).await,
            Err(error) => error,
        };
        if answer.says_removed() {
            let last = Some(Arc::new(answer));
            self.state.send_replace(AgentState::Connecting { last });
        }
    }

    async fn dial(&mut self, avoid_local: bool) -> Result<Dialled, SessionError> {
        let peer = self.peers.choose(&mut self.entropy);
        let local = self.connect.local();
        if let Some(channel) = local.filter(|_| !avoid_local || peer.is_none()) {
            return Ok(Dialled {
                channel,
                addr: None,
            });
        }
        let peer = peer.ok_or(SessionError::NoManager)?;
        let addr = peer.addr.clone();
        match timeout(DIAL_TIMEOUT, self.connect.connect(&peer)).await {
            Ok(Ok(channel)) => Ok(Dialled {
                channel,
                addr: Some(addr),
            }),
            failed => {
                self.peers.observe(&addr, -OBSERVATION);
                let timed_out = || ConnectError::from("no connection within 5 s");
                let source = failed.map_or_else(
                    |_| timed_out(),
                    |r| match r {
                        Err(error) => error,
                        Ok(_) => timed_out(),
                    },
                );
                Err(SessionError::Connect { addr, source })
            }
        }
    }

    async fn session(
        &mut self,
        link: u64,
        dialled: Dialled,
        description: NodeDescription,
        is_up: &mut bool,
    ) -> SessionError {
        let channel = dialled.channel.clone();
        let opened = match Opened::open(dialled.channel, &description).await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        *is_up = true;
        if let Some(addr) = &dialled.addr {
            self.peers.observe(addr, OBSERVATION);
        }
        let (outbox, outgoing) = mpsc::channel(SESSION_QUEUE_MAX);
        if self
            .owner
            .send(Message::Connected { link, outbox })
            .await
            .is_err()
        {
            return SessionError::Stopping;
        }
        let manager = dialled.addr;
        self.state.send_replace(AgentState::Connected { manager });
        let session = Session {
            link,
            executor: self.executor.as_ref(),
            amend: self.amend.as_ref(),
            owner: &self.owner,
            facts: &self.facts,
        };
        let logs = logs::Publisher {
            node: self.node,
            executor: self.executor.clone(),
            owner: self.owner.clone(),
            tasks_changed: self.tasks_changed.clone(),
            channel,
        };
        let peers = &mut self.peers;
        let publish = |facts: &SessionFacts| peers.replace(&facts.managers);
        let error = tokio::select! {
            error = session.run(opened, description, outgoing, publish) => error,
            () = self.reconnect.notified() => SessionError::Asked,
            () = logs.run() => SessionError::Stopping,
        };
        // The owner is gone only when the agent stops.
        let _gone = self.owner.send(Message::Disconnected { link }).await;
        error
    }
}
