//! What runs on the hosts: managers behind their gates, agents with simulated containers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, Connect, ConnectError, Peer};
use control::{ControlError, crud};
use executor::BoxFuture;
use executor_sim::SimExecutor;
use manager::ledger::Ledger;
use manager::{Manager, ManagerConfig, Origin};
use store::{Draft, State};
use tokio::sync::watch;
use tonic::transport::Channel;
use transport::{Credentials, Dialer, GateLayer, Listener, server_builder};
use types::NodeRole;

use crate::authority::{Authority, Papers};
use crate::bugs::{Bug, Shown, Spoil};
use crate::network::Simulated;

/// Where managers listen.
pub(crate) const PORT: u16 = 2_377;
/// Pause between two attempts to start or to plant.
const RETRY_PERIOD: Duration = Duration::from_millis(300);
/// What a manager that is asked to stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

/// What hosts share: their papers, their disks, and the word to stop.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) disks: PathBuf,
    /// What runs the tasks of the workers, by their number.
    pub(crate) executors: BTreeMap<usize, Arc<SimExecutor>>,
    /// What is wrong with the managers.
    pub(crate) bug: Option<Bug>,
    /// For each node how often it has been asked to stop.
    pub(crate) stops: Vec<watch::Sender<u64>>,
}

/// What a host ends with.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error>>;

/// The address of a host's manager.
pub(crate) fn address(papers: &Papers) -> String {
    format!("{}:{PORT}", papers.host)
}

/// A node's credentials on the simulated network.
pub(crate) fn credentials(papers: &Papers) -> anyhow::Result<Arc<Credentials>> {
    let network = Arc::new(Simulated);
    Ok(Credentials::simulated(network, papers.credentials.clone())?)
}

/// A manager from its start until it is asked to stop. Anything else that ends it is an error.
pub(crate) async fn manager(stage: Arc<Stage>, number: usize) -> Ended {
    let papers = &stage.authority.nodes[number];
    let credentials = credentials(papers)?;
    let mut stop = stage.stops[number].subscribe();
    let manager = start(&stage, papers, &credentials).await?;
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
    let planted = tokio::spawn(plant(stage.clone(), manager.ledger().clone()));
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
    planted.abort();
    manager.stop(STOP_TIME_MAX).await;
    closer.close();
    Ok(())
}

/// Starts a manager from what its disk holds, and tries until the others let it in.
async fn start(
    stage: &Stage,
    papers: &Papers,
    credentials: &Arc<Credentials>,
) -> anyhow::Result<Manager> {
    let raft_dir = stage.disks.join(&papers.host);
    let founds = papers.id == stage.authority.nodes[0].id;
    loop {
        let known = raft_dir.join("member").exists();
        let seed = founds.then(|| stage.authority.seed.clone());
        let origin = match (known, seed) {
            (true, seed) => Origin::Resume(seed),
            (false, Some(seed)) => Origin::Found(seed),
            (false, None) => Origin::Join(vec![address(&stage.authority.nodes[0])]),
        };
        let joins = matches!(origin, Origin::Join(_));
        let started = Manager::start(ManagerConfig {
            node_id: papers.id,
            cluster_id: stage.authority.cluster,
            advertise_addr: address(papers),
            credentials: credentials.clone(),
            raft_dir: raft_dir.clone(),
            origin,
            root_pem: stage.authority.root_pem.clone(),
        });
        match started.await {
            Ok(manager) => return Ok(manager),
            Err(_) if joins => tokio::time::sleep(RETRY_PERIOD).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes the records of all nodes that have none, as joining would: certificates are made before
/// the simulation, whose network the first download of a root does not use.
async fn plant(stage: Arc<Stage>, ledger: Arc<Ledger>) {
    let edit = |draft: &mut Draft| -> Result<(), ControlError> {
        if draft.state().cluster().is_none() {
            return Ok(());
        }
        for papers in &stage.authority.nodes {
            if draft.state().nodes().get(papers.id).is_none() {
                crud::create(draft, papers.record(), State::nodes)?;
            }
        }
        Ok(())
    };
    let all = stage.authority.nodes.len();
    while ledger.state().nodes().len() < all {
        // Only the leader can; the others wait for it.
        drop(ledger.write(edit).await);
        tokio::time::sleep(RETRY_PERIOD).await;
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
    let papers = &stage.authority.nodes[number];
    let managers = stage.authority.nodes.iter();
    let managers = managers.filter(|p| p.role == NodeRole::Manager);
    let agent = Agent::start(agent::Config {
        node: papers.id,
        executor: stage.executors[&number].clone(),
        database: None,
        connect: Arc::new(SimulatedConnect(Dialer::member(credentials(papers)?))),
        managers: managers
            .map(|p| Peer {
                node: Some(p.id),
                addr: address(p),
            })
            .collect(),
        amend: Arc::new(|_| {}),
    })?;
    std::future::pending::<()>().await;
    drop(agent);
    Ok(())
}
