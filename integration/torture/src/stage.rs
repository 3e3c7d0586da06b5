//! The cluster that is tormented: making it, asking it, doing faults to it and undoing them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use integration::{Binaries, Cluster, Faketime, Rig, Role};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use wire::api;
use wire::swarm::v1::StatusRequest;
use wire::swarm::v1::cluster_client::ClusterClient;

use crate::calls::Caller;
use crate::dice::Dice;
use crate::disk::SmallDisk;
use crate::faults::{Fault, Reach, Who};
use crate::scene::{Doors, Opened};
use crate::{Ground, record::Record};

/// A node that is asked something during a fault answers by then or counts as silent.
const ASK_TIME_MAX: Duration = Duration::from_secs(2);
/// Deaths of a restart storm.
const STORM_DEATHS: usize = 3;
/// Time from one of them to the next: enough to open the log, not to be ready.
const STORM_PERIOD: Duration = Duration::from_millis(250);
/// How often a slow process is stopped: several elections in all.
const SLOW_TURNS: usize = 40;
/// For how long at a time: too short for others to take it for dead.
const SLOW_STOPPED: Duration = Duration::from_millis(90);
/// What it gets in between.
const SLOW_AT_WORK: Duration = Duration::from_millis(10);

/// A cluster and what holds it.
pub(crate) struct Stage {
    /// Before the cluster, whose directory cannot be removed while a disk is mounted in it.
    disk: Option<SmallDisk>,
    pub(crate) cluster: Cluster,
    pub(crate) reach: Reach,
    runtime: Runtime,
    /// Nodes that are expected to run.
    running: Vec<bool>,
}

/// Control sockets of managers.
pub(crate) struct Sockets {
    paths: Vec<PathBuf>,
    mark: String,
}

impl Doors for Sockets {
    fn count(&self) -> usize {
        self.paths.len()
    }

    fn open(&self, via: usize) -> Opened<'_> {
        Box::pin(Caller::connect(&self.paths[via], &self.mark))
    }
}

/// What must be done to end a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    Start(usize),
    PowerOn(usize),
    StartAll,
    GoOn(usize),
    FreeDisk,
    SetClock(usize),
    Demote(usize),
    HealLinks,
}

// === impl Stage: making ===

impl Stage {
    /// A formed cluster whose size follows from the dice.
    pub(crate) fn form(
        ground: Ground,
        binaries: Binaries,
        dice: &mut Dice,
    ) -> anyhow::Result<Self> {
        let managers = [3, 3, 5][dice.index(3)];
        let workers = 2;
        let on_hosts = ground == Ground::Hosts;
        // Before the hosts, which see what is mounted when they are made.
        let disk = match SmallDisk::is_possible() {
            true => Some(SmallDisk::mount()?),
            false => None,
        };
        let cluster = if on_hosts {
            let rig = Rig::up_bare(managers + workers)?;
            Cluster::on_rig_with(rig, binaries, "process")?
        } else {
            Cluster::loopback_with(binaries, "process")?
        };
        let clocks = Faketime::find();
        let small_disk = disk.is_some().then(|| dice.index(managers));
        let mut stage = Self {
            cluster,
            reach: Reach {
                managers,
                workers,
                has_links: on_hosts,
                has_clocks: clocks.is_some(),
                small_disk,
            },
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?,
            disk,
            running: vec![true; managers + workers],
        };
        stage.start_all(managers, workers, clocks.as_ref())?;
        Ok(stage)
    }

    fn start_all(
        &mut self,
        managers: usize,
        workers: usize,
        clocks: Option<&Faketime>,
    ) -> anyhow::Result<()> {
        let mut token = (String::new(), String::new());
        for number in 0..managers + workers {
            let node = self.cluster.add(&[]);
            if let Some(disk) = &self.disk
                && self.reach.small_disk == Some(node)
            {
                self.cluster.node_mut(node).state_dir = disk.dir().join("state");
            }
            if let Some(clocks) = clocks {
                clocks.set(&mut self.cluster, node, "+0")?;
            }
            if number == 0 {
                self.cluster.start(node, &["init"])?;
                self.cluster.ready(node)?;
                token.0 = self.cluster.token(0, Role::Manager)?;
                token.1 = self.cluster.token(0, Role::Worker)?;
                continue;
            }
            let token = if number < managers {
                &token.0
            } else {
                &token.1
            };
            let seed = self.cluster.node(0).endpoint();
            self.cluster
                .start(node, &["join", "--token", token, &seed])?;
            self.cluster.ready(node)?;
        }
        self.cluster.wait_voters(0, managers)
    }

    /// Marks the processes of this cluster's tasks.
    pub(crate) fn mark(&self) -> String {
        self.cluster.dir().display().to_string()
    }

    /// The managers' control sockets.
    pub(crate) fn sockets(&self) -> Sockets {
        let managers = 0..self.reach.managers;
        Sockets {
            paths: managers
                .map(|m| self.cluster.node(m).socket.clone())
                .collect(),
            mark: self.mark(),
        }
    }

    /// The runtime of the clients.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

// === impl Stage: asking ===

impl Stage {
    /// The leader, as the first manager says that knows one.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.reach.managers).find_map(|manager| self.leader_by(manager))
    }

    /// The leader, as a manager says.
    pub(crate) fn leader_by(&self, manager: usize) -> Option<usize> {
        let asked = async {
            let channel = self.cluster.node(manager).local_channel().await?;
            let mut client = ClusterClient::new(channel);
            let status = client.status(StatusRequest {}).await?.into_inner();
            let leads = |m: &&wire::swarm::v1::Member| m.node_id == status.leader_node_id;
            let leader = status.members.iter().find(leads).context("nobody leads")?;
            self.cluster.named(&leader.hostname)
        };
        let answer = self
            .runtime
            .block_on(async { timeout(ASK_TIME_MAX, asked).await });
        answer.ok()?.ok()
    }

    /// Nodes whose process ended although nobody ended it, with the end of their logs.
    pub(crate) fn unexpected_ends(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for node in 0..self.running.len() {
            if !self.running[node] {
                continue;
            }
            if let Some(status) = self.cluster.has_ended(node) {
                let shown = self.cluster.node(node);
                let log = shown.log_tail(20);
                found.push(format!("{} ended by itself ({status}):\n{log}", shown.name));
                self.running[node] = false;
            }
        }
        found
    }
}

// === impl Stage: faults ===

impl Stage {
    /// Whom a fault hits now.
    fn find(&self, who: Who) -> usize {
        match who {
            Who::Node(node) => node,
            Who::Leader => self.leader().unwrap_or(0),
        }
    }

    /// Does a fault and says what ends it; nothing if it could not be done now.
    pub(crate) fn apply(&mut self, fault: Fault, record: &Record) -> anyhow::Result<Vec<Remedy>> {
        record.event(fault.to_string());
        let remedies = match fault {
            Fault::Kill(who) => self.end(who, Remedy::Start, Cluster::kill)?,
            Fault::Stop(who) => self.end(who, Remedy::Start, |cluster, node| {
                cluster.stop(node).map(drop)
            })?,
            Fault::CutPower(who) => self.end(who, Remedy::PowerOn, Cluster::cut_power)?,
            Fault::RestartStorm(who) => self.storm(who)?,
            Fault::KillAll => {
                for node in 0..self.running.len() {
                    self.end(Who::Node(node), Remedy::Start, Cluster::kill)?;
                }
                vec![Remedy::StartAll]
            }
            Fault::Pause(who) => {
                let node = self.find(who);
                if !self.running[node] {
                    return Ok(Vec::new());
                }
                self.cluster.freeze(node, true)?;
                vec![Remedy::GoOn(node)]
            }
            Fault::FillDisk(_) => {
                self.disk
                    .as_ref()
                    .context("there is no small disk")?
                    .fill()?;
                vec![Remedy::FreeDisk]
            }
            Fault::TurnClock(who, secs) => {
                let node = self.find(who);
                self.cluster.turn_clock(node, &format!("{secs:+}"))?;
                vec![Remedy::SetClock(node)]
            }
            Fault::Slow(who) => self.slow(who)?,
            Fault::Promote(node) => {
                self.set_role(node, api::NodeRole::Manager, record);
                vec![Remedy::Demote(node)]
            }
            Fault::Isolate(who) => {
                self.cluster.rig()?.isolate(self.find(who) + 1)?;
                vec![Remedy::HealLinks]
            }
            Fault::Cut(a, b) => {
                self.cluster.rig()?.cut(a + 1, b + 1)?;
                vec![Remedy::HealLinks]
            }
            Fault::CutOneWay(a, b) => {
                self.cluster.rig()?.cut_one_way(a + 1, b + 1)?;
                vec![Remedy::HealLinks]
            }
            Fault::Lose(who, percent) => {
                self.lose(self.find(who), percent)?;
                vec![Remedy::HealLinks]
            }
            Fault::Delay(who, ms) => {
                let rig = self.cluster.rig()?;
                rig.delay(self.find(who) + 1, ms, ms / 2)?;
                vec![Remedy::HealLinks]
            }
        };
        Ok(remedies)
    }

    /// Ends a process if it runs.
    fn end(
        &mut self,
        who: Who,
        remedy: fn(usize) -> Remedy,
        how: impl Fn(&mut Cluster, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Remedy>> {
        let node = self.find(who);
        if !self.running[node] {
            return Ok(Vec::new());
        }
        // What stands still cannot be asked to stop.
        self.cluster.freeze(node, false)?;
        self.running[node] = false;
        how(&mut self.cluster, node)?;
        Ok(vec![remedy(node)])
    }

    fn storm(&mut self, who: Who) -> anyhow::Result<Vec<Remedy>> {
        let node = self.find(who);
        for death in 0..STORM_DEATHS {
            if self
                .end(Who::Node(node), Remedy::Start, Cluster::kill)?
                .is_empty()
            {
                return Ok(Vec::new());
            }
            if death + 1 < STORM_DEATHS {
                self.start(node)?;
                crate::let_pass(STORM_PERIOD);
            }
        }
        Ok(vec![Remedy::Start(node)])
    }

    /// Lets a process work a tenth of the time for a while.
    fn slow(&mut self, who: Who) -> anyhow::Result<Vec<Remedy>> {
        let node = self.find(who);
        if !self.running[node] {
            return Ok(Vec::new());
        }
        for _ in 0..SLOW_TURNS {
            self.cluster.freeze(node, true)?;
            crate::let_pass(SLOW_STOPPED);
            self.cluster.freeze(node, false)?;
            crate::let_pass(SLOW_AT_WORK);
        }
        Ok(vec![Remedy::GoOn(node)])
    }

    fn lose(&self, node: usize, percent: u64) -> anyhow::Result<()> {
        let rig = self.cluster.rig()?;
        for other in (0..self.running.len()).filter(|other| *other != node) {
            rig.lose(node + 1, other + 1, percent)?;
            rig.lose(other + 1, node + 1, percent)?;
        }
        Ok(())
    }

    /// Starts a process without waiting until it serves: it may need others for that.
    fn start(&mut self, node: usize) -> anyhow::Result<()> {
        if self.running[node] {
            return Ok(());
        }
        self.cluster.start(node, &["run"])?;
        self.running[node] = true;
        Ok(())
    }

    /// Undoes a fault.
    pub(crate) fn undo(&mut self, remedy: Remedy, record: &Record) -> anyhow::Result<()> {
        record.event(format!("{remedy:?}"));
        match remedy {
            Remedy::Start(node) => self.start(node),
            Remedy::PowerOn(node) => {
                if self.reach.has_links {
                    self.cluster.rig()?.boot(node + 1)?;
                }
                self.start(node)
            }
            Remedy::StartAll => (0..self.running.len()).try_for_each(|node| self.start(node)),
            Remedy::GoOn(node) if self.running[node] => self.cluster.freeze(node, false),
            Remedy::GoOn(_) => Ok(()),
            Remedy::FreeDisk => self.disk.as_ref().context("there is no small disk")?.free(),
            Remedy::SetClock(node) => self.cluster.turn_clock(node, "+0"),
            Remedy::Demote(node) => {
                self.set_role(node, api::NodeRole::Worker, record);
                Ok(())
            }
            Remedy::HealLinks => self.cluster.rig()?.heal(),
        }
    }

    /// Asks managers in turn to give a node a role; a cluster in trouble may refuse.
    fn set_role(&self, node: usize, role: api::NodeRole, record: &Record) {
        let asked = |via| {
            let asked = self.ask_role(via, node, role);
            self.runtime
                .block_on(async { timeout(ASK_TIME_MAX, asked).await })
        };
        let mut last = String::new();
        for via in 0..self.reach.managers {
            match asked(via) {
                Ok(Ok(())) => return,
                Ok(Err(why)) => last = why.to_string(),
                Err(_) => last = "no answer in time".to_owned(),
            }
        }
        record.event(format!("the role of n{} was not set: {last}", node + 1));
    }

    async fn ask_role(&self, via: usize, node: usize, role: api::NodeRole) -> anyhow::Result<()> {
        let socket = &self.cluster.node(via).socket;
        let caller = Caller::connect(socket, "").await;
        let mut caller = caller.context("nobody answers")?;
        let request = api::ListNodesRequest::default();
        let nodes = caller
            .control()
            .list_nodes(request)
            .await?
            .into_inner()
            .nodes;
        let name = &self.cluster.node(node).name;
        let hostname = |n: &api::Node| n.description.as_ref().map(|d| d.hostname.clone());
        let Some(found) = nodes
            .into_iter()
            .find(|n| hostname(n).as_ref() == Some(name))
        else {
            bail!("{name} is not listed");
        };
        let mut spec = found.spec.context("read the node's spec")?;
        spec.desired_role = role.into();
        let request = api::UpdateNodeRequest {
            node_id: found.id,
            node_version: found.meta.and_then(|m| m.version),
            spec: Some(spec),
        };
        caller.control().update_node(request).await?;
        Ok(())
    }

    /// Brings everything back that is not there.
    pub(crate) fn bring_back(&mut self, record: &Record) -> anyhow::Result<()> {
        for node in 0..self.running.len() {
            if !self.running[node] {
                self.undo(Remedy::PowerOn(node), record)?;
            }
        }
        Ok(())
    }
}
