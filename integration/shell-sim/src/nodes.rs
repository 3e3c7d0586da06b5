//! What runs on the hosts: managers behind their gates, agents with simulated containers.
//!
//! The first manager founds the cluster before the simulation begins; all others join with a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent::{Agent, Connect, ConnectError, Peer};
use anyhow::Context;
use executor::BoxFuture;
use executor_sim::{SimConfig, SimExecutor};
use manager::ledger::{Ledger, News};
use manager::seed::Seed;
use manager::{Manager, ManagerConfig, Origin};
use pki::files::NodeCredentials;
use storage::StateDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use transport::{Credentials, Dialer, GateLayer, Leader, Listener, Network, server_builder};
use types::NodeRole;
use types::cluster::JoinTokens;
use types::node::Availability;

use crate::bugs::{Bug, Shown, Spoil};
use crate::network::Simulated;

/// Where managers listen.
pub(crate) const PORT: u16 = 2_377;
/// Pause between two attempts to join.
const RETRY_PERIOD: Duration = Duration::from_millis(300);
/// What a manager that is asked to stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

/// A machine of the simulated network, with what outlives its crashes.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) role: NodeRole,
    /// Its certificate, once it has one.
    papers: OnceLock<NodeCredentials>,
    /// How often it has been asked to stop.
    pub(crate) stops: watch::Sender<u64>,
    /// What runs its tasks.
    pub(crate) executor: Arc<SimExecutor>,
}

/// What hosts share.
pub(crate) struct Stage {
    /// All hosts of nodes, managers first.
    pub(crate) hosts: Vec<Host>,
    disks: PathBuf,
    seed: Seed,
    /// What joins, once the cluster has it.
    tokens: watch::Sender<Option<JoinTokens>>,
    /// Who was the last to lead, for faults to hit.
    pub(crate) leader: AtomicUsize,
    /// What is wrong with the managers.
    bug: Option<Bug>,
}

/// What a host ends with.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error>>;

fn network() -> Option<Arc<dyn Network>> {
    Some(Arc::new(Simulated))
}

impl Host {
    fn new(role: NodeRole, number: usize) -> Self {
        let letter = match role {
            NodeRole::Manager => 'm',
            NodeRole::Worker => 'w',
        };
        let name = format!("{letter}{number}");
        let config = SimConfig {
            hostname: name.clone(),
            seed: number as u64,
            ..SimConfig::default()
        };
        Self {
            name,
            role,
            papers: OnceLock::new(),
            stops: watch::Sender::new(0),
            executor: Arc::new(SimExecutor::new(config)),
        }
    }

    /// Where its manager is reached.
    pub(crate) fn address(&self) -> String {
        format!("{}:{PORT}", self.name)
    }
}

impl Stage {
    /// Hosts, and a cluster of which the first one is the founder.
    pub(crate) fn new(
        (managers, workers): (usize, usize),
        disks: PathBuf,
        bug: Option<Bug>,
    ) -> anyhow::Result<Self> {
        let managers = (1..=managers).map(|number| Host::new(NodeRole::Manager, number));
        let workers = (1..=workers).map(|number| Host::new(NodeRole::Worker, number));
        let hosts: Vec<Host> = managers.chain(workers).collect();
        let first = hosts.first().context("a cluster has a manager")?;
        let dir = StateDir::open(&disks.join("founder"))?;
        let founded = node::found(&dir, Availability::Active)?;
        first.papers.get_or_init(|| founded.node);
        Ok(Self {
            hosts,
            disks,
            seed: founded.seed,
            tokens: watch::Sender::new(None),
            leader: AtomicUsize::new(0),
            bug,
        })
    }

    /// The managers' hosts.
    pub(crate) fn managers(&self) -> impl Iterator<Item = &Host> {
        let hosts = self.hosts.iter();
        hosts.filter(|host| host.role == NodeRole::Manager)
    }

    /// A node's credentials on the simulated network; a new node gets them for its token.
    pub(crate) async fn credentials(&self, number: usize) -> anyhow::Result<Arc<Credentials>> {
        let papers = match self.hosts[number].papers.get() {
            Some(papers) => papers,
            None => self.enroll(&self.hosts[number]).await?,
        };
        Ok(Credentials::simulated(Arc::new(Simulated), papers.clone())?)
    }

    async fn enroll<'a>(&self, host: &'a Host) -> anyhow::Result<&'a NodeCredentials> {
        let mut tokens = self.tokens.subscribe();
        let tokens = tokens.wait_for(Option::is_some).await?.clone();
        let tokens = tokens.unwrap_or_default();
        let token = match host.role {
            NodeRole::Manager => tokens.manager,
            NodeRole::Worker => tokens.worker,
        };
        loop {
            let via = self.hosts[0].address();
            match node::enroll(&via, &token, Availability::Active, network()).await {
                Ok(papers) => return Ok(host.papers.get_or_init(|| papers)),
                Err(_) => tokio::time::sleep(RETRY_PERIOD).await,
            }
        }
    }
}

/// A manager from its start until it is asked to stop. Anything else that ends it is an error.
pub(crate) async fn manager(stage: Arc<Stage>, number: usize) -> Ended {
    let host = &stage.hosts[number];
    let mut stop = host.stops.subscribe();
    let credentials = stage.credentials(number).await?;
    let manager = start(&stage, number, &credentials).await?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let incoming = Listener::bind(any, credentials.clone()).await?.incoming();
    let closer = incoming.closer();
    let spoil = Spoil::new(stage.bug, &manager);
    let gate = GateLayer::new(credentials, Shown::new(stage.bug, &manager));
    let server = server_builder()
        .layer(spoil.outside())
        .layer(gate)
        .layer(spoil.inside())
        .add_routes(manager.routes());
    let tokens = tell_tokens(stage.clone(), manager.ledger().clone());
    let leader = tell_leader(stage.clone(), number, manager.leader());
    let telling = [tokio::spawn(tokens), tokio::spawn(leader)];
    tokio::select! {
        served = server.serve_with_incoming(incoming) => {
            served?;
            return Err("the server ended by itself".into());
        }
        ended = manager.ended() => {
            return Err(format!("manager {number} ended by itself: {ended:?}").into());
        }
        asked = stop.changed() => asked?,
    }
    telling.iter().for_each(JoinHandle::abort);
    manager.stop(STOP_TIME_MAX).await;
    closer.close();
    Ok(())
}

/// Starts a manager from what its disk holds, and tries until the others let it in.
async fn start(
    stage: &Stage,
    number: usize,
    credentials: &Arc<Credentials>,
) -> anyhow::Result<Manager> {
    let host = &stage.hosts[number];
    let raft_dir = stage.disks.join(&host.name);
    let identity = credentials.identity();
    loop {
        let known = raft_dir.join("member").exists();
        let seed = (number == 0).then(|| stage.seed.clone());
        let origin = match (known, seed) {
            (true, seed) => Origin::Resume(seed),
            (false, Some(seed)) => Origin::Found(seed),
            (false, None) => Origin::Join(vec![stage.hosts[0].address()]),
        };
        let joins = matches!(origin, Origin::Join(_));
        let started = Manager::start(ManagerConfig {
            node_id: identity.node_id,
            cluster_id: identity.cluster_id,
            advertise_addr: host.address(),
            credentials: credentials.clone(),
            raft_dir: raft_dir.clone(),
            origin,
            root_pem: stage.seed.root_cert.clone(),
        });
        match started.await {
            Ok(manager) => return Ok(manager),
            Err(_) if joins => tokio::time::sleep(RETRY_PERIOD).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells the tokens as soon as the cluster has them, as an operator would.
async fn tell_tokens(stage: Arc<Stage>, ledger: Arc<Ledger>) {
    let (mut state, mut cursor) = ledger.subscribe();
    loop {
        if let Some(cluster) = state.cluster() {
            let tokens = cluster.root_ca.join_tokens.clone();
            stage.tokens.send_replace(Some(tokens));
            return;
        }
        let Some(News::Commits(_, newest) | News::Afresh(newest)) = cursor.next().await else {
            return;
        };
        state = newest;
    }
}

/// Tells whenever this manager begins to lead.
async fn tell_leader(stage: Arc<Stage>, number: usize, mut leader: watch::Receiver<Leader>) {
    while leader.wait_for(|l| *l == Leader::Here).await.is_ok() {
        stage.leader.store(number, Ordering::Relaxed);
        if leader.wait_for(|l| *l != Leader::Here).await.is_err() {
            return;
        }
    }
}

/// Dials managers on the simulated network.
struct SimulatedConnect(Dialer);

impl Connect for SimulatedConnect {
    fn connect<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(async move {
            let connected = match peer.node {
                Some(node) => self.0.connect_to(&peer.addr, node).await,
                None => self.0.connect(&peer.addr).await,
            };
            connected.map_err(Into::into)
        })
    }
}

/// An agent, for as long as the simulation runs.
pub(crate) async fn worker(stage: Arc<Stage>, number: usize) -> Ended {
    let host = &stage.hosts[number];
    let credentials = stage.credentials(number).await?;
    let peer = |host: &Host| Peer {
        node: None,
        addr: host.address(),
    };
    let agent = Agent::start(agent::Config {
        node: credentials.identity().node_id,
        executor: host.executor.clone(),
        database: None,
        connect: Arc::new(SimulatedConnect(Dialer::member(credentials))),
        managers: stage.managers().map(peer).collect(),
        amend: Arc::new(|_| {}),
    })?;
    std::future::pending::<()>().await;
    drop(agent);
    Ok(())
}
