//! Clusters in one process: authorities, nodes with any kind of certificate, gated servers that say
//! who called them, and raw HTTP/2 calls.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use pki::chain::NodeChain;
use pki::csr::CheckedCsr;
use pki::files::NodeCredentials;
use pki::{CertificateOrder, Csr, RootCa, Serial, issue};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use transport::{
    Caller, Closer, ClusterView, Credentials, GateLayer, Leader, LeaderAddress, Listener, Standing,
    server_builder,
};
use types::{ClusterId, NodeId, NodeRole, Timestamp};

pub const HOUR: Duration = Duration::from_secs(3_600);
pub const CLUSTER: u128 = 1 << 100;

pub const HEARTBEAT: &str = "/docker.swarmkit.v1.Dispatcher/Heartbeat";
pub const GET_ROOT: &str = "/docker.swarmkit.v1.CA/GetRootCACertificate";
pub const ISSUE: &str = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate";
pub const LIST_NODES: &str = "/docker.swarmkit.v1.Control/ListNodes";
pub const CREATE_CONFIG: &str = "/docker.swarmkit.v1.Control/CreateConfig";
pub const SUBSCRIBE_LOGS: &str = "/docker.swarmkit.v1.Logs/SubscribeLogs";
pub const HEALTH: &str = "/docker.swarmkit.v1.Health/Check";

pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Timestamp::ZERO.plus(since)
}

pub fn node(number: u128) -> NodeId {
    NodeId::from_u128(number).expect("not zero")
}

pub fn cluster(number: u128) -> ClusterId {
    ClusterId::from_u128(number).expect("not zero")
}

/// What a test wants in a certificate.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub node: u128,
    pub role: NodeRole,
    pub cluster: u128,
    pub from: Timestamp,
    pub validity: Duration,
}

pub fn worker(number: u128) -> Wanted {
    let role = NodeRole::Worker;
    Wanted {
        node: number,
        role,
        cluster: CLUSTER,
        from: now(),
        validity: HOUR,
    }
}

pub fn manager(number: u128) -> Wanted {
    Wanted {
        role: NodeRole::Manager,
        ..worker(number)
    }
}

pub fn authority() -> RootCa {
    RootCa::generate(now().minus(HOUR * 48), Serial::new([5; 16])).expect("root")
}

/// Credentials that trust their own authority; nothing about them is checked.
pub fn credentials(ca: &RootCa, wanted: Wanted) -> NodeCredentials {
    let (csr, key) = Csr::generate().expect("request");
    let csr = CheckedCsr::parse(csr.pem().as_bytes()).expect("own request");
    let order = CertificateOrder {
        csr: &csr,
        node_id: node(wanted.node),
        role: wanted.role,
        cluster_id: cluster(wanted.cluster),
        now: wanted.from,
        validity: wanted.validity,
        serial: Serial::new(wanted.node.to_be_bytes()),
    };
    let chain = NodeChain::parse(&issue(ca, &order).expect("issue")).expect("chain");
    let identity = chain.claimed_identity().expect("own certificate");
    NodeCredentials {
        roots: ca.bundle().clone(),
        chain,
        key,
        identity,
    }
}

pub fn shared(ca: &RootCa, wanted: Wanted) -> Arc<Credentials> {
    Credentials::new(credentials(ca, wanted)).expect("usable for TLS")
}

/// What a manager knows, set by the test.
pub struct View {
    standings: watch::Sender<u64>,
    known: Mutex<BTreeMap<NodeId, Standing>>,
    pub leader: watch::Sender<Leader>,
}

impl View {
    pub fn new(leader: Leader) -> Arc<Self> {
        Arc::new(Self {
            standings: watch::Sender::default(),
            known: Mutex::default(),
            leader: watch::Sender::new(leader),
        })
    }

    pub fn follows(node_number: u128, addr: SocketAddr) -> Leader {
        let addr = addr.to_string();
        Leader::Elsewhere(LeaderAddress {
            node_id: node(node_number),
            addr,
            term: 1,
        })
    }

    /// Changes what the tables say of a node.
    pub fn set_standing(&self, node_number: u128, standing: Standing) {
        let mut known = self.known.lock().expect("no panic");
        known.insert(node(node_number), standing);
        self.standings.send_modify(|version| *version += 1);
    }
}

impl ClusterView for View {
    fn cluster_id(&self) -> ClusterId {
        cluster(CLUSTER)
    }

    /// A node that the test says nothing of has every role that its certificate gives it.
    fn standing(&self, node_id: NodeId) -> Standing {
        let known = self.known.lock().expect("no panic");
        let said = known.get(&node_id).copied();
        said.unwrap_or(Standing::Known(NodeRole::Manager))
    }

    fn standings(&self) -> watch::Receiver<u64> {
        self.standings.subscribe()
    }

    fn leader(&self) -> watch::Receiver<Leader> {
        self.leader.subscribe()
    }
}

/// A running server; it stops when dropped.
pub struct Running {
    pub addr: SocketAddr,
    pub credentials: Arc<Credentials>,
    pub view: Arc<View>,
    pub closer: Closer,
    serving: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
        self.closer.close();
    }
}

pub async fn serve(credentials: Arc<Credentials>, leader: Leader) -> Running {
    let name = credentials.identity().node_id.to_string();
    serve_with(credentials, leader, echo(name)).await
}

/// A manager that takes calls and never answers, as one does whose power was cut: what it sends
/// tells how many it took.
pub async fn serve_silently(
    credentials: Arc<Credentials>,
    leader: Leader,
) -> (Running, watch::Receiver<u32>) {
    let (taken, count) = watch::channel(0);
    let service = tower::service_fn(move |_: Request<Body>| {
        taken.send_modify(|count| *count += 1);
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    (serve_with(credentials, leader, service).await, count)
}

async fn serve_with<S>(credentials: Arc<Credentials>, leader: Leader, service: S) -> Running
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let any = "127.0.0.1:0".parse().expect("address");
    let listener = Listener::bind(any, credentials.clone())
        .await
        .expect("bind");
    let addr = listener.local_addr();
    let view = View::new(leader);
    let gate = GateLayer::new(credentials.clone(), view.clone());
    let incoming = listener.incoming();
    let closer = incoming.closer();
    let served = server_builder()
        .layer(gate)
        .serve_with_incoming(service, incoming);
    let serving = tokio::spawn(served).abort_handle();
    Running {
        addr,
        credentials,
        view,
        closer,
        serving,
    }
}

/// Answers every call with its own body, headers that say who served whom, and trailers.
pub fn echo(
    name: String,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let name = name.clone();
        async move {
            let caller = request
                .extensions()
                .get::<Caller>()
                .cloned()
                .expect("behind a gate");
            let leaked = transport::FORWARDING_METADATA
                .iter()
                .any(|key| request.headers().contains_key(*key));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("value"));
            trailers.insert("x-kept", "yes".parse().expect("value"));
            let frames = request
                .into_body()
                .into_data_stream()
                .map(|data| data.map(Frame::data));
            let end = futures_util::stream::once(async { Ok(Frame::trailers(trailers)) });
            let body = Body::new(StreamBody::new(frames.chain(end)));
            let subject = caller.subject.map(|subject| subject.node_id.to_string());
            let by = caller.forwarded_by.map(|node_id| node_id.to_string());
            let response = Response::builder()
                .header("content-type", "application/grpc")
                .header("x-served-by", name)
                .header("x-kind", format!("{:?}", caller.kind))
                .header("x-node", subject.unwrap_or_default())
                .header("x-forwarded-by", by.unwrap_or_default())
                .header("x-remote", caller.remote_addr.unwrap_or_default())
                .header("x-leaked", leaked.to_string());
            Ok(response.body(body).expect("valid headers"))
        }
    })
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .expect("header is there")
            .to_str()
            .expect("text")
    }
}

pub fn request(method: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://test{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("valid request")
}

pub fn streamed(data: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::new(StreamBody::new(
        data.map(|data| Ok::<_, Infallible>(Frame::data(data))),
    ))
}

pub async fn send(channel: &Channel, request: Request<Body>) -> Result<Answer, Status> {
    let failed = |error: tonic::transport::Error| Status::from_error(Box::new(error));
    let mut channel = channel.clone();
    let response = channel
        .ready()
        .await
        .map_err(failed)?
        .call(request)
        .await
        .map_err(failed)?;
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return Err(status);
    }
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(Answer {
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        }),
    }
}

pub async fn call(channel: &Channel, method: &str) -> Result<Answer, Status> {
    send(channel, request(method, Body::empty())).await
}

/// Waits for a condition, for at most ten seconds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen in time"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
