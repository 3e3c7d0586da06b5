//! Passing calls on to the leader, whatever they are: the HTTP/2 request travels through as it is,
//! bodies are streamed both ways and trailers kept.
//!
//! A leader that loses power says nothing: its connection looks alive for seconds. So a call in
//! flight is given up the moment another leader, or a newer term of the same one, is known; and the
//! connection is forgotten. A call that changes nothing is then sent to the next leader. One that
//! does is not: it may have been carried out, and only its caller can know what to do.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use policy::{Denied, Forwarded, Standing};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};
use types::{ClusterId, NodeId};

use crate::credentials::Credentials;
use crate::dial_error::{DialError, explain};
use crate::dialer::Dialer;
use crate::metadata;
use crate::repeat::Outgoing;
use crate::until_over::{Over, UntilOver};

/// A call waits this long for a leader that can be reached; then it is answered `Unavailable`.
/// People were promised an answer within five seconds, so that a vote may pass in between.
const LEADER_WAIT_MS: u64 = 4_500;
/// Pause before the same leader is dialled or asked again.
const REDIAL_MS: u64 = 200;
/// A call that was sent to a leader that fell silent at the end of its caller's patience still gets
/// this long to reach the next one.
const NEXT_LEADER_WAIT_MS: u64 = 1_000;
/// A call that was passed on to this manager as the leader waits this long while this manager takes
/// another one for it: its own news may be a moment older than those of whoever passed it on.
const OTHER_LEADER_WAIT_MS: u64 = 500;
/// A leader that gave leadership away, or was voted out, answers what it was sent at once, and
/// knows best what became of it. Its answer is waited for this long; from one without power comes
/// none.
const LAST_WORDS_MS: u64 = 250;
/// A leader that was not heard of for this long is given up, although no other is known: far longer
/// than a vote takes, and short enough that its callers have their answer within five seconds.
const SILENCE_MS: u64 = 2_000;

/// What a manager knows of its cluster; implemented by whoever owns consensus and store.
pub trait ClusterView: Send + Sync + 'static {
    /// The cluster that callers must belong to.
    fn cluster_id(&self) -> ClusterId;

    /// What the tables say of a node.
    fn standing(&self, node_id: NodeId) -> Standing;

    /// Changes whenever the standing of any node may have.
    fn standings(&self) -> watch::Receiver<u64>;

    /// The leader as far as this manager knows, and every change of it.
    fn leader(&self) -> watch::Receiver<Leader>;
}

impl<V: ClusterView> ClusterView for Arc<V> {
    fn cluster_id(&self) -> ClusterId {
        (**self).cluster_id()
    }

    fn standing(&self, node_id: NodeId) -> Standing {
        (**self).standing(node_id)
    }

    fn standings(&self) -> watch::Receiver<u64> {
        (**self).standings()
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
    /// Since which election: what was sent to the leader of an older term will not be answered.
    pub term: u64,
}

/// A call that goes on to the leader.
pub(crate) struct Passed {
    pub(crate) request: Request<Body>,
    /// Whose call it is; `None` if it is this node's own.
    pub(crate) caller: Option<Forwarded>,
    pub(crate) remote_addr: Option<String>,
    /// Whether it changes nothing and may be sent to a second leader.
    pub(crate) repeatable: bool,
}

/// What becomes of a call that goes on to the leader.
pub(crate) enum Outcome {
    /// This manager has become the leader: the call as it came, to be answered here.
    Here(Request<Body>),
    /// The answer.
    Answer(Response<Body>),
}

/// Where a call ends up after waiting for a leader.
enum Destination {
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

/// What becomes of one attempt.
enum Attempt {
    /// The leader answered.
    Answered(Response<Body>),
    /// It did not; what its caller is told if that was the last attempt.
    Lost(Status),
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

    /// Waits for a leader that can be reached, passes a call on and hands its answer back.
    pub(crate) async fn pass(
        &self,
        passed: Passed,
        leader: watch::Receiver<Leader>,
    ) -> Result<Outcome, Status> {
        let mut deadline = Instant::now() + Duration::from_millis(LEADER_WAIT_MS);
        let mut outgoing = match passed.repeatable {
            true => Outgoing::keep(passed.request).await?,
            false => Outgoing::Once(passed.request),
        };
        loop {
            let (to, channel) = match self.destination(leader.clone(), deadline).await? {
                Destination::Here => return Ok(Outcome::Here(outgoing.into_request())),
                Destination::There(to, channel) => (to, channel),
            };
            let (mut request, again) = outgoing.split();
            let hop = self.credentials.identity().node_id.to_string();
            let remote_addr = passed.remote_addr.as_deref();
            metadata::add(request.headers_mut(), passed.caller, remote_addr, &hop);
            request.extensions_mut().clear();
            let attempt = self.attempt(request, &to, channel, leader.clone(), again.is_some());
            let lost = match attempt.await {
                Attempt::Answered(answer) if !turned_away(&answer) => {
                    return Ok(Outcome::Answer(answer));
                }
                Attempt::Answered(answer) => Ok(Outcome::Answer(answer)),
                Attempt::Lost(status) => Err(status),
            };
            let Some(again) = again.filter(|_| Instant::now() < deadline) else {
                return lost;
            };
            outgoing = again;
            deadline = deadline.max(Instant::now() + Duration::from_millis(NEXT_LEADER_WAIT_MS));
            wait_for_another(leader.clone(), &to).await;
        }
    }

    /// Waits for a leader that can be reached.
    async fn destination(
        &self,
        mut leader: watch::Receiver<Leader>,
        deadline: Instant,
    ) -> Result<Destination, Status> {
        let mut failed: Option<DialError> = None;
        loop {
            let known = leader.borrow_and_update().clone();
            let retry = match known {
                Leader::Here => return Ok(Destination::Here),
                Leader::Unknown => deadline,
                Leader::Elsewhere(address) => {
                    let dialled = timeout_at(deadline, self.channel(&address));
                    tokio::select! {
                        dialled = dialled => match dialled {
                            Ok(Ok(channel)) => return Ok(Destination::There(address, channel)),
                            Ok(Err(error)) => failed = Some(error),
                            Err(_) => return Err(no_leader(failed.as_ref())),
                        },
                        // Dialling a machine without power takes seconds.
                        () = leads_no_more(leader.clone(), &address) => continue,
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

    async fn attempt(
        &self,
        request: Request<Body>,
        to: &LeaderAddress,
        channel: Channel,
        leader: watch::Receiver<Leader>,
        repeatable: bool,
    ) -> Attempt {
        let mut over: Over = Box::pin(deposed(leader.clone(), to.clone()));
        let moved = async {
            match repeatable {
                true => leads_no_more(leader, to).await,
                false => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            biased;
            answer = send(channel, request) => answer,
            () = moved => Err(Status::unavailable("leadership moved to another manager")),
            over = &mut over => Err(over),
        };
        match answer {
            Ok(answer) => {
                Attempt::Answered(answer.map(|body| Body::new(UntilOver::deposed(body, over))))
            }
            Err(status) => {
                self.forget(to).await;
                Attempt::Lost(status)
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

/// Waits until this manager leads, for a call that was passed on to it as the leader. It may have
/// won the vote and not serve yet.
pub(crate) async fn once_leading(mut leader: watch::Receiver<Leader>) -> Result<(), Denied> {
    let start = Instant::now();
    loop {
        let patience = match *leader.borrow_and_update() {
            Leader::Here => return Ok(()),
            Leader::Unknown => LEADER_WAIT_MS,
            Leader::Elsewhere(_) => OTHER_LEADER_WAIT_MS,
        };
        tokio::select! {
            changed = leader.changed() => changed.map_err(|_| Denied::Loop)?,
            () = sleep_until(start + Duration::from_millis(patience)) => return Err(Denied::Loop),
        }
    }
}

/// Whether the answer says that its sender does not lead. Nothing was done then.
fn turned_away(answer: &Response<Body>) -> bool {
    answer.headers().contains_key(metadata::NOT_LEADING)
}

/// Waits until the leader is known to be another than `to`, but not for long: it may be about to
/// serve.
async fn wait_for_another(leader: watch::Receiver<Leader>, to: &LeaderAddress) {
    tokio::select! {
        () = leads_no_more(leader, to) => {}
        () = sleep(Duration::from_millis(REDIAL_MS)) => {}
    }
}

/// Ends when `to` is not the last leader that is known of.
async fn leads_no_more(mut leader: watch::Receiver<Leader>, to: &LeaderAddress) {
    let moved = |now: &Leader| match now {
        Leader::Elsewhere(now) => now != to,
        Leader::Here => true,
        // A vote is under way; the old leader may win it.
        Leader::Unknown => false,
    };
    if leader.wait_for(moved).await.is_err() {
        // Nobody follows leadership any more: the answer decides.
        std::future::pending::<()>().await;
    }
}

/// Ends when there has been no leader for longer than a vote takes.
async fn silent(mut leader: watch::Receiver<Leader>) {
    loop {
        let lost = leader.wait_for(|now| *now == Leader::Unknown).await.is_ok();
        if !lost {
            return std::future::pending().await;
        }
        tokio::select! {
            found = leader.wait_for(|now| *now != Leader::Unknown) => drop(found),
            () = sleep(Duration::from_millis(SILENCE_MS)) => return,
        }
    }
}

/// Ends when a call that `to` was sent will not be answered, with what its caller is told.
async fn deposed(leader: watch::Receiver<Leader>, to: LeaderAddress) -> Status {
    let doubt = "what it changes may or may not have been done: look, and try again";
    let replaced = async {
        leads_no_more(leader.clone(), &to).await;
        sleep(Duration::from_millis(LAST_WORDS_MS)).await;
    };
    tokio::select! {
        () = replaced => Status::unavailable(format!(
            "leadership moved to another manager during the call; {doubt}"
        )),
        () = silent(leader.clone()) => Status::unavailable(format!(
            "the leader fell silent during the call and the cluster has no other: a majority of \
             the managers must be running and reach each other; {doubt}"
        )),
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
