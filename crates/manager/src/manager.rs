//! A manager from its start to its end.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use consensus::{Member, Membership, RaftId, Removal};
use replica::net::{Addresses, Dial, DialError, GrpcPeers, Identity, RaftService};
use replica::{Config, Handle, Replica, Status, Stopped, Storage, Threads};
use store::State;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Channel;
use transport::{Caller, Credentials, Dialer, Leader as LeaderAt};
use types::{ClusterId, Entropy, NodeId};
use wire::{api, swarm::v1 as pb};

use crate::ca::CaApi;
use crate::cluster_api::ClusterApi;
use crate::control_api::ControlApi;
use crate::dispatch::DispatchApi;
use crate::entropy::SystemEntropy;
use crate::leader::Leader;
use crate::ledger::Ledger;
use crate::logs::LogBroker;
use crate::machine::Machine;
use crate::membership::MembershipApi;
use crate::quorum::Quorum;
use crate::raft::Raft;
use crate::seat::Seat;
use crate::seed::Seed;
use crate::settings::follow_retention;
use crate::view::{View, follow_leader, follow_standings};
use crate::watch::WatchApi;
use crate::{raft, stages};

/// Largest request a manager accepts, as in SwarmKit. Clients accept as much in an answer.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Largest message between managers, and from agents that report many tasks at once.
const BULK_BYTES_MAX: usize = 64 << 20;

/// How long a manager may take to let another one in: it waits for a leader, perhaps for another
/// change of the members, and for a quorum.
const JOIN_MAX: Duration = Duration::from_secs(20);

/// What becomes of the replicated log when a manager starts.
#[derive(Clone)]
pub enum Origin {
    /// A new cluster begins with this manager.
    Found(Seed),
    /// The log on disk goes on; the seed serves a founder that died before its first write.
    Resume(Option<Seed>),
    /// This manager joins the others, through any of these addresses.
    Join(Vec<String>),
    /// The log on disk goes on with this manager alone. Only an operator may decide this.
    ForceNewCluster,
}

/// What a manager needs to start.
pub struct ManagerConfig {
    /// This node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// Address at which others reach this manager, `HOST:PORT`.
    pub advertise_addr: String,
    /// Keys and certificates.
    pub credentials: Arc<Credentials>,
    /// Directory of the replicated log.
    pub raft_dir: PathBuf,
    /// What becomes of the log.
    pub origin: Origin,
    /// Root certificate, PEM, for joiners that come before the tables are filled.
    pub root_pem: Vec<u8>,
}

/// Why a manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its replica cannot start.
    #[error(transparent)]
    Replica(#[from] replica::StartError),
    /// The file that names the replica is damaged.
    #[error(
        "cannot start the manager: {path} does not name a raft member; remove this manager \
             and let it join again"
    )]
    MemberFile {
        /// The file.
        path: String,
    },
    /// The directory holds no log to go on with.
    #[error(
        "cannot start the manager: {path} holds no raft log; remove this manager and let it \
             join again"
    )]
    NoLog {
        /// The directory.
        path: String,
    },
    /// The other managers did not let it in.
    #[error("cannot join the managers: {0}")]
    Join(String),
    /// The advertised address cannot travel with a call.
    #[error("cannot start the manager: {0:?} is not an address; set --advertise-addr HOST:PORT")]
    Address(String),
    /// The file system refused.
    #[error("cannot start the manager: {0}")]
    Io(#[from] std::io::Error),
}

/// A running manager.
pub struct Manager {
    handle: Handle,
    ledger: Arc<Ledger>,
    quorum: Arc<dyn Quorum>,
    view: Arc<View>,
    leader: watch::Receiver<LeaderAt>,
    services: Services,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Services {
    ca: CaApi,
    control: ControlApi,
    cluster: ClusterApi,
    dispatch: DispatchApi,
    logs: LogBroker,
    membership: MembershipApi,
    raft: RaftService,
    watch: WatchApi,
}

/// The replica, its members, and where some of them say that they are.
type ReplicatedLog = (
    Handle,
    watch::Receiver<Arc<Membership>>,
    watch::Receiver<Addresses>,
);

/// The node that the gate found in front of a call.
fn node_of(call: &tonic::Extensions) -> Option<String> {
    let caller = call.get::<Caller>()?;
    Some(caller.node_id().ok()?.to_string())
}

struct MemberDial(Dialer);

impl Dial for MemberDial {
    fn dial(&self, addr: &str) -> Pin<Box<dyn Future<Output = Result<Channel, DialError>> + Send>> {
        let (dialer, addr) = (self.0.clone(), addr.to_owned());
        Box::pin(async move { dialer.connect(&addr).await.map_err(Into::into) })
    }
}

/// The identity that the disk holds, if it holds one.
fn known_member(config: &ManagerConfig) -> Result<Option<RaftId>, StartError> {
    let path = config.raft_dir.join("member");
    let damaged = || StartError::MemberFile {
        path: path.display().to_string(),
    };
    let read = storage::read_small_file(&path).map_err(replica::StartError::from)?;
    let Some(bytes) = read else { return Ok(None) };
    let id = bytes
        .try_into()
        .ok()
        .map(u64::from_be_bytes)
        .and_then(RaftId::new);
    id.map(Some).ok_or_else(damaged)
}

/// Asks the other managers to let this one in.
async fn join(config: &ManagerConfig, addrs: &[String]) -> Result<RaftId, StartError> {
    let dialer = Dialer::member(config.credentials.clone());
    let mut last = "no address of a manager is known".to_owned();
    for addr in addrs {
        match join_through(&dialer, addr, &config.advertise_addr).await {
            Ok(id) => return Ok(id),
            Err(why) => last = why,
        }
    }
    Err(StartError::Join(last))
}

async fn join_through(dialer: &Dialer, addr: &str, own: &str) -> Result<RaftId, String> {
    let channel = dialer.connect(addr).await.map_err(|e| e.to_string())?;
    let mut client = api::raft_membership_client::RaftMembershipClient::new(channel);
    let request = api::JoinRequest {
        addr: own.to_owned(),
    };
    let reply = tokio::time::timeout(JOIN_MAX, client.join(request)).await;
    let reply = reply.map_err(|_| format!("{addr}: no answer in time"))?;
    let reply = reply.map_err(|e| format!("{addr}: {}", e.message()))?;
    RaftId::new(reply.into_inner().raft_id)
        .ok_or_else(|| format!("{addr} answered without an identity"))
}

async fn identity(config: &ManagerConfig) -> Result<RaftId, StartError> {
    let no_log = || StartError::NoLog {
        path: config.raft_dir.display().to_string(),
    };
    match (&config.origin, known_member(config)?) {
        (_, Some(id)) => Ok(id),
        (Origin::Found(_) | Origin::Resume(Some(_)), None) => Ok(raft::fresh_raft_id()),
        (Origin::Join(addrs), None) => join(config, addrs).await,
        (Origin::Resume(None) | Origin::ForceNewCluster, None) => Err(no_log()),
    }
}

/// Simulated managers work in the time of their simulation.
fn threads(config: &ManagerConfig) -> Threads {
    match config.credentials.is_simulated() {
        true => Threads::Callers,
        false => Threads::Own,
    }
}

fn start_replica(
    config: &ManagerConfig,
    id: RaftId,
    machine: Machine,
    peers: Arc<GrpcPeers>,
) -> Result<Handle, StartError> {
    let mut settings = Config::new(id, SystemEntropy.next_u64());
    settings.threads = threads(config);
    let storage = Storage::open(&config.raft_dir, id)?;
    let found = matches!(config.origin, Origin::Found(_) | Origin::Resume(Some(_)));
    let founder = Member {
        raft_id: id,
        node_id: config.node_id.to_string(),
        addr: config.advertise_addr.clone(),
    };
    Ok(match &config.origin {
        _ if found && storage.is_new() => {
            Replica::bootstrap(settings, machine, storage, peers, &founder)?
        }
        Origin::ForceNewCluster => {
            let addr = &config.advertise_addr;
            Replica::force_new_cluster(settings, machine, storage, peers, addr)?
        }
        _ => Replica::start(settings, machine, storage, peers)?,
    })
}

impl Manager {
    /// Starts a manager. Its services answer once they are served; it need not have caught up.
    ///
    /// # Errors
    /// If the log cannot be opened or the others do not let it in.
    pub async fn start(config: ManagerConfig) -> Result<Self, StartError> {
        let id = identity(&config).await?;
        let raft = Arc::new(Raft::default());
        let log = Box::new(raft.clone());
        let ledger = Ledger::new(State::default(), log, wire::log::encode_transaction);
        let (machine, membership) = Machine::new(ledger.clone());
        let identity = Identity {
            cluster_id: config.cluster_id.to_string(),
            raft_id: id,
            addr: config.advertise_addr.clone(),
        };
        let dial = Arc::new(MemberDial(Dialer::member(config.credentials.clone())));
        let peers = GrpcPeers::new(identity, dial);
        let peers =
            Arc::new(peers.map_err(|_| StartError::Address(config.advertise_addr.clone()))?);
        let handle = start_replica(&config, id, machine, peers.clone())?;
        raft.install(handle.clone());
        let cluster = config.cluster_id.to_string();
        let moved = peers.moved();
        let raft_service = RaftService::new(handle.clone(), &cluster, peers, node_of);
        let log = (handle, membership, moved);
        Ok(Self::assemble(config, log, ledger, raft, raft_service))
    }

    fn assemble(
        config: ManagerConfig,
        (handle, membership, moved): ReplicatedLog,
        ledger: Arc<Ledger>,
        quorum: Arc<dyn Quorum>,
        raft: RaftService,
    ) -> Self {
        let (own, threads) = (config.node_id, threads(&config));
        let services = Services {
            ca: CaApi::new(ledger.clone(), config.root_pem.into()),
            control: ControlApi::new(ledger.clone(), quorum.clone()),
            cluster: ClusterApi::new(ledger.clone(), quorum.clone(), own),
            dispatch: DispatchApi::new(),
            logs: LogBroker::new(ledger.clone()),
            membership: MembershipApi::new(ledger.clone(), quorum.clone()),
            raft,
            watch: WatchApi::new(ledger.clone()),
        };
        let seed = match config.origin {
            Origin::Found(seed) | Origin::Resume(Some(seed)) => Some(seed),
            _ => None,
        };
        let (ready, is_ready) = watch::channel(false);
        let leader = Leader {
            ledger: ledger.clone(),
            quorum: quorum.clone(),
            handle: handle.clone(),
            membership,
            dispatch: services.dispatch.clone(),
            logs: services.logs.clone(),
            stages: Arc::new(stages::make),
            threads,
            own,
            advertise_addr: config.advertise_addr.clone(),
            moved,
            seed,
            ready,
        };
        let (found, leader_at) = watch::channel(LeaderAt::Unknown);
        let stop = CancellationToken::new();
        let follow = follow_leader(handle.status(), is_ready, found, stop.clone());
        let (changed, standings) = watch::channel(0);
        let standing = follow_standings(ledger.clone(), changed, stop.clone());
        let retain = follow_retention(ledger.clone(), handle.clone(), stop.clone());
        let tasks = vec![
            tokio::spawn(leader.run(stop.clone())),
            tokio::spawn(follow),
            tokio::spawn(standing),
            tokio::spawn(retain),
        ];
        let view = Arc::new(View::new(
            config.cluster_id,
            ledger.clone(),
            leader_at.clone(),
            standings,
        ));
        Self {
            handle,
            ledger,
            quorum,
            view,
            leader: leader_at,
            services,
            stop,
            tasks,
        }
    }

    /// All services, to be served behind a gate over [`Manager::view`].
    pub fn routes(&self) -> Routes {
        let s = self.services.clone();
        let mut routes = RoutesBuilder::default();
        macro_rules! add {
            ($module:ident :: $server:ident, $service:expr, $limit:expr) => {
                routes.add_service(
                    $module::$server::new($service)
                        .max_decoding_message_size($limit)
                        .max_encoding_message_size(BULK_BYTES_MAX),
                )
            };
        }
        use api::ca_server as ca;
        use api::control_server as control;
        use api::dispatcher_server as dispatcher;
        use api::health_server as health;
        use api::log_broker_server as log_broker;
        use api::logs_server as logs;
        use api::node_ca_server as node_ca;
        use api::raft_membership_server as raft_membership;
        use api::watch_server as watch;
        use pb::cluster_server as cluster;
        use pb::raft_transport_server as raft_transport;
        add!(ca::CaServer, s.ca.clone(), MESSAGE_BYTES_MAX);
        add!(node_ca::NodeCaServer, s.ca, MESSAGE_BYTES_MAX);
        add!(control::ControlServer, s.control, MESSAGE_BYTES_MAX);
        add!(cluster::ClusterServer, s.cluster, MESSAGE_BYTES_MAX);
        add!(dispatcher::DispatcherServer, s.dispatch, BULK_BYTES_MAX);
        add!(
            log_broker::LogBrokerServer,
            s.logs.clone(),
            MESSAGE_BYTES_MAX
        );
        add!(logs::LogsServer, s.logs, MESSAGE_BYTES_MAX);
        add!(
            raft_membership::RaftMembershipServer,
            s.membership.clone(),
            MESSAGE_BYTES_MAX
        );
        add!(health::HealthServer, s.membership, MESSAGE_BYTES_MAX);
        add!(watch::WatchServer, s.watch, MESSAGE_BYTES_MAX);
        add!(raft_transport::RaftTransportServer, s.raft, BULK_BYTES_MAX);
        routes.routes()
    }

    /// What the gate in front of the services asks.
    pub fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    /// The tables.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The managers.
    pub fn quorum(&self) -> &Arc<dyn Quorum> {
        &self.quorum
    }

    /// The leader as far as this manager knows, and every change of it.
    pub fn leader(&self) -> watch::Receiver<LeaderAt> {
        self.leader.clone()
    }

    /// Agents are told where managers are by the leader. A manager that knows of no leader may have
    /// missed that one moved, and dials it there from now on.
    pub fn hear_of<'a>(&self, managers: impl Iterator<Item = (&'a String, &'a String)>) {
        if *self.leader.borrow() == LeaderAt::Unknown {
            managers.for_each(|(node, addr)| self.services.raft.heard(node, addr));
        }
    }

    /// What the replica is doing, and every change of it.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.handle.status()
    }

    /// Its place among the voters.
    pub fn seat(&self) -> Seat {
        Seat::new(self.handle.status())
    }

    /// Waits until this manager cannot go on: it was removed from the log, or its log failed.
    pub async fn ended(&self) -> Ended {
        let mut status = self.handle.status();
        let over = |s: &Arc<Status>| s.stopped.is_some() || matches!(s.removal, Removal::Done);
        match status.wait_for(over).await.map(|s| s.clone()) {
            Ok(s) => match &s.stopped {
                Some(Stopped::Failed(why)) => Ended::Failed(why.clone()),
                Some(Stopped::Asked) => Ended::Stopped,
                None => Ended::Removed,
            },
            Err(_) => Ended::Stopped,
        }
    }

    /// Gives leadership away if this manager leads, then stops everything within `deadline`.
    pub async fn stop(self, deadline: Duration) {
        let alone = self.quorum.members().iter().filter(|m| m.voter).count() < 2;
        if *self.leader.borrow() == LeaderAt::Here && !alone {
            let given = tokio::time::timeout(deadline / 4, self.quorum.transfer(None)).await;
            tracing::debug!(?given, "leadership given away before the end");
        }
        self.stop.cancel();
        for task in self.tasks {
            // A task that does not end in time ends with the process.
            let _late = tokio::time::timeout(deadline / 4, task).await;
        }
        if let Err(error) = self.handle.shutdown(deadline / 2).await {
            tracing::warn!(%error, "the log was not closed in time");
        }
    }
}

/// Why a manager ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is no longer a member of the log.
    Removed,
    /// Its log failed; the text says how.
    Failed(String),
    /// It was stopped.
    Stopped,
}
