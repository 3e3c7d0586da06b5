//! The gate in front of all services of a manager.
//!
//! For every call, in this order: who is at the other end of the connection; whom it speaks for, if
//! it is a manager; may it; where is it answered. Services behind the gate find the [`Caller`] in
//! the request's extensions and never look at certificates or forwarding metadata.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pki::Identity;
use pki::renewal::{ClockProblem, validity_problem};
use policy::{Call, CallerKind, Denied, DeniedKind, Forwarded, Peer, Route, Subject, decide};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use types::{ClusterId, NodeId};

use crate::clock;
use crate::connection::PeerInfo;
use crate::credentials::Credentials;
use crate::forward::{ClusterView, Destination, Forwarder, Leader, Passed};
use crate::metadata;

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

/// A call that may go on.
struct Admitted {
    caller: Caller,
    route: Route,
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
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        if admitted.route == Route::Here {
            request.extensions_mut().insert(admitted.caller);
            return Box::pin(inner.call(request));
        }
        let shared = self.shared.clone();
        Box::pin(async move {
            let leader = shared.view.leader();
            match shared.forwarder.destination(leader.clone()).await {
                Ok(Destination::Here) => {
                    request.extensions_mut().insert(admitted.caller);
                    inner.call(request).await
                }
                Ok(Destination::There(to, channel)) => {
                    let caller = admitted.caller.forwarded();
                    let remote_addr = admitted.caller.remote_addr;
                    let passed = Passed {
                        request,
                        caller,
                        remote_addr,
                    };
                    Ok(shared.forwarder.pass(passed, to, channel, leader).await)
                }
                Err(status) => Ok(status.into_http()),
            }
        })
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
        let call = Call {
            method: request.uri().path(),
            peer,
            forwarded,
            hops: received.hops,
        };
        let facts = Facts {
            view: &self.view,
            leads: *self.view.leader().borrow() == Leader::Here,
        };
        let decision = decide(&call, &facts).map_err(|denied| status(&denied))?;
        let policy::Caller {
            kind,
            subject,
            forwarded_by,
        } = decision.caller;
        let caller = Caller {
            kind,
            subject,
            forwarded_by,
            remote_addr,
        };
        Ok(Admitted {
            caller,
            route: decision.route,
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

    fn is_removed(&self, node_id: NodeId) -> bool {
        self.view.is_removed(node_id)
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
