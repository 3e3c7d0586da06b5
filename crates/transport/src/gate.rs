//! The gate in front of all services of a manager.
//!
//! For every call, in this order: who is at the other end of the connection; whom it speaks for, if
//! it is a manager; may it; where is it answered. Services behind the gate find the [`Caller`] in
//! the request's extensions and never look at certificates or forwarding metadata.
//!
//! What a node may have follows its standing in the tables while it is being answered: streams to a
//! node that is removed or demoted end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pki::Identity;
use pki::renewal::{ClockProblem, validity_problem};
use policy::{
    Call, CallerKind, Decision, Denied, DeniedKind, Forwarded, Peer, Route, Serve, Standing,
    Subject, decide,
};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use types::{ClusterId, NodeId};

use crate::clock;
use crate::connection::PeerInfo;
use crate::credentials::Credentials;
use crate::forward::{ClusterView, Forwarder, Leader, Outcome, Passed, once_leading};
use crate::metadata;
use crate::until_over::{Over, UntilOver};

/// On whose behalf a call is answered; in the extensions of every request behind the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// How it is known.
    pub kind: CallerKind,
    /// Which node it is; `None` without a certificate. On the local socket: this node.
    pub subject: Option<Subject>,
    /// The manager that passed the call on.
    pub forwarded_by: Option<NodeId>,
    /// Where it called from, as `IP:PORT`; `None` on a local socket.
    pub remote_addr: Option<String>,
}

/// Puts a [`Gate`] in front of a server's services.
#[derive(Clone, Debug)]
pub struct GateLayer<V> {
    shared: Arc<Shared<V>>,
}

/// One server's gate.
#[derive(Clone, Debug)]
pub struct Gate<S, V> {
    inner: S,
    shared: Arc<Shared<V>>,
}

#[derive(Debug)]
struct Shared<V> {
    credentials: Arc<Credentials>,
    forwarder: Forwarder,
    view: V,
}

/// Who asks for what.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    peer: Peer,
    forwarded: Option<Forwarded>,
    hops: usize,
    remote_addr: Option<String>,
}

/// A call that may go on.
struct Admitted {
    asked: Asked,
    decision: Decision,
    /// Changes when the decision may.
    standings: watch::Receiver<u64>,
}

// === impl Caller ===

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// An internal error if the server has no gate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        let missing = || Status::internal("the server has no gate in front of its services");
        request.extensions().get::<Self>().ok_or_else(missing)
    }

    /// The calling node.
    ///
    /// # Errors
    /// `Unauthenticated` if it has no certificate.
    pub fn node_id(&self) -> Result<NodeId, Status> {
        let missing = || Status::unauthenticated("the call needs a node certificate");
        self.subject
            .map(|subject| subject.node_id)
            .ok_or_else(missing)
    }

    /// The identity to pass along; a local caller is this node itself.
    fn forwarded(&self) -> Option<Forwarded> {
        match (self.kind, self.subject) {
            (CallerKind::LocalSocket, _) => None,
            (_, Some(subject)) => Some(Forwarded::Node(subject)),
            (_, None) => Some(Forwarded::Anonymous),
        }
    }
}

// === impl GateLayer ===

impl<V: ClusterView> GateLayer<V> {
    /// A gate for the node with these credentials in the cluster that `view` shows. Clones share
    /// the connection to the leader.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>, view: V) -> Self {
        let forwarder = Forwarder::new(credentials.clone());
        Self {
            shared: Arc::new(Shared {
                credentials,
                forwarder,
                view,
            }),
        }
    }
}

impl<S, V> Layer<S> for GateLayer<V> {
    type Service = Gate<S, V>;

    fn layer(&self, inner: S) -> Gate<S, V> {
        Gate {
            inner,
            shared: self.shared.clone(),
        }
    }
}

// === impl Gate ===

impl<S, V> Service<Request<Body>> for Gate<S, V>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    V: ClusterView,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let admitted = match self.shared.admit(&mut request) {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        // The clone that was polled ready answers; the fresh one waits for its turn.
        let fresh = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, fresh);
        let shared = self.shared.clone();
        match admitted.decision.route {
            Route::Here => Box::pin(answer(shared, inner, request, admitted)),
            Route::Leader => Box::pin(pass(shared, inner, request, admitted)),
            Route::HereOnceLeading => Box::pin(async move {
                match once_leading(shared.view.leader()).await {
                    Ok(()) => answer_anew(shared, inner, request, admitted).await,
                    Err(denied) => Ok(turned_away(&denied)),
                }
            }),
        }
    }
}

type Answer<S> = Result<Response<Body>, <S as Service<Request<Body>>>::Error>;

/// Answers a call, for as long as its caller may have the answer.
async fn answer<S, V>(
    shared: Arc<Shared<V>>,
    mut inner: S,
    mut request: Request<Body>,
    admitted: Admitted,
) -> Answer<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    V: ClusterView,
{
    let caller = admitted.caller();
    let is_node = matches!(caller.kind, CallerKind::Worker | CallerKind::Manager);
    request.extensions_mut().insert(caller);
    let answered = inner.call(request);
    if !is_node {
        return answered.await;
    }
    let mut over: Over = Box::pin(refused(shared, admitted));
    tokio::select! {
        biased;
        answered = answered => Ok(answered?.map(|body| Body::new(UntilOver::refused(body, over)))),
        refused = &mut over => Ok(refused.into_http()),
    }
}

/// Answers a call although it was meant for another manager: this one leads now.
async fn answer_anew<S, V>(
    shared: Arc<Shared<V>>,
    inner: S,
    request: Request<Body>,
    admitted: Admitted,
) -> Answer<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    V: ClusterView,
{
    match shared.decide(admitted.asked) {
        Ok(admitted) if admitted.decision.route == Route::Here => {
            answer(shared, inner, request, admitted).await
        }
        Ok(_) => Ok(turned_away(&Denied::Loop)),
        Err(denied) => Ok(status(&denied).into_http()),
    }
}

/// Passes a call on to the leader, whoever that is in the end.
async fn pass<S, V>(
    shared: Arc<Shared<V>>,
    inner: S,
    request: Request<Body>,
    admitted: Admitted,
) -> Answer<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    V: ClusterView,
{
    let caller = admitted.caller();
    let passed = Passed {
        request,
        caller: caller.forwarded(),
        remote_addr: caller.remote_addr,
        repeatable: admitted.decision.row.serve == Serve::Read,
    };
    match shared.forwarder.pass(passed, shared.view.leader()).await {
        Ok(Outcome::Answer(answer)) => Ok(answer),
        Ok(Outcome::Here(request)) => answer_anew(shared, inner, request, admitted).await,
        Err(status) => Ok(status.into_http()),
    }
}

/// Ends when the caller of a call may not have its answer any more, and says why.
async fn refused<V: ClusterView>(shared: Arc<Shared<V>>, admitted: Admitted) -> Status {
    let Admitted {
        asked,
        mut standings,
        ..
    } = admitted;
    loop {
        if standings.changed().await.is_err() {
            // This manager is ending, and its answers with it.
            return std::future::pending().await;
        }
        if let Err(denied) = shared.decide(asked.clone()) {
            return status(&denied);
        }
    }
}

/// What a manager that passed a call on is told by one that does not lead.
fn turned_away(denied: &Denied) -> Response<Body> {
    let mut answer = status(denied).into_http();
    let yes = http::HeaderValue::from_static("true");
    answer.headers_mut().insert(metadata::NOT_LEADING, yes);
    answer
}

// === impl Admitted ===

impl Admitted {
    fn caller(&self) -> Caller {
        let policy::Caller {
            kind,
            subject,
            forwarded_by,
        } = self.decision.caller;
        Caller {
            kind,
            subject,
            forwarded_by,
            remote_addr: self.asked.remote_addr.clone(),
        }
    }
}

// === impl Shared ===

impl<V: ClusterView> Shared<V> {
    /// Decides a call; its forwarding metadata is gone afterwards.
    fn admit(&self, request: &mut Request<Body>) -> Result<Admitted, Status> {
        let received = metadata::take(request.headers_mut());
        let info = request
            .extensions()
            .get::<PeerInfo>()
            .ok_or_else(|| Status::internal("the connection does not say who is calling"))?;
        let peer = self.peer(info)?;
        let trusted = peer.may_forward();
        let forwarded = match received.forwarded.filter(|_| trusted).transpose() {
            Ok(forwarded) => forwarded,
            Err(unreadable) => return Err(Status::permission_denied(unreadable.to_string())),
        };
        let direct = info.addr().map(|addr| addr.to_string());
        let remote_addr = if forwarded.is_some() {
            received.remote_addr
        } else {
            direct
        };
        // A method without a row has no name of its own.
        let path = request.uri().path();
        let method = policy::row(path).map(|row| row.method).ok_or_else(|| {
            let method = path.to_owned();
            status(&Denied::UnknownMethod { method })
        })?;
        let asked = Asked {
            method,
            peer,
            forwarded,
            hops: received.hops,
            remote_addr,
        };
        self.decide(asked).map_err(|denied| status(&denied))
    }

    fn decide(&self, asked: Asked) -> Result<Admitted, Denied> {
        let mut standings = self.view.standings();
        standings.mark_unchanged();
        let call = Call {
            method: asked.method,
            peer: asked.peer,
            forwarded: asked.forwarded,
            hops: asked.hops,
        };
        let facts = Facts {
            view: &self.view,
            leads: *self.view.leader().borrow() == Leader::Here,
        };
        let decision = decide(&call, &facts)?;
        Ok(Admitted {
            asked,
            decision,
            standings,
        })
    }

    fn peer(&self, info: &PeerInfo) -> Result<Peer, Status> {
        match info {
            PeerInfo::Anonymous { .. } => Ok(Peer::Anonymous),
            PeerInfo::Local => Ok(Peer::LocalSocket(subject(&self.credentials.identity()))),
            PeerInfo::Node { identity, .. } => {
                // The handshake may have been long ago. Callers reconnect with a newer certificate.
                match validity_problem(identity.not_before, identity.not_after, clock::now()) {
                    Some(ClockProblem::Expired { .. }) => Err(Status::unauthenticated(
                        "the certificate of this connection has expired; connect again with a \
                         renewed one",
                    )),
                    _ => Ok(Peer::Node(subject(identity))),
                }
            }
        }
    }
}

/// The view as `policy` wants it, with leadership read once per call.
struct Facts<'a, V> {
    view: &'a V,
    leads: bool,
}

impl<V: ClusterView> policy::ClusterFacts for Facts<'_, V> {
    fn cluster_id(&self) -> ClusterId {
        self.view.cluster_id()
    }

    fn standing(&self, node_id: NodeId) -> Standing {
        self.view.standing(node_id)
    }

    fn is_leader(&self) -> bool {
        self.leads
    }
}

fn subject(identity: &Identity) -> Subject {
    Subject {
        node_id: identity.node_id,
        role: identity.role,
        cluster_id: identity.cluster_id,
    }
}

fn status(denied: &Denied) -> Status {
    let code = match denied.kind() {
        DeniedKind::Unauthenticated => Code::Unauthenticated,
        DeniedKind::PermissionDenied => Code::PermissionDenied,
        DeniedKind::Unimplemented => Code::Unimplemented,
        DeniedKind::Unavailable => Code::Unavailable,
    };
    Status::new(code, denied.to_string())
}
