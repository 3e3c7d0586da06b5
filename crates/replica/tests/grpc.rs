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
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Extensions, Request, Status};
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

/// Metadata that stands for a certificate where it is not that of the member that calls.
const NODE: &str = "test-node";

#[derive(Clone)]
struct Certified(String);

fn node_of(call: &Extensions) -> Option<String> {
    Some(call.get::<Certified>()?.0.clone())
}

/// Stands for the gate.
fn certify(mut call: Request<()>) -> Result<Request<()>, Status> {
    let text = |name| Some(call.metadata().get(name)?.to_str().ok()?.to_owned());
    let member = text("swarm-raft-id").map(|id| format!("node{id}"));
    if let Some(node) = text(NODE).or(member) {
        call.extensions_mut().insert(Certified(node));
    }
    Ok(call)
}

struct Node {
    handle: Handle,
    peers: Arc<GrpcPeers>,
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
    let service = RaftService::new(handle.clone(), CLUSTER, peers.clone(), node_of).into_server();
    let service = InterceptedService::new(service, certify);
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
        peers,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moved_is_answered_where_it_says_before_the_log_knows() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(&dir, 1, None, true).await;
    wait(&first.handle, |s| s.ready_term == Some(s.term)).await;
    let second = start(&dir, 2, None, false).await;
    let learner = member(2, &second.addr);
    first.handle.add_learner(learner).await.unwrap();
    let promoted = first
        .handle
        .promote_when_caught_up(raft_id(2), PATIENCE)
        .await;
    promoted.unwrap();
    second.handle.shutdown(PATIENCE).await.unwrap();
    let before = second.addr.clone();
    drop(second);

    // Neither has a quorum without the other, so the log cannot say where the second one is.
    let second = start(&dir, 2, None, false).await;
    assert_ne!(second.addr, before);
    propose(&[&first, &second], b"moved".to_vec()).await;
    let leader = leader(&[&first, &second]).await;
    let status = leader.status_now();
    assert_eq!(status.membership.members[&raft_id(2)].addr, before);
    let mut moved = first.peers.moved();
    assert_eq!(moved.borrow().get(&raft_id(2)), Some(&second.addr));
    leader.update_addr(member(2, &second.addr)).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, moved.wait_for(|m| m.is_empty())).await;
    told.unwrap().unwrap();
    propose(&[&first, &second], b"recorded".to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_node_says_where_a_member_is() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(&dir, 1, None, true).await;
    wait(&node.handle, |s| s.ready_term == Some(s.term)).await;
    node.handle.add_learner(member(2, "nowhere")).await.unwrap();
    let channel = PlainDial.dial(&node.addr).await.unwrap();
    let call = |certified: &'static str| {
        let mut request = Request::new(RaftSnapshotId::default());
        let marks = [
            ("swarm-cluster-id", CLUSTER),
            ("swarm-raft-id", "2"),
            ("swarm-raft-to", "1"),
            ("swarm-raft-addr", "elsewhere:1"),
            (NODE, certified),
        ];
        for (name, value) in marks {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        let mut client = RaftTransportClient::new(channel.clone());
        async move { client.snapshot_status(request).await }
    };
    let moved = node.peers.moved();
    call("node7").await.unwrap();
    assert!(moved.borrow().is_empty());
    call("node2").await.unwrap();
    assert_eq!(moved.borrow()[&raft_id(2)], "elsewhere:1");
    node.handle.shutdown(PATIENCE).await.unwrap();
}
