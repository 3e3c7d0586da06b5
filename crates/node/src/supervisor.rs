//! The supervisor: one task that makes the node follow what the cluster says of it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, AgentState, SessionFacts};
use manager::seat::Seat;
use manager::{Ended, Manager, ManagerConfig, Origin, clock};
use pki::files::NodeCredentials;
use storage::StateDir;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use transport::{Credentials, Dialer};
use types::node::IssuanceState;
use types::{Entropy, NodeRole};

use crate::config::{Addresses, Memory, NodeConfig};
use crate::error::NodeError;
use crate::serve::{self, Serving};
use crate::{enroll, files, found, skew};

/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Budget of a manager's end: the process has ten seconds in all.
const MANAGER_STOP_MAX: Duration = Duration::from_secs(4);

/// How long a manager that goes on alone may take to lead.
const LEAD_MAX: Duration = Duration::from_secs(10);

/// How long the tasks of a removed node may take to end: most have ended after their grace period
/// of seconds, and an executor that does not answer is not waited for.
const VACATE_MAX: Duration = Duration::from_secs(120);

/// A manager with its servers.
struct Managing {
    manager: Manager,
    port: Serving,
}

/// Everything the supervisor owns.
pub struct Supervisor {
    pub(crate) dir: StateDir,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) addresses: Addresses,
    pub(crate) memory: Memory,
    managing: Option<Managing>,
    control: Option<Serving>,
    renew_at: Instant,
    failures: u32,
    manager_out: watch::Sender<Option<Arc<manager::ledger::Ledger>>>,
    clock: skew::Watch,
}

/// What woke the supervisor.
enum Woken {
    Facts,
    RenewalDue,
    AgentEnded,
    Removed,
    ManagerEnded(Ended),
    Retry,
    ClockDue,
    Stop,
}

impl Supervisor {
    /// A supervisor without a manager yet.
    pub fn new(
        dir: StateDir,
        config: Arc<NodeConfig>,
        credentials: Arc<Credentials>,
        addresses: Addresses,
        memory: Memory,
    ) -> Self {
        let manager_out = watch::Sender::new(None);
        let mut new = Self {
            dir,
            config,
            credentials,
            addresses,
            memory,
            managing: None,
            control: None,
            renew_at: Instant::now(),
            failures: 0,
            manager_out,
            clock: skew::Watch::start(),
        };
        new.plan_renewal();
        new
    }

    /// The tables of this node's manager, while it has one.
    pub fn tables(&self) -> watch::Receiver<Option<Arc<manager::ledger::Ledger>>> {
        self.manager_out.subscribe()
    }

    /// Runs until `stop`, or until the node cannot go on.
    ///
    /// # Errors
    /// Why the node cannot go on.
    pub async fn run(mut self, agent: Agent, stop: CancellationToken) -> Result<(), NodeError> {
        let (mut facts, mut state) = (agent.facts(), agent.state());
        let result = loop {
            match self.next(&mut facts, &mut state, &stop).await {
                Woken::Stop => break Ok(()),
                Woken::Removed => break Err(self.vacate(&agent, &stop).await),
                Woken::AgentEnded => {
                    break Err(NodeError::Agent("it ended by itself".to_owned()));
                }
                Woken::ManagerEnded(Ended::Failed(why)) => {
                    break Err(NodeError::ManagerFailed(why));
                }
                Woken::ManagerEnded(Ended::Stopped) => self.stop_manager().await,
                Woken::ManagerEnded(Ended::Removed) => {
                    self.stop_manager().await;
                    if let Err(error) = self.dir.retire_raft() {
                        break Err(error.into());
                    }
                }
                Woken::ClockDue => {
                    self.look_at_clock().await;
                    continue;
                }
                Woken::RenewalDue => self.renew_at = Instant::now(),
                Woken::Facts | Woken::Retry => {}
            }
            let newest = facts.borrow().clone();
            // Managers that do not answer must not hold up the end of the process.
            let followed = tokio::select! {
                followed = self.follow(newest.as_ref(), &agent) => followed,
                () = stop.cancelled() => break Ok(()),
            };
            if let Err(error) = followed {
                tracing::warn!(%error, "the node does not match what the cluster says yet");
            }
        };
        agent.stop().await;
        self.stop_manager().await;
        if let Some(control) = self.control.take() {
            control.stop().await;
        }
        result
    }

    /// The cluster has no such node any more and runs its tasks elsewhere, so they end here.
    async fn vacate(&self, agent: &Agent, stop: &CancellationToken) -> NodeError {
        tracing::warn!("this node was removed from its cluster; its tasks are stopped");
        let tasks_left = tokio::select! {
            left = agent.vacate(VACATE_MAX) => left,
            () = stop.cancelled() => agent.vacate(Duration::ZERO).await,
        };
        NodeError::Removed { tasks_left }
    }

    /// Says so when the machine's clock was turned, and when that made it wrong. Nothing waits by
    /// it, but certificates that this manager signs are dated by it.
    async fn look_at_clock(&mut self) {
        let Some((expected, found)) = self.clock.look() else {
            return;
        };
        let (expected, found) = (skew::shown(expected), skew::shown(found));
        tracing::warn!("the clock of this machine was turned from {expected} to {found}");
        self.plan_renewal();
        if self.managing.is_some()
            && let Err(error) = skew::check_manager(self.other_managers()).await
        {
            tracing::error!(%error, "certificates that this manager signs may be refused");
        }
    }

    async fn next(
        &self,
        facts: &mut watch::Receiver<Option<SessionFacts>>,
        state: &mut watch::Receiver<AgentState>,
        stop: &CancellationToken,
    ) -> Woken {
        let ended = async {
            match &self.managing {
                Some(managing) => managing.manager.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => Woken::Stop,
            ended = ended => Woken::ManagerEnded(ended),
            () = removed(state) => Woken::Removed,
            changed = facts.changed() => match changed {
                Ok(()) => Woken::Facts,
                Err(_) => Woken::AgentEnded,
            },
            () = tokio::time::sleep_until(self.renew_at) => Woken::RenewalDue,
            () = tokio::time::sleep(skew::LOOK_PERIOD) => Woken::ClockDue,
            () = tokio::time::sleep(RETRY), if self.wants_manager(facts.borrow().as_ref())
                != self.managing.is_some() => Woken::Retry,
        }
    }

    fn role(&self) -> NodeRole {
        self.credentials.identity().role
    }

    /// Whether a manager should run: the certificate allows it and nobody asked for its end.
    fn wants_manager(&self, facts: Option<&SessionFacts>) -> bool {
        let demoted = facts.is_some_and(|f| f.node.spec.desired_role == NodeRole::Worker);
        self.role() == NodeRole::Manager && !demoted
    }

    /// Makes role, trust and memory follow the facts.
    async fn follow(
        &mut self,
        facts: Option<&SessionFacts>,
        agent: &Agent,
    ) -> Result<(), NodeError> {
        if let Some(facts) = facts {
            // A session means that the cluster's tables hold this node, and with it the root's key.
            found::finish(&self.dir)?;
            self.remember(facts)?;
            if let Some(managing) = &self.managing {
                managing.manager.hear_of(self.memory.managers.iter());
            }
            self.trust(facts)?;
        }
        if self.renewal_is_due(facts) {
            self.renew(agent).await;
        }
        match (self.role(), self.managing.is_some()) {
            (NodeRole::Manager, false) if self.wants_manager(facts) => {
                self.start_manager(None, None).await
            }
            (NodeRole::Worker, true) => {
                self.stop_manager().await;
                self.dir.retire_raft()?;
                files::remove_retired_logs(&self.dir)?;
                self.serve_no_control().await
            }
            (_, false) if self.control.is_none() => self.serve_no_control().await,
            _ => Ok(()),
        }
    }

    /// Whether a certificate is to be asked for now: it is time, or the cluster says something else
    /// than the one at hand. After a failure only the time counts.
    fn renewal_is_due(&self, facts: Option<&SessionFacts>) -> bool {
        let differs = facts.is_some_and(|f| {
            f.node.certificate.state == IssuanceState::Rotate || f.node.role != self.role()
        });
        Instant::now() >= self.renew_at || (differs && self.failures == 0)
    }

    fn remember(&mut self, facts: &SessionFacts) -> Result<(), NodeError> {
        let named = facts
            .managers
            .iter()
            .filter_map(|(peer, _)| Some((peer.node?, peer)));
        let managers: BTreeMap<_, _> = named
            .map(|(node, peer)| (node.to_string(), peer.addr.clone()))
            .collect();
        if managers != self.memory.managers && !managers.is_empty() {
            self.memory.managers = managers;
            self.memory.store(&self.dir)?;
        }
        Ok(())
    }

    fn trust(&mut self, facts: &SessionFacts) -> Result<(), NodeError> {
        let current = self.credentials.current();
        if facts.root_ca.is_empty() || current.node().roots.pem() == facts.root_ca {
            return Ok(());
        }
        self.credentials.replace_roots(&facts.root_ca)?;
        files::store(&self.dir, self.credentials.current().node())
    }

    fn other_managers(&self) -> Vec<String> {
        self.memory.others(self.credentials.identity().node_id)
    }

    /// Other managers first: this node's own may be what is wrong.
    fn manager_addrs(&self) -> Vec<String> {
        let mut addrs = self.other_managers();
        addrs.push(self.addresses.advertise.clone());
        addrs
    }

    async fn renew(&mut self, agent: &Agent) {
        match self.try_renew().await {
            Ok(()) => {
                self.failures = 0;
                self.plan_renewal();
                tracing::info!(role = self.role().name(), "certificate renewed");
                agent.reconnect();
            }
            Err(error) => {
                self.failures += 1;
                let random = manager::entropy::SystemEntropy.next_u64();
                let pause = pki::retry_delay(self.failures, random);
                tracing::warn!(%error, ?pause, "the certificate could not be renewed");
                self.renew_at = Instant::now() + pause;
            }
        }
    }

    async fn try_renew(&self) -> Result<(), NodeError> {
        let dialer = Dialer::member(self.credentials.clone());
        let roots = self.credentials.current().node().roots.clone();
        let mut last = None;
        for addr in self.manager_addrs() {
            let renewed = match dialer.connect(&addr).await {
                Ok(channel) => enroll::renew(&addr, channel, &roots).await,
                Err(source) => Err(NodeError::Dial { addr, source }),
            };
            match renewed {
                Ok(node) => {
                    files::store(&self.dir, &node)?;
                    if node.identity.role == NodeRole::Worker {
                        files::remove_retired_logs(&self.dir)?;
                    }
                    return Ok(self.credentials.replace(node)?);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| NodeError::Identity("no manager is known".into())))
    }

    fn plan_renewal(&mut self) {
        let identity = self.credentials.identity();
        let random = manager::entropy::SystemEntropy.next_u64();
        let at = pki::renew_at(identity.not_before, identity.not_after, random);
        self.renew_at = Instant::now() + at.since(clock::now());
    }

    /// Starts the manager and its servers. The origin of the log follows from the disk where the
    /// caller does not say.
    ///
    /// The port is taken first: without it nothing is begun, and whoever calls meanwhile waits for
    /// the manager instead of being refused.
    pub async fn start_manager(
        &mut self,
        origin: Option<Origin>,
        port: Option<TcpListener>,
    ) -> Result<(), NodeError> {
        let port = match port {
            Some(port) => port,
            None => self.addresses.bind()?,
        };
        let identity = self.credentials.identity();
        let raft_dir = self.dir.root().join("raft");
        let origin = match origin {
            Some(origin) => origin,
            None => self.origin()?,
        };
        let manager = Manager::start(ManagerConfig {
            node_id: identity.node_id,
            cluster_id: identity.cluster_id,
            advertise_addr: self.addresses.advertise.clone(),
            credentials: self.credentials.clone(),
            raft_dir,
            origin,
            root_pem: self.credentials.current().node().roots.pem().to_vec(),
        })
        .await?;
        let port = match serve::manager(&manager, self.credentials.clone(), port) {
            Ok(port) => port,
            Err(error) => {
                manager.stop(MANAGER_STOP_MAX).await;
                return Err(error);
            }
        };
        if let Some(control) = self.control.take() {
            control.stop().await;
        }
        let path = &self.config.control_socket;
        let control = serve::control(&manager, self.credentials.clone(), path).await;
        self.manager_out
            .send_replace(Some(manager.ledger().clone()));
        self.managing = Some(Managing { manager, port });
        match control {
            Ok(control) => self.control = Some(control),
            Err(error) => {
                self.stop_manager().await;
                return Err(error);
            }
        }
        tracing::info!(addr = %self.addresses.advertise, "this node is a manager");
        Ok(())
    }

    /// What the disk says of the log: whether it goes on, and whether the cluster was founded to
    /// the end. A founder that never had a session founds again; nobody else was there.
    fn origin(&self) -> Result<Origin, NodeError> {
        let current = self.credentials.current();
        let seed = found::unfinished(&self.dir, current.node(), self.config.availability)?;
        let known = self.dir.root().join("raft").join("member").exists();
        Ok(match seed {
            None if !known => match self.other_managers() {
                none if none.is_empty() => {
                    return Err(NodeError::LostLog {
                        dir: self.dir.root().join("raft").display().to_string(),
                    });
                }
                others => Origin::Join(others),
            },
            seed => Origin::Resume(seed),
        })
    }

    /// Starts what the certificate at hand asks for, before there is a session. A manager that has
    /// to join again and is not let in is tried again when there is one, if it is still wanted.
    ///
    /// # Errors
    /// Why the manager cannot start.
    pub async fn begin(
        &mut self,
        origin: Option<Origin>,
        port: Option<TcpListener>,
    ) -> Result<(), NodeError> {
        if self.role() == NodeRole::Manager {
            let resumes = origin.is_none();
            match self.start_manager(origin, port).await {
                // Demoted while it was down, or nobody else is up: the agent finds out which.
                Err(NodeError::Manager(manager::StartError::Join(why))) if resumes => {
                    tracing::warn!(
                        why,
                        "the managers did not let this node's in; it asks again"
                    );
                    return Ok(());
                }
                started => started?,
            }
            if let Err(error) = self.certify_alone().await {
                self.stop_manager().await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// A certificate that has expired can be renewed by nobody but a manager that holds the root's
    /// key itself: the one that goes on alone after all were down for too long.
    async fn certify_alone(&mut self) -> Result<(), NodeError> {
        let identity = self.credentials.identity();
        let Some(managing) = &self.managing else {
            return Ok(());
        };
        if clock::now() <= identity.not_after {
            return Ok(());
        }
        let mut leader = managing.manager.leader();
        let leads = leader.wait_for(|l| *l == transport::Leader::Here);
        let led = tokio::time::timeout(LEAD_MAX, leads).await;
        drop(led.map_err(|_| NodeError::NotReady {
            secs: LEAD_MAX.as_secs(),
            waiting_for: "the manager does not lead, and its certificate has expired".to_owned(),
        })?);
        let tables = managing.manager.ledger().state();
        let cluster = tables
            .cluster()
            .ok_or_else(|| NodeError::Identity("the replicated log holds no cluster".to_owned()))?;
        let root = manager::ca::root_of(cluster).map_err(|e| NodeError::Identity(e.to_string()))?;
        let (chain, key) = found::certificate(&root, identity.cluster_id, identity.node_id)?;
        let node = NodeCredentials::check(root.certificate_pem(), &chain, key, clock::now())
            .map_err(NodeError::Credentials)?;
        files::store(&self.dir, &node)?;
        self.credentials.replace(node)?;
        self.plan_renewal();
        tracing::warn!("the certificate had expired; this manager has signed its own anew");
        Ok(())
    }

    pub(crate) async fn stop_manager(&mut self) {
        if let Some(Managing { manager, port }) = self.managing.take() {
            self.manager_out.send_replace(None);
            manager.stop(MANAGER_STOP_MAX).await;
            port.stop().await;
            if let Some(control) = self.control.take() {
                control.stop().await;
            }
            tracing::info!("the manager of this node has stopped");
        }
    }

    async fn serve_no_control(&mut self) -> Result<(), NodeError> {
        if let Some(control) = self.control.take() {
            control.stop().await;
        }
        let managers: Vec<_> = self.memory.managers.values().cloned().collect();
        self.control = Some(serve::no_control(&self.config.control_socket, &managers).await?);
        Ok(())
    }

    /// The seat of this node's manager, if it has one.
    pub fn seat(&self) -> Option<Seat> {
        let managing = self.managing.as_ref();
        managing.map(|managing| managing.manager.seat())
    }

    /// Whether this node's manager knows a leader; true without a manager.
    pub fn leader_known(&self) -> watch::Receiver<transport::Leader> {
        match &self.managing {
            Some(managing) => managing.manager.leader(),
            None => watch::channel(transport::Leader::Here).1,
        }
    }
}

/// Waits until a manager says that this node was removed.
async fn removed(state: &mut watch::Receiver<AgentState>) {
    let says = |state: &AgentState| match state {
        AgentState::Connecting { last: Some(why) } => why.says_removed(),
        _ => false,
    };
    if state.wait_for(says).await.is_err() {
        // The agent ended, which is noticed elsewhere.
        std::future::pending().await
    }
}
