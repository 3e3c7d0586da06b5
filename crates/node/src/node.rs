//! A node from its start to its end.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, AgentState, Peer};
use manager::seat::Seat;
use manager::{Origin, clock};
use pki::files::NodeCredentials;
use storage::{LocalDb, OpenOutcome, StateDir};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use transport::{Credentials, Leader, LocalListener};
use types::node::NodeDescription;
use types::{ClusterId, NodeId, NodeRole};

use crate::config::{Addresses, Memory, NodeConfig, Start};
use crate::connect::MemberConnect;
use crate::error::NodeError;
use crate::supervisor::Supervisor;
use crate::{enroll, files, found, metrics, skew};

/// How long a new node may take to serve.
const READY_MAX: Duration = Duration::from_secs(60);

/// When a node that is not ready first says what it waits for: ten times what is usual.
const NOTICE_AFTER: Duration = Duration::from_secs(2);

/// How often it says so again.
const NOTICE_PERIOD: Duration = Duration::from_secs(10);

/// A node that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// Itself.
    pub node_id: NodeId,
    /// Its role.
    pub role: NodeRole,
    /// Where its manager is reached.
    pub advertise_addr: String,
    /// Join tokens (worker, manager), where this node leads a cluster it has just founded.
    pub join_tokens: Option<(String, String)>,
}

/// A running node.
pub struct Node {
    stop: CancellationToken,
    task: JoinHandle<Result<(), NodeError>>,
    state: watch::Receiver<AgentState>,
    leader: watch::Receiver<Leader>,
    seat: Option<Seat>,
    tables: watch::Receiver<Option<Arc<manager::ledger::Ledger>>>,
    credentials: Arc<Credentials>,
    addresses: Addresses,
    founded: bool,
    resumed: bool,
}

/// What a start mode yields.
struct Beginning {
    credentials: NodeCredentials,
    origin: Option<Origin>,
    managers: Vec<Peer>,
    /// The manager's port, taken before anything was made that would have to be undone.
    port: Option<TcpListener>,
}

fn already(dir: &StateDir, action: &'static str) -> Result<(), NodeError> {
    match dir.cluster_id()? {
        None => Ok(()),
        Some(cluster) => Err(NodeError::AlreadyMember {
            action,
            dir: dir.root().display().to_string(),
            cluster,
        }),
    }
}

fn peer(addr: &str) -> Peer {
    Peer {
        node: None,
        addr: addr.to_owned(),
    }
}

async fn begin(
    dir: &StateDir,
    config: &NodeConfig,
    addresses: &Addresses,
    memory: &Memory,
) -> Result<Beginning, NodeError> {
    match &config.start {
        Start::Init => {
            already(dir, "init")?;
            let port = Some(addresses.bind()?);
            let founded = found::found(dir, config.availability)?;
            let managers = vec![peer(&addresses.advertise)];
            let origin = Some(Origin::Found(founded.seed));
            Ok(Beginning {
                credentials: founded.node,
                origin,
                managers,
                port,
            })
        }
        Start::Join { token, addr } => {
            already(dir, "join")?;
            // A worker needs the port as soon as it is promoted.
            let port = addresses.bind()?;
            let credentials = enroll::first(addr, token, config.availability, None).await?;
            files::store(dir, &credentials)?;
            dir.bind_cluster(&credentials.identity.cluster_id.to_string())?;
            let manager = credentials.identity.role == NodeRole::Manager;
            let origin = manager.then(|| Origin::Join(vec![addr.clone()]));
            Ok(Beginning {
                credentials,
                origin,
                managers: vec![peer(addr)],
                port: manager.then_some(port),
            })
        }
        Start::Run { force_new_cluster } => {
            resume(dir, addresses, memory, *force_new_cluster).await
        }
    }
}

async fn resume(
    dir: &StateDir,
    addresses: &Addresses,
    memory: &Memory,
    force: bool,
) -> Result<Beginning, NodeError> {
    if dir.cluster_id()?.is_none() {
        return Err(NodeError::NotMember {
            dir: dir.root().display().to_string(),
        });
    }
    let stored = files::load(dir)?;
    let credentials = match force {
        true => stored.check_but_clock()?,
        false => stored.check(clock::now())?,
    };
    // The files may have been taken from another node's directory.
    dir.bind_cluster(&credentials.identity.cluster_id.to_string())?;
    let own = credentials.identity.node_id;
    if credentials.identity.role == NodeRole::Manager && !force {
        skew::check_manager(memory.others(own)).await?;
    }
    let mut managers: Vec<_> = memory.peers().collect();
    if let Some(known) = managers.iter_mut().find(|peer| peer.node == Some(own)) {
        known.addr.clone_from(&addresses.advertise);
    }
    if managers.is_empty() {
        managers.push(peer(&addresses.advertise));
    }
    let origin = force.then_some(Origin::ForceNewCluster);
    Ok(Beginning {
        credentials,
        origin,
        managers,
        port: None,
    })
}

fn database(dir: &StateDir) -> Result<LocalDb, NodeError> {
    let path = dir.worker().join("tasks.db");
    let (db, outcome) = LocalDb::open(&path).map_err(|e| NodeError::Agent(e.to_string()))?;
    if let OpenOutcome::Replaced { .. } = &outcome {
        tracing::error!(
            ?outcome,
            "the task database was damaged; it is rebuilt from the managers"
        );
    }
    Ok(db)
}

/// Adds what the executor cannot know to the node's description.
fn amend(
    config: &Arc<NodeConfig>,
    credentials: &Arc<Credentials>,
) -> Arc<dyn Fn(&mut NodeDescription) + Send + Sync> {
    let (config, credentials) = (config.clone(), credentials.clone());
    Arc::new(move |description| {
        if let Some(hostname) = &config.hostname {
            description.hostname.clone_from(hostname);
        }
        let labels = &mut description.engine.labels;
        labels.extend(config.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
        let current = credentials.current();
        let node = current.node();
        description.tls_info = node.chain.tls_info(&node.roots).ok();
    })
}

impl Node {
    /// Starts a node; it serves once [`Node::ready`] returns.
    ///
    /// # Errors
    /// In one sentence: what was attempted, what is wrong, what to do.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        if matches!(config.start, Start::Run { .. }) {
            files::must_exist(&config.state_dir)?;
        }
        let dir = StateDir::open(&config.state_dir)?;
        let mut memory = Memory::load(&dir)?;
        let addresses = Addresses::settle(&config, &memory)?;
        let metrics = match config.metrics_addr {
            Some(addr) => Some(metrics::bind(addr).await?),
            None => None,
        };
        drop(LocalListener::bind(&config.control_socket).await?);
        // Boxed, for the sake of those who wait for a whole node.
        let beginning = Box::pin(begin(&dir, &config, &addresses, &memory)).await?;
        if let Start::Join { addr, .. } = &config.start {
            memory.joined_through.clone_from(addr);
        }
        memory.listen_addr = addresses.listen.to_string();
        memory.advertise_addr.clone_from(&addresses.advertise);
        memory.advertise_guessed = addresses.guessed;
        memory.runner.clone_from(&config.runner);
        memory.store(&dir)?;
        let credentials = Credentials::new(beginning.credentials)?;
        let config = Arc::new(config);
        let founded = matches!(config.start, Start::Init);
        let resumed = matches!(config.start, Start::Run { .. });
        let database = database(&dir)?;
        let (shared, creds, addrs) = (config.clone(), credentials.clone(), addresses.clone());
        let mut supervisor = Supervisor::new(dir, shared, creds, addrs, memory);
        Box::pin(supervisor.begin(beginning.origin, beginning.port)).await?;
        let identity = credentials.identity();
        let subject = metrics::Subject {
            cluster: identity.cluster_id,
            node: identity.node_id,
        };
        let agent = Agent::start(agent::Config {
            node: identity.node_id,
            executor: config.executor.clone(),
            database: Some(database),
            connect: Arc::new(MemberConnect::new(credentials.clone(), addresses.listen)),
            managers: beginning.managers,
            amend: amend(&config, &credentials),
        });
        let agent = match agent {
            Ok(agent) => agent,
            Err(error) => {
                supervisor.stop_manager().await;
                return Err(NodeError::Agent(error.to_string()));
            }
        };
        if let Some(listener) = metrics {
            metrics::serve(listener, subject, supervisor.tables());
        }
        let stop = CancellationToken::new();
        let (state, leader) = (agent.state(), supervisor.leader_known());
        let (tables, seat) = (supervisor.tables(), supervisor.seat());
        let task = tokio::spawn(supervisor.run(agent, stop.clone()));
        Ok(Self {
            stop,
            task,
            state,
            leader,
            seat,
            tables,
            credentials,
            addresses,
            founded,
            resumed,
        })
    }

    /// Waits until the node serves: its agent has a session, its manager knows a leader and votes.
    /// While that takes its time, says what it waits for. A node that resumes waits as long as it
    /// takes: the others may be down, and its tasks go on. So does a new manager as long as the
    /// log keeps coming.
    ///
    /// # Errors
    /// If a new node takes too long, or the node ends before.
    pub async fn ready(&mut self) -> Result<Ready, NodeError> {
        let (leader, state) = (self.leader.clone(), self.state.clone());
        let served = served(leader, state, self.seat.clone());
        tokio::pin!(served);
        let mut patience = Patience::new();
        loop {
            tokio::select! {
                () = &mut served => break,
                () = tokio::time::sleep_until(patience.next) => {
                    let waiting_for = self.waiting_for();
                    patience.pass(self.seat.as_ref());
                    if patience.is_over() && !self.resumed {
                        return Err(NodeError::NotReady { secs: READY_MAX.as_secs(), waiting_for });
                    }
                    tracing::warn!(waiting_for, "not ready yet");
                }
                ended = &mut self.task => return Err(flatten(ended).err().unwrap_or_else(|| {
                    NodeError::ManagerFailed("it ended before it was ready".into())
                })),
            }
        }
        let identity = self.credentials.identity();
        Ok(Ready {
            cluster_id: identity.cluster_id,
            node_id: identity.node_id,
            role: identity.role,
            advertise_addr: self.addresses.advertise.clone(),
            join_tokens: self.join_tokens(),
        })
    }

    fn join_tokens(&self) -> Option<(String, String)> {
        let tables = self.tables.borrow().clone().filter(|_| self.founded)?;
        let state = tables.state();
        let tokens = &state.cluster()?.root_ca.join_tokens;
        Some((tokens.worker.clone(), tokens.manager.clone()))
    }

    /// What keeps the node from being ready.
    fn waiting_for(&self) -> String {
        let seat = self.seat.as_ref();
        if let Some(why) = seat.and_then(|seat| seat.waits_for(&self.addresses.advertise)) {
            return why;
        }
        match (&*self.leader.borrow(), &*self.state.borrow()) {
            (Leader::Unknown, _) => {
                "no leader is known: a majority of the managers must run and reach each other"
                    .to_owned()
            }
            (
                _,
                AgentState::WaitsForExecutor {
                    reason: Some(reason),
                },
            ) => reason.clone(),
            (_, AgentState::Connecting { last: Some(why) }) => why.to_string(),
            _ => "the agent has no session with a manager".to_owned(),
        }
    }

    /// The tables of this node's manager, while it has one.
    pub fn tables(&self) -> watch::Receiver<Option<Arc<manager::ledger::Ledger>>> {
        self.tables.clone()
    }

    /// Waits until the node ends by itself.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn ended(&mut self) -> Result<(), NodeError> {
        flatten((&mut self.task).await)
    }

    /// Stops the node; its tasks keep running.
    ///
    /// # Errors
    /// Why it could not go on, if it had ended before.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.stop.cancel();
        flatten(self.task.await)
    }
}

/// Done once the node serves. Never if it ends before, which its task tells.
async fn served(
    mut leader: watch::Receiver<Leader>,
    mut state: watch::Receiver<AgentState>,
    seat: Option<Seat>,
) {
    if let Some(mut seat) = seat {
        seat.taken().await;
    }
    // What `wait_for` returns locks the value: it must not live on across the next wait.
    let known = leader.wait_for(|l| *l != Leader::Unknown).await.is_ok();
    let connected = |s: &AgentState| matches!(s, AgentState::Connected { .. });
    let session = state.wait_for(connected).await.is_ok();
    if !known || !session {
        std::future::pending::<()>().await;
    }
}

/// How long a node has been getting ready, and when it says so next.
struct Patience {
    next: Instant,
    give_up: Instant,
    applied: u64,
}

impl Patience {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now + NOTICE_AFTER,
            give_up: now + READY_MAX,
            applied: 0,
        }
    }

    /// A moment for a notice has come. A log that keeps coming renews the patience.
    fn pass(&mut self, seat: Option<&Seat>) {
        self.next = Instant::now() + NOTICE_PERIOD;
        let applied = seat.map_or(0, Seat::applied);
        if applied > self.applied {
            self.applied = applied;
            self.give_up = self.give_up.max(Instant::now() + READY_MAX);
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.give_up
    }
}

fn flatten(ended: Result<Result<(), NodeError>, tokio::task::JoinError>) -> Result<(), NodeError> {
    ended.unwrap_or_else(|e| {
        Err(NodeError::ManagerFailed(format!(
            "its supervisor failed: {e}"
        )))
    })
}
