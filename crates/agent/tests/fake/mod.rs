//! A manager that only talks: it serves the calls of agents on loopback, without TLS, and lets a
//! test decide what is assigned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{Connect, ConnectError, Peer};
use executor::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming, async_trait};
use types::{NodeId, Task, TaskId, TaskState, TaskStatus};
use wire::api::dispatcher_server::{Dispatcher, DispatcherServer};
use wire::api::log_broker_server::{LogBroker, LogBrokerServer};
use wire::api::{self, assignment::Item, assignment_change::AssignmentAction};

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// Longest any condition is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct State {
    /// Sessions opened so far.
    pub sessions: u64,
    /// Assignments streams opened so far.
    pub assignment_streams: u64,
    pub heartbeats: u64,
    pub description: Option<api::NodeDescription>,
    /// What the node has to run.
    pub tasks: BTreeMap<TaskId, Task>,
    /// The latest status of each task.
    pub statuses: BTreeMap<TaskId, TaskStatus>,
    pub log_lines: Vec<(TaskId, String)>,
    pub logs_closed: bool,
    sequence: u64,
    news: Option<Sender<api::SessionMessage>>,
    assignments: Option<Sender<api::AssignmentsMessage>>,
    subscriptions: Option<Sender<api::SubscriptionMessage>>,
}

/// A fake manager; clones are the same one.
#[derive(Clone)]
pub struct Manager {
    pub addr: SocketAddr,
    node: NodeId,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Manager {
    /// Serves on a port of loopback until the runtime ends.
    pub async fn start(node: NodeId) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let manager = Self {
            addr: listener.local_addr().unwrap(),
            node,
            state: Arc::default(),
            changed: Arc::default(),
        };
        let server = Server::builder()
            .add_service(DispatcherServer::new(manager.clone()))
            .add_service(LogBrokerServer::new(manager.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        manager
    }

    pub fn peer(&self) -> Peer {
        Peer {
            node: Some(self.node),
            addr: self.addr.to_string(),
        }
    }

    /// Changes or reads the state, and wakes those who wait for it.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        result
    }

    /// Waits until the condition holds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&State) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(&self.state.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            panic!("waited in vain until {what}");
        }
    }

    /// Waits until every assigned task is reported in a state.
    pub async fn until_all(&self, state: TaskState) {
        self.until(&format!("all tasks are {state}"), |s| {
            let known = |id| s.statuses.get(id).map(|status| status.state);
            s.tasks.keys().all(|id| known(id) == Some(state))
        })
        .await;
    }

    /// Ends all streams of the session with an error.
    pub async fn drop_session(&self) {
        let (news, assignments) = self.with(|s| (s.news.take(), s.assignments.take()));
        let error = Err(Status::aborted("go away"));
        news.unwrap().send(error).await.unwrap();
        drop(assignments);
    }

    pub async fn send(&self, changes: Vec<api::AssignmentChange>) {
        let (sender, message) = self.with(|s| {
            let applies_to = s.sequence.to_string();
            s.sequence += 1;
            let message = api::AssignmentsMessage {
                r#type: api::assignments_message::Type::Incremental.into(),
                applies_to,
                results_in: s.sequence.to_string(),
                changes,
            };
            (s.assignments.clone(), message)
        });
        sender.unwrap().send(Ok(message)).await.unwrap();
    }

    /// Loses a message: the chain has a gap from now on.
    pub fn lose_message(&self) {
        self.with(|s| s.sequence += 1);
    }

    pub async fn subscribe(&self, message: api::SubscriptionMessage) {
        self.until("the node listens for subscriptions", |s| {
            s.subscriptions.is_some()
        })
        .await;
        let sender = self.with(|s| s.subscriptions.clone());
        sender.unwrap().send(Ok(message)).await.unwrap();
    }
}

pub fn update(task: &Task) -> api::AssignmentChange {
    change(Item::Task(task.into()), AssignmentAction::Update)
}

pub fn remove(id: TaskId) -> api::AssignmentChange {
    let task = api::Task {
        id: id.to_string(),
        ..api::Task::default()
    };
    change(Item::Task(task), AssignmentAction::Remove)
}

fn change(item: Item, action: AssignmentAction) -> api::AssignmentChange {
    api::AssignmentChange {
        assignment: Some(api::Assignment { item: Some(item) }),
        action: action.into(),
    }
}

fn stream<T: Send + 'static>() -> (Sender<T>, Response<Stream_<T>>) {
    let (sender, receiver) = mpsc::channel(16);
    let stream: Stream_<T> = Box::pin(ReceiverStream::new(receiver));
    (sender, Response::new(stream))
}

#[async_trait]
impl Dispatcher for Manager {
    type SessionStream = Stream_<api::SessionMessage>;
    type TasksStream = Stream_<api::TasksMessage>;
    type AssignmentsStream = Stream_<api::AssignmentsMessage>;

    async fn session(
        &self,
        request: Request<api::SessionRequest>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let request = request.into_inner();
        let (sender, response) = stream();
        let number = self.with(|s| {
            s.sessions += 1;
            s.description = request.description;
            s.news = Some(sender.clone());
            s.sessions
        });
        let node = api::Node {
            id: self.node.to_string(),
            ..api::Node::default()
        };
        let peer = api::Peer {
            node_id: self.node.to_string(),
            addr: self.addr.to_string(),
        };
        let message = api::SessionMessage {
            session_id: format!("session-{number}"),
            node: Some(node),
            managers: vec![api::WeightedPeer {
                peer: Some(peer),
                weight: 10,
            }],
            network_bootstrap_keys: Vec::new(),
            root_ca: b"root".to_vec(),
        };
        sender.send(Ok(message)).await.unwrap();
        Ok(response)
    }

    async fn heartbeat(
        &self,
        _: Request<api::HeartbeatRequest>,
    ) -> Result<Response<api::HeartbeatResponse>, Status> {
        self.with(|s| s.heartbeats += 1);
        let period = Some(wire::convert::duration(Duration::from_millis(20)));
        Ok(Response::new(api::HeartbeatResponse { period }))
    }

    async fn update_task_status(
        &self,
        request: Request<api::UpdateTaskStatusRequest>,
    ) -> Result<Response<api::UpdateTaskStatusResponse>, Status> {
        let request = request.into_inner();
        self.with(|s| {
            if request.session_id != format!("session-{}", s.sessions) {
                return Err(Status::invalid_argument("session invalid"));
            }
            for update in request.updates {
                let id: TaskId = update.task_id.parse().unwrap();
                let status = TaskStatus::try_from(update.status.unwrap()).unwrap();
                let before = s.statuses.insert(id, status.clone());
                assert!(
                    before.is_none_or(|b| b.state <= status.state),
                    "{id} fell back"
                );
                if let Some(task) = s.tasks.get_mut(&id) {
                    task.status = status;
                }
            }
            Ok(Response::new(api::UpdateTaskStatusResponse {}))
        })
    }

    async fn update_volume_status(
        &self,
        _: Request<api::UpdateVolumeStatusRequest>,
    ) -> Result<Response<api::UpdateVolumeStatusResponse>, Status> {
        Err(Status::unimplemented("no volumes here"))
    }

    async fn tasks(
        &self,
        _: Request<api::TasksRequest>,
    ) -> Result<Response<Self::TasksStream>, Status> {
        Err(Status::unimplemented("only assignments"))
    }

    async fn assignments(
        &self,
        _: Request<api::AssignmentsRequest>,
    ) -> Result<Response<Self::AssignmentsStream>, Status> {
        let (sender, response) = stream();
        let message = self.with(|s| {
            s.assignment_streams += 1;
            s.assignments = Some(sender.clone());
            s.sequence = 1;
            api::AssignmentsMessage {
                r#type: api::assignments_message::Type::Complete.into(),
                applies_to: String::new(),
                results_in: "1".into(),
                changes: s.tasks.values().map(update).collect(),
            }
        });
        sender.send(Ok(message)).await.unwrap();
        Ok(response)
    }
}

#[async_trait]
impl LogBroker for Manager {
    type ListenSubscriptionsStream = Stream_<api::SubscriptionMessage>;

    async fn listen_subscriptions(
        &self,
        _: Request<api::ListenSubscriptionsRequest>,
    ) -> Result<Response<Self::ListenSubscriptionsStream>, Status> {
        let (sender, response) = stream();
        self.with(|s| s.subscriptions = Some(sender));
        Ok(response)
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<api::PublishLogsMessage>>,
    ) -> Result<Response<api::PublishLogsResponse>, Status> {
        let mut stream = request.into_inner();
        while let Some(message) = stream.next().await {
            let message = message?;
            self.with(|s| {
                for record in message.messages {
                    let task = record.context.unwrap().task_id.parse().unwrap();
                    let line = String::from_utf8(record.data.to_vec()).unwrap();
                    s.log_lines.push((task, line));
                }
                s.logs_closed |= message.close;
            });
        }
        Ok(Response::new(api::PublishLogsResponse {}))
    }
}

/// Connects without TLS.
pub struct Plain;

impl Connect for Plain {
    fn connect<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(async move {
            let endpoint = Endpoint::from_shared(format!("http://{}", peer.addr))?;
            Ok(endpoint.connect().await?)
        })
    }
}
