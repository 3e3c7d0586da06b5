//! Replicas in one process over in-memory peers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use consensus::{Membership, Message, RaftId, Role};
use replica::{Config, Handle, PeerReports, Peers, Replica, Status, Storage};
use storage::{DiskBudget, DiskFaults, EngineLogConfig, SnapshotFile};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::machine::{PATIENCE, Recorder, Seen, TICK, member, raft_id, wait};

/// Carries messages between the replicas of one test.
#[derive(Clone, Default)]
pub struct Net {
    routes: Arc<Mutex<BTreeMap<RaftId, mpsc::UnboundedSender<Message>>>>,
    handles: Arc<Mutex<BTreeMap<RaftId, Handle>>>,
    reports: Arc<Mutex<BTreeMap<RaftId, PeerReports>>>,
    cut: Arc<Mutex<BTreeSet<RaftId>>>,
}

impl Net {
    pub fn peers(&self, own: u64) -> Arc<NetPeers> {
        Arc::new(NetPeers {
            own: raft_id(own),
            net: self.clone(),
            reports: OnceLock::new(),
        })
    }

    /// Delivers to this replica from now on.
    pub fn plug(&self, handle: &Handle) {
        let (sender, mut queue) = mpsc::unbounded_channel();
        self.routes.lock().unwrap().insert(handle.id(), sender);
        self.handles
            .lock()
            .unwrap()
            .insert(handle.id(), handle.clone());
        let handle = handle.clone();
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if handle.step(message).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Loses everything to and from a member, or no longer.
    pub fn set_cut(&self, id: u64, cut: bool) {
        let mut members = self.cut.lock().unwrap();
        if cut {
            members.insert(raft_id(id))
        } else {
            members.remove(&raft_id(id))
        };
    }

    fn deliver(&self, message: Message) -> bool {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&message.from) || cut.contains(&message.to) {
            return false;
        }
        let routes = self.routes.lock().unwrap();
        routes
            .get(&message.to)
            .is_some_and(|route| route.send(message).is_ok())
    }
}

pub struct NetPeers {
    own: RaftId,
    net: Net,
    reports: OnceLock<PeerReports>,
}

impl Peers for NetPeers {
    fn attach(&self, reports: PeerReports) {
        self.net
            .reports
            .lock()
            .unwrap()
            .insert(self.own, reports.clone());
        assert!(self.reports.set(reports).is_ok());
    }

    fn membership(&self, _membership: &Membership) {}

    fn send(&self, to: RaftId, messages: Vec<Message>) {
        for message in messages {
            assert_eq!(message.to, to);
            if !self.net.deliver(message) {
                self.reports.get().unwrap().unreachable(to);
            }
        }
    }

    fn send_snapshot(&self, to: RaftId, message: Message, file: SnapshotFile) {
        let (net, reports) = (self.net.clone(), self.reports.get().unwrap().clone());
        std::thread::spawn(move || {
            let receiver = net.handles.lock().unwrap().get(&to).cloned();
            let store = receiver.unwrap().snapshots();
            let mut transfer = store.receive(file.id()).unwrap();
            while !transfer.is_complete() {
                let bytes = file.read_at(transfer.offset(), 10_000).unwrap();
                transfer.write_at(transfer.offset(), &bytes).unwrap();
            }
            transfer.finish().unwrap();
            reports.snapshot(to, net.deliver(message));
        });
    }

    fn tell_removed(&self, member: RaftId) {
        if let Some(reports) = self.net.reports.lock().unwrap().get(&member) {
            reports.told_removed(self.own);
        }
    }

    fn close(&self) {}
}

/// One replica of a test and its directory.
pub struct Node {
    pub handle: Handle,
    pub seen: Seen,
    pub faults: DiskFaults,
}

/// Replicas `1..` of one cluster.
pub struct Cluster {
    pub net: Net,
    pub nodes: BTreeMap<u64, Node>,
    pub tune: fn(&mut Config),
    dir: TempDir,
}

/// How a replica begins.
pub enum Begin {
    Start,
    Bootstrap,
    ForceNewCluster,
}

impl Cluster {
    pub fn empty(tune: fn(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            net: Net::default(),
            nodes: BTreeMap::new(),
            tune,
            dir,
        }
    }

    /// A cluster of `size` voters.
    pub async fn of(size: u64, tune: fn(&mut Config)) -> Self {
        let mut cluster = Self::empty(tune);
        cluster.begin(1, Begin::Bootstrap);
        cluster.leader().await;
        for id in 2..=size {
            cluster.begin(id, Begin::Start);
            let leader = cluster.handle(1);
            leader.add_learner(member(id, "memory")).await.unwrap();
            leader
                .promote_when_caught_up(raft_id(id), PATIENCE)
                .await
                .unwrap();
        }
        cluster
    }

    pub fn raft_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("raft-{id}"))
    }

    pub fn config(&self, id: u64) -> Config {
        let mut config = Config::new(raft_id(id), 7 * id);
        config.tick = TICK;
        (self.tune)(&mut config);
        config
    }

    pub fn storage(&self, id: u64) -> (Storage, DiskFaults) {
        let dir = self.raft_dir(id);
        let budget = DiskBudget {
            reserve_bytes: 0,
            floor_bytes: 0,
        };
        let log = EngineLogConfig {
            budget,
            ..EngineLogConfig::new(dir.join("log"))
        };
        let faults = log.faults.clone();
        (Storage::open_with(&dir, raft_id(id), log).unwrap(), faults)
    }

    pub fn begin(&mut self, id: u64, begin: Begin) {
        let (storage, faults) = self.storage(id);
        let seen = Seen::default();
        let (config, machine, peers) =
            (self.config(id), Recorder(seen.clone()), self.net.peers(id));
        let started = match begin {
            Begin::Start => Replica::start(config, machine, storage, peers),
            Begin::Bootstrap => {
                Replica::bootstrap(config, machine, storage, peers, &member(id, "memory"))
            }
            Begin::ForceNewCluster => {
                Replica::force_new_cluster(config, machine, storage, peers, "memory")
            }
        };
        let handle = started.unwrap();
        self.net.plug(&handle);
        self.nodes.insert(
            id,
            Node {
                handle,
                seen,
                faults,
            },
        );
    }

    pub fn handle(&self, id: u64) -> Handle {
        self.nodes[&id].handle.clone()
    }

    pub async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        node.handle.shutdown(PATIENCE).await.unwrap();
    }

    /// A member that leads and may propose.
    pub async fn leader(&self) -> Handle {
        let ready = |s: &Status| s.role == Role::Leader && s.ready_term == Some(s.term);
        let handles: Vec<_> = self.nodes.values().map(|n| n.handle.clone()).collect();
        let waits = handles.into_iter().map(|handle| {
            Box::pin(async move {
                wait(&handle, ready).await;
                handle
            })
        });
        first_of(waits.collect()).await
    }

    /// Proposes at whoever leads until it is accepted.
    pub async fn propose(&self, data: impl Into<Bytes>) -> u64 {
        let data = data.into();
        let proposed = async {
            loop {
                let leader = self.leader().await;
                let term = leader.status_now().term;
                if let Ok(index) = leader.propose(term, data.clone()).await {
                    return index;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, proposed)
            .await
            .expect("nobody takes a proposal")
    }

    /// Waits until every member has applied `index`, then checks that all saw the same.
    pub async fn agree_on(&self, index: u64) -> Vec<(u64, Bytes)> {
        for node in self.nodes.values() {
            wait(&node.handle, |s| s.applied >= index).await;
        }
        let mut all = self.nodes.values().map(|n| n.seen.entries());
        let first = all.next().unwrap();
        for other in all {
            assert_eq!(other, first);
        }
        first
    }
}

async fn first_of<F: Future + Unpin>(mut waits: Vec<F>) -> F::Output {
    std::future::poll_fn(|context| {
        for wait in &mut waits {
            if let std::task::Poll::Ready(output) = std::pin::Pin::new(wait).poll(context) {
                return std::task::Poll::Ready(output);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
