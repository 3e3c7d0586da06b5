//! Passing calls on to the leader, whatever they are: the HTTP/2 request travels through as it is,
//! bodies are streamed both ways and trailers kept.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use policy::Forwarded;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};
use types::{ClusterId, NodeId};

use crate::credentials::Credentials;
use crate::dial_error::{DialError, explain};
use crate::dialer::Dialer;
use crate::metadata;
use crate::until_moved::UntilMoved;

/// A call waits this long for a leader that can be reached; then it is answered `Unavailable`.
/// People were promised an answer within five seconds, so that a vote may pass in between.
const LEADER_WAIT_MS: u64 = 4_500;
/// Pause before the same leader is dialled again.
const REDIAL_MS: u64 = 200;

/// What a manager knows of its cluster; implemented by whoever owns consensus and store.
pub trait ClusterView: Send + Sync + 'static {
    /// The cluster that callers must belong to.
    fn cluster_id(&self) -> ClusterId;

    /// Whether a node was removed and its certificates no longer count.
    fn is_removed(&self, node_id: NodeId) -> bool;

    /// The leader as far as this manager knows, and every change of it.
    fn leader(&self) -> watch::Receiver<Leader>;
}

impl<V: ClusterView> ClusterView for Arc<V> {
    fn cluster_id(&self) -> ClusterId {
        (**self).cluster_id()
    }

    fn is_removed(&self, node_id: NodeId) -> bool {
        (**self).is_removed(node_id)
    }

    fn leader(&self) -> watch::Receiver<Leader> {
        (**self).leader()
    }
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leader {
    /// Nobody that this manager knows of.
    #[default]
    Unknown,
    /// This manager, and it is ready to answer calls.
    Here,
    /// Another manager.
    Elsewhere(LeaderAddress),
}

/// Another manager that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderAddress {
    /// Who.
    pub node_id: NodeId,
    /// Where, as `HOST:PORT`.
    pub addr: String,
}

/// A call that goes on to the leader.
pub(crate) struct Passed {
    pub(crate) request: Request<Body>,
    /// Whose call it is; `None` if it is this node's own.
    pub(crate) caller: Option<Forwarded>,
    pub(crate) remote_addr: Option<String>,
}

/// Where a call ends up after waiting for a leader.
pub(crate) enum Destination {
    /// This manager has become the leader.
    Here,
    /// The leader, connected.
    There(LeaderAddress, Channel),
}

/// Keeps the channel to the leader.
#[derive(Debug)]
pub(crate) struct Forwarder {
    credentials: Arc<Credentials>,
    dialer: Dialer,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    leader: LeaderAddress,
    /// Of the credentials it was connected with.
    generation: u64,
    channel: Channel,
}

// === impl Forwarder ===

impl Forwarder {
    /// A forwarder that shows this node's certificate to leaders.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>) -> Self {
        let dialer = Dialer::member(credentials.clone());
        Self {
            credentials,
            dialer,
            cached: Mutex::new(None),
        }
    }

    /// Waits for a leader that can be reached.
    pub(crate) async fn destination(
        &self,
        mut leader: watch::Receiver<Leader>,
    ) -> Result<Destination, Status> {
        let deadline = Instant::now() + Duration::from_millis(LEADER_WAIT_MS);
        let mut failed: Option<DialError> = None;
        loop {
            let known = leader.borrow_and_update().clone();
            let retry = match known {
                Leader::Here => return Ok(Destination::Here),
                Leader::Unknown => deadline,
                Leader::Elsewhere(address) => {
                    match timeout_at(deadline, self.channel(&address)).await {
                        Ok(Ok(channel)) => return Ok(Destination::There(address, channel)),
                        Ok(Err(error)) => failed = Some(error),
                        Err(_) => return Err(no_leader(failed.as_ref())),
                    }
                    deadline.min(Instant::now() + Duration::from_millis(REDIAL_MS))
                }
            };
            tokio::select! {
                changed = leader.changed() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("this manager is shutting down"));
                    }
                }
                () = sleep_until(retry) => {
                    if retry >= deadline {
                        return Err(no_leader(failed.as_ref()));
                    }
                }
            }
        }
    }

    /// Passes a call on and hands its answer back.
    pub(crate) async fn pass(
        &self,
        passed: Passed,
        to: LeaderAddress,
        channel: Channel,
        leader: watch::Receiver<Leader>,
    ) -> Response<Body> {
        let Passed {
            mut request,
            caller,
            remote_addr,
        } = passed;
        let hop = self.credentials.identity().node_id.to_string();
        metadata::add(request.headers_mut(), caller, remote_addr.as_deref(), &hop);
        request.extensions_mut().clear();
        let mut leaving = Box::pin(moved(leader, to.clone()));
        let answer = tokio::select! {
            biased;
            answer = send(channel, request) => answer,
            () = &mut leaving => {
                let lost = "leadership moved to another manager during the call; try again";
                return Status::unavailable(lost).into_http();
            }
        };
        match answer {
            Ok(answer) => answer.map(|body| Body::new(UntilMoved::new(body, leaving))),
            Err(status) => {
                self.forget(&to).await;
                status.into_http()
            }
        }
    }

    /// Lets the next call dial anew. If the leader is dead that call then waits for the next
    /// leader; failing it at once would make agents back off for longer than a vote takes.
    async fn forget(&self, leader: &LeaderAddress) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|c| c.leader == *leader) {
            *cached = None;
        }
    }

    async fn channel(&self, leader: &LeaderAddress) -> Result<Channel, DialError> {
        // Held while dialling, so that a burst of calls makes one connection.
        let mut cached = self.cached.lock().await;
        let generation = self.credentials.current().generation();
        let fits = |found: &&Cached| found.leader == *leader && found.generation == generation;
        if let Some(found) = cached.as_ref().filter(fits) {
            return Ok(found.channel.clone());
        }
        *cached = None;
        let channel = self.dialer.connect_to(&leader.addr, leader.node_id).await?;
        let leader = leader.clone();
        *cached = Some(Cached {
            leader,
            generation,
            channel: channel.clone(),
        });
        Ok(channel)
    }
}

/// Ends when the leader is known to be another than `to`.
async fn moved(mut leader: watch::Receiver<Leader>, to: LeaderAddress) {
    let moved = |now: &Leader| match now {
        Leader::Elsewhere(now) => *now != to,
        Leader::Here => true,
        // A vote is under way; the old leader may win it.
        Leader::Unknown => false,
    };
    if leader.wait_for(moved).await.is_err() {
        // Nobody follows leadership any more: the answer decides.
        std::future::pending::<()>().await;
    }
}

async fn send(channel: Channel, request: Request<Body>) -> Result<Response<Body>, Status> {
    let mut channel = channel;
    let failed = |error: tonic::transport::Error| {
        let reason = explain(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Status::unavailable(format!(
            "the call could not be passed on to the leader: {reason}"
        ))
    };
    channel
        .ready()
        .await
        .map_err(failed)?
        .call(request)
        .await
        .map_err(failed)
}

fn no_leader(failed: Option<&DialError>) -> Status {
    Status::unavailable(match failed {
        None => "the cluster has no leader: a majority of the managers must be running and reach \
                 each other; try again"
            .to_owned(),
        Some(error) => format!("the leader cannot be reached: {error}"),
    })
}
