//! Replicas over real connections on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

mod machine;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use consensus::{Membership, Removal};
use machine::{PATIENCE, Recorder, Seen, TICK, member, raft_id, wait};
use replica::net::{Dial, DialError, GrpcPeers, Identity, RaftService, endpoint_settings};
use replica::{Config, Handle, Replica, Storage};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use wire::swarm::v1::RaftSnapshotId;
use wire::swarm::v1::raft_transport_client::RaftTransportClient;

const CLUSTER: &str = "cluster-one";

struct PlainDial;

impl Dial for PlainDial {
    fn dial(&self, addr: &str) -> Pin<Box<dyn Future<Output = Result<Channel, DialError>> + Send>> {
        let endpoint = Endpoint::from_shared(format!("http://{addr}"));
        Box::pin(async move { Ok(endpoint_settings(endpoint?).connect().await?) })
    }
}

struct Node {
    handle: Handle,
    seen: Seen,
    addr: String,
    _server: oneshot::Sender<()>,
}

/// Starts a member, or restarts it at the address it had.
async fn start(dir: &TempDir, id: u64, addr: Option<&str>, bootstrap: bool) -> Node {
    let listener = TcpListener::bind(addr.unwrap_or("127.0.0.1:0"))
        .await
        .unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let identity = Identity {
        cluster_id: CLUSTER.to_owned(),
        raft_id: raft_id(id),
        addr: addr.clone(),
    };
    let peers = Arc::new(GrpcPeers::new(identity, Arc::new(PlainDial)).unwrap());
    let storage = Storage::open(&dir.path().join(format!("{id}")), raft_id(id)).unwrap();
    let seen = Seen::default();
    let mut config = Config::new(raft_id(id), 7 * id);
    config.tick = TICK;
    config.retention.snapshot_entries = 40;
    config.retention.keep_entries = 5;
    let machine = Recorder(seen.clone());
    let handle = if bootstrap {
        Replica::bootstrap(config, machine, storage, peers.clone(), &member(id, &addr))
    } else {
        Replica::start(config, machine, storage, peers.clone())
    };
    let handle = handle.unwrap();
    let service = RaftService::new(handle.clone(), CLUSTER, peers).into_server();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming);
        tokio::select! {
            served = serving => served.unwrap(),
            _ = stopped => {}
        }
    });
    Node {
        handle,
        seen,
        addr,
        _server: stop,
    }
}

async fn leader(nodes: &[&Node]) -> Handle {
    let found = async {
        loop {
            let ready = |n: &&&Node| {
                let status = n.handle.status_now();
                status.ready_term == Some(status.term) && status.stopped.is_none()
            };
            if let Some(node) = nodes.iter().find(ready) {
                return node.handle.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("nobody leads")
}

async fn propose(nodes: &[&Node], data: Vec<u8>) -> u64 {
    let proposed = async {
        loop {
            let leader = leader(nodes).await;
            let term = leader.status_now().term;
            if let Ok(index) = leader.propose(term, data.clone().into()).await {
                return index;
            }
        }
    };
    tokio::time::timeout(PATIENCE, proposed)
        .await
        .expect("nobody takes a proposal")
}

async fn three(dir: &TempDir) -> [Node; 3] {
    let first = start(dir, 1, None, true).await;
    wait(&first.handle, |s| s.ready_term == Some(s.term)).await;
    let second = start(dir, 2, None, false).await;
    let third = start(dir, 3, None, false).await;
    for (id, node) in [(2, &second), (3, &third)] {
        first
            .handle
            .add_learner(member(id, &node.addr))
            .await
            .unwrap();
        first
            .handle
            .promote_when_caught_up(raft_id(id), PATIENCE)
            .await
            .unwrap();
    }
    [first, second, third]
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_agree_over_connections_and_a_lagging_one_receives_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(&dir).await;
    let calls: Vec<_> = (0..500u32).map(|n| propose_now(&first, n)).collect();
    for call in calls {
        call.await.unwrap();
    }
    third.handle.shutdown(PATIENCE).await.unwrap();
    let addr = third.addr.clone();
    drop(third);
    let both = [&first, &second];
    let mut last = 0;
    for n in 0..100u8 {
        last = propose(&both, vec![n; 20_000]).await;
    }
    let third = start(&dir, 3, Some(&addr), false).await;
    wait(&third.handle, |s| s.applied >= last).await;
    assert!(third.seen.restored() > 0);
    let all = [&first, &second, &third];
    let last = propose(&all, b"after".to_vec()).await;
    for node in all {
        wait(&node.handle, |s| s.applied >= last).await;
        assert_eq!(node.seen.entries(), first.seen.entries());
    }
    assert_eq!(first.seen.entries().len(), 601);
}

fn propose_now(
    node: &Node,
    n: u32,
) -> impl Future<Output = Result<u64, replica::ProposeError>> + use<> {
    node.handle.propose(
        node.handle.status_now().term,
        n.to_be_bytes().to_vec().into(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_removed_while_away_is_told_so_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(&dir).await;
    // The entry after its promotion makes the promotion's commitment durable there: a learner would
    // not speak up.
    let last = propose(&[&first, &second, &third], b"x".to_vec()).await;
    wait(&third.handle, |s| s.applied >= last).await;
    third.handle.shutdown(PATIENCE).await.unwrap();
    let addr = third.addr.clone();
    drop(third);
    let removed = async {
        let both = [&first, &second];
        while leader(&both).await.remove(raft_id(3)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.unwrap();
    let third = start(&dir, 3, Some(&addr), false).await;
    wait(&third.handle, |s| s.removal == Removal::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_another_cluster_to_another_member_or_of_a_removed_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(&dir, 1, None, true).await;
    let channel = PlainDial.dial(&node.addr).await.unwrap();
    let client = RaftTransportClient::new(channel);
    let call = |cluster: &'static str, from: &'static str, to: &'static str| {
        let mut client = client.clone();
        async move {
            let mut request = Request::new(RaftSnapshotId::default());
            request
                .metadata_mut()
                .insert("swarm-cluster-id", cluster.parse().unwrap());
            request
                .metadata_mut()
                .insert("swarm-raft-id", from.parse().unwrap());
            request
                .metadata_mut()
                .insert("swarm-raft-to", to.parse().unwrap());
            client
                .snapshot_status(request)
                .await
                .map_err(|status| status.code())
        }
    };
    assert!(call(CLUSTER, "2", "1").await.is_ok());
    assert_eq!(
        call("other", "2", "1").await.unwrap_err(),
        Code::FailedPrecondition
    );
    assert_eq!(
        call(CLUSTER, "2", "5").await.unwrap_err(),
        Code::FailedPrecondition
    );
    assert_eq!(
        call(CLUSTER, "0", "1").await.unwrap_err(),
        Code::InvalidArgument
    );

    wait(&node.handle, |s| s.ready_term == Some(s.term)).await;
    node.handle.add_learner(member(2, "nowhere")).await.unwrap();
    node.handle.remove(raft_id(2)).await.unwrap();
    let gone = |m: &Membership| m.removed.contains(&raft_id(2));
    wait(&node.handle, |s| gone(&s.membership)).await;
    assert_eq!(call(CLUSTER, "2", "1").await.unwrap_err(), Code::NotFound);
    node.handle.shutdown(Duration::from_secs(10)).await.unwrap();
}
