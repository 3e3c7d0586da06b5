//! One session with one manager: a heartbeat, assignments, news about the node, and reports.
//!
//! All loops of a session are futures of one task. The first one that ends ends the session.

use std::time::Duration;

use executor::Executor;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use types::node::{EXECUTOR_TROUBLE_LABEL, NodeDescription, OWN_AGENT_LABEL};
use wire::api::{self, dispatcher_client::DispatcherClient};

use crate::convert::{MessageError, SpecCache, unreadable, updates};
use crate::limits::{
    CALL_TIMEOUT, DESCRIBE_PERIOD, DESCRIBE_TIMEOUT, EXECUTOR_ABSENCE_MAX, EXECUTOR_RETRY_PAUSE,
    MESSAGE_BYTES_MAX,
};
use crate::owner::{Message, Outgoing};
use crate::peers::Peer;
use crate::sessions::{ConnectError, SessionFacts};

/// What managers say to a removed node in any call; no code of gRPC says it.
const REMOVED: &str = "was removed from the cluster";

/// Why there is no session (any more).
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No manager is known.
    #[error("no manager is known to connect to")]
    NoManager,
    /// The manager could not be reached.
    #[error("cannot connect to manager {addr}")]
    Connect {
        /// Address.
        addr: String,
        /// Why.
        source: ConnectError,
    },
    /// The manager refused a call or ended a stream.
    #[error("manager refused {call}: {}", status.message())]
    Refused {
        /// Call.
        call: &'static str,
        /// What it said.
        status: Box<Status>,
    },
    /// The manager did not answer in time.
    #[error("manager did not answer {0} within 5 s")]
    NoAnswer(&'static str),
    /// The manager ended a stream without an error.
    #[error("manager ended the stream of {0}")]
    Ended(&'static str),
    /// The manager has another session for this node now.
    #[error("manager began another session")]
    Replaced,
    /// A message could not be understood.
    #[error(transparent)]
    Unreadable(#[from] MessageError),
    /// The node asked for another session.
    #[error("the node asked for a new session")]
    Asked,
    /// The executor has not answered for too long: the node can run nothing.
    #[error("{0}")]
    Executor(String),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl SessionError {
    /// The gRPC code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    /// Whether a manager says that this node was removed from the cluster. It stays so: the ids of
    /// removed nodes are never used again.
    pub fn says_removed(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.code() == Code::PermissionDenied && status.message().contains(REMOVED)
            }
            _ => false,
        }
    }
}

/// Asks the executor what the node is and has, but does not wait for ever.
///
/// # Errors
/// Why it does not answer, in one sentence.
pub(crate) async fn described(executor: &dyn Executor) -> Result<NodeDescription, String> {
    match timeout(DESCRIBE_TIMEOUT, executor.describe()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "the {} executor does not answer within {} s",
            executor.name(),
            DESCRIBE_TIMEOUT.as_secs()
        )),
    }
}

/// Tells a manager why this node opens no session. It answers with a refusal, which is noted.
pub(crate) async fn knock(
    channel: Channel,
    mut description: NodeDescription,
    trouble: &str,
) -> SessionError {
    let labels = &mut description.engine.labels;
    labels.insert(EXECUTOR_TROUBLE_LABEL.to_owned(), trouble.to_owned());
    let client = DispatcherClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    match open(client, &description, String::new()).await {
        Ok(_) => SessionError::Asked,
        Err(error) => error,
    }
}

/// A session that was opened and not yet announced to the worker.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) id: String,
    stream: Streaming<api::SessionMessage>,
    first: api::SessionMessage,
}

pub(crate) type Client = DispatcherClient<Channel>;

/// What a running session works with.
pub(crate) struct Session<'a> {
    pub(crate) link: u64,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) amend: &'a (dyn Fn(&mut NodeDescription) + Send + Sync),
    pub(crate) owner: &'a mpsc::Sender<Message>,
    pub(crate) facts: &'a watch::Sender<Option<SessionFacts>>,
}

fn refused(call: &'static str) -> impl Fn(Status) -> SessionError {
    move |status| SessionError::Refused {
        call,
        status: Box::new(status),
    }
}

/// Waits for an answer, but not for ever.
async fn answer<T>(
    call: &'static str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, SessionError> {
    match timeout(CALL_TIMEOUT, work).await {
        Ok(result) => result.map_err(refused(call)),
        Err(_) => Err(SessionError::NoAnswer(call)),
    }
}

async fn next<T>(call: &'static str, stream: &mut Streaming<T>) -> Result<T, SessionError> {
    let message = stream.message().await.map_err(refused(call))?;
    message.ok_or(SessionError::Ended(call))
}

/// What the node says of itself: the executor's words, and that it is ours.
pub(crate) fn amended(
    mut description: NodeDescription,
    amend: &(dyn Fn(&mut NodeDescription) + Send + Sync),
) -> NodeDescription {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let labels = &mut description.engine.labels;
    labels.insert(OWN_AGENT_LABEL.to_owned(), version);
    amend(&mut description);
    description
}

// === impl Opened ===

impl Opened {
    /// Opens a session; done when the manager has sent its first message.
    pub(crate) async fn open(
        channel: Channel,
        description: &NodeDescription,
    ) -> Result<Self, SessionError> {
        let client = DispatcherClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (stream, first) = open(client.clone(), description, String::new()).await?;
        Ok(Self {
            client,
            id: first.session_id.clone(),
            stream,
            first,
        })
    }
}

async fn open(
    mut client: Client,
    description: &NodeDescription,
    session_id: String,
) -> Result<(Streaming<api::SessionMessage>, api::SessionMessage), SessionError> {
    const CALL: &str = "a session";
    let request = api::SessionRequest {
        description: Some(description.into()),
        session_id,
    };
    let both = async {
        let mut stream = client.session(request).await?.into_inner();
        let first = stream.message().await?;
        Ok((stream, first))
    };
    let (stream, first) = answer(CALL, both).await?;
    Ok((stream, first.ok_or(SessionError::Ended(CALL))?))
}

// === impl Session ===

impl Session<'_> {
    /// Runs the session until something in it ends.
    pub(crate) async fn run(
        &self,
        opened: Opened,
        described: NodeDescription,
        outbox: mpsc::Receiver<Outgoing>,
        publish: impl FnMut(&SessionFacts) + Send,
    ) -> SessionError {
        let resync = Notify::new();
        let (descriptions, described_anew) = watch::channel(described);
        let (client, id) = (opened.client.clone(), opened.id.clone());
        tokio::select! {
            Err(e) = heartbeats(client.clone(), &id) => e,
            Err(e) = self.assignments(client.clone(), &id, &resync) => e,
            Err(e) = self.reports(client, &id, outbox, &resync) => e,
            Err(e) = self.news(opened, described_anew, publish) => e,
            e = self.describe(&descriptions) => e,
        }
    }

    async fn assignments(
        &self,
        mut client: Client,
        session: &str,
        resync: &Notify,
    ) -> Result<(), SessionError> {
        const CALL: &str = "assignments";
        let mut specs = SpecCache::default();
        loop {
            let request = api::AssignmentsRequest {
                session_id: session.to_owned(),
            };
            let stream = answer(CALL, client.assignments(request)).await?;
            let mut stream = stream.into_inner();
            loop {
                let message = tokio::select! {
                    message = next(CALL, &mut stream) => message?,
                    () = resync.notified() => break,
                };
                let message = specs.assignments(message)?;
                let link = self.link;
                self.tell(Message::Assignments { link, message }).await?;
            }
        }
    }

    async fn reports(
        &self,
        mut client: Client,
        session: &str,
        mut outbox: mpsc::Receiver<Outgoing>,
        resync: &Notify,
    ) -> Result<(), SessionError> {
        const CALL: &str = "a status report";
        while let Some(outgoing) = outbox.recv().await {
            let (report, statuses) = match outgoing {
                Outgoing::Resync => {
                    resync.notify_one();
                    continue;
                }
                Outgoing::Report { report, statuses } => (report, statuses),
            };
            let request = api::UpdateTaskStatusRequest {
                session_id: session.to_owned(),
                updates: updates(&statuses),
            };
            let accepted = match answer(CALL, client.update_task_status(request)).await {
                Ok(_) => true,
                // It could not be written now; the session is good.
                Err(e) if e.code() == Some(Code::Unavailable) => false,
                Err(e) => return Err(e),
            };
            self.tell(Message::Reported {
                link: self.link,
                report,
                accepted,
            })
            .await?;
        }
        Err(SessionError::Stopping)
    }

    /// Session messages; the stream is opened anew when the node describes itself differently.
    async fn news(
        &self,
        opened: Opened,
        mut described: watch::Receiver<NodeDescription>,
        mut publish: impl FnMut(&SessionFacts) + Send,
    ) -> Result<(), SessionError> {
        const CALL: &str = "session messages";
        let Opened {
            client,
            id,
            mut stream,
            first,
        } = opened;
        let mut message = first;
        loop {
            if message.session_id != id {
                return Err(SessionError::Replaced);
            }
            let facts = facts(message)?;
            publish(&facts);
            self.facts.send_replace(Some(facts));
            message = tokio::select! {
                message = next(CALL, &mut stream) => message?,
                Ok(()) = described.changed() => {
                    let description = described.borrow_and_update().clone();
                    let (again, first) = open(client.clone(), &description, id.clone()).await?;
                    stream = again;
                    first
                }
            };
        }
    }

    /// Looks at the node now and then. Ends when the executor has not answered for too long: a node
    /// that can run nothing must not be given tasks.
    async fn describe(&self, descriptions: &watch::Sender<NodeDescription>) -> SessionError {
        let mut silent_since: Option<Instant> = None;
        loop {
            sleep(match silent_since {
                None => DESCRIBE_PERIOD,
                Some(_) => EXECUTOR_RETRY_PAUSE,
            })
            .await;
            let reason = match described(self.executor).await {
                Ok(description) => {
                    silent_since = None;
                    let description = amended(description, self.amend);
                    descriptions.send_if_modified(|last| {
                        let differs = *last != description;
                        *last = description;
                        differs
                    });
                    continue;
                }
                Err(reason) => reason,
            };
            let since = *silent_since.get_or_insert_with(|| {
                tracing::warn!(reason, "the executor cannot describe the node");
                Instant::now()
            });
            if since.elapsed() > EXECUTOR_ABSENCE_MAX {
                return SessionError::Executor(reason);
            }
        }
    }

    async fn tell(&self, message: Message) -> Result<(), SessionError> {
        let sent = self.owner.send(message).await;
        sent.map_err(|_| SessionError::Stopping)
    }
}

async fn heartbeats(mut client: Client, session: &str) -> Result<(), SessionError> {
    const CALL: &str = "a heartbeat";
    loop {
        let request = api::HeartbeatRequest {
            session_id: session.to_owned(),
        };
        let response = answer(CALL, client.heartbeat(request)).await?.into_inner();
        sleep(period(&response)).await;
    }
}

/// The period a manager asks for; one it left out must not make us spin.
fn period(response: &api::HeartbeatResponse) -> Duration {
    let asked = response.period.and_then(|p| Duration::try_from(p).ok());
    asked
        .filter(|p| !p.is_zero())
        .unwrap_or(types::defaults::HEARTBEAT_PERIOD)
}

fn facts(message: api::SessionMessage) -> Result<SessionFacts, MessageError> {
    const WHAT: &str = "a session message";
    let node = message
        .node
        .ok_or(MessageError::Empty("the node's record"))?;
    let managers = message.managers.into_iter().filter_map(|m| {
        let peer = m.peer?;
        let node = peer.node_id.parse().ok();
        let addr = peer.addr;
        Some((Peer { node, addr }, m.weight))
    });
    let keys = message.network_bootstrap_keys.into_iter();
    Ok(SessionFacts {
        node: node.try_into().map_err(unreadable(WHAT))?,
        managers: managers.collect(),
        keys: keys.map(Into::into).collect(),
        root_ca: message.root_ca,
    })
}
