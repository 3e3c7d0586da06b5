//! Bugs that can be planted around the shell of a manager, to prove that runs see them. The shell
//! itself is always the real one: a bug changes what its gate is told, or what passes in and out.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use control::Member;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use manager::Manager;
use manager::control_api::ControlApi;
use manager::quorum::{BoxFuture, Quorum, Standing};
use manager::view::View;
use prost::Message;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use transport::{ClusterView, Leader};
use types::{ClusterId, NodeId};
use wire::api;
use wire::api::control_server::ControlServer;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A manager answers reads itself, whether it leads or not, without asking anybody.
    StaleRead,
    /// One answer to a write in four is lost, and the write is passed on once more.
    RepeatWrites,
    /// A write whose outcome nobody knows is told as refused.
    UnknownIsRefused,
    /// Calls are passed on to the first leader for ever.
    KeepFirstLeader,
    /// A stream of assignments that is opened anew begins without its content.
    EmptyReconnect,
    /// One report of an agent in three is answered and not recorded.
    SwallowReports,
}

/// Every bug that can be planted.
pub const BUGS: [Bug; 6] = [
    Bug::StaleRead,
    Bug::RepeatWrites,
    Bug::UnknownIsRefused,
    Bug::KeepFirstLeader,
    Bug::EmptyReconnect,
    Bug::SwallowReports,
];

/// Where the doubt is in an answer that tells of one.
const DOUBTS: [&str; 2] = ["may or may not", "may still take effect"];
/// One report in so many is swallowed.
const SWALLOWED: usize = 3;
/// One answer to a write in so many is lost.
const LOST: usize = 4;
/// Bytes before each message of a gRPC stream.
const PREFIX_BYTES: usize = 5;

/// What changes objects that clients look at.
fn is_write(method: &str) -> bool {
    let what = ["Create", "Update", "Remove"].iter();
    let mut rests = what.filter_map(|verb| method.strip_prefix(verb));
    rests.any(|object| object == "Config" || object == "Service")
}

/// Stands before a manager's gate or behind it, and spoils what passes if a bug is planted there.
#[derive(Clone)]
pub(crate) struct Spoil {
    bug: Option<Bug>,
    trusting: ControlServer<ControlApi>,
    passed: Arc<AtomicUsize>,
}

impl Spoil {
    pub(crate) fn new(bug: Option<Bug>, manager: &Manager) -> Self {
        let trusting = Arc::new(Trusting(manager.quorum().clone()));
        Self {
            bug,
            trusting: ControlServer::new(ControlApi::new(manager.ledger().clone(), trusting)),
            passed: Arc::default(),
        }
    }

    /// The same before the gate: what clients get.
    pub(crate) fn outside(&self) -> Self {
        let bug = self.bug.filter(|bug| {
            matches!(
                bug,
                Bug::StaleRead | Bug::RepeatWrites | Bug::UnknownIsRefused
            )
        });
        Self {
            bug,
            ..self.clone()
        }
    }

    /// The same behind the gate: what this manager answers itself.
    pub(crate) fn inside(&self) -> Self {
        let bug = self
            .bug
            .filter(|bug| matches!(bug, Bug::EmptyReconnect | Bug::SwallowReports));
        Self {
            bug,
            ..self.clone()
        }
    }

    fn count(&self) -> usize {
        self.passed.fetch_add(1, Ordering::Relaxed)
    }
}

impl<S> Layer<S> for Spoil {
    type Service = Spoiled<S>;

    fn layer(&self, inner: S) -> Spoiled<S> {
        let spoil = self.clone();
        Spoiled { inner, spoil }
    }
}

/// A service with a bug.
#[derive(Clone)]
pub(crate) struct Spoiled<S> {
    inner: S,
    spoil: Spoil,
}

impl<S> Service<Request<Body>> for Spoiled<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let path = request.uri().path().to_owned();
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let Some(bug) = self.spoil.bug else {
            return Box::pin(inner.call(request));
        };
        match (bug, method.as_str()) {
            (Bug::StaleRead, "ListConfigs" | "ListServices") => {
                let mut trusting = self.spoil.trusting.clone();
                Box::pin(async move { trusting.call(request).await })
            }
            (Bug::EmptyReconnect, "Assignments") if self.spoil.count() > 0 => {
                Box::pin(async move { Ok(inner.call(request).await?.map(without_content)) })
            }
            (Bug::SwallowReports, "UpdateTaskStatus")
                if self.spoil.count().is_multiple_of(SWALLOWED) =>
            {
                Box::pin(async move { inner.call(without_reports(request).await).await })
            }
            (Bug::RepeatWrites, method)
                if is_write(method) && self.spoil.count().is_multiple_of(LOST) =>
            {
                Box::pin(async move {
                    let (first, again) = twice(request).await;
                    inner.call(first).await?;
                    inner.call(again).await
                })
            }
            (Bug::UnknownIsRefused, method) if is_write(method) => Box::pin(async move {
                let answer = inner.call(request).await?;
                Ok(match is_doubtful(&answer) {
                    true => refusal(&path).into_http(),
                    false => answer,
                })
            }),
            _ => Box::pin(inner.call(request)),
        }
    }
}

/// Whether an answer says that nobody knows what came of the call.
fn is_doubtful(answer: &Response<Body>) -> bool {
    let status = Status::from_header_map(answer.headers());
    status.is_some_and(|s| DOUBTS.iter().any(|doubt| s.message().contains(doubt)))
}

/// What a call is told that did nothing.
fn refusal(path: &str) -> Status {
    if path.contains("/Create") {
        return Status::already_exists("it is there already");
    }
    match path.contains("/Update") {
        true => Status::failed_precondition("update out of sequence"),
        false => Status::not_found("it is not there"),
    }
}

/// All of a body; nothing if it breaks, which the service then says.
async fn content(body: Body) -> Bytes {
    let whole = body.collect().await;
    whole.map(|whole| whole.to_bytes()).unwrap_or_default()
}

async fn twice(request: Request<Body>) -> (Request<Body>, Request<Body>) {
    let (parts, body) = request.into_parts();
    let content = content(body).await;
    let with = |parts| Request::from_parts(parts, Body::new(Full::new(content.clone())));
    (with(parts.clone()), with(parts))
}

/// A message without compression, as it travels.
fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + bytes.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.put_slice(&bytes);
    frame.freeze()
}

/// A report of nothing in place of a report.
async fn without_reports(request: Request<Body>) -> Request<Body> {
    let (parts, body) = request.into_parts();
    let content = content(body).await;
    let message = content.get(PREFIX_BYTES..).unwrap_or_default();
    let mut report = api::UpdateTaskStatusRequest::decode(message).unwrap_or_default();
    report.updates.clear();
    Request::from_parts(parts, Body::new(Full::new(framed(&report))))
}

/// A stream of assignments whose first message says that there is nothing to do.
fn without_content(body: Body) -> Body {
    let mut is_first = true;
    Body::new(body.map_frame(move |frame| match frame.into_data() {
        Ok(data) if std::mem::take(&mut is_first) => Frame::data(emptied(&data)),
        Ok(data) => Frame::data(data),
        Err(other) => other,
    }))
}

/// The first message of these without its changes, and the others.
fn emptied(messages: &Bytes) -> Bytes {
    let mut rest = messages.clone();
    let length = rest.get(1..PREFIX_BYTES).and_then(|b| b.try_into().ok());
    let length = length.map_or(0, u32::from_be_bytes) as usize;
    let first = rest.split_to(rest.len().min(PREFIX_BYTES + length));
    let message = first.get(PREFIX_BYTES..).unwrap_or_default();
    let mut message = api::AssignmentsMessage::decode(message).unwrap_or_default();
    message.changes.clear();
    [framed(&message), rest].concat().into()
}

/// A quorum that says without asking that this manager leads.
struct Trusting(Arc<dyn Quorum>);

impl Quorum for Trusting {
    fn members(&self) -> Vec<Member> {
        self.0.members()
    }

    fn standing(&self) -> Standing {
        self.0.standing()
    }

    fn join(&self, node: NodeId, addr: String) -> BoxFuture<'_, Result<u64, String>> {
        self.0.join(node, addr)
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, raft_id: u64) -> BoxFuture<'_, Result<(), String>> {
        self.0.remove(raft_id)
    }

    fn transfer(&self, to: Option<u64>) -> BoxFuture<'_, Result<(), String>> {
        self.0.transfer(to)
    }
}

/// A manager's view of its cluster, perhaps one in which the first leader leads for ever.
#[derive(Clone)]
pub(crate) struct Shown {
    view: Arc<View>,
    leader: watch::Receiver<Leader>,
}

impl Shown {
    pub(crate) fn new(bug: Option<Bug>, manager: &Manager) -> Self {
        let (view, leader) = (manager.view(), manager.leader());
        if bug != Some(Bug::KeepFirstLeader) {
            return Self { view, leader };
        }
        let (first, kept) = watch::channel(Leader::Unknown);
        let mut leader = leader;
        tokio::spawn(async move {
            let found = leader.wait_for(|l| *l != Leader::Unknown).await;
            let found = found.map(|l| l.clone()).unwrap_or_default();
            first.send_replace(found);
            first.closed().await;
        });
        Self { view, leader: kept }
    }
}

impl ClusterView for Shown {
    fn cluster_id(&self) -> ClusterId {
        self.view.cluster_id()
    }

    fn standing(&self, node_id: NodeId) -> transport::Standing {
        self.view.standing(node_id)
    }

    fn standings(&self) -> watch::Receiver<u64> {
        self.view.standings()
    }

    fn leader(&self) -> watch::Receiver<Leader> {
        self.leader.clone()
    }
}
