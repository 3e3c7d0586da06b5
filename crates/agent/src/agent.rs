//! An agent from the outside.

use std::sync::Arc;
use std::time::Duration;

use executor::Executor;
use storage::LocalDb;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::NodeId;
use types::entropy::SeededEntropy;
use types::node::NodeDescription;
use worker::Worker;

use crate::clock::Clock;
use crate::commands::Hands;
use crate::database::{Database, DatabaseError};
use crate::limits::OWNER_QUEUE_MAX;
use crate::owner::{Message, Owner};
use crate::peers::{Peer, Peers};
use crate::sessions::{AgentState, Connect, SessionFacts, Sessions};

/// What an agent is made from.
#[derive(Clone)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Runs its tasks.
    pub executor: Arc<dyn Executor>,
    /// Keeps its tasks over a restart; `None` forgets them, for simulated nodes.
    pub database: Option<LocalDb>,
    /// Reaches managers.
    pub connect: Arc<dyn Connect>,
    /// Managers known from before.
    pub managers: Vec<Peer>,
    /// Adds to the description what the executor cannot know, such as the trusted root. Called
    /// each time the node is described.
    pub amend: Arc<dyn Fn(&mut NodeDescription) + Send + Sync>,
}

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The system has no randomness.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    facts: watch::Receiver<Option<SessionFacts>>,
    state: watch::Receiver<AgentState>,
    reconnect: Arc<Notify>,
    owner: mpsc::Sender<Message>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Agent {
    /// Starts an agent on the current runtime. Tasks from before are taken up at once, with or
    /// without a manager.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let (worker, writer) = match config.database {
            None => (Worker::default(), None),
            Some(db) => {
                let database = Database::open(db)?;
                let worker = Worker::new(database.load()?);
                (worker, Some(database.writer()))
            }
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(StartError::Entropy)?;
        let (owner, inbox) = mpsc::channel(OWNER_QUEUE_MAX);
        let (node_facts, known_facts) = watch::channel(None);
        let (facts_out, facts) = watch::channel(None);
        let waiting = AgentState::WaitsForExecutor { reason: None };
        let (state_out, state) = watch::channel(waiting);
        let (changed, tasks_changed) = watch::channel(());
        let stop = CancellationToken::new();
        let reconnect = Arc::new(Notify::new());
        let owned = Owner {
            worker,
            clock: Clock::start(),
            hands: Hands {
                executor: config.executor.clone(),
                facts: known_facts,
            },
            writer,
            inbox,
            tasks_changed: changed,
            stop: stop.clone(),
        };
        let sessions = Sessions {
            node: config.node,
            executor: config.executor,
            amend: config.amend,
            connect: config.connect,
            peers: Peers::new(config.managers),
            entropy: SeededEntropy::new(u64::from_ne_bytes(seed)),
            owner: owner.clone(),
            tasks_changed,
            node_facts,
            facts: facts_out,
            state: state_out,
            reconnect: reconnect.clone(),
            stop: stop.clone(),
        };
        let tasks = vec![tokio::spawn(owned.run()), tokio::spawn(sessions.run())];
        Ok(Self {
            facts,
            state,
            reconnect,
            owner,
            stop,
            tasks,
        })
    }

    /// What managers say of this node and the cluster; `None` before the first session.
    pub fn facts(&self) -> watch::Receiver<Option<SessionFacts>> {
        self.facts.clone()
    }

    /// What the agent is at.
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.state.clone()
    }

    /// Ends the present session, if there is one, and opens another: with a new certificate, or
    /// with another manager.
    pub fn reconnect(&self) {
        self.reconnect.notify_waiters();
    }

    /// Stops and removes every task of this node, each with its grace period, because the node is
    /// no longer in its cluster; returns how many are left after `limit`.
    pub async fn vacate(&self, limit: Duration) -> usize {
        let (left, mut seen) = watch::channel(usize::MAX);
        if self.owner.send(Message::Vacate(left)).await.is_err() {
            return 0; // the agent has ended
        }
        let empty = seen.wait_for(|left| *left == 0);
        // The count says what became of it, in time or not.
        drop(tokio::time::timeout(limit, empty).await);
        *seen.borrow()
    }

    /// Whether the agent has ended although nobody stopped it: a bug, and a reason to end the node
    /// with an error.
    pub fn has_failed(&self) -> bool {
        !self.stop.is_cancelled() && self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Begins to stop.
    pub(crate) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Stops the agent and waits until its database is written. Tasks go on.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a part of the agent failed by a bug");
            }
        }
    }
}

/// An agent that is dropped stops, but nobody waits for its database.
impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
